//! The recorder's side of the shared tables.
//!
//! The mapping belongs to the target, which may write anything into it: every reference is checked, and a
//! number is only ever a number.

use std::collections::HashMap;
use std::fs::File;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Mutex, PoisonError};

use cgoprof_hook::histogram::BUCKETS;
use cgoprof_hook::layout::{
    ARENA_OFFSET, BIRTHS, BUSY, Block, Cell, CellRef, EVENTS, Event, Frame, GOROUTINE_BLOCK, GOROUTINES,
    GOROUTINES_OFFSET, Goroutine, Header, IN_FLIGHT, InFlight, LEAVING, MAX_FRAMES, OVERFLOW, PLUGIN_CLAIMED,
    PLUGIN_NONE, PLUGIN_WAITING, RELEASING, THREAD_STRIDE, THREADS, THREADS_OFFSET, TICKS, Thread, flags,
};
use cgoprof_hook::presence::Presence;
use cgoprof_symbols::Avma;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::Pid;

use super::left::{Left, MOST_LEFT};
use super::policy::{Budget, Outliers, Pool, Shown, interval};
use crate::process::memory;
use crate::process::tids::Tids;
use crate::snapshot::{
    BirthCopy, CellCopy, ForgottenCopy, GoroutineCopy, InFlightCopy, LockedCopy, Look, Snapshot, ThreadCopy, Waits,
};

/// Tables in use up to which those of threads that have ended are left to wait.
const FEW: usize = 64;

/// The shared tables, mapped into our memory.
pub struct Tables {
    base: NonNull<u8>,
    size: u64,
    address: Avma,
    bias: u64,
    tids: Tids,
    left: Mutex<Left>,
    /// Added to the references of its cells.
    first_cell: u32,
}

/// Where the program has the cells of one module's tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CellAddresses {
    range: Range<Avma>,
    tables: Avma,
    first_cell: u32,
}

impl CellAddresses {
    /// The cell at an address of the program, if there can be one.
    pub(crate) fn cell(&self, address: u64) -> Option<CellRef> {
        let offset = address.wrapping_sub(self.tables.0);
        (self.range.contains(&Avma(address)) && offset.is_multiple_of(64))
            .then(|| outside(CellRef((offset / 64) as u32), self.first_cell))
    }
}

/// References from one module's first cell to the next module's. Tables are smaller than 4 GiB.
pub(super) const CELLS_OF_MODULE: u32 = 1 << 26;
/// Modules whose tables are told apart.
pub(crate) const MOST_MODULES: usize = 64;

/// The reference of a cell outside its tables.
fn outside(cell: CellRef, first_cell: u32) -> CellRef {
    if cell == CellRef::NONE { cell } else { CellRef(cell.0.wrapping_add(first_cell)) }
}

// SAFETY: the mapping stays until drop; shared words are accessed as atomics or as copies of plain numbers.
unsafe impl Send for Tables {}
// SAFETY: as above.
unsafe impl Sync for Tables {}

impl Tables {
    /// Maps the tables and writes their header. `address` is where the target, process `pid`, has them.
    ///
    /// # Errors
    /// If the system refuses the mapping.
    pub fn map(file: &File, size: u64, address: Avma, bias: u64, pid: Pid) -> std::io::Result<Tables> {
        let length = NonZeroUsize::new(size as usize).ok_or(std::io::ErrorKind::InvalidInput)?;
        // SAFETY: a new mapping at a place the kernel chooses.
        let base =
            unsafe { mmap(None, length, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, file, 0) }?;
        let (tids, left) = (Tids::of(pid), Mutex::default());
        let tables = Tables { base: base.cast(), size, address, bias, tids, left, first_cell: 0 };
        let header = tables.base.as_ptr().cast::<Header>();
        // SAFETY: the mapping holds a header and the target does not run yet.
        unsafe {
            (*header).presence.size = size;
            (*header).arena_next.store(ARENA_OFFSET, Relaxed);
        }
        Ok(tables)
    }

    /// The same tables as those of a recording's module with this number, from 0 to [`MOST_MODULES`]: references of cells then
    /// differ from those of other modules.
    pub(crate) fn numbered(mut self, module: usize) -> Tables {
        self.first_cell = module as u32 * CELLS_OF_MODULE;
        self
    }

    /// Writes who is at work with them.
    pub(super) fn announce(&self, presence: Presence) {
        let header = self.base.as_ptr().cast::<Header>();
        // SAFETY: the mapping begins with a header; only recorders read this part of it.
        unsafe { (&raw mut (*header).presence).write_volatile(presence) };
    }

    /// Where the target has them.
    pub fn address(&self) -> Avma {
        self.address
    }

    /// Bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// How far from its stated addresses the program was loaded.
    pub fn bias(&self) -> u64 {
        self.bias
    }

    /// Tells the hooks the time, coarsely.
    pub fn tick(&self, now: u64) {
        let coarse = &self.header().coarse;
        let next = coarse.sequence.load(Relaxed) + 1;
        coarse.at[next as usize % TICKS].store(now, Relaxed);
        coarse.sequence.store(next, Release);
        for index in self.used() {
            // SAFETY: thread() is within the mapping; the word is the recorder's.
            unsafe { (*self.thread(index)).coarse.store(next, Release) };
        }
    }

    /// Cells so far whose C function is not in the program's own file.
    pub fn foreign_cells(&self) -> u64 {
        self.header().foreign_cells.load(Relaxed)
    }

    /// Hands out the slow crossings since the last call, each once. [`Event::cell`] is 64 times the cell's reference.
    pub fn read_events(&self, mut visit: impl FnMut(Event)) {
        for index in self.used() {
            let thread = self.thread(index);
            // SAFETY: thread() is within the mapping; what the target wrote there are plain numbers.
            unsafe {
                let (written, read) = ((*thread).events_written.load(Acquire), (*thread).events_read.load(Relaxed));
                for number in read..written.min(read.saturating_add(EVENTS as u64)) {
                    let event = (&raw const (*thread).events).cast::<Event>().add(number as usize % EVENTS).read();
                    let cell = u64::from(outside(self.reference(event.cell), self.first_cell).0) * 64;
                    visit(Event { tid: self.tids.ours(event.tid), cell, ..event });
                }
                (*thread).events_read.store(written, Release);
            }
        }
    }

    /// Crossings by `cgocall` so far.
    pub fn crossings(&self) -> u64 {
        const OTHERS: u32 = flags::DIRECT | flags::VISITOR | flags::CALLBACK | flags::LOCK;
        let header = self.header();
        let overflow: u64 = header.overflow.iter().map(|entry| entry.calls.load(Relaxed)).sum();
        let mut sum = overflow + header.unattributed.load(Relaxed);
        // SAFETY: each_cell gives a cell within the mapping.
        self.each_cell(|_, cell| unsafe { sum += if (*cell).flags & OTHERS == 0 { (*cell).calls } else { 0 } });
        sum
    }

    /// Whether the program waits with a plugin that it has loaded.
    pub fn plugin_is_waiting(&self) -> bool {
        self.header().plugin.load(Acquire) == PLUGIN_WAITING
    }

    /// Claims the waiting plugin: the program then waits for [`Tables::release_plugin`], for about ten seconds at most. Returns
    /// false if it no longer waits.
    pub fn claim_plugin(&self) -> bool {
        self.header().plugin.compare_exchange(PLUGIN_WAITING, PLUGIN_CLAIMED, Acquire, Relaxed).is_ok()
    }

    /// Whether the program still waits with the claimed plugin.
    pub fn plugin_is_claimed(&self) -> bool {
        self.header().plugin.load(Acquire) == PLUGIN_CLAIMED
    }

    /// Lets the program continue, unless its wait has timed out.
    pub fn release_plugin(&self) {
        let _ = self.header().plugin.compare_exchange(PLUGIN_CLAIMED, PLUGIN_NONE, Release, Relaxed);
    }

    /// Whether a thread has come to the hooks yet.
    pub fn any_used(&self) -> bool {
        self.header().used_count.load(Relaxed) > 0
    }

    /// Threads that have a table.
    pub fn threads_in_use(&self) -> u64 {
        self.used().filter(|&index| self.owner(index) != 0).count() as u64
    }

    /// Sets every cell's interval. `microsecond` is in ticks.
    pub(crate) fn apply_policy(&self, microsecond: f64, budget: Budget, outliers: impl Fn(CellRef) -> Outliers) {
        let mut pools: HashMap<u64, Pool> = HashMap::new();
        self.each_cell(|_, cell| {
            // SAFETY: each_cell gives a cell within the mapping; its numbers may be torn, never invalid.
            let (function, shown) = unsafe { ((*cell).function, shown(cell)) };
            pools.entry(function).or_default().add(&shown);
        });
        self.each_cell(|at, cell| {
            // SAFETY: as above.
            let (function, shown, current) = unsafe { ((*cell).function, shown(cell), &(*cell).interval) };
            let pool = pools.get(&function).copied().unwrap_or_default();
            let wanted = interval(&shown, outliers(outside(at, self.first_cell)), pool, budget, microsecond);
            if current.load(Relaxed) != wanted {
                current.store(wanted, Relaxed);
            }
        });
    }

    /// Makes the hooks as cheap as they get, for a program that goes on when its recording is over.
    pub fn relax(&self) {
        // SAFETY: each_cell gives a cell within the mapping.
        self.each_cell(|_, cell| unsafe { (*cell).interval.store(super::policy::LONGEST, Relaxed) });
    }

    /// Frees the tables of threads that have ended, for new ones. Their cells stay and count on.
    ///
    /// In two passes: an M may be taken by a new thread in the very moment that its old one is found ended (extra
    /// Ms serve one foreign thread after the other). It then finishes what it has begun in a table that is nobody
    /// else's yet, and takes another.
    pub fn release_ended(&self, pid: Pid) {
        if self.used().filter(|&index| self.owner(index) != 0).count() < FEW {
            return;
        }
        let alive = |tid: u64| self.tids.is_alive(tid);
        for index in self.used() {
            let thread = self.thread(index);
            // SAFETY: thread() is within the mapping; tid and procid are plain numbers.
            let (owner, tid, procid) = unsafe {
                let (tid, procid) = (&raw const (*thread).tid, &raw const (*thread).procid);
                (&(*thread).owner, tid.read_volatile(), procid.read_volatile())
            };
            let taken = owner.load(Acquire);
            let ended = || tid != 0 && !alive(tid) && !memory::word(pid, Avma(procid)).is_some_and(alive);
            if taken == LEAVING {
                // Nobody is left to finish there: nothing in flight, or its thread ended in C.
                if self.in_flight(index).0 != 0 && !ended() {
                    continue;
                }
                // From here on its thread can't take it back, which it may have done before.
                if owner.compare_exchange(LEAVING, RELEASING, Acquire, Relaxed).is_ok() {
                    let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
                    left.leave(index, self.thread_copy(index));
                    let room = left.locked.len() < MOST_LEFT;
                    left.locked.extend(self.locked(index).filter(|_| room));
                    // SAFETY: nobody has this table.
                    unsafe { (*thread).locked_since = 0 };
                    owner.store(0, Release);
                    self.header().freed.fetch_add(1, Release);
                }
            } else if taken > RELEASING && ended() {
                let _ = owner.compare_exchange(taken, LEAVING, Release, Relaxed);
            }
        }
    }

    /// Hands out the threads that the runtime began to make since the last call, each once.
    pub fn read_births(&self, mut visit: impl FnMut(BirthCopy)) {
        let header = self.header();
        let (written, mut read) = (header.births_written.load(Acquire), header.births_read.load(Relaxed));
        if read == written {
            return;
        }
        let end = written.min(read.saturating_add(BIRTHS as u64));
        while read < end {
            let birth = &header.births[read as usize % BIRTHS];
            if birth.sequence.load(Acquire) != read + 1 {
                // Still being written.
                break;
            } else {
                let holders = birth.holders.iter().filter(|holder| holder.count > 0);
                visit(BirthCopy {
                    at: birth.at,
                    creator: self.tids.ours(birth.creator),
                    cell: outside(self.reference(birth.cell), self.first_cell),
                    in_c: birth.in_c,
                    holders: holders
                        .map(|holder| (holder.count, outside(self.reference(holder.cell), self.first_cell)))
                        .collect(),
                });
            }
            read += 1;
        }
        header.births_read.store(read, Release);
    }

    /// Who is in C.
    pub fn look(&self, now: u64) -> Look {
        Look { at: now, in_c: self.in_c().collect() }
    }

    /// Kernel thread id and crossing of each M that is in C.
    pub fn in_c(&self) -> impl Iterator<Item = (u64, CellRef)> + '_ {
        self.used().filter(|&index| self.owner(index) > RELEASING).filter_map(|index| {
            let (depth, in_flight) = self.in_flight(index);
            // SAFETY: what is below depth is below IN_FLIGHT, and a plain number.
            let entry = unsafe { &*in_flight.add(depth.checked_sub(1)?) };
            let cell = self.reference(entry.cell() as u64);
            // SAFETY: cell() checks the place.
            let crosses = |cell: *mut Cell| unsafe { (*cell).flags & flags::DIRECT == 0 };
            let in_c = entry.in_go == 0 && self.cell(cell).is_some_and(crosses);
            // SAFETY: thread() is within the mapping.
            in_c.then(|| (self.tids.ours(unsafe { (*self.thread(index)).tid }), outside(cell, self.first_cell)))
        })
    }

    /// The crossing in which a thread has been in C since before a time, if it is known to be that: one that calls back may
    /// have been in C for another then. With it, when it began.
    pub fn in_c_since(&self, tid: u64, at: u64) -> Option<(u64, CellRef)> {
        // SAFETY: thread() is within the mapping; the id is a plain number.
        let is_its = |&index: &usize| unsafe { self.tids.ours((*self.thread(index)).tid) == tid };
        let index = self.used().filter(|&index| self.owner(index) > RELEASING).find(is_its)?;
        let (depth, in_flight) = self.in_flight(index);
        // SAFETY: what is below depth is below IN_FLIGHT, and a plain number.
        let entry = unsafe { &*in_flight.add(depth.checked_sub(1)?) };
        let entered = if entry.timed() { entry.entered } else { self.tick_time(entry.coarse + 1) };
        let cell = self.reference(entry.cell() as u64);
        // SAFETY: cell() checks the place.
        let calls_back = unsafe { (*self.cell(cell)?).callbacks > 0 };
        let is_it = entry.in_go == 0 && !calls_back && entered != 0 && entered <= at;
        is_it.then(|| (entered, outside(cell, self.first_cell)))
    }

    /// Where the program has cells.
    pub(crate) fn cells(&self) -> CellAddresses {
        let range = Avma(self.address.0 + THREADS_OFFSET)..Avma(self.address.0 + self.size);
        CellAddresses { range, tables: self.address, first_cell: self.first_cell }
    }

    /// The reference, within these tables, of a cell that the target has at an address.
    fn reference(&self, cell: u64) -> CellRef {
        CellRef((cell.wrapping_sub(self.address.0) / 64) as u32)
    }

    /// Copies what the tables hold. Exact when the target has ended, within one crossing a thread before.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut visitors = Vec::new();
        self.each_cell(|at, cell| {
            // SAFETY: each_cell gives a cell within the mapping.
            let home = unsafe { (*cell).home };
            let copy = self.copy(at, cell);
            match copy.flags & (flags::VISITOR | flags::CALLBACK | flags::LOCK) {
                0 => snapshot.cells.push(copy),
                flags::CALLBACK => snapshot.callbacks.push(copy),
                flags::LOCK => snapshot.locks.push(copy),
                _ => visitors.push((home, copy)),
            }
        });
        let index: HashMap<_, _> = snapshot.cells.iter().enumerate().map(|(index, cell)| (cell.at, index)).collect();
        for (home, visitor) in visitors {
            if let Some(&index) = index.get(&self.reference(home)) {
                snapshot.cells[index].add_exits(&visitor);
            }
        }
        for index in self.used() {
            self.copy_thread(index, &mut snapshot);
        }
        let header = self.header();
        for entry in header.overflow.iter().take(OVERFLOW) {
            let function = entry.function.load(Relaxed);
            let (threads, cells) = (entry.calls.load(Relaxed), entry.spare_calls.load(Relaxed));
            if function != 0 && threads > 0 {
                snapshot.overflow.push((Avma(function), threads));
            }
            if function != 0 && cells > 0 {
                snapshot.spare.push((Avma(function), cells));
            }
        }
        snapshot.threads = self.threads();
        snapshot.locked.extend(self.left.lock().unwrap_or_else(PoisonError::into_inner).locked.iter());
        let (goroutines, unnoticed) = self.goroutines();
        snapshot.goroutines = goroutines;
        let forgotten = &header.forgotten;
        snapshot.forgotten = ForgottenCopy {
            goroutines: forgotten.goroutines.load(Relaxed),
            alive: forgotten.alive.load(Relaxed),
            calls: forgotten.calls.load(Relaxed) + unnoticed,
            migrations: forgotten.migrations.load(Relaxed),
        };
        snapshot.missed_unlocks = header.unlocks_missed.load(Relaxed);
        snapshot.lost_births = header.births_dropped.load(Relaxed);
        snapshot.unattributed = header.unattributed.load(Relaxed);
        snapshot.unattributed_direct = header.unattributed_direct.load(Relaxed);
        snapshot.each_reference(|cell| *cell = outside(*cell, self.first_cell));
        snapshot
    }

    /// Notes that threads have ended to which goroutines were locked: for when the kernel does not tell.
    pub fn end_locks(&self, now: u64) {
        for index in self.used() {
            let thread = self.thread(index);
            // SAFETY: thread() is within the mapping; all are plain numbers.
            let (tid, since, unlocked) = unsafe { ((*thread).tid, (*thread).locked_since, (*thread).unlocked) };
            if since != 0 && unlocked == 0 && !self.tids.is_alive(tid) {
                // SAFETY: as above; its thread has ended, and the next that has the table begins by setting this.
                unsafe { (*thread).unlocked = now };
            }
        }
    }

    /// What every thread did that has a table or had one.
    fn threads(&self) -> Vec<ThreadCopy> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let present = self.used().map(|index| left.since(index, self.thread_copy(index)));
        left.gone
            .iter()
            .cloned()
            .chain(present)
            .filter(|thread| *thread != ThreadCopy { tid: thread.tid, m: thread.m, ..ThreadCopy::default() })
            .collect()
    }

    /// All that was ever counted in one table, by whichever threads had it.
    fn thread_copy(&self, index: usize) -> ThreadCopy {
        let thread = self.thread(index);
        // SAFETY: thread() is within the mapping.
        let (tid, m) = unsafe { ((*thread).tid, (*thread).m_id) };
        let mut copy = ThreadCopy { tid: self.tids.ours(tid), m, ..ThreadCopy::default() };
        self.each_cell_of(index, &mut 0, &mut |_, cell| {
            // SAFETY: each_cell_of gives a cell within the mapping.
            let (flags, function, shown, enclosing) =
                unsafe { ((*cell).flags, Avma((*cell).function), shown(cell), (*cell).enclosing) };
            if flags & flags::CALLBACK != 0 && enclosing == CellRef::NONE {
                *copy.called_in.entry(function).or_default() += shown.calls;
            }
            if flags & flags::LOCK != 0 {
                copy.locked += shown.c.census_sum;
            }
            if flags & (flags::VISITOR | flags::CALLBACK | flags::LOCK) != 0 {
                return;
            }
            let made = copy.made.entry((function, flags & flags::DIRECT != 0)).or_default();
            made.calls += shown.calls;
            made.locked += if flags & flags::LOCKED != 0 { shown.calls } else { 0 };
            // SAFETY: as above.
            made.c += (shown.c_sum() - shown.sum_of(unsafe { &(*cell).callback })).max(0.0);
        });
        copy
    }

    /// Goroutines that crossed, and how many crossings were made by those that made room for others on threads that have not
    /// noticed.
    fn goroutines(&self) -> (Vec<GoroutineCopy>, u64) {
        // SAFETY: the region lies within the mapping; what the target writes there are plain numbers.
        let entries = unsafe {
            let first = self.base.as_ptr().add(GOROUTINES_OFFSET as usize).cast::<Goroutine>();
            std::slice::from_raw_parts(first, GOROUTINES)
        };
        let mut copies: HashMap<u64, GoroutineCopy> = HashMap::new();
        // What was never used takes no memory, and must not when it is looked at.
        let is_used = |block: usize| self.header().goroutine_blocks[block / 64].load(Relaxed) >> (block % 64) & 1 == 1;
        let used = entries.chunks(GOROUTINE_BLOCK).enumerate().filter(|&(block, _)| is_used(block));
        for entry in used.flat_map(|(_, entries)| entries) {
            let goid = entry.goid.load(Acquire);
            if goid != 0 && goid != BUSY {
                copies.insert(
                    goid,
                    GoroutineCopy {
                        goid,
                        calls: entry.calls.load(Relaxed),
                        threads: threads_of(entry),
                        beyond: entry.beyond != 0,
                        migrations: entry.migrations,
                        locks: entry.locks,
                        cell: entry.cell,
                    },
                );
            }
        }
        let mut forgotten = 0;
        for index in self.used() {
            let thread = self.thread(index);
            // SAFETY: thread() is within the mapping.
            let (goid, run) = unsafe { ((*thread).goroutine_goid, (*thread).run) };
            match copies.get_mut(&goid) {
                Some(copy) => copy.calls += run,
                None => forgotten += run,
            }
        }
        (copies.into_values().collect(), forgotten)
    }

    fn header(&self) -> &Header {
        // SAFETY: the mapping begins with a header, whose shared words are atomics.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    /// Indices of the threads that have ever been claimed: the others' memory is never touched.
    fn used(&self) -> impl Iterator<Item = usize> + '_ {
        let header = self.header();
        let count = (header.used_count.load(Acquire) as usize).min(THREADS);
        let index = |entry: &AtomicU32| (entry.load(Acquire) as usize).checked_sub(1).filter(|&index| index < THREADS);
        header.used[..count].iter().filter_map(index)
    }

    fn thread(&self, index: usize) -> *mut Thread {
        let offset = THREADS_OFFSET as usize + index * THREAD_STRIDE;
        // SAFETY: index < THREADS, so the offset lies within the mapping.
        unsafe { self.base.as_ptr().add(offset).cast() }
    }

    fn owner(&self, index: usize) -> u64 {
        // SAFETY: thread() is within the mapping.
        unsafe { (*self.thread(index)).owner.load(Relaxed) }
    }

    fn cell(&self, at: CellRef) -> Option<*mut Cell> {
        let within = at.offset() >= THREADS_OFFSET && at.offset() + size_of::<Cell>() as u64 <= self.size;
        // SAFETY: the cell lies within the mapping.
        within.then(|| unsafe { self.base.as_ptr().add(at.offset() as usize).cast() })
    }

    fn each_cell(&self, mut visit: impl FnMut(CellRef, *mut Cell)) {
        let mut seen = 0;
        for index in self.used() {
            self.each_cell_of(index, &mut seen, &mut visit);
        }
    }

    /// The cells of one table. `seen` bounds how many are followed in all, whatever the target has written.
    fn each_cell_of(&self, index: usize, seen: &mut usize, visit: &mut impl FnMut(CellRef, *mut Cell)) {
        let most = self.size as usize / size_of::<Cell>();
        let thread = self.thread(index);
        // SAFETY: thread() is within the mapping.
        let mut at = CellRef(unsafe { (*thread).cells.load(Acquire) });
        while let Some(cell) = (at != CellRef::NONE && *seen < most).then(|| self.cell(at)).flatten() {
            visit(at, cell);
            *seen += 1;
            // SAFETY: cell() checked the place.
            at = unsafe { (*cell).next };
        }
        // SAFETY: as above; a spare cell that counts is a cell like any other.
        let (spare, used) = unsafe {
            let used = (*thread).owner.load(Relaxed) != 0 || (*thread).cell_count > 0;
            (&raw mut (*thread).spare, used && (*thread).spare.calls > 0)
        };
        if used {
            visit(CellRef(((spare as u64 - self.base.as_ptr() as u64) / 64) as u32), spare);
        }
    }

    fn copy(&self, at: CellRef, cell: *const Cell) -> CellCopy {
        // SAFETY: the caller has checked the place of the cell; stack() checks that of its frames.
        unsafe {
            CellCopy {
                at,
                function: Avma((*cell).function),
                stack: self.stack(at, &*cell),
                enclosing: (*cell).enclosing,
                flags: (*cell).flags,
                shown: shown(cell),
                abandoned: (*cell).abandoned,
                p_lost: (*cell).p_lost,
                parked: (*cell).parked,
                migrations: (*cell).migrations,
                waits: Waits { count: (*cell).waits, sum: (*cell).wait_sum, max: (*cell).wait_max },
                callback: (*cell).callback,
                c_extremes: ((*cell).c_min, (*cell).c_max),
                c_begin_squares: (*cell).c_begin_squares,
                overhead_extremes: ((*cell).overhead_min, (*cell).overhead_max),
                c_times: buckets(&(*cell).c_histogram.counts, (*cell).timed > 0 || (*cell).c.census > 0),
                overhead_times: buckets(
                    &(*cell).overhead_histogram.counts,
                    (*cell).exits > 0 || (*cell).exit.census > 0,
                ),
            }
        }
    }

    fn stack(&self, at: CellRef, cell: &Cell) -> Vec<Avma> {
        let blocks = usize::from(cell.blocks) * size_of::<Block>();
        let start = at.offset() + (size_of::<Cell>() + blocks) as u64;
        let count = usize::from(cell.frames).min(MAX_FRAMES);
        if start + (count * size_of::<Frame>()) as u64 > self.size {
            return Vec::new();
        }
        // SAFETY: the frames lie within the mapping, and any bytes are frames.
        let frames =
            unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(start as usize).cast::<Frame>(), count) };
        let leaf = (cell.leaf != 0).then_some(Avma(cell.leaf));
        leaf.into_iter().chain(frames.iter().map(|frame| Avma(frame.pc))).collect()
    }

    /// When a coarse tick was; worked out from the others when it is no longer remembered.
    fn tick_time(&self, tick: u64) -> u64 {
        let coarse = &self.header().coarse;
        let newest = coarse.sequence.load(Acquire);
        let at = |tick: u64| coarse.at[tick as usize % TICKS].load(Relaxed);
        let age = newest.saturating_sub(tick);
        if age + 2 < TICKS as u64 {
            return at(tick);
        }
        let span = TICKS as u64 - 2;
        let step = at(newest).wrapping_sub(at(newest - span)) / span;
        at(newest).saturating_sub(step.saturating_mul(age))
    }

    fn copy_thread(&self, index: usize, snapshot: &mut Snapshot) {
        let thread = self.thread(index);
        // SAFETY: thread() is within the mapping; all fields are plain numbers.
        unsafe {
            if (*thread).owner.load(Relaxed) == 0 && (*thread).cell_count == 0 {
                return;
            }
            snapshot.folded += (*thread).folded;
            snapshot.lost_events += (*thread).events_dropped.load(Relaxed);
            snapshot.lost_ends += (*thread).ends_dropped.load(Relaxed);
            snapshot.foreign_callbacks += (*thread).foreign_callbacks;
        }
        let (depth, in_flight) = self.in_flight(index);
        snapshot.locked.extend(self.locked(index));
        // SAFETY: thread() is within the mapping.
        let tid = self.tids.ours(unsafe { (*thread).tid });
        for index in 0..depth {
            // SAFETY: index < IN_FLIGHT.
            let entry = unsafe { &*in_flight.add(index) };
            let timed = entry.timed();
            snapshot.in_flight.push(InFlightCopy {
                tid,
                ended: None,
                cell: self.reference(entry.cell() as u64),
                called: if timed { entry.called.max(entry.entered) } else { self.tick_time(entry.coarse) },
                callback_ticks: if timed { entry.callback_ticks } else { 0 },
                callback_began: Some(entry.callback_began).filter(|&began| timed && began != 0),
            });
        }
    }

    /// The goroutine that is locked to a thread.
    fn locked(&self, index: usize) -> Option<LockedCopy> {
        let thread = self.thread(index);
        // SAFETY: thread() is within the mapping.
        let (tid, lock, goid) = unsafe { ((*thread).tid, (*thread).lock, (*thread).locked_goid) };
        // SAFETY: as above.
        let (since, unlocked) = unsafe { ((*thread).locked_since, (*thread).unlocked) };
        let until = (unlocked != 0).then_some(unlocked);
        (since != 0).then(|| LockedCopy { cell: self.reference(lock), tid: self.tids.ours(tid), goid, since, until })
    }

    /// How many crossings a thread has in flight, and the first of them.
    fn in_flight(&self, index: usize) -> (usize, *const InFlight) {
        let thread = self.thread(index);
        // SAFETY: thread() is within the mapping; top is a plain number.
        let (first, top) = unsafe { ((&raw const (*thread).in_flight).cast::<InFlight>(), (*thread).top) };
        let first_there = self.address.0 + (first as u64 - self.base.as_ptr() as u64);
        let depth = top.wrapping_sub(first_there) / size_of::<InFlight>() as u64;
        (if depth <= IN_FLIGHT as u64 { depth as usize } else { 0 }, first)
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing borrows from it any more.
        let _ = unsafe { munmap(self.base.cast(), self.size as usize) };
    }
}

/// # Safety
/// `cell` must lie within the mapping.
unsafe fn shown(cell: *const Cell) -> Shown {
    // SAFETY: the caller's promise.
    unsafe {
        Shown {
            calls: (*cell).calls,
            callbacks: (*cell).callbacks,
            timed: (*cell).timed,
            weight: (*cell).weight,
            skipped: (*cell).skipped,
            enter: (*cell).enter,
            c: (*cell).c,
            exit: (*cell).exit,
            exits: (*cell).exits,
            least_overhead: (*cell).overhead_min,
        }
    }
}

/// Threads that a goroutine has crossed on, at least.
fn threads_of(entry: &Goroutine) -> u64 {
    let numbered: u64 = entry.threads.iter().map(|word| u64::from(word.count_ones())).sum();
    let others = entry.others.iter().filter(|&&other| other != 0).count() as u64;
    entry.later_threads.saturating_add(numbered + others + u64::from(entry.beyond != 0))
}

fn buckets(counts: &[u64; BUCKETS], any: bool) -> Vec<(usize, u64)> {
    if !any {
        return Vec::new();
    }
    counts.iter().enumerate().filter(|&(_, &count)| count > 0).map(|(bucket, &count)| (bucket, count)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    const ADDRESS: Avma = Avma(0x7000_0000_0000);
    const M: u64 = 0xc000_1000;

    /// Tables of so many threads, each with one crossing in flight, whose kernel thread is the one given.
    fn tables(threads: usize, tid: &AtomicU64) -> Tables {
        let file = tempfile::tempfile().unwrap();
        let size = ARENA_OFFSET + (1 << 20);
        file.set_len(size).unwrap();
        let tables = Tables::map(&file, size, ADDRESS, 0, Pid::this()).unwrap();
        for index in 0..threads {
            let thread = tables.thread(index);
            let first = ADDRESS.0 + (index * THREAD_STRIDE) as u64 + THREADS_OFFSET;
            // SAFETY: thread() is within the mapping.
            unsafe {
                (*thread).owner.store(M, Relaxed);
                (*thread).tid = tid.load(Relaxed);
                (*thread).procid = tid.as_ptr() as u64;
                (*thread).top = first + std::mem::offset_of!(Thread, in_flight) as u64 + size_of::<InFlight>() as u64;
            }
            tables.header().used[index].store(index as u32 + 1, Relaxed);
        }
        tables.header().used_count.store(threads as u64, Relaxed);
        tables
    }

    fn owners(tables: &Tables, owner: u64) -> usize {
        tables.used().filter(|&index| tables.owner(index) == owner).count()
    }

    #[test]
    fn cells_of_two_modules_have_different_references() {
        let nobody = AtomicU64::new(i32::MAX as u64);
        let (first, second) = (tables(1, &nobody), tables(1, &nobody).numbered(1));
        let inside = ADDRESS.0 + THREADS_OFFSET + 128;
        let cell = |tables: &Tables, address| tables.cells().cell(address);
        let expected = CellRef((THREADS_OFFSET as u32 + 128) / 64);
        assert_eq!(cell(&first, inside), Some(expected));
        assert_eq!(cell(&second, inside), Some(CellRef(expected.0 + CELLS_OF_MODULE)));
        assert_eq!(cell(&second, inside + 8), None, "no cell begins there");
        assert_eq!(cell(&second, ADDRESS.0 + second.size()), None);
        assert_eq!(cell(&second, 0), None);
        assert_eq!(outside(CellRef::NONE, CELLS_OF_MODULE), CellRef::NONE);
        assert!(MOST_MODULES as u64 * u64::from(CELLS_OF_MODULE) <= 1 << 32);
    }

    #[test]
    fn tables_of_ended_threads_are_freed_in_two_passes() {
        let nobody = AtomicU64::new(i32::MAX as u64);
        let tables = tables(100, &nobody);
        tables.release_ended(Pid::this());
        assert_eq!(owners(&tables, LEAVING), 100);
        tables.release_ended(Pid::this());
        assert_eq!(owners(&tables, 0), 100, "what ended in C is freed too");
    }

    #[test]
    fn a_table_whose_m_was_taken_meanwhile_waits_until_nothing_is_in_flight() {
        let tid = AtomicU64::new(i32::MAX as u64);
        let tables = tables(100, &tid);
        tables.release_ended(Pid::this());
        tid.store(std::process::id().into(), Relaxed);
        tables.release_ended(Pid::this());
        assert_eq!(owners(&tables, LEAVING), 100);
        for index in tables.used() {
            // SAFETY: thread() is within the mapping.
            unsafe { (*tables.thread(index)).top -= size_of::<InFlight>() as u64 };
        }
        tables.release_ended(Pid::this());
        assert_eq!(owners(&tables, 0), 100);
    }

    #[test]
    fn tables_of_living_threads_and_of_few_are_left_alone() {
        let own = AtomicU64::new(std::process::id().into());
        let many = tables(100, &own);
        many.release_ended(Pid::this());
        assert_eq!(owners(&many, M), 100);
        let few = tables(3, &AtomicU64::new(i32::MAX as u64));
        few.release_ended(Pid::this());
        assert_eq!(owners(&few, M), 3);
    }
}
