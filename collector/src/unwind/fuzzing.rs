//! Fuzzing of the unwinder with any stack and any call frame information.

use std::borrow::Cow;
use std::io::Write as _;

use cgoprof_symbols::{Avma, FileOffset};

use super::{Border, DEEPEST, GoModule, Unwinder};
use crate::clock::Monotonic;
use crate::perf::Sample;
use crate::process::maps::{Mapping, Opened};

/// Unwinds a sample. `data` has the place where it was taken (two bytes), the length of its stack (a byte, in words),
/// the stack, and the file that is mapped.
pub fn stack(data: &[u8]) {
    const START: Avma = Avma(0x40_0000);
    const SP: Avma = Avma(0x7fff_0000_0000);
    let Some((&[low, high, words], rest)) = data.split_first_chunk() else { return };
    let Some((stack, file)) = rest.split_at_checked(usize::from(words) * 8) else { return };
    let Some(opened) = memory_file(file) else { return };
    let range = START..Avma(START.0 + (file.len() as u64).next_multiple_of(4096));
    let mapping = Mapping { range, executable: true, offset: FileOffset(0), path: "/file".into(), file: opened };
    let mut unwinder = Unwinder::new(GoModule { go: Avma(0)..Avma(0), border: Border::Shared });
    unwinder.add_mapping(&mapping);
    let ip = Avma(START.0 + u64::from(u16::from_le_bytes([low, high])));
    for bp in [SP, Avma(SP.0 + 64), Avma(u64::MAX)] {
        let sample =
            Sample { tid: 1, time: Monotonic(0), ip, sp: SP, bp, stack: Cow::Borrowed(stack), chain: Vec::new() };
        assert!(unwinder.walk(&sample).frames.len() <= DEEPEST);
    }
}

fn memory_file(contents: &[u8]) -> Option<Opened> {
    use nix::sys::memfd::{MFdFlags, memfd_create};
    let mut file = std::fs::File::from(memfd_create(c"file", MFdFlags::MFD_CLOEXEC).ok()?);
    file.write_all(contents).ok()?;
    Some(Opened::from(file))
}
