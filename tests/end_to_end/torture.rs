//! Everything at once: GC, stack growth, callbacks, panics, profiling signals, `runtime.Stack(all)`, dying threads.

use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{User, check_counts, record};

#[test]
fn counts_stay_exact_under_torture() {
    let seconds = std::env::var("CGOPROF_TORTURE_SECONDS").unwrap_or_else(|_| "3".into());
    for release in go::releases() {
        let program = go::build("crossings", Build::of(release));
        for timing in ["auto", "every"] {
            let recorded = record(User::Nobody, &["--timing", timing], &program, &["torture", &seconds]);
            check_counts(&format!("torture of Go {release}, timing {timing}"), &recorded);
        }
    }
}
