//! Reads the bytes of a file into the model. The bytes may be anything.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use prost::Message as _;

use crate::code::{CodeFile, Function, Kind, Library, LibraryId, Line, Location, Via, Wrapper};
use crate::encode::{FIRST_LIBRARY, ONE_PROCESS, SEVERAL_PROCESSES};
use crate::estimate::finite;
use crate::merge::MergeError;
use crate::metrics::Stats;
use crate::model::{Cell, Profile, SampledStack};
use crate::processes::MOST_PROCESSES;
use crate::recording::{Knows, Parallelism, Recording, Target};
use crate::references::{DecodeError, LARGEST, function_id, location_id};
use crate::{pprof, processes, scheduler_file, timeline_file, waits_file};

/// Reads a file. One that was cut short is read up to its last complete member, and gets a note on that.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(file: &[u8]) -> Result<Profile, DecodeError> {
    let (bytes, whole) = inflate(file)?;
    let mut profile = decode_message(&bytes)?;
    if !whole {
        profile.recording.notes.push("the file was cut short: this is what had been written by then".into());
    }
    Ok(profile)
}

/// Reads the uncompressed content of a file.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode_message(bytes: &[u8]) -> Result<Profile, DecodeError> {
    let message = pprof::Profile::decode(bytes)?;
    let newest = message.cgoprof.iter().map(|extension| extension.version).max().unwrap_or(ONE_PROCESS);
    if newest == SEVERAL_PROCESSES && message.cgoprof.len() > 1 {
        return Err(DecodeError::Mixed);
    }
    match newest {
        SEVERAL_PROCESSES => {
            let encoded = message.cgoprof.iter().flat_map(|extension| &extension.process);
            match encoded.clone().count() {
                0 => return Err(DecodeError::NotOurs),
                many if many > MOST_PROCESSES => return Err(DecodeError::Processes(MergeError::TooMany)),
                _ => {}
            }
            let process = |bytes: &Vec<u8>| {
                let message = pprof::Profile::decode(bytes.as_slice())?;
                if message.cgoprof.iter().any(|extension| extension.version == SEVERAL_PROCESSES) {
                    return Err(DecodeError::Nested);
                }
                Ok(Arc::new(one_process(message)?))
            };
            let processes = encoded.map(process).collect::<Result<_, DecodeError>>()?;
            processes::combine(processes).map_err(DecodeError::Processes)
        }
        _ => one_process(message),
    }
}

/// Reads the recording of one process.
fn one_process(message: pprof::Profile) -> Result<Profile, DecodeError> {
    if message.cgoprof.is_empty() {
        return Err(DecodeError::NotOurs);
    }
    let mut profile = Profile::default();
    read_functions(&message, &mut profile)?;
    read_libraries(&message, &mut profile)?;
    read_locations(&message, &mut profile)?;
    let (mut by_id, mut by_stack) = (HashMap::new(), HashMap::new());
    for extension in message.cgoprof {
        if extension.version > ONE_PROCESS {
            return Err(DecodeError::TooNew(extension.version));
        }
        if let Some(found) = extension.target {
            profile.target = target(found);
        }
        if let Some(found) = extension.recording {
            profile.recording = recording(found);
        }
        for found in extension.cell {
            read_cell(found, &mut profile, &mut by_id)?;
        }
        if !extension.thread.is_empty() {
            let read = extension.thread.into_iter().map(|found| scheduler_file::read_thread(found, &profile));
            profile.threads = read.collect::<Result<_, _>>()?;
        }
        if !extension.wait.is_empty() {
            let read = extension.wait.into_iter().map(|found| waits_file::read_wait(found, &profile));
            profile.waits = read.collect::<Result<_, _>>()?;
        }
        if let Some(found) = extension.scheduler {
            scheduler_file::read_scheduler(found, &mut profile)?;
        }
        if let Some(found) = extension.timeline {
            timeline_file::read_timeline(found, Arc::make_mut(&mut profile.timeline));
        }
        for found in extension.sampled {
            read_samples(found, &mut profile, &mut by_stack)?;
        }
    }
    Ok(profile)
}

/// Returns the bytes of all complete members, and whether nothing else follows them.
fn inflate(file: &[u8]) -> Result<(Vec<u8>, bool), DecodeError> {
    let mut all = Vec::new();
    match MultiGzDecoder::new(file).take(LARGEST).read_to_end(&mut all) {
        Ok(_) if all.len() as u64 == LARGEST => return Err(DecodeError::TooLarge),
        Ok(_) => return Ok((all, true)),
        Err(_) => all.clear(),
    }
    // Read member by member, as far as they are whole.
    let mut rest = file;
    let mut first_error = None;
    while !rest.is_empty() {
        let mut member = Vec::new();
        let mut decoder = flate2::bufread::GzDecoder::new(rest);
        match (&mut decoder).take(LARGEST).read_to_end(&mut member) {
            Ok(_) => {
                all.append(&mut member);
                rest = decoder.into_inner();
            }
            Err(error) => {
                first_error = Some(error);
                break;
            }
        }
        if all.len() as u64 >= LARGEST {
            return Err(DecodeError::TooLarge);
        }
    }
    match first_error {
        Some(error) if all.is_empty() => Err(DecodeError::Gzip(error)),
        _ => Ok((all, false)),
    }
}

fn string(message: &pprof::Profile, index: i64) -> Result<String, DecodeError> {
    let found = usize::try_from(index).ok().and_then(|index| message.string_table.get(index));
    found.cloned().ok_or(DecodeError::Dangling("string", index as u64))
}

/// Reads the mappings after the program's.
fn read_libraries(message: &pprof::Profile, profile: &mut Profile) -> Result<(), DecodeError> {
    for (mapping, expected) in message.mapping.iter().skip(1).zip(FIRST_LIBRARY..) {
        if mapping.id != expected {
            return Err(DecodeError::Dangling("mapping", mapping.id));
        }
        let (path, build_id) = (string(message, mapping.filename)?, string(message, mapping.build_id)?);
        profile.libraries.push(Library { path, build_id });
    }
    Ok(())
}

fn read_functions(message: &pprof::Profile, profile: &mut Profile) -> Result<(), DecodeError> {
    let string = |index: i64| string(message, index);
    for (index, function) in message.function.iter().enumerate() {
        if function.id != index as u64 + 1 {
            return Err(DecodeError::Dangling("function", function.id));
        }
        let kind = Kind::from_number(function.kind);
        let (name, symbol) = (string(function.name)?, string(function.system_name)?);
        profile.functions.push(Function {
            symbol: if symbol == name { String::new() } else { symbol },
            name,
            kind,
            file: string(function.filename)?,
            c_name: function.c_name.clone(),
            package: function.package.clone(),
            library: function.library.clone(),
            thread_local: function.thread_local,
            wrapper: function.wrapper.map(|bits| Wrapper { escapes: bits & 1 != 0, nocallback: bits & 2 != 0 }),
        });
    }
    Ok(())
}

fn read_locations(message: &pprof::Profile, profile: &mut Profile) -> Result<(), DecodeError> {
    for (index, location) in message.location.iter().enumerate() {
        if location.id != index as u64 + 1 {
            return Err(DecodeError::Dangling("location", location.id));
        }
        let mut lines = Vec::new();
        for line in &location.line {
            let function = function_id(line.function_id, profile)?;
            lines.push(Line { function, line: u32::try_from(line.line).unwrap_or(0) });
        }
        if lines.is_empty() {
            return Err(DecodeError::Dangling("line of location", location.id));
        }
        let file = match location.mapping_id.checked_sub(FIRST_LIBRARY) {
            Some(library) if library < profile.libraries.len() as u64 => CodeFile::Library(LibraryId(library as usize)),
            Some(_) => return Err(DecodeError::Dangling("mapping", location.mapping_id)),
            None if location.mapping_id == 0 => CodeFile::None,
            None => CodeFile::Program,
        };
        profile.locations.push(Location { address: location.address, file, lines });
    }
    Ok(())
}

fn read_cell(cell: pprof::Cell, profile: &mut Profile, by_id: &mut HashMap<u64, usize>) -> Result<(), DecodeError> {
    let head = cell.head;
    let index = match by_id.get(&head.id) {
        Some(&index) => index,
        None => {
            let stack: Result<Vec<_>, _> = head.location_id.iter().map(|&id| location_id(id, profile)).collect();
            let new = Cell {
                id: head.id,
                process: 0,
                function: function_id(head.function_id, profile)?,
                stack: stack?,
                via: Via::from_number(head.via),
                locked: head.locked,
                truncated: head.truncated,
                stats: Stats::default(),
            };
            profile.cells.push(new);
            by_id.insert(head.id, profile.cells.len() - 1);
            profile.cells.len() - 1
        }
    };
    profile.cells[index].stats.read(cell.numbers);
    Ok(())
}

fn read_samples(
    found: pprof::SampledStack,
    profile: &mut Profile,
    by_stack: &mut HashMap<(Option<u64>, Vec<u64>), usize>,
) -> Result<(), DecodeError> {
    let key = (found.cell_id, found.location_id);
    if let Some(&index) = by_stack.get(&key) {
        let known = &mut profile.samples[index];
        known.samples = known.samples.saturating_add(found.samples);
        return Ok(());
    }
    let stack: Result<Vec<_>, _> = key.1.iter().map(|&id| location_id(id, profile)).collect();
    let stack = stack?;
    let inside = (found.inside as usize).min(stack.len());
    by_stack.insert(key, profile.samples.len());
    let (cell, truncated, samples) = (found.cell_id, found.truncated, found.samples);
    profile.samples.push(SampledStack { cell, process: 0, stack, inside, truncated, samples });
    Ok(())
}

fn target(found: pprof::Target) -> Target {
    Target {
        path: found.path,
        args: found.args,
        pid: found.pid,
        go_version: found.go_version,
        arch: if found.arch.is_empty() { "x86_64".to_owned() } else { found.arch },
        build_id: found.build_id,
        pie: found.pie,
        stripped: found.stripped,
        race: found.race,
        cgo: found.cgo,
    }
}

/// More than any machine has.
const MOST_PROCESSORS: f64 = 1e6;

fn parallelism(found: pprof::Parallelism) -> Parallelism {
    let pprof::Parallelism { processors, quota, gomaxprocs, ran_ns, preempted_ns } = found;
    let quota = quota.map(|quota| finite(quota).clamp(0.0, MOST_PROCESSORS));
    Parallelism { processors, quota, gomaxprocs, ran_ns, preempted_ns }
}

fn recording(found: pprof::Recording) -> Recording {
    Recording {
        knows: found.knows.map_or_else(|| Knows::of_engine(&found.engine), Knows::from_bits),
        engine: found.engine,
        timing: found.timing,
        start_unix_ns: found.start_unix_ns,
        duration_ns: found.duration_ns,
        hook_ns_per_crossing: found.hook_ns_per_crossing,
        clock_read_ns: found.clock_read_ns,
        folded_stacks: found.folded_stacks,
        foreign_callbacks: found.foreign_callbacks,
        sample_period_ns: found.sample_period_ns,
        lost_samples: found.lost_samples,
        off_cpu: found.off_cpu,
        lost_events: found.lost_events,
        num_cgo_call: found.num_cgo_call,
        scheduler: scheduler_file::read_seen(found.scheduler),
        forgotten: scheduler_file::read_forgotten(&found.forgotten),
        looks_cost_ns: found.looks_cost_ns,
        every_wait_ns: found.every_wait_ns,
        parallelism: found.parallelism.map_or_else(Parallelism::default, parallelism),
        recordings: found.recordings,
        processes: 0,
        notes: found.notes,
    }
}
