//! An M's cells: finding the one of a crossing, making it when it is new, folding when there is no room.

use core::sync::atomic::Ordering::{Relaxed, Release};

use crate::layout::{
    Block, CHUNK, Cell, CellRef, DEEPEST_REMEMBERED, FRAME_BLOCK, Frame, INDEX, IndexEntry, Thread, flags, memo_slot,
};
use crate::params::Params;
use crate::stack::Stack;
use crate::threads::{header, spare};

/// What tells one cell from another.
#[derive(Clone, Copy)]
pub(crate) struct Key {
    pub(crate) function: u64,
    pub(crate) stack: Stack,
    /// Return address outside the frame pointer chain, or 0.
    pub(crate) leaf: u64,
    pub(crate) enclosing: CellRef,
    pub(crate) flags: u32,
    /// `m.lockedExt`.
    pub(crate) locks: u32,
}

/// Index entries looked at for the short hash (site and depth).
const SHORT_PROBES: usize = 6;
/// Index entries that may be used before stacks are folded.
const INDEX_LIMIT: u32 = (INDEX / 4 * 3) as u32;
/// Index entries that may be used at all: there is always a free one, where a search ends.
const INDEX_FULL: u32 = (INDEX / 8 * 7) as u32;

/// The cell of a crossing.
///
/// # Safety
/// `thread` must be the running M's, `params` its mapping, and the key's stack readable up to its top.
#[inline(always)]
pub(crate) unsafe fn find(params: &Params, thread: *mut Thread, key: &Key) -> *mut Cell {
    // SAFETY: the key's stack is readable.
    let site = unsafe { key.stack.site() };
    let hash = mix(site ^ ((key.stack.depth() as u64) << 40) ^ key.leaf);
    let mut at = (hash >> 32) as usize % INDEX;
    for _ in 0..SHORT_PROBES {
        // SAFETY: at < INDEX.
        let entry = unsafe { (&raw const (*thread).index).cast::<IndexEntry>().add(at).read() };
        if entry.cell == CellRef::NONE {
            break;
        }
        if entry.tag == hash as u32 {
            let cell = at_ref(params, entry.cell);
            // SAFETY: an index entry names a finished cell of this thread; a slot is below MEMO.
            unsafe {
                if matches(cell, key) {
                    if key.stack.depth() <= DEEPEST_REMEMBERED {
                        let slot = memo_slot(site, key.stack.depth());
                        (&raw mut (*thread).memo).cast::<u64>().add(slot).write(cell as u64);
                    }
                    return cell;
                }
            }
        }
        at = (at + 1) % INDEX;
    }
    // SAFETY: as above.
    unsafe { find_by_whole_stack(params, thread, key, hash) }
}

/// The reference of a cell.
#[inline(always)]
pub(crate) fn reference(params: &Params, cell: *const Cell) -> CellRef {
    CellRef(((cell as u64 - params.tables) / 64) as u32)
}

/// The cell of a reference.
#[inline(always)]
pub(crate) fn at_ref(params: &Params, cell: CellRef) -> *mut Cell {
    (params.tables + cell.offset()) as *mut Cell
}

/// The cell on this M for the exits of crossings that began on another.
///
/// # Safety
/// `thread` must be the running M's and `visited` a cell of the mapping.
#[cold]
#[inline(never)]
pub(crate) unsafe fn visitor(params: &Params, thread: *mut Thread, visited: *mut Cell) -> *mut Cell {
    let hash = mix(visited as u64 ^ 0x5654);
    // SAFETY: thread is ours; the closure reads finished cells.
    let found = unsafe {
        probe(params, thread, hash, |cell| (*cell).flags == flags::VISITOR && (*cell).home == visited as u64)
    };
    if let Some(cell) = found {
        return cell;
    }
    // SAFETY: thread is ours.
    let cell = unsafe { allocate_stackless(params, thread) };
    if cell.is_null() {
        // An exit that finds no room is not timed: the spare cell only counts.
        return core::ptr::null_mut();
    }
    // SAFETY: the cell is new and ours.
    unsafe {
        (*cell).flags = flags::VISITOR;
        publish(params, thread, cell, visited as u64);
        insert(thread, hash, reference(params, cell), INDEX);
    }
    cell
}

/// The cell on this M for the callbacks of a Go function in one crossing's cell, or from foreign threads; null if there is
/// no room.
///
/// # Safety
/// `thread` must be the running M's.
#[inline(always)]
pub(crate) unsafe fn callback(params: &Params, thread: *mut Thread, function: u64, enclosing: CellRef) -> *mut Cell {
    let hash = mix(function ^ (enclosing.0 as u64) << 32 ^ 0x4342);
    let wanted = |cell: *const Cell| {
        // SAFETY: probed cells are finished.
        unsafe { (*cell).flags == flags::CALLBACK && (*cell).function == function && (*cell).enclosing == enclosing }
    };
    // SAFETY: thread is ours.
    match unsafe { probe(params, thread, hash, wanted) } {
        Some(cell) => cell,
        // SAFETY: as above.
        None => unsafe { new_callback(params, thread, function, enclosing, hash) },
    }
}

#[cold]
#[inline(never)]
unsafe fn new_callback(
    params: &Params,
    thread: *mut Thread,
    function: u64,
    enclosing: CellRef,
    hash: u64,
) -> *mut Cell {
    // SAFETY: thread is ours; the cell is new and ours.
    unsafe {
        let cell = allocate_stackless(params, thread);
        if cell.is_null() {
            return cell;
        }
        (*cell).function = function;
        (*cell).enclosing = enclosing;
        (*cell).flags = flags::CALLBACK;
        publish(params, thread, cell, thread as u64);
        insert(thread, hash, reference(params, cell), INDEX);
        cell
    }
}

#[inline(always)]
fn mix(value: u64) -> u64 {
    let product = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 29)
}

#[inline(always)]
unsafe fn matches(cell: *const Cell, key: &Key) -> bool {
    // SAFETY: the caller has a finished cell; equal depth makes the comparison's reads valid.
    unsafe {
        (*cell).function == key.function
            && (*cell).stack_depth == key.stack.depth()
            && (*cell).flags & !flags::TRUNCATED == key.flags
            && (*cell).enclosing == key.enclosing
            && (*cell).leaf == key.leaf
            && key.stack.equals(frames_of(cell), (*cell).frames as usize)
    }
}

/// Looks along the index for a cell with this hash.
unsafe fn probe(
    params: &Params,
    thread: *mut Thread,
    hash: u64,
    wanted: impl Fn(*const Cell) -> bool,
) -> Option<*mut Cell> {
    let mut at = (hash >> 32) as usize % INDEX;
    loop {
        // SAFETY: at < INDEX.
        let entry = unsafe { (&raw const (*thread).index).cast::<IndexEntry>().add(at).read() };
        if entry.cell == CellRef::NONE {
            return None;
        }
        let cell = at_ref(params, entry.cell);
        if entry.tag == hash as u32 && wanted(cell) {
            return Some(cell);
        }
        at = (at + 1) % INDEX;
    }
}

#[cold]
#[inline(never)]
unsafe fn find_by_whole_stack(params: &Params, thread: *mut Thread, key: &Key, short: u64) -> *mut Cell {
    // SAFETY: the scratch belongs to this thread and holds MAX_FRAMES; the key's stack is readable.
    let (walk, count, goes_on) = unsafe {
        let walk = (&raw mut (*thread).walk).cast::<Frame>();
        let (count, goes_on) = key.stack.walk(walk, params.max_frames as usize);
        (walk, count, goes_on)
    };
    let mut hash = mix(key.function ^ (key.enclosing.0 as u64) << 32 ^ key.flags as u64 ^ key.leaf.rotate_left(17));
    for index in 0..count {
        // SAFETY: index < count frames just written.
        hash = mix(hash ^ unsafe { (*walk.add(index)).pc });
    }
    // SAFETY: thread is ours; probed cells are finished.
    if let Some(cell) = unsafe { probe(params, thread, hash, |cell| matches(cell, key)) } {
        return cell;
    }
    // SAFETY: thread is ours.
    unsafe {
        if (*thread).index_used < INDEX_LIMIT {
            let blocks = count.div_ceil(FRAME_BLOCK);
            let size = blocks * size_of::<Block>() + count * size_of::<Frame>();
            let cell = allocate(params, thread, size, params.stack_arena_end);
            if !cell.is_null() {
                fill(params, cell, key);
                (*cell).stack_depth = key.stack.depth();
                (*cell).frames = count as u16;
                (*cell).blocks = blocks as u16;
                (*cell).flags |= if goes_on { flags::TRUNCATED } else { 0 };
                write_frames(cell, walk, count);
                publish(params, thread, cell, thread as u64);
                insert(thread, short, reference(params, cell), SHORT_PROBES);
                insert(thread, hash, reference(params, cell), INDEX);
                return cell;
            }
        }
        folded(params, thread, key)
    }
}

/// The stackless cell of a C function, for when there is no more room for stacks.
unsafe fn folded(params: &Params, thread: *mut Thread, key: &Key) -> *mut Cell {
    let wanted = key.flags | flags::FOLDED;
    let hash = mix(key.function ^ wanted as u64);
    // SAFETY: thread is ours; probed cells are finished.
    unsafe {
        (*thread).folded += 1;
        let found = probe(params, thread, hash, |cell| (*cell).function == key.function && (*cell).flags == wanted);
        if let Some(cell) = found {
            return cell;
        }
        let cell = allocate_stackless(params, thread);
        if cell.is_null() {
            return spare(thread);
        }
        fill(params, cell, key);
        (*cell).enclosing = CellRef::NONE;
        (*cell).leaf = 0;
        (*cell).flags = wanted;
        publish(params, thread, cell, thread as u64);
        insert(thread, hash, reference(params, cell), INDEX);
        cell
    }
}

/// Where a cell's frames are.
#[inline(always)]
unsafe fn frames_of(cell: *const Cell) -> *mut Frame {
    // SAFETY: the caller has a finished cell, or one with its count of blocks set.
    unsafe { cell.add(1).cast::<Block>().add((*cell).blocks as usize).cast_mut().cast() }
}

/// Writes a walked stack behind its cell, in both forms.
unsafe fn write_frames(cell: *mut Cell, walk: *const Frame, count: usize) {
    // SAFETY: the cell is new and was allocated with room for both forms.
    unsafe {
        let (blocks, frames) = (cell.add(1).cast::<Block>(), frames_of(cell));
        for index in 0..(*cell).blocks as usize * FRAME_BLOCK {
            let frame = *walk.add(if index < count { index } else { count - 1 });
            let block = blocks.add(index / FRAME_BLOCK);
            (&raw mut (*block).offsets).cast::<u16>().add(index % FRAME_BLOCK).write((frame.offset / 8 + 1) as u16);
            (&raw mut (*block).pcs).cast::<u32>().add(index % FRAME_BLOCK).write(frame.pc as u32);
            if index < count {
                frames.add(index).write(frame);
            }
        }
    }
}

unsafe fn fill(params: &Params, cell: *mut Cell, key: &Key) {
    // SAFETY: the cell is new and not yet published; the header is mapped.
    unsafe {
        (*cell).function = key.function;
        (*cell).enclosing = key.enclosing;
        (*cell).flags = key.flags;
        (*cell).leaf = key.leaf;
        (*cell).locks = key.locks;
        (*cell).timed_at = if params.first_interval == 0 { u64::MAX } else { params.first_interval };
        (*cell).gap = params.first_interval as u32;
        (*cell).interval.store(params.first_interval as u32, Relaxed);
        if key.function < params.own_start || key.function >= params.own_end {
            header(params).foreign_cells.fetch_add(1, Relaxed);
        }
    }
}

/// Room for a cell and so many bytes behind it, zeroed; null when the arena is used up to `limit`.
unsafe fn allocate(params: &Params, thread: *mut Thread, behind: usize, limit: u64) -> *mut Cell {
    let size = (size_of::<Cell>() + behind).next_multiple_of(64) as u64;
    // SAFETY: thread is ours and the header is mapped.
    unsafe {
        if (*thread).chunk_next + size > (*thread).chunk_end {
            if header(params).arena_next.load(Relaxed) + CHUNK > limit {
                return core::ptr::null_mut();
            }
            let start = header(params).arena_next.fetch_add(CHUNK, Relaxed);
            if start + CHUNK > params.arena_end {
                return core::ptr::null_mut();
            }
            (*thread).chunk_next = start;
            (*thread).chunk_end = start + CHUNK;
        }
        let cell = (params.tables + (*thread).chunk_next) as *mut Cell;
        (*thread).chunk_next += size;
        cell
    }
}

/// Room for a cell without a stack, zeroed; null when there is none, or no index entry for it.
unsafe fn allocate_stackless(params: &Params, thread: *mut Thread) -> *mut Cell {
    // SAFETY: thread is ours.
    unsafe {
        if (*thread).index_used >= INDEX_FULL {
            return core::ptr::null_mut();
        }
        allocate(params, thread, 0, params.arena_end)
    }
}

/// Makes a finished cell visible to the recorder.
unsafe fn publish(params: &Params, thread: *mut Thread, cell: *mut Cell, home: u64) {
    // SAFETY: thread and cell are ours; the recorder reads `cells` with acquire.
    unsafe {
        (*cell).next = CellRef((*thread).cells.load(Relaxed));
        (*cell).home = home;
        (*cell).c_min = u64::MAX;
        (*cell).overhead_min = u64::MAX;
        (*thread).cell_count += 1;
        (*thread).cells.store(reference(params, cell).0, Release);
    }
}

unsafe fn insert(thread: *mut Thread, hash: u64, cell: CellRef, probes: usize) {
    let mut at = (hash >> 32) as usize % INDEX;
    for _ in 0..probes {
        // SAFETY: at < INDEX; the index is this thread's.
        let entry = unsafe { &mut *(&raw mut (*thread).index).cast::<IndexEntry>().add(at) };
        if entry.cell == CellRef::NONE {
            *entry = IndexEntry { tag: hash as u32, cell };
            // SAFETY: thread is ours.
            unsafe { (*thread).index_used += 1 };
            return;
        }
        at = (at + 1) % INDEX;
    }
}
