//! Code that differs between processor architectures.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) use x86_64::now;
