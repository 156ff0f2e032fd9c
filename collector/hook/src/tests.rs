//! Tests of the hooks' logic on made-up goroutines: each crossing is counted in its place, and nothing is lost.

use core::sync::atomic::Ordering::Relaxed;
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::collections::BTreeMap;
use std::vec::Vec;

use proptest::prelude::*;

use crate::crossing::{self, ExitRecord};
use crate::layout::{
    ARENA_OFFSET, Arena, Block, Cell, CellRef, FRAME_BLOCK, Frame, Header, IN_FLIGHT, InFlight, Rare, STACKS, THREADS,
    Thread, Times, flags,
};
use crate::params::Params;
use crate::{callback, direct, mapping, threads};

const M_LOCKED_EXT: u64 = 16;
const M_PROCID: u64 = 24;
const G_GOID: u64 = 72;
/// The Go function that C calls.
const CALLED: u64 = 0x9000;
/// Words of a made-up stack: few under Miri, which writes each of them.
const STACK: usize = if cfg!(miri) { 128 } else { 4096 };

/// Tables of a test's own.
struct World {
    allocated: *mut u8,
    layout: Layout,
    memory: *mut u8,
    params: Params,
}

impl World {
    /// Makes tables with room for a few threads, and `kilobytes` KiB for what these need beside their tables. The last
    /// `reserved` KiB take no whole stacks.
    fn new(kilobytes: u64, reserved: u64) -> World {
        World::of(8, kilobytes, reserved)
    }

    fn of(threads: usize, kilobytes: u64, reserved: u64) -> World {
        let size = ARENA_OFFSET + (threads * size_of::<Thread>()) as u64 + (kilobytes << 10);
        // Aligned by hand: only memory of small alignment comes zeroed without being touched.
        let layout = Layout::from_size_align(size as usize + 4096, 16).unwrap();
        // SAFETY: the size is not zero.
        let allocated = unsafe { alloc_zeroed(layout) };
        let memory = allocated.wrapping_add(allocated.align_offset(4096));
        let tables = memory as u64;
        let params = Params {
            tables,
            m_locked_ext: M_LOCKED_EXT,
            m_procid: M_PROCID,
            g_goid: G_GOID,
            spilled_fn: 16,
            spilled_arg: 24,
            stack_arena_end: size - (reserved << 10),
            arena_end: size,
            max_frames: 64,
            slow: u64::MAX,
            first_interval: 1,
            own_end: u64::MAX,
            ..Params::default()
        };
        let place = |offset: u64| CellRef((offset / 64) as u32);
        let arena = Arena { next: place(ARENA_OFFSET), end: place(size) };
        // SAFETY: the memory begins with a header.
        unsafe { (*memory.cast::<Header>()).arena.store(arena.pack(), Relaxed) };
        World { allocated, layout, memory, params }
    }

    fn cells(&self, id: u64) -> Vec<&Cell> {
        let m = Machine::new(id, false);
        let mut found = Vec::new();
        // SAFETY: the thread and its cells lie in the world's memory.
        unsafe {
            let thread = threads::find(&self.params, m.address());
            let mut at = CellRef((*thread).cells.load(Relaxed));
            while at != CellRef::NONE {
                let cell = &*mapping::at_ref(&self.params, at);
                if cell.flags & (flags::CALLBACK | flags::LOCK) == 0 {
                    found.push(cell);
                }
                at = cell.next;
            }
            if (*thread).spare.cell.calls > 0 {
                found.push(&(*thread).spare.cell);
            }
        }
        found
    }

    /// Returns the times of a cell that has some.
    fn times(&self, cell: &Cell) -> &Times {
        // SAFETY: the reference of such a cell leads to times.
        unsafe { &*((self.params.tables + CellRef(cell.times.load(Relaxed)).offset()) as *const Times) }
    }

    /// Returns the rare counts of a cell that has some.
    fn rare(&self, cell: &Cell) -> &Rare {
        // SAFETY: as above.
        unsafe { &*((self.params.tables + CellRef(cell.rare.load(Relaxed)).offset()) as *const Rare) }
    }

    fn calls(&self, id: u64) -> u64 {
        self.cells(id).iter().map(|cell| cell.calls).sum()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.allocated, self.layout) };
    }
}

/// A made-up M: its address.
struct Machine(u64);

impl Machine {
    /// Returns the M of this number, which is the same in the whole test.
    fn new(id: u64, locked: bool) -> Machine {
        const SIZE: usize = 1 << 10;
        const COUNT: usize = 2 * THREADS;
        std::thread_local! {
            static MACHINES: u64 = {
                let align = SIZE * THREADS;
                // SAFETY: the size is not zero.
                unsafe { alloc_zeroed(Layout::from_size_align(COUNT * SIZE, align).unwrap()) as u64 }
            };
        }
        assert!(id < COUNT as u64);
        let address = MACHINES.with(|&first| first) + id * SIZE as u64;
        // SAFETY: the memory is this test's alone and stays.
        unsafe {
            ((address + M_LOCKED_EXT) as *mut u64).write(locked.into());
            ((address + M_PROCID) as *mut u64).write(1000 + id);
        }
        Machine(address)
    }

    fn address(&self) -> u64 {
        self.0
    }
}

/// A made-up goroutine: its g, and a stack of frames of two words each plus locals.
struct Goroutine {
    g: [u64; 10],
    stack: Vec<u64>,
    frame: usize,
}

impl Goroutine {
    /// Makes a goroutine in C function `function`, called through these return addresses, innermost first.
    fn new(m: &Machine, function: u64, pcs: &[u64]) -> Goroutine {
        Goroutine::spread(m, function, pcs, 8)
    }

    /// As [`Goroutine::new`], with frames of `apart` words.
    fn spread(m: &Machine, function: u64, pcs: &[u64], apart: usize) -> Goroutine {
        let size = STACK.max(16 + apart * pcs.len());
        let mut stack = std::vec![0xdead_beef; size];
        let frames: Vec<usize> = (0..pcs.len()).map(|index| size - 16 - apart * (pcs.len() - index)).collect();
        for (index, &at) in frames.iter().enumerate() {
            stack[at + 1] = pcs[index];
        }
        let base = stack.as_ptr() as u64;
        for (index, &at) in frames.iter().enumerate() {
            stack[at] = frames.get(index + 1).map_or(0, |&next| base + next as u64 * 8);
        }
        stack[frames[0] + 2] = function;
        let g = [base, base + (size * 8) as u64, 0, 0, 0, 0, m.address(), 0, 0, 1];
        Goroutine { g, stack, frame: frames[0] }
    }

    fn frame(&self) -> u64 {
        self.stack.as_ptr() as u64 + self.frame as u64 * 8
    }

    /// Enters C; the crossing is in flight afterwards.
    fn enter(&self, world: &World) -> *mut InFlight {
        // SAFETY: the made-up goroutine has all that the hook reads.
        unsafe {
            let word = crossing::arrived(&world.params, self.g(), self.frame());
            let entry = (word & !1) as *mut InFlight;
            assert!(!entry.is_null());
            assert_eq!(word & 1 == 1, (*entry).timed());
            (*entry).called = crate::clock::now();
            entry
        }
    }

    /// Returns from C and to Go, on another M if given.
    fn leave(&self, world: &World, entry: *mut InFlight, on: Option<&Machine>) {
        let mut slots = [0u64; 2];
        // SAFETY: as above.
        unsafe {
            crossing::returned(&world.params, entry, crate::clock::now(), slots.as_mut_ptr(), false);
            if slots[0] != 0 {
                let mut g = self.g;
                g[6] = on.map_or(g[6], Machine::address);
                crossing::exited(&world.params, g.as_ptr() as u64, slots[0], slots[1], crate::clock::now());
            }
        }
    }

    fn cross(&self, world: &World) {
        let entry = self.enter(world);
        self.leave(world, entry, None);
    }

    /// C calls a Go function.
    fn enter_callback(&self, world: &World, function: u64) {
        // SAFETY: as above.
        unsafe {
            callback::began(&world.params, self.g());
            callback::acquired(&world.params, self.g(), function);
        }
    }

    /// The Go function returns to C.
    fn leave_callback(&self, world: &World) {
        // SAFETY: as above.
        unsafe {
            callback::ended(&world.params, self.g());
            callback::released(&world.params, self.g());
        }
    }

    fn g(&self) -> u64 {
        self.g.as_ptr() as u64
    }
}

/// Returns the return addresses of a cell whose stack is not deep.
///
/// # Safety
/// The cell must lie in a world's memory.
unsafe fn pcs_of(cell: &Cell) -> Vec<u64> {
    // By address, because the reference is to the cell alone.
    let behind = (&raw const *cell).addr() + size_of::<Cell>();
    // SAFETY: the blocks follow their cell.
    let blocks = unsafe { std::slice::from_raw_parts(behind as *const Block, cell.blocks.into()) };
    let pcs = blocks.iter().flat_map(|block| (0..FRAME_BLOCK).map(|place| block.pc(place)));
    pcs.take(cell.frames.into()).collect()
}

#[test]
fn each_stack_has_its_cell_and_keeps_its_frames() {
    let world = World::new(64, 8);
    let m = Machine::new(1, false);
    let stacks: [&[u64]; 5] = [&[1, 2, 3], &[1, 2, 4], &[1, 5, 3], &[1, 2, 3, 3], &[9, 2, 3]];
    for (round, pcs) in (0..3).flat_map(|round| stacks.iter().map(move |pcs| (round, pcs))) {
        Goroutine::new(&m, 0x1000, pcs).cross(&world);
        assert!(round < 3);
    }
    let cells = world.cells(1);
    assert_eq!(cells.len(), stacks.len());
    for cell in cells {
        assert_eq!(cell.calls, 3);
        // SAFETY: the cell lies in the world's memory.
        let pcs = unsafe { pcs_of(cell) };
        assert!(stacks.contains(&pcs.as_slice()), "{pcs:?}");
    }
}

/// The frames of such stacks do not fit into blocks.
#[test]
#[cfg_attr(miri, ignore = "megabytes, word by word, take Miri too long")]
fn stacks_of_megabytes_have_their_cells_too() {
    const APART: usize = 100_000;
    let world = World::new(64, 8);
    let m = Machine::new(1, false);
    let stacks: [&[u64]; 3] = [&[1, 2, 3], &[1, 2, 4], &[1, 5, 3]];
    for pcs in (0..3).flat_map(|_| stacks) {
        Goroutine::spread(&m, 0x1000, pcs, APART).cross(&world);
    }
    let cells = world.cells(1);
    assert_eq!(cells.len(), stacks.len());
    for cell in cells {
        assert_eq!((cell.calls, cell.blocks, cell.frames), (3, 0, 3));
        // SAFETY: the frames follow their cell.
        let frames = unsafe { std::slice::from_raw_parts((&raw const *cell).add(1).cast::<Frame>(), 3) };
        assert!(stacks.iter().any(|pcs| frames.iter().map(|frame| frame.pc).eq(pcs.iter().copied())), "{frames:?}");
        assert_eq!(frames[2].offset, (2 * APART * 8) as u64);
    }
}

#[test]
fn function_and_lock_tell_cells_apart() {
    let world = World::new(64, 8);
    for (function, locked) in [(0x1000, false), (0x2000, false), (0x1000, true), (0x1000, false)] {
        let m = Machine::new(7, locked);
        Goroutine::new(&m, function, &[1, 2, 3]).cross(&world);
    }
    let mut found: Vec<_> = world.cells(7).iter().map(|cell| (cell.function, cell.flags, cell.calls)).collect();
    found.sort();
    assert_eq!(found, [(0x1000, 0, 2), (0x1000, flags::LOCKED, 1), (0x2000, 0, 1)]);
}

#[test]
fn a_crossing_in_a_callback_belongs_to_the_one_around_it() {
    let world = World::new(64, 8);
    let m = Machine::new(3, false);
    let outer = Goroutine::new(&m, 0x1000, &[1, 2]);
    let inner = Goroutine::new(&m, 0x2000, &[5, 6]);
    for _ in 0..4 {
        let entry = outer.enter(&world);
        outer.enter_callback(&world, CALLED);
        inner.cross(&world);
        outer.leave_callback(&world);
        outer.leave(&world, entry, None);
    }
    inner.cross(&world);
    let cells = world.cells(3);
    let of = |function: u64, nested: bool| {
        let mut all =
            cells.iter().filter(|cell| cell.function == function && (cell.enclosing != CellRef::NONE) == nested);
        all.next().map(|cell| (cell.calls, cell.callbacks))
    };
    assert_eq!(of(0x1000, false), Some((4, 4)));
    assert_eq!(of(0x2000, true), Some((4, 0)));
    assert_eq!(of(0x2000, false), Some((1, 0)));
    let outer_cell = cells.iter().find(|cell| cell.function == 0x1000).unwrap();
    let (callback, c) = (world.rare(outer_cell).callback, world.times(outer_cell).c);
    assert!(callback.sum > 0 && callback.sum < c.sum);
}

#[test]
fn a_panic_leaves_the_crossing_that_called_back() {
    let world = World::new(64, 8);
    let m = Machine::new(4, false);
    let goroutine = Goroutine::new(&m, 0x1000, &[1, 2]);
    for _ in 0..5 {
        goroutine.enter(&world);
        goroutine.enter_callback(&world, CALLED);
        // SAFETY: the goroutine is in a callback.
        unsafe { callback::unwound(&world.params, goroutine.g()) };
    }
    goroutine.cross(&world);
    let cells = world.cells(4);
    assert_eq!((cells[0].calls, world.rare(cells[0]).abandoned, world.times(cells[0]).timed), (6, 5, 1));
    assert_eq!(cells[0].enclosing, CellRef::NONE);
}

#[test]
fn an_exit_on_another_thread_is_added_to_a_migrated_exit() {
    let world = World::new(64, 8);
    let (home, away) = (Machine::new(1, false), Machine::new(2, false));
    let goroutine = Goroutine::new(&home, 0x1000, &[1, 2]);
    for _ in 0..3 {
        let entry = goroutine.enter(&world);
        goroutine.leave(&world, entry, Some(&away));
    }
    let (origin, migrated_exits) = (world.cells(1), world.cells(2));
    assert_eq!((world.times(origin[0]).timed, world.times(origin[0]).exits), (3, 0));
    assert_eq!(
        (migrated_exits.len(), migrated_exits[0].flags, world.times(migrated_exits[0]).exits),
        (1, flags::MIGRATED_EXIT, 3)
    );
    assert_eq!(migrated_exits[0].home, &raw const *origin[0] as u64);
}

#[test]
fn crossings_nested_deeper_than_the_table_share_its_last_entry() {
    let world = World::new(64, 8);
    let m = Machine::new(1, false);
    let goroutine = Goroutine::new(&m, 0x1000, &[1, 2]);
    let levels = IN_FLIGHT + 20;
    let mut entries = Vec::new();
    for _ in 0..levels {
        entries.push(goroutine.enter(&world));
        goroutine.enter_callback(&world, CALLED);
    }
    // SAFETY: an entry lies in the array of its thread.
    let thread = unsafe { (*entries[0]).thread as *mut crate::layout::Thread };
    let last = crossing::end(thread) - size_of::<InFlight>() as u64;
    assert_eq!(entries.iter().filter(|&&entry| entry as u64 == last).count(), levels - IN_FLIGHT + 1);
    for entry in entries.into_iter().rev() {
        goroutine.leave_callback(&world);
        goroutine.leave(&world, entry, None);
    }
    // SAFETY: as above.
    unsafe { assert!(crossing::innermost(thread).is_null()) };
    let sum = |value: fn(&Cell) -> u64| world.cells(1).into_iter().map(value).sum::<u64>();
    assert_eq!((sum(|cell| cell.calls), sum(|cell| cell.callbacks)), (levels as u64, levels as u64));
    assert!(world.cells(1).iter().all(|cell| world.rare(cell).callback.sum <= world.times(cell).c.sum));
}

#[test]
fn a_panic_through_crossings_deeper_than_the_table_leaves_the_others() {
    let world = World::new(64, 8);
    let m = Machine::new(1, false);
    let goroutine = Goroutine::new(&m, 0x1000, &[1, 2]);
    let (kept, left) = (IN_FLIGHT - 10, 30);
    let mut entries = Vec::new();
    for _ in 0..kept + left {
        entries.push(goroutine.enter(&world));
        goroutine.enter_callback(&world, CALLED);
    }
    for _ in 0..left {
        // SAFETY: as above.
        unsafe { callback::unwound(&world.params, goroutine.g()) };
    }
    // SAFETY: an entry lies in the array of its thread.
    let thread = unsafe { (*entries[0]).thread as *mut Thread };
    // SAFETY: as above.
    unsafe { assert_eq!(crossing::innermost(thread), entries[kept - 1]) };
    let cells = world.cells(1);
    let abandoned = cells.iter().filter(|cell| cell.rare.load(Relaxed) != 0).map(|cell| world.rare(cell).abandoned);
    assert_eq!(abandoned.sum::<u64>(), left as u64);
}

#[test]
fn a_direct_crossing_leaves_one_about_to_call_c_alone() {
    let world = World::new(64, 8);
    let m = Machine::new(1, false);
    let goroutine = Goroutine::new(&m, 0x1000, &[1, 2]);
    let frame = goroutine.frame();
    // SAFETY: the made-up goroutine has all that the hooks read; its stack stands for the system stack too.
    unsafe {
        let params = Params { to_return: 8, ..world.params };
        let entry = (crossing::arrived(&params, goroutine.g(), frame) & !1) as *mut InFlight;
        let thread = (*entry).thread as *mut Thread;
        let direct = direct::entered(&params, goroutine.g(), 0x2000, frame, frame);
        direct::returned(&params, direct, crate::clock::now());
        assert_eq!((*thread).top, entry.add(1) as u64);
        assert_eq!((*(*entry).cell()).function, 0x1000);
        let unknown = direct::entered(&params, 0, 0x2000, frame, frame);
        assert!(unknown.is_null());
    }
    let mut found: Vec<_> = world.cells(1).iter().map(|cell| (cell.function, cell.flags, cell.calls)).collect();
    found.sort();
    assert_eq!(found, [(0x1000, 0, 1), (0x2000, flags::DIRECT, 1)]);
    // SAFETY: the world begins with a header.
    let header = unsafe { &*world.memory.cast::<Header>() };
    assert_eq!(header.unattributed_direct.load(Relaxed), 1);
}

#[test]
#[cfg_attr(miri, ignore = "40,000 crossings take Miri too long")]
fn more_stacks_than_are_kept_fold_and_none_is_made_twice() {
    let world = World::new(64 << 10, 8);
    let m = Machine::new(1, false);
    let stacks = 20_000;
    for _ in 0..2 {
        for index in 0..stacks {
            Goroutine::new(&m, 0x1000, &[1, 2, 100 + index]).cross(&world);
        }
    }
    assert_eq!(world.calls(1), 2 * stacks);
    let mut seen = std::collections::BTreeSet::new();
    for cell in world.cells(1).into_iter().filter(|cell| cell.flags & flags::FOLDED == 0) {
        // SAFETY: the cell lies in the world's memory.
        let pcs = unsafe { pcs_of(cell) };
        assert!(seen.insert(pcs.clone()), "{pcs:?} has two cells");
        assert_eq!(cell.calls, 2);
    }
    assert_eq!(seen.len(), STACKS as usize);
}

/// Formerly only their C function was kept, and not that of all: 30,000 functions shared one row.
#[test]
#[cfg_attr(miri, ignore = "30,000 crossings take Miri too long")]
fn functions_called_when_all_stacks_are_taken_keep_their_line() {
    let world = World::new(64 << 10, 8);
    let m = Machine::new(1, false);
    let functions = 30_000;
    for index in 0..functions {
        let pcs = [0x10_0000 + index, 0x20_0000 + index, 0x30_0000];
        Goroutine::new(&m, 0x1000 + index * 16, &pcs).cross(&world);
    }
    let cells = world.cells(1);
    let (folded, whole): (Vec<_>, Vec<_>) = cells.into_iter().partition(|cell| cell.flags & flags::FOLDED != 0);
    assert_eq!((whole.len(), folded.len()), (STACKS as usize, functions as usize - STACKS as usize));
    for cell in folded {
        let index = (cell.function - 0x1000) / 16;
        // SAFETY: the cell lies in the world's memory.
        let pcs = unsafe { pcs_of(cell) };
        assert_eq!((pcs, cell.calls), (std::vec![0x10_0000 + index, 0x20_0000 + index], 1));
    }
}

/// Functions without room for their cells are counted by function in one table for all threads.
#[test]
fn functions_beyond_all_cells_are_counted_by_function() {
    let world = World::of(1, 120, 0);
    let m = Machine::new(1, false);
    let functions = 1000;
    for index in 0..functions {
        Goroutine::new(&m, 0x1000 + index * 16, &[1, 2]).cross(&world);
    }
    assert_eq!(world.calls(1), functions);
    // SAFETY: the world begins with a header; the thread lies in its memory.
    let (header, spare) = unsafe {
        let thread = threads::find(&world.params, m.address());
        (&*world.memory.cast::<Header>(), (*thread).spare.cell.calls)
    };
    let named: Vec<_> = header.overflow.iter().filter(|entry| entry.spare_calls.load(Relaxed) == 1).collect();
    assert_eq!(named.len() as u64, spare);
    assert!(spare > 500, "{spare}");
}

#[test]
#[cfg_attr(miri, ignore = "3,000 crossings take Miri too long")]
fn a_full_arena_folds_and_counts_on() {
    let world = World::of(1, 512, 256);
    let m = Machine::new(1, false);
    let calls = 3000;
    for index in 0..calls {
        Goroutine::new(&m, 0x1000 + index % 2 * 16, &[1, 2, 100 + index]).cross(&world);
    }
    assert_eq!(world.calls(1), calls);
    let cells = world.cells(1);
    let folded: Vec<_> = cells.iter().filter(|cell| cell.flags & flags::FOLDED != 0).collect();
    let functions: Vec<_> = folded.iter().map(|cell| (cell.function, cell.frames)).collect();
    assert_eq!(functions.len(), 2, "one cell for each C function and its two innermost frames: {functions:?}");
    let in_folded: u64 = folded.iter().map(|cell| cell.calls).sum();
    // SAFETY: the thread lies in the world's memory.
    assert_eq!(unsafe { (*threads::find(&world.params, m.address())).folded }, in_folded);
}

#[test]
fn an_exhausted_arena_still_counts() {
    let world = World::of(1, 0, 0);
    let m = Machine::new(1, false);
    for index in 0..10 {
        Goroutine::new(&m, 0x1000, &[1, 2, index]).cross(&world);
    }
    assert_eq!(world.calls(1), 10);
}

/// After the recorder has made the file longer, a thread that found no room for a table gets one.
#[test]
fn a_thread_without_a_table_gets_one_when_there_is_room() {
    let world = World::of(2, 0, 0);
    // SAFETY: the world begins with a header.
    let header = unsafe { &*world.memory.cast::<Header>() };
    let whole = Arena::unpack(header.arena.load(Relaxed));
    let half = CellRef(whole.next.0 + (whole.end.0 - whole.next.0) / 2);
    header.arena.store(Arena { end: half, ..whole }.pack(), Relaxed);
    let arrive = |id| {
        let goroutine = Goroutine::new(&Machine::new(id, false), 0x1000, &[1, 2]);
        // SAFETY: the made-up goroutine has all that the hook reads.
        unsafe { crossing::arrived(&world.params, goroutine.g(), goroutine.frame()) }
    };
    assert_ne!(arrive(1), 0);
    assert_eq!(arrive(2), 0, "the file ends here");
    assert_eq!(Arena::unpack(header.arena.load(Relaxed)), Arena { next: half, end: half });
    header.arena.store(Arena { next: half, end: whole.end }.pack(), Relaxed);
    assert_eq!(arrive(2), 0, "it does not look before it is told");
    header.freed.fetch_add(1, Relaxed);
    assert_ne!(arrive(2), 0);
    assert_eq!(header.overflow.iter().map(|entry| entry.calls.load(Relaxed)).sum::<u64>(), 2);
}

#[test]
#[cfg_attr(miri, ignore = "8,192 threads take Miri too long")]
fn threads_beyond_the_table_are_counted_by_function() {
    let world = World::of(THREADS + 1, 64 << 10, 8);
    let beyond = 100;
    let arrive = |id| {
        let m = Machine::new(id, false);
        let goroutine = Goroutine::new(&m, 0x1000, &[1, 2]);
        // SAFETY: the made-up goroutine has all that the hook reads.
        unsafe { crossing::arrived(&world.params, goroutine.g(), goroutine.frame()) };
    };
    (0..THREADS as u64 + beyond).for_each(arrive);
    // SAFETY: the world begins with a header.
    let header = unsafe { &*world.memory.cast::<Header>() };
    let counted = || header.overflow.iter().map(|entry| entry.calls.load(Relaxed)).sum::<u64>();
    assert_eq!(counted(), beyond);
    // When a table becomes free, the next thread that comes gets it.
    // SAFETY: the thread lies in the world's memory.
    unsafe { (*threads::find(&world.params, Machine::new(7, false).address())).owner.store(0, Relaxed) };
    arrive(THREADS as u64);
    assert_eq!(counted(), beyond + 1, "it is not known yet that one is free");
    header.free.fetch_add(1, Relaxed);
    header.freed.fetch_add(1, Relaxed);
    (0..2).for_each(|_| arrive(THREADS as u64));
    assert_eq!(counted(), beyond + 1);
}

/// Formerly each of them searched the tables of all threads, at each crossing, three times.
#[test]
#[cfg_attr(miri, ignore = "2,000 threads, three times take Miri too long")]
fn threads_whose_places_are_taken_are_found_again() {
    let world = World::of(THREADS, 64, 8);
    // All lead to the same two places.
    let home = |id: &u64| crate::layout::home(Machine::new(*id, false).address()) / 2;
    let same = crate::layout::home(Machine::new(0, false).address()) / 2;
    let mut ids: Vec<u64> = (0..2 * THREADS as u64).filter(|id| home(id) == same).collect();
    ids.extend((1..2000).filter(|id| home(id) != same));
    let table = |id: u64| {
        // SAFETY: the made-up M has all that is read of it.
        let thread = unsafe { threads::find(&world.params, Machine::new(id, false).address()) };
        assert!(!thread.is_null());
        thread as u64
    };
    let first: Vec<u64> = ids.iter().map(|&id| table(id)).collect();
    assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), ids.len(), "each has its own");
    let found = || ids.iter().map(|&id| table(id)).collect::<Vec<_>>();
    assert_eq!(found(), first);
    // The directory is a cache: tables that it loses are found again.
    // SAFETY: the world begins with a header.
    let header = unsafe { &*world.memory.cast::<Header>() };
    header.directory.iter().for_each(|word| word.store(0, Relaxed));
    header.directory_evictions.fetch_add(1, Relaxed);
    assert_eq!(found(), first);
}

#[test]
fn a_released_slot_goes_to_a_new_thread_with_its_cells() {
    let world = World::new(64, 8);
    Goroutine::new(&Machine::new(1, false), 0x1000, &[1, 2]).cross(&world);
    // SAFETY: the thread lies in the world's memory.
    unsafe {
        (*threads::find(&world.params, Machine::new(1, false).address())).owner.store(0, Relaxed);
        (*world.memory.cast::<Header>()).free.store(1, Relaxed);
    }
    let later = 2;
    Goroutine::new(&Machine::new(later, false), 0x1000, &[1, 2]).cross(&world);
    let cells = world.cells(later);
    assert_eq!((cells.len(), cells[0].calls), (1, 2));
}

#[test]
#[cfg_attr(miri, ignore = "60,000 crossings take Miri too long")]
fn intervals_time_a_share_of_the_crossings_that_stands_for_all() {
    let world = World::new(64, 8);
    let m = Machine::new(1, false);
    let goroutine = Goroutine::new(&m, 0x1000, &[1, 2]);
    goroutine.cross(&world);
    let calls = 20_000u32;
    for interval in [1u32, 8, 64] {
        let before = {
            let cell = world.cells(1)[0];
            cell.interval.store(interval, Relaxed);
            let times = world.times(cell);
            (times.timed, times.weight)
        };
        for _ in 0..calls {
            goroutine.cross(&world);
        }
        let cell = world.cells(1)[0];
        let times = world.times(cell);
        let (timed, weight) = (times.timed - before.0, times.weight - before.1);
        let expected = f64::from(calls) / f64::from(interval);
        assert!((timed as f64 - expected).abs() <= expected * 0.15 + 1.0, "{interval}: {timed} timed");
        assert!(weight.abs_diff(calls.into()) <= 2 * u64::from(interval), "{interval}: they stand for {weight}");
    }
}

mod census;
mod gate;
mod histograms;
mod plugins;
mod scheduling;

proptest! {
    #[test]
    fn slots_survive_packing(
        cell in 1u32..1 << 25,
        gap in 0u32..256,
        census: bool,
        p_lost: bool,
        event: bool,
        enter in 0u64..1 << 21,
    ) {
        let slots = ExitRecord { cell: CellRef(cell), gap, census, p_lost, event, enter };
        prop_assert_eq!(ExitRecord::unpack(slots.pack()), Some(slots));
    }

    #[test]
    fn an_enter_phase_too_long_for_its_bits_is_the_longest(enter in 1u64 << 21..) {
        let slots = ExitRecord { cell: CellRef(1), gap: 1, census: false, p_lost: false, event: false, enter };
        prop_assert_eq!(ExitRecord::unpack(slots.pack()).map(|slots| slots.enter), Some((1 << 21) - 1));
    }

    #[test]
    fn what_go_leaves_in_its_frames_is_not_taken_for_ours(word in 0u64..1 << 56) {
        prop_assert_eq!(ExitRecord::unpack(word), None);
    }

    #[test]
    fn any_mix_of_stacks_is_counted_exactly(
        stacks in prop::collection::vec(prop::collection::vec(1u64..6, 1..12), 1..60),
    ) {
        let world = World::new(64, 8);
        let m = Machine::new(1, false);
        let mut expected: BTreeMap<Vec<u64>, u64> = BTreeMap::new();
        for pcs in &stacks {
            Goroutine::new(&m, 0x1000, pcs).cross(&world);
            *expected.entry(pcs.clone()).or_default() += 1;
        }
        let mut found = BTreeMap::new();
        for cell in world.cells(1) {
            // SAFETY: the cell lies in the world's memory.
            found.insert(unsafe { pcs_of(cell) }, cell.calls);
        }
        prop_assert_eq!(found, expected);
    }
}
