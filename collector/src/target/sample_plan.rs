//! What the sample engine knows of a binary. It changes nothing, so that nothing has to be as expected: what is not found is
//! empty.

use std::ops::Range;

use cgoprof_symbols::Svma;
use cgoprof_symbols::pclntab::Function;
use cgoprof_symbols::runtime_offsets::RuntimeOffsets;

use super::Target;
use super::code::Code;
use super::plan::offsets;
use super::probes::first_branch;

/// Where Go and C meet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SamplePlan {
    /// `asmcgocall`.
    pub asmcgocall: Range<Svma>,
    /// Return address of `cgocall`'s call of `asmcgocall`, where that has a frame of its own (from Go 1.21 on).
    pub after_asmcgocall: Option<Svma>,
    /// `cgocallback`: there a goroutine's stack ends, and C's begins.
    pub cgocallback: Range<Svma>,
    /// `goexit`: where a goroutine begins.
    pub goexit: Range<Svma>,
    /// Struct offsets.
    pub offsets: Option<RuntimeOffsets>,
}

impl SamplePlan {
    /// Looks for all of it.
    pub fn new(target: &Target<'_>) -> SamplePlan {
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
}
