//! The runtime functions that a crossing passes through, found by name in the pclntab.

use std::ops::Range;

use cgoprof_symbols::Svma;
use cgoprof_symbols::pclntab::{Function, Pclntab};

use super::plan::PlanError;

/// Addresses of the runtime's functions.
pub(super) struct RuntimeFunctions<'table> {
    pub(super) cgocall: Function<'table>,
    pub(super) asmcgocall: Function<'table>,
    pub(super) landing_pad: Option<Function<'table>>,
    pub(super) unwindm: Function<'table>,
    pub(super) cgocallbackg: Vec<Function<'table>>,
    pub(super) entersyscall: Svma,
    pub(super) exitsyscall: Function<'table>,
    pub(super) reentersyscall: Svma,
    pub(super) mcall: Svma,
    /// The assembly function that C's calls come through.
    pub(super) cgocallback: Function<'table>,
    pub(super) cgocallbackg1: Svma,
    /// What gets an M for a foreign thread, under each of its names and ABIs.
    pub(super) needm: Vec<Svma>,
    /// Makes threads.
    pub(super) newm1: Range<Svma>,
    /// Not in programs that don't call it.
    pub(super) lock_os_thread: Option<Function<'table>>,
    pub(super) unlock_os_thread: Option<Function<'table>>,
    pub(super) goexit: Range<Svma>,
    /// purego's trampoline, whose argument names the C function.
    pub(super) purego: Option<Svma>,
}

impl<'table> RuntimeFunctions<'table> {
    pub(super) fn find(table: &'table Pclntab<'_>) -> Result<Self, PlanError> {
        let (mut cgocall, mut landing_pad, mut unwindm, mut purego) = (None, None, None, None);
        let (mut entersyscall, mut exitsyscall, mut reentersyscall) = (None, None, None);
        let (mut mcall, mut cgocallback, mut goexit) = (None, None, None);
        let (mut cgocallbackg1, mut newm1, mut lock_os_thread, mut unlock_os_thread) = (None, None, None, None);
        let (mut cgocallbackg, mut needm) = (Vec::new(), Vec::new());
        for function in table.functions() {
            match function.name {
                "runtime.cgocall" => cgocall = Some(function),
                "runtime.asmcgocall_landingpad" => landing_pad = Some(function),
                "runtime.unwindm" => unwindm = Some(function),
                "runtime.cgocallbackg" => cgocallbackg.push(function),
                "runtime.entersyscall" => entersyscall = Some(function.start),
                "runtime.exitsyscall" => exitsyscall = Some(function),
                "runtime.reentersyscall" => reentersyscall = Some(function.start),
                "runtime.mcall" => mcall = Some(function.start),
                "runtime.goexit" => goexit = Some(function.start..function.end),
                "runtime.cgocallback" => cgocallback = Some(function),
                "runtime.cgocallbackg1" => cgocallbackg1 = Some(function.start),
                "runtime.needm" | "runtime.needAndBindM" => needm.push(function.start),
                "runtime.newm1" => newm1 = Some(function.start..function.end),
                "runtime.LockOSThread" => lock_os_thread = Some(function),
                "runtime.UnlockOSThread" => unlock_os_thread = Some(function),
                // Assembly that purego hands to cgocall, its name through the years (purego/sys_amd64.s).
                "syscallX" | "syscall15X" | "syscall9X" => purego = Some(function.start),
                _ => {}
            }
        }
        let missing = PlanError::MissingFunction;
        Ok(RuntimeFunctions {
            cgocall: cgocall.ok_or(missing("runtime.cgocall"))?,
            asmcgocall: table.asmcgocall().ok_or(missing("runtime.asmcgocall"))?,
            landing_pad,
            unwindm: unwindm.ok_or(missing("runtime.unwindm"))?,
            cgocallbackg,
            entersyscall: entersyscall.ok_or(missing("runtime.entersyscall"))?,
            exitsyscall: exitsyscall.ok_or(missing("runtime.exitsyscall"))?,
            reentersyscall: reentersyscall.ok_or(missing("runtime.reentersyscall"))?,
            mcall: mcall.ok_or(missing("runtime.mcall"))?,
            cgocallback: cgocallback.ok_or(missing("runtime.cgocallback"))?,
            cgocallbackg1: cgocallbackg1.ok_or(missing("runtime.cgocallbackg1"))?,
            needm,
            newm1: newm1.ok_or(missing("runtime.newm1"))?,
            lock_os_thread,
            unlock_os_thread,
            goexit: goexit.ok_or(missing("runtime.goexit"))?,
            purego,
        })
    }
}
