//! The recorder's view of the memory shared with a program: a file that grows, and references into it that are checked.
//!
//! The mapping belongs to the target, which may write anything into it. So every reference is checked, and numbers are
//! used as numbers only. The target can't make the file shorter, which would kill the recorder while it reads
//! (memfd_create(2), F_SEAL_SHRINK).

use std::fs::File;
use std::io;
use std::num::NonZeroUsize;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use cgoprof_hook::layout::{ARENA_OFFSET, Arena, CHUNK, CellRef, Header, THREADS, Thread};
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes by which the file is longer than what is in use. Threads take them until the recorder looks again; they are
/// enough for six hundred threads that come at once.
const MARGIN: u64 = 32 << 20;
/// The same for a program that has locked its memory, where all of the file takes memory.
const LOCKED_MARGIN: u64 = 1 << 20;
/// Bytes of the smallest mapping that is of use.
pub(crate) const LEAST: u64 = ARENA_OFFSET + (1 << 20);
/// Divisor of the arena: an eighth is kept for cells without a whole stack, so that full tables still know their
/// functions.
const FOR_FOLDED: u64 = 8;

/// The shared memory, mapped into the recorder's.
pub(super) struct Shared {
    base: NonNull<u8>,
    /// Bytes mapped: the file's maximum length.
    size: u64,
    file: File,
    /// Bytes of the file.
    length: AtomicU64,
    /// Bytes of it that may be used.
    given: AtomicU64,
    margin: AtomicU64,
    /// The header's list of tables as far as it is checked.
    checked: Box<[AtomicU32]>,
}

/// The table of a thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Table {
    /// Its place in the header's list.
    pub(super) number: usize,
    at: NonNull<Thread>,
}

impl Table {
    /// Address in the recorder's memory.
    pub(super) fn at(self) -> *mut Thread {
        self.at.as_ptr()
    }
}

// SAFETY: the mapping stays until drop; shared words are accessed as atomics or as copies of plain numbers.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    /// Maps a file, gives it the length that is needed at first, and writes its header. The target must not use it yet.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn map(file: File, size: u64) -> io::Result<Shared> {
        let length = (ARENA_OFFSET + MARGIN).min(size);
        file.set_len(length)?;
        let mapped = NonZeroUsize::new(size as usize).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a new mapping at a place the kernel chooses.
        let base = unsafe {
            mmap(None, mapped, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, MapFlags::MAP_SHARED, &file, 0)
        }?;
        let checked = (0..THREADS).map(|_| AtomicU32::new(0)).collect();
        let [length_word, given, margin] = [length, length, MARGIN].map(AtomicU64::new);
        let shared = Shared { base: base.cast(), size, file, length: length_word, given, margin, checked };
        let arena = Arena { next: reference(ARENA_OFFSET), end: reference(length) };
        shared.header().arena.store(arena.pack(), Relaxed);
        // SAFETY: the mapping begins with a header, and the target does not use it yet.
        unsafe { (*shared.base.as_ptr().cast::<Header>()).presence.size = size };
        Ok(shared)
    }

    /// Gives the hooks more of the file, and makes it longer for that, if the rest may be used up before the next call.
    pub(super) fn provide(&self) {
        let (given, margin) = (self.given.load(Relaxed), self.margin.load(Relaxed));
        let next = Arena::unpack(self.header().arena.load(Relaxed)).next.offset().min(given);
        if given >= self.size || next + margin / 2 < given {
            return;
        }
        let longer = (next + margin).next_multiple_of(CHUNK).min(self.size);
        if longer > self.length.load(Relaxed) {
            if let Err(error) = self.file.set_len(longer) {
                tracing::debug!("the tables can't grow: {error}");
                return;
            }
            self.length.store(longer, Release);
        }
        self.given.store(longer, Relaxed);
        self.move_end(|_| Some(longer));
        // Threads that found no room look again.
        self.header().freed.fetch_add(1, Release);
    }

    /// Gives back the memory of unused parts, except for a small margin. It does so if the program has locked so many
    /// bytes that the tables can be among them.
    pub(super) fn note_locked(&self, locked: u64) {
        if locked < self.size {
            return;
        }
        if self.margin.swap(LOCKED_MARGIN, Relaxed) != LOCKED_MARGIN {
            let before = self.given.load(Relaxed);
            let less = |next: u64| (next + LOCKED_MARGIN).next_multiple_of(CHUNK);
            // From here on no hook takes room beyond the new end.
            if let Some(end) = self.move_end(|next| Some(less(next)).filter(|&end| end < before)) {
                self.given.store(end, Relaxed);
            }
        }
        // This is done at each call, because the program may have locked all its memory again.
        let (given, length) = (self.given.load(Relaxed), self.length.load(Relaxed));
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        if given < length
            && let Err(error) = fallocate(&self.file, hole, given as libc::off_t, (length - given) as libc::off_t)
        {
            tracing::debug!("memory of the tables can't be given back: {error}");
        }
    }

    /// Sets the arena's end. `end` works it out from what is in use; both are bytes from the mapping's start. Returns
    /// the new end, or none if it stays.
    fn move_end(&self, end: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let arena = &self.header().arena;
        let mut word = arena.load(Relaxed);
        loop {
            let Arena { next, .. } = Arena::unpack(word);
            let end = end(next.offset())?;
            match arena.compare_exchange_weak(word, Arena { next, end: reference(end) }.pack(), Release, Relaxed) {
                Ok(_) => return Some(end),
                Err(other) => word = other,
            }
        }
    }

    /// Bytes mapped.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Offset at which the room for stacks ends, in bytes from the mapping's start.
    pub(super) fn stacks_end(&self) -> u64 {
        (self.size - (self.size - ARENA_OFFSET) / FOR_FOLDED) & !63
    }

    /// Whether the room for stacks is used up.
    pub(super) fn is_full(&self) -> bool {
        Arena::unpack(self.header().arena.load(Relaxed)).next.offset() + CHUNK > self.stacks_end()
    }

    /// Returns the header, which is the start of the mapping.
    pub(super) fn header(&self) -> &Header {
        // SAFETY: the mapping begins with a header, which the file holds; its shared words are atomics.
        unsafe { self.base.cast::<Header>().as_ref() }
    }

    /// Returns the header, to be written to.
    pub(super) fn header_at(&self) -> *mut Header {
        self.base.as_ptr().cast()
    }

    /// Returns the place to which a reference leads; none if not all of it is in the file, behind the header.
    pub(super) fn at<T>(&self, at: CellRef) -> Option<NonNull<T>> {
        self.bytes_at(at.offset(), size_of::<T>() as u64).map(NonNull::cast)
    }

    /// Returns the place of `count` bytes at an offset, if all of them are in the file, behind the header.
    pub(super) fn bytes_at(&self, offset: u64, count: u64) -> Option<NonNull<u8>> {
        let within = offset >= ARENA_OFFSET && offset.checked_add(count)? <= self.length.load(Acquire);
        // SAFETY: the bytes lie within the mapping, and within its file, which gets no shorter.
        within.then(|| unsafe { self.base.add(offset as usize) })
    }

    /// Returns the offset of an address in the recorder's memory.
    pub(super) fn offset<T>(&self, at: *const T) -> u64 {
        (at as u64).wrapping_sub(self.base.as_ptr() as u64)
    }

    /// Returns the tables of threads that have ever been claimed.
    pub(super) fn used(&self) -> impl Iterator<Item = Table> + '_ {
        let count = (self.header().used_count.load(Acquire) as usize).min(THREADS);
        (0..count).filter_map(|number| self.table(number))
    }

    /// Returns the table at a place in the header's list. A table that was once found there stays.
    fn table(&self, number: usize) -> Option<Table> {
        let checked = &self.checked[number];
        let known = checked.load(Relaxed);
        let at = if known != 0 { known } else { self.header().used[number].load(Acquire) };
        let at = self.at::<Thread>(CellRef(at))?;
        if known == 0 {
            checked.store(reference(self.offset(at.as_ptr())).0, Relaxed);
        }
        Some(Table { number, at })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing borrows from it any more.
        let _ = unsafe { munmap(self.base.cast(), self.size as usize) };
    }
}

/// Returns the reference of a place, which is in bytes from the mapping's start.
fn reference(offset: u64) -> CellRef {
    CellRef((offset / 64) as u32)
}

#[cfg(test)]
mod tests {
    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;

    fn shared(size: u64) -> Shared {
        let file = memfd_create(c"tables", MFdFlags::MFD_CLOEXEC).unwrap();
        Shared::map(File::from(file), size).unwrap()
    }

    fn use_up_to(shared: &Shared, offset: u64) {
        let arena = &shared.header().arena;
        let end = Arena::unpack(arena.load(Relaxed)).end;
        arena.store(Arena { next: reference(offset), end }.pack(), Relaxed);
    }

    fn end(shared: &Shared) -> u64 {
        let end = Arena::unpack(shared.header().arena.load(Relaxed)).end.offset();
        assert!(end <= shared.file.metadata().unwrap().len(), "the file is at least as long as is said");
        end
    }

    #[test]
    fn the_file_grows_before_it_is_used_up_and_no_further_than_it_may() {
        let size = ARENA_OFFSET + 4 * MARGIN;
        let shared = shared(size);
        assert_eq!(end(&shared), ARENA_OFFSET + MARGIN);
        shared.provide();
        assert_eq!(end(&shared), ARENA_OFFSET + MARGIN, "there is enough");
        use_up_to(&shared, ARENA_OFFSET + MARGIN / 2);
        shared.provide();
        assert_eq!(end(&shared), (ARENA_OFFSET + MARGIN / 2 + MARGIN).next_multiple_of(CHUNK));
        use_up_to(&shared, end(&shared));
        for _ in 0..10 {
            shared.provide();
            use_up_to(&shared, end(&shared));
        }
        assert_eq!(end(&shared), size);
        assert!(shared.is_full());
    }

    #[test]
    fn a_program_that_lies_about_what_is_used_gets_no_more_than_the_margin() {
        let shared = shared(ARENA_OFFSET + 4 * MARGIN);
        use_up_to(&shared, u64::from(u32::MAX) * 64);
        shared.provide();
        assert!(end(&shared) <= ARENA_OFFSET + 2 * MARGIN + CHUNK);
        shared.note_locked(u64::MAX);
        assert!(end(&shared) <= ARENA_OFFSET + 2 * MARGIN + CHUNK, "and is not given what it says it uses");
    }

    #[test]
    fn a_program_that_locks_its_memory_gets_back_what_is_not_used() {
        let size = ARENA_OFFSET + 4 * MARGIN;
        let shared = shared(size);
        use_up_to(&shared, ARENA_OFFSET + (3 << 20));
        shared.note_locked(size - 1);
        assert_eq!(end(&shared), ARENA_OFFSET + MARGIN, "it has locked something else");
        shared.note_locked(size);
        let expected = (ARENA_OFFSET + (3 << 20) + LOCKED_MARGIN).next_multiple_of(CHUNK);
        assert_eq!(end(&shared), expected);
        use_up_to(&shared, end(&shared));
        shared.provide();
        assert_eq!(end(&shared), (expected + LOCKED_MARGIN).next_multiple_of(CHUNK), "it grows on, by less");
    }

    #[test]
    fn what_is_given_back_takes_no_memory_and_can_be_read_still() {
        use std::os::unix::fs::{FileExt as _, MetadataExt as _};
        let shared = shared(ARENA_OFFSET + 4 * MARGIN);
        shared.file.write_all_at(&[1; 1 << 20], ARENA_OFFSET + MARGIN / 2).unwrap();
        let far = shared.at::<u8>(reference(ARENA_OFFSET + MARGIN / 2)).unwrap();
        shared.note_locked(u64::MAX);
        assert!(shared.file.metadata().unwrap().blocks() * 512 < 1 << 20);
        // SAFETY: at() gives a place within the file, which has not become shorter.
        assert_eq!(unsafe { far.read_volatile() }, 0);
    }

    #[test]
    fn references_lead_into_the_file_only() {
        let shared = shared(ARENA_OFFSET + 4 * MARGIN);
        let leads = |offset: u64| shared.at::<Thread>(reference(offset)).is_some();
        assert!(!leads(0) && !leads(ARENA_OFFSET - 64));
        assert!(leads(ARENA_OFFSET));
        let length = ARENA_OFFSET + MARGIN;
        assert!(leads(length - size_of::<Thread>() as u64));
        assert!(!leads(length - size_of::<Thread>() as u64 + 64));
        assert!(!leads(u64::from(u32::MAX) * 64));
        assert_eq!(shared.bytes_at(u64::MAX - 3, 8), None);
    }

    #[test]
    fn a_table_stays_where_it_was_found() {
        let shared = shared(ARENA_OFFSET + 4 * MARGIN);
        let header = shared.header();
        header.used_count.store(2, Relaxed);
        header.used[0].store(reference(ARENA_OFFSET).0, Relaxed);
        header.used[1].store(u32::MAX, Relaxed);
        let first: Vec<Table> = shared.used().collect();
        assert_eq!(first.len(), 1, "the other is nowhere");
        header.used[0].store(reference(ARENA_OFFSET + 4096).0, Relaxed);
        assert_eq!(shared.used().collect::<Vec<_>>(), first);
        header.used_count.store(u64::MAX, Relaxed);
        assert_eq!(shared.used().count(), 1);
    }
}
