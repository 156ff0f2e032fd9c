//! Writes samples as a pprof profile with nothing in it that other programs don't know.

use std::collections::{BTreeSet, HashMap};

use crate::encode::{Encoder, gzipped};
use crate::increment::Increment;
use crate::model::Profile;
use crate::pprof;

/// Returns a part of a profile as one gzip member with the fields of pprof alone. Functions and locations that its stacks
/// don't have are left out, and the others are numbered from 1 on: Parca refuses gaps.
pub fn plain(profile: &Profile, increment: &Increment) -> Vec<u8> {
    let (mut encoder, mut message) = (Encoder::default(), pprof::Profile::default());
    encoder.begin(profile, &mut message);
    message.time_nanos = increment.start_unix_ns as i64;
    message.duration_nanos = increment.duration_ns as i64;
    encoder.add_libraries(profile, &mut message);
    let locations = increment.stacks.iter().flat_map(|stack| &stack.stack).map(|location| location.0);
    let locations = numbered(locations);
    let lines = locations.iter().flat_map(|(location, _)| &profile.locations[*location].lines);
    let functions = numbered(lines.map(|line| line.function.0));
    for &(index, _) in &functions {
        let pprof::Function { id: _, name, system_name, filename, start_line, .. } =
            encoder.function(index, &profile.functions[index], &mut message);
        let id = message.function.len() as u64 + 1;
        let known = pprof::Function { id, name, system_name, filename, start_line, ..pprof::Function::default() };
        message.function.push(known);
    }
    let functions: HashMap<_, _> = functions.into_iter().collect();
    for &(index, id) in &locations {
        let mut location = Encoder::location(index, &profile.locations[index]);
        location.id = id;
        location.line.iter_mut().zip(&profile.locations[index].lines).for_each(|(line, known)| {
            line.function_id = functions[&known.function.0];
        });
        message.location.push(location);
    }
    let locations: HashMap<_, _> = locations.into_iter().collect();
    for stack in &increment.stacks {
        let label = encoder.labels(profile, stack.process, stack.locked, &mut message);
        let location_id = stack.stack.iter().map(|location| locations[&location.0]).collect();
        message.sample.push(pprof::Sample { location_id, value: stack.values.to_vec(), label });
    }
    gzipped(&message)
}

/// Returns indices in their order, each once, with their numbers from 1 on.
fn numbered(indices: impl Iterator<Item = usize>) -> Vec<(usize, u64)> {
    indices.collect::<BTreeSet<usize>>().into_iter().zip(1..).collect()
}
