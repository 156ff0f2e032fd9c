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

/// A default that could not be read once kept a program from running.
#[test]
fn a_home_that_is_not_ours_to_read_sets_nothing() {
    let home = profile_path(User::Root).with_extension("home");
    std::fs::create_dir_all(home.join(".config/cgoprof")).expect("a folder");
    std::fs::write(home.join(".config/cgoprof/config.toml"), "[record]\nfreq = 0\n").expect("a file");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&home, mode).expect("its mode");
    for (user, home, expected) in
        [(User::Nobody, home.as_path(), 0), (User::Root, "/dev/null".as_ref(), 0), (User::Root, &home, 125)]
    {
        let mut doctor = command(user);
        doctor.env_remove("CGOPROF_CONFIG").env_remove("XDG_CONFIG_HOME").env("HOME", home);
        let output = doctor.args(["record", "-q", "-o", "/dev/null", "--", "true"]).output().expect("cgoprof runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(expected), "{user:?}, {}: {said}", home.display());
    }
}
