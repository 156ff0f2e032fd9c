//! The hook in `plugin.open`, after a Go plugin was loaded and before any of its Go code runs.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::clock::now;
use crate::layout::{PLUGIN_CLAIMED, PLUGIN_NONE, PLUGIN_UNATTENDED, PLUGIN_WAITING};

/// Time for the recorder to claim the plugin, in ticks: about a second.
pub(crate) const CLAIM_TIMEOUT: u64 = 3_000_000_000;
/// Time for the recorder to read a claimed plugin and redirect its functions, in ticks: about ten seconds.
pub(crate) const RELEASE_TIMEOUT: u64 = 10 * CLAIM_TIMEOUT;

/// Waits until the recorder has redirected the plugin's functions. After a timeout, the state stays
/// `PLUGIN_UNATTENDED`: later plugins do not wait, and the recorder changes none, because their code may run.
#[cold]
#[inline(never)]
pub(crate) fn wait(plugin: &AtomicU64, claim_timeout: u64, release_timeout: u64) {
    if plugin.load(Acquire) == PLUGIN_UNATTENDED {
        return;
    }
    plugin.store(PLUGIN_WAITING, Release);
    let begun = now();
    while plugin.load(Acquire) != PLUGIN_NONE {
        let waited = now().saturating_sub(begun);
        let give_up = |from| plugin.compare_exchange(from, PLUGIN_UNATTENDED, Relaxed, Relaxed).is_ok();
        if (waited > claim_timeout && give_up(PLUGIN_WAITING)) || (waited > release_timeout && give_up(PLUGIN_CLAIMED))
        {
            return;
        }
        core::hint::spin_loop();
    }
}
