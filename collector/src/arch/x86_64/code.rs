//! The instructions of one function.

use std::ops::Range;

use cgoprof_symbols::pclntab::Function;
use cgoprof_symbols::{Binary, Svma};
use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, OpAccess, OpKind, UsedMemory,
};

use crate::goruntime::functions::RuntimeFunctions;
use crate::goruntime::plan::PlanError;

/// A decoded function.
pub(super) struct Code<'data> {
    pub(super) name: String,
    pub(super) start: Svma,
    pub(super) bytes: &'data [u8],
    pub(super) instructions: Vec<Instruction>,
}

impl<'data> Code<'data> {
    /// Decodes a function of the runtime, up to its padding.
    pub(super) fn decode(binary: &Binary<'data>, function: &Function<'_>) -> Result<Self, PlanError> {
        Self::decode_up_to(4096, binary, function)
    }

    /// Decodes any function, which may be long.
    pub(super) fn decode_long(binary: &Binary<'data>, function: &Function<'_>) -> Result<Self, PlanError> {
        Self::decode_up_to(16 << 20, binary, function)
    }

    fn decode_up_to(longest: u64, binary: &Binary<'data>, function: &Function<'_>) -> Result<Self, PlanError> {
        let name = function.name.to_owned();
        let unreadable = || PlanError::Unreadable(name.clone());
        let length =
            function.end.0.checked_sub(function.start.0).filter(|&length| length <= longest).ok_or_else(unreadable)?;
        let bytes = binary.bytes_at(function.start, length as usize).ok_or_else(unreadable)?;
        let decoder = Decoder::with_ip(64, bytes, function.start.0, DecoderOptions::NONE);
        let mut instructions = Vec::new();
        for instruction in decoder {
            if instruction.is_invalid() {
                return Err(unreadable());
            }
            instructions.push(instruction);
        }
        Ok(Code { name, start: function.start, bytes, instructions })
    }

    /// Returns the index of the only direct call of a function.
    pub(super) fn only_call(&self, target: Svma, target_name: &'static str) -> Result<usize, PlanError> {
        let mut calls = self.instructions.iter().enumerate().filter(|(_, instruction)| {
            instruction.flow_control() == FlowControl::Call
                && instruction.op0_kind() == OpKind::NearBranch64
                && instruction.near_branch_target() == target.0
        });
        match (calls.next(), calls.next()) {
            (Some((index, call)), None) if call.len() == 5 => Ok(index),
            (found, _) => Err(PlanError::Shape {
                function: self.name.clone(),
                expected: format!(
                    "one direct call of {target_name}, found {}",
                    if found.is_some() { "several" } else { "none" }
                ),
            }),
        }
    }

    /// Whether the function writes no memory and calls nothing.
    pub(super) fn is_read_only(&self) -> bool {
        let mut factory = InstructionInfoFactory::new();
        self.instructions.iter().all(|instruction| {
            let calls = matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall);
            let reads = |memory: &UsedMemory| matches!(memory.access(), OpAccess::Read | OpAccess::CondRead);
            // The address of a `nop` with an operand is not used.
            !calls && factory.info(instruction).used_memory().iter().all(reads)
        })
    }

    /// Bytes of an instruction.
    pub(super) fn bytes_of(&self, instruction: &Instruction) -> &'data [u8] {
        let start = (instruction.ip() - self.start.0) as usize;
        &self.bytes[start..start + instruction.len()]
    }

    /// Returns an error if a branch of this function leads into the middle of a range.
    pub(super) fn check_no_branch_into(&self, range: Range<u64>) -> Result<(), PlanError> {
        let into = self.instructions.iter().find(|instruction| {
            matches!(instruction.op0_kind(), OpKind::NearBranch64)
                && range.start < instruction.near_branch_target()
                && instruction.near_branch_target() < range.end
        });
        match into {
            None => Ok(()),
            Some(branch) => Err(PlanError::BranchInto { function: self.name.clone(), from: Svma(branch.ip()) }),
        }
    }

    /// Returns an error about this function's shape.
    pub(super) fn unexpected(&self, expected: impl Into<String>) -> PlanError {
        PlanError::Shape { function: self.name.clone(), expected: expected.into() }
    }
}

/// Whether an instruction goes to the address in RAX by way of `retpolineAX`.
pub(super) fn by_retpoline(functions: &RuntimeFunctions<'_>, instruction: &Instruction) -> bool {
    let direct = matches!(instruction.flow_control(), FlowControl::Call | FlowControl::UnconditionalBranch);
    direct && instruction.len() == 5 && Some(Svma(instruction.near_branch_target())) == functions.retpoline_ax
}
