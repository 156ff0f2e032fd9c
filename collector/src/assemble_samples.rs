//! From walked samples to the profile's stacks: what C did inside each crossing, below that the crossing's exact stack.

use std::collections::HashMap;

use cgoprof_hook::layout::CellRef;
use cgoprof_profile::{LocationId, Profile, SampledStack};
use cgoprof_symbols::Avma;

use crate::assemble::Crossing;
use crate::sampling::Samples;
use crate::symbolize::Symbolizer;
use crate::unwind::{Place, Walk};

/// Puts the samples into the profile, in place of those it holds. `tables` is where the target has its tables.
pub(crate) fn assemble_samples(
    profile: &mut Profile,
    samples: &Samples,
    crossings: &HashMap<CellRef, Crossing>,
    symbolizer: &mut Symbolizer<'_, '_>,
    tables: Avma,
) {
    let mut known: HashMap<(Option<u64>, Vec<LocationId>), usize> = HashMap::new();
    profile.samples.clear();
    profile.recording.lost_samples = samples.lost;
    for (walk, &count) in &samples.walks {
        let stack = stack(profile, walk, crossings, symbolizer, tables);
        let truncated = stack.truncated;
        let index = *known.entry((stack.cell, stack.stack.clone())).or_insert_with(|| {
            profile.samples.push(stack);
            profile.samples.len() - 1
        });
        profile.samples[index].samples += count;
        profile.samples[index].truncated |= truncated;
    }
}

fn stack(
    profile: &mut Profile,
    walk: &Walk,
    crossings: &HashMap<CellRef, Crossing>,
    symbolizer: &mut Symbolizer<'_, '_>,
    tables: Avma,
) -> SampledStack {
    let mut found = SampledStack { truncated: walk.truncated, ..SampledStack::default() };
    match walk.place {
        Place::Hooks => found.stack.push(symbolizer.hooks(profile)),
        Place::Go => {
            found.stack = walk.frames.iter().map(|&call| symbolizer.either(profile, call)).collect();
        }
        Place::Elsewhere => {
            found.stack = walk.frames.iter().map(|&call| symbolizer.inside(profile, call)).collect();
        }
        Place::Crossing(word) => {
            let cell = CellRef(((word & !1).wrapping_sub(tables.0) / 64) as u32);
            let crossing = crossings.get(&cell);
            let frames =
                crossing.map_or(walk.frames.as_slice(), |crossing| within(profile, &walk.frames, crossing, symbolizer));
            found.stack = frames.iter().map(|&call| symbolizer.inside(profile, call)).collect();
            if let Some(crossing) = crossing {
                found.inside = found.stack.len();
                found.cell = Some(crossing.id);
                found.stack.extend_from_slice(&crossing.stack);
                found.truncated |= crossing.truncated;
            }
        }
    }
    found
}

/// The frames that the crossing's own C function has called: without the wrapper that cgo writes (it may have jumped on)
/// and the function of the same name, for which the cell's frame stands.
fn within<'a>(
    profile: &mut Profile,
    frames: &'a [Avma],
    crossing: &Crossing,
    symbolizer: &mut Symbolizer<'_, '_>,
) -> &'a [Avma] {
    let mut inner = frames;
    if let Some((&outermost, rest)) = inner.split_last()
        && symbolizer.same_function(profile, outermost, crossing.function)
    {
        inner = rest;
    }
    if let Some((&outermost, rest)) = inner.split_last() {
        let location = symbolizer.inside(profile, outermost);
        let function = |location: LocationId| &profile.functions[profile.locations[location.0].lines[0].function.0];
        if function(location).symbol == function(crossing.stack[0]).c_name {
            inner = rest;
        }
    }
    inner
}
