//! The sample engine's plan.

use cgoprof_symbols::Svma;
use cgoprof_symbols::pclntab::Function;

use super::code::Code;
use super::probes::first_branch;
use super::struct_offsets::offsets;
use crate::goruntime::{SamplePlan, Target};

/// Works out the plan.
pub(crate) fn sample_plan(target: &Target<'_>) -> SamplePlan {
    let (mut cgocall, mut cgocallback, mut goexit) = (None, None, None);
    for function in target.pclntab.functions() {
        match function.name {
            "runtime.cgocall" => cgocall = Some(function),
            "runtime.cgocallback" => cgocallback = Some(function),
            "runtime.goexit" => goexit = Some(function),
            _ => {}
        }
    }
    let asmcgocall = target.pclntab.asmcgocall();
    let decode = |function: &Function<'_>| Code::decode(&target.binary, function).ok();
    let (cgocall, asm) = (cgocall.as_ref().and_then(decode), asmcgocall.as_ref().and_then(decode));
    let range =
        |function: Option<Function<'_>>| function.map_or(Svma(0)..Svma(0), |function| function.start..function.end);
    let after = cgocall.as_ref().zip(asm.as_ref()).and_then(|(cgocall, asm)| {
        let call = cgocall.only_call(asm.start, "runtime.asmcgocall").ok()?;
        let (_, to_return) = first_branch(asm).ok()?;
        (to_return > 0).then(|| Svma(cgocall.instructions[call].next_ip()))
    });
    SamplePlan {
        asmcgocall: range(asmcgocall),
        after_asmcgocall: after,
        cgocallback: range(cgocallback),
        goexit: range(goexit),
        offsets: cgocall.and_then(|cgocall| offsets(target, &cgocall.instructions).ok()),
    }
}
