//! Attributes of the perf events that a recording opens (`perf_event_open(2)`).

use linux_perf_event_reader::{Endianness, PerfEventAttr, RecordParseInfo};
use nix::unistd::Pid;
use perf_event::Builder;
use perf_event::events::Software;
use perf_event::hooks::sys::bindings::{
    PERF_SAMPLE_CALLCHAIN, PERF_SAMPLE_IDENTIFIER, PERF_SAMPLE_RAW, PERF_SAMPLE_REGS_USER, PERF_SAMPLE_STACK_USER,
    PERF_SAMPLE_TID, PERF_SAMPLE_TIME, PERF_TYPE_TRACEPOINT, perf_event_attr,
};

use super::TracedProbe;
use crate::arch::SAMPLED;

/// Samples per second of processor time; 0 for none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frequency(pub(crate) u32);

impl Frequency {
    /// Processor time that a sample stands for, in nanoseconds.
    pub(crate) fn period(self) -> u64 {
        if self.0 == 0 { 0 } else { 1_000_000_000 / u64::from(self.0) }
    }
}

/// Properties of the events that take samples and see context switches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Wanted {
    /// How often samples are taken.
    pub(crate) frequency: Frequency,
    /// Whether samples are taken in the kernel too.
    pub(crate) kernel: bool,
    /// Whether there are samples only, and no switches. Each sample then has the chain that the kernel finds along the
    /// frame pointers, and is handed over at once.
    pub(crate) only_samples: bool,
    /// Whether a thread is sampled when it loses its processor, if that is permitted.
    pub(crate) switches: bool,
    /// Whether the thread's process is yet to become the program.
    pub(crate) before_exec: bool,
}

/// Returns how many bytes of stack are copied with a sample, for a ring of so many bytes: as many as leave room for the
/// samples that come until the reader runs.
pub(super) fn stack_bytes(ring: usize, frequency: Frequency) -> u32 {
    /// Samples per second above which less is copied: the program pays for it.
    const OFTEN: u32 = 250;
    const USUAL: usize = 16 << 10;
    // A record's length has 16 bits.
    let most = if frequency.0 > OFTEN { USUAL } else { 60 << 10 };
    (ring / 16).min(most).max(USUAL.min(ring / 4)) as u32
}

/// Bytes of stack copied when a thread loses its processor. Where that is too little, the rest can be read while the
/// thread waits.
pub(crate) const SWITCH_STACK_BYTES: u32 = 8 << 10;
/// Flag by which reading an event also returns its lost records (`include/uapi/linux/perf_event.h`, Linux 6.0).
const PERF_FORMAT_LOST: u64 = 1 << 4;
/// Fields that begin every record's sample: ids tell the events of a ring apart.
const COMMON: u64 = (PERF_SAMPLE_IDENTIFIER | PERF_SAMPLE_TID | PERF_SAMPLE_TIME) as u64;

/// Returns the event that a processor's ring is made for. It belongs to our own process, so it never ends, and it never
/// has a record. The reader is woken after `wakeup` bytes.
pub(super) fn ring_owner(cpu: usize, wakeup: u32) -> Builder<'static> {
    let mut builder = Builder::new().kind(Software::DUMMY).observe_self().one_cpu(cpu);
    common(&mut builder);
    let attrs = builder.attrs_mut();
    attrs.set_watermark(1);
    attrs.__bindgen_anon_2.wakeup_watermark = wakeup;
    builder
}

/// Returns the event of one thread, and of those that it will start, on one processor. So many bytes of stack are copied
/// with a sample.
pub(super) fn sampled(tid: Pid, cpu: usize, wanted: Wanted, stack: u32) -> Builder<'static> {
    let kind = if wanted.frequency.0 == 0 { Software::DUMMY } else { Software::TASK_CLOCK };
    let mut builder = Builder::new().kind(kind).observe_pid(tid.as_raw()).one_cpu(cpu);
    common(&mut builder);
    inherited(&mut builder, wanted.before_exec);
    builder.enabled(true).exclude_kernel(!wanted.kernel);
    builder.mmap(true).mmap2(true).context_switch(!wanted.only_samples).task(true).comm(true).comm_exec(true);
    let attrs = builder.attrs_mut();
    attrs.sample_type = COMMON | (PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER) as u64;
    if wanted.only_samples {
        attrs.sample_type |= PERF_SAMPLE_CALLCHAIN as u64;
        attrs.set_exclude_callchain_kernel(1);
    }
    attrs.sample_regs_user = sampled_registers();
    attrs.sample_stack_user = stack;
    attrs.__bindgen_anon_1.sample_period = wanted.frequency.period();
    builder
}

/// Returns the event that takes a sample of one thread, and of those that it will start, whenever it loses this
/// processor. The sample has the kernel's call chain too, which needs root or a `perf_event_paranoid` of 1 or less.
pub(super) fn switching(tid: Pid, cpu: usize, before_exec: bool) -> Builder<'static> {
    let mut builder = Builder::new().kind(Software::CONTEXT_SWITCHES).observe_pid(tid.as_raw()).one_cpu(cpu);
    common(&mut builder);
    inherited(&mut builder, before_exec);
    // The kernel counts a switch as its own.
    builder.enabled(true).exclude_kernel(false);
    let attrs = builder.attrs_mut();
    attrs.sample_type = COMMON | (PERF_SAMPLE_CALLCHAIN | PERF_SAMPLE_REGS_USER | PERF_SAMPLE_STACK_USER) as u64;
    attrs.set_exclude_callchain_user(1);
    attrs.sample_regs_user = sampled_registers();
    attrs.sample_stack_user = SWITCH_STACK_BYTES;
    attrs.__bindgen_anon_1.sample_period = 1;
    builder
}

fn sampled_registers() -> u64 {
    SAMPLED.into_iter().fold(0, |mask, number| mask | 1 << number)
}

/// Returns the event of a probe in one thread, and in those that it will start, on one processor.
pub(super) fn probe(tid: Pid, cpu: usize, probe: TracedProbe, before_exec: bool) -> Builder<'static> {
    let mut builder = Builder::new().observe_pid(tid.as_raw()).one_cpu(cpu);
    common(&mut builder);
    inherited(&mut builder, before_exec);
    builder.enabled(true).exclude_kernel(false);
    let attrs = builder.attrs_mut();
    attrs.type_ = PERF_TYPE_TRACEPOINT;
    attrs.config = probe.number;
    attrs.sample_type = COMMON | if probe.fetches { PERF_SAMPLE_RAW as u64 } else { 0 };
    attrs.__bindgen_anon_1.sample_period = 1;
    if let Some(frames) = probe.frames {
        attrs.sample_type |= PERF_SAMPLE_CALLCHAIN as u64;
        attrs.set_exclude_callchain_kernel(1);
        attrs.sample_max_stack = frames;
    }
    builder
}

/// Sets the attributes that events that share a ring must have in common.
fn common(builder: &mut Builder<'_>) {
    builder.exclude_hv(true).sample_id_all(true);
    let attrs = builder.attrs_mut();
    attrs.sample_type = COMMON;
    attrs.read_format = PERF_FORMAT_LOST;
    attrs.set_use_clockid(1);
    attrs.clockid = libc::CLOCK_MONOTONIC;
}

/// Lets threads inherit the event, but not child processes, nor a program that the process becomes: both since Linux
/// 5.13.
fn inherited(builder: &mut Builder<'_>, before_exec: bool) {
    builder.inherit(true).inherit_thread(true).remove_on_exec(!before_exec);
}

/// Returns the layout of an event's records.
pub(super) fn format(attrs: &perf_event_attr) -> std::io::Result<RecordParseInfo> {
    let length = size_of::<perf_event_attr>();
    // SAFETY: a C struct of plain numbers, read as bytes within its size.
    let bytes = unsafe { std::slice::from_raw_parts((&raw const *attrs).cast::<u8>(), length) };
    let mut bytes = bytes.to_vec();
    bytes[4..8].copy_from_slice(&(length as u32).to_le_bytes());
    let (parsed, _) = PerfEventAttr::parse::<_, byteorder::LittleEndian>(bytes.as_slice())?;
    Ok(RecordParseInfo::new(&parsed, Endianness::LittleEndian))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_have_room_for_samples_that_wait_for_the_reader() {
        let check = |pages: usize, frequency: u32, kibibytes: u32| {
            assert_eq!(stack_bytes(pages * 4096, Frequency(frequency)), kibibytes << 10, "{pages} {frequency}");
        };
        check(4096, 199, 60);
        check(512, 199, 60);
        check(512, 999, 16);
        check(128, 199, 32);
        check(128, 999, 16);
        check(64, 199, 16);
        check(16, 199, 16);
        check(16, 999, 16);
    }
}
