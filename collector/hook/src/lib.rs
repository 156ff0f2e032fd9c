//! What runs inside the target.
//!
//! The crate is compiled twice. As an ordinary library it gives the recorder the layout of the shared memory
//! and gives the tests the logic. With `--cfg blob` it becomes a flat piece of position-independent code
//! (`collector/build.rs`), which the trampoline engine maps into the target.
//!
//! Rules for everything here: no allocation, no panics, no locks, no calls out; no return address of ours on
//! a goroutine's stack while Go runs; under 300 bytes of goroutine stack.
#![no_std]
#![cfg_attr(blob, no_builtins)]
#![cfg_attr(not(any(blob, test)), allow(dead_code, reason = "only the blob and the tests call the hooks"))]

#[cfg(test)]
extern crate std;

pub mod histogram;
pub mod layout;
pub mod params;
pub mod presence;

mod arena;
mod births;
mod callback;
mod cells;
mod crossing;
mod direct;
mod directory;
mod goroutines;
mod locks;
mod plugins;
mod stack;
mod threads;
mod times;

pub use crossing::Slots;

#[cfg(test)]
mod tests;
#[cfg(blob)]
mod thunks;

/// The processor's time stamp counter.
#[cfg(not(miri))]
#[inline(always)]
fn now() -> u64 {
    // SAFETY: RDTSC exists on every x86-64 processor, and Linux lets user code execute it unless a process
    // asks otherwise for itself (prctl PR_SET_TSC).
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// A counter in place of the time stamp counter, which Miri does not have.
#[cfg(miri)]
fn now() -> u64 {
    use core::sync::atomic::{AtomicU64, Ordering};
    static TICKS: AtomicU64 = AtomicU64::new(1);
    TICKS.fetch_add(1, Ordering::Relaxed)
}

#[cfg(blob)]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
