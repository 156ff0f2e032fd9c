//! Tracks the thread on which each goroutine last crossed.
//!
//! A thread's table remembers the goroutine that crossed on it last ([`Thread::goid`]), so the next crossing of that
//! goroutine needs no lookup. A goroutine that crosses elsewhere clears that word of the thread where it was. So the
//! thread notices when the goroutine comes back.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::arena;
use crate::layout::{BUSY, CellRef, GOROUTINE_BLOCK, GOROUTINES, Goroutine, NUMBERED_THREADS, OTHER_THREADS, Thread};
use crate::mapping::header;
use crate::params::Params;
use crate::runtime::word;

/// `_Gdead` of `g.atomicstatus`, which lies before `g.goid` in every release measured (runtime/runtime2.go).
const DEAD: u32 = 6;

/// Notes that a goroutine other than the last one is about to cross on this thread. Returns whether that goroutine last
/// crossed on another thread.
///
/// # Safety
/// `g` must be the running goroutine and `thread` its M's.
#[inline(never)]
pub(crate) unsafe fn switched(params: &Params, thread: *mut Thread, g: u64) -> bool {
    // SAFETY: g is live; thread is this M's.
    unsafe {
        hand_over(params, thread);
        let goid = word(g, params.g_goid);
        let entry = find(params, goid, g);
        (*thread).goid.store(goid, Relaxed);
        (*thread).goroutine = entry as u64;
        (*thread).goroutine_goid = goid;
        if entry.is_null() {
            return false;
        }
        let (before, generation) = ((*entry).thread, (*entry).generation);
        let is_table = before == thread as u64;
        if is_table && generation == (*thread).generation {
            return false;
        }
        (*entry).thread = thread as u64;
        (*entry).generation = (*thread).generation;
        (*entry).later_threads += is_table as u64;
        add_thread(entry, (*thread).number as usize);
        if before == 0 {
            return false;
        }
        if !is_table {
            let _ = (*(before as *const Thread)).goid.compare_exchange(goid, 0, Relaxed, Relaxed);
        }
        (*entry).migrations += 1;
        true
    }
}

/// Notes that a goroutine has crossed on the thread of this number.
unsafe fn add_thread(entry: *mut Goroutine, number: usize) {
    // SAFETY: the caller's entry lies in the mapping; only the thread that runs the goroutine writes there.
    unsafe {
        if number < NUMBERED_THREADS {
            *(&raw mut (*entry).threads).cast::<u64>().add(number / 64) |= 1 << (number % 64);
            return;
        }
        for index in 0..OTHER_THREADS {
            let other = (&raw mut (*entry).others).cast::<u16>().add(index);
            if *other == 0 {
                *other = number as u16;
            }
            if *other == number as u16 {
                return;
            }
        }
        (*entry).beyond = 1;
    }
}

/// Adds the crossings of the thread's last goroutine to that goroutine's entry.
///
/// # Safety
/// `thread` must be the running M's.
pub(crate) unsafe fn hand_over(params: &Params, thread: *mut Thread) {
    // SAFETY: thread is this M's; the entry lies in the mapping.
    unsafe {
        let run = core::mem::replace(&mut (*thread).run, 0);
        let entry = (*thread).goroutine as *const Goroutine;
        if entry.is_null() || (*entry).goid.load(Relaxed) != (*thread).goroutine_goid {
            header(params).forgotten.calls.fetch_add(run, Relaxed);
        } else {
            (*entry).calls.fetch_add(run, Relaxed);
        }
    }
}

/// Notes that a goroutine has locked itself to its thread, at the place of this cell. Its next crossing may be on
/// another thread than the one before; that crossing notes the migration.
///
/// # Safety
/// `g` must be the running goroutine.
#[inline(never)]
pub(crate) unsafe fn locked(params: &Params, g: u64, cell: CellRef) {
    // SAFETY: g is live; the entry lies in the mapping, and is that of the running goroutine.
    unsafe {
        let entry = find(params, word(g, params.g_goid), g);
        if !entry.is_null() {
            (*entry).locks += 1;
            name(entry, cell);
        }
    }
}

/// Notes the cell by which a goroutine can be named, if it has none yet.
///
/// # Safety
/// `entry` must be null or that of the running goroutine.
pub(crate) unsafe fn name(entry: *mut Goroutine, cell: CellRef) {
    // SAFETY: the entry lies in the mapping.
    unsafe {
        if !entry.is_null() && (*entry).cell == CellRef::NONE {
            (*entry).cell = cell;
        }
    }
}

/// Returns the entry of a goroutine, a new one if it has none; null if all entries that it may have are in use.
unsafe fn find(params: &Params, goid: u64, g: u64) -> *mut Goroutine {
    // SAFETY: entries lie in the mapping.
    unsafe {
        let block = block(params, goid);
        if block.is_null() {
            return block;
        }
        for probe in 0..GOROUTINE_BLOCK {
            if (*block.add(probe)).goid.load(Acquire) == goid {
                return block.add(probe);
            }
        }
        let free = claim(block, goid, g);
        if free.is_null() { evict(params, block, goid, g) } else { free }
    }
}

/// Returns the block with the entries that a goroutine may have; null if there is no room for the block.
unsafe fn block(params: &Params, goid: u64) -> *mut Goroutine {
    const BLOCKS: usize = GOROUTINES / GOROUTINE_BLOCK;
    let number = (goid.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % BLOCKS;
    // SAFETY: number is below BLOCKS; a reference other than 0 leads to a block.
    unsafe {
        let place = &*(&raw const header(params).goroutine_blocks).cast::<AtomicU32>().add(number);
        match place.load(Acquire) {
            0 => new_block(params, place),
            at => (params.tables + CellRef(at).offset()) as *mut Goroutine,
        }
    }
}

#[cold]
#[inline(never)]
unsafe fn new_block(params: &Params, place: &AtomicU32) -> *mut Goroutine {
    // SAFETY: the mapping is live. If another M was first, its block is used, and the room of this one is lost.
    unsafe {
        let at = arena::take(params, (GOROUTINE_BLOCK * size_of::<Goroutine>()) as u64, params.arena_end);
        let at = if at == CellRef::NONE {
            at
        } else {
            match place.compare_exchange(0, at.0, Release, Acquire) {
                Ok(_) => at,
                Err(other) => CellRef(other),
            }
        };
        if at == CellRef::NONE { core::ptr::null_mut() } else { (params.tables + at.offset()) as *mut Goroutine }
    }
}

/// Gives a free entry of a block to a goroutine; returns null if there is none.
#[cold]
#[inline(never)]
unsafe fn claim(block: *mut Goroutine, goid: u64, g: u64) -> *mut Goroutine {
    for probe in 0..GOROUTINE_BLOCK {
        // SAFETY: entries lie in the mapping; only the thread that wins the exchange uses the rest of the entry.
        unsafe {
            let entry = block.add(probe);
            if (*entry).goid.compare_exchange(0, BUSY, Acquire, Relaxed).is_ok() {
                return take(entry, goid, g);
            }
        }
    }
    core::ptr::null_mut()
}

/// Evicts an entry for a goroutine that has none: that of an ended goroutine if there is one, else that of the one with
/// the fewest crossings.
#[cold]
#[inline(never)]
unsafe fn evict(params: &Params, block: *mut Goroutine, goid: u64, g: u64) -> *mut Goroutine {
    let (mut victim, mut least) = (core::ptr::null_mut::<Goroutine>(), (true, u64::MAX));
    for probe in 0..GOROUTINE_BLOCK {
        // SAFETY: entries lie in the mapping; a g is never freed (runtime/proc.go, allgs).
        unsafe {
            let candidate = block.add(probe);
            let thread = (*candidate).thread as *const Thread;
            let in_use = !thread.is_null()
                && (*thread).goroutine == candidate as u64
                && (*thread).goid.load(Relaxed) == (*candidate).goid.load(Relaxed);
            let rank = (is_alive(params, candidate), (*candidate).calls.load(Relaxed));
            if !in_use && rank < least {
                (victim, least) = (candidate, rank);
            }
        }
    }
    if victim.is_null() {
        return victim;
    }
    // SAFETY: as above.
    unsafe {
        let before = (*victim).goid.load(Relaxed);
        if before == BUSY || (*victim).goid.compare_exchange(before, BUSY, Acquire, Relaxed).is_err() {
            return core::ptr::null_mut();
        }
        let forgotten = &header(params).forgotten;
        forgotten.goroutines.fetch_add(1, Relaxed);
        forgotten.alive.fetch_add(least.0.into(), Relaxed);
        forgotten.calls.fetch_add((*victim).calls.load(Relaxed), Relaxed);
        forgotten.migrations.fetch_add((*victim).migrations, Relaxed);
        take(victim, goid, g)
    }
}

/// Returns whether the goroutine of an entry has not ended.
unsafe fn is_alive(params: &Params, entry: *const Goroutine) -> bool {
    // SAFETY: the caller's entry lies in the mapping, and a g is never freed.
    unsafe {
        let (g, goid) = ((*entry).g, (*entry).goid.load(Relaxed));
        g != 0 && word(g, params.g_goid) == goid && ((g + params.g_goid - 8) as *const u32).read() != DEAD
    }
}

/// Gives an entry that this thread has made [`BUSY`] to a goroutine.
unsafe fn take(entry: *mut Goroutine, goid: u64, g: u64) -> *mut Goroutine {
    // SAFETY: no other thread writes while the entry is busy.
    unsafe {
        (*entry).g = g;
        (*entry).thread = 0;
        (*entry).generation = 0;
        (*entry).later_threads = 0;
        (*entry).calls.store(0, Relaxed);
        (*entry).migrations = 0;
        (*entry).locks = 0;
        (*entry).cell = CellRef::NONE;
        for index in 0..NUMBERED_THREADS / 64 {
            (&raw mut (*entry).threads).cast::<u64>().add(index).write(0);
        }
        for index in 0..OTHER_THREADS {
            (&raw mut (*entry).others).cast::<u16>().add(index).write(0);
        }
        (*entry).beyond = 0;
        (*entry).goid.store(goid, Release);
    }
    entry
}
