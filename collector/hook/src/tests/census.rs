//! Tests of when long crossings began that were not timed.

use core::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::layout::{Coarse, Event, TICKS, kind};

/// Ticks from one coarse tick to the next.
const STEP: u64 = 1_000_000;

/// Sets the coarse clock of a world to this tick.
fn set_coarse(world: &World, thread: *mut Thread, tick: u64) {
    // SAFETY: the world begins with a header.
    let coarse: &Coarse = unsafe { &(*world.memory.cast::<Header>()).coarse };
    coarse.at[tick as usize % TICKS].store(tick * STEP, Relaxed);
    coarse.sequence.store(tick, Relaxed);
    // SAFETY: the thread lies in the world's memory.
    unsafe { (*thread).coarse.store(tick, Relaxed) };
}

/// Makes one untimed crossing from tick 10 to tick 13. The thread's last timed crossing returned in the middle of tick
/// 10 or before.
fn event_of_a_long_crossing(last_returned: u64, calls_back: bool) -> (Event, f64) {
    let mut world = World::new(64, 8);
    world.params.slow = 1;
    let m = Machine::new(1, false);
    let goroutine = Goroutine::new(&m, 0x1000, &[1, 2]);
    goroutine.cross(&world);
    // By address, because the reference is for reading.
    let cell = (world.cells(1)[0] as *const Cell).addr() as *mut Cell;
    // SAFETY: the thread and the cell lie in the world's memory; the made-up goroutine has all that the hooks read.
    unsafe {
        let thread = threads::find(&world.params, m.address());
        (*cell).timed_at = u64::MAX;
        (*cell).callbacks = calls_back as u64;
        (*thread).last_returned = last_returned;
        set_coarse(&world, thread, 10);
        let entry = goroutine.enter(&world);
        assert!(!(*entry).timed());
        (11..=13).for_each(|tick| set_coarse(&world, thread, tick));
        let mut slots = [0u64; 2];
        crossing::returned(&world.params, entry, 13 * STEP, slots.as_mut_ptr(), false);
        let events = (*thread).events_written.load(Relaxed);
        let event = (&raw const (*thread).events).cast::<Event>().add(events as usize - 1).read();
        assert_eq!((event.kind, event.to, event.is_sampled()), (kind::C, 13 * STEP, false));
        assert_eq!(world.times(&*cell).c.census_sum, event.to - event.from);
        (event, world.rare(&*cell).c_begin_squares)
    }
}

#[test]
fn a_long_crossing_begins_in_its_tick_and_after_the_last_timed_one() {
    let check = |last_returned: u64, calls_back: bool, from: u64, span: u64| {
        let (event, squares) = event_of_a_long_crossing(last_returned, calls_back);
        assert_eq!((event.from, u64::from(event.begin_span)), (from + span / 2, span), "{last_returned}");
        assert_eq!(squares, (span * span) as f64);
    };
    check(9 * STEP, false, 10 * STEP, STEP);
    check(10 * STEP + STEP * 9 / 10, false, 10 * STEP + STEP * 9 / 10, STEP / 10);
    // The crossing that returned last was made in a callback of this one.
    check(10 * STEP + STEP * 9 / 10, true, 10 * STEP, STEP);
}
