//! Offset of the field by which a module in the runtime's list leads to the next one.

use iced_x86::{Mnemonic, OpKind};

use super::code::Code;
use crate::goruntime::{ModulePlan, Target};

/// Finds the program's module.
pub(super) fn plan(target: &Target<'_>) -> Option<ModulePlan> {
    ModulePlan::find(target, next_offset(target)?)
}

/// Returns the offset of `next` in `datap = datap.next`, where the runtime looks for a function. The instruction loads
/// through a register into the same register, from far within the struct.
fn next_offset(target: &Target<'_>) -> Option<u32> {
    const FAR: u64 = 300;
    let names = ["runtime.findmoduledatap", "runtime.findfunc"];
    let mut found =
        target.pclntab.functions().filter(|function| names.contains(&function.name)).filter_map(|function| {
            let code = Code::decode(&target.binary, &function).ok()?;
            let mut loads = code.instructions.iter().filter(|load| {
                load.mnemonic() == Mnemonic::Mov
                    && load.op0_kind() == OpKind::Register
                    && load.op1_kind() == OpKind::Memory
                    && load.memory_base() == load.op0_register()
                    && load.memory_displacement64() > FAR
            });
            let next = u32::try_from(loads.next()?.memory_displacement64()).ok()?;
            loads.next().is_none().then_some(next)
        });
    found.next()
}
