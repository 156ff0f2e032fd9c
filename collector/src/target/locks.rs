//! Where goroutines lock themselves to their threads and unlock: `LockOSThread` is always called, `UnlockOSThread` is small
//! enough for the compiler to write it where it is used.

use cgoprof_symbols::Svma;
use cgoprof_symbols::pclntab::Function;
use cgoprof_symbols::runtime_offsets::RuntimeOffsets;
use iced_x86::{Instruction, Mnemonic, OpKind, Register};
use memchr::memmem;

use super::Target;
use super::code::Code;
use super::functions::RuntimeFunctions;
use super::plan::{Displaced, Hook, Patch, PlanError, Transfer, check_no_vectors};

const UNLOCK: &str = "runtime.UnlockOSThread";

/// What is replaced for the hooks of locks, nothing in a program that does not lock; and how many places there are where
/// goroutines unlock that are not as known.
pub(super) fn patches(
    target: &Target<'_>,
    functions: &RuntimeFunctions<'_>,
    offsets: RuntimeOffsets,
) -> Result<(Vec<(Patch, Displaced)>, usize), PlanError> {
    let Some(lock) = &functions.lock_os_thread else { return Ok((Vec::new(), 0)) };
    let code = Code::decode(&target.binary, lock)?;
    check_no_vectors(&code)?;
    let mut patches = vec![only(Hook::Lock, &code, offsets)?];
    if let Some(unlock) = &functions.unlock_os_thread {
        patches.push(only(Hook::Unlock, &Code::decode(&target.binary, unlock)?, offsets)?);
    }
    let mut unseen = 0;
    for function in inlined_in(target, functions, offsets) {
        let Ok(code) = Code::decode_long(&target.binary, &function) else {
            unseen += 1;
            continue;
        };
        let stores = counts(&code, offsets).filter(|store| is_unlock(target, store));
        let (found, other): (Vec<_>, Vec<_>) =
            stores.map(|store| patch(Hook::Unlock, &code, store)).partition(Result::is_ok);
        unseen += other.len() + usize::from(found.is_empty() && other.is_empty());
        patches.extend(found.into_iter().flatten());
    }
    Ok((patches, unseen))
}

/// Go functions other than itself that have `UnlockOSThread` inlined, as far as the bytes tell: those with the offset of
/// `m.lockedExt` in an instruction of it.
fn inlined_in<'a>(
    target: &'a Target<'_>,
    functions: &RuntimeFunctions<'_>,
    offsets: RuntimeOffsets,
) -> Vec<Function<'a>> {
    let text = target.pclntab.text();
    let Some(bytes) = target.binary.bytes_at(text.start, (text.end.0 - text.start.0) as usize) else {
        return Vec::new();
    };
    let own = functions.unlock_os_thread.map(|function| function.start);
    let mut found: Vec<Function<'a>> = Vec::new();
    for at in memmem::find_iter(bytes, &offsets.m_locked_ext.to_le_bytes()) {
        // The opcode and the operand lie before it.
        let Some(operand) = at.checked_sub(1) else { continue };
        let address = Svma(text.start.0 + operand as u64);
        let Some(function) = target.pclntab.function_at(address) else { continue };
        let known = found.last().is_some_and(|last| last.start == function.start) || own == Some(function.start);
        if !known && target.pclntab.frames_at(address).iter().any(|frame| frame.inlined && frame.function == UNLOCK) {
            found.push(function);
        }
    }
    found
}

fn is_unlock(target: &Target<'_>, store: &Instruction) -> bool {
    target.pclntab.frames_at(Svma(store.ip())).iter().any(|frame| frame.inlined && frame.function == UNLOCK)
}

/// The instructions that count `m.lockedExt`: those that write it other than with a constant, as is done before a panic.
fn counts<'a>(code: &'a Code<'_>, offsets: RuntimeOffsets) -> impl Iterator<Item = &'a Instruction> {
    code.instructions.iter().filter(move |instruction| {
        instruction.op0_kind() == OpKind::Memory
            && instruction.memory_displacement64() == u64::from(offsets.m_locked_ext)
            && instruction.memory_size().size() == 4
            && instruction.memory_base() != Register::RSP
            && match instruction.mnemonic() {
                Mnemonic::Inc | Mnemonic::Dec => true,
                Mnemonic::Mov => instruction.op1_kind() == OpKind::Register,
                _ => false,
            }
    })
}

fn only(hook: Hook, code: &Code<'_>, offsets: RuntimeOffsets) -> Result<(Patch, Displaced), PlanError> {
    let mut stores = counts(code, offsets);
    match (stores.next(), stores.next()) {
        (Some(store), None) => patch(hook, code, store),
        _ => Err(code.unexpected("one place where m.lockedExt is counted")),
    }
}

fn patch(hook: Hook, code: &Code<'_>, store: &Instruction) -> Result<(Patch, Displaced), PlanError> {
    let original = code.bytes_of(store).to_vec();
    if original.len() < 5 || original.len() > 11 {
        return Err(code.unexpected("m.lockedExt counted in 5 to 11 bytes"));
    }
    code.check_no_branch_into(store.ip()..store.next_ip())?;
    let at = Svma(store.ip());
    let displaced = Displaced { hook, at, code: original.clone(), back: Some(Svma(store.next_ip())) };
    Ok((Patch { hook, function: code.name.clone(), at, original, transfer: Transfer::Jump }, displaced))
}
