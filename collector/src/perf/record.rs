//! Records of a ring.

use std::borrow::Cow;
use std::path::PathBuf;

use cgoprof_symbols::{Avma, FileOffset};
use linux_perf_event_reader::{
    ContextSwitchRecord, EventRecord, RawDataU64, RawEventRecord, RecordType, SampleRecord, TaskWasPreempted,
};
use nix::unistd::Pid;

use super::inherited_events::SampleKind;
use super::{About, TracedProbe};
use crate::arch::SAMPLED;
use crate::clock::Monotonic;
use crate::goruntime::Point;
use crate::process::kernel_symbols::KernelEntry;
use crate::process::maps::{Mapping, Opened};

/// Something that happened to the program.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record<'a> {
    /// A thread was sampled.
    Sample(Sample<'a>),
    /// Where a thread was when it lost its processor. The switch itself is the thread's next record.
    Leaving(Leaving<'a>),
    /// A thread reached a probe.
    Hit(Hit<'a>),
    /// A thread lost its processor or got one.
    Switch(Switch),
    /// A thread was started.
    Start {
        /// Kernel thread id.
        tid: u64,
        /// Kernel thread id of the thread that started it.
        parent: u64,
        /// Time of its start.
        time: Monotonic,
    },
    /// The process, or one that it has started, has started this one.
    Process(Pid),
    /// Such a process has ended.
    ProcessEnd(Pid),
    /// The process has become a program.
    Exec,
    /// A thread has got a name.
    Name {
        /// Kernel thread id.
        tid: u64,
        /// The name, as the program gave it.
        name: String,
    },
    /// A thread has ended.
    Exit {
        /// Kernel thread id.
        tid: u64,
        /// Time of its end.
        time: Monotonic,
    },
    /// Executable memory was mapped.
    Mapped(Mapping),
    /// This many records were dropped, because the ring was full.
    Lost(u64),
    /// This many [`Record::Leaving`] were dropped, because their ring was full.
    LostLeaving(u64),
}

/// A thread lost its processor or got one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Switch {
    /// Kernel thread id.
    pub(crate) tid: u64,
    pub(crate) time: Monotonic,
    pub(crate) kind: SwitchKind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SwitchKind {
    In,
    /// The thread lost its processor to wait for something.
    Blocked,
    /// The thread lost its processor to another.
    Preempted,
}

/// A sample of a thread.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample<'a> {
    /// Kernel thread id.
    pub(crate) tid: u64,
    /// Time of the sample.
    pub(crate) time: Monotonic,
    /// Instruction pointer in user code.
    pub(crate) ip: Avma,
    /// Stack pointer in user code.
    pub(crate) sp: Avma,
    /// Frame pointer in user code.
    pub(crate) bp: Avma,
    /// Copy of the stack from `sp` on.
    pub(crate) stack: Cow<'a, [u8]>,
    /// Return addresses that the kernel found, if they were asked for.
    pub(crate) chain: Vec<Avma>,
}

/// Where a thread was when it lost its processor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leaving<'a> {
    /// Its user code.
    pub(crate) sample: Sample<'a>,
    /// The kernel's code.
    pub(crate) kernel: KernelEntry,
}

/// A hit of a probe by a thread.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Hit<'a> {
    /// The probe's point.
    pub(crate) point: Point,
    /// The Go module that it is in, by number.
    pub(crate) module: usize,
    /// Kernel thread id.
    pub(crate) tid: u64,
    /// Time of the hit.
    pub(crate) time: Monotonic,
    /// Words of the call chain, if that was asked for.
    chain: &'a [u8],
    /// Words that were fetched there.
    arguments: &'a [u8],
}

impl<'a> Hit<'a> {
    /// Returns an argument by its place; 0 if it was not fetched.
    pub(crate) fn argument(&self, index: usize) -> u64 {
        self.arguments.get(index * 8..index * 8 + 8).map_or(0, |bytes| word(bytes).unwrap_or(0))
    }

    /// Returns the probe's address and the return addresses along the frame pointers, if they were asked for.
    pub(crate) fn chain(&self) -> impl Iterator<Item = Avma> + 'a {
        without_marks(self.chain.chunks_exact(8).filter_map(word))
    }

    /// Parses a probe's record with its header, laid out as [`super::attributes::probe`] asks for it. Such records come
    /// by the million.
    pub(super) fn parse(record: &'a [u8], probe: TracedProbe, pid: Pid) -> Option<Hit<'a>> {
        /// Bytes of the head that all trace events have, and of the probe's address (`kernel/trace/trace_probe.h`).
        const BEFORE_ARGUMENTS: usize = 16;
        let rest = record.get(super::HEADER + 8..)?;
        let (process, rest) = rest.split_first_chunk::<4>()?;
        let (tid, rest) = rest.split_first_chunk::<4>()?;
        let (time, mut rest) = rest.split_first_chunk::<8>()?;
        if i32::from_le_bytes(*process) != pid.as_raw() {
            return None;
        }
        let (mut chain, mut arguments) = (&[][..], &[][..]);
        if probe.frames.is_some() {
            let (count, words) = rest.split_first_chunk::<8>()?;
            let length = usize::try_from(u64::from_le_bytes(*count)).ok()?.checked_mul(8)?;
            (chain, rest) = words.split_at_checked(length)?;
        }
        if probe.fetches {
            let (length, raw) = rest.split_first_chunk::<4>()?;
            arguments = raw.get(BEFORE_ARGUMENTS..u32::from_le_bytes(*length) as usize)?;
        }
        let (tid, time) = (i32::from_le_bytes(*tid) as u64, Monotonic(u64::from_le_bytes(*time)));
        Some(Hit { point: probe.point, module: probe.module, tid, time, chain, arguments })
    }

    #[cfg(test)]
    pub(crate) fn new(
        (point, module): (Point, usize),
        tid: u64,
        time: u64,
        chain: &'a [u8],
        arguments: &'a [u8],
    ) -> Self {
        Hit { point, module, tid, time: Monotonic(time), chain, arguments }
    }
}

/// Parses a record that is not a probe's; none if it belongs to another process or is of no interest.
pub(super) fn parse<'a>(
    raw: &RawEventRecord<'a>,
    about: About,
    kind: Option<SampleKind>,
    pid: Pid,
) -> Option<Record<'a>> {
    /// Flag of a build id in place of the inode, which we have not asked for (include/uapi/linux/perf_event.h): the
    /// parser would trust its length.
    const BUILD_ID: u16 = 1 << 14;
    let ours = about.pid == pid.as_raw();
    if raw.record_type == RecordType::MMAP2 && raw.misc & BUILD_ID != 0 {
        return None;
    }
    match raw.parse().ok()? {
        EventRecord::Sample(sample) if ours => {
            let mut sample = self::sample(sample)?;
            if kind != Some(SampleKind::Switching) {
                return Some(Record::Sample(sample));
            }
            let kernel = KernelEntry::of(&std::mem::take(&mut sample.chain));
            Some(Record::Leaving(Leaving { sample, kernel }))
        }
        EventRecord::ContextSwitch(switch) if ours => {
            let kind = match switch {
                ContextSwitchRecord::In { .. } => SwitchKind::In,
                ContextSwitchRecord::Out { preempted: TaskWasPreempted::Yes, .. } => SwitchKind::Preempted,
                ContextSwitchRecord::Out { .. } => SwitchKind::Blocked,
            };
            Some(Record::Switch(Switch { tid: about.tid as u64, time: about.time, kind }))
        }
        EventRecord::Fork(start) if start.pid == pid.as_raw() => {
            let (tid, parent) = (start.tid as u64, start.ptid as u64);
            Some(Record::Start { tid, parent, time: Monotonic(start.timestamp) })
        }
        EventRecord::Fork(start) if start.pid != start.ppid => Some(Record::Process(Pid::from_raw(start.pid))),
        EventRecord::Exit(exit) if exit.pid != pid.as_raw() && exit.pid == exit.tid => {
            Some(Record::ProcessEnd(Pid::from_raw(exit.pid)))
        }
        EventRecord::Exit(exit) if exit.pid == pid.as_raw() => {
            Some(Record::Exit { tid: exit.tid as u64, time: Monotonic(exit.timestamp) })
        }
        EventRecord::Comm(comm) if comm.pid == pid.as_raw() && comm.is_execve => Some(Record::Exec),
        EventRecord::Comm(comm) if comm.pid == pid.as_raw() => Some(Record::Name {
            tid: comm.tid as u64,
            name: String::from_utf8_lossy(&comm.name.as_slice()).into_owned(),
        }),
        EventRecord::Mmap2(mapped) if mapped.pid == pid.as_raw() => {
            use std::os::unix::ffi::OsStringExt as _;
            let path = PathBuf::from(std::ffi::OsString::from_vec(mapped.path.as_slice().into_owned()));
            let end = mapped.address.checked_add(mapped.length)?;
            let range = Avma(mapped.address)..Avma(end);
            let executable = mapped.protection & libc::PROT_EXEC as u32 != 0;
            let (offset, file) = (FileOffset(mapped.page_offset), Opened::default());
            Some(Record::Mapped(Mapping { range, executable, offset, path, file }))
        }
        // The switches themselves are told all the same.
        EventRecord::Lost(lost) if kind == Some(SampleKind::Switching) => Some(Record::LostLeaving(lost.count)),
        EventRecord::Lost(lost) => Some(Record::Lost(lost.count)),
        _ => None,
    }
}

fn sample(sample: SampleRecord<'_>) -> Option<Sample<'_>> {
    let registers = sample.user_regs?;
    let [ip, sp, bp] = SAMPLED.map(|number| registers.get(number).map(Avma));
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
    Some(Sample {
        tid: sample.tid? as u64,
        time: Monotonic(sample.timestamp?),
        ip: ip?,
        sp: sp?,
        bp: bp?,
        stack,
        chain: chain(sample.callchain),
    })
}

fn chain(chain: Option<RawDataU64<'_>>) -> Vec<Avma> {
    let Some(chain) = chain else { return Vec::new() };
    without_marks((0..chain.len()).filter_map(|index| chain.get(index))).collect()
}

/// Returns the addresses of a call chain, without the words that mark where its parts begin.
fn without_marks(chain: impl Iterator<Item = u64>) -> impl Iterator<Item = Avma> {
    /// `PERF_CONTEXT_MAX`: words that are not less are marks.
    const MARKS: u64 = -4095i64 as u64;
    chain.filter(|&word| word < MARKS).map(Avma)
}

fn word(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CALLED: TracedProbe =
        TracedProbe { point: Point::Called, module: 0, number: 1, frames: Some(9), fetches: true };

    fn record(chain: &[u64], arguments: &[u64]) -> Vec<u8> {
        let mut bytes = vec![0; 16];
        bytes.extend([4711u32, 4712].map(u32::to_le_bytes).concat());
        bytes.extend(99u64.to_le_bytes());
        bytes.extend((chain.len() as u64).to_le_bytes());
        chain.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes.extend((16 + 8 * arguments.len() as u32).to_le_bytes());
        bytes.extend([0; 16]);
        arguments.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
        bytes
    }

    #[test]
    fn a_hit_has_its_chain_without_marks_and_its_arguments() {
        let bytes = record(&[-512i64 as u64, 0x10, 0x20], &[7, 8]);
        let hit = Hit::parse(&bytes, CALLED, Pid::from_raw(4711)).unwrap();
        assert_eq!((hit.tid, hit.time), (4712, Monotonic(99)));
        assert_eq!(hit.chain().collect::<Vec<_>>(), [Avma(0x10), Avma(0x20)]);
        assert_eq!([0, 1, 2].map(|index| hit.argument(index)), [7, 8, 0]);
        assert_eq!(Hit::parse(&bytes, CALLED, Pid::from_raw(1)), None, "another process's");
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..300), count: u8) {
            if let Some(word) = bytes.get_mut(32..40) {
                word.copy_from_slice(&u64::from(count).to_le_bytes());
            }
            if let Some(word) = bytes.get_mut(16..20) {
                word.copy_from_slice(&4711i32.to_le_bytes());
            }
            if let Some(hit) = Hit::parse(&bytes, CALLED, Pid::from_raw(4711)) {
                let _ = (hit.chain().count(), hit.argument(0), hit.argument(1000));
            }
        }
    }
}
