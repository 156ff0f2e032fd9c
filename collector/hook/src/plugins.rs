//! The hook where the program has loaded a Go plugin, before any of the plugin's code runs.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::layout::{NO_PLUGIN, PLUGIN_WAITS};
use crate::now;

/// Ticks after which a recorder that has not begun is taken for gone: about a second.
pub(crate) const GONE: u64 = 3_000_000_000;
/// Ticks after which one that writes is taken for killed, for which it needs microseconds.
pub(crate) const KILLED: u64 = 10 * GONE;

/// Waits until the recorder has led the plugin's own copy of the runtime's code to the program's, or is gone. No other hook
/// waits; loading a plugin takes milliseconds as it is. Whoever gives up takes the wait back, so that the recorder writes to no
/// code that may run.
#[cold]
#[inline(never)]
pub(crate) fn wait(plugin: &AtomicU64, gone: u64, killed: u64) {
    plugin.store(PLUGIN_WAITS, Release);
    let begun = now();
    while plugin.load(Acquire) != NO_PLUGIN {
        let waited = now().wrapping_sub(begun);
        let gave_up = waited > gone && plugin.compare_exchange(PLUGIN_WAITS, NO_PLUGIN, Relaxed, Relaxed).is_ok();
        if gave_up || waited > killed {
            return;
        }
        core::hint::spin_loop();
    }
}
