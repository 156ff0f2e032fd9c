//! Where processes leave the program: a child that Go forks, and a thread that executes another program.

use cgoprof_symbols::Svma;

use super::code::Code;
use super::patch::call_patch;
use crate::goruntime::Target;
use crate::goruntime::functions::RuntimeFunctions;
use crate::goruntime::plan::{Departures, Hook, Patch};

/// Returns the patches of these places, as far as the program has them in the known way.
pub(super) fn patches(target: &Target<'_>, functions: &RuntimeFunctions<'_>) -> (Vec<Patch>, Departures) {
    let Some(found) = &functions.departures else { return Default::default() };
    // Its C code traces, and a process can have one tracer only.
    if target.binary.imports().contains(&"ptrace") {
        return Default::default();
    }
    let patch = |hook, caller: &Option<_>, called: Option<Svma>, name| {
        let code = Code::decode_long(&target.binary, caller.as_ref()?).ok()?;
        let call = code.only_call(called?, name).ok()?;
        Some((call_patch(hook, &code, call), called?))
    };
    let forked = patch(Hook::Forked, &found.fork, found.after_fork_in_child, "syscall.runtime_AfterForkInChild");
    let executes = patch(Hook::Executes, &found.exec, found.before_exec, "syscall.runtime_BeforeExec");
    let stays = patch(Hook::Stays, &found.exec, found.after_exec, "syscall.runtime_AfterExec");
    // A thread that waits before it executes a program must be let go if it does not.
    let (executes, stays) = executes.zip(stays).unzip();
    let departures = Departures {
        after_fork_in_child: forked.as_ref().map(|(_, called)| *called),
        before_exec: executes.as_ref().map(|(_, called)| *called),
        after_exec: stays.as_ref().map(|(_, called)| *called),
    };
    ([forked, executes, stays].into_iter().flatten().map(|(patch, _)| patch).collect(), departures)
}
