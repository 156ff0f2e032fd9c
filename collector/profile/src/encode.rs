//! Writes the model as members of a file.

use std::collections::HashMap;
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use prost::Message as _;

use crate::code::{CodeFile, Function, Line, Location};
use crate::counted_samples::CountedSamples;
use crate::estimate::Estimate;
use crate::metrics::{Numbers, Stats};
use crate::model::{Cell, Profile, SampledStack};
use crate::recording::Parallelism;
use crate::{pprof, scheduler_file, timeline_file, waits_file};

/// The sample types, in the order of every sample's values.
pub const SAMPLE_TYPES: [(&str, &str); 7] = [
    ("crossings", "count"),
    ("total", "nanoseconds"),
    ("c", "nanoseconds"),
    ("overhead", "nanoseconds"),
    ("exit_wait", "nanoseconds"),
    ("cpu", "nanoseconds"),
    ("blocked", "nanoseconds"),
];

/// Writes a recording as one member, or, while it grows, as a member for each piece of it.
///
/// Each call of [`Encoder::member`] writes the changes since the previous call; of the timeline, all that it is given.
#[derive(Default)]
pub struct Encoder {
    strings: HashMap<String, i64>,
    libraries: usize,
    functions: usize,
    locations: usize,
    written: HashMap<u64, Stats>,
    samples: CountedSamples,
    begun: bool,
    members: u32,
}

pub(crate) fn gzipped(message: &pprof::Profile) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    let written = gzip.write_all(&message.encode_to_vec());
    written.and_then(|()| gzip.finish()).unwrap_or_default()
}

impl Encoder {
    /// Returns the next member: gzipped, complete in itself.
    pub fn member(&mut self, profile: &Profile) -> Vec<u8> {
        gzipped(&self.message(profile))
    }

    fn message(&mut self, profile: &Profile) -> pprof::Profile {
        let mut message = pprof::Profile::default();
        if !self.begun {
            self.begun = true;
            self.begin(profile, &mut message);
        }
        message.duration_nanos = profile.recording.duration_ns as i64;
        self.add_libraries(profile, &mut message);
        self.add_functions(profile, &mut message);
        self.add_locations(profile, &mut message);
        let mut cells = Vec::new();
        for cell in &profile.cells {
            self.add_cell(profile, cell, &mut message, &mut cells);
        }
        // Threads and goroutines are always written as a whole, so members with them get rarer as the file grows.
        let whole = self.members.is_power_of_two() || self.members.is_multiple_of(WHOLE_EVERY);
        self.members += 1;
        let added = self.samples.added(&profile.samples);
        let added = profile.samples.iter().zip(added).filter(|&(_, samples)| samples > 0);
        let sampled = added.map(|(stack, samples)| self.add_samples(profile, stack, samples, &mut message)).collect();
        if !profile.processes.is_empty() {
            // The rest follows from the processes.
            let process = profile.processes.iter();
            let process = process.map(|process| Encoder::default().message(process).encode_to_vec()).collect();
            message.cgoprof.push(pprof::Extension {
                version: SEVERAL_PROCESSES,
                process,
                ..pprof::Extension::default()
            });
            return message;
        }
        message.cgoprof.push(pprof::Extension {
            version: ONE_PROCESS,
            target: Some(target(profile)),
            recording: Some(recording(profile)),
            cell: cells,
            sampled,
            thread: profile.threads.iter().filter(|_| whole).map(scheduler_file::thread).collect(),
            scheduler: whole.then(|| scheduler_file::scheduler(profile)),
            timeline: Some(timeline_file::timeline(&profile.timeline)),
            wait: if whole { waits_file::waits(profile) } else { Vec::new() },
            process: Vec::new(),
        });
        message
    }

    pub(crate) fn begin(&mut self, profile: &Profile, message: &mut pprof::Profile) {
        self.string("", message);
        for (name, unit) in SAMPLE_TYPES {
            let value = pprof::ValueType { r#type: self.string(name, message), unit: self.string(unit, message) };
            message.sample_type.push(value);
        }
        let usual = if profile.recording.counted() { "total" } else { "cpu" };
        message.default_sample_type = self.string(usual, message);
        message.period_type = message.sample_type.first().cloned();
        message.period = 1;
        message.time_nanos = profile.recording.start_unix_ns as i64;
        self.add_mapping(PROGRAM, &profile.target.path, &profile.target.build_id, message);
    }

    /// Adds a file. Its mapping spans all addresses: those of locations are as the file states them.
    fn add_mapping(&mut self, id: u64, path: &str, build_id: &str, message: &mut pprof::Profile) {
        let mapping = pprof::Mapping {
            id,
            memory_start: 0,
            memory_limit: u64::MAX,
            filename: self.string(path, message),
            build_id: self.string(build_id, message),
            has_functions: true,
            has_filenames: true,
            has_line_numbers: true,
            has_inline_frames: true,
            ..Default::default()
        };
        message.mapping.push(mapping);
    }

    pub(crate) fn add_libraries(&mut self, profile: &Profile, message: &mut pprof::Profile) {
        for (index, library) in profile.libraries.iter().enumerate().skip(self.libraries) {
            self.add_mapping(FIRST_LIBRARY + index as u64, &library.path, &library.build_id, message);
        }
        self.libraries = profile.libraries.len();
    }

    fn string(&mut self, text: &str, message: &mut pprof::Profile) -> i64 {
        if let Some(&index) = self.strings.get(text) {
            return index;
        }
        let index = self.strings.len() as i64;
        self.strings.insert(text.to_owned(), index);
        message.string_table.push(text.to_owned());
        index
    }

    fn add_functions(&mut self, profile: &Profile, message: &mut pprof::Profile) {
        for (index, function) in profile.functions.iter().enumerate().skip(self.functions) {
            let encoded = self.function(index, function, message);
            message.function.push(encoded);
        }
        self.functions = profile.functions.len();
    }

    pub(crate) fn function(
        &mut self,
        index: usize,
        function: &Function,
        message: &mut pprof::Profile,
    ) -> pprof::Function {
        let system_name = if function.symbol.is_empty() { &function.name } else { &function.symbol };
        pprof::Function {
            id: index as u64 + 1,
            name: self.string(&function.name, message),
            system_name: self.string(system_name, message),
            filename: self.string(&function.file, message),
            start_line: 0,
            kind: function.kind.number(),
            c_name: function.c_name.clone(),
            package: function.package.clone(),
            library: function.library.clone(),
            thread_local: function.thread_local,
            wrapper: function.wrapper.map(|found| u32::from(found.escapes) | u32::from(found.nocallback) << 1),
        }
    }

    fn add_locations(&mut self, profile: &Profile, message: &mut pprof::Profile) {
        for (index, location) in profile.locations.iter().enumerate().skip(self.locations) {
            message.location.push(Self::location(index, location));
        }
        self.locations = profile.locations.len();
    }

    pub(crate) fn location(index: usize, location: &Location) -> pprof::Location {
        let line = |line: &Line| pprof::Line { function_id: line.function.0 as u64 + 1, line: i64::from(line.line) };
        pprof::Location {
            id: index as u64 + 1,
            mapping_id: match location.file {
                CodeFile::Program => PROGRAM,
                CodeFile::Library(library) => FIRST_LIBRARY + library.0 as u64,
                CodeFile::None => 0,
            },
            address: location.address,
            line: location.lines.iter().map(line).collect(),
        }
    }

    /// Returns the labels of a sample: of which process it is, if there are several, and whether the goroutine was locked to
    /// its thread.
    pub(crate) fn labels(
        &mut self,
        profile: &Profile,
        process: usize,
        locked: bool,
        message: &mut pprof::Profile,
    ) -> Vec<pprof::Label> {
        let mut labels = Vec::new();
        if let Some(process) = profile.processes.get(process) {
            let (key, str) = (self.string("program", message), self.string(process.target.program(), message));
            labels.push(pprof::Label { key, str, num: 0 });
            let (key, num) = (self.string("pid", message), i64::from(process.target.pid));
            labels.push(pprof::Label { key, str: 0, num });
        }
        if locked {
            let (key, str) = (self.string("locked", message), self.string("true", message));
            labels.push(pprof::Label { key, str, num: 0 });
        }
        labels
    }

    fn add_cell(&mut self, profile: &Profile, cell: &Cell, message: &mut pprof::Profile, cells: &mut Vec<pprof::Cell>) {
        let written = self.written.get(&cell.id);
        if written == Some(&cell.stats) {
            return;
        }
        let before = written.cloned().unwrap_or_default();
        let location_id: Vec<u64> = cell.stack.iter().map(|location| location.0 as u64 + 1).collect();
        let label = self.labels(profile, cell.process, cell.locked, message);
        let now = values(&cell.stats);
        let value: Vec<i64> = now.iter().zip(values(&before)).map(|(now, before)| now - before).collect();
        if value.iter().any(|&value| value != 0) {
            message.sample.push(pprof::Sample { location_id: location_id.clone(), value, label });
        }
        cells.push(added(cell, &before, location_id));
        // Crossings in flight count as timed. Those that return untimed no longer do, but written numbers stay.
        let timed = cell.stats.timed.max(before.timed);
        self.written.insert(cell.id, Stats { timed, ..cell.stats.clone() });
    }

    /// Adds new samples of a stack to the samples, and returns them as what cgoprof keeps beside those.
    fn add_samples(
        &mut self,
        profile: &Profile,
        stack: &SampledStack,
        samples: u64,
        message: &mut pprof::Profile,
    ) -> pprof::SampledStack {
        let location_id: Vec<u64> = stack.stack.iter().map(|location| location.0 as u64 + 1).collect();
        let mut value = vec![0; SAMPLE_TYPES.len()];
        value[CPU] = samples.saturating_mul(profile.recording.sample_period_ns) as i64;
        let label = self.labels(profile, stack.process, false, message);
        message.sample.push(pprof::Sample { location_id: location_id.clone(), value, label });
        pprof::SampledStack {
            cell_id: stack.cell,
            location_id,
            inside: stack.inside as u32,
            truncated: stack.truncated,
            samples,
        }
    }
}

/// Version of the extension in files of one process.
pub(crate) const ONE_PROCESS: u32 = 1;

/// Version in files of several processes.
pub(crate) const SEVERAL_PROCESSES: u32 = 2;

/// Id of the program's mapping.
const PROGRAM: u64 = 1;

/// Id of the first library's mapping.
pub(crate) const FIRST_LIBRARY: u64 = PROGRAM + 1;

/// Members from one with all threads and goroutines to the next, once there are many.
const WHOLE_EVERY: u32 = 32;

/// Place of `cpu` in [`SAMPLE_TYPES`].
pub const CPU: usize = 5;

/// Returns the standard errors of [`values`] that come from timing only some crossings; 0 where there is none.
pub(crate) fn sampling_errors(stats: &Stats) -> [f64; SAMPLE_TYPES.len()] {
    let error = |estimate: Estimate| estimate.variance.max(0.0).sqrt();
    [0.0, error(stats.total()), error(stats.c), error(stats.overhead()), error(stats.exit), 0.0, 0.0]
}

/// Returns the values of a cell's sample, in the order of [`SAMPLE_TYPES`]. Processor time has samples of its own.
/// Times leave out callbacks, because the crossings in them have samples of their own, and readers add up along the
/// stack.
pub fn values(stats: &Stats) -> [i64; SAMPLE_TYPES.len()] {
    let round = |nanos: f64| nanos.round() as i64;
    [
        stats.calls as i64,
        round(stats.total_self()),
        round(stats.c_self()),
        round(stats.overhead().sum),
        round(stats.exit.sum),
        0,
        round(stats.blocked_self()),
    ]
}

fn added(cell: &Cell, before: &Stats, location_id: Vec<u64>) -> pprof::Cell {
    let head = pprof::CellHead {
        id: cell.id,
        function_id: cell.function.0 as u64 + 1,
        location_id,
        via: cell.via.number(),
        locked: cell.locked,
        truncated: cell.truncated,
    };
    pprof::Cell { head, numbers: Numbers::new(&cell.stats, before) }
}

fn target(profile: &Profile) -> pprof::Target {
    let target = profile.target.clone();
    pprof::Target {
        path: target.path,
        args: target.args,
        pid: target.pid,
        go_version: target.go_version,
        arch: target.arch,
        build_id: target.build_id,
        pie: target.pie,
        stripped: target.stripped,
        race: target.race,
        cgo: target.cgo,
    }
}

fn recording(profile: &Profile) -> pprof::Recording {
    let recording = profile.recording.clone();
    pprof::Recording {
        engine: recording.engine,
        knows: Some(recording.knows.bits()),
        timing: recording.timing,
        start_unix_ns: recording.start_unix_ns,
        duration_ns: recording.duration_ns,
        hook_ns_per_crossing: recording.hook_ns_per_crossing,
        clock_read_ns: recording.clock_read_ns,
        folded_stacks: recording.folded_stacks,
        foreign_callbacks: recording.foreign_callbacks,
        sample_period_ns: recording.sample_period_ns,
        lost_samples: recording.lost_samples,
        off_cpu: recording.off_cpu,
        lost_events: recording.lost_events,
        num_cgo_call: recording.num_cgo_call,
        scheduler: scheduler_file::seen(recording.scheduler),
        forgotten: scheduler_file::forgotten(recording.forgotten),
        looks_cost_ns: recording.looks_cost_ns,
        every_wait_ns: recording.every_wait_ns,
        parallelism: Some(parallelism(recording.parallelism)),
        recordings: recording.recordings,
        notes: recording.notes,
    }
}

fn parallelism(found: Parallelism) -> pprof::Parallelism {
    let Parallelism { processors, quota, gomaxprocs, ran_ns, preempted_ns } = found;
    pprof::Parallelism { processors, quota, gomaxprocs, ran_ns, preempted_ns }
}
