//! x86-64.

#[cfg(not(miri))]
mod counter;
#[cfg(blob)]
mod entry_points;
#[cfg(blob)]
mod system_call;
#[cfg(blob)]
mod thunks;

#[cfg(not(miri))]
pub(crate) use counter::now;
