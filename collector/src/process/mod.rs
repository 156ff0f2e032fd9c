//! Processes: starting one stopped at its first instruction, stopping one that runs, acting in it, and what is mapped
//! into it.

pub(crate) mod address_space;
pub(crate) mod auxv;
pub(crate) mod deputy;
pub mod file_privileges;
pub(crate) mod free_memory;
pub(crate) mod frozen;
pub(crate) mod fuzzing;
pub(crate) mod inherited_signals;
pub(crate) mod interrupted_call;
pub mod launch;
pub(crate) mod link_map;
pub(crate) mod lock;
pub mod maps;
pub(crate) mod memory;
pub mod named;
pub mod own_threads;
pub mod pause;
pub mod proc_mount;
pub(crate) mod proc_text;
pub(crate) mod promptness;
pub(crate) mod remote;
pub(crate) mod seccomp;
mod slack;
pub mod status;
pub(crate) mod tids;
pub(crate) mod time_namespace;
mod tracee;
