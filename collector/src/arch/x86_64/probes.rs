//! The uprobe engine's plan.

use cgoprof_symbols::Svma;
use iced_x86::{FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::callbacks::end_of_callback;
use super::code::Code;
use super::crossing::incgo_cleared;
use super::struct_offsets::offsets;
use crate::goruntime::Target;
use crate::goruntime::functions::RuntimeFunctions;
use crate::goruntime::plan::PlanError;
use crate::goruntime::probes::{Point, Probe, ProbePlan};

/// Works out the plan.
///
/// # Errors
/// See [`PlanError`]: then the engine can't be used.
pub(crate) fn probe_plan(target: &Target<'_>) -> Result<ProbePlan, PlanError> {
    let functions = RuntimeFunctions::find(&target.pclntab)?;
    let decode = |function| Code::decode(&target.binary, function);
    let (cgocall, asmcgocall) = (decode(&functions.cgocall)?, decode(&functions.asmcgocall)?);
    let (exitsyscall, unwindm) = (decode(&functions.exitsyscall)?, decode(&functions.unwindm)?);
    let asm = cgocall.only_call(functions.asmcgocall.start, "runtime.asmcgocall")?;
    let exit = cgocall.only_call(functions.exitsyscall.start, "runtime.exitsyscall")?;
    let offsets = offsets(target, &cgocall.instructions[..exit])?;
    let (branch, to_return) = first_branch(&asmcgocall)?;

    let resumed = resumption(&exitsyscall, functions.mcall)?;

    let mut points = vec![(Point::Called, &asmcgocall, branch), (Point::Returned, &cgocall, exit)];
    points.push((Point::Resumed, &exitsyscall, resumed));
    let mut callbackg = None;
    for function in &functions.cgocallbackg {
        // Up to Go 1.26 there is an ABI wrapper of the same name, which calls neither.
        let code = decode(function)?;
        let begin = code.only_call(functions.exitsyscall.start, "runtime.exitsyscall");
        if let (Ok(begin), Ok(end)) = (begin, end_of_callback(target, &functions, &code)) {
            callbackg = Some((code, begin, end.index));
        }
    }
    let (code, begin, end) = callbackg.as_ref().ok_or_else(|| PlanError::Shape {
        function: "runtime.cgocallbackg".into(),
        expected: "one call each of exitsyscall and reentersyscall".into(),
    })?;
    points.push((Point::CallbackBegin, code, *begin));
    points.push((Point::CallbackEnd, code, *end));
    points.push((Point::Unwind, &unwindm, incgo_cleared(&unwindm, offsets)?));

    let probe = |(point, code, index): (Point, &Code<'_>, usize)| {
        let at = Svma(code.instructions[index].ip());
        let offset = target.binary.file_offset(at).ok_or_else(|| PlanError::Unreadable(code.name.clone()))?;
        let original = code.bytes_of(&code.instructions[index]).to_vec();
        Ok(Probe { point, function: code.name.clone(), at, offset, original })
    };
    Ok(ProbePlan {
        probes: points.into_iter().map(probe).collect::<Result<_, PlanError>>()?,
        to_return,
        asmcgocall: functions.asmcgocall.start..functions.asmcgocall.end,
        after_asmcgocall: Svma(cgocall.instructions[asm].next_ip()),
        after_exitsyscall: Svma(cgocall.instructions[exit].next_ip()),
        cgocallback: functions.cgocallback.start..functions.cgocallback.end,
        newm1: functions.newm1.clone(),
        goexit: functions.goexit.clone(),
        offsets,
        purego: functions.purego,
    })
}

/// Finds `asmcgocall`'s first branch, which is taken where there is no g. All calls pass it, with g in RDI and the
/// stack as it was but for RBP. Returns the branch's index and the distance from RSP to the return address.
pub(super) fn first_branch(asmcgocall: &Code<'_>) -> Result<(usize, u32), PlanError> {
    let shape = || asmcgocall.unexpected("cmp rdi, 0 and a branch before anything else is called");
    let branches = |instruction: &Instruction| instruction.flow_control() != FlowControl::Next;
    let index = asmcgocall.instructions.iter().position(branches).filter(|&index| index > 0).ok_or_else(shape)?;
    let (before, branch) = asmcgocall.instructions[..=index].split_at(index);
    let compare = &before[index - 1];
    let compares_g = compare.mnemonic() == Mnemonic::Cmp && compare.op0_register() == Register::RDI;
    if branch[0].flow_control() != FlowControl::ConditionalBranch || !compares_g {
        return Err(shape());
    }
    let mut to_return = 0;
    for instruction in before {
        let writes_sp = instruction.op0_kind() == OpKind::Register && instruction.op0_register() == Register::RSP;
        match instruction.mnemonic() {
            Mnemonic::Push => to_return += 8,
            Mnemonic::Cmp | Mnemonic::Test => {}
            _ if writes_sp => return Err(shape()),
            _ => {}
        }
    }
    Ok((index, to_return))
}

/// Returns the index of the instruction after that call of `mcall` in `exitsyscall` that comes back when the goroutine
/// has a P. The other call, of a goroutine that yields, is no such place: goroutines that need not wait run the code
/// after it too.
pub(super) fn resumption(exitsyscall: &Code<'_>, mcall: Svma) -> Result<usize, PlanError> {
    let calls = |instruction: &Instruction| {
        instruction.flow_control() == FlowControl::Call && instruction.near_branch_target() == mcall.0
    };
    let instructions = &exitsyscall.instructions;
    let branched_to = |at: u64| {
        let mut branches = instructions.iter().filter(|instruction| instruction.op0_kind() == OpKind::NearBranch64);
        branches.any(|branch| branch.near_branch_target() == at)
    };
    let mut found = (1..instructions.len())
        .filter(|&index| calls(&instructions[index - 1]) && !branched_to(instructions[index].ip()));
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(index),
        _ => Err(exitsyscall.unexpected("one call of mcall that only those return from who waited")),
    }
}

#[cfg(test)]
mod tests {
    use iced_x86::{Decoder, DecoderOptions};

    use super::*;

    fn check(what: &str, parts: &[&[u8]], expected: Option<(usize, u32)>) {
        let bytes = parts.concat();
        let instructions = Decoder::with_ip(64, &bytes, 0x1000, DecoderOptions::NONE).iter().collect();
        let code = Code { name: "runtime.asmcgocall".into(), start: Svma(0x1000), bytes: &bytes, instructions };
        assert_eq!(first_branch(&code).ok(), expected, "{what}");
    }

    #[test]
    fn the_first_branch_of_asmcgocall_must_look_at_g() {
        let (push, frame): (&[u8], &[u8]) = (&[0x55], &[0x48, 0x89, 0xe5]);
        let compare: &[u8] = &[0x48, 0x83, 0xff, 0x00];
        let (equal, always): (&[u8], &[u8]) = (&[0x74, 0x10], &[0xeb, 0x10]);
        let call: &[u8] = &[0xe8, 0, 0, 0, 0];
        let other: &[u8] = &[0x48, 0x83, 0xfe, 0x00];
        let room: &[u8] = &[0x48, 0x83, 0xec, 0x10];
        check("from Go 1.21", &[push, frame, compare, equal], Some((3, 8)));
        check("before", &[compare, equal], Some((1, 0)));
        check("another register", &[push, frame, other, equal], None);
        check("a call first", &[push, call, compare, equal], None);
        check("always", &[push, frame, compare, always], None);
        check("a frame of another size", &[push, room, compare, equal], None);
        check("no branch", &[push, frame], None);
    }
}
