//! Finds the cell of a crossing among its M's, makes it when it is new, and folds stacks when there is no room.

use core::sync::atomic::Ordering::{Relaxed, Release};

use crate::arena::allocate;
use crate::layout::{
    Block, Cell, CellRef, DEEPEST_REMEMBERED, FRAME_BLOCK, Frame, IndexEntry, LARGEST_INDEX, PC_BITS, STACKS, Thread,
    Times, flags, memo_slot,
};
use crate::mapping::{at_ref, header, reference, spare};
use crate::params::Params;
use crate::stack::Stack;
use crate::times;

/// Key that tells one cell from another.
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

const _: () = assert!(size_of::<Key>() <= 64);

/// Writes the key to look for to the thread's scratch.
///
/// # Safety
/// `thread` must be the running M's; its previous key is overwritten.
#[inline(always)]
pub(crate) unsafe fn ask(thread: *mut Thread, key: Key) -> *const Key {
    // SAFETY: the scratch is this M's, and large enough.
    unsafe {
        let scratch = (&raw mut (*thread).key).cast::<Key>();
        scratch.write(key);
        scratch
    }
}

/// Index entries that are tried for the short hash (site and depth).
const SHORT_PROBES: usize = 6;
/// Frames that are kept of a stack for which there is no room: cgo's wrapper, and its caller.
const FOLDED_FRAMES: usize = 2;

/// Returns the cell of a crossing.
///
/// # Safety
/// `thread` must be the running M's, `params` its mapping, and the key's stack readable up to its top.
#[inline(always)]
pub(crate) unsafe fn find(params: &Params, thread: *mut Thread, key: *const Key) -> *mut Cell {
    // SAFETY: thread is this M's; the key's stack is readable.
    let (site, depth, leaf, index) =
        unsafe { ((*key).stack.site(), (*key).stack.depth(), (*key).leaf, Index::of(thread)) };
    let hash = mix(site ^ ((depth as u64) << 40) ^ leaf);
    let mut at = index.place(hash);
    for _ in 0..SHORT_PROBES {
        // SAFETY: a place is within the index.
        let entry = unsafe { index.at(at).read() };
        if entry.cell == CellRef::NONE {
            break;
        }
        if entry.tag == hash as u32 {
            let cell = at_ref(params, entry.cell);
            // SAFETY: an index entry names a finished cell of this thread; a slot is below MEMO.
            unsafe {
                if matches(cell, key) {
                    if depth <= DEEPEST_REMEMBERED {
                        let slot = memo_slot(site, depth);
                        (&raw mut (*thread).cell_cache).cast::<u64>().add(slot).write(cell as u64);
                    }
                    return cell;
                }
            }
        }
        at = index.after(at);
    }
    // SAFETY: as above.
    unsafe {
        let cell = find_by_whole_stack(params, thread, key, hash);
        if cell.is_null() { folded(params, thread, key) } else { cell }
    }
}

/// An M's index of cells. It always has a free entry, where a search ends.
#[derive(Clone, Copy)]
struct Index {
    entries: *mut IndexEntry,
    len: usize,
}

impl Index {
    /// # Safety
    /// `thread` must be the running M's.
    #[inline(always)]
    unsafe fn of(thread: *const Thread) -> Index {
        // SAFETY: the caller's promise.
        unsafe { Index { entries: (*thread).index as *mut IndexEntry, len: (*thread).index_len as usize } }
    }

    /// Returns the place where the search for a hash begins. The length is a power of two.
    #[inline(always)]
    fn place(self, hash: u64) -> usize {
        hash as u32 as usize & (self.len - 1)
    }

    #[inline(always)]
    fn after(self, place: usize) -> usize {
        (place + 1) & (self.len - 1)
    }

    /// # Safety
    /// `place` must come from [`Index::place`] or [`Index::after`].
    #[inline(always)]
    unsafe fn at(self, place: usize) -> *mut IndexEntry {
        // SAFETY: the caller's promise: it is below the length.
        unsafe { self.entries.add(place) }
    }

    /// Adds an entry. Returns whether one of the first `probes` places was free.
    unsafe fn insert(self, entry: IndexEntry, probes: usize) -> bool {
        let mut at = self.place(entry.tag.into());
        for _ in 0..probes {
            // SAFETY: at is within the index, which is this M's.
            unsafe {
                if (*self.at(at)).cell == CellRef::NONE {
                    self.at(at).write(entry);
                    return true;
                }
            }
            at = self.after(at);
        }
        false
    }
}

/// Returns the cell on this M for the exits of crossings that began on another.
///
/// # Safety
/// `thread` must be the running M's and `visited` a cell of the mapping.
#[cold]
#[inline(never)]
pub(crate) unsafe fn migrated_exit(params: &Params, thread: *mut Thread, visited: *mut Cell) -> *mut Cell {
    let hash = mix(visited as u64 ^ 0x5654);
    // SAFETY: thread is ours; the closure reads finished cells.
    let found = unsafe {
        probe(params, thread, hash, |cell| (*cell).flags == flags::MIGRATED_EXIT && (*cell).home == visited as u64)
    };
    if let Some(cell) = found {
        return cell;
    }
    // SAFETY: thread is ours.
    let cell = unsafe { allocate_stackless(params, thread) };
    if cell.is_null() {
        // An exit without room for its cell is not timed: the spare cell only counts.
        return core::ptr::null_mut();
    }
    // SAFETY: the cell is new and ours.
    unsafe {
        (*cell).flags = flags::MIGRATED_EXIT;
        publish(params, thread, cell, visited as u64);
        insert(thread, hash, reference(params, cell), usize::MAX);
    }
    cell
}

/// Returns the cell on this M for the callbacks of a Go function in one crossing's cell, or from foreign threads; null
/// if there is no room.
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
        insert(thread, hash, reference(params, cell), usize::MAX);
        cell
    }
}

#[inline(always)]
fn mix(value: u64) -> u64 {
    let product = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    product ^ (product >> 29)
}

#[inline(never)]
unsafe fn matches(cell: *const Cell, key: *const Key) -> bool {
    // SAFETY: the caller has a finished cell; equal depth makes the comparison's reads valid.
    unsafe {
        (*cell).function == (*key).function
            && (*cell).stack_depth == (*key).stack.depth()
            && (*cell).flags & !flags::TRUNCATED == (*key).flags
            && (*cell).enclosing == (*key).enclosing
            && (*cell).leaf == (*key).leaf
            && match (*cell).blocks {
                0 => (*key).stack.equals(frames_of(cell), (*cell).frames as usize),
                _ => (*key).stack.equals_blocks(blocks_of(cell), (*cell).frames as usize),
            }
    }
}

/// Searches the index for a cell with this hash.
unsafe fn probe(
    params: &Params,
    thread: *mut Thread,
    hash: u64,
    wanted: impl Fn(*const Cell) -> bool,
) -> Option<*mut Cell> {
    // SAFETY: thread is this M's.
    let index = unsafe { Index::of(thread) };
    let mut at = index.place(hash);
    loop {
        // SAFETY: a place is within the index.
        let entry = unsafe { index.at(at).read() };
        if entry.cell == CellRef::NONE {
            return None;
        }
        let cell = at_ref(params, entry.cell);
        if entry.tag == hash as u32 && wanted(cell) {
            return Some(cell);
        }
        at = index.after(at);
    }
}

/// Returns the cell of a stack that is not found by its site and depth; null if there is no room for one. The work is
/// split into functions, because each goroutine's stack has room for little.
#[cold]
#[inline(never)]
unsafe fn find_by_whole_stack(params: &Params, thread: *mut Thread, key: *const Key, short: u64) -> *mut Cell {
    // SAFETY: thread is ours; the key's stack is readable.
    unsafe {
        let (count, goes_on) = walk(params, thread, key);
        let hash = hash_of_walk(thread, key, count);
        let known = find_known(params, thread, key, hash);
        if !known.is_null() {
            return known;
        }
        if (*thread).stacks < STACKS {
            // A new cell's first crossing is timed, so room for its times is taken together with the cell's.
            let mut behind = behind((*key).stack.depth(), count);
            if params.first_interval != 0 {
                behind = before_times(behind) + size_of::<Times>();
            }
            let cell = allocate_with(params, thread, behind, params.stack_arena_end);
            if !cell.is_null() {
                (*thread).stacks += 1;
                (*cell).flags = if goes_on { flags::TRUNCATED } else { 0 };
                complete(params, thread, key, cell, count);
                if params.first_interval != 0 {
                    place_times(params, cell);
                }
                insert(thread, short, reference(params, cell), SHORT_PROBES);
                insert(thread, hash, reference(params, cell), usize::MAX);
                return cell;
            }
        }
        core::ptr::null_mut()
    }
}

/// Returns the bytes from a cell's end to its times, which lie behind `behind` bytes for its stack.
fn before_times(behind: usize) -> usize {
    (size_of::<Cell>() + behind).next_multiple_of(64) - size_of::<Cell>()
}

/// Puts a new cell's times behind its stack.
#[inline(never)]
unsafe fn place_times(params: &Params, cell: *mut Cell) {
    // SAFETY: the cell is new, and was allocated with room for both.
    unsafe {
        let behind = behind((*cell).stack_depth, (*cell).frames as usize);
        let times = (cell as usize + size_of::<Cell>() + before_times(behind)) as *mut Times;
        times::begin(times);
        (*cell).times.store(reference(params, times.cast()).0, Release);
    }
}

/// Writes the frames of a stack to the thread's scratch. Returns their number, and whether the stack goes on.
#[inline(never)]
unsafe fn walk(params: &Params, thread: *mut Thread, key: *const Key) -> (usize, bool) {
    // SAFETY: the scratch belongs to this thread and holds MAX_FRAMES; the key's stack is readable.
    unsafe { (*key).stack.walk((&raw mut (*thread).walk).cast::<Frame>(), params.max_frames as usize) }
}

#[inline(never)]
unsafe fn hash_of_walk(thread: *const Thread, key: *const Key, count: usize) -> u64 {
    // SAFETY: the key is this thread's; index < count frames just written.
    unsafe {
        let whole = (*key).function ^ ((*key).enclosing.0 as u64) << 32 ^ (*key).flags as u64;
        let mut hash = mix(whole ^ (*key).leaf.rotate_left(17));
        for index in 0..count {
            hash = mix(hash ^ (*(&raw const (*thread).walk).cast::<Frame>().add(index)).pc);
        }
        hash
    }
}

#[inline(never)]
unsafe fn find_known(params: &Params, thread: *mut Thread, key: *const Key, hash: u64) -> *mut Cell {
    // SAFETY: thread is ours; probed cells are finished.
    unsafe { probe(params, thread, hash, |cell| matches(cell, key)) }.unwrap_or(core::ptr::null_mut())
}

/// Fills a new cell with the key and the stack in the thread's scratch. The cell already has the flags that the key
/// lacks.
#[inline(never)]
unsafe fn complete(params: &Params, thread: *mut Thread, key: *const Key, cell: *mut Cell, count: usize) {
    // SAFETY: thread and cell are ours.
    unsafe {
        let more = (*cell).flags;
        fill(params, cell, key);
        (*cell).flags |= more;
        (*cell).stack_depth = (*key).stack.depth();
        write_frames(cell, (&raw const (*thread).walk).cast(), count);
        publish(params, thread, cell, thread as u64);
    }
}

/// Returns the cell of a C function and its innermost frames, for when there is no more room for stacks. Returns the
/// spare cell if there is no room for that either.
#[cold]
#[inline(never)]
unsafe fn folded(params: &Params, thread: *mut Thread, key: *const Key) -> *mut Cell {
    // SAFETY: thread and its scratch are ours; the key's stack is readable.
    unsafe {
        (*thread).folded += 1;
        let limit = if params.max_frames < FOLDED_FRAMES as u64 { 1 } else { FOLDED_FRAMES };
        let (count, _) = (*key).stack.walk((&raw mut (*thread).walk).cast::<Frame>(), limit);
        let key = ask(thread, Key { enclosing: CellRef::NONE, leaf: 0, flags: (*key).flags | flags::FOLDED, ..*key });
        let hash = hash_of_walk(thread, key, count);
        let known = find_folded(params, thread, key, hash, count);
        if !known.is_null() {
            return known;
        }
        let cell = allocate_with(params, thread, behind((*key).stack.depth(), count), params.arena_end);
        if cell.is_null() {
            return spare(thread);
        }
        complete(params, thread, key, cell, count);
        insert(thread, hash, reference(params, cell), usize::MAX);
        cell
    }
}

#[inline(never)]
unsafe fn find_folded(params: &Params, thread: *mut Thread, key: *const Key, hash: u64, count: usize) -> *mut Cell {
    // SAFETY: thread is ours; probed cells are finished; the scratch has count frames and more.
    let found = unsafe {
        let walk = (&raw const (*thread).walk).cast::<Frame>();
        probe(params, thread, hash, |cell| {
            (*cell).function == (*key).function
                && (*cell).flags == (*key).flags
                && (*cell).frames as usize == count
                && (0..count).all(|index| pc_of(cell, index) == (*walk.add(index)).pc & PC_BITS)
        })
    };
    found.unwrap_or(core::ptr::null_mut())
}

/// Returns the place of a cell's blocks, if it has any.
#[inline(always)]
unsafe fn blocks_of(cell: *const Cell) -> *mut Block {
    // SAFETY: the caller has a cell with room for them behind it.
    unsafe { cell.add(1).cast_mut().cast() }
}

/// Returns the place of a cell's frames, if it has no blocks.
#[inline(always)]
unsafe fn frames_of(cell: *const Cell) -> *mut Frame {
    // SAFETY: the caller has a cell with room for them behind it.
    unsafe { cell.add(1).cast_mut().cast() }
}

/// Returns one of a cell's return addresses.
unsafe fn pc_of(cell: *const Cell, index: usize) -> u64 {
    // SAFETY: the caller has a finished cell with more frames than `index`.
    unsafe {
        match (*cell).blocks {
            0 => (*frames_of(cell).add(index)).pc & PC_BITS,
            _ => (*blocks_of(cell).add(index / FRAME_BLOCK)).pc(index % FRAME_BLOCK),
        }
    }
}

/// Returns the bytes behind a cell for so many frames of a stack of this depth.
fn behind(depth: u32, frames: usize) -> usize {
    if depth <= DEEPEST_REMEMBERED {
        frames.div_ceil(FRAME_BLOCK) * size_of::<Block>()
    } else {
        frames * size_of::<Frame>()
    }
}

/// Writes a walked stack behind its cell.
unsafe fn write_frames(cell: *mut Cell, walk: *const Frame, count: usize) {
    // SAFETY: the cell is new and was allocated with room for this form.
    unsafe {
        (*cell).frames = count as u16;
        if (*cell).stack_depth > DEEPEST_REMEMBERED {
            // Volatile: otherwise the compiler would call memcpy, which does not exist here.
            for index in 0..count {
                let (frame, from) = (frames_of(cell).add(index), walk.add(index));
                (&raw mut (*frame).offset).write_volatile((*from).offset);
                (&raw mut (*frame).pc).write_volatile((*from).pc);
            }
            return;
        }
        (*cell).blocks = count.div_ceil(FRAME_BLOCK) as u16;
        for index in 0..(*cell).blocks as usize * FRAME_BLOCK {
            let frame = *walk.add(if index < count { index } else { count - 1 });
            let (block, place) = (blocks_of(cell).add(index / FRAME_BLOCK), index % FRAME_BLOCK);
            (&raw mut (*block).offsets).cast::<u16>().add(place).write((frame.offset / 8 + 1) as u16);
            (&raw mut (*block).high).cast::<u16>().add(place).write((frame.pc >> 32) as u16);
            (&raw mut (*block).pcs).cast::<u32>().add(place).write(frame.pc as u32);
        }
    }
}

unsafe fn fill(params: &Params, cell: *mut Cell, key: *const Key) {
    // SAFETY: the cell is new and not yet published; the header is mapped.
    unsafe {
        (*cell).function = (*key).function;
        (*cell).enclosing = (*key).enclosing;
        (*cell).flags = (*key).flags;
        (*cell).leaf = (*key).leaf;
        (*cell).locks = (*key).locks;
        (*cell).timed_at = if params.first_interval == 0 { u64::MAX } else { params.first_interval };
        (*cell).gap = params.first_interval as u32;
        (*cell).interval.store(params.first_interval as u32, Relaxed);
        if (*key).function < params.own_start || (*key).function >= params.own_end {
            header(params).foreign_cells.fetch_add(1, Relaxed);
        }
    }
}

/// Allocates a zeroed cell with `behind` bytes behind it. Returns null if the arena is used up to `limit`, or the index
/// is full.
#[inline(never)]
unsafe fn allocate_with(params: &Params, thread: *mut Thread, behind: usize, limit: u64) -> *mut Cell {
    // SAFETY: thread is ours.
    unsafe {
        if !has_room(params, thread, limit) {
            return core::ptr::null_mut();
        }
        match allocate(params, thread, (size_of::<Cell>() + behind) as u64, limit) {
            CellRef::NONE => core::ptr::null_mut(),
            at => at_ref(params, at),
        }
    }
}

/// Allocates a zeroed cell without a stack. Returns null if there is no room, or no index entry for it.
unsafe fn allocate_stackless(params: &Params, thread: *mut Thread) -> *mut Cell {
    // SAFETY: thread is ours.
    unsafe { allocate_with(params, thread, 0, params.arena_end) }
}

/// Returns whether the index has room for two more entries. The index grows first if need be and if it can.
unsafe fn has_room(params: &Params, thread: *mut Thread, limit: u64) -> bool {
    // SAFETY: thread is ours.
    unsafe {
        let index = Index::of(thread);
        if ((*thread).index_used as usize + 2) * 4 <= index.len * 3 {
            return true;
        }
        grow(params, thread, limit) || ((*thread).index_used as usize + 2) * 8 <= index.len * 7
    }
}

/// Doubles the index. Returns whether there is room for that.
#[cold]
#[inline(never)]
unsafe fn grow(params: &Params, thread: *mut Thread, limit: u64) -> bool {
    // SAFETY: thread is ours; so is the larger index, which is zeroed.
    unsafe {
        let index = Index::of(thread);
        let len = index.len * 2;
        let place = match len {
            ..=LARGEST_INDEX => allocate(params, thread, (len * size_of::<IndexEntry>()) as u64, limit),
            _ => CellRef::NONE,
        };
        if place == CellRef::NONE {
            return false;
        }
        let larger = Index { entries: (params.tables + place.offset()) as *mut IndexEntry, len };
        let mut used = 0;
        for at in 0..index.len {
            let entry = index.at(at).read();
            if entry.cell != CellRef::NONE {
                used += larger.insert(entry, usize::MAX) as u32;
            }
        }
        (*thread).index = larger.entries as u64;
        (*thread).index_len = len as u64;
        reuse(params, thread, index);
        (*thread).index_used = used;
        true
    }
}

/// Reuses an old index as room for cells, if it is larger than what is left of the chunk.
#[inline(never)]
unsafe fn reuse(params: &Params, thread: *mut Thread, index: Index) {
    let size = (index.len * size_of::<IndexEntry>()) as u64;
    // SAFETY: the index is this M's and no longer used; the recorder does not read it.
    unsafe {
        let first = (&raw const (*thread).first_index) as u64;
        if index.entries as u64 == first || (*thread).chunk_end - (*thread).chunk_next >= size {
            return;
        }
        for place in 0..index.len {
            // Volatile: otherwise the compiler would call memset, which does not exist here.
            index.at(place).cast::<u64>().write_volatile(0);
        }
        (*thread).chunk_next = index.entries as u64 - params.tables;
        (*thread).chunk_end = (*thread).chunk_next + size;
    }
}

/// Makes a finished cell visible to the recorder.
unsafe fn publish(params: &Params, thread: *mut Thread, cell: *mut Cell, home: u64) {
    // SAFETY: thread and cell are ours; the recorder reads `cells` with acquire.
    unsafe {
        (*cell).next = CellRef((*thread).cells.load(Relaxed));
        (*cell).home = home;
        (*thread).cell_count += 1;
        (*thread).cells.store(reference(params, cell).0, Release);
    }
}

unsafe fn insert(thread: *mut Thread, hash: u64, cell: CellRef, probes: usize) {
    // SAFETY: thread is ours.
    unsafe {
        if Index::of(thread).insert(IndexEntry { tag: hash as u32, cell }, probes) {
            (*thread).index_used += 1;
        }
    }
}
