//! The hook where the program has loaded a Go plugin, before any of the plugin's code runs.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::layout::{NO_PLUGIN, NO_RECORDER, PLUGIN_WAITS, PLUGIN_WRITTEN};
use crate::now;

/// Ticks after which a recorder that has not begun is taken for gone: about a second.
pub(crate) const GONE: u64 = 3_000_000_000;
/// Ticks after which one that writes is taken for killed, for which it needs microseconds.
pub(crate) const KILLED: u64 = 10 * GONE;

/// Waits until the recorder has led the plugin's own copy of the runtime's code to the program's, or is gone. No other hook
/// waits; loading a plugin takes milliseconds as it is. Once a plugin has gone on alone, the later ones do not wait, and the
/// recorder writes to no code that may run.
#[cold]
#[inline(never)]
pub(crate) fn wait(plugin: &AtomicU64, gone: u64, killed: u64) {
    if plugin.load(Acquire) == NO_RECORDER {
        return;
    }
    plugin.store(PLUGIN_WAITS, Release);
    let begun = now();
    while plugin.load(Acquire) != NO_PLUGIN {
        let waited = now().saturating_sub(begun);
        let give_up = |from| plugin.compare_exchange(from, NO_RECORDER, Relaxed, Relaxed).is_ok();
        if (waited > gone && give_up(PLUGIN_WAITS)) || (waited > killed && give_up(PLUGIN_WRITTEN)) {
            return;
        }
        core::hint::spin_loop();
    }
}
