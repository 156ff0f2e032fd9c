//! The memory that the hooks write and the recorder reads: one definition for both sides.
//!
//! Everything lives in one shared mapping of a file that is shorter. The mapping's start is a [`Header`], the rest an arena,
//! in which a [`Thread`] takes room for every kernel thread that crosses, then its [`Cell`]s, each followed by the stack it
//! stands for, and blocks of [`Goroutine`]s. The recorder makes the file longer before the arena is used up: what lies beyond
//! its end takes no memory, even where a program locks all of its own.
//! A reference within the mapping is a [`CellRef`]: an offset in units of 64 bytes, so that both sides may map it
//! anywhere.
//!
//! Nearly every word has one writer. What the target's thread writes, the recorder only reads; the few words the
//! recorder writes (`coarse`, `interval`, `owner` of a dead thread) are marked. Where threads of the target share
//! words (goroutines' entries, [`Thread::goid`], the header) they are atomic. There are no locks.

use core::sync::atomic::{AtomicU32, AtomicU64};

pub use crate::cell_ref::CellRef;
use crate::histogram::Histogram;
use crate::registration::Registration;

/// First word of the mapping: "cgoprof" and the version of this layout.
pub const MAGIC: u64 = u64::from_le_bytes(*b"cgoprof\x07");
/// Ms that can have a table of their own at the same time. Their slots are reused when they end.
pub const THREADS: usize = 8192;
/// Words of the directory by which an M's table is found.
pub const DIRECTORY: usize = 2 * THREADS;
/// Words of the cache of Ms that have no table.
pub const WITHOUT: usize = 1024;
/// Entries of one M's index of cells at first, and at most.
pub const FIRST_INDEX: usize = 256;
/// See [`FIRST_INDEX`].
pub const LARGEST_INDEX: usize = 1 << 17;
/// Stacks kept apart on one M. Of further ones only the innermost two frames are: the wrapper and its caller.
pub const STACKS: u32 = 12_288;
/// Tables that have a bit in each goroutine's entry: those claimed first.
pub const NUMBERED_THREADS: usize = 1024;
/// Further threads of a goroutine that are told apart.
pub const OTHER_THREADS: usize = 8;
/// [`Thread::owner`] of a slot whose M's thread has ended: nobody's, but not yet anybody's.
pub const LEAVING: u64 = 1;
/// [`Thread::owner`] of a slot that the recorder is about to free: nobody may take it back.
pub const RELEASING: u64 = 2;
/// Slow crossings of an M that can wait for the recorder.
pub const EVENTS: usize = 256;
/// Crossings nested in each other on one M that are kept apart. Deeper ones share the last entry.
pub const IN_FLIGHT: usize = 128;
/// C functions that the overflow table counts where no [`Thread`] is free, or a thread has no room for their cells.
pub const OVERFLOW: usize = 1 << 12;
/// Arena bytes an M takes at once, where it has many cells.
pub const CHUNK: u64 = 64 << 10;
/// The same at first.
pub const FIRST_CHUNK: u64 = 4 << 10;
/// Coarse clock ticks remembered, to bound the start of a long crossing that was not timed.
pub const TICKS: usize = 1024;
/// Most frames of a stack.
pub const MAX_FRAMES: usize = 256;
/// Frames in a [`Block`]: a cell's frames are padded to a multiple of it by repeating the last.
pub const FRAME_BLOCK: usize = 4;
/// Cells that an M remembers by site and depth, so that the enter thunk finds them itself.
pub const MEMO: usize = 1024;
/// Goroutines that are kept apart at the same time.
pub const GOROUTINES: usize = 1 << 14;
/// Goroutines' entries that take room together: those that one goroutine may have.
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
/// A plugin was not attended to in time, and runs.
pub const PLUGIN_UNATTENDED: u64 = 3;

/// The start of the mapping.
#[repr(C, align(64))]
pub struct Header {
    /// See there.
    pub presence: Registration,
    /// How much of the arena is in use, and how much there is: an [`Arena`]. The recorder moves the end.
    pub arena: AtomicU64,
    /// Cells whose C function lies outside the program's own file: a hint to read the library list now.
    pub foreign_cells: AtomicU64,
    /// Direct crossings seen without a g or on the signal stack: counted, nothing else.
    pub unattributed_direct: AtomicU64,
    /// Crossings that found neither a [`Thread`] nor room in `overflow`.
    pub unattributed: AtomicU64,
    /// Timed crossings whose times, or whose place in a histogram, found no room.
    pub unkept: AtomicU64,
    /// How often a table, or room for one, has become free. Written by the recorder.
    pub freed: AtomicU64,
    /// Tables that are free.
    pub free: AtomicU64,
    /// Words of `directory` that had to make room for others.
    pub directory_evictions: AtomicU64,
    /// Addresses of [`Thread`]s in the target, by [`home`] of their M. A cache, any word of which may be lost.
    pub directory: [AtomicU64; DIRECTORY],
    /// Ms that have no table, each with the low bits of `freed` then. A cache too.
    pub without: [AtomicU64; WITHOUT],
    /// Blocks of [`GOROUTINE_BLOCK`] [`Goroutine`]s, as [`CellRef`]s; 0 for those that nobody has needed yet.
    pub goroutine_blocks: [AtomicU32; GOROUTINES / GOROUTINE_BLOCK],
    /// Goroutines that had to make room for others.
    pub forgotten: Forgotten,
    /// Unlocks of Ms whose table was not where the unlock thunk looks for it.
    pub unlocks_missed: AtomicU64,
    /// Threads that the runtime began to make, each at this number modulo [`BIRTHS`].
    pub births_written: AtomicU64,
    /// Those that the recorder has read. Written by the recorder.
    pub births_read: AtomicU64,
    /// Those that found no room.
    pub births_dropped: AtomicU64,
    /// See `births_written`.
    pub births: [Birth; BIRTHS],
    /// How far a Go plugin is that is being loaded: one of [`PLUGIN_NONE`], [`PLUGIN_WAITING`], [`PLUGIN_CLAIMED`],
    /// [`PLUGIN_UNATTENDED`]. The runtime
    /// loads one at a time.
    pub plugin: AtomicU64,
    /// How many of `used` are set.
    pub used_count: AtomicU64,
    /// The [`Thread`]s that have ever been claimed, as [`CellRef`]s, in that order; 0 until it is written.
    pub used: [AtomicU32; THREADS],
    /// Written by the recorder about every millisecond.
    pub coarse: Coarse,
    /// Crossings by C function alone: of Ms for which no [`Thread`] was free, and those that [`Thread::spare`] counts.
    pub overflow: [Overflow; OVERFLOW],
}

/// How much of the arena is in use, and how much there is, as places in the mapping. One word, so that whoever takes room knows
/// that it is there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arena {
    /// What is to be taken next.
    pub next: CellRef,
    /// Where what may be used of the file ends.
    pub end: CellRef,
}

impl Arena {
    /// As one word.
    #[inline(always)]
    pub const fn pack(self) -> u64 {
        (self.end.0 as u64) << 32 | self.next.0 as u64
    }

    /// From one word.
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

/// What goroutines had counted that made room for others.
#[repr(C)]
pub struct Forgotten {
    /// Goroutines.
    pub goroutines: AtomicU64,
    /// Those of them that had not ended: when they cross again, a migration may go unseen.
    pub alive: AtomicU64,
    /// Their crossings.
    pub calls: AtomicU64,
    /// Their migrations.
    pub migrations: AtomicU64,
}

/// A thread that the runtime makes, and who held its Ms in C at that moment.
#[repr(C)]
pub struct Birth {
    /// Its number plus one. Written last.
    pub sequence: AtomicU64,
    /// When, in ticks.
    pub at: u64,
    /// Kernel thread id of the thread that makes it.
    pub creator: u64,
    /// The direct crossing that makes it, whose stack says why, as an address in the target.
    pub cell: u64,
    /// Ms in C.
    pub in_c: u64,
    /// The C functions they were in.
    pub holders: [Holder; HOLDERS],
}

/// Ms in one C function.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Holder {
    /// How many.
    pub count: u64,
    /// The crossing of one of them, as an address in the target.
    pub cell: u64,
}

/// A goroutine that has crossed or locked itself to its thread.
#[repr(C, align(64))]
pub struct Goroutine {
    /// `g.goid`; 0 for a free entry, [`BUSY`] while it changes hands.
    pub goid: AtomicU64,
    /// Its g.
    pub g: u64,
    /// Address of the [`Thread`] that it last crossed on.
    pub thread: u64,
    /// Crossings, without those that its thread has not yet handed over ([`Thread::run`]).
    pub calls: AtomicU64,
    /// [`Thread::generation`] of that.
    pub generation: u64,
    /// Threads that got a table which it had known as another's.
    pub later_threads: u64,
    /// Crossings on another thread than the one before.
    pub migrations: u64,
    /// How often it locked itself to its thread.
    pub locks: u64,
    /// The cell of its first crossing, or of its lock.
    pub cell: CellRef,
    _pad: u32,
    /// Bit `n % 64` of word `n / 64`: it has crossed on the thread whose [`Thread::number`] is `n`.
    pub threads: [u64; NUMBERED_THREADS / 64],
    /// Higher numbers of threads that it has crossed on, each once; 0 where there is none.
    pub others: [u16; OTHER_THREADS],
    /// Whether it has crossed on more of those than there is room for.
    pub beyond: u64,
}

/// [`Goroutine::goid`] of an entry that changes hands.
pub const BUSY: u64 = u64::MAX;

/// What one M's thread owns.
#[repr(C, align(64))]
pub struct Thread {
    /// Address of the M, 0 when free. Set by the M; when the M has got another thread, or its thread has ended, set to
    /// [`LEAVING`]; then by the recorder to 0.
    pub owner: AtomicU64,
    /// Address of the first free entry of `in_flight`.
    pub top: u64,
    /// Callbacks running whose crossings share the last entry of `in_flight`.
    pub deeper: u64,
    /// The crossing in whose callback this M runs Go.
    pub enclosing: CellRef,
    _pad: u32,
    /// The recorder's coarse clock ticks so far, a copy of [`Coarse::sequence`]. Written by the recorder.
    pub coarse: AtomicU64,
    /// `g.goid` of the goroutine that crossed here last; 0 when it has crossed elsewhere since, set by the M it did so on.
    pub goid: AtomicU64,
    /// Its crossings here that are not in its [`Goroutine`] yet.
    pub run: u64,
    /// Address of its [`Goroutine`], 0 if it has none, and the goid that this had.
    pub goroutine: u64,
    /// See `goroutine`.
    pub goroutine_goid: u64,
    /// State of the generator of intervals.
    pub random: u64,
    /// When the last crossing that read the clock then returned from C, in ticks; 0 before.
    pub last_returned: u64,
    /// Kernel thread id when the slot was claimed, from `m.procid`.
    pub tid: u64,
    /// Address of the M when the slot was claimed.
    pub m: u64,
    /// `m.id`.
    pub m_id: u64,
    /// How many threads have had this table before.
    pub generation: u64,
    /// Since when its goroutine is locked to it, in ticks; 0 if it is not.
    pub locked_since: u64,
    /// When that ended, in ticks; 0 if it has not.
    pub unlocked: u64,
    /// The cell of that lock, as an address in the target.
    pub lock: u64,
    /// `g.goid` of the goroutine that locked itself.
    pub locked_goid: u64,
    /// When this foreign thread began to look for an M, in ticks; 0 once its callback has begun.
    pub attaching: u64,
    /// Where `m.procid` is: an extra M is lent to one foreign thread after the other.
    pub procid: u64,
    /// How many tables had been claimed before this one first was.
    pub number: u64,
    /// First of this slot's cells.
    pub cells: AtomicU32,
    /// Cells made.
    pub cell_count: u32,
    /// Next free byte of the arena chunk.
    pub chunk_next: u64,
    /// End of the arena chunk.
    pub chunk_end: u64,
    /// Crossings whose stack found no room: counted by their innermost frames, or by function alone.
    pub folded: u64,
    /// Cells with whole stacks.
    pub stacks: u32,
    /// Index entries in use.
    pub index_used: u32,
    /// Address of the index of cells: `first_index`, or a larger one in the arena.
    pub index: u64,
    /// Its entries.
    pub index_len: u64,
    /// Callbacks that came from a thread with no crossing in flight.
    pub foreign_callbacks: u64,
    /// Slow crossings written so far, at this number modulo [`EVENTS`].
    pub events_written: AtomicU64,
    /// Slow crossings read so far. Written by the recorder.
    pub events_read: AtomicU64,
    /// Slow crossings that found no room.
    pub events_dropped: AtomicU64,
    /// Exits and locks that found no room.
    pub ends_dropped: AtomicU64,
    /// Slow crossings, their exits, and locks.
    pub events: [Event; EVENTS],
    /// Cells found lately, as addresses in the target, by [`memo_slot`].
    pub memo: [u64; MEMO],
    /// Stands for the crossing where a foreign thread calls back: it has none.
    pub foreign: InFlight,
    /// Crossings in flight, the outermost first.
    pub in_flight: [InFlight; IN_FLIGHT],
    /// Open-addressed index: hash to cell. What `index` leads to at first.
    pub first_index: [IndexEntry; FIRST_INDEX],
    /// Scratch of the stack walk.
    pub walk: [Frame; MAX_FRAMES],
    /// Scratch for what is looked for: a goroutine's stack has room for little.
    pub key: [u64; 8],
    /// Counts what has no other place left.
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
    /// The rest.
    pub rare: Rare,
}

/// What takes the place of what finds no room.
#[repr(C, align(64))]
pub struct Unkept {
    /// Of times.
    pub times: Times,
    /// Of the rest.
    pub rare: Rare,
}

/// Something that took long, for the recorder to look up what its thread did meanwhile, and for the timeline.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Event {
    /// [`kind`].
    pub kind: u32,
    /// Length in ticks of the interval, with `from` in its middle, in which it began. 0 if the begin was timed, or is so long
    /// ago that it is a guess.
    pub begin_span: u32,
    /// The cell of the crossing or lock, as an address in the target.
    pub cell: u64,
    /// When it began, in ticks.
    pub from: u64,
    /// When it ended, in ticks.
    pub to: u64,
    /// Kernel thread id.
    pub tid: u64,
    /// `g.goid`.
    pub goid: u64,
    /// How many crossings it stands for; with [`Event::CENSUS`] for itself alone, as every such crossing is seen.
    pub gap: u64,
    /// Ticks of its enter phase, if that was timed.
    pub enter: u64,
}

impl Event {
    /// Added to `gap`: the crossing is in its cell's census.
    pub const CENSUS: u64 = 1 << 63;

    /// How many crossings it stands for.
    pub const fn weight(&self) -> u64 {
        self.gap & !Self::CENSUS
    }

    /// Whether it stands for crossings of which only some are timed.
    pub const fn is_sampled(&self) -> bool {
        self.gap & Self::CENSUS == 0
    }
}

/// What an [`Event`] is.
pub mod kind {
    /// The C phase of a crossing.
    pub const C: u32 = 0;
    /// The exit phase of a crossing, from the end of its C phase, on the thread where the goroutine went on.
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
    /// The cell, or none: the entry is free.
    pub cell: CellRef,
}

/// A crossing whose C function has not returned, from its enter hook on.
#[repr(C, align(64))]
pub struct InFlight {
    /// Its cell, as an address in the target; one more when it is timed.
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
    /// How many crossings it stands for; only when it is timed.
    pub gap: u32,
    /// 1 while a callback runs: the thread is not in C.
    pub in_go: u32,
    /// Address of its [`Thread`].
    pub thread: u64,
    /// Cell of the callback that runs, as an address in the target, 0 where there is none.
    pub callback: u64,
    /// When the callback had its P, and when it gave that back; only when it is timed.
    pub callback_acquired: u64,
    /// See `callback_acquired`.
    pub callback_ended: u64,
    _pad: [u64; 5],
}

impl InFlight {
    /// Its cell, as an address in the target.
    #[inline(always)]
    pub fn cell(&self) -> *mut Cell {
        (self.tagged_cell & !1) as *mut Cell
    }

    /// Whether it is timed.
    #[inline(always)]
    pub fn timed(&self) -> bool {
        self.tagged_cell & 1 == 1
    }
}

/// What every crossing with one C function, Go stack, enclosing crossing and lock state adds up to. What only some need has
/// room of its own, taken when it is needed.
#[repr(C, align(16))]
pub struct Cell {
    /// Crossings begun.
    pub calls: u64,
    /// What `calls` will be at the next timed crossing.
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
    /// Next cell of the same slot.
    pub next: CellRef,
    /// Return address that is not in the frame pointer chain, or 0.
    pub leaf: u64,
    /// Mean crossings between two timed ones. Written by the recorder.
    pub interval: AtomicU32,
    /// How many crossings the next timed one will stand for.
    pub gap: u32,
    /// Its [`Times`], as a [`CellRef`]; 0 until it has some.
    pub times: AtomicU32,
    /// Its [`Rare`], the same.
    pub rare: AtomicU32,
    /// Address of the [`Thread`] it belongs to; for a [`flags::VISITOR`], of the cell whose exits it holds.
    pub home: u64,
    /// Callbacks made.
    pub callbacks: u64,
    /// Crossings whose goroutine had made its crossing before on another thread.
    pub migrations: u64,
}

/// The times of a cell's crossings.
#[repr(C, align(64))]
pub struct Times {
    /// Timed crossings that returned.
    pub timed: u64,
    /// How many crossings the timed ones stand for.
    pub weight: u64,
    /// Sum over the timed ones of gap x (gap - 1): the size of what was not seen.
    pub skipped: u64,
    /// How many crossings those stand for whose exit was timed.
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
    /// C phase; the census holds the crossings longer than two coarse ticks.
    pub c: Phase,
    /// Exit phase; the census holds those whose P was found taken and those after a long C phase.
    pub exit: Phase,
    /// C times in ticks.
    pub c_histogram: Histogram,
    /// Enter plus exit times in ticks.
    pub overhead_histogram: Histogram,
}

/// What happens to the crossings of few cells.
#[repr(C, align(64))]
pub struct Rare {
    /// Crossings left by panic or Goexit.
    pub abandoned: u64,
    /// How often the P was taken while in C.
    pub p_lost: u64,
    /// Crossings that found no P when C had returned, and left their M parked.
    pub parked: u64,
    /// Exits of those whose P was taken: how many were timed, the sum and the longest, in ticks.
    pub waits: u64,
    /// See `waits`.
    pub wait_sum: u64,
    /// See `waits`.
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
    /// Stands for all stacks with these innermost frames that found no room.
    pub const FOLDED: u32 = 4;
    /// Holds the exits, on this M, of crossings begun on another.
    pub const VISITOR: u32 = 8;
    /// Not a crossing but callbacks: of one Go function, in one crossing's cell. Their phases are acquire (enter), Go (c)
    /// and release (exit), and `callback` is the time foreign threads took to get an M.
    pub const CALLBACK: u32 = 16;
    /// Not a crossing but a place where goroutines lock themselves to their threads: `c` is for how long.
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

/// Four frames as the enter thunk compares them: six loads for all, which is what that is bound by.
#[repr(C, align(16))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Block {
    /// Words from the innermost frame to each return address.
    pub offsets: [u16; FRAME_BLOCK],
    /// Bits 32 to 47 of the return addresses.
    pub high: [u16; FRAME_BLOCK],
    /// Their low halves. Go code lies within 4 GiB, so that these tell them apart.
    pub pcs: [u32; FRAME_BLOCK],
}

impl Block {
    /// One of its return addresses.
    #[inline(always)]
    pub const fn pc(&self, index: usize) -> u64 {
        (self.high[index % FRAME_BLOCK] as u64) << 32 | self.pcs[index % FRAME_BLOCK] as u64
    }
}

/// The bits of a return address that a [`Block`] holds: all that addresses of user space have.
pub const PC_BITS: u64 = (1 << 48) - 1;

/// Deepest stack whose frames a [`Block`] can hold, in bytes: deeper ones are not remembered.
pub const DEEPEST_REMEMBERED: u32 = 8 * u16::MAX as u32;

/// Where an M remembers the cell of a site at a depth. The enter thunk computes the same; a better mixture would
/// make every crossing wait for it.
#[inline(always)]
pub fn memo_slot(site: u64, stack_depth: u32) -> usize {
    (site as u32).wrapping_add(stack_depth) as usize % MEMO
}

/// Where in the directory the address of an M's table is if the word is free. Else it is next to that, the words taken in
/// pairs, which the enter thunk knows too; else in one of the six others on the same cache line. Ms are allocated 1408 bytes
/// apart and more. The enter thunk takes these bits from the second and third byte of `g.m`.
#[inline(always)]
pub const fn home(m: u64) -> usize {
    (m >> 10) as usize % DIRECTORY
}

/// From the stack pointer at the C hook's call of C to the word that names the crossing for the unwinder of a sample:
/// [`InFlight::tagged_cell`], or 0 if it has none.
pub const MARKER_CELL: u64 = 8;

/// Bytes below the place where a system stack was left for C in which the frames of `asmcgocall` and the C hook lie, and the
/// return address of the C function: 112 at most, in Go 1.19 to 1.21.
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
