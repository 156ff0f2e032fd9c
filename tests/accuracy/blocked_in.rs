//! What C waits in, and on which stack, against a program that knows it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::ONE_AT_A_TIME;
use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{Recorded, User, record};
use cgoprof_testing::tolerance::{Compared, Tolerance, check_close};

/// The functions that wait, each with what it waits in.
const WAYS: [(&str, &[&str]); 6] = [
    ("wait_for_mutex", &["futex"]),
    ("wait_asleep", &["clock_nanosleep"]),
    ("wait_for_pipe", &["read"]),
    ("wait_in_poll", &["poll"]),
    ("wait_for_disk", &["fsync", "pwrite64"]),
    ("wait_for_pages", &["page fault", "fadvise64", "mmap", "munmap"]),
];

/// How far a share may be off.
const CLOSE: f64 = 0.03;

fn check(user: User, options: &[&str]) {
    let program = go::build("blocks", Build::of("1.27.3"));
    let sees_every_wait = options.contains(&"every");
    // Looks find few waits a second, and their error is to be well below what is compared.
    let seconds = if sees_every_wait { "15" } else { "30" };
    check_close(|| {
        let folder = std::env::temp_dir().display().to_string();
        let Recorded { truth, report, .. } = record(user, options, &program, &[seconds, &folder]);
        let own: f64 = WAYS.iter().map(|(name, _)| truth["blocked_ns"][name].as_f64().expect("a clock")).sum();
        let rows: Vec<&Value> = report["blocked"].as_array().expect("rows").iter().collect();
        let rows: Vec<&Value> = rows.into_iter().filter(|row| row["function"] == "block").collect();
        let nanos = |row: &Value| row["blocked_ns"].as_f64().expect("a time");
        let sum: f64 = rows.iter().map(|row| nanos(row)).sum();
        let function = crate::function(&report, "block")["blocked_ns"].as_f64().expect("a time");
        assert!((sum - function).abs() < function * 1e-6, "{sum} of {function}");
        let (mut by_call, mut on_stack) = (BTreeMap::new(), BTreeMap::new());
        for row in &rows {
            let call = row["waits_in"].as_str().expect("every wait of three threads is found now and then");
            *by_call.entry(call).or_insert(0.0) += nanos(row) / sum;
            for frame in row["frames"].as_array().expect("frames") {
                if let Some((name, _)) = WAYS.iter().find(|(name, _)| frame["name"] == *name) {
                    *on_stack.entry(*name).or_insert(0.0) += nanos(row) / sum;
                }
            }
        }
        slowest(&report, if sees_every_wait { SLOW } else { 1 });
        advice(&report, &truth, sees_every_wait);
        let mut compared = Vec::new();
        for (name, calls) in WAYS {
            let truth = truth["blocked_ns"][name].as_f64().expect("a clock") / own;
            let found: f64 = calls.iter().filter_map(|call| by_call.get(call)).sum();
            let what = |of: &str| format!("{name} as {user:?} {options:?}, {of}");
            compared.push(Compared::new(what("by call"), found, truth, Tolerance::Absolute(CLOSE)));
            // Its last call is a jump.
            if name != "wait_in_poll" {
                let found = on_stack.get(name).copied().unwrap_or(0.0);
                compared.push(Compared::new(what("by stack"), found, truth, Tolerance::Absolute(CLOSE)));
            }
        }
        compared
    });
}

/// Minimum slow crossings of a run. Where every wait is seen, those of each have a stack.
const SLOW: usize = 50;

/// Of single crossings, what each was blocked in adds up to its blocked time, and is what its own stack waits in. At least
/// so many waits have a stack: how many looks find depends on how fast the machine is just then.
fn slowest(report: &Value, least: usize) {
    let rows: Vec<&Value> = report["slowest"].as_array().expect("rows").iter().collect();
    let rows: Vec<&Value> = rows.into_iter().filter(|row| row["function"] == "block" && row["in_c"] == false).collect();
    assert!(rows.len() >= SLOW, "{}", rows.len());
    let mut found = 0;
    for row in rows {
        let parts = row["blocked_in"].as_array().expect("parts");
        let nanos = |of: &Value| of["blocked_ns"].as_u64().expect("a time");
        assert_eq!(parts.iter().map(nanos).sum::<u64>(), nanos(row), "{row}");
        for part in parts.iter().filter(|part| !part["waits_in"].is_null()) {
            let frames = part["frames"].as_array().expect("frames");
            let way = WAYS.iter().find(|(name, _)| frames.iter().any(|frame| frame["name"] == *name));
            // What has gone on before its stack was copied has no frames, and a last call is a jump.
            let Some((name, calls)) = way else { continue };
            assert!(calls.iter().any(|call| part["waits_in"] == *call), "{name}: {part}");
            found += 1;
        }
    }
    assert!(found >= least, "{found}");
}

/// A sixth of three threads' time is spent waiting for a lock; how long for the disk depends on the disk.
fn advice(report: &Value, truth: &Value, sees_every_wait: bool) {
    // Twice the share of the run that advice on the disk needs. Looks have errors, of which two are subtracted.
    let slow_disk = if sees_every_wait { 0.1 } else { 0.3 };
    let run = report["recording"]["duration_ns"].as_f64().expect("a time");
    let has_slow_disk = truth["blocked_ns"]["wait_for_disk"].as_f64().expect("a clock") > slow_disk * run;
    let advice = report["advice"].as_array().expect("advice");
    let expected = [(true, "c-lock", "that wait_for_mutex takes"), (has_slow_disk, "disk", "until the disk had")];
    for (_, kind, named) in expected.into_iter().filter(|&(is_expected, ..)| is_expected) {
        let of_kind = |one: &&Value| one["kind"] == kind && one["function"] == "block";
        let why = advice.iter().find(of_kind).map(|one| one["why"].as_str().expect("text"));
        assert!(why.is_some_and(|why| why.contains(named)), "{kind}: {advice:?}");
    }
}

#[test]
fn what_c_waits_in_is_what_the_program_knows_without_root() {
    let _alone = ONE_AT_A_TIME.lock();
    check(User::Nobody, &[]);
}

#[test]
fn what_c_waits_in_is_what_the_program_knows_by_switches() {
    let _alone = ONE_AT_A_TIME.lock();
    check(User::Root, &["--waits", "every"]);
}

#[test]
fn what_c_waits_in_is_what_the_program_knows_with_uprobes() {
    let _alone = ONE_AT_A_TIME.lock();
    check(User::Root, &["--engine", "uprobe"]);
}
