//! What one processor architecture knows and others don't: instructions, registers, and where the kernel tells of them.
//!
//! Each architecture has a folder. All have the same functions and types, which are those named here.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;
