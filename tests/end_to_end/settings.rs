//! Defaults of options from a file and from the environment.

use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{User, command, profile_path, report, succeeds};

#[test]
fn a_file_and_variables_set_defaults_of_options() {
    let program = go::build("crossings", Build::newest());
    let (config, profile) = (profile_path(User::Root).with_extension("toml"), profile_path(User::Root));
    std::fs::write(&config, "[record]\ntiming = 'none'\nno-samples = true\nfreq = 50\n").expect("a file");
    let recorded = |variables: &[(&str, &str)], options: &[&str]| {
        let mut recorder = command(User::Root);
        recorder.env("CGOPROF_CONFIG", &config).envs(variables.iter().copied());
        recorder.args(["record", "-q", "-o"]).arg(&profile).args(options).arg("--").arg(&program);
        succeeds(recorder.args(["nested", "50"]));
        let recording = report(&profile)["recording"].clone();
        (recording["timing"].as_str().expect("a word").to_owned(), recording["sample_period_ns"].is_null())
    };
    assert_eq!(recorded(&[], &[]), ("none".into(), true));
    assert_eq!(recorded(&[("CGOPROF_RECORD_TIMING", "every")], &[]), ("every".into(), true));
    let both = [("CGOPROF_RECORD_TIMING", "every"), ("CGOPROF_RECORD_NO_SAMPLES", "0")];
    assert_eq!(recorded(&both, &["--timing", "auto"]), ("auto".into(), false));
}

#[test]
fn a_default_that_does_not_apply_is_no_error() {
    let program = go::build("crossings", Build::newest());
    let profile = profile_path(User::Root);
    let record = ["record", "-q", "-o"];
    succeeds(command(User::Root).args(record).arg(&profile).arg("--").arg(&program).args(["nested", "50"]));
    let json = |limit: &str| {
        let mut reporter = command(User::Root);
        reporter.env("CGOPROF_REPORT_LIMIT", limit).args(["report", "--format", "json"]);
        succeeds(reporter.arg(&profile)).stdout
    };
    assert_eq!(json("1"), json(""));
    let typed = command(User::Root).args(["report", "--format", "json", "--limit", "1"]).arg(&profile).output();
    assert_eq!(typed.expect("cgoprof runs").status.code(), Some(2));
}
