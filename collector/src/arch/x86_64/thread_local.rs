//! Tells by its instructions whether C code works with thread-local storage: x86-64 addresses it from FS (ELF Handling
//! For Thread-Local Storage, U. Drepper).

use std::collections::HashSet;
use std::ops::Range;

use cgoprof_symbols::{Binary, Svma};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Register};

/// Maximum bytes read, of one function and of all that it calls.
const MOST_BYTES_READ: u64 = 64 << 10;
/// Maximum depth of calls that are followed: from cgo's wrapper to the function, and one more.
const DEEPEST: u32 = 2;
/// Bytes at FS that belong to the C library, not to a variable: the thread's own address and glibc's data (`tcbhead_t`
/// in sysdeps/x86_64/nptl/tls.h). The first word is not among them, because code that computes a variable's address
/// begins with it.
const CONTROL_BLOCK: Range<u64> = 8..0x80;

/// Whether a C function, or one that it calls directly, uses thread-local storage. `extent` returns the range of the C
/// function that covers an address, if there is one.
pub(crate) fn uses_thread_local(
    binary: &Binary<'_>,
    function: Svma,
    extent: &impl Fn(Svma) -> Option<Range<Svma>>,
) -> bool {
    let mut reading = Reading { binary, extent, seen: HashSet::new(), left: MOST_BYTES_READ };
    reading.follow(function, DEEPEST)
}

struct Reading<'a, 'data, E> {
    binary: &'a Binary<'data>,
    extent: &'a E,
    seen: HashSet<Svma>,
    /// Bytes that may still be read.
    left: u64,
}

impl<E: Fn(Svma) -> Option<Range<Svma>>> Reading<'_, '_, E> {
    fn follow(&mut self, function: Svma, deeper: u32) -> bool {
        let Some(range) = (self.extent)(function).filter(|range| self.seen.insert(range.start)) else { return false };
        let length = range.end.0.saturating_sub(range.start.0).min(self.left);
        self.left -= length;
        let Some(bytes) = self.binary.bytes_at(range.start, length as usize) else { return false };
        Decoder::with_ip(64, bytes, range.start.0, DecoderOptions::NONE).into_iter().any(|instruction| {
            let target = Svma(instruction.near_branch_target());
            let leaves = match instruction.flow_control() {
                FlowControl::Call => true,
                FlowControl::UnconditionalBranch => !range.contains(&target),
                _ => false,
            };
            reads_thread_local(&instruction) || (leaves && deeper > 0 && self.follow(target, deeper - 1))
        })
    }
}

fn reads_thread_local(instruction: &Instruction) -> bool {
    let is_control =
        instruction.memory_base() == Register::None && CONTROL_BLOCK.contains(&instruction.memory_displacement64());
    instruction.segment_prefix() == Register::FS && !is_control
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(what: &str, bytes: &[u8], expected: bool) {
        let mut decoder = Decoder::with_ip(64, bytes, 0x1000, DecoderOptions::NONE);
        assert_eq!(reads_thread_local(&decoder.decode()), expected, "{what}");
    }

    #[test]
    fn instructions_that_use_thread_local_storage() {
        check("mov eax, fs:[-4]", &[0x64, 0x8b, 0x04, 0x25, 0xfc, 0xff, 0xff, 0xff], true);
        check("mov rax, fs:[0]", &[0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0], true);
        check("mov fs:[rax], edi", &[0x64, 0x89, 0x38], true);
        check("mov rax, fs:[0x10]", &[0x64, 0x48, 0x8b, 0x04, 0x25, 0x10, 0, 0, 0], false);
        check("mov rax, fs:[0x28]", &[0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0], false);
        check("mov eax, [rdi]", &[0x8b, 0x07], false);
    }
}
