//! What a recording asks of perf events (`perf_event_open(2)`).

use linux_perf_event_reader::{Endianness, PerfEventAttr, RecordParseInfo};
use nix::unistd::Pid;
use perf_event::Builder;
use perf_event::events::Software;
use perf_event::hooks::sys::bindings::{
    PERF_SAMPLE_IP, PERF_SAMPLE_PERIOD, PERF_SAMPLE_REGS_USER, PERF_SAMPLE_STACK_USER, PERF_SAMPLE_TID,
    PERF_SAMPLE_TIME, perf_event_attr,
};

/// Samples a second of processor time; 0 is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frequency(pub(crate) u32);

impl Frequency {
    /// Processor time that a sample stands for, in nanoseconds.
    pub(crate) fn period(self) -> u64 {
        if self.0 == 0 { 0 } else { 1_000_000_000 / u64::from(self.0) }
    }
}

/// Bytes of stack copied with a sample.
const STACK_BYTES: u32 = 16 << 10;

/// Numbers of registers in samples (`arch/x86/include/uapi/asm/perf_regs.h`).
pub(super) mod registers {
    pub(in super::super) const BP: u64 = 6;
    pub(in super::super) const SP: u64 = 7;
    pub(in super::super) const IP: u64 = 8;
}

/// The event of one processor.
pub(super) fn builder(pid: Pid, cpu: usize, frequency: Frequency, sees_kernel: bool, pages: usize) -> Builder<'static> {
    let kind = if frequency.0 == 0 { Software::DUMMY } else { Software::TASK_CLOCK };
    let mut builder = Builder::new().kind(kind).observe_pid(pid.as_raw()).one_cpu(cpu);
    builder.enabled(true).exclude_kernel(!sees_kernel).exclude_hv(true);
    // Threads, not child processes, and not what the process may become: both since Linux 5.13.
    builder.inherit(true).inherit_thread(true).remove_on_exec(true);
    builder.mmap(true).mmap2(true).context_switch(true).task(true).sample_id_all(true);
    let attrs = builder.attrs_mut();
    attrs.sample_type = (PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_PERIOD) as u64
        | (PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER) as u64;
    attrs.sample_regs_user = 1 << registers::BP | 1 << registers::SP | 1 << registers::IP;
    attrs.sample_stack_user = STACK_BYTES;
    attrs.__bindgen_anon_1.sample_period = frequency.period();
    attrs.set_use_clockid(1);
    attrs.clockid = libc::CLOCK_MONOTONIC;
    attrs.set_watermark(1);
    // Half full: the other half is for what comes until the reader runs.
    attrs.__bindgen_anon_2.wakeup_watermark = (pages * 4096 / 2) as u32;
    builder
}

/// How the records of such an event are laid out.
pub(super) fn format(attrs: &perf_event_attr) -> std::io::Result<RecordParseInfo> {
    let length = size_of::<perf_event_attr>();
    // SAFETY: a C struct of plain numbers, read as bytes within its size.
    let bytes = unsafe { std::slice::from_raw_parts((&raw const *attrs).cast::<u8>(), length) };
    let mut bytes = bytes.to_vec();
    bytes[4..8].copy_from_slice(&(length as u32).to_le_bytes());
    let (parsed, _) = PerfEventAttr::parse::<_, byteorder::LittleEndian>(bytes.as_slice())?;
    Ok(RecordParseInfo::new(&parsed, Endianness::LittleEndian))
}
