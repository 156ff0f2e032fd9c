//! The kernel's view of the program's threads: samples of what they run, context switches, and hits of probes.
//!
//! Each processor has one ring, to which all events there write. Every thread inherits the events. Samples and switches
//! of one's own processes need no root while `perf_event_paranoid` is 2 or less.

mod attributes;
pub(crate) mod fuzzing;
mod inherited_events;
mod record;
mod ring;

use std::collections::{HashMap, HashSet};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use linux_perf_event_reader::{RawData, RawEventRecord, RecordParseInfo, RecordType};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use nix::unistd::Pid;
use perf_event::{Builder, Counter};

pub(crate) use attributes::{Frequency, SWITCH_STACK_BYTES, Wanted};
use inherited_events::{InheritedEvents, SampleKind, Slot};
pub(crate) use record::{Hit, Leaving, Record, Sample, Switch, SwitchKind};
use ring::Ring;

use crate::clock::Monotonic;
use crate::goruntime::Point;
use crate::process::kernel_symbols;
use crate::process::maps::Mapping;
use crate::process::sched_slice::CpuPin;

/// Why perf events can't be had.
#[derive(Debug, thiserror::Error)]
pub enum PerfError {
    /// The system's setting or the container forbids them.
    #[error("perf events are not permitted (perf_event_paranoid is {paranoid})")]
    Forbidden {
        /// `/proc/sys/kernel/perf_event_paranoid`.
        paranoid: String,
    },
    /// The rings count as locked memory.
    #[error("perf events need more locked memory than this user has left (`ulimit -l`, kernel.perf_event_mlock_kb)")]
    Memory,
    /// Each event is an open file, and there is one for every thread, processor and probe.
    #[error("perf events need more open files than this user may have (`ulimit -n`)")]
    Files,
    /// There is no such process any more.
    #[error("the program has ended")]
    Ended,
    /// The system has none, or lacks a resource.
    #[error("perf events can't be had: {0}")]
    System(#[from] std::io::Error),
}

impl PerfError {
    /// Returns how they can be made available.
    pub(crate) fn way_out(&self) -> &'static str {
        match self {
            PerfError::Memory => "end other recordings, raise `ulimit -l`, or run as root",
            PerfError::Files => "raise `ulimit -n`",
            PerfError::Ended => "record it while it runs",
            PerfError::Forbidden { .. } | PerfError::System(_) => {
                "sysctl kernel.perf_event_paranoid=2; in a container: --cap-add=PERFMON; else run as root"
            }
        }
    }
}

/// Why threads are not sampled when they lose their processors.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SwitchesUnsampled {
    /// Nobody asked for it.
    NotWanted,
    /// Events may not see the kernel.
    Forbidden,
    /// The kernel does not tell the addresses of its functions.
    NoSymbols,
    /// The rings need more locked memory than this user has left.
    NoMemory,
    /// The events need more open files than this user may have.
    NoFiles,
}

/// A probe that is defined in tracefs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TracedProbe {
    /// Its point: the event that happens there.
    pub(crate) point: Point,
    /// The Go module that it is in, by number.
    pub(crate) module: usize,
    /// Its number in tracefs.
    pub(crate) number: u64,
    /// Maximum number of stack frames with each hit, if there are any.
    pub(crate) frames: Option<u16>,
    /// Whether it fetches arguments.
    pub(crate) fetches: bool,
}

/// The events of one process and their rings.
pub(crate) struct Session {
    rings: Vec<Ring>,
    /// Rings for the samples of switches, which are so large that others would be dropped. None where there are none.
    switch_rings: Vec<Ring>,
    pid: Pid,
    wanted: Wanted,
    /// Bytes of stack copied with a sample.
    stack_bytes: u32,
    probes: Vec<TracedProbe>,
    events: HashMap<u64, Event>,
    /// Layout of records that have no event of ours: those of the rings themselves.
    format: RecordParseInfo,
    origins: InheritedEvents,
    waker: Arc<EventFd>,
    /// The processor of the last record since the last wait.
    latest: Option<usize>,
    /// Pin of the thread that waits for samples.
    station: Option<CpuPin>,
    /// Why threads are not sampled when they lose their processors; none if all are.
    unsampled: Option<SwitchesUnsampled>,
}

/// Layout of an event's records, and what its samples tell.
#[derive(Clone, Copy)]
struct Event {
    format: RecordParseInfo,
    kind: SampleKind,
}

/// Pages of data in each ring, the largest first: as many as the user may lock (`perf_event_mlock_kb`, 516 by default).
const PAGES: [usize; 5] = [512, 128, 64, 32, 16];
/// Maximum pages of data in all of these rings together; rings of the smallest size may take more.
const PAGES_IN_ALL: usize = (64 << 20) / 4096;
/// Minimum and maximum pages of data in each ring for samples of switches.
const PAGES_OF_SWITCHES: (usize, usize) = (64, 512);
/// Pages of data in each ring where there are probes, whose hits fill a gigabyte in some seconds; root may lock any
/// amount.
const PAGES_OF_PROBES: [usize; 6] = [4096, 1024, 256, 128, 64, 32];
/// Maximum pages of data in all of these rings together.
const PAGES_OF_PROBES_IN_ALL: usize = (256 << 20) / 4096;

impl Session {
    /// Makes the rings for a process, without any event yet.
    ///
    /// # Errors
    /// See [`PerfError`].
    pub(crate) fn new(pid: Pid, wanted: Wanted, probes: Vec<TracedProbe>) -> Result<Session, PerfError> {
        let (sizes, in_all) = match probes.is_empty() || pid == Pid::this() {
            true => (&PAGES[..], PAGES_IN_ALL),
            false => (&PAGES_OF_PROBES[..], PAGES_OF_PROBES_IN_ALL),
        };
        // The rest of the ring is for records that come until the reader runs: hits come faster than samples.
        let wakeup = |pages: usize| match (wanted.only_samples, probes.is_empty()) {
            (true, _) => 1,
            (false, true) => pages * 4096 / 2,
            (false, false) => pages * 4096 / 4,
        };
        let (processors, smallest) = (online_cpus()?, sizes[sizes.len() - 1]);
        let fitting = sizes.iter().filter(|&&pages| pages == smallest || pages * processors.len() <= in_all);
        let map = |&pages: &usize| map_rings(&processors, pages, wakeup(pages));
        let mut unsampled = match () {
            () if !wanted.switches || wanted.only_samples => Some(SwitchesUnsampled::NotWanted),
            () if !kernel_symbols::are_readable() => Some(SwitchesUnsampled::NoSymbols),
            () => None,
        };
        let mut both = None;
        if unsampled.is_none() {
            let with_switches = |pages: &usize| {
                let of_switches = (*pages).clamp(PAGES_OF_SWITCHES.0, PAGES_OF_SWITCHES.1);
                let rings = map(pages)?;
                Ok((rings, map_rings(&processors, of_switches, of_switches * 4096 / 4)?))
            };
            let mut tried = fitting.clone().map(with_switches);
            let fits = tried.find(|rings: &Result<_, PerfError>| !matches!(rings, Err(PerfError::Memory)));
            unsampled = match &fits {
                Some(Ok(_)) => None,
                Some(Err(PerfError::Files)) => Some(SwitchesUnsampled::NoFiles),
                Some(Err(PerfError::Forbidden { .. })) => Some(SwitchesUnsampled::Forbidden),
                Some(Err(_)) | None => Some(SwitchesUnsampled::NoMemory),
            };
            both = fits.and_then(Result::ok);
        }
        let (rings, switch_rings) = match both {
            Some(both) => both,
            None => {
                let mut mapped = fitting.map(map);
                let rings = mapped.find(|rings| !matches!(rings, Err(PerfError::Memory)));
                (rings.unwrap_or(Err(PerfError::Memory))?, Vec::new())
            }
        };
        let stack_bytes = attributes::stack_bytes(rings[0].size, wanted.frequency);
        let format = attributes::format(attributes::ring_owner(0, 1).attrs())?;
        let waker = Arc::new(EventFd::new().map_err(std::io::Error::from)?);
        let (events, origins) = (HashMap::new(), InheritedEvents::default());
        let (latest, station) = (None, None);
        Ok(Session {
            rings,
            switch_rings,
            pid,
            wanted,
            stack_bytes,
            probes,
            events,
            format,
            origins,
            waker,
            latest,
            station,
            unsampled,
        })
    }

    /// Watches a thread, and every thread that it will start. Leaves out samples in the kernel, and of switches, where
    /// they are not permitted.
    ///
    /// # Errors
    /// See [`PerfError`].
    pub(crate) fn watch(&mut self, tid: Pid) -> Result<(), PerfError> {
        self.watch_thread(tid)?;
        self.with_switches(|session| session.open_switching(tid))
    }

    /// Watches all threads of a running process, including those born meanwhile.
    ///
    /// # Errors
    /// See [`PerfError`].
    pub(crate) fn watch_all(&mut self) -> Result<(), PerfError> {
        self.in_each_thread(Session::watch_thread)?;
        // These come last: without them there is less to see, without the others nothing.
        self.with_switches(|session| {
            session.in_each_thread(|session, tid| {
                session.origins.add_thread();
                session.open_switching(tid)
            })
        })
    }

    fn watch_thread(&mut self, tid: Pid) -> Result<(), PerfError> {
        self.origins.add_thread();
        for index in 0..self.rings.len() {
            let cpu = self.rings[index].cpu;
            let stack = self.stack_bytes;
            let sampled = |wanted| move || attributes::sampled(tid, cpu, wanted, stack);
            let running = (index, SampleKind::Running);
            let opened = match self.open(running, sampled(self.wanted)) {
                Err(PerfError::Forbidden { .. }) if self.wanted.kernel => {
                    self.wanted.kernel = false;
                    self.open(running, sampled(self.wanted))
                }
                done => done,
            };
            opened?;
            self.open_probes_of(tid, index, 0)?;
        }
        Ok(())
    }

    /// Opens the events that sample switches, if they are wanted and permitted. If one of them can't be had, there are
    /// none: a part of the threads would not tell of every wait.
    fn with_switches(&mut self, open: impl FnOnce(&mut Self) -> Result<(), PerfError>) -> Result<(), PerfError> {
        if !self.wanted.kernel {
            self.unsampled = self.unsampled.or(Some(SwitchesUnsampled::Forbidden));
        }
        let opened = if self.unsampled.is_none() { open(self) } else { Ok(()) };
        let (unsampled, done) = match opened {
            Ok(()) => (self.unsampled, Ok(())),
            Err(PerfError::Ended) => (Some(SwitchesUnsampled::NotWanted), Err(PerfError::Ended)),
            Err(PerfError::Files) => (Some(SwitchesUnsampled::NoFiles), Ok(())),
            Err(_) => (Some(SwitchesUnsampled::Forbidden), Ok(())),
        };
        self.unsampled = unsampled;
        if unsampled.is_some() {
            self.switch_rings.clear();
        }
        done
    }

    /// Opens the events that sample a thread when it loses its processor.
    fn open_switching(&mut self, tid: Pid) -> Result<(), PerfError> {
        let before_exec = self.wanted.before_exec;
        for index in 0..self.switch_rings.len() {
            let cpu = self.switch_rings[index].cpu;
            self.open((index, SampleKind::Switching), || attributes::switching(tid, cpu, before_exec))?;
        }
        Ok(())
    }

    fn in_each_thread(&mut self, open: impl Fn(&mut Self, Pid) -> Result<(), PerfError>) -> Result<(), PerfError> {
        let (mut watched, mut quiet) = (HashSet::new(), 0);
        // A listing may end early when a thread ends, and a thread that is being born is not in it yet. So two in a row
        // must have no new thread.
        while quiet < 2 {
            let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid))?;
            let threads = threads.filter_map(|thread| thread.ok()?.file_name().to_str()?.parse().ok());
            let new: Vec<i32> = threads.filter(|tid| !watched.contains(tid)).collect();
            quiet = if new.is_empty() { quiet + 1 } else { 0 };
            for tid in new {
                watched.insert(tid);
                match open(self, Pid::from_raw(tid)) {
                    Err(PerfError::Ended) if tid != self.pid.as_raw() => {}
                    done => done?,
                }
            }
        }
        Ok(())
    }

    /// Watches more probes in all threads of a process that is watched already.
    ///
    /// # Errors
    /// See [`PerfError`].
    pub(crate) fn watch_probes(&mut self, probes: &[TracedProbe]) -> Result<(), PerfError> {
        let first = self.probes.len();
        self.probes.extend_from_slice(probes);
        self.in_each_thread(|session, tid| session.open_probes(tid, first))
    }

    fn open_probes(&mut self, tid: Pid, first: usize) -> Result<(), PerfError> {
        self.origins.add_thread();
        for index in 0..self.rings.len() {
            self.open_probes_of(tid, index, first)?;
        }
        Ok(())
    }

    /// Opens the events of a thread's probes, from the number `first` on, on the processor of a ring.
    fn open_probes_of(&mut self, tid: Pid, ring: usize, first: usize) -> Result<(), PerfError> {
        let (cpu, before_exec) = (self.rings[ring].cpu, self.wanted.before_exec);
        for (number, probe) in self.probes.clone().into_iter().enumerate().skip(first) {
            let traced = || attributes::probe(tid, cpu, probe, before_exec);
            self.open((ring, SampleKind::Probe(number)), traced)?;
        }
        Ok(())
    }

    /// Opens an event of a ring's processor. On an older kernel, lost records are not counted, and child processes
    /// inherit the event too; their records are left out.
    fn open(&mut self, slot: Slot, builder: impl Fn() -> Builder<'static>) -> Result<(), PerfError> {
        let without_losses = || {
            let mut builder = builder();
            builder.attrs_mut().read_format = 0;
            builder
        };
        let without_threads_alone = || {
            let mut builder = without_losses();
            builder.inherit_thread(false).remove_on_exec(false);
            builder
        };
        let unknown = |opened: &std::io::Result<Counter>| {
            opened.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc::EINVAL))
        };
        let mut opened = builder().build();
        if unknown(&opened) {
            opened = without_losses().build();
        }
        if unknown(&opened) {
            opened = without_threads_alone().build();
        }
        let counter = opened.map_err(refused)?;
        let format = attributes::format(builder().attrs())?;
        self.events.insert(counter.id(), Event { format, kind: slot.1 });
        self.origins.add_event(counter.id(), slot);
        let rings = if slot.1 == SampleKind::Switching { &mut self.switch_rings } else { &mut self.rings };
        Ok(rings[slot.0].add(counter)?)
    }

    /// Returns the number of records dropped so far, whether a record tells of them or not; none where the kernel does
    /// not count them.
    pub(crate) fn lost(&self) -> Option<u64> {
        self.rings.iter().map(Ring::lost).sum()
    }

    /// Returns the number of samples of switches that were dropped so far; none where the kernel does not count them.
    pub(crate) fn lost_switches(&self) -> Option<u64> {
        self.switch_rings.iter().map(Ring::lost).sum()
    }

    /// Whether there is a processor now that was not there at the start: threads on it are not seen.
    pub(crate) fn has_new_processor(&self) -> bool {
        let watched: Vec<usize> = self.rings.iter().map(|ring| ring.cpu).collect();
        online_cpus().is_ok_and(|cpus| has_another(&cpus, &watched))
    }

    /// Whether samples are taken in the kernel too.
    pub(crate) fn sees_kernel(&self) -> bool {
        self.wanted.kernel
    }

    /// Why threads can't be sampled when they lose their processors; none if they can.
    pub(crate) fn switches_unsampled(&self) -> Option<SwitchesUnsampled> {
        self.unsampled
    }

    /// Begins to sample threads when they lose their processors, or stops that.
    ///
    /// # Errors
    /// If the kernel refuses: then some are, and others not.
    pub(crate) fn sample_switches(&mut self, wanted: bool) -> std::io::Result<()> {
        self.switch_rings.iter_mut().try_for_each(|ring| ring.enable(wanted))
    }

    /// Returns the file that ends a wait when it is written to.
    pub(crate) fn waker(&self) -> Arc<EventFd> {
        Arc::clone(&self.waker)
    }

    /// Waits until a ring has filled up to its wake-up mark, for `timeout` at most.
    pub(crate) fn wait(&mut self, timeout: Duration) {
        if self.wanted.only_samples {
            // Where no record has come, the thread may run anywhere.
            self.station.get_or_insert_with(CpuPin::here).go_to(self.latest.take());
        }
        let rings = self.rings.iter().chain(&self.switch_rings).map(|ring| ring.as_fd());
        let mut ready: Vec<PollFd<'_>> =
            rings.chain([self.waker.as_fd()]).map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let _ = poll(&mut ready, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX));
        if ready.last().is_some_and(|waker| waker.any() == Some(true)) {
            let _ = self.waker.read();
        }
    }

    /// Returns the mappings in the records that are still to be read.
    pub(crate) fn mappings(&mut self) -> Vec<Mapping> {
        let mut found = Vec::new();
        for ring in &mut self.rings {
            ring.peek(|bytes| {
                if let Some(Record::Mapped(mapping)) =
                    parse(bytes, (&self.events, &self.probes), self.format, &mut self.origins, self.pid)
                {
                    found.push(mapping);
                }
            });
        }
        found
    }

    /// Hands out the records that have come since the last call, ordered by time. Returns the moment up to which they
    /// are complete; `last` also takes later ones.
    ///
    /// A record that comes later is not older, as far as one event can have led to another. The record of a cause was
    /// written before the time of its effect, so it is there when the rings are looked at after that.
    pub(crate) fn read(&mut self, last: bool, mut visit: impl FnMut(Record<'_>)) -> Monotonic {
        let now = Monotonic::now();
        let until = if last { u64::MAX } else { now.0 };
        let mut rings: Vec<&mut Ring> = self.rings.iter_mut().chain(&mut self.switch_rings).collect();
        rings.iter_mut().for_each(|ring| ring.look());
        let format = self.format;
        let time_of = |ring: &mut Ring| ring.next().map(time);
        let mut times: Vec<Option<u64>> = rings.iter_mut().map(|ring| time_of(ring)).collect();
        loop {
            let waiting = times.iter().enumerate().filter_map(|(ring, time)| Some((ring, (*time)?)));
            let Some((first, time)) = waiting.min_by_key(|&(_, time)| time) else { break };
            if time > until {
                break;
            }
            let ring = &mut rings[first];
            self.latest = Some(ring.cpu);
            if let Some(bytes) = ring.next()
                && let Some(record) = parse(bytes, (&self.events, &self.probes), format, &mut self.origins, self.pid)
            {
                visit(record);
            }
            ring.advance();
            times[first] = time_of(ring);
        }
        now
    }
}

/// Bytes of a record's header.
const HEADER: usize = 8;

/// Returns when a record was written.
fn time(record: &[u8]) -> u64 {
    About::of(record).map_or(0, |about| about.time.0)
}

fn is_sample(record: &[u8]) -> bool {
    record.get(..4).is_some_and(|kind| *kind == RecordType::SAMPLE.0.to_le_bytes())
}

/// Parses a record of one of the events; none if it does not count.
fn parse<'a>(
    bytes: &'a [u8],
    (events, probes): (&HashMap<u64, Event>, &[TracedProbe]),
    format: RecordParseInfo,
    origins: &mut InheritedEvents,
    pid: Pid,
) -> Option<Record<'a>> {
    let about = About::of(bytes)?;
    let event = events.get(&about.id);
    let kind = event.map(|event| event.kind);
    if let Some(SampleKind::Probe(number)) = kind.filter(|_| is_sample(bytes)) {
        let hit = Hit::parse(bytes, *probes.get(number)?, pid)?;
        return origins.speaks_for(about.tid, about.id).then_some(Record::Hit(hit));
    }
    let record = record::parse(&raw(bytes, event.map_or(format, |event| event.format)), about, kind, pid)?;
    // A loss belongs to no thread.
    if !matches!(record, Record::Lost(_) | Record::LostLeaving(_)) && !origins.speaks_for(about.tid, about.id) {
        return None;
    }
    if let Record::Exit { tid, .. } = record {
        origins.forget(tid as i32);
    }
    Some(record)
}

/// Fields that every record has, as [`attributes`] asks for them: at the beginning of samples, at the end of others.
#[derive(Clone, Copy, Debug, PartialEq)]
struct About {
    id: u64,
    pid: i32,
    tid: i32,
    time: Monotonic,
}

impl About {
    fn of(record: &[u8]) -> Option<About> {
        const LENGTH: usize = 24;
        let number = |at: usize| Some(u64::from_le_bytes(record.get(at..at + 8)?.try_into().ok()?));
        let (id, thread) = if is_sample(record) {
            (HEADER, HEADER + 8)
        } else {
            let thread = record.len().checked_sub(LENGTH).filter(|&start| start >= HEADER)?;
            (thread + 16, thread)
        };
        let process = number(thread)?;
        Some(About {
            id: number(id)?,
            pid: process as i32,
            tid: (process >> 32) as i32,
            time: Monotonic(number(thread + 8)?),
        })
    }
}

/// Returns a record in the parser's form, from its bytes with their header.
fn raw(bytes: &[u8], format: RecordParseInfo) -> RawEventRecord<'_> {
    let (header, body) = bytes.split_at(HEADER.min(bytes.len()));
    let kind = header.get(..4).map_or(0, |kind| u32::from_le_bytes(kind.try_into().unwrap_or_default()));
    let misc = header.get(4..6).map_or(0, |misc| u16::from_le_bytes(misc.try_into().unwrap_or_default()));
    RawEventRecord::new(RecordType(kind), misc, RawData::from(body), format)
}

fn map_rings(processors: &[usize], pages: usize, wakeup: usize) -> Result<Vec<Ring>, PerfError> {
    let mut rings = Vec::new();
    for &cpu in processors {
        let owner: Counter = match attributes::ring_owner(cpu, wakeup as u32).build() {
            // The processor has gone since.
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => continue,
            opened => opened.map_err(refused)?,
        };
        rings.push(Ring::map(cpu, owner, pages).map_err(|error| match error {
            Errno::EPERM | Errno::ENOMEM => PerfError::Memory,
            error => PerfError::System(error.into()),
        })?);
    }
    Ok(rings)
}

fn refused(error: std::io::Error) -> PerfError {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EACCES | Errno::EPERM) => {
            let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
            PerfError::Forbidden { paranoid: paranoid.trim().to_owned() }
        }
        Some(Errno::EMFILE | Errno::ENFILE) => PerfError::Files,
        Some(Errno::ESRCH) => PerfError::Ended,
        _ => PerfError::System(error),
    }
}

fn online_cpus() -> std::io::Result<Vec<usize>> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    cpu_list(text.trim()).ok_or_else(|| std::io::Error::other(format!("unknown list of processors: {text}")))
}

/// Whether some online processor is not watched.
fn has_another(online: &[usize], watched: &[usize]) -> bool {
    online.iter().any(|cpu| !watched.contains(cpu))
}

/// Parses a list of processors such as `0-3,8`.
fn cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last < first || last > 1 << 16 {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_record_tells_is_at_its_beginning_or_its_end() {
        let words = |kind: u32, words: &[u64]| {
            let header = u64::from(kind).to_le_bytes().into_iter();
            header.chain(words.iter().flat_map(|word| word.to_le_bytes())).collect::<Vec<u8>>()
        };
        let about = Some(About { id: 7, pid: 10, tid: 11, time: Monotonic(99) });
        let check =
            |what: &str, bytes: &[u8], expected: Option<About>| assert_eq!(About::of(bytes), expected, "{what}");
        let thread = 11 << 32 | 10;
        check("a sample", &words(RecordType::SAMPLE.0, &[7, thread, 99, 5, 5]), about);
        check("another", &words(RecordType::EXIT.0, &[5, 5, thread, 99, 7]), about);
        check("nothing else", &words(RecordType::EXIT.0, &[thread, 99, 7]), about);
        check("too short", &words(RecordType::EXIT.0, &[99, 7]), None);
        check("a sample too short", &words(RecordType::SAMPLE.0, &[7, thread]), None);
        check("no record", &[], None);
    }

    /// Threads on a processor that came later were taken for blocked.
    #[test]
    fn a_processor_that_comes_into_use_later_is_not_watched() {
        assert!(has_another(&[0, 1], &[0]));
        assert!(!has_another(&[0, 1], &[0, 1]));
        assert!(!has_another(&[0], &[0, 1]), "one that goes is seen to go");
    }

    #[test]
    fn lists_of_processors() {
        let check = |text: &str, expected: Option<Vec<usize>>| assert_eq!(cpu_list(text), expected, "{text}");
        check("0", Some(vec![0]));
        check("0-1", Some(vec![0, 1]));
        check("0-2,5,7-8", Some(vec![0, 1, 2, 5, 7, 8]));
        check("", None);
        check("3-1", None);
        check("0-99999999999", None);
    }
}
