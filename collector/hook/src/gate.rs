//! The gate at which processes leave the program: there they wait until the recorder traces them. What comes to it is a
//! child that Go has forked and a thread that is about to execute another program.

use core::sync::atomic::Ordering::{Acquire, Relaxed};
use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::clock::now;
use crate::layout::{GATE_CLOSED, GATE_OPEN};

/// Time without a tick of the recorder's clock after which it is taken for dead, in ticks: about half a second.
pub(crate) const DEAD: u64 = 1_500_000_000;
/// Longest wait for a recorder that lives, in ticks: about ten seconds.
const LONGEST: u64 = 30_000_000_000;

/// Waits at the gate as `arrival` until the recorder has seen to it. `coarse` is the recorder's clock. `sleep` returns when
/// the gate's state is no longer the given one, or after a moment.
///
/// After a wait in vain the gate is closed, and nobody waits there until the recorder opens it again.
#[cold]
#[inline(never)]
pub(crate) fn pass(gate: &AtomicU32, coarse: &AtomicU64, arrival: u32, sleep: impl Fn(&AtomicU32, u32)) {
    let begun = now();
    let (mut last, mut last_ticked, mut is_told) = (coarse.load(Relaxed), begun, false);
    loop {
        let state = gate.load(Acquire);
        let is_seen_to = is_told && state != arrival;
        if state == GATE_CLOSED || is_seen_to {
            return;
        }
        if state == GATE_OPEN {
            is_told = gate.compare_exchange(GATE_OPEN, arrival, Acquire, Relaxed).is_ok();
            continue;
        }
        let (tick, at) = (coarse.load(Relaxed), now());
        if tick != last {
            (last, last_ticked) = (tick, at);
        }
        // Before its first tick the recorder gets ready.
        let is_dead = tick != 0 && at.saturating_sub(last_ticked) > DEAD;
        if is_dead || at.saturating_sub(begun) > LONGEST {
            let _ = gate.compare_exchange(state, GATE_CLOSED, Relaxed, Relaxed);
            return;
        }
        sleep(gate, state);
    }
}
