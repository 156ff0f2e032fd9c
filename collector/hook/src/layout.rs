//! The memory that the hooks write and the recorder reads: one definition for both sides.
//!
//! Everything lives in one shared mapping. Its start is a [`Header`], then one [`Thread`] for every M that
//! has crossed, then the arena of [`Cell`]s, each followed by the stack it stands for. A reference within
//! the mapping is a [`CellRef`]: an offset in units of 64 bytes, so that both sides may map it anywhere.
//!
//! Every word has one writer. What the target's thread writes, the recorder only reads; the few words the
//! recorder writes (`coarse`, `interval`, `owner` of a dead thread) are marked. There are no locks.

use core::sync::atomic::{AtomicU32, AtomicU64};

use crate::histogram::Histogram;

/// First word of the mapping: "cgoprof" and the version of this layout.
pub const MAGIC: u64 = u64::from_le_bytes(*b"cgoprof\x01");
/// Ms that can have a table of their own at the same time. Their slots are reused when they end.
pub const THREADS: usize = 1024;
/// Entries of one M's index of cells; three quarters may be used for stacks, some more for cells without.
pub const INDEX: usize = 16384;
/// [`Thread::owner`] of a slot whose M's thread has ended: nobody's, but not yet anybody's.
pub const LEAVING: u64 = 1;
/// Slow crossings of an M that can wait for the recorder.
pub const EVENTS: usize = 512;
/// Crossings nested in each other on one M that are kept apart. Deeper ones share the last entry.
pub const IN_FLIGHT: usize = 512;
/// C functions that the overflow table counts when no [`Thread`] is free.
pub const OVERFLOW: usize = 1024;
/// Arena bytes an M takes at once.
pub const CHUNK: u64 = 128 << 10;
/// Coarse clock ticks remembered, to bound the start of a long crossing that was not timed.
pub const TICKS: usize = 1024;
/// Most frames of a stack.
pub const MAX_FRAMES: usize = 256;
/// Frames in a [`Block`]: a cell's frames are padded to a multiple of it by repeating the last.
pub const FRAME_BLOCK: usize = 4;
/// Cells that an M remembers by site and depth, so that the enter thunk finds them itself.
pub const MEMO: usize = 1024;
/// Bytes from one [`Thread`] to the next.
pub const THREAD_STRIDE: usize = 1 << 18;

/// A place in the mapping: offset from its start in units of 64 bytes. 0 is none.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct CellRef(pub u32);

impl CellRef {
    /// No cell.
    pub const NONE: CellRef = CellRef(0);

    /// Bytes from the start of the mapping.
    #[inline(always)]
    pub const fn offset(self) -> u64 {
        self.0 as u64 * 64
    }
}

/// The start of the mapping.
#[repr(C, align(64))]
pub struct Header {
    /// [`MAGIC`].
    pub magic: u64,
    /// Bytes of the whole mapping.
    pub size: u64,
    /// Next free byte of the arena; grows past the end when the arena is full.
    pub arena_next: AtomicU64,
    /// Cells whose C function lies outside the program's own file: a hint to read the library list now.
    pub foreign_cells: AtomicU64,
    /// Direct crossings seen without a g or on the signal stack: counted, nothing else.
    pub unattributed_direct: AtomicU64,
    /// Crossings that found neither a [`Thread`] nor room in `overflow`.
    pub unattributed: AtomicU64,
    /// Callbacks that came from a thread with no crossing in flight.
    pub foreign_callbacks: AtomicU64,
    /// How many of `used` are set.
    pub used_count: AtomicU64,
    /// Indices of the [`Thread`]s that have ever been claimed, plus one, in that order; 0 until it is written.
    pub used: [AtomicU32; THREADS],
    /// Written by the recorder about every millisecond.
    pub coarse: Coarse,
    /// Counts of the Ms for which no [`Thread`] was free.
    pub overflow: [Overflow; OVERFLOW],
}

/// The recorder's clock in shared memory, so that a long crossing shows even when it was not timed.
#[repr(C, align(64))]
pub struct Coarse {
    /// Ticks so far. Written last.
    pub sequence: AtomicU64,
    /// Time stamp counter at tick `n`, at `n % TICKS`.
    pub at: [AtomicU64; TICKS],
}

/// Crossings of one C function made by Ms without a [`Thread`].
#[repr(C)]
pub struct Overflow {
    /// Address of the C function, 0 for a free entry.
    pub function: AtomicU64,
    /// Crossings.
    pub calls: AtomicU64,
}

/// What one M owns.
#[repr(C, align(4096))]
pub struct Thread {
    /// Address of the M, 0 when free. Set by the M; when the M's thread has ended, by the recorder, to [`LEAVING`] and
    /// then to 0.
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
    /// State of the generator of intervals.
    pub random: u64,
    /// Kernel thread id when the slot was claimed, from `m.procid`.
    pub tid: u64,
    /// Where `m.procid` is: an extra M is lent to one foreign thread after the other.
    pub procid: u64,
    /// First of this slot's cells.
    pub cells: AtomicU32,
    /// Cells made.
    pub cell_count: u32,
    /// Next free byte of the arena chunk.
    pub chunk_next: u64,
    /// End of the arena chunk.
    pub chunk_end: u64,
    /// Crossings whose stack found no room and were counted in a stackless cell.
    pub folded: u64,
    /// Index entries in use.
    pub index_used: u32,
    _pad2: u32,
    /// Callbacks that came from a thread with no crossing in flight.
    pub foreign_callbacks: u64,
    /// Slow crossings written so far, at this number modulo [`EVENTS`].
    pub events_written: AtomicU64,
    /// Slow crossings read so far. Written by the recorder.
    pub events_read: AtomicU64,
    /// Slow crossings that found no room.
    pub events_dropped: AtomicU64,
    /// Slow crossings.
    pub events: [Event; EVENTS],
    /// Cells found lately, as addresses in the target, by [`memo_slot`].
    pub memo: [u64; MEMO],
    /// Crossings in flight, the outermost first.
    pub in_flight: [InFlight; IN_FLIGHT],
    /// Open-addressed index: hash to cell.
    pub index: [IndexEntry; INDEX],
    /// Scratch of the stack walk.
    pub walk: [Frame; MAX_FRAMES],
    /// Counts what has no other place left.
    pub spare: Cell,
}

/// A crossing that was long in C, for the recorder to look up what its thread did meanwhile.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Event {
    /// Its cell, as an address in the target.
    pub cell: u64,
    /// When C was called, in ticks.
    pub called: u64,
    /// When C returned, in ticks.
    pub returned: u64,
    /// Kernel thread id.
    pub tid: u64,
    /// How many crossings it stands for.
    pub gap: u64,
}

/// One entry of an M's index.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IndexEntry {
    /// Low half of the hash; the high half gives the place.
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
    _pad: u32,
    /// Address of its [`Thread`].
    pub thread: u64,
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

/// What every crossing with one C function, Go stack, enclosing crossing and lock state adds up to.
#[repr(C, align(64))]
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
    /// Frames, which follow the blocks.
    pub frames: u16,
    /// [`Block`]s, which follow the cell.
    pub blocks: u16,
    /// Return address that is not in the frame pointer chain, or 0.
    pub leaf: u64,
    /// `m.lockedExt` of the crossing that made the cell; any value but 0 is locked.
    pub locks: u32,
    /// Next cell of the same slot.
    pub next: CellRef,
    /// Mean crossings between two timed ones. Written by the recorder.
    pub interval: AtomicU32,
    /// How many crossings the next timed one will stand for.
    pub gap: u32,

    /// Crossings left by panic or Goexit.
    pub abandoned: u64,
    /// Callbacks made.
    pub callbacks: u64,
    /// Address of the [`Thread`] it belongs to; for a [`flags::VISITOR`], of the cell whose exits it holds.
    pub home: u64,
    /// Crossings whose exit was timed, and how many they stand for.
    pub exits: u64,
    /// Timed crossings that returned.
    pub timed: u64,
    /// How many crossings the timed ones stand for.
    pub weight: u64,
    /// Sum over the timed ones of gap x (gap - 1): the size of what was not seen.
    pub skipped: u64,
    /// Smallest and largest C time seen, in ticks.
    pub c_min: u64,
    /// See `c_min`.
    pub c_max: u64,
    /// Smallest and largest overhead seen, in ticks.
    pub overhead_min: u64,
    /// See `overhead_min`.
    pub overhead_max: u64,
    /// Enter phase.
    pub enter: Phase,
    /// C phase; the census holds the crossings longer than two coarse ticks.
    pub c: Phase,
    /// Exit phase; the census holds those whose P was found taken and those after a long C phase.
    pub exit: Phase,
    /// Time inside callbacks.
    pub callback: Phase,
    /// C times in ticks.
    pub c_histogram: Histogram,
    /// Enter plus exit times in ticks.
    pub overhead_histogram: Histogram,
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
    /// Stands for all stacks that found no room.
    pub const FOLDED: u32 = 4;
    /// Holds the exits, on this M, of crossings begun on another.
    pub const VISITOR: u32 = 8;
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
    _pad: [u16; FRAME_BLOCK],
    /// Low halves of the return addresses: Go code lies within 4 GiB, so that they tell them apart.
    pub pcs: [u32; FRAME_BLOCK],
}

/// Deepest stack whose frames a [`Block`] can hold, in bytes: deeper ones are not remembered.
pub const DEEPEST_REMEMBERED: u32 = 8 * u16::MAX as u32;

/// Where an M remembers the cell of a site at a depth. The enter thunk computes the same; a better mixture would
/// make every crossing wait for it.
#[inline(always)]
pub fn memo_slot(site: u64, stack_depth: u32) -> usize {
    (site as u32).wrapping_add(stack_depth) as usize % MEMO
}

/// From the bits of an M's address that tell it from its neighbours, allocated 1792 bytes apart and more, to a slot in
/// bytes of the array of [`Thread`]s.
pub const HOME_NEAR: u32 = THREAD_STRIDE.trailing_zeros() - 10;
/// The same from the bits that tell the places of the heap apart where Ms lie.
pub const HOME_FAR: u32 = 21 - THREAD_STRIDE.trailing_zeros();
/// The bits of a slot.
pub const HOME_MASK: u32 = ((THREADS - 1) * THREAD_STRIDE) as u32;

/// Where in the array of [`Thread`]s an M's table is if the place is free: in bytes. Else it is next to that, the
/// slots taken in pairs, which the enter thunk knows too; else further on.
#[inline(always)]
pub const fn home(m: u64) -> u64 {
    (((m as u32) << HOME_NEAR ^ (m as u32) >> HOME_FAR) & HOME_MASK) as u64
}

/// From the stack pointer at the C hook's call of C to the word that names the crossing for the unwinder of a sample:
/// [`InFlight::tagged_cell`], or 0 if it has none.
pub const MARKER_CELL: u64 = 8;

/// Start of the array of [`Thread`]s.
pub const THREADS_OFFSET: u64 = (size_of::<Header>() as u64).next_multiple_of(4096);
/// Start of the arena.
pub const ARENA_OFFSET: u64 = THREADS_OFFSET + (THREADS * THREAD_STRIDE) as u64;

const _: () = assert!(size_of::<Thread>() <= THREAD_STRIDE);
const _: () = assert!(THREADS * THREAD_STRIDE <= 1 << 31 && THREADS.is_power_of_two());
const _: () = assert!(size_of::<InFlight>() == 64);
const _: () = assert!(size_of::<Frame>() == 16);
const _: () = assert!(size_of::<Cell>().is_multiple_of(64));
