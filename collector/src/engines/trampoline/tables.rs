//! The recorder's side of the shared tables: it tells the hooks the time and intervals, and takes their events.
//! [`counted`] copies what the hooks have counted.

mod counted;

use std::collections::HashMap;
use std::fs::File;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Mutex, PoisonError};

use cgoprof_hook::layout::{
    ARENA_OFFSET, BIRTHS, Cell, CellRef, EVENTS, Event, GATE_CLOSED, GATE_OPEN, Header, IN_FLIGHT, InFlight, LEAVING,
    MAGIC, MARKER_CELL, PLUGIN_CLAIMED, PLUGIN_NONE, PLUGIN_WAITING, RELEASING, TICKS, flags, kind,
};
use cgoprof_hook::registration::Registration;
use cgoprof_symbols::Avma;
use nix::unistd::Pid;

use super::policy::{Budget, Outliers, Pool, interval};
use super::retired_threads::{MOST_LEFT, RetiredThreads};
use super::shared::{Shared, Table};
use crate::counts::cell_id::CellId;
use crate::counts::slow_event::{SlowEvent, SlowKind};
use crate::counts::snapshot::{BirthCopy, InCSnapshot};
use crate::process::memory;
use crate::process::tid_namespace::Tids;
use crate::unwind::Markers;

/// Number of tables in use below which those of ended threads are not freed.
const FEW: usize = 64;

/// The shared tables, mapped into the recorder's memory.
pub struct Tables {
    shared: Shared,
    address: Avma,
    bias: u64,
    tids: Tids,
    left: Mutex<RetiredThreads>,
    /// Added to the references of its cells.
    first_cell: u32,
}

/// A crossing that has been in C for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LongInC {
    /// Kernel thread id.
    pub(crate) tid: u64,
    pub(crate) cell: CellId,
    /// Address of the M.
    pub(crate) m: u64,
    /// Coarse tick in which it was entered.
    entered: u64,
    /// When that tick ended, in ticks of the counter; a guess if that is more than a second ago.
    pub(crate) entered_by: u64,
    /// Number of crossings in flight.
    depth: usize,
}

impl LongInC {
    /// Whether this is the same crossing at another moment.
    pub(crate) fn is_same(&self, other: &LongInC) -> bool {
        let key = |one: &LongInC| (one.tid, one.cell, one.m, one.entered, one.depth);
        key(self) == key(other)
    }
}

/// Number of references from one module's first cell to the next module's. Tables are smaller than 4 GiB.
pub(super) const CELLS_OF_MODULE: u32 = 1 << 26;
/// Maximum number of modules whose tables are told apart.
pub(crate) const MOST_MODULES: usize = 64;

/// Returns the kind of an event of the hooks; none if it is unknown.
fn slow_kind(kind: u32) -> Option<SlowKind> {
    Some(match kind {
        kind::C => SlowKind::C,
        kind::C_LOCKED => SlowKind::CLocked,
        kind::DIRECT => SlowKind::Direct,
        kind::ENTER => SlowKind::Enter,
        kind::EXIT => SlowKind::Exit,
        kind::LOCKED => SlowKind::Locked,
        _ => return None,
    })
}

/// Returns the id of a cell outside its tables.
fn outside(cell: CellRef, first_cell: u32) -> CellId {
    if cell == CellRef::NONE { CellId::NONE } else { CellId(cell.0.wrapping_add(first_cell)) }
}

impl Tables {
    /// Maps the tables, `size` bytes, of which the file has a few at first, and writes their header. `address` is where
    /// the target, process `pid`, has them.
    ///
    /// # Errors
    /// If the system refuses the mapping.
    pub fn map(file: File, size: u64, address: Avma, bias: u64, pid: Pid) -> std::io::Result<Tables> {
        let shared = Shared::map(file, size)?;
        Ok(Tables { shared, address, bias, tids: Tids::of(pid), left: Mutex::default(), first_cell: 0 })
    }

    /// Returns the same tables as those of the recording's module with this number, from 0 to [`MOST_MODULES`]. The
    /// references of their cells then differ from those of other modules.
    pub(crate) fn numbered(mut self, module: usize) -> Tables {
        self.first_cell = module as u32 * CELLS_OF_MODULE;
        self
    }

    /// Writes the recorder's registration.
    pub(super) fn announce(&self, presence: Registration) {
        let header = self.shared.header_at();
        // SAFETY: the mapping begins with a header; only recorders read this part of it.
        unsafe { (&raw mut (*header).presence).write_volatile(presence) };
    }

    /// Address at which the target has them.
    pub fn address(&self) -> Avma {
        self.address
    }

    /// Bytes of the mapping.
    pub fn size(&self) -> u64 {
        self.shared.size()
    }

    /// Notes that the program has locked this many bytes of its memory.
    pub(crate) fn note_locked(&self, locked: u64) {
        self.shared.note_locked(locked);
    }

    /// Offset at which the room for stacks ends, in bytes from the mapping's start.
    pub(super) fn stacks_end(&self) -> u64 {
        self.shared.stacks_end()
    }

    /// Whether the target has something else there, or nothing. It is then not the program any more.
    pub(crate) fn are_gone(&self, pid: Pid) -> bool {
        memory::is_other_word(pid, self.address, MAGIC)
    }

    /// How far from its stated addresses the program was loaded.
    pub fn bias(&self) -> u64 {
        self.bias
    }

    /// Advances the hooks' coarse clock, and makes sure that they have room.
    pub fn tick(&self, now: u64) {
        let coarse = &self.header().coarse;
        let next = coarse.sequence.load(Relaxed).wrapping_add(1);
        coarse.at[next as usize % TICKS].store(now, Relaxed);
        coarse.sequence.store(next, Release);
        self.shared.provide();
        for table in self.used() {
            // SAFETY: a table lies in the mapping; the word is the recorder's.
            unsafe { (*table.at()).coarse.store(next, Release) };
        }
    }

    /// Number of cells so far whose C function is not in the program's own file.
    pub fn foreign_cells(&self) -> u64 {
        self.header().foreign_cells.load(Relaxed)
    }

    /// Visits the slow crossings since the last call, each once.
    pub(crate) fn read_events(&self, mut visit: impl FnMut(SlowEvent)) {
        for table in self.used() {
            let thread = table.at();
            // SAFETY: a table lies in the mapping; any bytes that the target wrote there are plain numbers.
            unsafe {
                let (written, read) = ((*thread).events_written.load(Acquire), (*thread).events_read.load(Relaxed));
                for number in read..written.min(read.saturating_add(EVENTS as u64)) {
                    let event = (&raw const (*thread).events).cast::<Event>().add(number as usize % EVENTS).read();
                    let cell = outside(self.reference(event.cell), self.first_cell);
                    // The target may have written any kind.
                    if let Some(kind) = slow_kind(event.kind) {
                        visit(SlowEvent {
                            kind,
                            cell,
                            begin_span: event.begin_span,
                            from: event.from,
                            to: event.to,
                            tid: self.tids.ours(event.tid),
                            goid: event.goid,
                            weight: event.weight(),
                            is_sampled: event.is_sampled(),
                            enter: event.enter,
                        });
                    }
                }
                (*thread).events_read.store(written, Release);
            }
        }
    }

    /// Number of crossings by `cgocall` so far.
    pub fn crossings(&self) -> u64 {
        const OTHERS: u32 = flags::DIRECT | flags::MIGRATED_EXIT | flags::CALLBACK | flags::LOCK;
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

    /// Claims the waiting plugin: the program then waits for [`Tables::release_plugin`], for about ten seconds at most.
    /// Returns false if it no longer waits.
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

    /// Returns the state of the gate.
    pub(super) fn gate_state(&self) -> u32 {
        self.header().gate.load(Acquire)
    }

    /// Opens the gate if it is closed.
    pub(super) fn open_gate(&self) {
        let _ = self.header().gate.compare_exchange(GATE_CLOSED, GATE_OPEN, Release, Relaxed);
    }

    /// Closes the gate. Whoever waits there goes on.
    pub(super) fn close_gate(&self) {
        self.header().gate.store(GATE_CLOSED, Release);
        self.wake_gate();
    }

    /// Lets the one that waits at the gate with this state go on.
    pub(super) fn pass_gate(&self, state: u32) {
        let _ = self.header().gate.compare_exchange(state, GATE_OPEN, Release, Relaxed);
        self.wake_gate();
    }

    fn wake_gate(&self) {
        let gate = self.header().gate.as_ptr();
        // SAFETY: the word is alive, and the kernel only uses its address (futex(2), FUTEX_WAKE).
        unsafe { libc::syscall(libc::SYS_futex, gate, libc::FUTEX_WAKE, i32::MAX) };
    }

    /// Does as one that comes to the gate. Returns whether it waits there.
    #[cfg(test)]
    pub(super) fn come_to_gate(&self, state: u32) -> bool {
        self.header().gate.compare_exchange(GATE_OPEN, state, Relaxed, Relaxed).is_ok()
    }

    /// Whether a thread has reached the hooks yet.
    pub fn any_used(&self) -> bool {
        self.header().used_count.load(Relaxed) > 0
    }

    /// Number of threads that have a table.
    pub fn threads_in_use(&self) -> u64 {
        self.used().filter(|&table| owner(table) != 0).count() as u64
    }

    /// Sets every cell's interval. `microsecond` is in ticks.
    pub(crate) fn apply_policy(&self, microsecond: f64, budget: Budget, outliers: impl Fn(CellId) -> Outliers) {
        let mut pools: HashMap<u64, Pool> = HashMap::new();
        self.each_cell(|_, cell| {
            // SAFETY: each_cell gives a cell within the mapping; its numbers may be torn, never invalid.
            let (function, shown) = unsafe { ((*cell).function, self.shown(cell)) };
            pools.entry(function).or_default().add(&shown);
        });
        self.each_cell(|at, cell| {
            // SAFETY: as above.
            let (function, shown, current) = unsafe { ((*cell).function, self.shown(cell), &(*cell).interval) };
            let pool = pools.get(&function).copied().unwrap_or_default();
            let wanted = interval(&shown, outliers(outside(at, self.first_cell)), pool, budget, microsecond);
            if current.load(Relaxed) != wanted {
                current.store(wanted, Relaxed);
            }
        });
    }

    /// Makes the hooks as cheap as possible, for a program that keeps running with them after the recording.
    pub fn relax(&self) {
        // SAFETY: each_cell gives a cell within the mapping.
        self.each_cell(|_, cell| unsafe { (*cell).interval.store(super::policy::LONGEST_INTERVAL, Relaxed) });
    }

    /// Frees the tables of threads that have ended, for new ones. Their cells stay and keep counting.
    ///
    /// This takes two passes. A new thread may take an M at the very moment when its old thread is found ended (extra
    /// Ms serve one foreign thread after the other). The new thread then finishes what it has begun in a table that
    /// nobody else has yet, and takes another.
    pub fn release_ended(&self, pid: Pid) {
        if self.used().filter(|&table| owner(table) != 0).count() < FEW {
            return;
        }
        let alive = |tid: u64| self.tids.is_alive(tid);
        let mut seen = 0;
        for table in self.used() {
            let thread = table.at();
            // SAFETY: a table lies in the mapping; tid and procid are plain numbers.
            let (owner, tid, procid) = unsafe {
                let (tid, procid) = (&raw const (*thread).tid, &raw const (*thread).procid);
                (&(*thread).owner, tid.read_volatile(), procid.read_volatile())
            };
            let taken = owner.load(Acquire);
            let ended = || tid != 0 && !alive(tid) && !memory::word(pid, Avma(procid)).is_some_and(alive);
            if taken == LEAVING {
                // The table is freed once nothing is in flight there, or if its thread ended in C.
                if self.in_flight(table).0 != 0 && !ended() {
                    continue;
                }
                // The thread may have taken its table back before. From here on it can't.
                if owner.compare_exchange(LEAVING, RELEASING, Acquire, Relaxed).is_ok() {
                    let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
                    left.leave(table.number, self.thread_copy(table, &mut seen));
                    let room = left.locked.len() < MOST_LEFT;
                    left.locked.extend(self.locked(table).filter(|_| room));
                    // SAFETY: no thread has this table.
                    unsafe { (*thread).locked_since = 0 };
                    owner.store(0, Release);
                    self.header().free.fetch_add(1, Relaxed);
                    self.header().freed.fetch_add(1, Release);
                }
            } else if taken > RELEASING && ended() {
                let _ = owner.compare_exchange(taken, LEAVING, Release, Relaxed);
            }
        }
    }

    /// Visits the threads that the runtime began to make since the last call, each once.
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

    /// Returns the threads that are in C.
    pub fn look(&self, now: u64) -> InCSnapshot {
        InCSnapshot { at: now, in_c: self.in_c().collect() }
    }

    /// Returns the kernel thread id and the crossing of each M that is in C.
    pub(crate) fn in_c(&self) -> impl Iterator<Item = (u64, CellId)> + '_ {
        self.used().filter(|&table| owner(table) > RELEASING).filter_map(|table| {
            let (depth, in_flight) = self.in_flight(table);
            // SAFETY: depth is at most IN_FLIGHT, so the entry is there, and it is plain numbers.
            let entry = unsafe { &*in_flight.add(depth.checked_sub(1)?) };
            let cell = self.reference(entry.cell() as u64);
            // SAFETY: cell() checks the place.
            let crosses = |cell: *mut Cell| unsafe { (*cell).flags & flags::DIRECT == 0 };
            let in_c = entry.in_go == 0 && self.cell(cell).is_some_and(crosses);
            // SAFETY: a table lies in the mapping.
            in_c.then(|| (self.tids.ours(unsafe { (*table.at()).tid }), outside(cell, self.first_cell)))
        })
    }

    /// Returns the crossings of threads that have been in them, in C, since before the last tick.
    pub(crate) fn long_in_c(&self) -> impl Iterator<Item = LongInC> + '_ {
        let now = self.header().coarse.sequence.load(Relaxed);
        let tables = self.used().filter(|&table| owner(table) > RELEASING);
        tables.filter_map(|table| self.innermost_in_c(table)).filter(move |one| one.entered + 1 < now)
    }

    /// Whether a thread is still in the same crossing, in C.
    pub(crate) fn is_still(&self, one: &LongInC) -> bool {
        let tables = self.used().filter(|&table| owner(table) == one.m);
        tables.filter_map(|table| self.innermost_in_c(table)).any(|found| found.is_same(one))
    }

    /// Returns the innermost crossing of a thread, if that is in C.
    fn innermost_in_c(&self, table: Table) -> Option<LongInC> {
        let (depth, in_flight) = self.in_flight(table);
        // SAFETY: depth is at most IN_FLIGHT, so the entry is there, and it is plain numbers.
        let entry = unsafe { &*in_flight.add(depth.checked_sub(1)?) };
        let cell = self.reference(entry.cell() as u64);
        // SAFETY: cell() checks the place.
        let is_direct = unsafe { (*self.cell(cell)?).flags & flags::DIRECT != 0 };
        // SAFETY: a table lies in the mapping; the id is a plain number.
        let tid = self.tids.ours(unsafe { (*table.at()).tid });
        let found = LongInC {
            tid,
            cell: outside(cell, self.first_cell),
            m: owner(table),
            entered: entry.coarse,
            entered_by: self.tick_time(entry.coarse + 1),
            depth,
        };
        (entry.in_go == 0 && !is_direct).then_some(found)
    }

    /// Returns the crossing in which a thread has been in C since before a time, and when that began. None if it is not
    /// certain: if the crossing calls back, the thread may have been in C for another one then.
    pub(crate) fn in_c_since(&self, tid: u64, at: u64) -> Option<(u64, CellId)> {
        // SAFETY: a table lies in the mapping; the id is a plain number.
        let is_its = |table: &Table| unsafe { self.tids.ours((*table.at()).tid) == tid };
        let table = self.used().filter(|&table| owner(table) > RELEASING).find(is_its)?;
        let (depth, in_flight) = self.in_flight(table);
        // SAFETY: depth is at most IN_FLIGHT, so the entry is there, and it is plain numbers.
        let entry = unsafe { &*in_flight.add(depth.checked_sub(1)?) };
        let entered = if entry.timed() { entry.entered } else { self.tick_time(entry.coarse + 1) };
        let cell = self.reference(entry.cell() as u64);
        // SAFETY: cell() checks the place.
        let calls_back = unsafe { (*self.cell(cell)?).callbacks > 0 };
        let is_it = entry.in_go == 0 && !calls_back && entered != 0 && entered <= at;
        is_it.then(|| (entered, outside(cell, self.first_cell)))
    }

    /// Returns the form of the marks that the C hook leaves on the stack. A mark's lowest bit tells whether the
    /// crossing is timed.
    pub(crate) fn markers(&self) -> Markers {
        let cells = Avma(self.address.0 + ARENA_OFFSET)..Avma(self.address.0 + self.size());
        let first = outside(CellRef((ARENA_OFFSET / 64) as u32), self.first_cell);
        Markers { distance: MARKER_CELL, cells, stride: 64, first }
    }

    /// Returns the reference, within these tables, of a cell that the target has at an address.
    fn reference(&self, cell: u64) -> CellRef {
        CellRef((cell.wrapping_sub(self.address.0) / 64) as u32)
    }

    /// Notes that threads have ended to which goroutines were locked. This is for recordings in which the kernel does
    /// not tell.
    pub fn end_locks(&self, now: u64) {
        for table in self.used() {
            let thread = table.at();
            // SAFETY: a table lies in the mapping; all are plain numbers.
            let (tid, since, unlocked) = unsafe { ((*thread).tid, (*thread).locked_since, (*thread).unlocked) };
            if since != 0 && unlocked == 0 && !self.tids.is_alive(tid) {
                // SAFETY: as above; its thread has ended, and the next that has the table begins by setting this.
                unsafe { (*thread).unlocked = now };
            }
        }
    }

    fn header(&self) -> &Header {
        self.shared.header()
    }

    fn used(&self) -> impl Iterator<Item = Table> + '_ {
        self.shared.used()
    }

    fn cell(&self, at: CellRef) -> Option<*mut Cell> {
        Some(self.shared.at(at)?.as_ptr())
    }

    /// Returns the number of crossings that a thread has in flight, and the first of them.
    fn in_flight(&self, table: Table) -> (usize, *const InFlight) {
        let thread = table.at();
        // SAFETY: a table lies in the mapping; top is a plain number.
        let (first, top) = unsafe { ((&raw const (*thread).in_flight).cast::<InFlight>(), (*thread).top) };
        let first_there = self.address.0 + self.shared.offset(first);
        let depth = top.wrapping_sub(first_there) / size_of::<InFlight>() as u64;
        (if depth <= IN_FLIGHT as u64 { depth as usize } else { 0 }, first)
    }
}

fn owner(table: Table) -> u64 {
    // SAFETY: a table lies in the mapping.
    unsafe { (*table.at()).owner.load(Relaxed) }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use cgoprof_hook::layout::Thread;

    use super::*;

    const ADDRESS: Avma = Avma(0x7000_0000_0000);
    const M: u64 = 0xc000_1000;

    /// Returns tables of this many threads, each with one crossing in flight and with the given kernel thread.
    fn tables(threads: usize, tid: &AtomicU64) -> Tables {
        let size = ARENA_OFFSET + (8 << 20);
        let tables = Tables::map(tempfile::tempfile().unwrap(), size, ADDRESS, 0, Pid::this()).unwrap();
        let place = |index: usize| ARENA_OFFSET + (index * size_of::<Thread>()) as u64;
        tables.header().used_count.store(threads as u64, Relaxed);
        (0..threads).for_each(|index| tables.header().used[index].store((place(index) / 64) as u32, Relaxed));
        for table in tables.used() {
            let (thread, first) = (table.at(), ADDRESS.0 + place(table.number));
            // SAFETY: a table lies in the mapping.
            unsafe {
                (*thread).owner.store(M, Relaxed);
                (*thread).tid = tid.load(Relaxed);
                (*thread).procid = tid.as_ptr() as u64;
                (*thread).top = first + std::mem::offset_of!(Thread, in_flight) as u64 + size_of::<InFlight>() as u64;
            }
        }
        tables
    }

    fn owners(tables: &Tables, of: u64) -> usize {
        tables.used().filter(|&table| owner(table) == of).count()
    }

    #[test]
    fn cells_of_two_modules_have_different_references() {
        let nobody = AtomicU64::new(i32::MAX as u64);
        let (first, second) = (tables(1, &nobody), tables(1, &nobody).numbered(1));
        let inside = ADDRESS.0 + ARENA_OFFSET + 128;
        let cell = |tables: &Tables, address| tables.markers().cell(address);
        let expected = CellId((ARENA_OFFSET as u32 + 128) / 64);
        assert_eq!(cell(&first, inside), Some(expected));
        assert_eq!(cell(&second, inside), Some(CellId(expected.0 + CELLS_OF_MODULE)));
        assert_eq!(cell(&second, inside + 8), None, "no cell begins there");
        assert_eq!(cell(&second, ADDRESS.0 + second.size()), None);
        assert_eq!(cell(&second, 0), None);
        assert_eq!(outside(CellRef::NONE, CELLS_OF_MODULE), CellId::NONE);
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
        for table in tables.used() {
            // SAFETY: a table lies in the mapping.
            unsafe { (*table.at()).top -= size_of::<InFlight>() as u64 };
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
