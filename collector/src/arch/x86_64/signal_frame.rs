//! Signals that came to a thread, found by their frames on its stack.

/// CS, GS, FS and SS of 64-bit code, as a signal's frame has them.
const SEGMENTS: u64 = 0x002b_0000_0000_0033;

/// Returns where a thread was when signals came, for the signals whose frames lie among these words of its stack. In a
/// frame, the flags and the segments follow RIP (arch/x86/include/uapi/asm/sigcontext.h).
pub(crate) fn interrupted(words: &[u64]) -> impl Iterator<Item = u64> {
    let is_frame = |three: &&[u64]| three[1] & 2 != 0 && three[1] < 1 << 22 && three[2] == SEGMENTS;
    words.windows(3).filter(is_frame).map(|three| three[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_by_flags_and_segments() {
        let check = |words: &[u64], expected: &[u64]| {
            assert_eq!(interrupted(words).collect::<Vec<_>>(), expected, "{words:x?}");
        };
        check(&[7, 0x3f_c100, 0x246, 0x2b_0000_0000_0033, 9], &[0x3f_c100]);
        check(&[0x3f_c100, 0x246, 0x7f12_3456_789a], &[]);
        check(&[0x3f_c100, 0x246, 0x4a_0033], &[]);
        check(&[0x3f_c100, 0x244, 0x2b_0000_0000_0033], &[]);
        check(&[0x3f_c100], &[]);
    }
}
