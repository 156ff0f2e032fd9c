//! The records of a ring.

use std::borrow::Cow;
use std::path::PathBuf;

use cgoprof_symbols::{Avma, FileOffset};
use linux_perf_event_reader::{ContextSwitchRecord, EventRecord, RawDataU64, RawEventRecord, SampleRecord, TaskWasPreempted};
use nix::unistd::Pid;

use super::attributes::registers;
use crate::offcpu::{Monotonic, Switch, SwitchKind};
use crate::process::maps::Mapping;
use crate::target::Point;

/// Something that happened to the target.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record<'a> {
    /// A thread was sampled.
    Sample(Sample<'a>),
    /// A thread came by a probe.
    Hit(Hit<'a>),
    /// A thread lost its processor or got one.
    Switch(Switch),
    /// A thread was started.
    Start {
        /// Kernel thread id.
        tid: u64,
        /// That of the thread that started it.
        parent: u64,
        /// When.
        time: Monotonic,
    },
    /// A thread has a name now.
    Name {
        /// Kernel thread id.
        tid: u64,
        /// As the program gave it.
        name: String,
    },
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
    /// Kernel thread id.
    pub(crate) tid: u64,
    /// Instruction pointer in user code.
    pub(crate) ip: Avma,
    /// Stack pointer in user code.
    pub(crate) sp: Avma,
    /// Frame pointer in user code.
    pub(crate) bp: Avma,
    /// Copy of the stack from `sp` on.
    pub(crate) stack: Cow<'a, [u8]>,
    /// Return addresses along the frame pointers, if they were asked for.
    pub(crate) chain: Vec<Avma>,
}

/// A thread at a probe.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hit<'a> {
    /// Which.
    pub(crate) point: Point,
    /// Kernel thread id.
    pub(crate) tid: u64,
    /// When.
    pub(crate) time: Monotonic,
    /// The probe's address and the return addresses along the frame pointers, if they were asked for.
    pub(crate) chain: Vec<Avma>,
    /// What was fetched there.
    pub(crate) arguments: Cow<'a, [u8]>,
}

impl Hit<'_> {
    /// An argument by its place; 0 if it was not fetched.
    pub(crate) fn argument(&self, index: usize) -> u64 {
        let bytes = self.arguments.get(index * 8..index * 8 + 8);
        bytes.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap_or_default()))
    }
}

/// A record of an event, which is that of a probe or of samples; none if it is another process's or of no interest.
pub(super) fn parse<'a>(raw: &RawEventRecord<'a>, probe: Option<Point>, pid: Pid) -> Option<Record<'a>> {
    let about = raw.common_data().ok()?;
    let ours = about.pid == Some(pid.as_raw());
    match raw.parse().ok()? {
        EventRecord::Sample(sample) if ours => match probe {
            None => self::sample(sample),
            Some(point) => hit(sample, point),
        },
        EventRecord::ContextSwitch(switch) if ours => {
            let kind = match switch {
                ContextSwitchRecord::In { .. } => SwitchKind::In,
                ContextSwitchRecord::Out { preempted: TaskWasPreempted::Yes, .. } => SwitchKind::Preempted,
                ContextSwitchRecord::Out { .. } => SwitchKind::Blocked,
            };
            Some(Record::Switch(Switch { tid: about.tid? as u64, time: Monotonic(about.timestamp?), kind }))
        }
        EventRecord::Fork(start) if start.pid == pid.as_raw() => {
            let (tid, parent) = (start.tid as u64, start.ptid as u64);
            Some(Record::Start { tid, parent, time: Monotonic(start.timestamp) })
        }
        EventRecord::Exit(exit) if exit.pid == pid.as_raw() => {
            Some(Record::Exit { tid: exit.tid as u64, time: Monotonic(exit.timestamp) })
        }
        EventRecord::Comm(comm) if comm.pid == pid.as_raw() => {
            Some(Record::Name { tid: comm.tid as u64, name: String::from_utf8_lossy(&comm.name.as_slice()).into_owned() })
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
        tid: sample.tid? as u64,
        ip: register(registers::IP)?,
        sp: register(registers::SP)?,
        bp: register(registers::BP)?,
        stack,
        chain: chain(sample.callchain),
    }))
}

fn hit(sample: SampleRecord<'_>, point: Point) -> Option<Record<'_>> {
    /// The head that all trace events have, and the probe's address (`kernel/trace/trace_probe.h`).
    const BEFORE_ARGUMENTS: usize = 16;
    let raw = sample.raw.map(|raw| raw.as_slice()).unwrap_or_default();
    let arguments = match raw {
        Cow::Borrowed(raw) => Cow::Borrowed(raw.get(BEFORE_ARGUMENTS..).unwrap_or_default()),
        Cow::Owned(raw) => Cow::Owned(raw.get(BEFORE_ARGUMENTS..).unwrap_or_default().to_vec()),
    };
    let (tid, time) = (sample.tid? as u64, Monotonic(sample.timestamp?));
    Some(Record::Hit(Hit { point, tid, time, chain: chain(sample.callchain), arguments }))
}

/// The user's part of a call chain, without the words that mark where parts begin.
fn chain(chain: Option<RawDataU64<'_>>) -> Vec<Avma> {
    /// `PERF_CONTEXT_MAX`: what is not less is a mark.
    const MARKS: u64 = -4095i64 as u64;
    let Some(chain) = chain else { return Vec::new() };
    (0..chain.len()).filter_map(|index| chain.get(index)).filter(|&word| word < MARKS).map(Avma).collect()
}
