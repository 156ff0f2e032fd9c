//! Struct offsets, checked against the code that uses them.

use cgoprof_symbols::dwarf_offsets;
use cgoprof_symbols::runtime_offsets::{RuntimeOffsets, measured};
use iced_x86::{Instruction, MemorySize, Mnemonic, OpKind};

use crate::goruntime::Target;
use crate::goruntime::plan::PlanError;

/// Returns the struct offsets, which must be those that the start of `cgocall` uses: the measured ones of this release,
/// else DWARF's. For a release that was not measured, they are DWARF's, else those of the newest release that agrees.
pub(super) fn offsets(target: &Target<'_>, cgocall: &[Instruction]) -> Result<RuntimeOffsets, PlanError> {
    let agrees = |offsets: &RuntimeOffsets| {
        let has = |displacement: u32, test: fn(&Instruction) -> bool| {
            let displacement = u64::from(displacement);
            cgocall.iter().any(|instruction| instruction.memory_displacement64() == displacement && test(instruction))
        };
        has(offsets.m_ncgocall, |i| i.mnemonic() == Mnemonic::Inc && i.memory_size() == MemorySize::UInt64)
            && has(offsets.m_ncgo, |i| i.mnemonic() == Mnemonic::Inc && i.memory_size() == MemorySize::UInt32)
            && has(offsets.m_incgo, |i| stores_byte(i, 1))
    };
    let of_release = target.release.and_then(RuntimeOffsets::of_release).filter(agrees);
    let from_dwarf = || dwarf_offsets::read(&target.binary).filter(agrees);
    let newest = || measured().into_iter().map(|(_, offsets)| offsets).find(agrees);
    let guessed = || newest().filter(|_| target.release.is_none());
    let unknown = || PlanError::Offsets(target.build.version_text.clone());
    of_release.or_else(from_dwarf).or_else(guessed).ok_or_else(unknown)
}

/// Whether an instruction stores this byte in memory.
pub(super) fn stores_byte(instruction: &Instruction, value: u8) -> bool {
    instruction.mnemonic() == Mnemonic::Mov
        && instruction.memory_size() == MemorySize::UInt8
        && instruction.op1_kind() == OpKind::Immediate8
        && instruction.immediate8() == value
}
