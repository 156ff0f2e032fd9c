//! Times against the C side's own clock. One test after another: a busy machine measures itself.

mod blocked_in;
mod difference;
mod scheduling;
mod waiting;

use std::sync::Mutex;

use serde_json::Value;

use cgoprof_testing::go::{self, Build};
use cgoprof_testing::host::{on_a_steady_machine, undisturbed};
use cgoprof_testing::recording::{Recorded, User, record};
use cgoprof_testing::tolerance::{Compared, Tolerance, check_close};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn crossings(options: &[&str], args: &[&str]) -> Recorded {
    record(User::Nobody, options, &go::build("crossings", Build::of("1.26.6")), args)
}

fn function<'a>(report: &'a Value, name: &str) -> &'a Value {
    let functions = report["functions"].as_array().expect("functions");
    functions.iter().find(|function| function["name"] == name).expect("the function")
}

/// The C time of a function, and what its own clock says.
fn c_time(recorded: &Recorded, name: &str) -> (f64, f64) {
    let found = function(&recorded.report, name)["c_ns"].as_f64().expect("C time");
    (found, recorded.truth["spent_ns"][name].as_f64().expect("its own clock"))
}

/// Both without the time for which the function was preempted: sums of sampled crossings leave out preemptions, but for those
/// that `preempted_ns` states (docs/guide.md).
fn c_time_without_preemptions(recorded: &Recorded, name: &str) -> (f64, f64) {
    let preempted = function(&recorded.report, name)["preempted_ns"].as_f64().expect("preempted time");
    let held = recorded.truth["held_ns"][name].as_f64().expect("its own clock");
    let (found, own) = c_time(recorded, name);
    (found - preempted, own - held)
}

#[test]
fn one_and_a_hundred_microseconds_are_right_within_3_percent() {
    let _alone = ONE_AT_A_TIME.lock();
    for timing in ["auto", "every"] {
        check_close(|| {
            let recorded = crossings(&["--timing", timing], &["durations", "10000"]);
            let compare = |name: &str| {
                let (found, own) = c_time(&recorded, name);
                // The function's own clock does not see half of each of its two readings, the call and the return: of a
                // microsecond as much more, and of what holds that up.
                let own = if name == "spin_short" { own * (1.0 + clock_gettime_nanos() / 1000.0) } else { own };
                Compared::new(format!("{name}, timing {timing}"), found, own, Tolerance::Relative(0.03))
            };
            ["spin_short", "spin", "pause_for"].map(compare).into()
        });
    }
}

#[test]
fn an_empty_function_takes_less_than_5_nanoseconds() {
    let _alone = ONE_AT_A_TIME.lock();
    for timing in ["auto", "every"] {
        let recorded = crossings(&["--timing", timing], &["hot", "3000000"]);
        let median = function(&recorded.report, "nop")["c"]["p50_ns"].as_f64().expect("a median");
        assert!(median < 5.0, "timing {timing}: median {median} ns");
    }
}

/// Preemptions end crossings whose begin is not timed. When the recorder is held up too, its clock is coarse, and three
/// nanoseconds a call were C's work that was none.
#[test]
fn an_empty_function_beside_busy_processes_has_preemptions_and_no_work() {
    let _alone = ONE_AT_A_TIME.lock();
    on_a_steady_machine(|| {
        const CALLS: u32 = 3_000_000;
        const RUNS: usize = 21;
        let _busy = [(); 2].map(|()| Busy::start());
        let work: Vec<[f64; 2]> = (0..RUNS)
            .map(|_| {
                let recorded = crossings(&[], &["hot", &CALLS.to_string()]);
                let number = |field: &str| function(&recorded.report, "nop")[field].as_f64().expect("a number");
                [number("c_ns") - number("preempted_ns"), number("c_se_ns")].map(|nanos| nanos / f64::from(CALLS))
            })
            .collect();
        // Before, all had more than three. One recording in five has an error of a nanosecond, of which it tells, and where the
        // recorder is held up for seconds most made then: so each counts by the error that it states.
        let right: Vec<_> = work.iter().filter(|[work, error]| *work < 1.0 + 2.0 * error).collect();
        assert!(right.len() >= RUNS - 3, "ns of work each, and its error: {work:?}");
        // As much as a third of the runs tell with half a nanosecond each. One that is better does not make up for the others.
        let weight = |error: f64| error.max(0.5).powi(-2);
        let told: f64 = right.iter().map(|[_, error]| weight(*error)).sum();
        assert!(
            told >= RUNS as f64 / 3.0 * weight(0.5),
            "the runs tell too little; ns of work each, and its error: {work:?}"
        );
    });
}

/// The tail's own clock does not see the empty calls, nor what holds them up, which is some percent of it. Recordings
/// that time every crossing see that, and have no error of estimation: made in turns, they tell how much it is.
///
/// With as many crossings timed as an error of 1 % asks for; with fewer, as `--max-overhead` has it, the stated error must hold.
#[test]
fn a_heavy_tail_is_right_within_5_percent_or_its_stated_error() {
    let _alone = ONE_AT_A_TIME.lock();
    on_a_steady_machine(|| {
        const RUNS: usize = 11;
        const CALLS: u32 = 2_000_000;
        // What a reading of the clock takes is known to some 3 ns (docs/guide.md): a disturbed calibration takes that off.
        let unsure = 3.0 * f64::from(CALLS);
        let run = |options: &[&str]| {
            let recorded = undisturbed(|| crossings(options, &["tail", &CALLS.to_string()]));
            let (all_found, all_own) = c_time(&recorded, "tail");
            let (found, own) = c_time_without_preemptions(&recorded, "tail");
            assert!(!options.contains(&"every") || found >= own - unsure, "{found} around {own}");
            let error = function(&recorded.report, "tail")["c_se_ns"].as_f64().expect("an error");
            let timed = function(&recorded.report, "tail")["timed"].as_f64().expect("a number");
            [found / own, error / own, timed, all_found / all_own]
        };
        let runs = (0..RUNS).map(|_| {
            let often = run(&["--max-overhead", "100"]);
            (often, (run(&["--timing", "every"]), run(&[])))
        });
        let (estimated, (exact, usual)): (Vec<_>, (Vec<_>, Vec<_>)) = runs.unzip();
        let middle =
            |runs: &[[f64; 4]], of: usize| median_and_spread(&runs.iter().map(|run| run[of]).collect::<Vec<_>>()).0;
        let apart = middle(&estimated, 0) - middle(&exact, 0);
        assert!(apart.abs() < 0.05, "{estimated:?} {exact:?}");
        // Where every crossing is timed nothing is left out, nor is anything taken off the tail's own clock: what a preemption takes is
        // longer there than between the kernel's two switches, on a virtual machine by some 20 us.
        let share = middle(&exact, 3);
        assert!((0.95..1.05).contains(&share), "{share} of the tail's own clock: {exact:?}");
        let holds = |run: &&[f64; 4]| (run[0] - middle(&exact, 0)).abs() <= 2.0 * run[1].max(0.01);
        let within = usual.iter().filter(holds).count();
        // Of errors that hold, 19 of 20 runs are within two: fewer than 8 of 11 are in 1 of 640 tests. Of errors that are half as large as
        // they should be, two of three runs are, and 8 of 11 in half of the tests.
        assert!(within >= 8, "{within} of {RUNS} runs within two standard errors: {usual:?}");
        // One call in 2,000 makes nearly all of the sum: of so many timed at random, its error is sqrt(1999 / timed). Timed crossings stand for
        // unequal numbers of others, and the policy adapts to what it sees: three times that at most. How many are timed depends on
        // what a clock reading costs.
        let of_so_many = 3.0 * (1999.0 / middle(&usual, 2)).sqrt();
        let most = of_so_many.max(0.25);
        assert!(middle(&usual, 1) < most, "an error that says something, less than {most}: {usual:?}");
    });
}

/// The stated standard error against the real one: how far the estimates of many runs lie from what the
/// function's own clock says, beside a constant that the clock can't see (its own reading, call and return).
///
/// What happens between the two clocks is in one of them only. How much that is shows in runs that time every crossing,
/// made in turns with the others: those have no error of estimation.
#[test]
fn stated_standard_errors_hold() {
    let _alone = ONE_AT_A_TIME.lock();
    on_a_steady_machine(|| {
        const RUNS: usize = 50;
        let run = |timing: &str| {
            let recorded = crossings(&["--timing", timing], &["mixed", "400000"]);
            let mixed = function(&recorded.report, "mixed");
            let number = |field: &str| mixed[field].as_f64().expect("a number");
            let (found, own) = c_time_without_preemptions(&recorded, "mixed");
            let (all_found, all_own) = c_time(&recorded, "mixed");
            let each = |nanos: f64| nanos / number("calls");
            (each(found - own), each(number("c_se_ns")), each(all_found - all_own))
        };
        let (estimated, exact): (Vec<_>, Vec<_>) = (0..RUNS).map(|_| (run("auto"), run("every"))).unzip();
        let with_preemptions: Vec<f64> = exact.iter().map(|&(.., all)| all).collect();
        let (unseen, _) = median_and_spread(&with_preemptions);
        let exact: Vec<f64> = exact.iter().map(|&(difference, ..)| difference).collect();
        let (usual, _) = median_and_spread(&exact);
        // Two standard deviations if it is normal, and what they stand for if it is not: 95 of 100 are not further off.
        let mut apart: Vec<f64> = exact.iter().map(|difference| (difference - usual).abs()).collect();
        apart.sort_by(f64::total_cmp);
        let disturbance = apart[RUNS * 95 / 100] / 2.0;
        assert!((0.0..2.0 * clock_gettime_nanos() + 20.0).contains(&unseen), "{unseen} ns beside the function's clock");
        let errors: Vec<f64> = estimated.iter().map(|&(_, error, _)| error).collect();
        assert!(errors.iter().filter(|&&error| error > 0.0).count() > RUNS / 2, "sums were estimated: {errors:?}");
        assert!(median_and_spread(&errors).0 < 20.0, "the errors say something: {errors:?}");
        let (center, _) = median_and_spread(&estimated.iter().map(|&(difference, ..)| difference).collect::<Vec<_>>());
        let allowed = |error: f64| 2.0 * error.hypot(disturbance);
        let within =
            estimated.iter().filter(|&&(difference, error, _)| (difference - center).abs() <= allowed(error)).count();
        // Of errors that hold, 95 of 100 runs are within two: fewer than 44 of 50 are in 1 of 85 tests. Of errors that are half as large as
        // they should be, 44 of 50 are in 1 of 900.
        assert!(
            within * 100 >= RUNS * 88,
            "{within} of {RUNS} runs within two standard errors; {disturbance} {estimated:?}"
        );
    });
}

/// A process that spins.
struct Busy(std::process::Child);

impl Busy {
    fn start() -> Busy {
        Busy(std::process::Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell"))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The median, and what would be the standard deviation of normal values with these quartiles.
fn median_and_spread(values: &[f64]) -> (f64, f64) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let quarter = sorted.len() / 4;
    let spread = (sorted[sorted.len() - 1 - quarter] - sorted[quarter]) / 1.349;
    (sorted[sorted.len() / 2], spread)
}

/// What a reading of the clock takes, where the machine holds nobody up meanwhile.
fn clock_gettime_nanos() -> f64 {
    const READINGS: u32 = 100;
    let batch = || {
        let start = std::time::Instant::now();
        for _ in 0..READINGS {
            std::hint::black_box(std::time::Instant::now());
        }
        start.elapsed().as_nanos() as f64 / f64::from(READINGS)
    };
    median_and_spread(&std::array::from_fn::<f64, 100, _>(|_| batch())).0
}
