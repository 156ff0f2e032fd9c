//! Recordings of processes that ran beside or after each other, in one: those of the programs that a command started.
//!
//! Crossings, samples and threads of each process are told apart by its index. What the recording of a single process tells
//! is in [`Profile::processes`], as it was.

use std::sync::Arc;

use crate::code::FunctionId;
use crate::merge::{MergeError, Merger};
use crate::model::Profile;
use crate::moments::Moments;
use crate::scheduler::{Counters, Goroutine, Made, Thread};

/// Returns the recording of several processes. Its run lasts from the start of the first to the end of the last.
///
/// # Errors
/// If their numbers do not add up, because their engines or options were not the same.
pub fn together(mut processes: Vec<Arc<Profile>>) -> Result<Profile, MergeError> {
    if processes.len() == 1 {
        return Ok(processes.pop().map_or_else(Profile::default, Arc::unwrap_or_clone));
    }
    let start = |process: &Profile| process.recording.start_unix_ns;
    processes.sort_by_key(|process| (start(process), process.target.pid));
    let first = processes.first().map_or(0, |process| start(process));
    let span = |process: &Profile| {
        let begin = start(process).saturating_sub(first);
        (begin, begin.saturating_add(process.recording.duration_ns))
    };
    let duration = processes.iter().map(|process| span(process).1).max().unwrap_or(0);
    let (mut merger, mut moments) = (Merger::default(), Moments::default());
    let (mut threads, mut goroutines, mut counters) = (Vec::new(), Vec::new(), Vec::new());
    for (process, part) in processes.iter().enumerate() {
        let (begin, end) = span(part);
        let to = merger.add_process(process, part)?;
        merger.add_numbers(part, &to, moments.next_number());
        moments.add(process, part, begin, &to);
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
            counters.extend(Moments::counters(part, begin).map(|at| (process, at)));
            counters.push((process, Counters { at_ns: end, ..NO_THREADS }));
        }
    }
    moments.end(|process| Some(span(&processes[process]).1).filter(|&end| end < duration));
    let Moments { births, mut timeline, .. } = moments;
    timeline.counters = summed(counters, processes.len());
    // Those that are still in C come last.
    timeline.crossings.sort_by_key(|crossing| (crossing.open, crossing.called_ns));
    let (mut whole, threads_known) = merger.into_sum();
    let recording = &mut whole.recording;
    recording.scheduler.threads = threads_known;
    recording.recordings = 0;
    recording.processes = processes.len();
    // Of the time in which processes ran, whichever ran at once, it is this share that counts.
    let all_ran = recording.duration_ns.max(1) as f64;
    recording.every_wait_ns = (recording.every_wait_ns as f64 / all_ran * duration as f64) as u64;
    recording.duration_ns = duration;
    recording.notes = notes(&processes);
    Ok(Profile { births, goroutines, threads, timeline: timeline.into(), processes, ..whole })
}

/// Returns the recording of one of the processes, by its id, or of all that ran a program, by its name; none if there is no
/// such process.
///
/// # Errors
/// As [`together`].
pub fn selected(profile: &Profile, which: &str) -> Result<Option<Profile>, MergeError> {
    // A sum has no process of its own.
    let is_it = |Profile { target, .. }: &Profile| {
        which == target.program() || target.pid > 0 && which.parse() == Ok(target.pid)
    };
    if profile.processes.is_empty() {
        return Ok(is_it(profile).then(|| profile.clone()));
    }
    let these: Vec<_> = profile.processes.iter().filter(|process| is_it(process)).cloned().collect();
    if these.is_empty() { Ok(None) } else { together(these).map(Some) }
}

/// Returns what the recordings of processes note, with the processes that it is noted of.
fn notes(processes: &[Arc<Profile>]) -> Vec<String> {
    /// Notes that are kept.
    const MOST: usize = 20;
    /// Processes that are named.
    const NAMED: usize = 3;
    let mut of: Vec<(&str, Vec<String>)> = Vec::new();
    for process in processes {
        for note in &process.recording.notes {
            let name = format!("{} ({})", process.target.program(), process.target.pid);
            match of.iter_mut().find(|(text, _)| text == note) {
                Some((_, names)) => names.push(name),
                None => of.push((note, vec![name])),
            }
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

/// Returns the sums of numbers that each process had from a moment on.
fn summed(mut all: Vec<(usize, Counters)>, processes: usize) -> Vec<Counters> {
    all.sort_by_key(|(_, at)| at.at_ns);
    let (mut last, mut sum) = (vec![NO_THREADS; processes], NO_THREADS);
    let mut sums: Vec<Counters> = Vec::new();
    let replaced = |sum: Option<u64>, old: Option<u64>, new: Option<u64>| {
        sum.zip(old).map(|(sum, old)| sum.saturating_sub(old)).zip(new).map(|(sum, new)| sum.saturating_add(new))
    };
    for (process, now) in all {
        let before = std::mem::replace(&mut last[process], now);
        sum = Counters {
            at_ns: now.at_ns,
            in_c: sum.in_c.saturating_sub(before.in_c).saturating_add(now.in_c),
            in_go: replaced(sum.in_go, before.in_go, now.in_go),
            idle: replaced(sum.idle, before.idle, now.idle),
        };
        match sums.last_mut() {
            Some(last) if last.at_ns == sum.at_ns => *last = sum,
            _ => sums.push(sum),
        }
    }
    sums
}
