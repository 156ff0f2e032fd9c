//! Entry points by which the machine code calls the Rust hooks.

use super::system_call::{sleep_at, thread_number};
use crate::layout::{Cell, InFlight, Thread, arrival};
use crate::mapping::header;
use crate::params::Params;
use crate::{callback, crossing, direct, gate, locks, plugins};

unsafe extern "C" {
    #[link_name = "cgoprof_params"]
    static PARAMS: Params;
}

/// Returns the parameters at the start of the code page.
#[inline(always)]
fn params() -> &'static Params {
    // SAFETY: the linker script puts the symbol at the page's start, which the recorder fills before it patches.
    unsafe { &PARAMS }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_arrived(g: u64, frame: u64) -> u64 {
    // SAFETY: the enter thunk passes R14 and RBP as they are in cgocall.
    unsafe { crossing::arrived(params(), g, frame) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_switched(g: u64, frame: u64, thread: *mut Thread) -> u64 {
    // SAFETY: as above; the thunk found the thread.
    unsafe { crossing::switched(params(), g, frame, thread) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_entered(g: u64, frame: u64, thread: *mut Thread) -> u64 {
    // SAFETY: as above.
    unsafe { crossing::entered(params(), g, frame, thread) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_timed(thread: *mut Thread, cell: *mut Cell) -> u64 {
    // SAFETY: the enter thunk found both for this M.
    unsafe { crossing::timed(thread, cell) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_returned(entry: *mut InFlight, slots: *mut u64, at: u64, p_lost: bool) {
    // SAFETY: the C thunk passes its crossing's entry, and cgocall's dead argument words.
    unsafe { crossing::returned(params(), entry, at, slots, p_lost) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_exited(g: u64, packed: u64, from: u64, to: u64) {
    // SAFETY: the exit thunk passes R14 and cgocall's dead argument words.
    unsafe { crossing::exited(params(), g, packed, from, to) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_direct_entered(g: u64, function: u64, saved: u64, rbp: u64) -> *mut InFlight {
    // SAFETY: the C thunk runs on the system stack.
    unsafe { direct::entered(params(), g, function, saved, rbp) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_direct_returned(entry: *mut InFlight, at: u64) {
    // SAFETY: the entry is the one this thunk got.
    unsafe { direct::returned(params(), entry, at) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_callback_began(g: u64) {
    // SAFETY: the thunk passes R14.
    unsafe { callback::began(params(), g) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_callback_acquired(g: u64, function: u64) {
    // SAFETY: the thunk passes R14.
    unsafe { callback::acquired(params(), g, function) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_callback_ended(g: u64) {
    // SAFETY: the thunk passes R14.
    unsafe { callback::ended(params(), g) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_callback_released(g: u64) {
    // SAFETY: the thunk passes R14.
    unsafe { callback::released(params(), g) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_attached(g: u64, from: u64) {
    // SAFETY: the thunk passes the g that the thread has got.
    unsafe { callback::attached(params(), g, from) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_parked(g: u64, frame: u64) {
    // SAFETY: the thunk passes R14 and RBP as they are in exitsyscall.
    unsafe { crossing::parked(params(), g, frame) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_plugin_loaded() {
    // SAFETY: the parameters describe the tables, which are mapped.
    let header = unsafe { header(params()) };
    plugins::wait(&header.plugin, plugins::CLAIM_TIMEOUT, plugins::RELEASE_TIMEOUT);
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_passes(kind: u32) {
    // SAFETY: the parameters describe the tables, which are mapped.
    let header = unsafe { header(params()) };
    let arrival = thread_number().wrapping_mul(arrival::NUMBER) | kind;
    gate::pass(&header.gate, &header.coarse.sequence, arrival, sleep_at);
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_locked(g: u64, frame: u64, after: u64) {
    // SAFETY: the thunk passes R14 and RBP as they are where m.lockedExt is counted.
    unsafe { locks::locked(params(), g, frame, after) }
}

#[unsafe(no_mangle)]
unsafe extern "sysv64" fn cgoprof_unwound(g: u64) {
    // SAFETY: the thunk passes R14.
    unsafe { callback::unwound(params(), g) }
}
