//! What cgoprof says: true, with its error, and with a way out that works.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::recording::{User, command, profile_path, record, report, succeeds};

fn crossings() -> std::path::PathBuf {
    go::build("crossings", Build::newest())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs cgoprof as root.
fn run(args: &[&str]) -> Output {
    command(User::Root).args(args).stdin(Stdio::null()).output().expect("cgoprof runs")
}

/// Beside two busy processes nearly every crossing of an empty function was timed once, and cost twice the bare call.
#[test]
fn an_empty_functions_crossings_are_seldom_timed_on_a_busy_machine() {
    let spin = || Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell");
    let mut neighbours = [spin(), spin()];
    // More than a second: where the recorder gets no processor for long, a shorter run is mostly its beginning.
    let recorded = record(User::Nobody, &[], &crossings(), &["hot", "60000000"]);
    for neighbour in &mut neighbours {
        neighbour.kill().expect("it spins");
        neighbour.wait().expect("it ends");
    }
    let functions = recorded.report["functions"].as_array().expect("functions");
    let nop = functions.iter().find(|row| row["name"] == "nop").expect("nop");
    let number = |field: &str| nop[field].as_f64().expect("a number");
    let share = number("timed") / number("calls");
    assert!(share < 0.05, "{share} of the crossings timed: {nop}");
    let error = number("total_se_ns") / number("total_ns");
    assert!(error > 0.0 && error < 0.5, "an error that says something: {error}");
}

#[test]
fn a_larger_budget_times_more() {
    let share = |budget: &str| {
        let options = ["--max-overhead", budget];
        // Nearly a second: where the recorder is held up, a shorter run is over before the budget has been applied.
        let recorded = record(User::Nobody, &options, &crossings(), &["mixed", "1500000"]);
        let functions = recorded.report["functions"].as_array().expect("functions");
        let mixed = functions.iter().find(|row| row["name"] == "mixed").expect("mixed");
        mixed["timed"].as_f64().expect("a number") / mixed["calls"].as_f64().expect("a number")
    };
    let (small, large) = (share("0.001"), share("100"));
    assert!(small < large, "{small} and {large}");
    for wrong in ["0", "-1", "nan", "much"] {
        let output = run(&["record", "--max-overhead", wrong, "--", "/bin/true"]);
        assert_eq!(output.status.code(), Some(2), "{wrong}: {}", said(&output));
    }
}

#[test]
fn the_summary_states_errors_and_no_crossings_that_are_not_in_its_sum() {
    let profile = profile_path(User::Root);
    let mut recorded = command(User::Root);
    recorded.args(["record", "-o"]).arg(&profile).arg("--").arg(crossings()).args(["hot", "3000000"]);
    let text = said(&succeeds(&mut recorded));
    let line = text.lines().find(|line| line.ends_with("nop")).expect("its line");
    assert!(line.contains('\u{b1}'), "{text}");
    let mut tiny = command(User::Root);
    tiny.args(["record", "-o"]).arg(&profile).arg("--").arg(crossings()).args(["hot", "1"]);
    let text = said(&succeeds(&mut tiny));
    assert!(!text.contains("x_cgo_thread_start"), "the runtime's own calls are not among the crossings: {text}");
}

#[test]
fn what_recording_cost_is_what_samples_saw_of_it() {
    let profile = profile_path(User::Root);
    let mut recorded = command(User::Root);
    recorded.args(["record", "-q", "--timing", "every", "--freq", "999", "-o"]).arg(&profile);
    succeeds(recorded.arg("--").arg(crossings()).args(["hot", "20000000"]));
    let found = report(&profile);
    let number = |field: &str| found["recording"][field].as_f64().expect("a number");
    assert!(number("hooks_cpu_ns") > 5.0 * number("hooks_cpu_se_ns"), "{}", found["recording"]);
    let text = succeeds(command(User::Root).arg("report").arg(&profile));
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("recording cost") && text.contains("of the processor time"), "{text}");
}

#[test]
fn a_profile_is_written_to_standard_output() {
    let mut recorded = command(User::Root);
    recorded.args(["record", "-q", "-o", "-", "--"]).arg(crossings()).args(["hot", "10"]);
    let output = recorded.current_dir(shared_dir()).stdin(Stdio::null()).output().expect("it runs");
    assert!(!shared_dir().join("-").exists(), "no file named -");
    check_profile_after_output(&output.stdout);
}

/// Once that replaced /dev/stdout, and what the program had printed.
#[test]
fn a_profile_is_written_behind_the_programs_output_where_that_is_a_file() {
    let path = shared_dir().join("standard-output");
    std::fs::write(&path, "before\n").expect("a file");
    let link = std::fs::symlink_metadata("/dev/stdout").expect("a link").file_type();
    for _ in 0..2 {
        let file = std::fs::File::options().append(true).open(&path).expect("the file");
        let mut recorded = command(User::Root);
        recorded.args(["record", "-q", "-o", "-", "--"]).arg(crossings()).args(["hot", "10"]);
        assert!(recorded.stdout(file).status().expect("it runs").success());
    }
    assert_eq!(std::fs::symlink_metadata("/dev/stdout").expect("a link").file_type(), link);
    let written = std::fs::read(&path).expect("the file");
    assert!(written.starts_with(b"before\n{"), "{}", String::from_utf8_lossy(&written[..40]));
    let mut drawn = command(User::Root);
    let profile = profile_path(User::Root);
    succeeds(
        command(User::Root).args(["record", "-q", "-o"]).arg(&profile).arg("--").arg(crossings()).args(["hot", "10"]),
    );
    let svg = succeeds(drawn.args(["flamegraph", "-o", "-"]).arg(&profile)).stdout;
    assert!(String::from_utf8_lossy(&svg).contains("<svg"));
}

/// The program's own output comes first.
fn check_profile_after_output(bytes: &[u8]) {
    let start = bytes.windows(2).position(|bytes| bytes == [0x1f, 0x8b]).expect("a gzip member");
    let profile = profile_path(User::Root);
    std::fs::write(&profile, &bytes[start..]).expect("a file");
    assert!(report(&profile)["totals"]["crossings"].as_u64() > Some(0));
}

#[test]
fn options_without_effect_are_refused() {
    let profile = profile_path(User::Root);
    let mut recorded = command(User::Root);
    succeeds(recorded.args(["record", "-q", "-o"]).arg(&profile).arg("--").arg(crossings()).args(["hot", "10"]));
    let shown = profile.display().to_string();
    for option in [["--by", "site"], ["--limit", "3"], ["--slowest", "3"]] {
        let output = run(&["report", "--format", "json", option[0], option[1], &shown]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains("are for tables"), "{}", said(&output));
    }
    for (options, why) in [
        (&["report", "--format", "json", "--filter", "x"][..], "are for tables"),
        (&["report", "--by", "stack", "--sort", "calls"], "are for tables"),
        (&["report", "--by", "advice", "--filter", "x"], "advice names them all"),
        (&["report", "--by", "blocked", "--format", "csv"], "are no tables"),
        (&["report", "--format", "csv", "--quantiles"], "CSV has all"),
        (&["diff", "--format", "json", "--limit", "3", &shown], "are for tables"),
        (&["diff", "--least", "3", &shown], "--fail-above"),
        (&["record", "--no-follow", "-p", "1", "-o"], "--no-follow"),
    ] {
        let output = run(&[options, &[&shown]].concat());
        assert_eq!(output.status.code(), Some(2), "{options:?}: {}", said(&output));
        assert!(said(&output).contains(why), "{options:?}: {}", said(&output));
    }
    for timing in ["every", "none"] {
        let output = run(&["record", "--timing", timing, "--max-overhead", "0.2", "/bin/true"]);
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains("bounds --timing auto"), "{}", said(&output));
    }
}

#[test]
fn ways_out_are_those_of_the_command() {
    let check = |args: &[&str], status: i32, has: &str, has_not: &str| {
        let output = run(args);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {text}");
        assert!(text.contains(has) && !text.contains(has_not), "{args:?}: {text}");
    };
    check(&["demo", "--dir", "/nonexistent"], 125, "another with --dir", "-o");
    check(&["inspect", "/tmp"], 125, "/tmp is not a regular file", "device");
    check(&["record", "--", "/bin/true"], 0, "record --wait true", "interpreter");
    let unwritable = ["record", "-o", "/proc/nonexistent/x", "--"];
    let program = crossings().display().to_string();
    check(&[&unwritable[..], &[program.as_str(), "hot", "1"]].concat(), 125, "choose another file with -o", "--dir");
    // An engine that was asked for and can't be had.
    let output = command(User::Nobody)
        .args(["record", "--engine", "uprobe", "-o"])
        .arg(profile_path(User::Nobody))
        .arg("--")
        .arg(crossings())
        .args(["hot", "1"])
        .output()
        .expect("it runs");
    let text = said(&output);
    let last = text.lines().last().unwrap_or_default();
    assert!(last.contains("ran without being recorded") && last.contains("--require makes that an error"), "{text}");
}

#[test]
fn root_is_not_told_to_run_as_root() {
    let output = run(&["record", "-p", "1"]);
    assert!(!said(&output).contains("or as root"), "{}", said(&output));
}

/// Once that was an error of its memory, or of an engine.
#[test]
fn a_program_that_ends_while_it_is_joined_has_ended() {
    for attempt in 0..80u64 {
        let mut program = Command::new(crossings());
        let mut program = program.args(["threads", "200000"]).stdout(Stdio::null()).spawn().expect("it runs");
        std::thread::sleep(Duration::from_micros(attempt * 350));
        let mut join = command(User::Root);
        join.args(["record", "-q", "-o"]).arg(profile_path(User::Root)).args(["-p", &program.id().to_string()]);
        let output = join.output().expect("cgoprof runs");
        program.wait().expect("it ends");
        let text = said(&output);
        let has_ended = ["ended", "about to end", "no such process"].iter().any(|words| text.contains(words));
        assert!(output.status.success() || has_ended, "{attempt}: {text}");
        for wrong in ["memory", "no engine works", "as root", "kernel"] {
            assert!(!text.contains(wrong), "{attempt}: {text}");
        }
    }
}

/// Once there were quantiles of the time in Go only.
#[test]
fn quantiles_of_callbacks_tell_how_long_a_p_took_too() {
    let recorded = record(User::Nobody, &[], &crossings(), &["nested", "2000"]);
    let callbacks = recorded.report["callbacks"].as_array().expect("callbacks");
    let times = |row: &Value| row["border"]["p50_ns"].as_f64().zip(row["border"]["p99_ns"].as_f64());
    let known: Vec<_> = callbacks.iter().filter_map(times).collect();
    assert!(!known.is_empty(), "{callbacks:?}");
    assert!(known.iter().all(|&(p50, p99)| p50 > 0.0 && p50 <= p99), "{known:?}");
    let text = succeeds(command(User::Root).args(["report", "--by", "callback"]).arg(Path::new(&recorded.profile)));
    assert!(String::from_utf8_lossy(&text.stdout).contains("BORDER P99"));
}
