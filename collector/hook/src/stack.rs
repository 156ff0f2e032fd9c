//! Walks Go stacks by frame pointers, and recognises stacks seen before.

use crate::layout::{Block, FRAME_BLOCK, Frame, PC_BITS};
use crate::runtime::word;

/// A stack to walk: its innermost frame and its end.
#[derive(Clone, Copy)]
pub(crate) struct Stack {
    /// Address of the innermost frame: the saved frame pointer, with the return address above it.
    pub(crate) frame: u64,
    /// Top of the memory that holds it.
    pub(crate) top: u64,
}

impl Stack {
    /// Returns the bytes from the innermost frame to the top: the same for the same calls, wherever the stack lies.
    #[inline(always)]
    pub(crate) fn depth(self) -> u32 {
        (self.top - self.frame) as u32
    }

    /// Returns the return address of the second frame, 0 if there is none. For a cgo wrapper, that is the site.
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

    /// Returns whether a saved frame pointer leads to a further frame within this stack. At the stack's bottom, and
    /// where a callback came from C, that pointer holds anything.
    #[inline(always)]
    fn holds(self, next: u64) -> bool {
        next > self.frame && next <= self.top - 16 && next.is_multiple_of(8)
    }

    /// Writes the stack's frames, innermost first. Returns their number, and whether the stack goes on.
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
            let frame = Frame { offset: at - self.frame, pc };
            // SAFETY: count < limit, which the caller's array holds.
            unsafe { frames.add(count).write(frame) };
            count += 1;
            if count == limit || !goes_on {
                return (count, goes_on);
            }
            at = next;
        }
    }

    /// Returns whether the return addresses in memory are exactly these.
    ///
    /// Reads at the remembered offsets, so that no load waits for another. This is exact: the innermost return address
    /// tells which function called, and a Go function's frame has one size at one address. So the next return address
    /// can only be where it was before, and so on outwards.
    ///
    /// # Safety
    /// `frames` must come from [`Stack::walk`] on a stack of the same depth: then every offset is in bounds.
    #[inline(always)]
    pub(crate) unsafe fn equals(self, frames: *const Frame, count: usize) -> bool {
        let mut differs = 0;
        for index in 0..count {
            // SAFETY: index < count; offsets of a walk of a stack of this depth stay below the top.
            unsafe {
                let frame = *frames.add(index);
                differs |= word(self.frame + frame.offset, 8) ^ frame.pc;
            }
        }
        differs == 0
    }

    /// As [`Stack::equals`], for frames in blocks, whose last one is full.
    ///
    /// # Safety
    /// As above; `blocks` must hold that many frames.
    #[inline(always)]
    pub(crate) unsafe fn equals_blocks(self, blocks: *const Block, count: usize) -> bool {
        let mut differs = 0;
        for index in 0..count.div_ceil(FRAME_BLOCK) {
            // SAFETY: as above; a block's offsets are those of return addresses.
            unsafe {
                let block = *blocks.add(index);
                for place in 0..FRAME_BLOCK {
                    let found = word(self.frame, 8 * block.offsets[place] as u64);
                    differs |= found & PC_BITS ^ block.pc(place);
                }
            }
        }
        differs == 0
    }
}
