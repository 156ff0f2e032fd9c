//! Ring to which the kernel writes the records of one processor.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use perf_event::Counter;
use perf_event::hooks::sys::bindings::perf_event_mmap_page;
use perf_event::hooks::sys::ioctls;

use super::HEADER;

const PAGE: usize = 4096;

/// A ring and the events that write to it.
pub(super) struct Ring {
    pub(super) cpu: usize,
    owner: Counter,
    writers: Vec<Counter>,
    base: NonNull<u8>,
    /// Bytes of data, a power of two.
    pub(super) size: usize,
    /// Position up to which records may be read: the kernel's when it was last looked at.
    head: u64,
    /// Position up to which records have been read.
    tail: u64,
    /// A record that wraps around the ring's end, put together.
    joined: Vec<u8>,
}

// SAFETY: the mapping is the ring's own and stays until it is dropped.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring of a processor's event, with `pages` pages of data, a power of two.
    pub(super) fn map(cpu: usize, owner: Counter, pages: usize) -> nix::Result<Ring> {
        let length = NonZeroUsize::MIN.saturating_add((1 + pages) * PAGE - 1);
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a counter's descriptor is open while it lives, and this mapping is new.
        let base = unsafe {
            let fd = BorrowedFd::borrow_raw(owner.as_raw_fd());
            mmap(None, length, protection, MapFlags::MAP_SHARED, fd, 0)
        }?;
        let (base, size) = (base.cast(), pages * PAGE);
        Ok(Ring { cpu, owner, writers: Vec::new(), base, size, head: 0, tail: 0, joined: Vec::new() })
    }

    /// Makes another event of this processor write to this ring.
    pub(super) fn add(&mut self, writer: Counter) -> std::io::Result<()> {
        // SAFETY: both descriptors are open; the call changes nothing of ours.
        let done = unsafe { ioctls::SET_OUTPUT(writer.as_raw_fd(), self.owner.as_raw_fd()) };
        if done != 0 {
            return Err(std::io::Error::last_os_error());
        }
        self.writers.push(writer);
        Ok(())
    }

    /// Switches its events on or off, in all threads that have them.
    pub(super) fn enable(&mut self, wanted: bool) -> std::io::Result<()> {
        self.writers.iter_mut().try_for_each(|writer| if wanted { writer.enable() } else { writer.disable() })
    }

    /// Returns the number of its writers' records that were dropped.
    pub(super) fn lost(&self) -> Option<u64> {
        self.writers.iter().map(lost).sum()
    }

    /// Notes the position up to which the kernel has written.
    pub(super) fn look(&mut self) {
        self.head = self.words().0.load(Ordering::Acquire);
    }

    /// Returns the next complete record that was there at the last look, with its header.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        if self.tail >= self.head {
            return None;
        }
        let at = self.tail as usize % self.size;
        // SAFETY: the data follow the first page; the kernel does not write between tail and head. Headers are aligned,
        // so they lie in one piece.
        let data = unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(PAGE), self.size) };
        let length = usize::from(u16::from_le_bytes([data[at + 6], data[at + 7]]));
        if length < HEADER || length as u64 > self.head - self.tail {
            self.tail = self.head;
            self.words().1.store(self.tail, Ordering::Release);
            return None;
        }
        if at + length <= self.size {
            return Some(&data[at..at + length]);
        }
        if self.joined.len() != length {
            self.joined.clear();
            self.joined.extend_from_slice(&data[at..]);
            self.joined.extend_from_slice(&data[..at + length - self.size]);
        }
        Some(&self.joined)
    }

    /// Gives the space of the next record back to the kernel.
    pub(super) fn advance(&mut self) {
        self.skip();
        self.words().1.store(self.tail, Ordering::Release);
    }

    /// Visits every record that is there, and leaves it for later.
    pub(super) fn peek(&mut self, mut visit: impl FnMut(&[u8])) {
        self.look();
        let tail = self.tail;
        while let Some(record) = self.next() {
            visit(record);
            self.skip();
        }
        (self.tail, self.joined) = (tail, Vec::new());
    }

    /// Goes on to the record after the next.
    fn skip(&mut self) {
        let Some(length) = self.next().map(<[u8]>::len) else { return };
        self.joined.clear();
        self.tail += length as u64;
    }

    /// Returns the positions up to which the kernel has written, and up to which we have read.
    fn words(&self) -> (&AtomicU64, &AtomicU64) {
        let page = self.base.cast::<perf_event_mmap_page>().as_ptr();
        // SAFETY: the mapping begins with this page; the kernel writes the head, we alone the tail.
        unsafe { (AtomicU64::from_ptr(&raw mut (*page).data_head), AtomicU64::from_ptr(&raw mut (*page).data_tail)) }
    }
}

/// Returns the number of records that an event's threads have lost: the second word that a read gives, after its value
/// (Linux 6.0).
fn lost(event: &Counter) -> Option<u64> {
    let mut words = [0u64; 2];
    // SAFETY: the descriptor is open, and the kernel writes no more than the length given.
    let read = unsafe { libc::read(event.as_raw_fd(), words.as_mut_ptr().cast(), size_of_val(&words)) };
    (read == size_of_val(&words) as isize).then_some(words[1])
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the counter keeps its descriptor open while the ring lives.
        unsafe { BorrowedFd::borrow_raw(self.owner.as_raw_fd()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing borrows from it any more.
        let _ = unsafe { munmap(self.base.cast(), self.size + PAGE) };
    }
}
