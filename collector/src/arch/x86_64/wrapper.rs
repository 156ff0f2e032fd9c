//! How cgo's wrapper calls its C function.

use cgoprof_symbols::Svma;
use cgoprof_symbols::pclntab::Function;
use iced_x86::{FlowControl, Instruction, Mnemonic, Register};

use super::code::Code;
use crate::goruntime::{Target, WrapperCode};

/// Number of instructions before a call within which its first argument is set.
const BEFORE_CALL: usize = 8;
/// Offset of `PtrBytes` in `abi.Type` (internal/abi/type.go): 0 for a type without pointers.
const PTR_BYTES: u64 = 8;

/// Reads a wrapper; none if its code can't be read.
pub(crate) fn wrapper_code(target: &Target<'_>, wrapper: &Function<'_>) -> Option<WrapperCode> {
    let code = Code::decode(&target.binary, wrapper).ok()?;
    let mut found = WrapperCode { escapes: false, nocallback: false };
    for (index, call) in code.instructions.iter().enumerate() {
        if call.flow_control() != FlowControl::Call {
            continue;
        }
        let called = target.pclntab.function_at(Svma(call.near_branch_target()));
        match called.map(|function| function.name) {
            Some("runtime.cgoUse") => {
                found.escapes |= type_argument(&code.instructions[..index])
                    .and_then(|of| target.binary.bytes_at(Svma(of.0.wrapping_add(PTR_BYTES)), 8))
                    .is_some_and(|pointers| pointers.iter().any(|&byte| byte != 0));
            }
            Some("runtime.cgoNoCallback") => found.nocallback = true,
            _ => {}
        }
    }
    Some(found)
}

/// Returns the address of the type of the interface that is a call's first argument, if the instructions before the
/// call load it.
fn type_argument(before: &[Instruction]) -> Option<Svma> {
    let last = before.iter().rev().take(BEFORE_CALL).take_while(|one| one.flow_control() == FlowControl::Next);
    let mut sets = last.filter(|one| one.op0_register() == Register::RAX || one.op0_register() == Register::EAX);
    let load = sets.next()?;
    (load.mnemonic() == Mnemonic::Lea && load.is_ip_rel_memory_operand()).then(|| Svma(load.ip_rel_memory_address()))
}

#[cfg(test)]
mod tests {
    use iced_x86::{Decoder, DecoderOptions};

    use super::*;

    fn check(what: &str, bytes: &[u8], expected: Option<u64>) {
        let instructions: Vec<_> = Decoder::with_ip(64, bytes, 0x1000, DecoderOptions::NONE).iter().collect();
        assert_eq!(type_argument(&instructions), expected.map(Svma), "{what}");
    }

    #[test]
    fn the_type_of_an_argument_is_loaded_into_its_register() {
        let lea: &[u8] = &[0x48, 0x8d, 0x05, 0x10, 0, 0, 0];
        let value: &[u8] = &[0x48, 0x8b, 0x5c, 0x24, 0x20];
        let from_stack: &[u8] = &[0x48, 0x8b, 0x44, 0x24, 0x10];
        let call: &[u8] = &[0xe8, 0, 0, 0, 0];
        check("its address", lea, Some(0x1017));
        check("and the value", &[lea, value].concat(), Some(0x1017));
        check("kept on the stack", &[lea, from_stack].concat(), None);
        check("of a call before", &[lea, call, value].concat(), None);
        check("nothing", value, None);
    }
}
