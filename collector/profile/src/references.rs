//! Causes that make a file unreadable: ids that lead nowhere, too large a size, and the rest of [`DecodeError`].

use crate::code::{FunctionId, LocationId};
use crate::merge::MergeError;
use crate::model::Profile;

/// Largest message accepted, uncompressed.
pub(crate) const LARGEST: u64 = 2 << 30;

/// Why a file can't be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Not gzip, or damaged before its first member ends.
    #[error("is not a profile: {0}")]
    Gzip(std::io::Error),
    /// Not protobuf.
    #[error("is damaged: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// A profile of another program.
    #[error("is a pprof profile but was not recorded by cgoprof")]
    NotOurs,
    /// A profile of a newer cgoprof.
    #[error("was recorded by a newer cgoprof (format {0}); update cgoprof to read it")]
    TooNew(u32),
    /// An index leads nowhere.
    #[error("is damaged: {0} {1} does not exist")]
    Dangling(&'static str, u64),
    /// One of its processes is a recording of several.
    #[error("is damaged: one of its processes is several")]
    Nested,
    /// Files one after the other, of which some have several processes.
    #[error("is damaged: it is several files, one after the other")]
    Mixed,
    /// The recordings of its processes do not add up.
    #[error("is damaged: {0}")]
    Processes(MergeError),
    /// The content would fill the memory.
    #[error("is larger than {LARGEST} bytes uncompressed")]
    TooLarge,
}

pub(crate) fn function_id(id: u64, profile: &Profile) -> Result<FunctionId, DecodeError> {
    let index = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
    let found = index.filter(|&index| index < profile.functions.len());
    found.map(FunctionId).ok_or(DecodeError::Dangling("function", id))
}

pub(crate) fn location_id(id: u64, profile: &Profile) -> Result<LocationId, DecodeError> {
    let index = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
    let found = index.filter(|&index| index < profile.locations.len());
    found.map(LocationId).ok_or(DecodeError::Dangling("location", id))
}
