//! Sums of several recordings.
//!
//! A sum has crossings, samples, waits in C, callbacks and places of locks, by function and stack. It has no threads,
//! goroutines and timeline, so that a sum of thousands of files is as large as their stacks.

use std::collections::HashMap;
use std::hash::Hash;

use crate::code::{CodeFile, Function, FunctionId, Library, LibraryId, Line, Location, LocationId, Via};
use crate::model::{Cell, Profile, SampledStack, WaitingStack};
use crate::recording::{Parallelism, Recording, Scheduler};
use crate::scheduler::{Callback, Lock};

/// Adds recordings up, one after the other.
#[derive(Default)]
pub struct Merger {
    sum: Profile,
    /// The process of what is added next.
    process: usize,
    recordings: u64,
    /// Names of the programs.
    programs: Vec<String>,
    notes: Vec<String>,
    /// Notes beyond those that are kept.
    more_notes: usize,
    libraries: HashMap<Library, usize>,
    functions: HashMap<Function, usize>,
    locations: HashMap<Location, usize>,
    cells: HashMap<CellKey, usize>,
    samples: HashMap<(usize, StackKey), usize>,
    waits: HashMap<StackKey, usize>,
    callbacks: HashMap<(FunctionId, Option<FunctionId>), usize>,
    locks: HashMap<Vec<LocationId>, usize>,
}

/// What the numbers of a recording are in a sum.
pub(crate) struct Renumbered {
    pub(crate) functions: Vec<FunctionId>,
    pub(crate) locations: Vec<LocationId>,
    /// By [`Cell::id`].
    pub(crate) cells: HashMap<u64, u64>,
    /// Indices of stacks that waited.
    waits: Vec<usize>,
}

/// Identity of a cell.
#[derive(Clone, PartialEq, Eq, Hash)]
struct CellKey {
    process: usize,
    function: FunctionId,
    stack: Vec<LocationId>,
    via: Via,
    locked: bool,
    truncated: bool,
}

/// Identity of a sampled, or waiting, stack: its cell, and its locations.
type StackKey = (Option<u64>, Vec<LocationId>);

/// Why a recording can't be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// There are more than a file can have.
    #[error("there are more than {} processes", crate::processes::MOST_PROCESSES)]
    TooMany,
    /// Its numbers mean something else than those before.
    #[error("cannot be added to those before it: {0}")]
    Differs(&'static str),
}

/// Why recordings with two sample periods do not add up.
const OTHER_PERIOD: &str = "their samples stand for different times (--freq, --no-samples)";

/// Why recordings of two engines do not add up.
const OTHER_ENGINE: &str = "their engines do not measure the same";

/// Notes that a sum keeps of its recordings.
const MOST_NOTES: usize = 20;

impl Merger {
    /// Adds a recording.
    ///
    /// # Errors
    /// If its numbers do not add up with those of the recordings before. The sum is then as it was.
    pub fn add(&mut self, profile: &Profile) -> Result<(), MergeError> {
        if self.recordings > 0 {
            differs(&self.sum.recording, &profile.recording)?;
        }
        self.add_numbers_of(profile);
        Ok(())
    }

    /// Adds a part of a recording, and returns what its numbers are in the sum. Where only some parts have samples,
    /// times or blocked times, the sum has less of them than of the counts, or none.
    pub(crate) fn add_part(&mut self, part: &Profile) -> Renumbered {
        let mut part = part.clone();
        if self.recordings > 0 {
            let (sum, added) = (&mut self.sum.recording, &mut part.recording);
            let period = sum.sample_period_ns.max(added.sample_period_ns);
            (sum.sample_period_ns, added.sample_period_ns) = (period, period);
            sum.off_cpu &= added.off_cpu;
            added.off_cpu = sum.off_cpu;
            if untimed(sum) != untimed(added) {
                leave_untimed(if untimed(sum) { &mut self.sum } else { &mut part });
            }
        }
        self.add_numbers_of(&part)
    }

    /// Adds the recording of a process, which is told apart from those of others, and returns what its numbers are in the sum,
    /// as [`Merger::add_part`] does.
    ///
    /// # Errors
    /// If its engine does not measure what those of the others do, or its samples stand for another time. The sum is then as
    /// it was.
    pub(crate) fn add_process(&mut self, process: usize, profile: &Profile) -> Result<Renumbered, MergeError> {
        let (sum, added) = (&self.sum.recording, &profile.recording);
        if self.recordings > 0 {
            if sum.knows != added.knows {
                return Err(MergeError::Differs(OTHER_ENGINE));
            }
            let periods = [sum.sample_period_ns, added.sample_period_ns];
            if periods[0] != periods[1] && !periods.contains(&0) {
                return Err(MergeError::Differs(OTHER_PERIOD));
            }
        }
        self.process = process;
        Ok(self.add_part(profile))
    }

    /// Adds a recording whose numbers add up with those of the sum.
    fn add_numbers_of(&mut self, profile: &Profile) -> Renumbered {
        if self.recordings == 0 {
            self.sum.target = profile.target.clone();
            self.sum.recording = Recording { notes: Vec::new(), ..profile.recording.clone() };
        } else {
            let calls = |profile: &Profile| profile.cells.iter().map(|cell| cell.stats.calls as f64).sum::<f64>();
            let weights = (calls(&self.sum), calls(profile));
            add_recording(&mut self.sum.recording, &profile.recording, weights);
            // Neither is the sum's.
            self.sum.target.pid = 0;
            self.sum.target.args.clear();
        }
        let merged = profile.recording.recordings;
        self.recordings = self.recordings.saturating_add(merged.max(1));
        let processes = profile.processes.iter().map(|process| &process.target);
        for target in std::iter::once(&profile.target).chain(processes) {
            if !self.programs.iter().any(|known| known == target.program()) {
                self.programs.push(target.program().to_owned());
            }
        }
        // The last note of a sum says of what it is the sum.
        let own = profile.recording.notes.len() - usize::from(merged > 1).min(profile.recording.notes.len());
        for note in profile.recording.notes[..own].iter().filter(|note| !self.notes.contains(note)).collect::<Vec<_>>()
        {
            if self.notes.len() < MOST_NOTES {
                self.notes.push(note.clone());
            } else {
                self.more_notes += 1;
            }
        }
        self.add_content(profile)
    }

    /// Adds the numbers of a recording's waits, from `first` on.
    pub(crate) fn add_numbers(&mut self, profile: &Profile, renumbered: &Renumbered, first: u32) {
        for (waiting, &index) in profile.waits.iter().zip(&renumbered.waits) {
            self.sum.waits[index].numbers.extend(waiting.numbers.iter().map(|number| first.saturating_add(*number)));
        }
    }

    /// Returns the sum with its notes, and whether threads are known in all recordings.
    pub(crate) fn into_sum(mut self) -> (Profile, bool) {
        let threads = self.sum.recording.scheduler.threads;
        self.finish_notes();
        (self.sum, threads)
    }

    /// Returns the sum.
    pub fn finish(mut self) -> Profile {
        let recording = &mut self.sum.recording;
        // Threads are left out, and what is known of them.
        recording.scheduler.threads = false;
        recording.processes = 0;
        recording.recordings = self.recordings;
        self.finish_notes();
        let recording = &mut self.sum.recording;
        let plural = if self.recordings == 1 { "" } else { "s" };
        recording.notes.push(format!(
            "this is the sum of {} recording{plural} of {}: threads, goroutines and the timeline are left out",
            self.recordings,
            self.programs.join(", ")
        ));
        self.sum
    }

    fn finish_notes(&mut self) {
        let notes = &mut self.sum.recording.notes;
        notes.append(&mut self.notes);
        if self.more_notes > 0 {
            notes.push(format!("{} other notes of the recordings are left out", self.more_notes));
        }
    }

    fn add_content(&mut self, profile: &Profile) -> Renumbered {
        let libraries: Vec<LibraryId> = profile
            .libraries
            .iter()
            .map(|library| LibraryId(index(&mut self.libraries, &mut self.sum.libraries, library.clone())))
            .collect();
        let target = Library { path: profile.target.path.clone(), build_id: profile.target.build_id.clone() };
        let is_first = (&self.sum.target.path, &self.sum.target.build_id) == (&target.path, &target.build_id);
        // A program that is not the sum's is a file like a library.
        let program = if is_first {
            CodeFile::Program
        } else {
            CodeFile::Library(LibraryId(index(&mut self.libraries, &mut self.sum.libraries, target)))
        };
        let functions: Vec<FunctionId> = profile
            .functions
            .iter()
            .map(|function| FunctionId(index(&mut self.functions, &mut self.sum.functions, function.clone())))
            .collect();
        let locations: Vec<LocationId> = profile
            .locations
            .iter()
            .map(|location| {
                let line = |line: &Line| Line { function: functions[line.function.0], line: line.line };
                let file = match location.file {
                    CodeFile::Library(library) => CodeFile::Library(libraries[library.0]),
                    CodeFile::Program => program,
                    CodeFile::None => CodeFile::None,
                };
                let location = Location { file, lines: location.lines.iter().map(line).collect(), ..*location };
                LocationId(index(&mut self.locations, &mut self.sum.locations, location))
            })
            .collect();
        let stack = |stack: &[LocationId]| stack.iter().map(|location| locations[location.0]).collect::<Vec<_>>();
        let cells = self.add_cells(profile, &functions, stack);
        let cell = |cell: Option<u64>| cell.and_then(|id| cells.get(&id).copied());
        for sampled in &profile.samples {
            let key = (self.process, (cell(sampled.cell), stack(&sampled.stack)));
            let sum = entry(&mut self.samples, &mut self.sum.samples, key, |(process, (cell, stack))| SampledStack {
                cell: *cell,
                process: *process,
                stack: stack.clone(),
                inside: sampled.inside,
                ..SampledStack::default()
            });
            sum.truncated |= sampled.truncated;
            sum.samples = sum.samples.saturating_add(sampled.samples);
        }
        let mut waits = Vec::new();
        for waiting in &profile.waits {
            let key = (cell(waiting.cell), stack(&waiting.stack));
            let next = self.sum.waits.len();
            waits.push(self.waits.get(&key).copied().unwrap_or(next));
            let sum = entry(&mut self.waits, &mut self.sum.waits, key, |(cell, stack)| WaitingStack {
                cell: *cell,
                stack: stack.clone(),
                inside: waiting.inside,
                ..WaitingStack::default()
            });
            sum.truncated |= waiting.truncated;
            sum.time += waiting.time;
            sum.found = sum.found.saturating_add(waiting.found);
        }
        for callback in &profile.callbacks {
            let key = (functions[callback.function.0], callback.within.map(|within| functions[within.0]));
            let sum = entry(&mut self.callbacks, &mut self.sum.callbacks, key, |&(function, within)| Callback {
                function,
                within,
                ..Callback::default()
            });
            add_callback(sum, callback);
        }
        for lock in &profile.locks {
            let sum = entry(&mut self.locks, &mut self.sum.locks, stack(&lock.stack), |stack| Lock {
                stack: stack.clone(),
                idle_ns: Some(0.0),
                ..Lock::default()
            });
            sum.locks = sum.locks.saturating_add(lock.locks);
            sum.held = sum.held.saturating_add(lock.held);
            sum.held_ns += lock.held_ns;
            sum.longest_ns = sum.longest_ns.max(lock.longest_ns);
            sum.idle_ns = both(sum.idle_ns, lock.idle_ns, |one, other| one + other);
        }
        Renumbered { functions, locations, cells, waits }
    }

    /// Adds crossings, and returns the ids that their cells have in the sum.
    fn add_cells(
        &mut self,
        profile: &Profile,
        functions: &[FunctionId],
        stack: impl Fn(&[LocationId]) -> Vec<LocationId>,
    ) -> HashMap<u64, u64> {
        let mut ids = HashMap::new();
        for cell in &profile.cells {
            let key = CellKey {
                process: self.process,
                function: functions[cell.function.0],
                stack: stack(&cell.stack),
                via: cell.via,
                locked: cell.locked,
                truncated: cell.truncated,
            };
            let id = self.sum.cells.len() as u64 + 1;
            let sum = entry(&mut self.cells, &mut self.sum.cells, key, |key| Cell {
                id,
                process: key.process,
                function: key.function,
                stack: key.stack.clone(),
                via: key.via,
                locked: key.locked,
                truncated: key.truncated,
                ..Cell::default()
            });
            sum.stats.add(&cell.stats);
            ids.insert(cell.id, sum.id);
        }
        ids
    }
}

/// Returns the index of a thing in a list, where it is added if it is new.
fn index<T: Clone + Eq + Hash>(indices: &mut HashMap<T, usize>, all: &mut Vec<T>, thing: T) -> usize {
    *indices.entry(thing).or_insert_with_key(|thing| {
        all.push(thing.clone());
        all.len() - 1
    })
}

/// Returns what a key stands for in a list, where it is added if it is new.
fn entry<'a, K: Eq + Hash, T>(
    indices: &mut HashMap<K, usize>,
    all: &'a mut Vec<T>,
    key: K,
    new: impl FnOnce(&K) -> T,
) -> &'a mut T {
    let index = *indices.entry(key).or_insert_with_key(|key| {
        all.push(new(key));
        all.len() - 1
    });
    &mut all[index]
}

/// Returns both values together; none where one is not known.
fn both<T>(one: Option<T>, other: Option<T>, together: impl FnOnce(T, T) -> T) -> Option<T> {
    Some(together(one?, other?))
}

/// Whether no crossing was timed.
fn untimed(recording: &Recording) -> bool {
    recording.timing == "none"
}

/// Notes that the crossings so far have no times, though later ones have, or the other way round.
fn leave_untimed(profile: &mut Profile) {
    profile.recording.timing = "auto".into();
    for stats in profile.cells.iter_mut().map(|cell| &mut cell.stats) {
        stats.untimed = stats.calls.saturating_sub(stats.abandoned);
    }
}

fn differs(sum: &Recording, added: &Recording) -> Result<(), MergeError> {
    let checks = [
        (sum.knows == added.knows, OTHER_ENGINE),
        (untimed(sum) == untimed(added), "only some have times (--timing none)"),
        (sum.sample_period_ns == added.sample_period_ns, OTHER_PERIOD),
        (sum.off_cpu == added.off_cpu, "only some have blocked times"),
    ];
    checks.into_iter().find(|&(is_same, _)| !is_same).map_or(Ok(()), |(_, why)| Err(MergeError::Differs(why)))
}

/// Adds the facts of a recording; `weights` are the crossings of both.
fn add_recording(sum: &mut Recording, added: &Recording, (ours, theirs): (f64, f64)) {
    let mean = |one: f64, other: f64| (one * ours + other * theirs) / (ours + theirs).max(1.0);
    sum.hook_ns_per_crossing = mean(sum.hook_ns_per_crossing, added.hook_ns_per_crossing);
    sum.clock_read_ns = mean(sum.clock_read_ns, added.clock_read_ns);
    for (one, other) in [(&mut sum.engine, &added.engine), (&mut sum.timing, &added.timing)] {
        for name in other.split(", ") {
            if !one.split(", ").any(|known| known == name) {
                *one += ", ";
                *one += name;
            }
        }
    }
    sum.start_unix_ns = sum.start_unix_ns.min(added.start_unix_ns);
    for (one, other) in [
        (&mut sum.duration_ns, added.duration_ns),
        (&mut sum.folded_stacks, added.folded_stacks),
        (&mut sum.foreign_callbacks, added.foreign_callbacks),
        (&mut sum.every_wait_ns, added.every_wait_ns),
        (&mut sum.lost_events, added.lost_events),
        (&mut sum.lost_samples, added.lost_samples),
        (&mut sum.forgotten.goroutines, added.forgotten.goroutines),
        (&mut sum.forgotten.alive, added.forgotten.alive),
        (&mut sum.forgotten.calls, added.forgotten.calls),
        (&mut sum.forgotten.migrations, added.forgotten.migrations),
    ] {
        *one = one.saturating_add(other);
    }
    sum.looks_cost_ns = both(sum.looks_cost_ns, added.looks_cost_ns, u64::saturating_add);
    sum.num_cgo_call = both(sum.num_cgo_call, added.num_cgo_call, u64::saturating_add);
    let (one, other) = (sum.scheduler, added.scheduler);
    sum.scheduler = Scheduler {
        migrations: one.migrations && other.migrations,
        ps: one.ps && other.ps,
        callbacks: one.callbacks && other.callbacks,
        locks: one.locks && other.locks,
        threads: one.threads && other.threads,
    };
    let (one, other) = (sum.parallelism, added.parallelism);
    sum.parallelism = Parallelism {
        processors: one.processors.filter(|_| one.processors == other.processors),
        quota: one.quota.filter(|_| one.quota == other.quota),
        gomaxprocs: one.gomaxprocs.filter(|_| one.gomaxprocs == other.gomaxprocs),
        ran_ns: both(one.ran_ns, other.ran_ns, u64::saturating_add),
        preempted_ns: both(one.preempted_ns, other.preempted_ns, u64::saturating_add),
    };
}

fn add_callback(sum: &mut Callback, added: &Callback) {
    for (one, other) in [
        (&mut sum.calls, added.calls),
        (&mut sum.timed, added.timed),
        (&mut sum.abandoned, added.abandoned),
        (&mut sum.foreign_threads, added.foreign_threads),
        (&mut sum.attached, added.attached),
    ] {
        *one = one.saturating_add(other);
    }
    sum.acquire += added.acquire;
    sum.go += added.go;
    sum.release += added.release;
    sum.go_times.merge(&added.go_times);
    sum.border_times.merge(&added.border_times);
    sum.attach_ns += added.attach_ns;
}
