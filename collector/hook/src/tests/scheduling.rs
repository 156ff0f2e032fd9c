//! Tests of what the hooks record of threads, goroutines, locks and callbacks.

use core::sync::atomic::Ordering::Relaxed;

use super::*;
use crate::layout::{BUSY, GOROUTINE_BLOCK, GOROUTINES, Goroutine as Entry, HOLDERS, Holder, LEAVING, THREADS, kind};
use crate::{goroutines, held, locks, thread_creation};

impl World {
    /// Returns the entries of goroutines, by goid.
    fn goroutines(&self) -> BTreeMap<u64, &Entry> {
        // SAFETY: the world begins with a header, and the blocks lie in its memory.
        let blocks = unsafe {
            let header = &*self.memory.cast::<Header>();
            let at = |block: u32| &*((self.params.tables + CellRef(block).offset()) as *const [Entry; GOROUTINE_BLOCK]);
            header.goroutine_blocks.iter().map(|block| block.load(Relaxed)).filter(|&block| block != 0).map(at)
        };
        let known = |entry: &&Entry| ![0, BUSY].contains(&entry.goid.load(Relaxed));
        blocks.flatten().filter(known).map(|entry| (entry.goid.load(Relaxed), entry)).collect()
    }

    /// Returns the crossings of a goroutine, including those that its thread holds.
    fn made(&self, goid: u64) -> u64 {
        let held: u64 = (0..4)
            .map(|id| {
                // SAFETY: the thread lies in the world's memory.
                unsafe {
                    let thread = threads::find(&self.params, Machine::new(id, false).address());
                    if (*thread).goroutine_goid == goid { (*thread).run } else { 0 }
                }
            })
            .sum();
        self.goroutines()[&goid].calls.load(Relaxed) + held
    }

    fn all_cells(&self, id: u64, flag: u32) -> Vec<&Cell> {
        let mut found = Vec::new();
        // SAFETY: the thread and its cells lie in the world's memory.
        unsafe {
            let thread = threads::find(&self.params, Machine::new(id, false).address());
            let mut at = CellRef((*thread).cells.load(Relaxed));
            while at != CellRef::NONE {
                let cell = &*mapping::at_ref(&self.params, at);
                found.extend((cell.flags & flag != 0).then_some(cell));
                at = cell.next;
            }
        }
        found
    }
}

/// Makes a goroutine of this number on an M.
fn numbered(m: &Machine, goid: u64) -> super::Goroutine {
    let mut goroutine = super::Goroutine::new(m, 0x1000, &[1, 2]);
    goroutine.g[9] = goid;
    goroutine
}

fn on(goroutine: &mut super::Goroutine, m: &Machine) {
    goroutine.g[6] = m.address();
}

#[test]
fn crossings_and_migrations_of_goroutines() {
    let world = World::new(64, 8);
    let (a, b) = (Machine::new(1, false), Machine::new(2, false));
    let (mut one, mut two) = (numbered(&a, 7), numbered(&b, 8));
    // One stays on A, goes to B and comes back. Two stays on B, then goes to A.
    for m in [&a, &a, &b, &a, &a] {
        on(&mut one, m);
        one.cross(&world);
    }
    for m in [&b, &b, &a] {
        on(&mut two, m);
        two.cross(&world);
    }
    let entries = world.goroutines();
    let row = |goid: u64| {
        let threads: u32 = entries[&goid].threads.iter().map(|word| word.count_ones()).sum();
        (world.made(goid), entries[&goid].migrations, threads)
    };
    assert_eq!((row(7), row(8)), ((5, 2, 2), (3, 1, 2)));
    let migrations = |id| world.cells(id).iter().map(|cell| cell.migrations).sum::<u64>();
    assert_eq!((migrations(1), migrations(2)), (2, 1));
}

proptest! {
    #[test]
    fn any_schedule_is_followed(schedule in prop::collection::vec((0u64..4, 1u64..6), 1..200)) {
        let world = World::new(64, 8);
        let machines: Vec<_> = (0..4).map(|id| Machine::new(id, false)).collect();
        let mut goroutines: Vec<_> = (0..6).map(|goid| numbered(&machines[0], goid)).collect();
        let mut expected: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        for &(m, goid) in &schedule {
            let goroutine = &mut goroutines[goid as usize];
            on(goroutine, &machines[m as usize]);
            goroutine.cross(&world);
            let sum = expected.entry(goid).or_default();
            sum.0 += 1;
            sum.1 += u64::from(last.insert(goid, m).is_some_and(|before| before != m));
        }
        let entries = world.goroutines();
        let found: BTreeMap<_, _> =
            entries.iter().map(|(&goid, entry)| (goid, (world.made(goid), entry.migrations))).collect();
        prop_assert_eq!(found, expected);
    }
}

#[test]
#[cfg_attr(miri, ignore = "24,000 crossings take Miri too long")]
fn goroutines_beyond_the_table_make_room_and_are_counted() {
    let world = World::new((GOROUTINES * size_of::<Entry>() / 1024) as u64 + 64, 8);
    let m = Machine::new(1, false);
    let all = 3 * GOROUTINES as u64;
    // By the time room is needed, the g of each belongs to another goroutine: they have ended.
    let mut goroutine = numbered(&m, 0);
    for goid in 1..=all {
        goroutine.g[9] = goid;
        goroutine.cross(&world);
    }
    // SAFETY: the world begins with a header.
    let forgotten = unsafe { &(*world.memory.cast::<Header>()).forgotten };
    let (gone, calls) = (forgotten.goroutines.load(Relaxed), forgotten.calls.load(Relaxed));
    let kept = world.goroutines();
    assert_eq!(kept.len() as u64 + gone, all);
    assert_eq!(kept.keys().map(|&goid| world.made(goid)).sum::<u64>() + calls, all);
    assert_eq!(forgotten.alive.load(Relaxed), 0);
    assert!(kept.len() > GOROUTINES / 2);
}

#[test]
fn another_thread_of_an_m_has_a_table_of_its_own() {
    let world = World::new(64, 8);
    let m = Machine::new(1, false);
    let mut goroutine = numbered(&m, 7);
    goroutine.cross(&world);
    // SAFETY: the made-up M is this test's.
    let first = unsafe {
        let first = threads::find(&world.params, m.address());
        ((m.address() + M_PROCID) as *mut u64).write(5555);
        first
    };
    goroutine.g[9] = 8;
    goroutine.cross(&world);
    // SAFETY: both lie in the world's memory.
    unsafe {
        let second = threads::find(&world.params, m.address());
        assert_ne!(first, second);
        assert_eq!(((*first).tid, (*first).owner.load(Relaxed)), (1001, LEAVING));
        assert_eq!(((*second).tid, (*second).owner.load(Relaxed)), (5555, m.address()));
        // The first thread has the M again, as foreign threads do in turn before Go 1.21.
        ((m.address() + M_PROCID) as *mut u64).write(1001);
        assert_eq!(threads::find(&world.params, m.address()), first);
        assert_eq!((*second).owner.load(Relaxed), LEAVING);
    }
    assert_eq!(world.calls(1), 1);
}

#[test]
fn an_m_that_did_not_know_its_thread_keeps_its_table() {
    let world = World::new(64, 8);
    let m = Machine::new(1, false);
    // SAFETY: the made-up M is this test's.
    unsafe {
        ((m.address() + M_PROCID) as *mut u64).write(0);
        let before = threads::find(&world.params, m.address());
        ((m.address() + M_PROCID) as *mut u64).write(77);
        assert_eq!(threads::find(&world.params, m.address()), before);
        assert_eq!((*before).tid, 77);
    }
}

#[test]
fn callbacks_by_function_and_crossing_with_their_phases() {
    let world = World::new(64, 8);
    let m = Machine::new(3, false);
    let outer = numbered(&m, 7);
    for _ in 0..3 {
        let entry = outer.enter(&world);
        for function in [CALLED, CALLED + 16, CALLED] {
            outer.enter_callback(&world, function);
            outer.leave_callback(&world);
        }
        outer.leave(&world, entry, None);
    }
    let mut found: Vec<_> = world
        .all_cells(3, flags::CALLBACK)
        .iter()
        .map(|cell| (cell.function, cell.calls, world.times(cell).timed, cell.enclosing != CellRef::NONE))
        .collect();
    found.sort();
    assert_eq!(found, [(CALLED, 6, 6, true), (CALLED + 16, 3, 3, true)]);
    let phases: u64 = world
        .all_cells(3, flags::CALLBACK)
        .iter()
        .map(|cell| world.times(cell))
        .map(|times| times.enter.sum + times.c.sum + times.exit.sum)
        .sum();
    assert_eq!(phases, world.rare(world.cells(3)[0]).callback.sum, "they are all of the time that is not C's own");
}

#[test]
fn callbacks_of_foreign_threads_have_their_first_told_apart() {
    let world = World::new(64, 8);
    let m = Machine::new(3, false);
    let goroutine = numbered(&m, 7);
    // SAFETY: the made-up goroutine has all that the hook reads.
    unsafe { callback::attached(&world.params, goroutine.g(), crate::clock::now()) };
    for _ in 0..4 {
        goroutine.enter_callback(&world, CALLED);
        goroutine.cross(&world);
        goroutine.leave_callback(&world);
    }
    let cells = world.all_cells(3, flags::CALLBACK);
    assert_eq!((cells.len(), cells[0].calls, cells[0].enclosing), (1, 4, CellRef::NONE));
    let attached = world.rare(cells[0]).callback;
    assert_eq!((attached.census, attached.census_sum > 0), (1, true));
    assert_eq!((world.cells(3)[0].calls, world.cells(3)[0].enclosing), (4, CellRef::NONE));
}

#[test]
fn a_panic_is_counted_where_it_came_from_too() {
    let world = World::new(64, 8);
    let m = Machine::new(3, false);
    let goroutine = numbered(&m, 7);
    goroutine.enter(&world);
    goroutine.enter_callback(&world, CALLED);
    // SAFETY: the goroutine is in a callback.
    unsafe { callback::unwound(&world.params, goroutine.g()) };
    let cell = world.all_cells(3, flags::CALLBACK)[0];
    assert_eq!((cell.calls, world.rare(cell).abandoned, cell.times.load(Relaxed)), (1, 1, 0));
}

#[test]
fn locks_by_place_and_how_long() {
    let mut world = World::new(64, 8);
    world.params.slow = 0;
    world.params.lock_os_thread = [0x7700, 0x7800];
    let m = Machine::new(2, false);
    let goroutine = numbered(&m, 7);
    let count = |locks: u32| {
        // SAFETY: the made-up M is this test's.
        unsafe { ((m.address() + M_LOCKED_EXT) as *mut u32).write(locks) };
    };
    for _ in 0..3 {
        // The goroutine is locked twice: only the first lock counts, and only the last unlock ends it.
        for locks in [1, 2] {
            count(locks);
            // SAFETY: the made-up goroutine has all that the hook reads.
            unsafe { locks::locked(&world.params, goroutine.g(), goroutine.frame(), 0x7777) };
        }
        goroutine.cross(&world);
        for locks in [1, 0] {
            count(locks);
        }
        // SAFETY: the thread lies in the world's memory. The unlock thunk does the same.
        unsafe { (*threads::find(&world.params, m.address())).unlocked = crate::clock::now() };
    }
    // SAFETY: as above.
    unsafe { held::settle(&world.params, threads::find(&world.params, m.address())) };
    let cells = world.all_cells(2, flags::LOCK);
    let times = world.times(cells[0]);
    assert_eq!((cells.len(), cells[0].calls, times.c.census, cells[0].leaf), (1, 3, 3, 0));
    assert!(times.c.census_sum > 0 && times.c_max <= times.c.census_sum);
    assert_eq!((world.goroutines()[&7].locks, world.cells(2)[0].flags), (3, flags::LOCKED));
    // SAFETY: the thread lies in the world's memory.
    let events: Vec<_> = unsafe {
        let thread = threads::find(&world.params, m.address());
        let written = (*thread).events_written.load(Relaxed);
        (0..written as usize).map(|index| (*thread).events[index]).collect()
    };
    let locked = events.iter().filter(|event| event.kind == kind::LOCKED);
    assert_eq!(locked.map(|event| (event.tid, event.goid)).collect::<Vec<_>>(), [(1002, 7); 3]);
}

#[test]
fn who_holds_ms_in_c_when_a_thread_is_made() {
    let world = World::new(64, 8);
    let machines: Vec<_> = (1..8).map(|id| Machine::new(id, false)).collect();
    let mut in_c = Vec::new();
    for (index, m) in machines.iter().enumerate() {
        let mut goroutine = numbered(m, index as u64 + 1);
        goroutine.stack[goroutine.frame + 2] = if index < 4 { 0x1000 } else { 0x2000 };
        goroutine.enter(&world);
        if index == 6 {
            goroutine.enter_callback(&world, CALLED);
        }
        in_c.push(goroutine);
    }
    let own = Machine::new(0, false);
    // SAFETY: the tables lie in the world's memory.
    let birth = unsafe {
        let thread = threads::find(&world.params, own.address());
        thread_creation::begin(&world.params, thread, &raw mut (*thread).spare.cell);
        &(*world.memory.cast::<Header>()).births[0]
    };
    assert_eq!((birth.sequence.load(Relaxed), birth.in_c, birth.creator), (1, 6, 1000));
    let counts: Vec<_> = birth.holders.iter().map(|holder: &Holder| holder.count).filter(|&count| count > 0).collect();
    assert_eq!(counts.len(), 2);
    assert_eq!((counts.iter().max(), counts.iter().min()), (Some(&4), Some(&2)));
    assert!(HOLDERS > 2 && THREADS > machines.len());
}

#[test]
fn ps_lost_waits_and_parks() {
    const M_P: u64 = 32;
    let mut world = World::new(64, 8);
    (world.params.p_stays_wired, world.params.m_p) = (1, M_P);
    let m = Machine::new(1, false);
    let goroutine = numbered(&m, 7);
    // SAFETY: the made-up goroutine and M have all that the hooks read.
    unsafe {
        ((m.address() + M_P) as *mut u64).write(1);
        assert!(!crossing::p_was_taken(&world.params, m.address()));
        ((m.address() + M_P) as *mut u64).write(0);
        assert!(crossing::p_was_taken(&world.params, m.address()));
        let entry = goroutine.enter(&world);
        let mut slots = [0u64; 2];
        let at = crate::clock::now();
        crossing::returned(&world.params, entry, at, slots.as_mut_ptr(), true);
        world.params.after_exitsyscall = 0x4444;
        let frame = [0u64, 0x4444];
        crossing::parked(&world.params, goroutine.g(), frame.as_ptr() as u64);
        let elsewhere = [0u64, 0x5555];
        crossing::parked(&world.params, goroutine.g(), elsewhere.as_ptr() as u64);
        crossing::exited(&world.params, goroutine.g(), slots[0], slots[1], at + 500);
    }
    let cell = world.cells(1)[0];
    let rare = world.rare(cell);
    assert_eq!((rare.p_lost, rare.parked), (1, 1));
    assert_eq!((rare.waits, rare.wait_sum, rare.wait_max), (1, 500, 500));
    // SAFETY: the thread lies in the world's memory.
    unsafe { goroutines::hand_over(&world.params, threads::find(&world.params, m.address())) };
    assert_eq!(world.made(7), 1);
}
