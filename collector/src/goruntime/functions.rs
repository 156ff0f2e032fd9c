//! The runtime functions that a crossing passes through, found by name in the pclntab.

use std::ops::Range;

use cgoprof_symbols::Svma;
use cgoprof_symbols::pclntab::{Function, Pclntab};

use super::plan::PlanError;

/// Addresses of the runtime's functions.
pub(crate) struct RuntimeFunctions<'table> {
    pub(crate) cgocall: Function<'table>,
    pub(crate) asmcgocall: Function<'table>,
    pub(crate) landing_pad: Option<Function<'table>>,
    pub(crate) unwindm: Function<'table>,
    pub(crate) cgocallbackg: Vec<Function<'table>>,
    pub(crate) entersyscall: Svma,
    pub(crate) exitsyscall: Function<'table>,
    /// None where it is inlined wherever it is used, as profile-guided builds do.
    pub(crate) reentersyscall: Option<Svma>,
    pub(crate) mcall: Svma,
    /// The assembly function by which C calls Go.
    pub(crate) cgocallback: Function<'table>,
    pub(crate) cgocallbackg1: Svma,
    /// Functions that get an M for a foreign thread, under each of their names and ABIs.
    pub(crate) needm: Vec<Svma>,
    /// Functions that make threads: `newm1`, and those into which profile-guided builds inline it.
    pub(crate) newm1: Vec<Range<Svma>>,
    /// None in programs that don't call it, or inline it wherever they do.
    pub(crate) lock_os_thread: Option<Function<'table>>,
    pub(crate) unlock_os_thread: Option<Function<'table>>,
    pub(crate) goexit: Range<Svma>,
    /// The function that loads plugins. It calls the next one once a plugin is there, before any of the plugin's code
    /// runs (plugin/plugin_dlopen.go).
    pub(crate) plugin_open: Option<Function<'table>>,
    pub(crate) lastmoduleinit: Option<Svma>,
    /// How processes leave the program; none if its Go code traces processes, which could not be traced twice.
    pub(crate) departures: Option<Departures<'table>>,
    /// Jumps to the address in RAX, in programs built with `-spectre=ret`.
    pub(crate) retpoline_ax: Option<Svma>,
    /// Go 1.26 on: the P stays wired to its M in a system call. Such a runtime has `exitsyscallNoP` (runtime/proc.go).
    pub(crate) p_stays_wired: bool,
    /// purego's trampoline, whose argument names the C function.
    pub(crate) purego: Option<Svma>,
}

/// The functions through which `os/exec` and `syscall.Exec` go, as far as the program has them.
#[derive(Default)]
pub(crate) struct Departures<'table> {
    /// `syscall.forkAndExecInChild1`, of which the child runs a part (syscall/exec_linux.go).
    pub(crate) fork: Option<Function<'table>>,
    /// `syscall.runtime_AfterForkInChild`, which the child calls.
    pub(crate) after_fork_in_child: Option<Svma>,
    /// `syscall.Exec` (syscall/exec_unix.go).
    pub(crate) exec: Option<Function<'table>>,
    /// `syscall.runtime_BeforeExec`, which it calls before execve(2).
    pub(crate) before_exec: Option<Svma>,
    /// `syscall.runtime_AfterExec`, which it calls if that fails.
    pub(crate) after_exec: Option<Svma>,
}

/// Whether a function makes ptrace(2) calls: it belongs to Go's own packages for system calls.
fn traces(name: &str) -> bool {
    let call = name.strip_prefix("syscall.").or_else(|| name.strip_prefix("golang.org/x/sys/unix."));
    call.is_some_and(|call| call.starts_with("ptrace") || call.starts_with("Ptrace"))
}

impl<'table> RuntimeFunctions<'table> {
    pub(crate) fn find(table: &'table Pclntab<'_>) -> Result<Self, PlanError> {
        let (mut cgocall, mut landing_pad, mut unwindm, mut purego) = (None, None, None, None);
        let (mut entersyscall, mut exitsyscall, mut reentersyscall) = (None, None, None);
        let (mut mcall, mut cgocallback, mut goexit) = (None, None, None);
        let (mut cgocallbackg1, mut lock_os_thread, mut unlock_os_thread) = (None, None, None);
        let (mut cgocallbackg, mut needm, mut newm1) = (Vec::new(), Vec::new(), Vec::new());
        let (mut retpoline_ax, mut p_stays_wired) = (None, false);
        let (mut plugin_open, mut lastmoduleinit) = (None, None);
        let (mut departures, mut traces_others) = (Departures::default(), false);
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
                "syscall.forkAndExecInChild1" => departures.fork = Some(function),
                "syscall.runtime_AfterForkInChild" => departures.after_fork_in_child = Some(function.start),
                "syscall.Exec" => departures.exec = Some(function),
                "syscall.runtime_BeforeExec" => departures.before_exec = Some(function.start),
                "syscall.runtime_AfterExec" => departures.after_exec = Some(function.start),
                "runtime.exitsyscallNoP" => p_stays_wired = true,
                "runtime.retpolineAX" => retpoline_ax = Some(function.start),
                "runtime.goexit" => goexit = Some(function.start..function.end),
                "runtime.cgocallback" => cgocallback = Some(function),
                "runtime.cgocallbackg1" => cgocallbackg1 = Some(function.start),
                "runtime.needm" | "runtime.needAndBindM" => needm.push(function.start),
                // The callers of newm1 reach asmcgocall only through it (runtime/proc.go).
                "runtime.newm1" | "runtime.newm" | "runtime.templateThread" => newm1.push(function.start..function.end),
                "runtime.LockOSThread" => lock_os_thread = Some(function),
                "runtime.UnlockOSThread" => unlock_os_thread = Some(function),
                // Assembly that purego passes to cgocall, under its names through the years (purego/sys_amd64.s).
                "syscallX" | "syscall15X" | "syscall9X" => purego = Some(function.start),
                name => traces_others |= traces(name),
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
            departures: Some(departures).filter(|_| !traces_others),
            retpoline_ax,
            p_stays_wired,
            purego,
        })
    }
}
