//! Waiting stacks in a file.

use prost::Message;

use crate::estimate::{Estimate, Wire};
use crate::model::{Profile, WaitingStack};
use crate::references::{DecodeError, location_id};

/// A [`WaitingStack`] in a file.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WaitingStackInFile {
    /// Absent where there is none.
    #[prost(uint64, optional, tag = "1")]
    cell_id: Option<u64>,
    #[prost(uint64, repeated, tag = "2")]
    location_id: Vec<u64>,
    #[prost(uint32, tag = "3")]
    inside: u32,
    #[prost(bool, tag = "4")]
    truncated: bool,
    #[prost(message, optional, tag = "5")]
    time: Option<Wire>,
    #[prost(uint64, tag = "6")]
    found: u64,
    #[prost(uint32, repeated, tag = "7")]
    number: Vec<u32>,
}

pub(crate) fn waits(profile: &Profile) -> Vec<WaitingStackInFile> {
    let written = profile.waits.iter().map(|stack| WaitingStackInFile {
        cell_id: stack.cell,
        location_id: stack.stack.iter().map(|location| location.0 as u64 + 1).collect(),
        inside: stack.inside as u32,
        truncated: stack.truncated,
        time: Some(stack.time.written(&Estimate::default())),
        found: stack.found,
        number: stack.numbers.clone(),
    });
    written.collect()
}

/// Returns a time that is not negative.
fn time(found: Option<Wire>) -> Estimate {
    let read = Estimate::read(found);
    Estimate { sum: read.sum.max(0.0), variance: read.variance.max(0.0), common: 0.0 }
}

pub(crate) fn read_wait(found: WaitingStackInFile, profile: &Profile) -> Result<WaitingStack, DecodeError> {
    let stack = found.location_id.iter().map(|&id| location_id(id, profile)).collect::<Result<Vec<_>, _>>()?;
    Ok(WaitingStack {
        cell: found.cell_id,
        inside: (found.inside as usize).min(stack.len()),
        stack,
        truncated: found.truncated,
        time: time(found.time),
        found: found.found,
        numbers: found.number,
    })
}
