//! Combines recordings of several processes, for example of the programs that a command started, into one.
//!
//! Crossings, samples, threads, goroutines and the timeline carry the index of their process. [`Profile::processes`] keeps
//! the recording of each process unchanged.

use std::collections::HashMap;
use std::sync::Arc;

use crate::code::FunctionId;
use crate::merge::{MergeError, Merger};
use crate::model::Profile;
use crate::scheduler::{Counters, Goroutine, Made, Thread};
use crate::timed_events::TimedEvents;

/// Maximum processes of a recording. Each takes a thousand bytes of memory at least, and a few of a file.
pub const MOST_PROCESSES: usize = 100_000;

/// Returns one recording of several processes. Its run lasts from the start of the first process to the end of the last.
///
/// # Errors
/// If their numbers do not add up, because their engines or options were not the same, or if they are more than
/// [`MOST_PROCESSES`].
pub fn combine(mut processes: Vec<Arc<Profile>>) -> Result<Profile, MergeError> {
    if processes.len() == 1 {
        return Ok(processes.pop().map_or_else(Profile::default, Arc::unwrap_or_clone));
    }
    if processes.len() > MOST_PROCESSES {
        return Err(MergeError::TooMany);
    }
    let start = |process: &Profile| process.recording.start_unix_ns;
    processes.sort_by_key(|process| (start(process), process.target.pid));
    let first = processes.first().map_or(0, |process| start(process));
    let span = |process: &Profile| {
        let begin = start(process).saturating_sub(first);
        (begin, begin.saturating_add(process.recording.duration_ns))
    };
    let duration = processes.iter().map(|process| span(process).1).max().unwrap_or(0);
    let (mut merger, mut events) = (Merger::default(), TimedEvents::default());
    let (mut threads, mut goroutines, mut counters) = (Vec::new(), Vec::new(), Vec::new());
    for (process, part) in processes.iter().enumerate() {
        let (begin, end) = span(part);
        let to = merger.add_process(process, part)?;
        merger.add_numbers(part, &to, events.next_number());
        events.add(process, part, begin, &to);
        let later = |nanos: Option<u64>| nanos.map(|nanos| begin.saturating_add(nanos));
        let made = |made: &Made| Made { function: to.functions[made.function.0], ..*made };
        threads.extend(part.threads.iter().map(|thread| Thread {
            process,
            // A thread does not outlive its process.
            created_ns: later(thread.created_ns).or_else(|| (begin > 0).then_some(begin)),
            exited_ns: later(thread.exited_ns).or_else(|| (end < duration).then_some(end)),
            made: thread.made.iter().map(made).collect(),
            ..thread.clone()
        }));
        let function = |function: FunctionId| to.functions[function.0];
        goroutines.extend(part.goroutines.iter().map(|goroutine| Goroutine {
            process,
            function: goroutine.function.map(function),
            ..*goroutine
        }));
        if !part.timeline.counters.is_empty() {
            counters.extend(TimedEvents::counters(part, begin).map(|at| (process, at)));
            counters.push((process, Counters { at_ns: end, ..NO_THREADS }));
        }
    }
    events.end(|process| Some(span(&processes[process]).1).filter(|&end| end < duration));
    let TimedEvents { births, mut timeline, .. } = events;
    timeline.counters = summed(counters, processes.len());
    // Those that are still in C come last.
    timeline.crossings.sort_by_key(|crossing| (crossing.open, crossing.called_ns));
    let (mut whole, threads_known) = merger.into_sum();
    let recording = &mut whole.recording;
    recording.scheduler.threads = threads_known;
    recording.recordings = 0;
    recording.processes = processes.len();
    // Keeps the share of process time in which every wait was seen.
    let all_ran = recording.duration_ns.max(1) as f64;
    recording.every_wait_ns = (recording.every_wait_ns as f64 / all_ran * duration as f64) as u64;
    recording.duration_ns = duration;
    recording.notes = notes(&processes);
    Ok(Profile { births, goroutines, threads, timeline: timeline.into(), processes, ..whole })
}

/// Returns the recording of one process, by its id, or of all processes of one program, by its name. Returns none if there
/// is no such process.
///
/// # Errors
/// As [`combine`].
pub fn select(profile: &Profile, process: &str) -> Result<Option<Profile>, MergeError> {
    // A sum has no process.
    let is_it = |Profile { target, .. }: &Profile| {
        process == target.program() || target.pid > 0 && process.parse() == Ok(target.pid)
    };
    if profile.processes.is_empty() {
        let is_sum = profile.recording.recordings > 0;
        return Ok((!is_sum && is_it(profile)).then(|| profile.clone()));
    }
    let these: Vec<_> = profile.processes.iter().filter(|process| is_it(process)).cloned().collect();
    if these.is_empty() { Ok(None) } else { combine(these).map(Some) }
}

/// Returns the notes of all processes. Each note names its processes.
fn notes(processes: &[Arc<Profile>]) -> Vec<String> {
    /// Notes that are kept.
    const MOST: usize = 20;
    /// Processes that are named.
    const NAMED: usize = 3;
    let mut of: Vec<(&str, Vec<String>)> = Vec::new();
    let mut index: HashMap<&str, usize> = HashMap::new();
    for process in processes {
        for note in &process.recording.notes {
            let at = *index.entry(note).or_insert(of.len());
            if at == of.len() {
                of.push((note, Vec::new()));
            }
            of[at].1.push(format!("{} ({})", process.target.program(), process.target.pid));
        }
    }
    let more = of.len().saturating_sub(MOST);
    let shown = of.into_iter().take(MOST).map(|(note, names)| match names.len() {
        all if all == processes.len() => format!("each of the {all} processes: {note}"),
        some if some > NAMED => format!("{} and {} more: {note}", names[..NAMED].join(", "), some - NAMED),
        _ => format!("{}: {note}", names.join(", ")),
    });
    let left_out = (more > 0).then(|| format!("{more} other notes of single processes are left out"));
    shown.chain(left_out).collect()
}

/// Of a process that does not run.
const NO_THREADS: Counters = Counters { at_ns: 0, in_c: 0, in_go: Some(0), idle: Some(0) };

/// Returns the sums of numbers that each process had from a moment on. A sum is unknown while one of its parts is.
fn summed(mut all: Vec<(usize, Counters)>, processes: usize) -> Vec<Counters> {
    all.sort_by_key(|(_, at)| at.at_ns);
    let mut last = vec![NO_THREADS; processes];
    let (mut in_c, mut in_go, mut idle) = (Sum::default(), Sum::default(), Sum::default());
    let mut sums: Vec<Counters> = Vec::new();
    for (process, now) in all {
        let before = std::mem::replace(&mut last[process], now);
        in_c.replace(Some(before.in_c), Some(now.in_c));
        in_go.replace(before.in_go, now.in_go);
        idle.replace(before.idle, now.idle);
        let in_c = in_c.value().unwrap_or_default();
        let sum = Counters { at_ns: now.at_ns, in_c, in_go: in_go.value(), idle: idle.value() };
        match sums.last_mut() {
            Some(last) if last.at_ns == sum.at_ns => *last = sum,
            _ => sums.push(sum),
        }
    }
    sums
}

/// A sum of which parts may be unknown.
#[derive(Default)]
struct Sum {
    known: u64,
    unknown: usize,
}

impl Sum {
    fn replace(&mut self, before: Option<u64>, now: Option<u64>) {
        match before {
            Some(before) => self.known = self.known.saturating_sub(before),
            None => self.unknown -= 1,
        }
        match now {
            Some(now) => self.known = self.known.saturating_add(now),
            None => self.unknown += 1,
        }
    }

    fn value(&self) -> Option<u64> {
        (self.unknown == 0).then_some(self.known)
    }
}
