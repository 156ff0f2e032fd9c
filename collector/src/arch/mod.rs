//! The code that depends on the processor architecture: instructions, registers, and where the kernel reports them.
//!
//! Each architecture has a folder. All have the same functions and types, which this module re-exports.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;
