//! Places where goroutines lock themselves to their threads and unlock. The compiler inlines `UnlockOSThread`, because
//! it is small; in profile-guided builds it inlines `LockOSThread` too.

use cgoprof_symbols::Svma;
use cgoprof_symbols::pclntab::Function;
use cgoprof_symbols::runtime_offsets::RuntimeOffsets;
use iced_x86::{Instruction, Mnemonic, OpKind, Register};
use memchr::memmem;

use super::code::Code;
use super::patch::amid_patch;
use crate::goruntime::Target;
use crate::goruntime::functions::RuntimeFunctions;
use crate::goruntime::plan::{Displaced, Hook, Patch, PlanError};

/// Returns the patches for the hooks of locks, none in a program that does not lock. Also returns the number of places
/// where goroutines lock or unlock with code that is not as known.
pub(super) fn patches(
    target: &Target<'_>,
    functions: &RuntimeFunctions<'_>,
    offsets: RuntimeOffsets,
) -> Result<(Vec<(Patch, Displaced)>, usize), PlanError> {
    let mut patches = Vec::new();
    if let Some(lock) = &functions.lock_os_thread {
        patches.push(only(Hook::Lock, &Code::decode(&target.binary, lock)?, offsets)?);
    }
    if let Some(unlock) = &functions.unlock_os_thread {
        patches.push(only(Hook::Unlock, &Code::decode(&target.binary, unlock)?, offsets)?);
    }
    let mut unseen = 0;
    for function in inlined_in(target, functions, offsets) {
        let Ok(code) = Code::decode_long(&target.binary, &function) else {
            unseen += 1;
            continue;
        };
        let stores = counts(&code, offsets).filter_map(|store| Some((inlined_at(target, Svma(store.ip()))?, store)));
        let (found, other): (Vec<_>, Vec<_>) =
            stores.map(|(hook, store)| amid_patch(hook, &code, store)).partition(Result::is_ok);
        unseen += other.len() + usize::from(found.is_empty() && other.is_empty());
        patches.extend(found.into_iter().flatten());
    }
    Ok((patches, unseen))
}

/// Returns the Go functions, other than these two, that have one of them inlined, as far as the bytes tell: those with
/// the offset of `m.lockedExt` in an inlined instruction.
fn inlined_in<'a>(
    target: &'a Target<'_>,
    functions: &RuntimeFunctions<'_>,
    offsets: RuntimeOffsets,
) -> Vec<Function<'a>> {
    let text = target.pclntab.text();
    let Some(bytes) = target.binary.bytes_at(text.start, (text.end.0 - text.start.0) as usize) else {
        return Vec::new();
    };
    let own = [functions.lock_os_thread, functions.unlock_os_thread].map(|own| own.map(|function| function.start));
    let mut found: Vec<Function<'a>> = Vec::new();
    for at in memmem::find_iter(bytes, &offsets.m_locked_ext.to_le_bytes()) {
        // The opcode and the operand lie before the offset.
        let Some(operand) = at.checked_sub(1) else { continue };
        let address = Svma(text.start.0 + operand as u64);
        let Some(function) = target.pclntab.function_at(address) else { continue };
        let known =
            found.last().is_some_and(|last| last.start == function.start) || own.contains(&Some(function.start));
        if !known && inlined_at(target, address).is_some() {
            found.push(function);
        }
    }
    found
}

/// Tells which of the two is inlined at an address.
fn inlined_at(target: &Target<'_>, address: Svma) -> Option<Hook> {
    let frames = target.pclntab.frames_at(address);
    frames.iter().filter(|frame| frame.inlined).find_map(|frame| match frame.function.as_str() {
        "runtime.LockOSThread" => Some(Hook::Lock),
        "runtime.UnlockOSThread" => Some(Hook::Unlock),
        _ => None,
    })
}

/// Returns the instructions that count `m.lockedExt`: those that write it, except with a constant. Constants are
/// written before a panic.
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
        (Some(store), None) => amid_patch(hook, code, store),
        _ => Err(code.unexpected("one place where m.lockedExt is counted")),
    }
}
