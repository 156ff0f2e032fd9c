//! What one processor architecture knows and others don't.

#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(all(target_arch = "x86_64", not(miri)))]
pub(crate) use x86_64::now;
