//! Places where `cgocall` and `asmcgocall` keep what the hooks need.

use cgoprof_symbols::Svma;
use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::code::Code;
use crate::goruntime::plan::{FrameLayout, GoroutineSlot, PlanError};

/// Returns where a thread keeps its g, from FS. The offset is -8 in most programs, and further below where C code that
/// is linked in has thread-local variables of its own (8 KiB in DuckDB and librdkafka). The instruction has the offset
/// in place, or in a register loaded before. A library loads it from a word that is filled in when the library is
/// loaded.
pub(super) fn goroutine_slot(asmcgocall: &Code<'_>) -> Result<GoroutineSlot, PlanError> {
    let (mut immediates, mut stated) = (Vec::new(), Vec::new());
    for instruction in &asmcgocall.instructions {
        let moves = instruction.mnemonic() == Mnemonic::Mov;
        if moves && instruction.op1_kind() == OpKind::Immediate32to64 {
            immediates.push((instruction.op0_register(), instruction.immediate32to64()));
        }
        if moves && instruction.is_ip_rel_memory_operand() && instruction.op0_kind() == OpKind::Register {
            stated.push((instruction.op0_register(), Svma(instruction.ip_rel_memory_address())));
        }
        if instruction.segment_prefix() == Register::FS && moves {
            let word = stated.iter().find(|&&(register, _)| register == instruction.memory_base());
            if let (Some(&(_, word)), 0) = (word, instruction.memory_displacement64()) {
                return Ok(GoroutineSlot::Stated(word));
            }
            let base = immediates.iter().find(|&&(register, _)| register == instruction.memory_base());
            let displacement = instruction.memory_displacement64() as i64;
            let offset = match (instruction.memory_base(), base) {
                (Register::None, _) => displacement,
                (_, Some(&(_, immediate))) => immediate.wrapping_add(displacement),
                _ => break,
            };
            return i32::try_from(offset)
                .ok()
                .filter(|&offset| offset < 0)
                .map(GoroutineSlot::At)
                .ok_or_else(|| asmcgocall.unexpected(format!("the goroutine below FS, found {offset:#x}")));
        }
    }
    Err(asmcgocall.unexpected("the goroutine loaded from FS"))
}

/// Returns distances in the frames of `cgocall` and `asmcgocall`.
pub(super) fn frame_layout(
    cgocall: &Code<'_>,
    asmcgocall: &Code<'_>,
    enter: usize,
    asm: usize,
) -> Result<FrameLayout, PlanError> {
    let frame = frame_size(cgocall)?;
    let asm_has_frame = asmcgocall.bytes.starts_with(&[0x55, 0x48, 0x89, 0xe5]);
    let to_return = if asm_has_frame { 8 } else { 0 };
    let (fn_from, arg_from) = argument_sources(cgocall, enter, asm)?;
    let spilled =
        |from: u32| from.checked_sub(frame).ok_or_else(|| cgocall.unexpected("fn and arg spilled above the frame"));

    // After aligning the system stack, asmcgocall stores RDI twice: the g, then the depth.
    let aligned = asmcgocall
        .instructions
        .iter()
        .position(|instruction| instruction.mnemonic() == Mnemonic::And && instruction.op0_register() == Register::RSP);
    let aligned = aligned.ok_or_else(|| asmcgocall.unexpected("an aligned system stack"))?;
    let takes = |instruction: &&Instruction| {
        instruction.mnemonic() == Mnemonic::Sub && instruction.op0_register() == Register::RSP
    };
    let taken = asmcgocall.instructions[..aligned].last().filter(takes);
    let taken = taken.ok_or_else(|| asmcgocall.unexpected("how much of the system stack is taken"))?;
    let mut stores = asmcgocall.instructions[aligned..].iter().filter(|instruction| {
        instruction.mnemonic() == Mnemonic::Mov
            && instruction.op0_kind() == OpKind::Memory
            && instruction.memory_base() == Register::RSP
            && instruction.op1_register() == Register::RDI
    });
    let (Some(g), Some(depth)) = (stores.next(), stores.next()) else {
        return Err(asmcgocall.unexpected("the g and the depth saved on the system stack"));
    };
    // The call of C, or of the landing pad, has pushed its return address.
    let above_return = |store: &Instruction| store.memory_displacement64() as u32 + 8;
    Ok(FrameLayout {
        taken: taken.immediate32(),
        saved_g: above_return(g),
        saved_depth: above_return(depth),
        to_return,
        to_frame: to_return + 8 + frame,
        spilled_fn: spilled(fn_from)?,
        spilled_arg: spilled(arg_from)?,
    })
}

/// Checks that RDX is the goroutine's stack pointer in `asmcgocall` at the C hook. Both of `asmcgocall`'s ways to C
/// must save it from RDX once the system stack is aligned, and leave RDX alone up to the call.
pub(super) fn check_stack_pointer_kept(asmcgocall: &Code<'_>) -> Result<(), PlanError> {
    let aligns = |instruction: &Instruction| {
        instruction.mnemonic() == Mnemonic::And && instruction.op0_register() == Register::RSP
    };
    let mut ways = 0;
    for way in asmcgocall.instructions.split_inclusive(aligns).skip(1) {
        let to_call = way.iter().take_while(|instruction| {
            !matches!(instruction.flow_control(), FlowControl::Call | FlowControl::IndirectCall)
        });
        let (mut saved, mut changed) = (false, false);
        for instruction in to_call {
            saved |= instruction.op1_register() == Register::RDX
                && (instruction.mnemonic() == Mnemonic::Sub || instruction.memory_base() == Register::RSP);
            changed |= instruction.op0_kind() == OpKind::Register
                && instruction.op0_register().full_register() == Register::RDX;
        }
        if !saved || changed {
            return Err(asmcgocall.unexpected("the goroutine's stack pointer saved from RDX and left there"));
        }
        ways += 1;
    }
    if ways == 2 { Ok(()) } else { Err(asmcgocall.unexpected(format!("two ways to C, found {ways}"))) }
}

/// Bytes from `cgocall`'s stack pointer to its frame pointer.
pub(super) fn frame_size(cgocall: &Code<'_>) -> Result<u32, PlanError> {
    let unexpected = || cgocall.unexpected("a frame pointer prologue");
    let [first, second, third] = cgocall.instructions.first_chunk().ok_or_else(unexpected)?;
    if first.mnemonic() == Mnemonic::Push && first.op0_register() == Register::RBP {
        // push rbp; mov rbp, rsp; sub rsp, F
        let sets = second.mnemonic() == Mnemonic::Mov
            && second.op0_register() == Register::RBP
            && second.op1_register() == Register::RSP;
        let takes = third.mnemonic() == Mnemonic::Sub && third.op0_register() == Register::RSP;
        if sets && takes {
            return Ok(third.immediate32to64() as u32);
        }
    }
    // sub rsp, F+8; mov [rsp+F], rbp; lea rbp, [rsp+F]
    let lea = third.mnemonic() == Mnemonic::Lea
        && third.op0_register() == Register::RBP
        && third.memory_base() == Register::RSP;
    let takes = first.mnemonic() == Mnemonic::Sub && first.op0_register() == Register::RSP;
    if takes && lea && u64::from(first.immediate32()) == third.memory_displacement64() + 8 {
        return Ok(third.memory_displacement64() as u32);
    }
    Err(unexpected())
}

/// Returns where `cgocall` keeps fn and arg while it enters the system call, from its stack pointer.
fn argument_sources(cgocall: &Code<'_>, enter: usize, asm: usize) -> Result<(u32, u32), PlanError> {
    let (mut held, mut fn_from, mut arg_from) = (Vec::new(), None, None);
    for instruction in &cgocall.instructions[enter + 1..asm] {
        if instruction.mnemonic() != Mnemonic::Mov || instruction.memory_base() != Register::RSP {
            continue;
        }
        let displacement = instruction.memory_displacement64() as u32;
        if instruction.op1_kind() == OpKind::Memory {
            held.retain(|&(register, _)| register != instruction.op0_register());
            held.push((instruction.op0_register(), displacement));
        } else if let Some(&(_, from)) = held.iter().find(|&&(register, _)| register == instruction.op1_register()) {
            match displacement {
                0 => fn_from = Some(from),
                8 => arg_from = Some(from),
                _ => {}
            }
        }
    }
    fn_from.zip(arg_from).ok_or_else(|| cgocall.unexpected("fn and arg loaded from the stack for asmcgocall"))
}

#[cfg(test)]
mod tests {
    use iced_x86::{Decoder, DecoderOptions};

    use super::*;

    /// Checks whether this code is accepted as the end of `asmcgocall`.
    fn check(what: &str, bytes: &[u8], accepted: bool) {
        let instructions = Decoder::with_ip(64, bytes, 0x1000, DecoderOptions::NONE).iter().collect();
        let code = Code { name: "runtime.asmcgocall".into(), start: Svma(0x1000), bytes, instructions };
        assert_eq!(check_stack_pointer_kept(&code).is_ok(), accepted, "{what}");
    }

    #[test]
    fn the_goroutines_stack_pointer_must_stay_in_rdx_up_to_c() {
        let align = [0x48, 0x83, 0xe4, 0xf0];
        let depth = [0x48, 0x29, 0xd7]; // sub rdi, rdx
        let save = [0x48, 0x89, 0x14, 0x24]; // mov [rsp], rdx
        let change = [0x48, 0x89, 0xc2]; // mov rdx, rax
        let narrow_change = [0x31, 0xd2]; // xor edx, edx
        let call = [0xff, 0xd0];
        let code = |parts: &[&[u8]]| parts.concat();
        check("both ways", &code(&[&align, &depth, &call, &change, &align, &save, &call]), true);
        check("changed", &code(&[&align, &depth, &change, &call, &align, &save, &call]), false);
        check("changed in part", &code(&[&align, &depth, &call, &align, &save, &narrow_change, &call]), false);
        check("not saved", &code(&[&align, &call, &align, &save, &call]), false);
        check("one way", &code(&[&align, &depth, &call]), false);
        check("no code", &[], false);
    }
}
