//! The records of a ring.

use std::borrow::Cow;
use std::path::PathBuf;

use cgoprof_symbols::{Avma, FileOffset};
use linux_perf_event_reader::{
    ContextSwitchRecord, EventRecord, RawData, RawEventRecord, RecordParseInfo, RecordType, SampleRecord,
    TaskWasPreempted,
};
use nix::unistd::Pid;

use super::attributes::registers;
use crate::offcpu::{Monotonic, Switch, SwitchKind};
use crate::process::maps::Mapping;

/// Something that happened to the target.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record<'a> {
    /// A thread was sampled.
    Sample(Sample<'a>),
    /// A thread lost its processor or got one.
    Switch(Switch),
    /// A thread has ended.
    Exit {
        /// Kernel thread id.
        tid: u64,
        /// When.
        time: Monotonic,
    },
    /// Executable memory was mapped.
    Mapped(Mapping),
    /// So many records found no room.
    Lost(u64),
}

/// What a thread was doing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample<'a> {
    /// Instruction pointer in user code.
    pub(crate) ip: Avma,
    /// Stack pointer in user code.
    pub(crate) sp: Avma,
    /// Frame pointer in user code.
    pub(crate) bp: Avma,
    /// Copy of the stack from `sp` on.
    pub(crate) stack: Cow<'a, [u8]>,
}

/// A record with its header; none if it is another process's or of no interest.
pub(super) fn parse<'a>(bytes: &'a [u8], format: &RecordParseInfo, pid: Pid) -> Option<Record<'a>> {
    let (header, body) = bytes.split_at_checked(8)?;
    let kind = u32::from_le_bytes(header[..4].try_into().ok()?);
    let misc = u16::from_le_bytes(header[4..6].try_into().ok()?);
    let raw = RawEventRecord::new(RecordType(kind), misc, RawData::from(body), *format);
    let about = raw.common_data().ok()?;
    let ours = about.pid == Some(pid.as_raw());
    match raw.parse().ok()? {
        EventRecord::Sample(sample) if ours => self::sample(sample),
        EventRecord::ContextSwitch(switch) if ours => {
            let kind = match switch {
                ContextSwitchRecord::In { .. } => SwitchKind::In,
                ContextSwitchRecord::Out { preempted: TaskWasPreempted::Yes, .. } => SwitchKind::Preempted,
                ContextSwitchRecord::Out { .. } => SwitchKind::Blocked,
            };
            Some(Record::Switch(Switch { tid: about.tid? as u64, time: Monotonic(about.timestamp?), kind }))
        }
        EventRecord::Exit(exit) if exit.pid == pid.as_raw() => {
            Some(Record::Exit { tid: exit.tid as u64, time: Monotonic(exit.timestamp) })
        }
        EventRecord::Mmap2(mapped) if mapped.pid == pid.as_raw() => {
            use std::os::unix::ffi::OsStringExt as _;
            let path = PathBuf::from(std::ffi::OsString::from_vec(mapped.path.as_slice().into_owned()));
            let end = mapped.address.checked_add(mapped.length)?;
            let range = Avma(mapped.address)..Avma(end);
            let executable = mapped.protection & libc::PROT_EXEC as u32 != 0;
            Some(Record::Mapped(Mapping { range, executable, offset: FileOffset(mapped.page_offset), path }))
        }
        EventRecord::Lost(lost) => Some(Record::Lost(lost.count)),
        _ => None,
    }
}

fn sample(sample: SampleRecord<'_>) -> Option<Record<'_>> {
    let registers = sample.user_regs?;
    let register = |number| registers.get(number).map(Avma);
    let (stack, filled) = sample.user_stack?;
    let stack = stack.as_slice();
    let filled = (filled as usize).min(stack.len());
    let stack = match stack {
        Cow::Borrowed(stack) => Cow::Borrowed(&stack[..filled]),
        Cow::Owned(mut stack) => {
            stack.truncate(filled);
            Cow::Owned(stack)
        }
    };
    Some(Record::Sample(Sample {
        ip: register(registers::IP)?,
        sp: register(registers::SP)?,
        bp: register(registers::BP)?,
        stack,
    }))
}
