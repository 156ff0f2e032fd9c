//! Time for which a program stood still for the recorder.

use std::fmt;
use std::time::Duration;

/// Longest times for which a program stood still.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pause {
    /// Time for all of its threads.
    pub all: Duration,
    /// Time for any one of them, which may have stopped before the others, or while these ran.
    pub one: Duration,
}

impl Pause {
    /// Returns the longer times of both.
    pub(crate) fn max(self, other: Pause) -> Pause {
        Pause { all: self.all.max(other.all), one: self.one.max(other.one) }
    }
}

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        write!(f, "{:.2} ms at most, one of its threads for {:.2} ms", ms(self.all), ms(self.one.max(self.all)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_the_longest() {
        let pause = |all, one| Pause { all: Duration::from_micros(all), one: Duration::from_micros(one) };
        let longest = pause(610, 100).max(pause(200, 3110));
        assert_eq!(longest, pause(610, 3110));
        assert_eq!(longest.to_string(), "0.61 ms at most, one of its threads for 3.11 ms");
        assert_eq!(pause(610, 0).to_string(), "0.61 ms at most, one of its threads for 0.61 ms");
    }
}
