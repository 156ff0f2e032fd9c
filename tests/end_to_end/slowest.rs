//! Why single crossings were slow, of sqlite: one goroutine writes rows to a file, others read through the same cache.

use std::process::Command;

use serde_json::Value;

use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{User, command, profile_path, report, succeeds};

#[test]
fn slow_crossings_of_sqlite_are_explained_by_its_mutex() {
    let program = go::build("sqlite", Build::newest());
    let file = profile_path(User::Nobody).with_extension("db");
    let profile = profile_path(User::Nobody);
    let mut recorded: Command = command(User::Nobody);
    recorded.env("SQLITE_FILE", &file).args(["record", "-q", "-o"]).arg(&profile).arg("--").arg(&program);
    succeeds(&mut recorded);
    let found = report(&profile);
    let slowest: Vec<&Value> = found["slowest"].as_array().expect("rows").iter().take(20).collect();
    assert_eq!(slowest.len(), 20);
    let times: Vec<u64> = slowest.iter().map(|row| row["total_ns"].as_u64().expect("a time")).collect();
    assert!(times.is_sorted_by(|one, next| one >= next) && times[9] > 1_000_000, "{times:?}");
    let (mut explained, mut on_mutex) = (0, 0);
    for row in &slowest {
        let parts = row["blocked_in"].as_array().expect("parts");
        let sum: u64 = parts.iter().map(|part| part["blocked_ns"].as_u64().expect("a time")).sum();
        assert_eq!(sum, row["blocked_ns"].as_u64().expect("a time"), "{row}");
        let Some(longest) = parts.iter().find(|part| !part["waits_in"].is_null()) else { continue };
        explained += 1;
        let called =
            |name: &str| longest["frames"].as_array().expect("frames").iter().any(|frame| frame["name"] == name);
        on_mutex += usize::from(longest["waits_in"] == "futex" && called("lockBtreeMutex"));
    }
    // A reader waits for the mutex as often as the writer commits, so some of the slowest wait for long.
    assert!(explained >= 10 && on_mutex >= 5, "{explained} of twenty, {on_mutex} on the mutex");
    // Compilers may inline the one in the other.
    let takers = ["lockBtreeMutex takes", "btreeLockCarefully takes"];
    let of_tree = |one: &Value| one["why"].as_str().is_some_and(|why| takers.iter().any(|taker| why.contains(taker)));
    let locked = |one: &Value| one["kind"] == "c-lock" && of_tree(one);
    assert!(found["advice"].as_array().expect("advice").iter().any(locked), "{}", found["advice"]);
    let output = succeeds(command(User::Nobody).args(["report", "--slowest", "3"]).arg(&profile));
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.contains("\n3. ") && !text.contains("\n4. ") && text.contains("more (--slowest)"), "{text}");
    assert!(text.contains("GOMAXPROCS "), "{text}");
    let mut both = command(User::Nobody);
    let both = both.args(["report", "--slowest", "3", "--by", "site"]).arg(&profile).output().expect("cgoprof runs");
    assert_eq!(both.status.code(), Some(2), "{both:?}");
}
