//! What the scheduler did to crossings, against programs that know it, as nobody.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{ONE_AT_A_TIME, function};
use cgoprof_testing::beside::repeating;
use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::recording::{Recorded, User, command, profile_path, record, report, succeeds};
use cgoprof_testing::tolerance::{Compared, Tolerance, check_close};

/// With the releases of which each has another scheduler, and the oldest.
fn each_release(check: impl Fn(&str, &Path)) {
    for release in go::corners() {
        check(release, &go::build("scheduler", Build::of(release)));
    }
}

fn scenario(program: &Path, name: &str) -> Recorded {
    record(User::Nobody, &["--engine", "trampoline"], program, &[name])
}

/// A time within 3 % of the program's own.
fn times(what: &str, found: impl Into<Value>, own: &Value) -> Compared {
    let found = found.into().as_f64().unwrap_or(f64::NAN);
    Compared::new(what, found, own.as_f64().expect("a number"), Tolerance::Relative(0.03))
}

fn sum(rows: &Value, field: &str) -> f64 {
    rows.as_array().expect("rows").iter().map(|row| row[field].as_f64().unwrap_or(0.0)).sum()
}

#[test]
fn sleepers_have_threads_made() {
    let _alone = ONE_AT_A_TIME.lock();
    each_release(|release, program| {
        let (Recorded { truth, report, .. }, woken) = beside_a_sleeper(|| scenario(program, "sleepers"));
        let totals = &report["totals"];
        assert_eq!(totals["max_threads_in_c"], truth["in_c"], "{release}");
        assert_eq!(report["peak"]["holders"][0]["function"], "sleep_here", "{release}");
        let made = report["threads_made"].as_array().expect("threads made");
        assert_eq!(Some(made.len() as u64), totals["threads_created"].as_u64(), "{release}: every thread is explained");
        assert!(made.iter().all(|made| made["tid"].is_u64()), "{release}: {made:?}");
        let because = |why: &str| made.iter().filter(|made| made["why"] == why).count();
        assert_eq!((because("template thread"), because("runtime's monitor")), (1, 1), "{release}: {made:?}");
        let for_sleepers = made.iter().filter(|made| made["holders"][0]["function"] == "sleep_here");
        assert!(for_sleepers.count() >= 4, "{release}: {made:?}");
        let timeline = &report["timeline"];
        assert!(timeline["crossings"].as_u64() >= truth["calls"]["sleep_here"].as_u64(), "{release}: {timeline}");
        let looks = report["recording"]["duration_ns"].as_u64().expect("duration") / 10_000_000;
        let counters = timeline["counters"].as_u64().expect("counters");
        let least = (looks as f64 * 0.6 * woken) as u64;
        assert!((least..=looks + 2).contains(&counters), "{release}: {counters} in {looks} times 10 ms, {woken}");
    });
}

/// Does something, and tells how often a thread that sleeps for 10 ms at a time is woken meanwhile, as a share of what it
/// asks for: a virtual machine's host lets idle processors wait.
fn beside_a_sleeper<T>(what: impl FnOnce() -> T) -> (T, f64) {
    const NAP: Duration = Duration::from_millis(10);
    let (start, mut times, mut elapsed) = (Instant::now(), 0, Duration::ZERO);
    let nap = || {
        std::thread::sleep(NAP);
        times += 1;
        elapsed = start.elapsed();
    };
    let result = repeating(nap, what);
    (result, (f64::from(times) * NAP.as_secs_f64() / elapsed.as_secs_f64()).min(1.0))
}

#[test]
fn exits_wait_for_a_p_as_long_as_the_program_says() {
    let _alone = ONE_AT_A_TIME.lock();
    each_release(|release, program| {
        check_close(|| {
            let Recorded { truth, report, .. } = scenario(program, "busy");
            let sleep = function(&report, "sleep_for");
            let (parked, lost) = (sleep["parked"].as_u64().expect("parked"), sleep["p_lost"].as_u64().expect("lost"));
            let long = truth["long_waits"].as_u64().expect("long waits");
            let calls = truth["calls"]["sleep_for"].as_u64().expect("calls");
            let ordered = 0 < long && long <= parked && parked <= lost && lost <= calls;
            assert!(ordered, "{release}: {lost} of {calls} lost, {parked} parked, {long} for long");
            assert_eq!(sum(&report["sites"], "p_lost"), report["totals"]["p_lost"].as_f64().unwrap(), "{release}");
            vec![times(release, sleep["p_wait_ns"].clone(), &truth["wait_ns"])]
        })
    });
}

#[test]
fn goroutines_and_threads_are_told_apart() {
    let _alone = ONE_AT_A_TIME.lock();
    each_release(|release, program| {
        for name in ["workers", "ping-pong", "lock-moves"] {
            let what = format!("{release} {name}");
            let Recorded { truth, report, .. } = scenario(program, name);
            check_visits(&what, &truth, &report);
        }
    });
}

/// Crossings that tell which thread they are on, by thread and goroutine.
fn check_visits(what: &str, truth: &Value, report: &Value) {
    let thread_id = function(report, "thread_id");
    assert_eq!(thread_id["calls"], truth["calls"]["thread_id"], "{what}");
    assert_eq!(thread_id["threads"], truth["threads"]["thread_id"], "{what}");
    let locked = truth["locked"].get("thread_id").map_or(0, |locked| locked.as_u64().unwrap());
    assert_eq!(thread_id["locked_calls"], locked, "{what}");
    // On the first thread the program is asked what time it is, and the runtime says that it has begun.
    let first = report["target"]["pid"].as_u64().expect("pid");
    for thread in report["threads"].as_array().expect("threads") {
        let tid = thread["tid"].as_u64().expect("tid");
        let told = truth["by_thread"].get(tid.to_string()).map_or(0, |calls| calls.as_u64().unwrap());
        let others = if tid == first { 2 } else { 0 };
        assert_eq!(thread["crossings"], told + others, "{what}: thread {tid}");
    }
    let of =
        |goroutine: &Value| ["calls", "threads", "migrations"].map(|field| goroutine[field].as_u64().expect("a count"));
    let mut known: Vec<_> = truth["goroutines"].as_array().expect("goroutines").iter().map(of).collect();
    let all = report["goroutines"].as_array().expect("goroutines");
    let visit = |goroutine: &&Value| goroutine["calls"].as_u64() > Some(100);
    let mut found: Vec<_> = all.iter().filter(visit).map(of).collect();
    known.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, known, "{what}");
    let migrations: u64 = known.iter().map(|[_, _, migrations]| migrations).sum();
    assert_eq!(thread_id["migrations"], migrations, "{what}");
    let all = sum(&report["goroutines"], "migrations");
    assert_eq!(report["totals"]["migrations"].as_f64(), Some(all), "{what}");
}

#[test]
fn probes_follow_goroutines_and_threads_as_hooks_do() {
    let _alone = ONE_AT_A_TIME.lock();
    for release in ["1.21.13", "1.27.3"] {
        let program = go::build("scheduler", Build::of(release));
        for name in ["workers", "ping-pong", "sleepers"] {
            let what = format!("{release} {name}");
            let Recorded { truth, report, .. } = record(User::Root, &["--engine", "uprobe"], &program, &[name]);
            if name == "sleepers" {
                let totals = &report["totals"];
                assert_eq!(
                    (&totals["max_threads_in_c"], &report["peak"]["exact"]),
                    (&truth["in_c"], &true.into()),
                    "{what}"
                );
                assert_eq!((&totals["p_lost"], &report["locks"]), (&Value::Null, &Value::Null), "{what}: not seen");
                let made = report["threads_made"].as_array().expect("threads made");
                let for_sleepers = made.iter().filter(|made| made["holders"][0]["function"] == "sleep_here");
                assert!(for_sleepers.count() >= 4, "{what}: {made:?}");
            } else {
                check_visits(&what, &truth, &report);
            }
        }
    }
}

#[test]
fn more_goroutines_than_are_kept_are_all_counted() {
    let _alone = ONE_AT_A_TIME.lock();
    let Recorded { truth, report, .. } = scenario(&go::build("scheduler", Build::newest()), "many");
    let forgotten = &report["goroutines_forgotten"];
    assert!(forgotten["goroutines"].as_u64() > Some(10_000), "{forgotten}");
    let kept = sum(&report["goroutines"], "calls");
    let all = kept + forgotten["calls"].as_f64().unwrap();
    assert_eq!(Some(all), truth["num_cgo_call"].as_f64());
    let migrations = sum(&report["goroutines"], "migrations") + forgotten["migrations"].as_f64().unwrap();
    assert_eq!(Some(migrations), report["totals"]["migrations"].as_f64());
}

#[test]
fn locks_are_held_and_threads_idle_for_them_as_the_program_says() {
    let _alone = ONE_AT_A_TIME.lock();
    each_release(|release, program| {
        check_close(|| {
            let Recorded { truth, report, .. } = scenario(program, "locks");
            let locks = &report["locks"];
            assert_eq!(Some(sum(locks, "locks")), truth["locks"].as_f64(), "{release}");
            assert_eq!(Some(sum(locks, "held")), truth["still_held"].as_f64(), "{release}");
            let lasting = report["locks_held"].as_array().expect("locks held");
            assert_eq!(lasting.len(), 1, "{release}: {lasting:?}");
            assert_eq!(lasting[0]["function"], "main.locks.func2", "{release}: {lasting:?}");
            let line = |lock: &Value| lock["frames"][0]["name"].as_str().expect("a name").to_owned();
            let mut places: Vec<_> = locks.as_array().unwrap().iter().map(line).collect();
            places.sort();
            assert_eq!(places, ["main.locks.func1", "main.locks.func2"], "{release}");
            assert_eq!(function(&report, "sleep_here")["locked_calls"], truth["calls"]["sleep_here"], "{release}");
            let threads = &report["threads"];
            vec![
                times(&format!("{release}: held"), sum(locks, "held_ns"), &truth["held_ns"]),
                times(&format!("{release}: idle"), sum(locks, "idle_ns"), &truth["idle_ns"]),
                times(&format!("{release}: held by threads"), sum(threads, "locked_ns"), &truth["held_ns"]),
                times(&format!("{release}: threads idle"), sum(threads, "locked_idle_ns"), &truth["idle_ns"]),
            ]
        })
    });
}

#[test]
fn goroutines_that_end_locked_hold_nothing_any_more() {
    let _alone = ONE_AT_A_TIME.lock();
    let Recorded { truth, report, .. } = scenario(&go::build("scheduler", Build::newest()), "ended");
    let locks = &report["locks"];
    assert_eq!(Some(sum(locks, "locks")), truth["locks"].as_f64());
    assert_eq!(Some(sum(locks, "held")), truth["still_held"].as_f64(), "{locks}");
    // Each slept a millisecond, and its thread ended.
    let ended = locks.as_array().unwrap().iter().find(|lock| lock["held"] == 0).expect("those that ended");
    let held = ended["held_ns"].as_f64().unwrap() / ended["locks"].as_f64().unwrap();
    assert!((1e6..50e6).contains(&held), "{held} ns each");
}

#[test]
fn callbacks_by_function_with_their_phases() {
    let _alone = ONE_AT_A_TIME.lock();
    each_release(|release, program| {
        check_close(|| {
            let Recorded { truth, report, .. } = scenario(program, "nested");
            let callbacks = report["callbacks"].as_array().expect("callbacks");
            assert_eq!(callbacks.len(), 1, "{release}: {callbacks:?}");
            let callback = &callbacks[0];
            assert_eq!(
                (&callback["name"], &callback["within"]),
                (&"main.goVisit".into(), &"visit".into()),
                "{release}"
            );
            assert_eq!(callback["calls"], truth["callbacks"]["goVisit"], "{release}");
            let phases: f64 =
                ["acquire_ns", "go_ns", "release_ns"].iter().map(|phase| callback[phase].as_f64().unwrap()).sum();
            assert!((phases - callback["total_ns"].as_f64().unwrap()).abs() < 1.0, "{release}: {callback}");
            vec![
                times(&format!("{release}: in Go"), callback["go_ns"].clone(), &truth["go_ns"]),
                times(
                    &format!("{release}: C's own"),
                    function(&report, "visit")["c_self_ns"].clone(),
                    &truth["self_ns"],
                ),
            ]
        })
    });
}

#[test]
fn foreign_threads_and_panics_in_callbacks() {
    let _alone = ONE_AT_A_TIME.lock();
    each_release(|release, program| {
        check_close(|| {
            let Recorded { truth, report, .. } = scenario(program, "foreign");
            let callback = &report["callbacks"][0];
            assert_eq!((&callback["name"], &callback["within"]), (&"main.goWork".into(), &Value::Null), "{release}");
            assert_eq!(callback["calls"], truth["callbacks"]["goWork"], "{release}");
            assert_eq!(callback["foreign_threads"], truth["foreign_threads"], "{release}");
            // Before Go 1.21 each call has to get an M, later the first of each thread.
            let first = if release == "1.19" { &callback["calls"] } else { &truth["foreign_threads"] };
            assert_eq!(&callback["attached"], first, "{release}");
            assert!(callback["attach_ns"].as_f64() > Some(0.0), "{release}: {callback}");
            vec![times(release, callback["go_ns"].clone(), &truth["go_ns"])]
        });

        let Recorded { truth, report, .. } = scenario(program, "panics");
        let callback = &report["callbacks"][0];
        assert_eq!((&callback["calls"], &callback["abandoned"]), (&truth["callbacks"]["goVisit"], &truth["panics"]));
        assert_eq!(report["totals"]["abandoned"], truth["panics"], "{release}");
    });
}

#[test]
fn ps_lost_and_waits_are_those_of_gos_own_execution_trace() {
    let _alone = ONE_AT_A_TIME.lock();
    let reader = go::build("exectrace", Build::of("1.26.6"));
    each_release(|release, program| {
        let both = |name: &str, crossing: &str| {
            let profile = profile_path(User::Nobody);
            let trace = profile.with_extension("trace");
            let mut recording = command(User::Nobody);
            recording.args(["record", "-q", "-o"]).arg(&profile).arg("--").arg(program).arg(name).env("TRACE", &trace);
            succeeds(&mut recording);
            let told: Value =
                serde_json::from_slice(&succeeds(Command::new(&reader).arg(&trace)).stdout).expect("JSON");
            let report = report(&profile);
            let found = function(&report, crossing);
            assert_eq!(found["p_lost"], told["p_lost"], "{release} {name}");
            assert!(told["p_lost"].as_u64() > Some(20), "{release} {name}: {told}");
            assert_eq!(found["calls"], told["crossings"], "{release} {name}");
            times(release, found["p_wait_ns"].clone(), &told["wait_ns"])
        };
        // Whether each sleeper loses its P is the runtime's to say: up to Go 1.25 it leaves one of 24 its own now and then.
        both("sleepers", "sleep_here");
        check_close(|| vec![both("busy", "sleep_for")]);
    });
}

/// Kind, C function and who calls it.
type Advised = (&'static str, &'static str, &'static str);

/// What is advised for each scenario of the program.
const ADVICE: [(&str, &[Advised]); 14] = [
    ("healthy", &[]),
    ("event-loop", &[]),
    ("chatty", &[("chatty", "add", "main.chatty")]),
    ("p-lost", &[("p-lost", "sleep_ms", "main.lostP.func2")]),
    ("thread-growth", &[("thread-growth", "sleep_ms", "main.threadGrowth.func1")]),
    ("wandering", &[("wandering", "glFlush", "main.wandering.func1")]),
    ("unfreed", &[("unfreed", "malloc", "main.unfreed")]),
    ("dns", &[("dns", "getaddrinfo", "net._C_getaddrinfo")]),
    ("callbacks", &[("callbacks", "each", "main.callbacks")]),
    ("noescape", &[("noescape", "sum", "main.noescape")]),
    ("no-pointer", &[("chatty", "mix", "main.noPointer")]),
    // Which line's strings are left is not known.
    ("leaks", &[("unfreed", "malloc", "")]),
    // It sets an error right after it has asked for the one before, on the same thread.
    ("last-error", &[("wandering", "last_error", "main.lastError.func1")]),
    ("init", &[("init", "setup", "main.init.0")]),
];

#[test]
fn each_kind_of_advice_is_given_to_its_program_and_none_to_the_healthy_one() {
    let _alone = ONE_AT_A_TIME.lock();
    for release in ["1.21.13", "1.25.5", "1.26.6", "1.27.3"] {
        let program = go::build("advice", Build::of(release));
        for (scenario, expected) in ADVICE {
            let record = || {
                let profile = profile_path(User::Nobody);
                let mut recording = command(User::Nobody);
                recording.args(["record", "-q", "-o"]).arg(&profile).arg("--").arg(&program).arg(scenario);
                // A lookup is C's where Go's own resolver is told to keep out of it.
                succeeds(recording.env("GODEBUG", "netdns=cgo").current_dir(shared_dir()));
                let report = report(&profile);
                (profile, report)
            };
            // What is within two of its stated errors is not known, and no advice: a preemption or a stolen millisecond can do that.
            let is_known = |(_, report): &(_, Value)| {
                let known = |name: &str| {
                    let number = |field: &str| function(report, name)[field].as_f64().expect("a number");
                    let border = number("overhead_ns") - number("p_wait_ns");
                    // One stolen millisecond in a timed crossing counts for all that were not timed: C's error is larger then.
                    let in_c_at_most = number("c_self_ns") - number("preempted_ns") + 2.0 * number("c_se_ns");
                    let in_c_at_least = in_c_at_most - 4.0 * number("c_se_ns");
                    let tells_which_is_longer = in_c_at_most < border || in_c_at_least > border;
                    border > 2.0 * number("overhead_se_ns") && tells_which_is_longer
                };
                expected.iter().filter(|(kind, ..)| *kind == "chatty").all(|(_, name, _)| known(name))
            };
            let recorded = (0..5).map(|_| record()).find(is_known);
            let (profile, report) =
                recorded.unwrap_or_else(|| panic!("{release} {scenario}: too large errors in 5 recordings"));
            let advice = report["advice"].as_array().expect("advice");
            let mut found: Vec<_> = advice
                .iter()
                .map(|one| {
                    let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
                    // Lookups are made by a closure whose number is the compiler's.
                    let caller = text("caller");
                    let caller = if scenario == "dns" { caller.trim_end_matches(".func1").to_owned() } else { caller };
                    (text("kind"), text("function"), caller)
                })
                .collect();
            found.sort();
            // cmd/cgo knows noescape from Go 1.24 on.
            let known = !(scenario == "noescape" && release == "1.21.13");
            let expected = expected.iter().filter(|_| known);
            let expected: Vec<_> = expected
                .map(|&(kind, function, caller)| (kind.to_owned(), function.to_owned(), caller.to_owned()))
                .collect();
            assert_eq!(found, expected, "{release} {scenario}: {advice:?}");
            for by in ["thread", "goroutine", "callback", "advice"] {
                succeeds(command(User::Root).args(["report", "--by", by]).arg(&profile));
            }
        }
    }
}
