//! x86-64.

mod argument_slots;
mod calibration_loop;
mod callbacks;
mod code;
mod counter;
mod crossing;
mod departures;
mod locks;
mod module;
mod own_count;
mod patch;
mod probe_stage;
mod probes;
mod registers;
mod sample;
mod sampled;
mod signal_frame;
mod stack_distance;
mod stack_frames;
#[cfg(test)]
mod stack_use;
mod struct_offsets;
mod system_call;
mod thread_local;
mod wrapper;

pub(crate) use calibration_loop::{
    AFTER_ASMCGOCALL, EPILOGUE, EXCHANGE, FRAMES, Goroutine, calibration_loop, stub_epilogue, stub_landing_pad,
    stub_return,
};
pub(crate) use counter::ticks;
pub(crate) use crossing::plan;
pub(crate) use own_count::own_count;
pub(crate) use patch::{PADDING, distance, far_jump, free_and_return, in_c, patch_bytes, repeat_and_call};
pub(crate) use probe_stage::{probe_places, probe_stage};
pub(crate) use probes::probe_plan;
pub(crate) use registers::Registers;
pub(crate) use sample::sample_plan;
pub(crate) use sampled::{FrameUnwinder, SAMPLED, UnwindCache, frame_registers, probe_register};
pub(crate) use signal_frame::interrupted;
pub(crate) use stack_distance::{Distances, distances};
#[cfg(test)]
pub(crate) use stack_use::{aligned_stack_accesses, stack_use};
pub(crate) use system_call::{
    AUDIT_ARCHITECTURE, BREAKPOINT, STUB_LENGTH, STUB_START, SYS_EPOLL_WAIT, SYS_IO_PGETEVENTS, call_and_restore,
    system_call_name, system_call_of,
};
pub(crate) use thread_local::uses_thread_local;
pub(crate) use wrapper::wrapper_code;
