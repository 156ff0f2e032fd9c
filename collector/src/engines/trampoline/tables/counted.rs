//! Copies what the hooks have counted from the tables. The program may write anything into them; copying must then take
//! no more time and memory than for honest tables of the same size.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::fence;

use cgoprof_hook::histogram::{BUCKETS, Histogram, More, OCTAVE, Octaves, SPREAD, Spread, lower_bound};
use cgoprof_hook::layout::{
    self, BUSY, Block, Cell, CellRef, FRAME_BLOCK, Frame, GOROUTINE_BLOCK, Goroutine, MAX_FRAMES, OVERFLOW, Rare,
    TICKS, Times, flags,
};
use cgoprof_symbols::Avma;

use super::{Tables, outside};
use crate::counts::cell_id::CellId;
use crate::counts::histogram::{self, Bucket};
use crate::counts::snapshot::{
    CellCopy, CellFlags, ForgottenCopy, GoroutineCopy, InFlightCopy, LockedCopy, Snapshot, ThreadCopy, Waits,
};
use crate::counts::timing_stats::{Phase, TimingStats};
use crate::engines::trampoline::shared::Table;

impl Tables {
    /// Copies what the tables hold. The copy is exact if the target has ended, else within one crossing per thread.
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let (mut migrated_exits, mut copied) = (Vec::new(), 0);
        self.each_cell(|at, cell| {
            // Honest cells share nothing. Copies of cells that share frames or histograms could take any amount of
            // memory.
            if copied > self.size() {
                return;
            }
            // SAFETY: each_cell gives a cell within the mapping.
            let (home, kind) =
                unsafe { ((*cell).home, (*cell).flags & (flags::MIGRATED_EXIT | flags::CALLBACK | flags::LOCK)) };
            let copy = self.copy(at, cell);
            copied += least_bytes(&copy);
            match kind {
                0 => snapshot.cells.push(copy),
                flags::CALLBACK => snapshot.callbacks.push(copy),
                flags::LOCK => snapshot.locks.push(copy),
                _ => migrated_exits.push((home, copy)),
            }
        });
        let index: HashMap<_, _> = snapshot.cells.iter().enumerate().map(|(index, cell)| (cell.at, index)).collect();
        for (home, migrated_exit) in migrated_exits {
            if let Some(&index) = index.get(&within(self.reference(home))) {
                snapshot.cells[index].add_exits(&migrated_exit);
            }
        }
        for table in self.used() {
            self.copy_thread(table, &mut snapshot);
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
        snapshot.unkept_times = header.unkept.load(Relaxed);
        snapshot.full_tables = if self.shared.is_full() { self.size() } else { 0 };
        snapshot.each_reference(|cell| *cell = outside(CellRef(cell.0), self.first_cell));
        snapshot
    }

    /// Returns what each thread did that has a table or had one.
    fn threads(&self) -> Vec<ThreadCopy> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = 0;
        let present = self.used().map(|table| left.since(table.number, self.thread_copy(table, &mut seen)));
        left.gone
            .iter()
            .cloned()
            .chain(present)
            .filter(|thread| *thread != ThreadCopy { tid: thread.tid, m: thread.m, ..ThreadCopy::default() })
            .collect()
    }

    /// Returns all that was ever counted in one table, by all threads that had it. `seen` is as in
    /// [`Tables::each_cell_of`], for all tables that are read together.
    pub(super) fn thread_copy(&self, table: Table, seen: &mut usize) -> ThreadCopy {
        let thread = table.at();
        // SAFETY: a table lies in the mapping.
        let (tid, m) = unsafe { ((*thread).tid, (*thread).m_id) };
        let mut copy = ThreadCopy { tid: self.tids.ours(tid), m, ..ThreadCopy::default() };
        self.each_cell_of(table, seen, &mut |_, cell| {
            // SAFETY: each_cell_of gives a cell within the mapping.
            let (flags, function, shown, enclosing) =
                unsafe { ((*cell).flags, Avma((*cell).function), self.shown(cell), (*cell).enclosing) };
            if flags & flags::CALLBACK != 0 && enclosing == CellRef::NONE {
                *copy.called_in.entry(function).or_default() += shown.calls;
            }
            if flags & flags::LOCK != 0 {
                copy.locked += shown.c.census_sum;
            }
            if flags & (flags::MIGRATED_EXIT | flags::CALLBACK | flags::LOCK) != 0 {
                return;
            }
            let made = copy.made.entry((function, flags & flags::DIRECT != 0)).or_default();
            made.calls += shown.calls;
            made.locked += if flags & flags::LOCKED != 0 { shown.calls } else { 0 };
            // SAFETY: as above.
            made.c += (shown.c_sum() - shown.sum_of(&unsafe { self.time_in_callbacks(cell) })).max(0.0);
        });
        copy
    }

    /// Returns the goroutines that crossed, and a number of crossings: those of evicted goroutines that their threads
    /// have not handed over yet.
    fn goroutines(&self) -> (Vec<GoroutineCopy>, u64) {
        let mut copies: HashMap<u64, GoroutineCopy> = HashMap::new();
        let blocks = self.header().goroutine_blocks.iter().filter_map(|block| {
            let block = self.shared.at::<[Goroutine; GOROUTINE_BLOCK]>(CellRef(block.load(Acquire)))?;
            // SAFETY: the block lies in the mapping; any bytes that the target writes there are plain numbers.
            Some(unsafe { block.as_ref() })
        });
        for entry in blocks.flatten() {
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
                        cell: within(entry.cell),
                    },
                );
            }
        }
        let mut forgotten = 0;
        for table in self.used() {
            let thread = table.at();
            // SAFETY: a table lies in the mapping.
            let (goid, run) = unsafe { ((*thread).goroutine_goid, (*thread).run) };
            match copies.get_mut(&goid) {
                Some(copy) => copy.calls += run,
                None => forgotten += run,
            }
        }
        (copies.into_values().collect(), forgotten)
    }

    pub(super) fn each_cell(&self, mut visit: impl FnMut(CellRef, *mut Cell)) {
        let mut seen = 0;
        for table in self.used() {
            self.each_cell_of(table, &mut seen, &mut visit);
        }
    }

    /// Visits the cells of one table. `seen` bounds how many are followed in all, whatever the target has written.
    fn each_cell_of(&self, table: Table, seen: &mut usize, visit: &mut impl FnMut(CellRef, *mut Cell)) {
        let most = self.size() as usize / size_of::<Cell>();
        let thread = table.at();
        // SAFETY: a table lies in the mapping.
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
            (&raw mut (*thread).spare.cell, used && (*thread).spare.cell.calls > 0)
        };
        if used {
            visit(CellRef((self.shared.offset(spare) / 64) as u32), spare);
        }
    }

    fn copy(&self, at: CellRef, cell: *const Cell) -> CellCopy {
        // SAFETY: the caller has checked the place of the cell; stack() checks that of its frames; times() and rare()
        // check those of its times and its rare counts.
        unsafe {
            let mut copy = CellCopy {
                stack: self.stack(at, &*cell),
                enclosing: within((*cell).enclosing),
                flags: flags_of((*cell).flags),
                shown: self.shown(cell),
                migrations: (*cell).migrations,
                ..CellCopy::new(within(at), Avma((*cell).function))
            };
            if let Some(times) = self.times(cell) {
                copy.c_extremes = ((*times).c_min, (*times).c_max);
                copy.overhead_extremes = ((*times).overhead_min, (*times).overhead_max);
                copy.c_times = self.buckets(&raw const (*times).c_histogram);
                copy.overhead_times = self.buckets(&raw const (*times).overhead_histogram);
            }
            if let Some(rare) = self.rare(cell) {
                copy.abandoned = (*rare).abandoned;
                copy.p_lost = (*rare).p_lost;
                copy.parked = (*rare).parked;
                copy.waits = Waits { count: (*rare).waits, sum: (*rare).wait_sum, max: (*rare).wait_max };
                copy.c_begin_squares = (*rare).c_begin_squares;
                copy.callback = sums(&(*rare).callback);
            }
            copy
        }
    }

    /// Returns a cell's times, if it has any.
    ///
    /// # Safety
    /// `cell` must lie within the mapping.
    unsafe fn times(&self, cell: *const Cell) -> Option<*const Times> {
        // SAFETY: the caller's promise.
        Some(self.shared.at(CellRef(unsafe { (*cell).times.load(Acquire) }))?.as_ptr())
    }

    /// Returns a cell's rare counts, if it has any.
    ///
    /// # Safety
    /// `cell` must lie within the mapping.
    unsafe fn rare(&self, cell: *const Cell) -> Option<*const Rare> {
        // SAFETY: the caller's promise.
        Some(self.shared.at(CellRef(unsafe { (*cell).rare.load(Acquire) }))?.as_ptr())
    }

    /// # Safety
    /// `cell` must lie within the mapping.
    unsafe fn time_in_callbacks(&self, cell: *const Cell) -> Phase {
        // SAFETY: the caller's promise; what rare() gives lies there too.
        unsafe { self.rare(cell).map_or_else(Phase::default, |rare| sums(&(*rare).callback)) }
    }

    /// # Safety
    /// `cell` must lie within the mapping.
    pub(super) unsafe fn shown(&self, cell: *const Cell) -> TimingStats {
        // SAFETY: the caller's promise; what times() gives lies there too.
        unsafe {
            let counted = TimingStats { calls: (*cell).calls, callbacks: (*cell).callbacks, ..TimingStats::default() };
            let Some(times) = self.times(cell) else { return counted };
            let enter = Phase { sum: (*times).enter.sum, squares: (*times).enter.squares, ..Phase::default() };
            TimingStats {
                timed: (*times).timed,
                weight: (*times).weight,
                skipped: (*times).skipped,
                enter,
                c: sums(&(*times).c),
                exit: sums(&(*times).exit),
                exits: (*times).exits,
                least_overhead: (*times).overhead_min,
                ..counted
            }
        }
    }

    /// Returns a histogram's buckets that are not empty, in order.
    ///
    /// # Safety
    /// `histogram` must lie within the mapping.
    unsafe fn buckets(&self, histogram: *const Histogram) -> histogram::Histogram {
        // SAFETY: the caller's promise; any bytes are a histogram, and references are only followed within the mapping.
        unsafe {
            // A bucket is written before its first count.
            let counts = (&raw const (*histogram).counts).read();
            fence(Acquire);
            let (buckets, more) = Histogram::places(histogram);
            let mut found: Vec<(usize, u64)> = match buckets {
                [SPREAD, window] => self.spread(more, window.into()),
                _ => {
                    let more = self.shared.at::<More>(more).map(|more| {
                        let counts = (&raw const (*more.as_ptr()).counts).read();
                        fence(Acquire);
                        ((&raw const (*more.as_ptr()).buckets).read(), counts)
                    });
                    let next = more.into_iter().flat_map(|(buckets, counts)| buckets.into_iter().zip(counts));
                    let first = buckets.into_iter().zip(counts);
                    first.chain(next).map(|(bucket, count)| (usize::from(bucket), count)).collect()
                }
            };
            found.retain(|&(bucket, count)| count > 0 && bucket < BUCKETS);
            found.sort_unstable();
            found.into_iter().map(|(number, count)| (bucket(number), count)).collect()
        }
    }

    /// Returns all counts of a histogram of many buckets, with the buckets' numbers.
    fn spread(&self, at: CellRef, window: usize) -> Vec<(usize, u64)> {
        let Some(spread) = self.shared.at::<Spread>(at) else { return Vec::new() };
        // SAFETY: it lies within the mapping, and any bytes are counts and references.
        let spread = unsafe { spread.read() };
        let octaves = self.shared.at::<Octaves>(spread.octaves);
        // SAFETY: as above.
        let octaves = octaves.map(|octaves| unsafe { octaves.read() });
        let octave = |(number, at): (usize, CellRef)| {
            let counts = self.shared.at::<[u64; OCTAVE]>(at)?;
            // SAFETY: as above.
            Some((number * OCTAVE..).zip(unsafe { counts.read() }))
        };
        let others =
            octaves.into_iter().flat_map(|octaves| octaves.0.into_iter().enumerate().filter_map(octave).flatten());
        (window..).zip(spread.window).chain(others).collect()
    }

    fn stack(&self, at: CellRef, cell: &Cell) -> Vec<Avma> {
        let (start, count) = (at.offset() + size_of::<Cell>() as u64, usize::from(cell.frames).min(MAX_FRAMES));
        let leaf = (cell.leaf != 0).then_some(cell.leaf);
        let pcs = match cell.blocks {
            0 => self.shared.bytes_at(start, (count * size_of::<Frame>()) as u64).map(|first| {
                // SAFETY: the frames lie within the mapping, and any bytes are frames.
                let frames = unsafe { std::slice::from_raw_parts(first.cast::<Frame>().as_ptr(), count) };
                frames.iter().map(|frame| frame.pc).collect::<Vec<_>>()
            }),
            _ => {
                let blocks = count.div_ceil(FRAME_BLOCK);
                self.shared.bytes_at(start, (blocks * size_of::<Block>()) as u64).map(|first| {
                    // SAFETY: as above.
                    let blocks = unsafe { std::slice::from_raw_parts(first.cast::<Block>().as_ptr(), blocks) };
                    let pcs = blocks.iter().flat_map(|block| (0..FRAME_BLOCK).map(|place| block.pc(place)));
                    pcs.take(count).collect()
                })
            }
        };
        pcs.map_or_else(Vec::new, |pcs| leaf.into_iter().chain(pcs).map(Avma).collect())
    }

    /// Returns the time of a coarse tick. It is extrapolated from the others if the tick is no longer remembered.
    pub(super) fn tick_time(&self, tick: u64) -> u64 {
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

    fn copy_thread(&self, table: Table, snapshot: &mut Snapshot) {
        let thread = table.at();
        // SAFETY: a table lies in the mapping; all fields are plain numbers.
        unsafe {
            if (*thread).owner.load(Relaxed) == 0 && (*thread).cell_count == 0 {
                return;
            }
            snapshot.folded += (*thread).folded;
            snapshot.lost_events += (*thread).events_dropped.load(Relaxed);
            snapshot.lost_ends += (*thread).ends_dropped.load(Relaxed);
            snapshot.foreign_callbacks += (*thread).foreign_callbacks;
        }
        let (depth, in_flight) = self.in_flight(table);
        snapshot.locked.extend(self.locked(table));
        // SAFETY: a table lies in the mapping.
        let tid = self.tids.ours(unsafe { (*thread).tid });
        for index in 0..depth {
            // SAFETY: index < IN_FLIGHT.
            let entry = unsafe { &*in_flight.add(index) };
            let timed = entry.timed();
            snapshot.in_flight.push(InFlightCopy {
                tid,
                ended: None,
                cell: within(self.reference(entry.cell() as u64)),
                called: if timed { entry.called.max(entry.entered) } else { self.tick_time(entry.coarse) },
                callback_ticks: if timed { entry.callback_ticks } else { 0 },
                callback_began: Some(entry.callback_began).filter(|&began| timed && began != 0),
            });
        }
    }

    /// Returns the goroutine that is locked to a thread.
    pub(super) fn locked(&self, table: Table) -> Option<LockedCopy> {
        let thread = table.at();
        // SAFETY: a table lies in the mapping.
        let (tid, lock, goid) = unsafe { ((*thread).tid, (*thread).lock, (*thread).locked_goid) };
        // SAFETY: as above.
        let (since, unlocked) = unsafe { ((*thread).locked_since, (*thread).unlocked) };
        let until = (unlocked != 0).then_some(unlocked);
        (since != 0).then(|| LockedCopy {
            cell: within(self.reference(lock)),
            tid: self.tids.ours(tid),
            goid,
            since,
            until,
        })
    }
}

/// A cell's flags.
fn flags_of(bits: u32) -> CellFlags {
    let has = |bit| bits & bit != 0;
    CellFlags {
        direct: has(flags::DIRECT),
        locked: has(flags::LOCKED),
        folded: has(flags::FOLDED),
        truncated: has(flags::TRUNCATED),
    }
}

/// The sums of a phase.
fn sums(phase: &layout::Phase) -> Phase {
    let &layout::Phase { sum, squares, census, census_sum } = phase;
    Phase { sum, squares, census, census_sum }
}

/// Returns the id of a cell within its tables, which a snapshot uses until it is complete.
fn within(cell: CellRef) -> CellId {
    CellId(cell.0)
}

/// Returns the minimum bytes that a cell takes in honest tables, with its frames and with those counts of its
/// histograms that have no place in its times.
fn least_bytes(copy: &CellCopy) -> u64 {
    const FRAME: usize = size_of::<Block>() / FRAME_BLOCK;
    const COUNT: usize = size_of::<u64>();
    const IN_PLACE: usize = 4;
    let counts = (copy.c_times.len() + copy.overhead_times.len()).saturating_sub(IN_PLACE);
    (size_of::<Cell>() + copy.stack.len().saturating_sub(1) * FRAME + counts * COUNT) as u64
}

/// Returns the minimum number of threads that a goroutine has crossed on.
fn threads_of(entry: &Goroutine) -> u64 {
    let numbered: u64 = entry.threads.iter().map(|word| u64::from(word.count_ones())).sum();
    let others = entry.others.iter().filter(|&&other| other != 0).count() as u64;
    entry.later_threads.saturating_add(numbered + others + u64::from(entry.beyond != 0))
}

/// Returns the range of times of the hooks' bucket with this number.
fn bucket(number: usize) -> Bucket {
    let shortest = lower_bound(number);
    let next = if number + 1 < BUCKETS { lower_bound(number + 1) } else { shortest };
    Bucket { shortest, longest: next.saturating_sub(1).max(shortest) }
}

#[cfg(test)]
mod tests {
    use cgoprof_hook::layout::{ARENA_OFFSET, Thread};
    use nix::unistd::Pid;

    use super::*;

    const SIZE: u64 = ARENA_OFFSET + (1 << 20);

    /// Returns tables of a program that lies: each thread's only cell has the longest stack, and is followed by itself.
    fn lying(threads: u64) -> Tables {
        let address = Avma(0x7000_0000_0000);
        let tables = Tables::map(tempfile::tempfile().unwrap(), SIZE, address, 0, Pid::this()).unwrap();
        let reference = |offset: u64| CellRef((offset / 64) as u32);
        let ring = reference(ARENA_OFFSET);
        let thread = |number: u64| ARENA_OFFSET + 4096 + number * size_of::<Thread>().next_multiple_of(64) as u64;
        tables.header().used_count.store(threads, Relaxed);
        for number in 0..threads {
            tables.header().used[number as usize].store(reference(thread(number)).0, Relaxed);
        }
        // SAFETY: cell() and used() give places within the mapping, which nobody else uses.
        unsafe {
            let cell = tables.cell(ring).unwrap();
            ((*cell).next, (*cell).function, (*cell).calls) = (ring, 0x1000, 1);
            ((*cell).frames, (*cell).blocks) = (MAX_FRAMES as _, 1);
            tables.used().for_each(|table| (*table.at()).cells.store(ring.0, Relaxed));
        }
        tables
    }

    /// Without a bound, a ring of a hundred bytes is copied, with all that it has, as often as the tables could have
    /// cells.
    #[test]
    fn cells_without_end_cost_no_more_than_honest_ones() {
        let snapshot = lying(1).snapshot();
        let copied: u64 = snapshot.cells.iter().map(|cell| cell.stack.len() as u64 * 6).sum();
        assert!(snapshot.cells.len() > 100 && copied <= SIZE, "{} cells, {copied} bytes", snapshot.cells.len());
    }

    /// Without a common bound, the ring is followed again for each of thousands of threads.
    #[test]
    fn threads_that_share_their_cells_are_followed_no_further_than_honest_ones() {
        let made = |threads| {
            let snapshot = lying(threads).snapshot();
            snapshot.threads.iter().flat_map(|thread| thread.made.values()).map(|made| made.calls).sum::<u64>()
        };
        assert!(made(1) > 0);
        assert!(made(20) <= SIZE / size_of::<Cell>() as u64, "{}", made(20));
    }
}
