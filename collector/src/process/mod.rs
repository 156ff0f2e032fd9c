//! Launches a process stopped at its first instruction, stops a running one, makes system calls in it, and reads its
//! mappings.

pub(crate) mod address_space;
pub(crate) mod auxv;
mod code_cave;
mod control_group;
pub(crate) mod end;
pub(crate) mod exe_lock;
pub(crate) mod execution;
pub mod file_privileges;
pub(crate) mod free_memory;
pub(crate) mod fuzzing;
pub(crate) mod inherited_signals;
pub(crate) mod interrupted_call;
pub(crate) mod kernel_symbols;
pub mod launch;
pub(crate) mod link_map;
pub mod maps;
pub(crate) mod memory;
mod next_program;
pub mod own_threads;
pub mod pause;
pub mod proc_mount;
pub(crate) mod proc_text;
pub(crate) mod process_tree;
pub(crate) mod processor_limits;
pub(crate) mod remote_syscall;
pub(crate) mod sched_slice;
pub(crate) mod seccomp;
pub mod status;
pub(crate) mod stopped_process;
pub(crate) mod syscall_injection;
pub(crate) mod tid_namespace;
pub(crate) mod time_namespace;
mod tracee;
pub mod wait_for_name;
pub(crate) mod waiting_thread;
