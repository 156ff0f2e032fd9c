//! Converts walked samples to the profile's stacks: the C frames inside a crossing, then the crossing's exact stack.

use std::collections::{HashMap, HashSet};

use cgoprof_profile::{Estimate, Function, LocationId, Profile, SampledStack, WaitingStack};
use cgoprof_symbols::Avma;

use crate::arch;
use crate::assemble::{Crossing, sampled_crossing};
use crate::correlate::samples::Samples;
use crate::correlate::waits::WaitsIn;
use crate::counts::cell_id::CellId;
use crate::symbolize::Symbolizer;
use crate::unwind::{Place, Walk};

/// Puts the samples into the profile, in place of those it holds.
pub(crate) fn assemble_samples(
    profile: &mut Profile,
    samples: &Samples,
    crossings: &HashMap<CellId, Crossing>,
    symbolizer: &mut Symbolizer<'_, '_>,
) {
    let mut cells = profile.cells.iter().map(|cell| cell.id).collect();
    let mut lost = 0;
    let threads: HashMap<u64, (String, bool)> =
        profile.threads.iter().map(|thread| (thread.tid, (thread.name.clone(), !thread.made.is_empty()))).collect();
    let mut known: HashMap<(Option<u64>, Vec<LocationId>), usize> = HashMap::new();
    profile.samples.clear();
    profile.recording.lost_samples = samples.lost;
    for (walk, &count) in &samples.walks {
        let mut stack = stack(profile, walk, crossings, symbolizer, &mut cells);
        let truncated = stack.truncated;
        let in_c = walk.frames.first().is_some_and(|&address| !symbolizer.is_go(address));
        let thread = walk.tid.and_then(|tid| threads.get(&tid)).filter(|_| stack.cell.is_none() && in_c);
        match thread {
            // No crossing has called this C code: the thread was made by C.
            Some((name, crosses)) if !crosses || !truncated => stack.stack.push(symbolizer.thread(profile, name)),
            _ => lost += if stack.cell.is_none() && truncated && in_c { count } else { 0 },
        }
        let index = *known.entry((stack.cell, stack.stack.clone())).or_insert_with(|| {
            profile.samples.push(stack);
            profile.samples.len() - 1
        });
        profile.samples[index].samples += count;
        profile.samples[index].truncated |= truncated;
    }
    if lost > 0 {
        profile.recording.notes.push(format!(
            "{lost} samples in C could not be followed to the crossing that called it: they are in no function's row"
        ));
    }
}

/// Puts the stacks that waited into the profile, in place of those it holds.
pub(crate) fn assemble_waits(
    profile: &mut Profile,
    samples: &Samples,
    crossings: &HashMap<CellId, Crossing>,
    symbolizer: &mut Symbolizer<'_, '_>,
) {
    let mut cells = profile.cells.iter().map(|cell| cell.id).collect();
    let mut known: HashMap<(Option<u64>, Vec<LocationId>), usize> = HashMap::new();
    profile.waits.clear();
    let mut waits: Vec<_> = samples.waits.iter().collect();
    waits.sort_by_key(|(_, time)| time.number);
    for (wait, time) in waits {
        let mut found = stack(profile, &wait.walk, crossings, symbolizer, &mut cells);
        let waits_in = match wait.waits_in {
            WaitsIn::Call(number) => system_call(number),
            WaitsIn::Page => Function::PAGE.to_owned(),
            WaitsIn::Kernel(entry) => symbolizer.waits_in_kernel(&entry),
        };
        found.stack.insert(0, symbolizer.wait(profile, &waits_in));
        found.inside += 1;
        let index = *known.entry((found.cell, found.stack.clone())).or_insert_with(|| {
            let SampledStack { cell, stack, inside, .. } = found;
            profile.waits.push(WaitingStack { cell, stack, inside, ..WaitingStack::default() });
            profile.waits.len() - 1
        });
        let known = &mut profile.waits[index];
        known.time += Estimate { sum: time.sum, variance: time.variance, common: 0.0 };
        known.found += time.found;
        known.numbers.push(time.number);
        known.truncated |= found.truncated;
    }
}

/// Name of a system call, or its number if it is newer than our list.
fn system_call(number: u64) -> String {
    arch::system_call_name(number).map_or_else(|| format!("system call {number}"), str::to_owned)
}

fn stack(
    profile: &mut Profile,
    walk: &Walk,
    crossings: &HashMap<CellId, Crossing>,
    symbolizer: &mut Symbolizer<'_, '_>,
    cells: &mut HashSet<u64>,
) -> SampledStack {
    let mut found = SampledStack { truncated: walk.truncated, ..SampledStack::default() };
    match &walk.place {
        Place::Hooks => found.stack.push(symbolizer.hooks(profile)),
        Place::Go => {
            found.stack = walk.frames.iter().map(|&call| symbolizer.either(profile, call)).collect();
        }
        Place::Elsewhere | Place::Called(_) => {
            found.stack = walk.frames.iter().map(|&call| symbolizer.inside(profile, call)).collect();
        }
        Place::Crossing(cell) => match crossings.get(cell) {
            Some(crossing) if walk.gap => {
                // Addresses that the unwinder derived from unknown code are not calls.
                let known: Vec<_> = walk.frames.iter().copied().take_while(|&call| symbolizer.is_known(call)).collect();
                lay_on(&mut found, profile, &known, crossing, symbolizer);
                found.stack.insert(found.inside, symbolizer.unknown_code(profile));
                found.inside += 1;
            }
            Some(crossing) => lay_on(&mut found, profile, &walk.frames, crossing, symbolizer),
            None => found.stack = walk.frames.iter().map(|&call| symbolizer.inside(profile, call)).collect(),
        },
        Place::CalledFrom(stack) => {
            let function = walk.frames.last().map_or(Avma(0), |&call| symbolizer.start_of(call));
            let (crossing, cell) = sampled_crossing(profile, symbolizer, function, stack, walk.truncated);
            if symbolizer.may_be_called(function, stack) {
                if cells.insert(crossing.id) {
                    profile.cells.push(cell);
                }
                lay_on(&mut found, profile, &walk.frames, &crossing, symbolizer);
            } else {
                // Meanwhile the goroutine has come back and called another function.
                found.stack = walk.frames.iter().map(|&call| symbolizer.inside(profile, call)).collect();
                found.truncated = true;
            }
        }
    }
    found
}

/// Completes a sample in C with the crossing's stack.
fn lay_on(
    found: &mut SampledStack,
    profile: &mut Profile,
    frames: &[Avma],
    crossing: &Crossing,
    symbolizer: &mut Symbolizer<'_, '_>,
) {
    let (inside, called) = within(profile, frames, crossing, symbolizer);
    found.stack = inside.iter().map(|&call| symbolizer.inside(profile, call)).collect();
    found.inside = found.stack.len();
    found.cell = Some(crossing.id);
    found.stack.extend_from_slice(&crossing.stack);
    if let Some(address) = called {
        // The cell's frame has the function, but not the place in it.
        let function = profile.locations[crossing.stack[0].0].lines[0].function;
        found.stack[found.inside] = symbolizer.called(profile, address, function);
    }
    found.truncated |= crossing.truncated;
}

/// Returns the frames that the crossing's own C function has called, and where that function stood. The frames leave out
/// the wrapper that cgo writes (it may have jumped on), and the function of the same name, for which the cell's frame
/// stands.
fn within<'a>(
    profile: &mut Profile,
    frames: &'a [Avma],
    crossing: &Crossing,
    symbolizer: &mut Symbolizer<'_, '_>,
) -> (&'a [Avma], Option<Avma>) {
    let (mut inner, mut called) = (frames, None);
    if let Some((&outermost, rest)) = inner.split_last()
        && symbolizer.same_function(profile, outermost, crossing.function)
    {
        (inner, called) = (rest, Some(outermost));
    }
    if let Some((&outermost, rest)) = inner.split_last() {
        let location = symbolizer.inside(profile, outermost);
        let function = |location: LocationId| &profile.functions[profile.locations[location.0].lines[0].function.0];
        if function(location).symbol == function(crossing.stack[0]).c_name {
            (inner, called) = (rest, Some(outermost));
        }
    }
    (inner, called)
}
