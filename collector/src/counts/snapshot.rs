//! The counts of an engine at one moment, in its own units.

use std::collections::HashMap;

use cgoprof_symbols::Avma;

use crate::counts::cell_id::CellId;
use crate::counts::histogram::{Bucket, Histogram};
use crate::counts::timing_stats::{Phase, TimingStats};

/// A copy of one cell with its stack.
#[derive(Clone, Debug)]
pub struct CellCopy {
    /// Its identity.
    pub at: CellId,
    /// Address of the C function.
    pub function: Avma,
    /// Return addresses, innermost first; the first may lie outside the frame pointer chain.
    pub stack: Vec<Avma>,
    /// Cell of the crossing in whose callback it is made.
    pub enclosing: CellId,
    /// How its crossings are made.
    pub flags: CellFlags,
    /// Counts and times of its crossings.
    pub shown: TimingStats,
    /// Number of crossings left by panic or Goexit.
    pub abandoned: u64,
    /// How often the P was lost while in C.
    pub p_lost: u64,
    /// How often the M was parked because there was no P afterwards.
    pub parked: u64,
    /// Number of crossings whose goroutine had made its previous one on another thread.
    pub migrations: u64,
    /// Exits of crossings whose P was lost.
    pub waits: Waits,
    /// Time inside callbacks.
    pub callback: Phase,
    /// Smallest and largest C time in ticks.
    pub c_extremes: (u64, u64),
    /// Sum of the squares of the intervals in which long crossings with an untimed begin began, in ticks.
    pub c_begin_squares: f64,
    /// Smallest and largest overhead in ticks.
    pub overhead_extremes: (u64, u64),
    /// C times.
    pub c_times: Histogram,
    /// Overheads.
    pub overhead_times: Histogram,
}

/// How the crossings of a cell are made, and what its stack leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CellFlags {
    /// They are made by `asmcgocall` without `cgocall`.
    pub direct: bool,
    /// The goroutine was locked to its thread by the user.
    pub locked: bool,
    /// The cell stands for all stacks with its innermost frames for which there was no room.
    pub folded: bool,
    /// The stack goes on beyond the cell's frames.
    pub truncated: bool,
}

impl CellCopy {
    /// Returns a cell that has counted nothing.
    pub fn new(at: CellId, function: Avma) -> CellCopy {
        CellCopy {
            at,
            function,
            stack: Vec::new(),
            enclosing: CellId::NONE,
            flags: CellFlags::default(),
            shown: TimingStats::default(),
            abandoned: 0,
            p_lost: 0,
            parked: 0,
            migrations: 0,
            waits: Waits::default(),
            callback: Phase::default(),
            c_extremes: (u64::MAX, 0),
            c_begin_squares: 0.0,
            overhead_extremes: (u64::MAX, 0),
            c_times: Vec::new(),
            overhead_times: Vec::new(),
        }
    }

    /// Adds the exits that ended on another thread.
    pub(crate) fn add_exits(&mut self, migrated_exit: &CellCopy) {
        self.shown.exits += migrated_exit.shown.exits;
        let (exit, more) = (&mut self.shown.exit, &migrated_exit.shown.exit);
        exit.sum += more.sum;
        exit.squares += more.squares;
        exit.census += more.census;
        exit.census_sum += more.census_sum;
        self.overhead_extremes.0 = self.overhead_extremes.0.min(migrated_exit.overhead_extremes.0);
        self.overhead_extremes.1 = self.overhead_extremes.1.max(migrated_exit.overhead_extremes.1);
        let mut merged: std::collections::BTreeMap<Bucket, u64> = self.overhead_times.iter().copied().collect();
        for &(bucket, count) in &migrated_exit.overhead_times {
            *merged.entry(bucket).or_default() += count;
        }
        self.overhead_times = merged.into_iter().collect();
        self.waits.count += migrated_exit.waits.count;
        self.waits.sum += migrated_exit.waits.sum;
        self.waits.max = self.waits.max.max(migrated_exit.waits.max);
    }
}

/// Exits that had to wait, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// How many were timed.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The longest.
    pub max: u64,
}

/// Counts of one thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ThreadCopy {
    /// Kernel thread id.
    pub tid: u64,
    /// `m.id`.
    pub m: u64,
    /// Its crossings by C function, direct ones apart.
    pub made: HashMap<(Avma, bool), Made>,
    /// Time for which goroutines were locked to it that no longer are, in ticks.
    pub locked: u64,
    /// Callbacks that it made as a foreign thread, by Go function.
    pub called_in: HashMap<Avma, u64>,
}

/// A thread's crossings with one C function.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Made {
    /// Crossings.
    pub calls: u64,
    /// Crossings made by a goroutine locked to the thread.
    pub locked: u64,
    /// Time in C without callbacks, in ticks, as far as it is known.
    pub c: f64,
}

/// A goroutine that crossed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GoroutineCopy {
    /// `g.goid`.
    pub goid: u64,
    /// Crossings.
    pub calls: u64,
    /// Number of threads on which they were made; at least this many, if `beyond`.
    pub threads: u64,
    /// It crossed on threads that are not told apart.
    pub beyond: bool,
    /// Number of crossings on another thread than the previous one.
    pub migrations: u64,
    /// How often it locked itself to its thread.
    pub locks: u64,
    /// A cell whose stack tells what the goroutine is.
    pub cell: CellId,
}

impl GoroutineCopy {
    /// Adds what the same goroutine did in another module. Threads of both are not told apart.
    pub(crate) fn merge(&mut self, other: &GoroutineCopy) {
        if other.calls > self.calls {
            self.cell = other.cell;
        }
        self.calls += other.calls;
        self.threads = self.threads.max(other.threads);
        self.beyond = true;
        self.migrations += other.migrations;
        self.locks += other.locks;
    }
}

/// A goroutine that is locked to its thread, or was and has not locked itself there again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockedCopy {
    /// The cell of the lock.
    pub cell: CellId,
    /// Kernel thread id.
    pub tid: u64,
    /// `g.goid`.
    pub goid: u64,
    /// Since when, in ticks.
    pub since: u64,
    /// Until when, if it no longer is.
    pub until: Option<u64>,
}

/// Goroutines that are no longer in the list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForgottenCopy {
    /// Number of these goroutines.
    pub goroutines: u64,
    /// How many of them had not ended.
    pub alive: u64,
    /// Their crossings.
    pub calls: u64,
    /// Their migrations.
    pub migrations: u64,
}

/// A thread that the runtime made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BirthCopy {
    /// When, in ticks.
    pub at: u64,
    /// Kernel thread id of the thread that made it.
    pub creator: u64,
    /// The direct crossing that made it.
    pub cell: CellId,
    /// Number of Ms in C at that time.
    pub in_c: u64,
    /// Number of Ms in each C function, and the crossing of one of them.
    pub holders: Vec<(u64, CellId)>,
}

/// The threads in C at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InCSnapshot {
    /// When, in ticks.
    pub at: u64,
    /// Kernel thread ids, and the crossings.
    pub in_c: Vec<(u64, CellId)>,
}

/// Facts that were seen of threads while they ran.
#[derive(Clone, Debug, Default)]
pub(crate) struct ThreadEvents {
    /// Threads that the runtime began to make.
    pub births: Vec<BirthCopy>,
    /// Number of further ones, too many to be kept.
    pub more_births: u64,
    /// The look at which most threads were in C.
    pub peak: InCSnapshot,
}

/// A crossing whose C function had not returned.
#[derive(Clone, Copy, Debug)]
pub struct InFlightCopy {
    /// Its cell.
    pub cell: CellId,
    /// Kernel thread id of its thread when the table was claimed.
    pub tid: u64,
    /// When its thread ended in C, in ticks, if it did.
    pub ended: Option<u64>,
    /// When C was called, in ticks.
    pub called: u64,
    /// Ticks of its callbacks that have ended.
    pub callback_ticks: u64,
    /// When the callback that is running began, in ticks.
    pub callback_began: Option<u64>,
}

/// Everything that an engine has counted at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// All cells. Exits on other threads are already added where they belong.
    pub cells: Vec<CellCopy>,
    /// Callbacks, as cells: each of one Go function, in one crossing's cell. Their phases are acquire (enter), Go (c)
    /// and release (exit). Their `callback` is the time that foreign threads took to get an M.
    pub callbacks: Vec<CellCopy>,
    /// Places where goroutines locked themselves to threads, as cells. Their `c` is how long the goroutines were
    /// locked.
    pub locks: Vec<CellCopy>,
    /// Goroutines locked at that moment.
    pub locked: Vec<LockedCopy>,
    /// Threads that crossed.
    pub threads: Vec<ThreadCopy>,
    /// Goroutines that crossed.
    pub goroutines: Vec<GoroutineCopy>,
    /// Goroutines that made room for others.
    pub forgotten: ForgottenCopy,
    /// Unlocks that were not noted.
    pub missed_unlocks: u64,
    /// Threads being made that were not noted.
    pub lost_births: u64,
    /// Crossings in C.
    pub in_flight: Vec<InFlightCopy>,
    /// Crossings counted by C function alone, because no table was free for their thread.
    pub overflow: Vec<(Avma, u64)>,
    /// The same, because their thread's table had no room for more cells. They are in its spare cell, of function 0.
    pub spare: Vec<(Avma, u64)>,
    /// Crossings whose C function is not known either.
    pub unattributed: u64,
    /// Direct crossings without a goroutine.
    pub unattributed_direct: u64,
    /// Crossings for whose stack there was no room.
    pub folded: u64,
    /// Timed crossings for whose times, or for their places in histograms, there was no room.
    pub unkept_times: u64,
    /// Bytes of the tables that are used up.
    pub full_tables: u64,
    /// Callbacks from threads with no crossing in flight.
    pub foreign_callbacks: u64,
    /// Slow crossings for whose events there was no room.
    pub lost_events: u64,
    /// Exits and locks for whose events there was no room.
    pub lost_ends: u64,
    /// How far off all C times may be alike because of the engine's own work, in ticks.
    pub c_error: f64,
}

impl Snapshot {
    /// Visits each reference to a cell.
    pub(crate) fn each_reference(&mut self, mut visit: impl FnMut(&mut CellId)) {
        for cell in self.cells.iter_mut().chain(&mut self.callbacks).chain(&mut self.locks) {
            visit(&mut cell.at);
            visit(&mut cell.enclosing);
        }
        self.locked.iter_mut().for_each(|lock| visit(&mut lock.cell));
        self.goroutines.iter_mut().for_each(|goroutine| visit(&mut goroutine.cell));
        self.in_flight.iter_mut().for_each(|entry| visit(&mut entry.cell));
    }

    /// Adds the contents of another module's tables.
    pub(crate) fn append(&mut self, other: Snapshot) {
        self.cells.extend(other.cells);
        self.callbacks.extend(other.callbacks);
        self.locks.extend(other.locks);
        self.locked.extend(other.locked);
        self.threads.extend(other.threads);
        self.goroutines.extend(other.goroutines);
        self.forgotten.goroutines += other.forgotten.goroutines;
        self.forgotten.alive += other.forgotten.alive;
        self.forgotten.calls += other.forgotten.calls;
        self.forgotten.migrations += other.forgotten.migrations;
        self.missed_unlocks += other.missed_unlocks;
        self.lost_births += other.lost_births;
        self.in_flight.extend(other.in_flight);
        self.overflow.extend(other.overflow);
        self.spare.extend(other.spare);
        self.unattributed += other.unattributed;
        self.unattributed_direct += other.unattributed_direct;
        self.folded += other.folded;
        self.unkept_times += other.unkept_times;
        self.full_tables += other.full_tables;
        self.foreign_callbacks += other.foreign_callbacks;
        self.lost_events += other.lost_events;
        self.lost_ends += other.lost_ends;
        self.c_error = self.c_error.max(other.c_error);
    }
}
