//! The model of a recording and its file. It does not use the operating system: bytes in, bytes out.
//!
//! The file is a pprof profile (github.com/google/pprof, proto/profile.proto) with one extension field that
//! other readers skip. It is a sequence of gzip members, each a complete protobuf message. Concatenated
//! messages merge, so a file cut short at any member is a valid profile of the recording up to then.

#[macro_use]
mod declare;
mod code;
mod counted_samples;
pub mod decode;
mod distribution;
pub mod encode;
mod estimate;
pub mod increment;
mod kinds;
pub mod merge;
pub mod metrics;
pub mod model;
pub mod parts;
mod plain;
mod pprof;
pub mod processes;
mod recording;
mod references;
pub mod scheduler;
mod scheduler_file;
mod timed_events;
mod timeline_file;
mod waits_file;

pub use code::*;
pub use decode::{decode, decode_message};
pub use distribution::Distribution;
pub use encode::Encoder;
pub use estimate::Estimate;
pub use metrics::Stats;
pub use model::*;
pub use plain::plain;
pub use recording::*;
pub use references::DecodeError;
pub use scheduler::*;
