//! Programs as users have them that once failed: well-known libraries, thousands of threads, code that can't be unwound.

use serde_json::Value;

use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{Recorded, User, check_calls, command, notes, record, succeeds};

const REAL: Build = Build { release: "1.26.6", args: &[] };

fn function<'a>(report: &'a Value, name: &str) -> &'a Value {
    let functions = report["functions"].as_array().expect("functions");
    functions.iter().find(|function| function["name"] == name).unwrap_or_else(|| panic!("no function {name}"))
}

/// Finalizers may cross between the program's last look at its count and its end.
fn check_real(what: &str, recorded: &Recorded) {
    let (found, own) = (&recorded.report["totals"]["crossings"], &recorded.truth["num_cgo_call"]);
    let more = found.as_u64().zip(own.as_u64()).and_then(|(found, own)| found.checked_sub(own));
    assert!(more.is_some_and(|more| more < 5), "{what}: {found} crossings, {own} by the program");
    assert_eq!(recorded.report["recording"]["engine"], "trampoline", "{what}");
    assert!(!notes(&recorded.report).contains("not complete"), "{what}: {}", notes(&recorded.report));
}

fn flame_graph(recorded: &Recorded, value: &str) -> String {
    let svg = recorded.profile.with_extension("svg");
    succeeds(command(User::Root).arg("flamegraph").arg(&recorded.profile).args(["--value", value, "-o"]).arg(&svg));
    std::fs::read_to_string(svg).expect("the SVG")
}

#[test]
fn duckdb_is_recorded_by_hooks_with_what_it_does_inside() {
    let recorded = record(User::Nobody, &[], &go::build("duckdb", REAL), &[]);
    check_real("duckdb", &recorded);
    let svg = flame_graph(&recorded, "total");
    for frame in ["duckdb_execute_pending", "duckdb::PipelineExecutor::Execute", "main.main"] {
        assert!(svg.contains(frame), "{frame}");
    }
    // Its own threads work while Go waits: no crossing has called them.
    let outside = recorded.report["c_outside"].as_array().expect("c_outside");
    assert!(!outside.is_empty());
}

#[test]
fn librdkafka_is_recorded_by_hooks() {
    let recorded = record(User::Nobody, &[], &go::build("kafka", REAL), &[]);
    check_real("kafka", &recorded);
    let produced = function(&recorded.report, "do_produce");
    assert_eq!(produced["calls"], recorded.truth["messages"]);
    assert!(flame_graph(&recorded, "total").contains("do_produce"));
}

/// Once each crossing searched the tables of all threads.
#[test]
fn thousands_of_threads_have_counts_and_times() {
    let program = go::build("manythreads", Build::newest());
    for threads in ["1500", "4000"] {
        let recorded = record(User::Nobody, &[], &program, &["blocked", threads]);
        check_calls(threads, &recorded);
        let inside = function(&recorded.report, "wait_inside");
        assert_eq!((&inside["timed"], &inside["untimed"]), (&inside["calls"], &0.into()), "{threads}");
        let peak = recorded.report["totals"]["max_threads_in_c"].as_u64();
        assert!(peak >= threads.parse().ok(), "{threads}: {peak:?}");
    }
}

/// Beyond all tables what is not timed is no part of a mean, and sums are told as what they are at least.
#[test]
fn crossings_beyond_the_tables_are_not_shown_as_timed() {
    let program = go::build("manythreads", Build::newest());
    let recorded = record(User::Nobody, &[], &program, &["blocked", "8500"]);
    check_calls("8500", &recorded);
    let inside = function(&recorded.report, "wait_inside");
    let (calls, timed, untimed) = (&inside["calls"], &inside["timed"], &inside["untimed"]);
    assert!(untimed.as_u64() > Some(100), "{untimed}");
    assert_eq!(timed.as_u64().zip(untimed.as_u64()).map(|(timed, untimed)| timed + untimed), calls.as_u64());
    let text = succeeds(command(User::Root).arg("report").arg(&recorded.profile)).stdout;
    let text = String::from_utf8(text).expect("text");
    assert!(text.contains("at least") && text.contains('\u{2265}'), "{text}");
}

/// 199 of 200 samples were once in no function's row, and C had no processor time.
#[test]
fn machine_code_made_at_run_time_is_in_its_function() {
    for release in ["1.19", "1.26.6", "1.27.3"].into_iter().filter(|release| go::is_covered(release)) {
        let recorded = record(User::Nobody, &[], &go::build("unknowncode", Build::of(release)), &["jit", "1000"]);
        let made = function(&recorded.report, "run_made_code");
        assert_eq!(made["calls"], recorded.truth["calls"], "{release}");
        let (found, truth) = (made["cpu_ns"].as_f64().expect("cpu"), recorded.truth["cpu_ns"].as_f64().expect("cpu"));
        assert!((found - truth).abs() < 0.3 * truth, "{release}: {found} of {truth} ns");
        assert!(flame_graph(&recorded, "total").contains("[unknown code]"), "{release}");
    }
}

#[test]
fn threads_of_c_libraries_are_shown_by_name() {
    let recorded = record(User::Nobody, &[], &go::build("unknowncode", Build::newest()), &["threads", "1000"]);
    let outside = recorded.report["c_outside"].as_array().expect("c_outside");
    let found = outside.iter().find(|row| row["thread"] == "c-worker").expect("the thread");
    let (cpu, truth) = (found["cpu_ns"].as_f64().expect("cpu"), recorded.truth["cpu_ns"].as_f64().expect("cpu"));
    assert!((cpu - truth).abs() < 0.3 * truth, "{cpu} of {truth} ns");
    let text = succeeds(command(User::Root).arg("report").arg(&recorded.profile)).stdout;
    assert!(String::from_utf8_lossy(&text).contains("c-worker"));
    assert!(flame_graph(&recorded, "cpu").contains("[thread c-worker]"));
}
