//! The timeline as a trace for Perfetto (https://perfetto.dev/docs/reference/synthetic-track-event).

mod interned;
mod proto;

use std::collections::HashMap;
use std::io::{self, Write};

use cgoprof_profile::{Profile, SlowCrossing};
use prost::Message as _;

use self::interned::Interned;
use self::proto::{
    BOOTTIME, COUNTER, Clock, ClockSnapshot, CounterDescriptor, DebugAnnotation, INCREMENTAL_STATE_CLEARED, INSTANT,
    NEEDS_INCREMENTAL_STATE, ProcessDescriptor, REALTIME, SLICE_BEGIN, SLICE_END, ThreadDescriptor, TracePacket,
    TrackDescriptor, TrackEvent,
};
use super::format::{ExportError, Format};
use super::tracks::{self, Interval, Names, ThreadTracks, nested, threads};
use crate::slowest::other_thread;
use crate::units::printable;

/// A track for each thread with its slow crossings, those made in callbacks within the outer one, and tracks below it for
/// waits in C, waits for a P, and locks to goroutines; counters of threads in C, in Go and idle; an arrow from a crossing to
/// the thread on which its goroutine went on.
pub struct Perfetto;

impl Format for Perfetto {
    fn name(&self) -> &'static str {
        "perfetto"
    }

    fn about(&self) -> &'static str {
        "Timeline for ui.perfetto.dev: slow crossings, waits and locks of each thread, threads in C"
    }

    fn is_binary(&self) -> bool {
        true
    }

    fn write(&self, profile: &Profile, output: &mut dyn Write) -> Result<(), ExportError> {
        let threads = threads(profile);
        if threads.is_empty() && profile.timeline.counters.is_empty() {
            return Err(ExportError::Nothing("the recording has no timeline: sums and samples alone have none"));
        }
        let mut trace = Trace { output, interned: Interned::default(), tracks: 0 };
        trace.begin(profile)?;
        let mut processes = Vec::new();
        for (begin, process) in tracks::processes(profile) {
            processes.push((trace.process(process)?, begin, process));
        }
        let (names, mut flows) = (Names::new(profile), Flows::default());
        for thread in threads {
            let (track, _, process) = processes[thread.process.min(processes.len() - 1)];
            trace.thread(process.target.pid, track, &thread, &names, &mut flows)?;
        }
        for (track, begin, process) in processes {
            trace.counters(process, begin, track, !profile.processes.is_empty())?;
        }
        Ok(())
    }
}

/// A trace that is being written.
struct Trace<'o> {
    output: &'o mut dyn Write,
    interned: Interned,
    tracks: u64,
}

/// A track of the trace, by its number.
#[derive(Clone, Copy)]
struct Track(u64);

/// Details of an event, beside its name.
#[derive(Default)]
struct Details {
    numbers: Vec<(&'static str, u64)>,
    texts: Vec<(&'static str, String)>,
    /// An arrow that begins here.
    flow: Option<u64>,
    /// An arrow that ends here.
    arrival: Option<u64>,
}

/// Numbers of arrows: by the crossing that they begin at.
#[derive(Default)]
struct Flows {
    numbers: HashMap<(usize, u64, u64, u64), u64>,
}

impl Flows {
    fn of(&mut self, crossing: &SlowCrossing) -> u64 {
        let next = self.numbers.len() as u64 + 1;
        *self.numbers.entry((crossing.process, crossing.tid, crossing.called_ns, crossing.goid)).or_insert(next)
    }
}

impl Trace<'_> {
    fn packet(&mut self, mut packet: TracePacket) -> io::Result<()> {
        packet.trusted_packet_sequence_id = 1;
        packet.sequence_flags |= NEEDS_INCREMENTAL_STATE;
        packet.interned_data = self.interned.take_new();
        /// The key of field 1, the packets of a trace, as a message with its length.
        const PACKET: u8 = 1 << 3 | 2;
        self.output.write_all(&[PACKET])?;
        self.output.write_all(&packet.encode_length_delimited_to_vec())
    }

    /// Writes when the recording began. Times of a trace are relative to that.
    fn begin(&mut self, profile: &Profile) -> io::Result<()> {
        let clocks = vec![
            Clock { clock_id: BOOTTIME, timestamp: 0 },
            Clock { clock_id: REALTIME, timestamp: profile.recording.start_unix_ns },
        ];
        self.packet(TracePacket {
            clock_snapshot: Some(ClockSnapshot { clocks }),
            sequence_flags: INCREMENTAL_STATE_CLEARED,
            ..TracePacket::default()
        })
    }

    fn track(&mut self, descriptor: TrackDescriptor) -> io::Result<Track> {
        self.tracks += 1;
        let descriptor = TrackDescriptor { uuid: self.tracks, ..descriptor };
        self.packet(TracePacket { track_descriptor: Some(descriptor), ..TracePacket::default() })?;
        Ok(Track(self.tracks))
    }

    fn child(&mut self, parent: Track, name: &str) -> io::Result<Track> {
        let (name, parent_uuid) = (Some(name.to_owned()), Some(parent.0));
        self.track(TrackDescriptor { name, parent_uuid, ..TrackDescriptor::default() })
    }

    fn process(&mut self, profile: &Profile) -> io::Result<Track> {
        let target = &profile.target;
        let command = std::iter::once(&target.path).chain(&target.args).map(|word| printable(word));
        let process = ProcessDescriptor {
            pid: target.pid as i32,
            cmdline: command.collect(),
            process_name: printable(target.program()),
        };
        self.track(TrackDescriptor { process: Some(process), ..TrackDescriptor::default() })
    }

    fn thread(
        &mut self,
        pid: u32,
        process: Track,
        thread: &ThreadTracks<'_>,
        names: &Names<'_>,
        flows: &mut Flows,
    ) -> io::Result<()> {
        let descriptor = ThreadDescriptor {
            pid: pid as i32,
            tid: thread.tid as i32,
            thread_name: thread.name.clone(),
        };
        let parent_uuid = Some(process.0);
        let own = self.track(TrackDescriptor { thread: Some(descriptor), parent_uuid, ..TrackDescriptor::default() })?;
        let mut crossing_details = |crossing: &&SlowCrossing| {
            let mut details = crossing_details(crossing, names);
            details.flow = other_thread(crossing).map(|_| flows.of(crossing));
            details
        };
        for (at, crossings) in self.nested(own, &thread.crossings)?.into_iter().enumerate() {
            let track = if at == 0 { own } else { self.child(own, "crossings")? };
            self.slices(track, "crossing", &crossings, |it| names.function(it), &mut crossing_details)?;
        }
        for waits in self.nested(own, &thread.waits_for_p)? {
            let track = self.child(own, "waits for a P")?;
            let details = |it: &&SlowCrossing| Details { numbers: goroutine(it.goid), ..Details::default() };
            self.slices(track, "p_wait", &waits, |it| names.function(it), details)?;
        }
        for waits in self.nested(own, &thread.blocked)? {
            let track = self.child(own, "blocked in C")?;
            self.slices(track, "wait", &waits, |it| names.wait(it), |_| Details::default())?;
        }
        for waits in self.nested(own, &thread.asleep)? {
            let track = self.child(own, "asleep, in C or not")?;
            self.slices(track, "asleep", &waits, |_| "asleep".to_owned(), |_| Details::default())?;
        }
        for locked in self.nested(own, &thread.locked)? {
            let track = self.child(own, "locked to a goroutine")?;
            let details = |&goid: &u64| Details { numbers: goroutine(goid), ..Details::default() };
            self.slices(track, "locked", &locked, |goid| format!("goroutine {goid}"), details)?;
        }
        if let Some(at) = thread.created_ns {
            let starter = thread.parent.map(|tid| ("started_by_thread", tid));
            let details = Details { numbers: starter.into_iter().collect(), ..Details::default() };
            self.event(own, at, INSTANT, Some(("thread", "thread started")), details)?;
        }
        for (at, crossing) in &thread.arrivals {
            let name = match crossing.goid {
                0 => "goroutine back from C".to_owned(),
                goid => format!("goroutine {goid} back from C"),
            };
            let arrival = Some(flows.of(crossing));
            let details = Details { arrival, numbers: goroutine(crossing.goid), ..Details::default() };
            self.event(own, *at, INSTANT, Some(("migration", &name)), details)?;
        }
        Ok(())
    }

    /// Divides intervals among tracks, and says on the thread's own how many have none.
    fn nested<T: Clone>(&mut self, own: Track, intervals: &[Interval<T>]) -> io::Result<Vec<Vec<Interval<T>>>> {
        let (tracks, left_out) = nested(intervals.to_vec());
        if left_out > 0 {
            let name = format!("{left_out} intervals are left out: too many overlap");
            self.event(own, 0, INSTANT, Some(("left_out", &name)), Details::default())?;
        }
        Ok(tracks)
    }

    /// Writes intervals that nest, outer ones first.
    fn slices<T>(
        &mut self,
        track: Track,
        category: &str,
        intervals: &[Interval<T>],
        name: impl Fn(&T) -> String,
        mut details: impl FnMut(&T) -> Details,
    ) -> io::Result<()> {
        let mut ends: Vec<Option<u64>> = Vec::new();
        for interval in intervals {
            while let Some(&Some(end)) = ends.last().filter(|end| end.is_some_and(|end| end <= interval.from)) {
                self.event(track, end, SLICE_END, None, Details::default())?;
                ends.pop();
            }
            let name = name(&interval.what);
            self.event(track, interval.from, SLICE_BEGIN, Some((category, &name)), details(&interval.what))?;
            ends.push(interval.to);
        }
        // A slice without an end lasts until the end of the trace.
        for end in ends.into_iter().rev().flatten() {
            self.event(track, end, SLICE_END, None, Details::default())?;
        }
        Ok(())
    }

    fn event(
        &mut self,
        track: Track,
        at: u64,
        kind: i32,
        name: Option<(&str, &str)>,
        details: Details,
    ) -> io::Result<()> {
        let mut debug_annotations = Vec::new();
        for (name, value) in details.numbers {
            let name_iid = self.interned.annotation(name);
            debug_annotations.push(DebugAnnotation { name_iid, uint_value: Some(value), string_value_iid: None });
        }
        for (name, value) in details.texts {
            let (name_iid, value) = (self.interned.annotation(name), self.interned.value(&value));
            debug_annotations.push(DebugAnnotation { name_iid, uint_value: None, string_value_iid: Some(value) });
        }
        let event = TrackEvent {
            debug_annotations,
            r#type: kind,
            name_iid: name.map(|(_, name)| self.interned.event(name)),
            track_uuid: track.0,
            categories: name.map(|(category, _)| category.to_owned()).into_iter().collect(),
            counter_value: None,
            flow_ids: details.flow.into_iter().collect(),
            terminating_flow_ids: details.arrival.into_iter().collect(),
        };
        self.packet(TracePacket { timestamp: Some(at), track_event: Some(event), ..TracePacket::default() })
    }

    fn counters(
        &mut self,
        profile: &Profile,
        begin: u64,
        process: Track,
        is_one_of_several: bool,
    ) -> io::Result<()> {
        for (name, values) in tracks::counters(profile, is_one_of_several) {
            let track = self.track(TrackDescriptor {
                name: Some(name.to_owned()),
                parent_uuid: Some(process.0),
                counter: Some(CounterDescriptor { unit_name: "threads".into() }),
                ..TrackDescriptor::default()
            })?;
            for (at, value) in values {
                let at = begin.saturating_add(at);
                let counter_value = Some(i64::try_from(value).unwrap_or(i64::MAX));
                let event = TrackEvent { r#type: COUNTER, track_uuid: track.0, counter_value, ..TrackEvent::default() };
                self.packet(TracePacket { timestamp: Some(at), track_event: Some(event), ..TracePacket::default() })?;
            }
        }
        Ok(())
    }
}

/// Returns a goroutine's number as a detail; none if it is not known.
fn goroutine(goid: u64) -> Vec<(&'static str, u64)> {
    tracks::goroutine(goid).map(|goid| ("goroutine", goid)).into_iter().collect()
}

fn crossing_details(crossing: &SlowCrossing, names: &Names<'_>) -> Details {
    let frames = names.frames(crossing.cell);
    let stack: Vec<String> = frames.iter().map(|frame| printable(frame.position.function)).collect();
    let labels = names.labels(crossing).map(|labels| ("labels", labels));
    let texts = [("stack", stack.join(" < "))].into_iter().chain(labels).collect();
    Details { numbers: tracks::facts(crossing), texts, ..Details::default() }
}
