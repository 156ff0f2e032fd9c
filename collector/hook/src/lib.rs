//! Code that runs inside the program.
//!
//! The crate is compiled twice. As an ordinary library it gives the recorder the layout of the shared memory and gives
//! the tests the logic. With `--cfg blob` it becomes a flat piece of position-independent code (`collector/build.rs`),
//! which the trampoline engine maps into the program.
//!
//! Rules for everything here: no allocation, no panics, no locks, no calls out; no return address of a hook
//! on a goroutine's stack while Go runs; under 300 bytes of goroutine stack, and under
//! 640 in `LockOSThread` and at the gate.
#![no_std]
#![cfg_attr(blob, no_builtins)]
#![cfg_attr(not(any(blob, test)), allow(dead_code, reason = "only the blob and the tests call the hooks"))]

#[cfg(test)]
extern crate std;

pub mod cell_ref;
pub mod histogram;
pub mod layout;
pub mod params;
pub mod registration;
pub mod runtime;

mod adding;
mod arch;
mod arena;
mod callback;
mod cells;
mod clock;
mod crossing;
mod direct;
mod directory;
mod events;
mod gate;
mod goroutines;
mod held;
mod locks;
mod mapping;
mod overflow;
mod plugins;
mod stack;
mod thread_creation;
mod threads;
mod times;

pub use crossing::ExitRecord;

#[cfg(test)]
mod tests;

#[cfg(blob)]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
