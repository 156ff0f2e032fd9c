//! Measures how much of a stack code uses, and how, for tests of the hooks' code.

use std::collections::BTreeSet;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

/// Returns an upper limit for the bytes of stack used from an address on. Every push and every frame counts once,
/// whether or not one path has them all. Of the calls, the one that can reach deepest counts. Aligning counts once,
/// because it is undone after each call.
pub(crate) fn stack_use(code: &[u8], entry: u64) -> u64 {
    let (mut own, mut aligned, mut deepest_call) = (0, 0, 0);
    let (mut seen, mut open) = (BTreeSet::new(), vec![entry]);
    while let Some(at) = open.pop() {
        if at as usize >= code.len() || !seen.insert(at) {
            continue;
        }
        let instruction = Decoder::with_ip(64, &code[at as usize..], at, DecoderOptions::NONE).decode();
        assert!(!instruction.is_invalid(), "{at:#x} is not code");
        let on_rsp = instruction.op0_kind() == OpKind::Register && instruction.op0_register() == Register::RSP;
        match instruction.mnemonic() {
            Mnemonic::Push => own += 8,
            Mnemonic::Sub if on_rsp => own += instruction.immediate(1),
            Mnemonic::And if on_rsp => aligned = 16,
            _ => {}
        }
        let target = instruction.near_branch_target();
        match instruction.flow_control() {
            FlowControl::Call => deepest_call = deepest_call.max(8 + stack_use(code, target)),
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch => open.push(target),
            FlowControl::IndirectCall => panic!("{at:#x}: an indirect call on a goroutine's stack"),
            _ => {}
        }
        let goes_on = matches!(
            instruction.flow_control(),
            FlowControl::Next | FlowControl::Call | FlowControl::ConditionalBranch
        );
        if goes_on {
            open.push(instruction.next_ip());
        }
    }
    own + aligned + deepest_call
}

/// Returns the offsets of instructions, from `start` on, that need an aligned stack.
pub(crate) fn aligned_stack_accesses(code: &[u8], start: u64) -> Vec<u64> {
    let decoder = Decoder::with_ip(64, &code[start as usize..], start, DecoderOptions::NONE);
    let on_stack = |instruction: &Instruction| instruction.memory_base() == Register::RSP;
    decoder
        .into_iter()
        .filter(|instruction| on_stack(instruction))
        .filter(|instruction| instruction.memory_size().size() >= 16)
        .filter(|instruction| !matches!(instruction.mnemonic(), Mnemonic::Movups | Mnemonic::Movupd | Mnemonic::Movdqu))
        .map(|instruction| instruction.ip())
        .collect()
}
