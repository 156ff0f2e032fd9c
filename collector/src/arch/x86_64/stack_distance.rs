//! Distance from the stack pointer to the return address at each instruction of the hooks' code, found by following the
//! code from its entries.

use std::collections::BTreeMap;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

/// Bytes from the stack pointer to the return address when the instruction at an offset is about to run.
pub(crate) type Distances = BTreeMap<u64, u32>;

/// Follows code from these entries, each with its distance there, and into the functions that it calls. Returns none if
/// the distance at an instruction depends on how it is reached, or can't be known.
pub(crate) fn distances(code: &[u8], entries: &[(u64, u32)]) -> Option<Distances> {
    let mut known = Distances::new();
    let mut open = entries.to_vec();
    while let Some((at, distance)) = open.pop() {
        match known.insert(at, distance) {
            Some(before) if before == distance => continue,
            Some(_) => return None,
            None => {}
        }
        let instruction = Decoder::with_ip(64, code.get(at as usize..)?, at, DecoderOptions::NONE).decode();
        if instruction.is_invalid() {
            return None;
        }
        let after = after(&instruction, distance)?;
        let target = Some(instruction.near_branch_target()).filter(|&target| target < code.len() as u64);
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::IndirectCall => open.push((instruction.next_ip(), after)),
            FlowControl::Call => {
                open.extend(target.map(|target| (target, 0)));
                open.push((instruction.next_ip(), after));
            }
            FlowControl::ConditionalBranch => {
                open.push((target?, after));
                open.push((instruction.next_ip(), after));
            }
            FlowControl::UnconditionalBranch => open.extend(target.map(|target| (target, after))),
            FlowControl::IndirectBranch | FlowControl::Exception => {}
            FlowControl::Return if distance == 0 => {}
            _ => return None,
        }
    }
    Some(known)
}

/// Returns the distance after an instruction. A call leaves it as it was.
fn after(instruction: &Instruction, distance: u32) -> Option<u32> {
    let is_stack_pointer = |operand: u32| {
        instruction.op_kind(operand) == OpKind::Register
            && instruction.op_register(operand).full_register() == Register::RSP
    };
    let by = match instruction.mnemonic() {
        Mnemonic::Push | Mnemonic::Pushfq => 8,
        Mnemonic::Pop | Mnemonic::Popfq => -8,
        Mnemonic::Sub if is_stack_pointer(0) => i32::try_from(instruction.immediate(1) as i64).ok()?,
        Mnemonic::Add if is_stack_pointer(0) => -i32::try_from(instruction.immediate(1) as i64).ok()?,
        Mnemonic::Cmp | Mnemonic::Test => 0,
        _ if instruction.op_count() > 0 && is_stack_pointer(0) => return None,
        _ => 0,
    };
    distance.checked_add_signed(by)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(what: &str, code: &[u8], entry: (u64, u32), expected: Option<&[(u64, u32)]>) {
        let found = distances(code, &[entry]).map(|found| found.into_iter().collect::<Vec<_>>());
        assert_eq!(found.as_deref(), expected, "{what}");
    }

    #[test]
    fn distances_follow_pushes_branches_and_calls() {
        check("push, pop, ret", &[0x53, 0x5b, 0xc3], (0, 0), Some(&[(0, 0), (1, 8), (2, 0)]));
        check(
            "sub, add",
            &[0x48, 0x83, 0xec, 0x18, 0x48, 0x83, 0xc4, 0x18, 0xc3],
            (0, 0),
            Some(&[(0, 0), (4, 24), (8, 0)]),
        );
        check("an epilogue", &[0x48, 0x83, 0xc4, 0x28, 0x5d, 0xc3], (0, 48), Some(&[(0, 48), (4, 8), (5, 0)]));
        check("ret too early", &[0x53, 0xc3], (0, 0), None);
        // push rbx; jz +1; pop rbx: the distance at the target depends on the way.
        check("two ways", &[0x53, 0x74, 0x01, 0x5b, 0xc3], (0, 0), None);
        check("aligned by hand", &[0x48, 0x83, 0xe4, 0xf0, 0xc3], (0, 0), None);
        // call +1; ret; ret.
        check("a call", &[0xe8, 1, 0, 0, 0, 0xc3, 0xc3], (0, 0), Some(&[(0, 0), (5, 0), (6, 0)]));
        check("a jump out", &[0xe9, 0, 0, 0, 0x10], (0, 0), Some(&[(0, 0)]));
        check("no code", &[], (0, 0), None);
    }
}
