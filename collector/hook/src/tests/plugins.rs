//! Waiting for the recorder when a plugin has been loaded.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::layout::{NO_PLUGIN, NO_RECORDER, PLUGIN_WAITS, PLUGIN_WRITTEN};
use crate::plugins::{GONE, KILLED, wait};

#[test]
fn a_plugin_waits_until_its_code_is_written() {
    let (plugin, written) = (AtomicU64::new(NO_PLUGIN), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while plugin.compare_exchange(PLUGIN_WAITS, PLUGIN_WRITTEN, Acquire, Relaxed).is_err() {
                std::thread::yield_now();
            }
            std::thread::sleep(core::time::Duration::from_millis(20));
            written.store(1, Relaxed);
            plugin.store(NO_PLUGIN, Release);
        });
        wait(&plugin, GONE, KILLED);
        assert_eq!(written.load(Relaxed), 1);
    });
}

#[test]
fn a_plugin_goes_on_without_a_recorder_and_one_that_comes_late_writes_nothing() {
    let plugin = AtomicU64::new(NO_PLUGIN);
    wait(&plugin, GONE, KILLED);
    assert_eq!(plugin.compare_exchange(PLUGIN_WAITS, PLUGIN_WRITTEN, Acquire, Relaxed), Err(NO_RECORDER));
}

#[test]
fn a_plugin_goes_on_when_the_recorder_was_killed_amid_writing() {
    let plugin = AtomicU64::new(NO_PLUGIN);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while plugin.compare_exchange(PLUGIN_WAITS, PLUGIN_WRITTEN, Acquire, Relaxed).is_err() {
                std::thread::yield_now();
            }
        });
        wait(&plugin, GONE, GONE / 10);
    });
    assert_eq!(plugin.load(Relaxed), NO_RECORDER);
}
