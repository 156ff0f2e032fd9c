//! Go stacks by frame pointers: walking them, and recognising one seen before.

use core::arch::x86_64::{
    __m128i, _mm_add_epi64, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x,
    _mm_setzero_si128, _mm_xor_si128,
};

use crate::layout::Frame;
use crate::threads::word;

/// A stack to be walked: its innermost frame, and where it ends.
#[derive(Clone, Copy)]
pub(crate) struct Stack {
    /// Address of the innermost frame: the saved frame pointer, with the return address above it.
    pub(crate) frame: u64,
    /// Top of the memory that holds it.
    pub(crate) top: u64,
}

impl Stack {
    /// Bytes from the innermost frame to the top: the same for the same calls, wherever the stack lies.
    #[inline(always)]
    pub(crate) fn depth(self) -> u32 {
        (self.top - self.frame) as u32
    }

    /// Return address of the second frame, 0 if there is none: for a cgo wrapper, the site.
    ///
    /// # Safety
    /// The innermost frame must be readable, as must everything from it to the top.
    #[inline(always)]
    pub(crate) unsafe fn site(self) -> u64 {
        // SAFETY: the caller's promise.
        let next = unsafe { word(self.frame, 0) };
        if self.holds(next) {
            // SAFETY: next lies between the innermost frame and the top.
            unsafe { word(next, 8) }
        } else {
            0
        }
    }

    /// Whether a saved frame pointer leads on within this stack. At its bottom, and where a callback came
    /// from C, it holds anything.
    #[inline(always)]
    fn holds(self, next: u64) -> bool {
        next > self.frame && next <= self.top - 16 && next % 8 == 0
    }

    /// Writes the stack's frames, innermost first; returns how many, and whether it goes on.
    ///
    /// # Safety
    /// Everything from the innermost frame to the top must be readable, and `frames` writable.
    pub(crate) unsafe fn walk(self, frames: *mut Frame, limit: usize) -> (usize, bool) {
        let mut at = self.frame;
        let mut count = 0;
        loop {
            // SAFETY: at is the innermost frame or passed holds().
            let (next, pc) = unsafe { (word(at, 0), word(at, 8)) };
            let goes_on = next > at && self.holds(next);
            let kept = count + 1 < limit && goes_on;
            let frame = Frame { next: if kept { next - self.frame } else { 0 }, pc };
            // SAFETY: count < limit, which the caller's array holds.
            unsafe { frames.add(count).write(frame) };
            count += 1;
            if !kept {
                return (count, goes_on);
            }
            at = next;
        }
    }

    /// Whether the frames in memory are exactly these.
    ///
    /// Reads at the remembered offsets, so that no load waits for another. A stack of the same depth whose
    /// chain differs anywhere differs in some frame.
    ///
    /// # Safety
    /// `frames` must come from [`Stack::walk`] on a stack of the same depth: then every offset is in bounds.
    #[inline(always)]
    pub(crate) unsafe fn equals(self, frames: *const Frame, count: usize) -> bool {
        // SAFETY: SSE2 is part of x86-64. Offsets of a walk of a stack of this depth stay below the top, and
        // count is at least 1.
        unsafe {
            let base = _mm_set_epi64x(0, self.frame as i64);
            let mut differs = _mm_setzero_si128();
            let mut at = self.frame;
            let last = frames.add(count - 1);
            let mut frame = frames;
            while frame < last {
                let expected = _mm_add_epi64(_mm_loadu_si128(frame.cast::<__m128i>()), base);
                let found = _mm_loadu_si128(at as *const __m128i);
                differs = _mm_or_si128(differs, _mm_xor_si128(expected, found));
                at = self.frame + (*frame).next;
                frame = frame.add(1);
            }
            let same = _mm_movemask_epi8(_mm_cmpeq_epi8(differs, _mm_setzero_si128())) == 0xffff;
            same & (word(at, 8) == (*last).pc)
        }
    }
}
