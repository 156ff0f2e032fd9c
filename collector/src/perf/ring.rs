//! The ring that the kernel writes an event's records to.

use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use perf_event::Counter;
use perf_event::hooks::sys::bindings::perf_event_mmap_page;

const PAGE: usize = 4096;
/// Bytes of a record's header.
const HEADER: usize = 8;

/// An event and its ring.
pub(super) struct Ring {
    counter: Counter,
    base: NonNull<u8>,
    /// Bytes of data, a power of two.
    size: usize,
    /// The process has ended, or become another program: nothing more comes.
    pub(super) ended: bool,
    /// A record that goes over the ring's end, put together.
    joined: Vec<u8>,
}

// SAFETY: the mapping is the ring's own and stays until it is dropped.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps the ring of an event: so many pages of data, a power of two.
    pub(super) fn map(counter: Counter, pages: usize) -> nix::Result<Ring> {
        let length = NonZeroUsize::MIN.saturating_add((1 + pages) * PAGE - 1);
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a counter's descriptor is open while it lives, and this mapping is new.
        let base = unsafe {
            let fd = BorrowedFd::borrow_raw(counter.as_raw_fd());
            mmap(None, length, protection, MapFlags::MAP_SHARED, fd, 0)
        }?;
        Ok(Ring { counter, base: base.cast(), size: pages * PAGE, ended: false, joined: Vec::new() })
    }

    /// Hands out every record that is complete, with its header.
    pub(super) fn drain(&mut self, mut visit: impl FnMut(&[u8])) {
        let page = self.base.cast::<perf_event_mmap_page>().as_ptr();
        // SAFETY: the mapping begins with this page; the kernel writes the head, we alone the tail.
        let (head, tail_word) = unsafe {
            (AtomicU64::from_ptr(&raw mut (*page).data_head), AtomicU64::from_ptr(&raw mut (*page).data_tail))
        };
        let (head, mut tail) = (head.load(Ordering::Acquire), tail_word.load(Ordering::Relaxed));
        while tail < head {
            let at = tail as usize % self.size;
            // SAFETY: the data follow the first page; the kernel does not write between tail and head. Headers are
            // aligned, so that they lie in one piece.
            let data = unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(PAGE), self.size) };
            let length = usize::from(u16::from_le_bytes([data[at + 6], data[at + 7]]));
            if length < HEADER || length as u64 > head - tail {
                tail = head;
                break;
            }
            if at + length <= self.size {
                visit(&data[at..at + length]);
            } else {
                self.joined.clear();
                self.joined.extend_from_slice(&data[at..]);
                self.joined.extend_from_slice(&data[..at + length - self.size]);
                visit(&self.joined);
            }
            tail += length as u64;
            tail_word.store(tail, Ordering::Release);
        }
        tail_word.store(tail, Ordering::Release);
    }
}

impl AsFd for Ring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: the counter keeps its descriptor open while the ring lives.
        unsafe { BorrowedFd::borrow_raw(self.counter.as_raw_fd()) }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and nothing borrows from it any more.
        let _ = unsafe { munmap(self.base.cast(), self.size + PAGE) };
    }
}
