//! The memory that the hooks write and the recorder reads: one definition for both sides.
//!
//! Everything lives in one shared mapping of a file, which is shorter than the mapping. The mapping starts with a
//! [`Header`]; the rest is an arena. The arena holds a [`Thread`] for every kernel thread that crosses, its [`Cell`]s,
//! each followed by the stack that it stands for, and blocks of [`Goroutine`]s. The recorder makes the file longer
//! before the arena is used up: memory beyond the file's end is not taken, even where a program locks all of its own. A
//! reference within the mapping is a [`CellRef`]: an offset in units of 64 bytes, so that both sides may map it
//! anywhere.
//!
//! Nearly every word has one writer. The recorder only reads the words that the program's threads write. The few words
//! that the recorder writes (`coarse`, `interval`, `owner` of a dead thread) are marked. Words that threads of the
//! program share (goroutines' entries, [`Thread::goid`], the header) are atomic. There are no locks.

use core::sync::atomic::{AtomicU32, AtomicU64};

pub use crate::cell_ref::CellRef;
use crate::histogram::Histogram;
use crate::registration::Registration;

/// First word of the mapping: "cgoprof" and the version of this layout.
pub const MAGIC: u64 = u64::from_le_bytes(*b"cgoprof\x08");
/// Ms that can have a table of their own at the same time. Tables are reused when their Ms end.
pub const THREADS: usize = 8192;
/// Words of the directory by which an M's table is found.
pub const DIRECTORY: usize = 2 * THREADS;
/// Words of the cache of Ms that have no table.
pub const WITHOUT: usize = 1024;
/// Entries of one M's index of cells at first, and at most.
pub const FIRST_INDEX: usize = 256;
/// See [`FIRST_INDEX`].
pub const LARGEST_INDEX: usize = 1 << 17;
/// Stacks kept apart on one M. Further ones keep only the innermost two frames: the wrapper and its caller.
pub const STACKS: u32 = 12_288;
/// Tables that have a bit in each goroutine's entry: those claimed first.
pub const NUMBERED_THREADS: usize = 1024;
/// Further threads of a goroutine that are told apart.
pub const OTHER_THREADS: usize = 8;
/// [`Thread::owner`] of a table whose M's thread has ended: it belongs to no M, but is not free yet.
pub const LEAVING: u64 = 1;
/// [`Thread::owner`] of a table that the recorder is about to free: no M may take it back.
pub const RELEASING: u64 = 2;
/// Slow crossings of an M that can wait for the recorder.
pub const EVENTS: usize = 256;
/// Crossings nested in each other on one M that are kept apart. Deeper ones share the last entry.
pub const IN_FLIGHT: usize = 128;
/// C functions that the overflow table counts where no [`Thread`] is free, or a thread has no room for their cells.
pub const OVERFLOW: usize = 1 << 12;
/// Arena bytes that an M takes at once, where it has many cells.
pub const CHUNK: u64 = 64 << 10;
/// Arena bytes that an M takes at once at first.
pub const FIRST_CHUNK: u64 = 4 << 10;
/// Coarse clock ticks remembered, to bound the start of a long crossing that was not timed.
pub const TICKS: usize = 1024;
/// Maximum frames per stack.
pub const MAX_FRAMES: usize = 256;
/// Frames in a [`Block`]: a cell's frames are padded to a multiple of it by repeating the last.
pub const FRAME_BLOCK: usize = 4;
/// Cells that an M remembers by site and depth, so that the enter thunk finds them itself.
pub const CELL_CACHE: usize = 1024;
/// Goroutines that are kept apart at the same time.
pub const GOROUTINES: usize = 1 << 14;
/// Entries of goroutines that are allocated together: those that one goroutine may have.
pub const GOROUTINE_BLOCK: usize = 8;
/// Threads being made that can wait for the recorder.
pub const BIRTHS: usize = 256;
/// C functions told apart among those that hold Ms when a thread is made.
pub const HOLDERS: usize = 8;

/// State of [`Header::plugin`]: no plugin waits.
pub const PLUGIN_NONE: u64 = 0;
/// A plugin has been loaded, and the hook waits for the recorder to claim it.
pub const PLUGIN_WAITING: u64 = 1;
/// The recorder reads the plugin and redirects its functions.
pub const PLUGIN_CLAIMED: u64 = 2;
/// The recorder did not attend to a plugin in time, and the plugin runs.
pub const PLUGIN_UNATTENDED: u64 = 3;

/// State of [`Header::gate`]: nobody waits there.
pub const GATE_CLOSED: u32 = 0;
/// Those who come wait there.
pub const GATE_OPEN: u32 = 1;

/// What waits at the gate is its number in its own PID namespace, times 8, plus one of these.
pub mod arrival {
    /// A process that Go has forked, before it executes a program.
    pub const FORKED: u32 = 2;
    /// A thread that is about to execute another program.
    pub const EXECUTES: u32 = 3;
    /// A thread that could not execute it.
    pub const STAYS: u32 = 4;
    /// Factor of the number.
    pub const NUMBER: u32 = 8;
}

/// The start of the mapping.
#[repr(C, align(64))]
pub struct Header {
    /// The recorder's [`Registration`].
    pub presence: Registration,
    /// Used part of the arena and its end: an [`Arena`]. The recorder moves the end.
    pub arena: AtomicU64,
    /// Cells whose C function lies outside the program's own file: a hint to read the library list now.
    pub foreign_cells: AtomicU64,
    /// Direct crossings without a g, on the signal stack, outside the stack's bounds or of an M without a table. They are
    /// only counted.
    pub unattributed_direct: AtomicU64,
    /// Crossings for which there was neither a [`Thread`] nor an entry in `overflow`.
    pub unattributed: AtomicU64,
    /// Timed crossings for whose times, or for whose place in a histogram, there was no room; and rare counts without any.
    pub unkept: AtomicU64,
    /// Number of times that a table, or room for one, has become free. Written by the recorder.
    pub freed: AtomicU64,
    /// Tables that are free.
    pub free: AtomicU64,
    /// Words of `directory` that were replaced by others.
    pub directory_evictions: AtomicU64,
    /// Addresses of [`Thread`]s in the program, by [`home`] of their M. This is a cache: any word may be lost.
    pub directory: [AtomicU64; DIRECTORY],
    /// Ms that have no table, each with the low bits that `freed` had then. A cache too.
    pub without: [AtomicU64; WITHOUT],
    /// Blocks of [`GOROUTINE_BLOCK`] [`Goroutine`]s, as [`CellRef`]s; 0 for those that no goroutine has needed yet.
    pub goroutine_blocks: [AtomicU32; GOROUTINES / GOROUTINE_BLOCK],
    /// Totals of goroutines whose entries were evicted.
    pub forgotten: Forgotten,
    /// Unlocks of Ms whose table was not where the unlock thunk looks for it.
    pub unlocks_missed: AtomicU64,
    /// Threads that the runtime began to make. Each is in `births` at its number modulo [`BIRTHS`].
    pub births_written: AtomicU64,
    /// Those of them that the recorder has read. Written by the recorder.
    pub births_read: AtomicU64,
    /// Those that were dropped because `births` was full.
    pub births_dropped: AtomicU64,
    /// See `births_written`.
    pub births: [Birth; BIRTHS],
    /// State of the Go plugin that is being loaded: one of [`PLUGIN_NONE`], [`PLUGIN_WAITING`], [`PLUGIN_CLAIMED`],
    /// [`PLUGIN_UNATTENDED`]. The runtime loads one at a time.
    pub plugin: AtomicU64,
    /// State of the gate: [`GATE_CLOSED`], [`GATE_OPEN`], or what waits there ([`arrival`]). The hooks in a forked child use it
    /// too.
    pub gate: AtomicU32,
    _pad: u32,
    /// Number of words of `used` that are set.
    pub used_count: AtomicU64,
    /// [`Thread`]s that have ever been claimed, as [`CellRef`]s, in the order of their claims; 0 until it is written.
    pub used: [AtomicU32; THREADS],
    /// Written by the recorder every 1 to 4 ms.
    pub coarse: Coarse,
    /// Crossings by C function alone: of Ms for which no [`Thread`] was free, and those that [`Thread::spare`] counts.
    pub overflow: [Overflow; OVERFLOW],
}

/// Used part of the arena and its end, as places in the mapping. Both are in one word, so that a thread that takes room
/// knows that it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arena {
    /// Start of the room that is taken next.
    pub next: CellRef,
    /// End of the part of the file that may be used.
    pub end: CellRef,
}

impl Arena {
    /// Packs both into one word.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        (self.end.0 as u64) << 32 | self.next.0 as u64
    }

    /// Unpacks both from one word.
    #[inline(always)]
    pub const fn unpack(word: u64) -> Arena {
        Arena { next: CellRef(word as u32), end: CellRef((word >> 32) as u32) }
    }
}

/// The recorder's clock in shared memory, so that a long crossing shows even when it was not timed.
#[repr(C, align(64))]
pub struct Coarse {
    /// Ticks so far. Written last.
    pub sequence: AtomicU64,
    /// Time stamp counter at tick `n`, at `n % TICKS`.
    pub at: [AtomicU64; TICKS],
}

/// Crossings of one C function that are counted without a cell of their own.
#[repr(C)]
pub struct Overflow {
    /// Address of the C function, 0 for a free entry.
    pub function: AtomicU64,
    /// Crossings of Ms without a [`Thread`].
    pub calls: AtomicU64,
    /// Crossings of Ms that have one, which counts them in its spare cell.
    pub spare_calls: AtomicU64,
}

/// Totals of goroutines whose entries were evicted.
#[repr(C)]
pub struct Forgotten {
    /// Number of these goroutines.
    pub goroutines: AtomicU64,
    /// Those of them that had not ended: when they cross again, a migration may go unseen.
    pub alive: AtomicU64,
    /// Their crossings.
    pub calls: AtomicU64,
    /// Their migrations.
    pub migrations: AtomicU64,
}

/// A thread that the runtime makes, and the C functions that held its Ms at that moment.
#[repr(C)]
pub struct Birth {
    /// Its number plus one. Written last.
    pub sequence: AtomicU64,
    /// Time when the runtime began to make it, in ticks.
    pub at: u64,
    /// Kernel thread id of the thread that makes it.
    pub creator: u64,
    /// The direct crossing that makes it, as an address in the program. Its stack says why.
    pub cell: u64,
    /// Number of Ms in C.
    pub in_c: u64,
    /// C functions that these Ms were in.
    pub holders: [Holder; HOLDERS],
}

/// Ms in one C function.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Holder {
    /// Number of these Ms.
    pub count: u64,
    /// The crossing of one of them, as an address in the program.
    pub cell: u64,
}

/// A goroutine that has crossed or locked itself to its thread.
#[repr(C, align(64))]
pub struct Goroutine {
    /// `g.goid`; 0 for a free entry, [`BUSY`] while the entry goes to another goroutine.
    pub goid: AtomicU64,
    /// Address of its g.
    pub g: u64,
    /// Address of the [`Thread`] that it last crossed on.
    pub thread: u64,
    /// Crossings, without those that its thread has not yet handed over ([`Thread::run`]).
    pub calls: AtomicU64,
    /// [`Thread::generation`] of `thread` at that crossing.
    pub generation: u64,
    /// Number of times that its last table belonged to another thread when it crossed there again.
    pub later_threads: u64,
    /// Crossings on another thread than that of the crossing before.
    pub migrations: u64,
    /// Number of times that it locked itself to its thread.
    pub locks: u64,
    /// The cell of its first crossing, or of its lock.
    pub cell: CellRef,
    _pad: u32,
    /// Bit `n % 64` of word `n / 64`: it has crossed on the thread whose [`Thread::number`] is `n`.
    pub threads: [u64; NUMBERED_THREADS / 64],
    /// Higher numbers of threads that it has crossed on, each once; 0 where there is none.
    pub others: [u16; OTHER_THREADS],
    /// Whether it has crossed on more of those threads than there is room for.
    pub beyond: u64,
}

/// [`Goroutine::goid`] of an entry that goes to another goroutine.
pub const BUSY: u64 = u64::MAX;

/// The table of one M's kernel thread.
#[repr(C, align(64))]
pub struct Thread {
    /// Address of the M, 0 when free. The M sets it. It becomes [`LEAVING`] when the M has got another thread, or its
    /// thread has ended. Then the recorder sets it to 0.
    pub owner: AtomicU64,
    /// Address of the first free entry of `in_flight`.
    pub top: u64,
    /// Number of running callbacks whose crossings share the last entry of `in_flight`.
    pub deeper: u64,
    /// The crossing in whose callback this M runs Go.
    pub enclosing: CellRef,
    _pad: u32,
    /// Ticks of the recorder's coarse clock so far, a copy of [`Coarse::sequence`]. Written by the recorder.
    pub coarse: AtomicU64,
    /// `g.goid` of the goroutine that crossed here last; 0 once it has crossed elsewhere, set by the M where it did so.
    pub goid: AtomicU64,
    /// Crossings of that goroutine here that are not in its [`Goroutine`] yet.
    pub run: u64,
    /// Address of its [`Goroutine`], 0 if it has none.
    pub goroutine: u64,
    /// Goid that the entry at `goroutine` had then.
    pub goroutine_goid: u64,
    /// State of the generator of intervals.
    pub random: u64,
    /// Time when C last returned in a crossing that read the clock at that moment, in ticks; 0 before.
    pub last_returned: u64,
    /// Kernel thread id when the table was claimed, from `m.procid`.
    pub tid: u64,
    /// Address of the M when the table was claimed.
    pub m: u64,
    /// `m.id`.
    pub m_id: u64,
    /// Number of threads that have had this table, the present one included.
    pub generation: u64,
    /// Time since which its goroutine is locked to it, in ticks; 0 if it is not.
    pub locked_since: u64,
    /// Time when that lock ended, in ticks; 0 if it has not.
    pub unlocked: u64,
    /// The cell of that lock, as an address in the program.
    pub lock: u64,
    /// `g.goid` of the goroutine that locked itself.
    pub locked_goid: u64,
    /// When this foreign thread began to look for an M, in ticks; 0 once its callback's times have been added.
    pub attaching: u64,
    /// Address of `m.procid`: an extra M is lent to one foreign thread after the other.
    pub procid: u64,
    /// Number of tables that had been claimed before this one first was.
    pub number: u64,
    /// First of this table's cells.
    pub cells: AtomicU32,
    /// Number of cells made.
    pub cell_count: u32,
    /// Next free byte of the arena chunk.
    pub chunk_next: u64,
    /// End of the arena chunk.
    pub chunk_end: u64,
    /// Crossings for whose stack there was no room, and callbacks without a cell. Crossings are counted by their innermost
    /// frames, or by function alone.
    pub folded: u64,
    /// Cells with whole stacks.
    pub stacks: u32,
    /// Index entries in use.
    pub index_used: u32,
    /// Address of the index of cells: `first_index`, or a larger one in the arena.
    pub index: u64,
    /// Number of entries of that index.
    pub index_len: u64,
    /// Callbacks that came from a thread with no crossing in flight.
    pub foreign_callbacks: u64,
    /// Slow crossings written so far. Each is in `events` at its number modulo [`EVENTS`].
    pub events_written: AtomicU64,
    /// Slow crossings read so far. Written by the recorder.
    pub events_read: AtomicU64,
    /// Slow crossings that were dropped because `events` was full.
    pub events_dropped: AtomicU64,
    /// Enter phases, exits and locks that were dropped because `events` was full.
    pub ends_dropped: AtomicU64,
    /// Slow crossings, their exits, and locks.
    pub events: [Event; EVENTS],
    /// Cells found lately, as addresses in the program, by [`memo_slot`].
    pub cell_cache: [u64; CELL_CACHE],
    /// Entry for the callbacks of a foreign thread, which have no crossing.
    pub foreign: InFlight,
    /// Crossings in flight, the outermost first.
    pub in_flight: [InFlight; IN_FLIGHT],
    /// Open-addressed index from hash to cell, to which `index` leads at first.
    pub first_index: [IndexEntry; FIRST_INDEX],
    /// Scratch of the stack walk.
    pub walk: [Frame; MAX_FRAMES],
    /// Scratch for the key to look for: a goroutine's stack has room for little.
    pub key: [u64; 8],
    /// Counts crossings that have no other place left.
    pub spare: Spare,
    /// Takes the times for which there is no room. Nobody reads them.
    pub unkept: Unkept,
}

/// A cell with all that belongs to it.
#[repr(C, align(64))]
pub struct Spare {
    /// The cell.
    pub cell: Cell,
    /// Its times.
    pub times: Times,
    /// Its rare counts.
    pub rare: Rare,
}

/// Stands in for times and rare counts for which there is no room.
#[repr(C, align(64))]
pub struct Unkept {
    /// The times.
    pub times: Times,
    /// The rare counts.
    pub rare: Rare,
}

/// Something that took long. The recorder looks up what its thread did meanwhile, and puts it on the timeline.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Event {
    /// [`kind`].
    pub kind: u32,
    /// Length in ticks of the interval in which it began; `from` is its middle. 0 if the begin was timed, or is so long
    /// ago that it is a guess.
    pub begin_span: u32,
    /// The cell of the crossing or lock, as an address in the program.
    pub cell: u64,
    /// When it began, in ticks.
    pub from: u64,
    /// When it ended, in ticks.
    pub to: u64,
    /// Kernel thread id.
    pub tid: u64,
    /// `g.goid`.
    pub goid: u64,
    /// Number of crossings that it stands for. With [`Event::CENSUS`] it stands for itself alone, as every such
    /// crossing is seen.
    pub gap: u64,
    /// Ticks of its enter phase, if that was timed.
    pub enter: u64,
}

impl Event {
    /// Bit that is added to `gap` if the crossing is in its cell's census.
    pub const CENSUS: u64 = 1 << 63;

    /// Returns the number of crossings that it stands for.
    pub const fn weight(&self) -> u64 {
        self.gap & !Self::CENSUS
    }

    /// Returns whether it stands for crossings of which only some are timed.
    pub const fn is_sampled(&self) -> bool {
        self.gap & Self::CENSUS == 0
    }
}

/// Kinds of an [`Event`].
pub mod kind {
    /// The C phase of a crossing.
    pub const C: u32 = 0;
    /// The exit phase of a crossing, from the end of its C phase, on the thread where the goroutine resumed.
    pub const EXIT: u32 = 1;
    /// A goroutine was locked to its thread.
    pub const LOCKED: u32 = 2;
    /// The C phase of a crossing whose goroutine was locked to its thread.
    pub const C_LOCKED: u32 = 3;
    /// A direct crossing: there is no exit, and its goroutine is not known.
    pub const DIRECT: u32 = 4;
    /// The enter phase of a timed crossing.
    pub const ENTER: u32 = 5;
}

/// One entry of an M's index.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexEntry {
    /// Low half of the hash, whose lowest bits give the place.
    pub tag: u32,
    /// The cell; none if the entry is free.
    pub cell: CellRef,
}

/// A crossing whose C function has not returned, from its enter hook on.
#[repr(C, align(64))]
pub struct InFlight {
    /// Its cell, as an address in the program; one more when it is timed.
    pub tagged_cell: u64,
    /// When it was entered, in ticks; only when it is timed.
    pub entered: u64,
    /// When C was called, in ticks, 0 before; only when it is timed.
    pub called: u64,
    /// Coarse tick when it was entered.
    pub coarse: u64,
    /// Ticks spent in callbacks so far; only when it is timed.
    pub callback_ticks: u64,
    /// When the callback now running began, 0 if none is; only when it is timed.
    pub callback_began: u64,
    /// Number of crossings that it stands for; only when it is timed.
    pub gap: u32,
    /// 1 while a callback runs: the thread is not in C.
    pub in_go: u32,
    /// Address of its [`Thread`].
    pub thread: u64,
    /// Cell of the callback that runs, as an address in the program, 0 where there is none.
    pub callback: u64,
    /// When the callback got its P; only when it is timed.
    pub callback_acquired: u64,
    /// When the callback gave its P back; only when it is timed.
    pub callback_ended: u64,
    _pad: [u64; 5],
}

impl InFlight {
    /// Returns its cell, as an address in the program.
    #[inline(always)]
    pub fn cell(&self) -> *mut Cell {
        (self.tagged_cell & !1) as *mut Cell
    }

    /// Returns whether it is timed.
    #[inline(always)]
    pub fn timed(&self) -> bool {
        self.tagged_cell & 1 == 1
    }
}

/// Sums over all crossings with one C function, Go stack, enclosing crossing and lock state. Parts that only some cells
/// need have room of their own, taken when it is needed.
#[repr(C, align(16))]
pub struct Cell {
    /// Crossings begun.
    pub calls: u64,
    /// Value of `calls` at the next timed crossing.
    pub timed_at: u64,
    /// Address of the C function.
    pub function: u64,
    /// Bytes from the innermost frame to the top of its stack.
    pub stack_depth: u32,
    /// The crossing in whose callback this one is made.
    pub enclosing: CellRef,
    /// [`flags`].
    pub flags: u32,
    /// Frames of its stack.
    pub frames: u16,
    /// [`Block`]s, which follow the cell and hold its frames. Where there are none, [`Frame`]s follow.
    pub blocks: u16,
    /// `m.lockedExt` of the crossing that made the cell; any value but 0 is locked.
    pub locks: u32,
    /// Next cell of the same table.
    pub next: CellRef,
    /// Return address that is not in the frame pointer chain, or 0.
    pub leaf: u64,
    /// Mean crossings between two timed ones. Written by the recorder.
    pub interval: AtomicU32,
    /// Number of crossings that the next timed one stands for.
    pub gap: u32,
    /// Its [`Times`], as a [`CellRef`]; 0 until it has some.
    pub times: AtomicU32,
    /// Its [`Rare`], as a [`CellRef`]; 0 until it has some.
    pub rare: AtomicU32,
    /// Address of the [`Thread`] it belongs to; for a [`flags::MIGRATED_EXIT`], of the cell whose exits it holds.
    pub home: u64,
    /// Callbacks made.
    pub callbacks: u64,
    /// Crossings whose goroutine made its previous crossing on another thread.
    pub migrations: u64,
}

/// The times of a cell's crossings.
#[repr(C, align(64))]
pub struct Times {
    /// Timed crossings that returned.
    pub timed: u64,
    /// Number of crossings that the timed ones stand for.
    pub weight: u64,
    /// Sum over the timed ones of gap x (gap - 1): the size of what was not seen.
    pub skipped: u64,
    /// Number of crossings that those with a timed exit stand for.
    pub exits: u64,
    /// Smallest and largest C time seen, in ticks.
    pub c_min: u64,
    /// See `c_min`.
    pub c_max: u64,
    /// Smallest and largest overhead seen, in ticks.
    pub overhead_min: u64,
    /// See `overhead_min`.
    pub overhead_max: u64,
    /// Enter phase.
    pub enter: Samples,
    /// C phase; the census holds the crossings of two coarse ticks or more.
    pub c: Phase,
    /// Exit phase; the census holds those whose P was found taken and those after a long C phase.
    pub exit: Phase,
    /// C times in ticks.
    pub c_histogram: Histogram,
    /// Enter plus exit times in ticks.
    pub overhead_histogram: Histogram,
}

/// Rare counts: of what happens to the crossings of few cells.
#[repr(C, align(64))]
pub struct Rare {
    /// Crossings left by panic or Goexit.
    pub abandoned: u64,
    /// Number of times that the P was taken while in C.
    pub p_lost: u64,
    /// Crossings that found no P when C had returned, and left their M parked.
    pub parked: u64,
    /// Number of timed exits of crossings whose P was taken.
    pub waits: u64,
    /// Sum of the times of these exits, in ticks.
    pub wait_sum: u64,
    /// Longest of these exits, in ticks.
    pub wait_max: u64,
    /// Sum of the squares of the intervals in which the untimed crossings in the census of `c` began, in ticks.
    pub c_begin_squares: f64,
    /// Time inside callbacks.
    pub callback: Phase,
}

/// Sums of sampled times, in ticks.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct Samples {
    /// Sum over the sampled crossings of gap x time.
    pub sum: u64,
    /// Sum over the sampled crossings of gap x time squared.
    pub squares: f64,
}

/// Sums of one phase, in ticks.
#[repr(C)]
#[derive(Clone, Copy, Default, Debug, PartialEq)]
pub struct Phase {
    /// Sum over the sampled crossings of gap x time.
    pub sum: u64,
    /// Sum over the sampled crossings of gap x time squared.
    pub squares: f64,
    /// Crossings that were all timed, whatever the interval.
    pub census: u64,
    /// Sum of their times.
    pub census_sum: u64,
}

/// Bits of [`Cell::flags`].
pub mod flags {
    /// The goroutine was locked to its thread by the user.
    pub const LOCKED: u32 = 1;
    /// Reached `asmcgocall` without `cgocall`.
    pub const DIRECT: u32 = 2;
    /// Stands for all stacks with these innermost frames for which there was no room.
    pub const FOLDED: u32 = 4;
    /// Holds the exits, on this M, of crossings begun on another.
    pub const MIGRATED_EXIT: u32 = 8;
    /// Not a crossing but callbacks: of one Go function, in one crossing's cell. Their phases are acquire (enter), Go
    /// (c) and release (exit), and `callback` is the time foreign threads took to get an M.
    pub const CALLBACK: u32 = 16;
    /// Not a crossing but a place where goroutines lock themselves to their threads: `c` is how long they were locked.
    pub const LOCK: u32 = 32;
    /// The stack goes on beyond the frames kept.
    pub const TRUNCATED: u32 = 1 << 8;
}

/// One step of a frame pointer chain.
#[repr(C, align(16))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Frame {
    /// Bytes from the innermost frame to this one.
    pub offset: u64,
    /// Return address, which lies eight bytes above.
    pub pc: u64,
}

/// Four frames as the enter thunk compares them. Comparing them takes six loads, and the loads bound its speed.
#[repr(C, align(16))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Block {
    /// Words from the innermost frame to each return address.
    pub offsets: [u16; FRAME_BLOCK],
    /// Bits 32 to 47 of the return addresses.
    pub high: [u16; FRAME_BLOCK],
    /// Their low halves. Go code lies within 4 GiB, so these tell return addresses apart.
    pub pcs: [u32; FRAME_BLOCK],
}

impl Block {
    /// Returns one of its return addresses.
    #[inline(always)]
    pub const fn pc(&self, index: usize) -> u64 {
        (self.high[index % FRAME_BLOCK] as u64) << 32 | self.pcs[index % FRAME_BLOCK] as u64
    }
}

/// The bits of a return address that a [`Block`] holds: all that addresses of user space have.
pub const PC_BITS: u64 = (1 << 48) - 1;

/// Deepest stack whose frames a [`Block`] can hold, in bytes: deeper ones are not remembered.
pub const DEEPEST_REMEMBERED: u32 = 8 * u16::MAX as u32;

/// Returns the place where an M remembers the cell of a site at a depth. The enter thunk computes the same; a better
/// mixture would make every crossing wait for it.
#[inline(always)]
pub fn memo_slot(site: u64, stack_depth: u32) -> usize {
    (site as u32).wrapping_add(stack_depth) as usize % CELL_CACHE
}

/// Returns the word of the directory where the address of an M's table is, if that word is free. If not, the address is
/// in the other word of the same pair, which the enter thunk knows too, or in one of the six others on the same cache
/// line. Ms are allocated 1408 bytes apart and more. The enter thunk takes these bits from the second and third byte of
/// `g.m`.
#[inline(always)]
pub const fn home(m: u64) -> usize {
    (m >> 10) as usize % DIRECTORY
}

/// Bytes from the stack pointer at the C hook's call of C to the word that names the crossing for the unwinder of a
/// sample: [`InFlight::tagged_cell`], or 0 if it has none.
pub const MARKER_CELL: u64 = 8;

/// Bytes below the place where a system stack was left for C. They hold the frames of `asmcgocall` and the C hook, and
/// the return address of the C function, which take 112 at most, in Go 1.19 to 1.21.
pub const HOOK_FRAMES: u64 = 128;

/// Start of the arena.
pub const ARENA_OFFSET: u64 = (size_of::<Header>() as u64).next_multiple_of(4096);

/// A mapping is smaller than this: references of cells have 26 bits where room is scarce.
pub const MAPPING_MAX: u64 = 1 << 32;

const _: () = assert!(THREADS <= u16::MAX as usize && DIRECTORY == 1 << 14);
const _: () = assert!(size_of::<InFlight>() == 128);
const _: () = assert!(size_of::<Goroutine>().is_multiple_of(64));
const _: () = assert!(size_of::<Frame>() == 16);
const _: () = assert!(size_of::<Cell>() == 96 && size_of::<Times>() == 192 && size_of::<Rare>() == 128);
