//! The runtime functions that a crossing passes through, found by name in the pclntab.

use std::ops::Range;

use cgoprof_symbols::Svma;
use cgoprof_symbols::pclntab::{Function, Pclntab};
use iced_x86::{FlowControl, Instruction};

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
    /// Not where it is inlined wherever it is used, as profile-guided builds do.
    pub(super) reentersyscall: Option<Svma>,
    pub(super) mcall: Svma,
    /// The assembly function that C's calls come through.
    pub(super) cgocallback: Function<'table>,
    pub(super) cgocallbackg1: Svma,
    /// What gets an M for a foreign thread, under each of its names and ABIs.
    pub(super) needm: Vec<Svma>,
    /// Make threads: `newm1`, and what it is inlined into in profile-guided builds.
    pub(super) newm1: Vec<Range<Svma>>,
    /// Not in programs that don't call it, or inline it wherever they do.
    pub(super) lock_os_thread: Option<Function<'table>>,
    pub(super) unlock_os_thread: Option<Function<'table>>,
    pub(super) goexit: Range<Svma>,
    /// What loads plugins, and what it calls once one is there, before any of its code runs (plugin/plugin_dlopen.go).
    pub(super) plugin_open: Option<Function<'table>>,
    pub(super) lastmoduleinit: Option<Svma>,
    /// Jumps to the address in RAX, in programs built with `-spectre=ret`.
    pub(super) retpoline_ax: Option<Svma>,
    /// Go 1.26 on: the P stays wired to its M in a system call. Such a runtime has `exitsyscallNoP` (runtime/proc.go).
    pub(super) p_stays_wired: bool,
    /// purego's trampoline, whose argument names the C function.
    pub(super) purego: Option<Svma>,
}

impl<'table> RuntimeFunctions<'table> {
    pub(super) fn find(table: &'table Pclntab<'_>) -> Result<Self, PlanError> {
        let (mut cgocall, mut landing_pad, mut unwindm, mut purego) = (None, None, None, None);
        let (mut entersyscall, mut exitsyscall, mut reentersyscall) = (None, None, None);
        let (mut mcall, mut cgocallback, mut goexit) = (None, None, None);
        let (mut cgocallbackg1, mut lock_os_thread, mut unlock_os_thread) = (None, None, None);
        let (mut cgocallbackg, mut needm, mut newm1) = (Vec::new(), Vec::new(), Vec::new());
        let (mut retpoline_ax, mut p_stays_wired) = (None, false);
        let (mut plugin_open, mut lastmoduleinit) = (None, None);
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
                "plugin.open" => plugin_open = Some(function),
                "plugin.lastmoduleinit" => lastmoduleinit = Some(function.start),
                "runtime.exitsyscallNoP" => p_stays_wired = true,
                "runtime.retpolineAX" => retpoline_ax = Some(function.start),
                "runtime.goexit" => goexit = Some(function.start..function.end),
                "runtime.cgocallback" => cgocallback = Some(function),
                "runtime.cgocallbackg1" => cgocallbackg1 = Some(function.start),
                "runtime.needm" | "runtime.needAndBindM" => needm.push(function.start),
                // None of the callers reaches asmcgocall but through newm1 (runtime/proc.go).
                "runtime.newm1" | "runtime.newm" | "runtime.templateThread" => newm1.push(function.start..function.end),
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
            reentersyscall,
            mcall: mcall.ok_or(missing("runtime.mcall"))?,
            cgocallback: cgocallback.ok_or(missing("runtime.cgocallback"))?,
            cgocallbackg1: cgocallbackg1.ok_or(missing("runtime.cgocallbackg1"))?,
            needm,
            newm1,
            lock_os_thread,
            unlock_os_thread,
            goexit: goexit.ok_or(missing("runtime.goexit"))?,
            plugin_open,
            lastmoduleinit,
            retpoline_ax,
            p_stays_wired,
            purego,
        })
    }

    /// Whether an instruction goes to the address in RAX by way of `retpolineAX`.
    pub(super) fn by_retpoline(&self, instruction: &Instruction) -> bool {
        let direct = matches!(instruction.flow_control(), FlowControl::Call | FlowControl::UnconditionalBranch);
        direct && instruction.len() == 5 && Some(Svma(instruction.near_branch_target())) == self.retpoline_ax
    }
}
