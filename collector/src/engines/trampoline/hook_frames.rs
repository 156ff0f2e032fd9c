//! Frames of the C hook on the system stacks of Ms, below those of `asmcgocall`. They are found where the runtime says
//! that they are: a word that only looks like such a frame may be the program's own, with half of it left from an
//! earlier frame. For the same reason, the hook wipes its return address when C is back.

use std::ops::Range;

use cgoprof_hook::layout::MARKER_CELL;
use cgoprof_hook::params::immediates;

/// Form of such a frame.
#[derive(Clone, Debug)]
pub(super) struct FrameForm {
    /// The hooks' code.
    pub(super) hooks: Range<u64>,
    /// Go's code.
    pub(super) go: Range<u64>,
    /// The tables. A crossing's hook leaves an address in them for the unwinder of samples.
    pub(super) tables: Range<u64>,
    /// Bytes that `asmcgocall` takes of the system stack, which it then aligns to 16.
    pub(super) taken: u64,
    /// Bytes from the hook's own return address, in `asmcgocall`, up to the g that is saved there.
    pub(super) saved_g: u64,
    /// The same up to the depth of the goroutine's stack. If no goroutine's stack was left, the word is the stack
    /// pointer before.
    pub(super) saved_depth: u64,
}

/// The part of a system stack that was read.
pub(super) struct SystemStack<'a> {
    /// Address of the first word.
    pub(super) start: u64,
    pub(super) words: &'a [u64],
    /// Where it was last left for a goroutine's stack, or for C: `m.g0.sched.sp`.
    pub(super) left_at: u64,
}

/// The frame of a crossing's C hook, provided that `g` is a goroutine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct CrossingFrame {
    /// Place of the C function's return address, which leads to the hook.
    pub(super) place: u64,
    pub(super) g: u64,
    /// Depth of the goroutine's stack.
    pub(super) depth: u64,
}

/// Bytes from a C function's return address, which leads to the hook, up to the hook's own.
const TO_RETURN_ADDRESS: u64 = 8 + immediates::FRAME;

impl SystemStack<'_> {
    fn word(&self, at: u64) -> Option<u64> {
        self.words.get((at.checked_sub(self.start)? / 8) as usize).copied()
    }
}

impl FrameForm {
    /// Returns the frames of crossings, the last one's first. `cgocallback` keeps at 0(SP) where the stack had been
    /// left before, and notes SP as the place where it is left now (runtime/asm_amd64.s).
    pub(super) fn crossings(&self, stack: &SystemStack<'_>) -> Vec<CrossingFrame> {
        let (mut found, mut left_at) = (Vec::new(), stack.left_at);
        loop {
            found.extend(self.crossing_below(stack, left_at));
            match stack.word(left_at) {
                Some(before) if before > left_at && before.is_multiple_of(8) => left_at = before,
                _ => return found,
            }
        }
    }

    fn crossing_below(&self, stack: &SystemStack<'_>, left_at: u64) -> Option<CrossingFrame> {
        let own = self.return_address_below(left_at)?;
        let place = own.checked_sub(TO_RETURN_ADDRESS)?;
        let frame =
            CrossingFrame { place, g: stack.word(own + self.saved_g)?, depth: stack.word(own + self.saved_depth)? };
        self.is_form(stack, place).then_some(frame)
    }

    /// Returns the places of return addresses to the hook from C that Go has called on the system stack itself.
    /// `asmcgocall` then saves no g, and the stack pointer in place of the depth.
    pub(super) fn direct(&self, stack: &SystemStack<'_>) -> Vec<u64> {
        let is_direct = |&place: &u64| {
            let own = place + TO_RETURN_ADDRESS;
            let before = stack.word(own + self.saved_depth).unwrap_or(0);
            stack.word(own + self.saved_g) == Some(0)
                && before <= stack.left_at
                && self.return_address_below(before) == Some(own)
        };
        let places = (stack.start..stack.left_at).step_by(8).filter(|&place| self.is_form(stack, place));
        places.filter(is_direct).collect()
    }

    /// Returns the place of the hook's return address if `asmcgocall` was called with this stack pointer, or switched
    /// to it (runtime/asm_amd64.s).
    fn return_address_below(&self, sp: u64) -> Option<u64> {
        (sp.checked_sub(self.taken)? & !15).checked_sub(8)
    }

    /// Whether a C function's return address to the hook may lie at `place`, judged by the hook's frame above it.
    fn is_form(&self, stack: &SystemStack<'_>, place: u64) -> bool {
        let is = |at: u64, range: &Range<u64>| stack.word(at).is_some_and(|word| range.contains(&word));
        let marker = place + 8 + MARKER_CELL;
        is(place, &self.hooks)
            && is(place + TO_RETURN_ADDRESS, &self.go)
            && (is(marker, &self.tables) || is(marker, &(0..1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frames of asmcgocall are aligned, so the hooks' are not.
    const START: u64 = 0x7008;
    const HOOK: u64 = 0x3f_c100;
    const ASM: u64 = 0x41_0000;
    const CELL: u64 = 0x9_0000;
    const CROSSING: [u64; 7] = [HOOK, 1, CELL, 3, ASM, 0x300, 0xc000_1000];

    fn form() -> FrameForm {
        let (hooks, go, tables) = (0x3f_c000..0x3f_f000, 0x40_1000..0x50_0000, 0x8_0000..0xa_0000);
        FrameForm { hooks, go, tables, taken: 16, saved_g: 16, saved_depth: 8 }
    }

    fn at(index: usize) -> u64 {
        START + index as u64 * 8
    }

    #[test]
    fn the_frames_of_crossings_follow_from_where_the_stack_was_left() {
        let check = |what: &str, words: &[&[u64]], left_at: usize, expected: &[usize]| {
            let stack = SystemStack { start: START, words: &words.concat(), left_at: at(left_at) };
            let places: Vec<u64> = form().crossings(&stack).iter().map(|frame| frame.place).collect();
            assert_eq!(places, expected.iter().copied().map(at).collect::<Vec<_>>(), "{what}");
        };
        check("in C", &[&CROSSING, &[9, 9]], 7, &[0]);
        check("aligned further down", &[&CROSSING, &[9, 9]], 8, &[0]);
        check("in a callback", &[&[at(9), 7], &CROSSING, &[9]], 0, &[2]);
        check("in C from a callback", &[&CROSSING, &[at(17), 7, 7], &CROSSING, &[9]], 7, &[0, 10]);
        check("without the hook", &[&[0], &CROSSING[1..], &[9, 9]], 7, &[]);
        check("not in asmcgocall", &[&[HOOK, 1, CELL, 3, 4], &CROSSING[5..], &[9, 9]], 7, &[]);
        check("not of our tables", &[&[HOOK, 1, 2], &CROSSING[3..], &[9, 9]], 7, &[]);
        check("without an entry", &[&[HOOK, 1, 0], &CROSSING[3..], &[9, 9]], 7, &[0]);
        check("left further up", &[&CROSSING, &[9; 9]], 13, &[]);
        // What was there before is the first time that the stack was left.
        check("a loop", &[&[at(0), 7], &CROSSING, &[at(0)]], 9, &[2]);
        check("no stack", &[], 0, &[]);
    }

    #[test]
    fn the_frames_of_go_1_21_and_before_are_larger() {
        let form = FrameForm { taken: 64, saved_g: 56, saved_depth: 48, ..form() };
        let asmcgocall = [ASM, 7, 7, 7, 7, 7, 0x300, 0xc000_1000, 7];
        for aligned in 0..2 {
            let words = [&CROSSING[..4], &asmcgocall, &vec![7; aligned], &[9]].concat();
            let stack = SystemStack { start: START, words: &words, left_at: at(words.len() - 1) };
            let frame = CrossingFrame { place: START, g: 0xc000_1000, depth: 0x300 };
            assert_eq!(form.crossings(&stack), [frame], "{aligned}");
        }
    }

    /// An `int` 0 in a frame of C may stand beside the lower half of a return address that an earlier crossing left
    /// there. When both were replaced by an address in libc, the `int` became 32,714.
    #[test]
    fn a_programs_own_word_that_looks_like_a_return_address_is_not_taken_for_one() {
        let of_c = [&[at(14), 7, HOOK, 1, 0, 3, ASM][..], &[7; 7], &[9]].concat();
        let stack = SystemStack { start: START, words: &of_c, left_at: START };
        assert_eq!(form().crossings(&stack), []);
        assert_eq!(form().direct(&stack), []);
    }

    #[test]
    fn c_that_go_calls_on_the_system_stack_returns_to_frames_below() {
        let check = |what: &str, words: &[u64], left_at: usize, expected: &[u64]| {
            let stack = SystemStack { start: START, words, left_at: at(left_at) };
            assert_eq!(form().direct(&stack), expected, "{what}");
        };
        check("direct", &[HOOK, 1, 0, 3, ASM, at(7), 0, 9, 9], 8, &[START]);
        check("a goroutine was switched from", &[HOOK, 1, 0, 3, ASM, at(7), 5, 9, 9], 8, &[]);
        check("from elsewhere", &[HOOK, 1, 0, 3, ASM, at(20), 0, 9, 9], 8, &[]);
        check("from further up", &[HOOK, 1, 0, 3, ASM, at(13), 0, 9, 9, 9, 9, 9, 9, 9], 13, &[]);
    }
}
