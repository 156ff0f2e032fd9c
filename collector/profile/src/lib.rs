//! The model of a recording and its file. No operating system here: bytes in, bytes out.
//!
//! The file is a pprof profile (github.com/google/pprof, proto/profile.proto) with one extension field that
//! other readers skip. It is a sequence of gzip members, each a complete protobuf message; concatenated
//! messages merge, so a file cut short at any member is a valid profile of what had happened by then.

#[macro_use]
mod declare;
pub mod decode;
pub mod encode;
mod kinds;
pub mod metrics;
pub mod model;
mod pprof;
pub mod scheduler;
mod scheduler_file;

pub use decode::{DecodeError, decode, decode_message};
pub use encode::Encoder;
pub use metrics::Stats;
pub use model::*;
pub use scheduler::*;
