//! Copy of a thread's stack that comes with a sample.

use cgoprof_symbols::Avma;

/// Copied bytes of a stack.
#[derive(Clone, Copy)]
pub(crate) struct StackCopy<'a> {
    /// Address of the first byte.
    pub(crate) start: Avma,
    /// The bytes, the innermost first.
    pub(crate) bytes: &'a [u8],
}

impl StackCopy<'_> {
    /// Returns a word of the stack, if it was copied.
    pub(crate) fn word(&self, at: Avma) -> Option<u64> {
        let offset = usize::try_from(at.0.checked_sub(self.start.0)?).ok()?;
        let bytes = self.bytes.get(offset..offset.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    /// Appends the calls found along the frame pointers, as long as they are Go's: where a callback came from C, the
    /// chain holds anything. Returns whether the stack goes on beyond the copy, or beyond `most` frames.
    pub(crate) fn follow_frame_pointers(
        &self,
        first: Avma,
        is_go: impl Fn(Avma) -> bool,
        most: usize,
        frames: &mut Vec<Avma>,
    ) -> bool {
        let mut at = first;
        while frames.len() < most {
            let above = Avma(at.0.wrapping_add(8));
            let (Some(next), Some(caller)) = (self.word(at), self.word(above)) else {
                return at.0 >= self.start.0 && at.0 != 0;
            };
            let call = Avma(caller.wrapping_sub(1));
            if !is_go(call) {
                return false;
            }
            frames.push(call);
            if next <= at.0 {
                return false;
            }
            at = Avma(next);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_go(address: Avma) -> bool {
        (0x1000..0x2000).contains(&address.0)
    }

    fn check(what: &str, words: &[u64], first: u64, expected: &[u64], truncated: bool) {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let stack = StackCopy { start: Avma(0x8000), bytes: &bytes };
        let mut frames = Vec::new();
        let found = stack.follow_frame_pointers(Avma(first), is_go, 4, &mut frames);
        let frames: Vec<u64> = frames.into_iter().map(|frame| frame.0).collect();
        assert_eq!((frames.as_slice(), found), (expected, truncated), "{what}");
    }

    #[test]
    fn frame_pointers_are_followed_as_long_as_they_are_gos() {
        check("two calls", &[0x8010, 0x1101, 0, 0x1201], 0x8000, &[0x1100, 0x1200], false);
        check("beyond the copy", &[0x9000, 0x1101], 0x8000, &[0x1100], true);
        check("a callback's C", &[0x8010, 0x1101, 0x77, 0x7f00_0000], 0x8000, &[0x1100], false);
        check("backwards", &[0x8000, 0x1101, 0x8000, 0x1201], 0x8010, &[0x1200], false);
        check("no frame pointer", &[0x8010, 0x1101], 7, &[], false);
        check(
            "too deep",
            &[0x8010, 0x1101, 0x8020, 0x1101, 0x8030, 0x1101, 0x8040, 0x1101, 0, 0x1101],
            0x8000,
            &[0x1100; 4],
            true,
        );
        check("at the end of memory", &[0], u64::MAX - 3, &[], true);
    }
}
