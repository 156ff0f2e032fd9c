//! When threads ran in C and when they waited, against a program that knows it.

use crate::ONE_AT_A_TIME;
use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{Recorded, User, check_counts, record};
use cgoprof_testing::tolerance::{Compared, Tolerance, check_close};

/// What the program does in C, and whether most of that is running.
const KINDS: [(&str, bool); 4] = [("nap", false), ("spin", true), ("wait_locked", false), ("hold", true)];

/// Share of a time that it may be off.
const CLOSE: f64 = 0.03;
/// What the kernel may take to bring a waiting thread back, which is in our waits and in the thread's processor time: 40
/// us, where 12 to 22 were measured.
const BROUGHT_BACK: Tolerance = Tolerance::Absolute(40_000.0);

fn check(user: User, options: &[&str], release: &'static str) {
    let program = go::build("waiting", Build::of(release));
    check_close(|| {
        let recorded = record(user, options, &program, &["300"]);
        check_counts(&format!("waiting of {release}"), &recorded);
        let Recorded { truth, report, .. } = recorded;
        let compare = |(name, runs): (&str, bool)| {
            let found = |field: &str| crate::function(&report, name)[field].as_f64().expect("a number");
            let clock = |which: &str| truth[which][name].as_f64().expect("a clock");
            let what = format!("{name} of {release} as {user:?}");
            let (wall, cpu) = (clock("wall_ns"), clock("cpu_ns"));
            let (off, own) = (found("blocked_ns") + found("preempted_ns"), wall - cpu);
            let close_to = |of: f64| Tolerance::Absolute(CLOSE * of);
            let each = (found("blocked_ns") + found("preempted_ns") - own) / found("calls");
            [
                Compared::new(format!("{what}: in C"), found("c_ns"), wall, close_to(wall)),
                Compared::new(format!("{what}: a wait"), each.max(0.0), 0.0, BROUGHT_BACK),
                Compared::new(format!("{what}: off the processor"), off, own, close_to(if runs { wall } else { own })),
                Compared::new(format!("{what}: cpu_ns"), found("cpu_ns"), cpu, close_to(if runs { cpu } else { wall })),
            ]
        };
        assert!(options.contains(&"uprobe") || report["recording"]["lost"]["events"] == 0);
        KINDS.into_iter().flat_map(compare).collect()
    });
}

#[test]
fn blocked_and_processor_time_are_those_of_the_programs_own_clocks() {
    let _alone = ONE_AT_A_TIME.lock();
    for release in ["1.19", "1.26.6"].into_iter().filter(|&release| go::is_covered(release)) {
        for user in [User::Nobody, User::Root] {
            check(user, &[], release);
        }
    }
}

#[test]
fn uprobes_know_when_c_blocks() {
    let _alone = ONE_AT_A_TIME.lock();
    check(User::Root, &["--engine", "uprobe"], "1.27.3");
}
