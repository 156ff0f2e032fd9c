//! Where C calls Go: `cgocallbackg` from start to end, and where a foreign thread gets its M.

use cgoprof_symbols::Svma;
use iced_x86::{FlowControl, Register};

use super::Target;
use super::code::Code;
use super::functions::RuntimeFunctions;
use super::plan::{Displaced, Hook, LOAD_RAX, Patch, PlanError, Transfer, call_patch, epilogue};

/// What is replaced for the hooks of a callback.
pub(super) fn patches(
    target: &Target<'_>,
    functions: &RuntimeFunctions<'_>,
    displaced: &mut Vec<Displaced>,
) -> Result<Vec<Patch>, PlanError> {
    // Up to Go 1.26 there is an ABI wrapper of the same name, which calls neither.
    for function in &functions.cgocallbackg {
        let code = Code::decode(&target.binary, function)?;
        let begin = code.only_call(functions.exitsyscall.start, "runtime.exitsyscall");
        let end = code.only_call(functions.reentersyscall, "runtime.reentersyscall");
        if let (Ok(begin), Ok(end)) = (begin, end) {
            let acquired = code.only_call(functions.cgocallbackg1, "runtime.cgocallbackg1")?;
            if !(begin < acquired && acquired < end) {
                return Err(code.unexpected("exitsyscall, cgocallbackg1 and reentersyscall in this order"));
            }
            let (at, epilogue) = epilogue(&code, end)?;
            displaced.push(Displaced { hook: Hook::CallbackRelease, at, code: epilogue.clone(), back: None });
            let release = Patch {
                hook: Hook::CallbackRelease,
                function: code.name.clone(),
                at,
                original: epilogue,
                transfer: Transfer::Jump,
            };
            return Ok(vec![
                call_patch(Hook::CallbackBegin, &code, begin),
                call_patch(Hook::CallbackAcquired, &code, acquired),
                call_patch(Hook::CallbackEnd, &code, end),
                release,
            ]);
        }
    }
    let function = "runtime.cgocallbackg".to_owned();
    Err(PlanError::Shape { function, expected: "one call each of exitsyscall and reentersyscall".into() })
}

/// Where `cgocallback` loads the address of what gets an M for a foreign thread, for the call that follows; and that address.
pub(super) fn attach(target: &Target<'_>, functions: &RuntimeFunctions<'_>) -> Result<(Patch, Svma), PlanError> {
    let code = Code::decode(&target.binary, &functions.cgocallback)?;
    for pair in code.instructions.windows(2) {
        let (load, call) = (&pair[0], &pair[1]);
        let original = code.bytes_of(load);
        let calls = call.flow_control() == FlowControl::IndirectCall && call.op0_register() == Register::RAX;
        if !(calls && original.starts_with(&LOAD_RAX) && load.is_ip_rel_memory_operand()) {
            continue;
        }
        let loaded = Svma(load.ip_rel_memory_address());
        if functions.needm.contains(&loaded) {
            code.check_no_branch_into(load.ip()..call.next_ip())?;
            let (at, original) = (Svma(load.ip()), original.to_vec());
            let function = code.name.clone();
            return Ok((Patch { hook: Hook::Attach, function, at, original, transfer: Transfer::Load }, loaded));
        }
    }
    Err(code.unexpected("the address of needm or needAndBindM loaded and called"))
}
