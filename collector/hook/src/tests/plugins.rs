//! Tests of the wait for the recorder after a plugin has been loaded.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::layout::{PLUGIN_CLAIMED, PLUGIN_NONE, PLUGIN_UNATTENDED, PLUGIN_WAITING};
use crate::plugins::{CLAIM_TIMEOUT, RELEASE_TIMEOUT, wait};

#[test]
fn a_plugin_waits_until_its_code_is_written() {
    let (plugin, written) = (AtomicU64::new(PLUGIN_NONE), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while plugin.compare_exchange(PLUGIN_WAITING, PLUGIN_CLAIMED, Acquire, Relaxed).is_err() {
                std::thread::yield_now();
            }
            std::thread::sleep(core::time::Duration::from_millis(20));
            written.store(1, Relaxed);
            plugin.store(PLUGIN_NONE, Release);
        });
        wait(&plugin, CLAIM_TIMEOUT, RELEASE_TIMEOUT);
        assert_eq!(written.load(Relaxed), 1);
    });
}

#[test]
#[cfg_attr(miri, ignore = "waits for seconds, of which Miri's clock has too many ticks")]
fn a_plugin_goes_on_without_a_recorder_and_one_that_comes_late_writes_nothing() {
    let plugin = AtomicU64::new(PLUGIN_NONE);
    wait(&plugin, CLAIM_TIMEOUT, RELEASE_TIMEOUT);
    assert_eq!(plugin.compare_exchange(PLUGIN_WAITING, PLUGIN_CLAIMED, Acquire, Relaxed), Err(PLUGIN_UNATTENDED));
}

#[test]
#[cfg_attr(miri, ignore = "waits for seconds, of which Miri's clock has too many ticks")]
fn a_plugin_goes_on_when_the_recorder_was_killed_amid_writing() {
    let plugin = AtomicU64::new(PLUGIN_NONE);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while plugin.compare_exchange(PLUGIN_WAITING, PLUGIN_CLAIMED, Acquire, Relaxed).is_err() {
                std::thread::yield_now();
            }
        });
        wait(&plugin, CLAIM_TIMEOUT, CLAIM_TIMEOUT / 10);
    });
    assert_eq!(plugin.load(Relaxed), PLUGIN_UNATTENDED);
}
