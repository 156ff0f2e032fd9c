//! The Go runtime's own count of crossings, found by the code that uses it.

use cgoprof_symbols::Svma;
use cgoprof_symbols::runtime_offsets::RuntimeOffsets;
use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::code::Code;
use crate::goruntime::{OwnCount, Target};

/// Maximum number of instructions between two that belong together.
const NEAR: usize = 16;

/// Finds the count's variables by their symbols, else by the code of `mcommoninit` and `mexit`, which use them
/// (runtime/proc.go).
pub(crate) fn own_count(target: &Target<'_>, offsets: RuntimeOffsets) -> Option<OwnCount> {
    let named = |name| target.binary.variable(name);
    let gone = named("runtime.ncgocall").or_else(|| gone(&code_of(target, "runtime.mexit")?, offsets))?;
    let first_m = named("runtime.allm").or_else(|| first_m(&code_of(target, "runtime.mcommoninit")?, offsets))?;
    Some(OwnCount { gone, first_m })
}

fn code_of<'data>(target: &Target<'data>, name: &str) -> Option<Code<'data>> {
    let function = target.pclntab.functions().find(|function| function.name == name)?;
    Code::decode(&target.binary, &function).ok()
}

/// Finds `allm` by `mp.alllink = allm`: the code loads a variable and stores it at this offset.
fn first_m(mcommoninit: &Code<'_>, offsets: RuntimeOffsets) -> Option<Svma> {
    let instructions = &mcommoninit.instructions;
    instructions.iter().enumerate().find_map(|(index, load)| {
        let loads = load.mnemonic() == Mnemonic::Mov && load.is_ip_rel_memory_operand() && loads_register(load);
        let stores = |store: &Instruction| {
            store.mnemonic() == Mnemonic::Mov
                && store.op0_kind() == OpKind::Memory
                && store.op1_register() == load.op0_register()
                && store.memory_displacement64() == u64::from(offsets.m_alllink)
        };
        let near = instructions[index + 1..].iter().take(NEAR);
        (loads && near.clone().any(stores)).then(|| Svma(load.ip_rel_memory_address()))
    })
}

/// Finds `ncgocall` by `atomic.Xadd64(&ncgocall, mp.ncgocall)`: the code loads a word at this offset and adds it to a
/// variable.
fn gone(mexit: &Code<'_>, offsets: RuntimeOffsets) -> Option<Svma> {
    let instructions = &mexit.instructions;
    instructions.iter().enumerate().find_map(|(index, add)| {
        let before = &instructions[index.saturating_sub(NEAR)..index];
        let loads_count =
            |load: &Instruction| loads_register(load) && load.memory_displacement64() == u64::from(offsets.m_ncgocall);
        if add.mnemonic() != Mnemonic::Xadd || !before.iter().any(loads_count) {
            return None;
        }
        if add.is_ip_rel_memory_operand() {
            return Some(Svma(add.ip_rel_memory_address()));
        }
        let leads = |lea: &&Instruction| {
            lea.mnemonic() == Mnemonic::Lea
                && lea.is_ip_rel_memory_operand()
                && lea.op0_register() == add.memory_base()
                && add.memory_base() != Register::None
        };
        before.iter().rev().find(leads).map(|lea| Svma(lea.ip_rel_memory_address()))
    })
}

fn loads_register(instruction: &Instruction) -> bool {
    instruction.op0_kind() == OpKind::Register && instruction.op1_kind() == OpKind::Memory
}
