//! Why single crossings were slow, of sqlite: one goroutine writes rows to a file, others read through the same cache.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{User, command, profile_path, record, report, succeeds};

/// Records the program, and returns the profile.
fn recorded(user: User, options: &[&str]) -> PathBuf {
    let program = go::build("sqlite", Build::newest());
    let file = profile_path(user).with_extension("db");
    let profile = profile_path(user);
    let mut recorded: Command = command(user);
    recorded.env("SQLITE_FILE", &file).args(["record", "-q", "-o"]).arg(&profile).args(options).arg("--").arg(&program);
    succeeds(&mut recorded);
    profile
}

/// It once explained a tenth of their time, because looks find few of the many short waits of each.
#[test]
fn slow_crossings_of_sqlite_are_explained_entirely_where_every_wait_is_seen() {
    let found = report(&recorded(User::Root, &["--waits", "every"]));
    let recording = &found["recording"];
    let share =
        recording["every_wait_ns"].as_f64().expect("a time") / recording["duration_ns"].as_f64().expect("a time");
    assert!(share > 0.99, "{share}");
    let (mut blocked, mut explained) = (0, 0);
    for row in found["slowest"].as_array().expect("rows") {
        for part in row["blocked_in"].as_array().expect("parts") {
            let nanos = part["blocked_ns"].as_u64().expect("a time");
            blocked += nanos;
            explained += if part["waits_in"].is_null() { 0 } else { nanos };
        }
    }
    assert!(blocked > 0 && explained * 100 >= blocked * 99, "{explained} of {blocked}");
    // A function of a cgo comment is inlined in cgo's wrapper. It once had lines without a file.
    let functions = found["c_functions"].as_array().expect("rows");
    let step = functions.iter().find(|row| row["name"] == "_sqlite3_step_internal").expect("a row");
    assert!(step["file"].as_str().is_some_and(|file| file.ends_with("/sqlite3.go")), "{step}");
}

#[test]
fn slow_crossings_of_sqlite_are_explained_by_its_mutex() {
    let profile = recorded(User::Nobody, &["--waits", "every"]);
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
    let notes = found["recording"]["notes"].as_array().expect("notes");
    let not_every = |note: &&Value| note.as_str().is_some_and(|note| note.starts_with("not every wait is seen"));
    assert_eq!(notes.iter().filter(not_every).count(), 1, "{notes:?}");
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

/// Threads that wait when the recorder comes have no sample of that.
#[test]
fn waits_of_a_program_that_is_joined_are_explained_too() {
    let folder = std::env::temp_dir();
    let mut program = Command::new(go::build("blocks", Build::of("1.27.3")));
    let mut program = program.arg("6").arg(&folder).stdout(Stdio::null()).spawn().expect("it runs");
    std::thread::sleep(Duration::from_secs(1));
    let profile = profile_path(User::Root);
    let pid = program.id().to_string();
    succeeds(
        command(User::Root)
            .args(["record", "-q", "--waits", "every", "--duration", "3s", "-p", &pid, "-o"])
            .arg(&profile),
    );
    program.wait().expect("it ends");
    let found = report(&profile);
    let rows: Vec<&Value> = found["blocked"].as_array().expect("rows").iter().collect();
    let nanos = |row: &&Value| row["blocked_ns"].as_f64().expect("a time");
    let all: f64 = rows.iter().map(nanos).sum();
    let unknown: f64 = rows.iter().filter(|row| row["waits_in"].is_null()).map(nanos).sum();
    assert!(all > 1e9 && unknown < all * 0.01, "{unknown} of {all}");
}

/// A sample of each of so many switches would cost too much.
#[test]
fn threads_that_switch_often_are_looked_at() {
    let profile = profile_path(User::Root);
    let program = go::build("manythreads", Build::of("1.27.3"));
    let record = ["record", "-q", "--duration", "4s", "-o"];
    let mut recorded = command(User::Root);
    succeeds(recorded.args(record).arg(&profile).arg("--").arg(program).args(["napping", "200"]));
    let found = report(&profile);
    let number = |field: &str| found["recording"][field].as_f64().expect("a number");
    let seen = number("every_wait_ns") / number("duration_ns");
    // It sees every wait until it has seen how many there are.
    assert!(seen > 0.0 && seen < 0.5, "{seen}");
    assert!(number("looks_cost_ns") > 0.0);
}

/// Each request of the program sleeps for a time that its label tells.
fn labels_are_those_of_the_request(release: &'static str) {
    let program = go::build("scheduler", Build::of(release));
    for user in [User::Root, User::Nobody] {
        let recorded = record(user, &[], &program, &["labels"]);
        let slowest = recorded.report["slowest"].as_array().expect("rows");
        let requests: Vec<&Value> = slowest.iter().filter(|row| row["c_ns"].as_f64() > Some(20e6)).collect();
        assert_eq!(requests.len(), 16, "Go {release}");
        let mut unread = 0;
        for row in requests {
            let labels = row["labels"].as_object().expect("labels");
            if labels.is_empty() {
                unread += 1;
                continue;
            }
            let slept = labels["milliseconds"].as_str().expect("a label").parse::<f64>().expect("a number");
            let took = row["c_ns"].as_f64().expect("a time") / 1e6;
            assert!((took - slept).abs() < 9.0, "Go {release}: {took} ms, labels {labels:?}");
            assert_eq!((&labels["path"], &labels["part"], labels.len()), (&"/sleep".into(), &"inner".into(), 3));
        }
        // Looks rest after one that took long, as on a machine that is busy with other tests.
        assert!(unread <= 2, "Go {release}: {unread}");
        let others = slowest.iter().filter(|row| row["c_ns"].as_f64() < Some(20e6));
        assert!(others.clone().count() >= 16 && others.into_iter().all(|row| row["labels"] == serde_json::json!({})));
    }
}

mod labels_of_pprof_do_are_on_slow_crossings {
    cgoprof_testing::each_release!(super::labels_are_those_of_the_request);
}

#[test]
fn labels_are_in_every_view_of_single_crossings() {
    let program = go::build("scheduler", Build::newest());
    let recorded = record(User::Root, &[], &program, &["labels"]);
    let shown = |arguments: &[&str]| {
        let output = succeeds(command(User::Root).args(arguments).arg(&recorded.profile));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let expected = "milliseconds=340, part=inner, path=/sleep";
    for arguments in
        [&["report", "--slowest", "50"][..], &["export", "--format", "firefox"], &["export", "--format", "html"]]
    {
        assert!(shown(arguments).contains(expected), "{arguments:?}");
    }
    let trace = recorded.profile.with_extension("pftrace");
    succeeds(command(User::Root).args(["export", "--format", "perfetto", "-o"]).args([&trace, &recorded.profile]));
    let trace = std::fs::read(trace).expect("the trace");
    assert!(trace.windows(expected.len()).any(|window| window == expected.as_bytes()));
}
