//! Fuzzing with files of `/proc` and seccomp filters of any content.

use cgoprof_symbols::Avma;

use super::address_space::AddressSpace;
use super::control_group::{self, Controller, Version};
use super::maps;
use super::seccomp::{self, Call, Instruction};
use super::status::{self, Status};
use super::time_namespace::Offsets;
use super::waiting_thread;
use super::{free_memory, processor_limits};

/// Parses any bytes as files of `/proc`.
pub fn proc_files(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let status = Status::parse(&text);
    let _ = (status.check(nix::unistd::Pid::this()), status.process(), status::flags(&text));
    let _ = AddressSpace::parse(&text, &text).free();
    let _ = Offsets::parse(&text);
    let _ = waiting_thread::parse(&text);
    let _ = free_memory::kilobytes(&text, "MemAvailable:");
    let _ = processor_limits::quota(&text);
    for version in [Version::One, Version::Two] {
        let _ = control_group::group(&text, Controller::Memory, version);
    }
    let mappings: Vec<_> = text.lines().filter_map(maps::parse).collect();
    let (first, last) = (mappings.first().map(|first| first.range.start), mappings.last().map(|last| last.range.end));
    if let (Some(first), Some(last)) = (first, last) {
        let _ = maps::free_place(&mappings, first, last, 1 << 20);
        let _ = maps::free_place(&mappings, Avma(u64::MAX), first, 1 << 20);
    }
}

/// Runs a seccomp filter of any content, eight bytes per instruction.
pub fn filter(data: &[u8]) {
    let instruction = |bytes: &[u8]| Instruction {
        code: u16::from_le_bytes([bytes[0], bytes[1]]),
        if_true: bytes[2],
        if_false: bytes[3],
        k: bytes[4..8].iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte)),
    };
    let filter: Vec<_> = data.chunks_exact(8).map(instruction).collect();
    let _ = seccomp::run(&filter, &seccomp::data(&Call::of(libc::SYS_mmap)));
}
