//! Hooks of a crossing: when it enters, when C returns, and when it is back in Go.

use core::sync::atomic::Ordering::Relaxed;

use crate::adding;
use crate::cells::{self, Key};
use crate::clock::now;
use crate::events::event;
use crate::goroutines;
use crate::layout::{Cell, CellRef, Event, Goroutine, InFlight, MAPPING_MAX, TICKS, Thread, flags, kind};
use crate::mapping::{at_ref, header, reference, spare};
use crate::overflow;
use crate::params::Params;
use crate::runtime::{G_M, G_STACK_HI, word};
use crate::stack::Stack;
use crate::threads;
use crate::times::{rare, times};

/// Record that a crossing's C hook leaves to its exit hook, in the two dead argument words of `cgocall`'s frame. The
/// words move with the goroutine, whichever thread resumes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ExitRecord {
    /// The crossing's cell.
    pub cell: CellRef,
    /// Number of crossings that it stands for, at most 255; 0 when only its exit was timed.
    pub gap: u32,
    /// Whether every such exit is timed, so that this one stands for itself alone.
    pub census: bool,
    /// Whether its P was taken while it was in C.
    pub p_lost: bool,
    /// Whether it was long in C and is an event.
    pub event: bool,
    /// Ticks of its enter phase, at most 2^21 - 1.
    pub enter: u64,
}

/// Highest bits of the packed word. The address of a C function, which lies there otherwise, has a highest byte of 0.
const TAG: u64 = 0x32;
/// Lowest bit of the tag.
const TAG_BIT: u32 = 58;
/// Longest enter phase that the word holds.
const ENTER_MAX: u64 = (1 << 21) - 1;

impl ExitRecord {
    /// Packs the record into one word.
    #[inline(always)]
    pub fn pack(self) -> u64 {
        let enter = if self.enter > ENTER_MAX { ENTER_MAX } else { self.enter };
        TAG << TAG_BIT
            | enter << 37
            | (self.event as u64) << 36
            | (self.p_lost as u64) << 35
            | (self.census as u64) << 34
            | (self.gap as u64 & 255) << 26
            | (self.cell.0 as u64 & (MAPPING_MAX / 64 - 1))
    }

    /// Unpacks a word found in the frame; none if no C hook wrote it. A crossing that was in C before the attach has
    /// `cgocall`'s arguments there.
    #[inline(always)]
    pub fn unpack(word: u64) -> Option<ExitRecord> {
        if word >> TAG_BIT != TAG {
            return None;
        }
        Some(ExitRecord {
            cell: CellRef(word as u32 & (MAPPING_MAX / 64 - 1) as u32),
            gap: (word >> 26) as u32 & 255,
            census: word >> 34 & 1 == 1,
            p_lost: word >> 35 & 1 == 1,
            event: word >> 36 & 1 == 1,
            enter: word >> 37 & ENTER_MAX,
        })
    }
}

/// Runs at `cgocall`'s call of `entersyscall` if the enter thunk has not found the M's table. Finds the table, counts
/// the crossing and puts it in flight. Returns its entry's address, one more if it is timed, or 0 if the M has no
/// table.
///
/// # Safety
/// `g` must be the running goroutine and `frame` the frame pointer of `cgocall`.
#[inline(always)]
pub(crate) unsafe fn arrived(params: &Params, g: u64, frame: u64) -> u64 {
    // SAFETY: g is live; g.m and its fields are readable while the goroutine runs.
    unsafe {
        let thread = threads::find(params, word(g, G_M as u64));
        if thread.is_null() {
            overflow::count(params, function(params, frame), overflow::Beyond::Threads);
            return 0;
        }
        if (*thread).goid.load(Relaxed) != word(g, params.g_goid) {
            return switched(params, g, frame, thread);
        }
        (*thread).run += 1;
        entered(params, g, frame, thread)
    }
}

/// As [`arrived`], for a goroutine that is not the last that crossed on this thread.
///
/// # Safety
/// As [`arrived`]; `thread` must be the M's table, if the M still has the same kernel thread.
#[inline(always)]
pub(crate) unsafe fn switched(params: &Params, g: u64, frame: u64, thread: *mut Thread) -> u64 {
    // SAFETY: as above; an M that has got a new thread comes with another goroutine.
    unsafe {
        let m = word(g, G_M as u64);
        let thread = if (*thread).tid == word(m, params.m_procid) { thread } else { threads::find(params, m) };
        if thread.is_null() {
            overflow::count(params, function(params, frame), overflow::Beyond::Threads);
            return 0;
        }
        let migrated = goroutines::switched(params, thread, g);
        (*thread).run += 1;
        let entry = entered(params, g, frame, thread);
        let cell = (*((entry & !1) as *const InFlight)).cell();
        (*cell).migrations += migrated as u64;
        goroutines::name((*thread).goroutine as *mut Goroutine, reference(params, cell));
        entry
    }
}

/// Finds the cell of a crossing, counts the crossing, and puts it in flight.
///
/// # Safety
/// As [`arrived`]; `thread` must be the running M's.
#[inline(always)]
pub(crate) unsafe fn entered(params: &Params, g: u64, frame: u64, thread: *mut Thread) -> u64 {
    // SAFETY: cgocall's frame and everything above it up to g.stack.hi are readable while the goroutine runs.
    unsafe {
        let locks = ((word(g, G_M as u64) + params.m_locked_ext) as *const u32).read();
        let key = cells::ask(
            thread,
            Key {
                function: function(params, frame),
                stack: Stack { frame, top: word(g, G_STACK_HI as u64) },
                leaf: 0,
                enclosing: (*thread).enclosing,
                flags: if locks != 0 { flags::LOCKED } else { 0 },
                locks,
            },
        );
        let cell = cells::find(params, thread, key);
        (*cell).calls += 1;
        if cell == spare(thread) {
            overflow::count(params, (*key).function, overflow::Beyond::Cells);
        }
        if (*cell).calls == (*cell).timed_at {
            return timed(thread, cell);
        }
        push(thread, cell, false) as u64
    }
}

/// Returns the C function that `cgocall` is about to call.
unsafe fn function(params: &Params, frame: u64) -> u64 {
    // SAFETY: cgocall's frame is readable.
    unsafe {
        let function = word(frame, params.spilled_fn);
        if function == params.indirect_fn { word(word(frame, params.spilled_arg), 0) } else { function }
    }
}

/// Returns whether the P of an M in a system call was taken. From Go 1.26 on, `m.p` is 0 then; before, `oldp.status` is
/// no longer `_Psyscall`, or its tick has moved on (runtime/proc.go, `exitsyscall`).
///
/// # Safety
/// `m` must be the running M.
pub(crate) unsafe fn p_was_taken(params: &Params, m: u64) -> bool {
    const PSYSCALL: u32 = 2;
    // SAFETY: the M is live, and Ps are never freed.
    unsafe {
        if params.p_stays_wired != 0 {
            return word(m, params.m_p) == 0;
        }
        let oldp = word(m, params.m_oldp);
        if oldp == 0 {
            return false;
        }
        let (status, tick) = (((oldp + 4) as *const u32).read(), ((oldp + 20) as *const u32).read());
        status != PSYSCALL || tick != ((m + params.m_syscalltick) as *const u32).read()
    }
}

/// Runs at `exitsyscall`'s call of `mcall` where there is no P: the goroutine waits, and its M parks. `frame` is the
/// frame pointer of `exitsyscall`.
///
/// # Safety
/// `g` must be the running goroutine.
pub(crate) unsafe fn parked(params: &Params, g: u64, frame: u64) {
    // SAFETY: g is live. The entry of the crossing that has just returned is still there: nothing was put in flight
    // since.
    unsafe {
        if word(frame, 8) != params.after_exitsyscall {
            return;
        }
        let thread = threads::find(params, word(g, G_M as u64));
        if thread.is_null() {
            return;
        }
        let cell = (*((*thread).top as *const InFlight)).cell();
        if !cell.is_null() {
            (*rare(params, thread, cell)).parked += 1;
        }
    }
}

/// Puts a crossing in flight that is already counted and is to be timed. Sets when the next one is timed, and reads the
/// clock last. Returns the entry's address plus one.
///
/// # Safety
/// `thread` must be the running M's and `cell` one of its cells.
#[inline(always)]
pub(crate) unsafe fn timed(thread: *mut Thread, cell: *mut Cell) -> u64 {
    // SAFETY: both are this M's.
    unsafe {
        let entry = push(thread, cell, true);
        (*entry).gap = reload(thread, cell);
        (*entry).callback_ticks = 0;
        (*entry).callback_began = 0;
        (*entry).called = 0;
        (*entry).entered = now();
        entry as u64 + 1
    }
}

/// Returns a new entry for a crossing. There is always room for one: the hook at a callback's begin ensures that.
#[inline(always)]
pub(crate) unsafe fn push(thread: *mut Thread, cell: *mut Cell, timed: bool) -> *mut InFlight {
    // SAFETY: both are this M's; top is below the array's end.
    unsafe {
        let entry = (*thread).top as *mut InFlight;
        (*entry).tagged_cell = cell as u64 + timed as u64;
        (*entry).in_go = 0;
        (*entry).thread = thread as u64;
        (*entry).coarse = (*thread).coarse.load(Relaxed);
        (*thread).top = entry.add(1) as u64;
        entry
    }
}

/// Sets when a cell's next crossing is timed. Returns how many crossings the present one stands for.
#[inline(always)]
pub(crate) unsafe fn reload(thread: *mut Thread, cell: *mut Cell) -> u32 {
    // SAFETY: both are this M's.
    unsafe {
        let gap = (*cell).gap;
        let next = next_gap(thread, (*cell).interval.load(Relaxed));
        (*cell).gap = next;
        (*cell).timed_at = (*cell).calls + next as u64;
        gap
    }
}

/// Returns a random number of crossings with this mean, so that a periodic program is not sampled in step.
#[inline(always)]
unsafe fn next_gap(thread: *mut Thread, interval: u32) -> u32 {
    if interval <= 1 {
        return interval;
    }
    // SAFETY: thread is this M's.
    let random = unsafe {
        let mut x = (*thread).random;
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (*thread).random = x;
        x >> 32
    };
    1 + ((random * (2 * interval as u64 - 1)) >> 32) as u32
}

/// Returns the end of the array of crossings in flight.
#[inline(always)]
pub(crate) fn end(thread: *mut Thread) -> u64 {
    // SAFETY: only the address is taken; thread points into the mapping.
    unsafe { (&raw mut (*thread).in_flight).add(1) as u64 }
}

/// Returns the innermost crossing in flight, null if there is none.
#[inline(always)]
pub(crate) unsafe fn innermost(thread: *mut Thread) -> *mut InFlight {
    // SAFETY: thread is this M's; top stays within the array.
    unsafe {
        let first = (&raw mut (*thread).in_flight) as u64;
        if (*thread).top == first {
            return core::ptr::null_mut();
        }
        ((*thread).top as *mut InFlight).sub(1)
    }
}

/// Runs after the C function of a crossing that is timed, is long or has lost its P. Takes it out of flight, adds its
/// times, and fills the slots if its exit is to be timed.
///
/// # Safety
/// `entry` must be the running M's, and `slots` the two dead words in `cgocall`'s frame.
#[inline(always)]
pub(crate) unsafe fn returned(params: &Params, entry: *mut InFlight, at: u64, slots: *mut u64, p_lost: bool) {
    // SAFETY: the caller's promise; the entry names a finished cell of this M.
    unsafe {
        let thread = (*entry).thread as *mut Thread;
        (*thread).top = entry as u64;
        let cell = (*entry).cell();
        if p_lost {
            (*rare(params, thread, cell)).p_lost += 1;
        }
        if params.first_interval == 0 {
            return;
        }
        let long = (*thread).coarse.load(Relaxed) - (*entry).coarse >= 2;
        let timed = (*entry).timed();
        let gap = (*entry).gap as u64;
        let (mut c, mut begin_span) = (0, 0);
        if timed {
            c = at.wrapping_sub((*entry).called);
        } else if long {
            let (from, to, is_certain) = began_between(params, entry, at);
            let span = to - from;
            (*rare(params, thread, cell)).begin_within(span);
            c = at - (from + span / 2);
            if is_certain {
                begin_span = span.min(u32::MAX as u64);
            }
        }
        let callback = if timed { (*entry).callback_ticks } else { 0 };
        let mut enter = 0;
        if timed {
            let times = times(params, thread, cell);
            enter = (*entry).called.wrapping_sub((*entry).entered);
            (*times).timed += 1;
            (*times).weight += gap;
            (*times).skipped += gap * (gap - 1);
            (*times).enter.sample(enter, gap);
            if enter >= params.slow {
                let (tid, goid) = (word((*thread).procid, 0), (*thread).goroutine_goid);
                let (from, to, cell) = ((*entry).entered, (*entry).called, cell as u64);
                event(thread, Event { kind: kind::ENTER, begin_span: 0, cell, from, to, tid, goid, gap, enter });
            }
        }
        if timed || long {
            let times = times(params, thread, cell);
            if long {
                (*times).c.whole(c);
            } else {
                (*times).c.sample(c, gap);
            }
            if callback != 0 {
                let of_callbacks = &mut (*rare(params, thread, cell)).callback;
                if long { of_callbacks.whole(callback) } else { of_callbacks.sample(callback, gap) }
            }
            adding::add(params, thread, &raw mut (*times).c_histogram, c, if long { 1 } else { gap });
            (*times).c_min = (*times).c_min.min(c);
            (*times).c_max = (*times).c_max.max(c);
            (*thread).last_returned = at;
        }
        let slow = (timed || long) && c >= params.slow;
        if slow {
            let gap = if long { 1 | Event::CENSUS } else { gap };
            let (kind, goid) = match (*cell).flags & (flags::DIRECT | flags::LOCKED) {
                0 => (kind::C, (*thread).goroutine_goid),
                flags::LOCKED => (kind::C_LOCKED, (*thread).goroutine_goid),
                _ => (kind::DIRECT, 0),
            };
            let (tid, from) = (word((*thread).procid, 0), at.wrapping_sub(c));
            let begin_span = begin_span as u32;
            event(thread, Event { kind, begin_span, cell: cell as u64, from, to: at, tid, goid, gap, enter });
        }
        // A crossing's exit is in the census exactly if this holds, timed or not.
        let census = long || p_lost;
        if (*cell).flags & flags::DIRECT != 0 || !(timed || census) {
            return;
        }
        let (cell, gap) = (reference(params, cell), if timed { gap as u32 } else { 0 });
        let packed = ExitRecord { cell, gap, census, p_lost, event: slow, enter };
        slots.write(packed.pack());
        slots.add(1).write(at);
    }
}

/// Returns the interval in which an untimed crossing began that returned at `returned`: its coarse tick, from the last
/// known return of its thread on. Ticks are long when the recorder is held up. The last value is false if the tick is
/// no longer remembered: the interval is then as long as the tick's age is uncertain.
unsafe fn began_between(params: &Params, entry: *mut InFlight, returned: u64) -> (u64, u64, bool) {
    // SAFETY: the header is mapped; the entry and its cell are the running M's.
    unsafe {
        let coarse = &header(params).coarse;
        let (sequence, newest) = ((*entry).coarse, coarse.sequence.load(Relaxed));
        let at = |n: u64| coarse.at[n as usize % TICKS].load(Relaxed);
        if newest - sequence + 1 < TICKS as u64 {
            let (from, to) = (at(sequence), at(sequence + 1));
            let last_returned = (*((*entry).thread as *mut Thread)).last_returned;
            // Crossings in its callbacks return after it began.
            let comes_later = (*(*entry).cell()).callbacks == 0 && (from..=to).contains(&last_returned);
            let to = to.min(returned);
            return (if comes_later { last_returned } else { from }.min(to), to, true);
        }
        let oldest = newest + 2 - TICKS as u64;
        let step = at(newest).wrapping_sub(at(oldest)) / (newest - oldest);
        // Ticks before those that are remembered may have been shorter or longer.
        let age = step * (oldest - sequence);
        let middle = at(oldest).saturating_sub(age);
        (middle.saturating_sub(age / 2), (middle + age / 2).min(returned), false)
    }
}

/// Runs at `cgocall`'s epilogue, on the M on which the goroutine has resumed. Adds the exit phase.
///
/// # Safety
/// `g` must be the running goroutine and `packed` the word its frame carried.
#[inline(always)]
pub(crate) unsafe fn exited(params: &Params, g: u64, packed: u64, from: u64, to: u64) {
    let Some(slots) = ExitRecord::unpack(packed) else { return };
    if from < params.begun || slots.cell.offset() + size_of::<Cell>() as u64 > params.arena_end {
        return;
    }
    // SAFETY: g is live; a packed word names a finished cell of the mapping.
    unsafe {
        let thread = threads::find(params, word(g, G_M as u64));
        if thread.is_null() {
            return;
        }
        let origin = at_ref(params, slots.cell);
        let cell = if (*origin).home == thread as u64 { origin } else { cells::migrated_exit(params, thread, origin) };
        if cell.is_null() {
            return;
        }
        let exit = to.wrapping_sub(from);
        add_exit(params, thread, cell, slots, exit);
        if slots.event || exit >= params.slow {
            let (tid, goid, cell) = ((*thread).tid, word(g, params.g_goid), origin as u64);
            let gap = if slots.census { 1 | Event::CENSUS } else { slots.gap as u64 };
            event(
                thread,
                Event { kind: kind::EXIT, begin_span: 0, cell, from, to, tid, goid, gap, enter: slots.enter },
            );
        }
    }
}

/// Adds an exit phase to a cell of the running M.
#[inline(always)]
unsafe fn add_exit(params: &Params, thread: *mut Thread, cell: *mut Cell, slots: ExitRecord, exit: u64) {
    // SAFETY: thread and cell are ours.
    unsafe {
        let overhead = exit + slots.enter;
        let times = times(params, thread, cell);
        (*times).exits += slots.gap as u64;
        let weight = if slots.census {
            (*times).exit.whole(exit);
            1
        } else {
            (*times).exit.sample(exit, slots.gap as u64);
            slots.gap as u64
        };
        (*times).overhead_min = (*times).overhead_min.min(overhead);
        (*times).overhead_max = (*times).overhead_max.max(overhead);
        adding::add(params, thread, &raw mut (*times).overhead_histogram, overhead, weight);
        if slots.p_lost {
            let rare = rare(params, thread, cell);
            (*rare).waits += 1;
            (*rare).wait_sum += exit;
            (*rare).wait_max = (*rare).wait_max.max(exit);
        }
    }
}
