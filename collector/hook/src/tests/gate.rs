//! Tests of the gate at which processes leave the program.

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU32, AtomicU64};
use std::vec::Vec;

use crate::gate::{DEAD, pass};
use crate::layout::{GATE_CLOSED, GATE_OPEN, arrival};

fn arrival(number: u32) -> u32 {
    (number * arrival::NUMBER) | arrival::FORKED
}

fn nap(_: &AtomicU32, _: u32) {
    std::thread::yield_now();
}

#[test]
fn all_who_come_at_the_same_time_wait_and_go_on() {
    let (gate, coarse) = (AtomicU32::new(GATE_OPEN), AtomicU64::new(0));
    let mut seen = Vec::new();
    std::thread::scope(|scope| {
        let gate = &gate;
        for number in 1..=8 {
            let coarse = &coarse;
            scope.spawn(move || pass(gate, coarse, arrival(number), nap));
        }
        while seen.len() < 8 {
            let state = gate.load(Relaxed);
            if state != GATE_OPEN {
                seen.push(state);
                assert_eq!(gate.compare_exchange(state, GATE_OPEN, Relaxed, Relaxed), Ok(state));
            }
            std::thread::yield_now();
        }
    });
    seen.sort_unstable();
    assert_eq!(seen, (1..=8).map(arrival).collect::<Vec<_>>());
}

#[test]
fn nobody_waits_at_a_closed_gate_or_at_one_that_is_closed_meanwhile() {
    let (gate, coarse) = (AtomicU32::new(GATE_CLOSED), AtomicU64::new(0));
    pass(&gate, &coarse, arrival(1), |_, _| panic!("it sleeps"));
    gate.store(GATE_OPEN, Relaxed);
    pass(&gate, &coarse, arrival(1), |gate, _| gate.store(GATE_CLOSED, Relaxed));
    assert_eq!(gate.load(Relaxed), GATE_CLOSED);
}

#[test]
#[cfg_attr(miri, ignore = "waits for seconds, of which Miri's clock has too many ticks")]
fn a_recorder_whose_clock_has_stopped_is_not_waited_for_long() {
    let (gate, coarse) = (AtomicU32::new(GATE_OPEN), AtomicU64::new(7));
    let begun = crate::clock::now();
    pass(&gate, &coarse, arrival(1), nap);
    assert!(crate::clock::now() - begun > DEAD);
    assert_eq!(gate.load(Relaxed), GATE_CLOSED, "later ones don't wait");
}

/// One that ticks is alive, and may be busy.
#[test]
#[cfg_attr(miri, ignore = "waits for seconds, of which Miri's clock has too many ticks")]
fn a_recorder_that_is_busy_is_waited_for() {
    let (gate, coarse) = (AtomicU32::new(GATE_OPEN), AtomicU64::new(7));
    let begun = crate::clock::now();
    pass(&gate, &coarse, arrival(1), |gate, state| {
        coarse.fetch_add(1, Relaxed);
        if crate::clock::now() - begun > 2 * DEAD {
            gate.compare_exchange(state, GATE_OPEN, Relaxed, Relaxed).unwrap();
        }
    });
    assert_eq!(gate.load(Relaxed), GATE_OPEN);
}
