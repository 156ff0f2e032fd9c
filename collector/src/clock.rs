//! Two clocks of one machine: the time stamp counter that the hooks read, and the kernel's.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::arch;
use crate::process::time_namespace;

/// CLOCK_MONOTONIC in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Monotonic(pub(crate) u64);

/// The clock that an engine's times are read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Timebase {
    /// The time stamp counter.
    Counter,
    /// The kernel's clock: a tick is a nanosecond.
    Kernel,
}

impl Timebase {
    /// Returns the current moment by this clock.
    pub(crate) fn now(self) -> Moment {
        self.of(Moment::now())
    }

    /// Converts a moment to this clock.
    pub(crate) fn of(self, moment: Moment) -> Moment {
        match self {
            Timebase::Counter => moment,
            // This clock stands still while the machine is suspended, and so do its ticks.
            Timebase::Kernel => Moment { ticks: moment.monotonic.0, suspended: 0, ..moment },
        }
    }
}

/// Readings of the clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    /// Time stamp counter, or the clock that an engine reads in its place.
    pub(crate) ticks: u64,
    /// The kernel's clock.
    pub(crate) monotonic: Monotonic,
    /// Nanoseconds for which the machine has been suspended, plus a constant. The kernel's clock stands still then. It
    /// is not known whether the counter does, or begins anew.
    pub(crate) suspended: i64,
}

/// The line through two moments, which relates ticks and the kernel's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    from: Moment,
    /// Ticks per nanosecond.
    pub(crate) ticks_per_ns: f64,
}

impl Monotonic {
    /// Reads the kernel's clock as records of perf have it, whatever the recorder's time namespace.
    pub(crate) fn now() -> Monotonic {
        let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map(std::time::Duration::from).unwrap_or_default();
        Monotonic((time.as_nanos() as u64).saturating_add_signed(-time_namespace::own().monotonic))
    }
}

impl Moment {
    /// Reads the clocks.
    pub(crate) fn now() -> Moment {
        /// Number of attempts, because others may run between the readings of one attempt.
        const READINGS: usize = 5;
        let reading = || {
            let (before, monotonic, after) = (ticks(), Monotonic::now(), ticks());
            (after.wrapping_sub(before), before, monotonic)
        };
        let closest = (0..READINGS).map(|_| reading()).min_by_key(|&(apart, ..)| apart);
        let (apart, before, monotonic) = closest.unwrap_or_else(reading);
        Moment { ticks: before + apart / 2, monotonic, suspended: suspended() }
    }
}

/// Returns how far the clock that runs while the machine is suspended is ahead of the one that does not, in the
/// recorder's own time namespace.
fn suspended() -> i64 {
    /// Number of attempts, because others may run between both readings, which makes the difference larger.
    const READINGS: usize = 5;
    let read = |clock| clock_gettime(clock).map(std::time::Duration::from).unwrap_or_default().as_nanos() as i64;
    let ahead = || {
        let monotonic = read(ClockId::CLOCK_MONOTONIC);
        read(ClockId::CLOCK_BOOTTIME) - monotonic
    };
    (0..READINGS).map(|_| ahead()).min().unwrap_or_default()
}

/// Minimum suspension in nanoseconds. Smaller differences come from reading two clocks.
const SHORTEST_SUSPENSION: i64 = 10_000_000;

impl Moment {
    /// Returns the nanoseconds for which the machine was suspended between two moments.
    pub(crate) fn suspended_until(self, later: Moment) -> u64 {
        let between = later.suspended - self.suspended;
        if between < SHORTEST_SUSPENSION { 0 } else { between as u64 }
    }
}

impl Rate {
    /// Returns the rate from an earlier moment and a later one, between which the machine was not suspended.
    pub(crate) fn between(from: Moment, to: Moment) -> Rate {
        let nanos = to.monotonic.0.saturating_sub(from.monotonic.0).max(1) as f64;
        Rate { from: to, ticks_per_ns: (to.ticks.saturating_sub(from.ticks).max(1)) as f64 / nanos }
    }

    /// Returns the counter at a time of the kernel's clock.
    pub(crate) fn ticks(&self, time: Monotonic) -> u64 {
        let since = (i128::from(time.0) - i128::from(self.from.monotonic.0)) as f64 * self.ticks_per_ns;
        (self.from.ticks as f64 + since).max(0.0) as u64
    }

    /// Returns the kernel's clock at a reading of the counter.
    pub(crate) fn monotonic(&self, ticks: u64) -> Monotonic {
        let since = (i128::from(ticks) - i128::from(self.from.ticks)) as f64 / self.ticks_per_ns;
        Monotonic((self.from.monotonic.0 as f64 + since).max(0.0) as u64)
    }
}

/// Returns the processor time of the calling thread.
pub(crate) fn own_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

/// Reads the processor's counter, which the hooks read too.
pub fn ticks() -> u64 {
    arch::ticks()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_goes_through_both_moments_and_on() {
        let moment = |ticks, nanos| Moment { ticks, monotonic: Monotonic(nanos), suspended: 7 };
        let rate = Rate::between(moment(1000, 50_000), moment(3000, 51_000));
        assert_eq!(rate.ticks_per_ns, 2.0);
        for (ticks, nanos) in [(3000, 51_000), (1000, 50_000), (5000, 52_000), (0, 49_500)] {
            assert_eq!(rate.monotonic(ticks), Monotonic(nanos), "{ticks}");
            assert_eq!(rate.ticks(Monotonic(nanos)), ticks, "{nanos}");
        }
    }

    /// A suspension once made all times hundreds of times too short, on a laptop that had slept for an hour.
    #[test]
    fn a_suspension_is_seen_where_the_counter_is_what_is_read() {
        let moment = |suspended| Moment { ticks: 0, monotonic: Monotonic(0), suspended };
        let (awake, later) = (moment(-5), moment(3_600_000_000_000));
        assert_eq!(awake.suspended_until(later), 3_600_000_000_005);
        assert_eq!(awake.suspended_until(moment(1000)), 0, "two clocks are not read at once");
        let kernel = |moment| Timebase::Kernel.of(moment);
        assert_eq!(kernel(awake).suspended_until(kernel(later)), 0);
    }

    #[test]
    fn the_clocks_of_this_machine_agree_over_a_while() {
        let start = Moment::now();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let rate = Rate::between(start, Moment::now());
        std::thread::sleep(std::time::Duration::from_millis(5));
        let later = Moment::now();
        let off = rate.monotonic(later.ticks).0.abs_diff(later.monotonic.0);
        assert!(off < 50_000, "{off} ns");
    }
}
