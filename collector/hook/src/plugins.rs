//! The hook where the program has loaded a Go plugin, before any of the plugin's code runs.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::layout::{NO_PLUGIN, PLUGIN_WAITS};
use crate::now;
use crate::params::Params;
use crate::threads::header;

/// Ticks after which a recorder that has not begun is taken for gone: about a second.
const GONE: u64 = 3_000_000_000;
/// Ticks after which a recorder that writes is: that takes it microseconds.
const KILLED: u64 = 10 * GONE;

/// Waits until the recorder has seen to the plugin, or is gone: it has to lead the plugin's own copy of the runtime's code to
/// the program's first. Nothing else waits in a hook; loading a plugin takes milliseconds as it is.
///
/// # Safety
/// `params` must describe a live mapping.
#[cold]
#[inline(never)]
pub(crate) unsafe fn loaded(params: &Params) {
    // SAFETY: the caller's promise.
    let plugin = unsafe { &header(params).plugin };
    plugin.store(PLUGIN_WAITS, Release);
    let begun = now();
    while plugin.load(Acquire) != NO_PLUGIN {
        let waited = now().wrapping_sub(begun);
        let gave_up = waited > GONE && plugin.compare_exchange(PLUGIN_WAITS, NO_PLUGIN, Relaxed, Relaxed).is_ok();
        if gave_up || waited > KILLED {
            return;
        }
        core::hint::spin_loop();
    }
}
