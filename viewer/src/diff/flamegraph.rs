//! Differential flame graphs: widths are those of the later side, colours tell what grew and what shrank.

use std::collections::BTreeMap;

use inferno::flamegraph::{Options, from_lines};

use super::compare::Side;
use crate::export::flamegraph::FlamegraphError;
use crate::export::weighted_stacks::weighted_stacks;
use crate::value::Value;

/// Draws what differs, as an SVG.
///
/// # Errors
/// See [`FlamegraphError`].
pub fn draw(base: Side<'_>, now: Side<'_>, value: Value) -> Result<Vec<u8>, FlamegraphError> {
    let mut stacks: BTreeMap<String, [f64; 2]> = BTreeMap::new();
    for (at, side) in [base, now].into_iter().enumerate() {
        for profile in side.repeats {
            let seconds = if side.per_second { profile.recording.duration_ns.max(1) as f64 / 1e9 } else { 1.0 };
            let share = 1.0 / side.repeats.len() as f64 / seconds;
            for stack in weighted_stacks(profile, value) {
                stacks.entry(stack.folded()).or_default()[at] += stack.size as f64 * share;
            }
        }
    }
    let lines: Vec<String> = stacks
        .into_iter()
        .map(|(stack, [before, now])| format!("{stack} {} {}", before.round() as u64, now.round() as u64))
        .collect();
    if lines.is_empty() {
        return Err(FlamegraphError::Empty);
    }
    let mut options = Options::default();
    options.title = format!("Difference: {}", value.title());
    options.subtitle = Some("red: more than in the base | blue: less | click to zoom, Ctrl-F to search".to_owned());
    options.count_name = if value == Value::Calls { "crossings".into() } else { "ns".into() };
    let mut svg = Vec::new();
    from_lines(&mut options, lines.iter().map(String::as_str), &mut svg).map_err(FlamegraphError::Draw)?;
    Ok(svg)
}
