//! Doing something while something else is done over and over.

use std::sync::atomic::{AtomicBool, Ordering};

/// Does some work, and repeats something on a thread of its own until the work is done or has panicked: a thread that
/// waited for more than that would let a failed test hang.
pub fn repeating<T>(mut repeated: impl FnMut() + Send, work: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                repeated();
            }
        });
        let _at_the_end = SetOnDrop(&over);
        work()
    })
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_panics_ends_what_is_repeated() {
        let failed = std::panic::catch_unwind(|| repeating(std::thread::yield_now, || panic!("it fails")));
        assert!(failed.is_err());
    }

    #[test]
    fn what_is_repeated_sees_the_work() {
        let begun = AtomicBool::new(false);
        let mut times = 0;
        let result = repeating(
            || {
                times += 1;
                begun.store(true, Ordering::Relaxed);
            },
            || {
                while !begun.load(Ordering::Relaxed) {
                    std::thread::yield_now();
                }
                7
            },
        );
        assert!(result == 7 && times > 0);
    }
}
