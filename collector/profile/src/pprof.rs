//! The protobuf messages: pprof's, and cgoprof's in a field that other readers skip.

use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType};
use prost::{DecodeError, Message};

use crate::metrics::Numbers;
use crate::scheduler_file::{Scheduler, Thread};
use crate::timeline_file::Timeline;
use crate::waits_file::WaitingStackInFile;

/// `perftools.profiles.Profile`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Profile {
    #[prost(message, repeated, tag = "1")]
    pub(crate) sample_type: Vec<ValueType>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) sample: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) mapping: Vec<Mapping>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) location: Vec<Location>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) function: Vec<Function>,
    #[prost(string, repeated, tag = "6")]
    pub(crate) string_table: Vec<String>,
    #[prost(int64, tag = "9")]
    pub(crate) time_nanos: i64,
    #[prost(int64, tag = "10")]
    pub(crate) duration_nanos: i64,
    #[prost(message, optional, tag = "11")]
    pub(crate) period_type: Option<ValueType>,
    #[prost(int64, tag = "12")]
    pub(crate) period: i64,
    #[prost(int64, repeated, tag = "13")]
    pub(crate) comment: Vec<i64>,
    #[prost(int64, tag = "14")]
    pub(crate) default_sample_type: i64,
    /// One for each member of the file.
    #[prost(message, repeated, tag = "2026")]
    pub(crate) cgoprof: Vec<Extension>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ValueType {
    #[prost(int64, tag = "1")]
    pub(crate) r#type: i64,
    #[prost(int64, tag = "2")]
    pub(crate) unit: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Sample {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) location_id: Vec<u64>,
    #[prost(int64, repeated, tag = "2")]
    pub(crate) value: Vec<i64>,
    #[prost(message, repeated, tag = "3")]
    pub(crate) label: Vec<Label>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Label {
    #[prost(int64, tag = "1")]
    pub(crate) key: i64,
    #[prost(int64, tag = "2")]
    pub(crate) str: i64,
    #[prost(int64, tag = "3")]
    pub(crate) num: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Mapping {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) memory_start: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) memory_limit: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) file_offset: u64,
    #[prost(int64, tag = "5")]
    pub(crate) filename: i64,
    #[prost(int64, tag = "6")]
    pub(crate) build_id: i64,
    #[prost(bool, tag = "7")]
    pub(crate) has_functions: bool,
    #[prost(bool, tag = "8")]
    pub(crate) has_filenames: bool,
    #[prost(bool, tag = "9")]
    pub(crate) has_line_numbers: bool,
    #[prost(bool, tag = "10")]
    pub(crate) has_inline_frames: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Location {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) mapping_id: u64,
    #[prost(uint64, tag = "3")]
    pub(crate) address: u64,
    #[prost(message, repeated, tag = "4")]
    pub(crate) line: Vec<Line>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Line {
    #[prost(uint64, tag = "1")]
    pub(crate) function_id: u64,
    #[prost(int64, tag = "2")]
    pub(crate) line: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Function {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(int64, tag = "2")]
    pub(crate) name: i64,
    #[prost(int64, tag = "3")]
    pub(crate) system_name: i64,
    #[prost(int64, tag = "4")]
    pub(crate) filename: i64,
    #[prost(int64, tag = "5")]
    pub(crate) start_line: i64,
    /// 0 Go, 1 border, 2 C, 3 kernel. This field and those after it are cgoprof's.
    #[prost(uint32, tag = "2026")]
    pub(crate) kind: u32,
    #[prost(string, tag = "2027")]
    pub(crate) c_name: String,
    #[prost(string, tag = "2028")]
    pub(crate) package: String,
    #[prost(string, tag = "2029")]
    pub(crate) library: String,
    /// Bits, absent without a wrapper of cgo's: 1 arguments escape, 2 no callbacks.
    #[prost(uint32, optional, tag = "2030")]
    pub(crate) wrapper: Option<u32>,
    /// Whether the code uses thread-local storage.
    #[prost(bool, tag = "2031")]
    pub(crate) thread_local: bool,
}

/// Data that pprof has no place for.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Extension {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(message, optional, tag = "2")]
    pub(crate) target: Option<Target>,
    #[prost(message, optional, tag = "3")]
    pub(crate) recording: Option<Recording>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) cell: Vec<Cell>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) sampled: Vec<SampledStack>,
    /// All so far.
    #[prost(message, repeated, tag = "6")]
    pub(crate) thread: Vec<Thread>,
    /// All so far.
    #[prost(message, optional, tag = "7")]
    pub(crate) scheduler: Option<Scheduler>,
    /// Since the previous member.
    #[prost(message, optional, tag = "8")]
    pub(crate) timeline: Option<Timeline>,
    /// All so far.
    #[prost(message, repeated, tag = "9")]
    pub(crate) wait: Vec<WaitingStackInFile>,
    /// In files of several processes, in place of all other fields: the profile of each, a [`Profile`] of one process.
    #[prost(bytes = "vec", repeated, tag = "10")]
    pub(crate) process: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SampledStack {
    /// Absent where there is none.
    #[prost(uint64, optional, tag = "1")]
    pub(crate) cell_id: Option<u64>,
    #[prost(uint64, repeated, tag = "2")]
    pub(crate) location_id: Vec<u64>,
    #[prost(uint32, tag = "3")]
    pub(crate) inside: u32,
    #[prost(bool, tag = "4")]
    pub(crate) truncated: bool,
    /// Since the previous member.
    #[prost(uint64, tag = "5")]
    pub(crate) samples: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Target {
    #[prost(string, tag = "1")]
    pub(crate) path: String,
    #[prost(string, repeated, tag = "2")]
    pub(crate) args: Vec<String>,
    #[prost(uint32, tag = "3")]
    pub(crate) pid: u32,
    #[prost(string, tag = "4")]
    pub(crate) go_version: String,
    #[prost(string, tag = "5")]
    pub(crate) build_id: String,
    #[prost(bool, tag = "6")]
    pub(crate) pie: bool,
    #[prost(bool, tag = "7")]
    pub(crate) stripped: bool,
    #[prost(bool, tag = "8")]
    pub(crate) race: bool,
    #[prost(bool, tag = "9")]
    pub(crate) cgo: bool,
    /// Empty in older files: x86_64.
    #[prost(string, tag = "10")]
    pub(crate) arch: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Recording {
    #[prost(string, tag = "1")]
    pub(crate) engine: String,
    #[prost(string, tag = "2")]
    pub(crate) timing: String,
    #[prost(uint64, tag = "3")]
    pub(crate) start_unix_ns: u64,
    #[prost(uint64, tag = "4")]
    pub(crate) duration_ns: u64,
    #[prost(double, tag = "5")]
    pub(crate) hook_ns_per_crossing: f64,
    #[prost(double, tag = "6")]
    pub(crate) clock_read_ns: f64,
    #[prost(uint64, tag = "7")]
    pub(crate) folded_stacks: u64,
    #[prost(uint64, tag = "8")]
    pub(crate) foreign_callbacks: u64,
    #[prost(string, repeated, tag = "9")]
    pub(crate) notes: Vec<String>,
    #[prost(uint64, tag = "10")]
    pub(crate) sample_period_ns: u64,
    #[prost(uint64, tag = "11")]
    pub(crate) lost_samples: u64,
    #[prost(bool, tag = "12")]
    pub(crate) off_cpu: bool,
    #[prost(uint64, tag = "13")]
    pub(crate) lost_events: u64,
    #[prost(uint64, optional, tag = "14")]
    pub(crate) num_cgo_call: Option<u64>,
    /// Bits: 1 migrations, 2 Ps, 4 callbacks, 8 locks, 16 threads.
    #[prost(uint32, tag = "15")]
    pub(crate) scheduler: u32,
    /// Goroutines not kept apart: how many, how many alive, crossings, migrations.
    #[prost(uint64, repeated, tag = "16")]
    pub(crate) forgotten: Vec<u64>,
    /// Bits: 1 crossings are counted, 2 their phases are timed. Absent in older files, where the engine's name tells
    /// it.
    #[prost(uint32, optional, tag = "17")]
    pub(crate) knows: Option<u32>,
    #[prost(uint64, optional, tag = "19")]
    pub(crate) looks_cost_ns: Option<u64>,
    #[prost(uint64, tag = "20")]
    pub(crate) every_wait_ns: u64,
    #[prost(uint64, tag = "21")]
    pub(crate) recordings: u64,
    #[prost(message, optional, tag = "18")]
    pub(crate) parallelism: Option<Parallelism>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Parallelism {
    #[prost(uint32, optional, tag = "1")]
    pub(crate) processors: Option<u32>,
    #[prost(double, optional, tag = "2")]
    pub(crate) quota: Option<f64>,
    #[prost(uint32, optional, tag = "3")]
    pub(crate) gomaxprocs: Option<u32>,
    #[prost(uint64, optional, tag = "4")]
    pub(crate) ran_ns: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub(crate) preempted_ns: Option<u64>,
}

/// A cell's identity, and the numbers added to it since the previous member: one message with the fields of both.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    pub(crate) head: CellHead,
    pub(crate) numbers: Numbers,
}

/// Identity of a cell.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CellHead {
    #[prost(uint64, tag = "1")]
    pub(crate) id: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) function_id: u64,
    #[prost(uint64, repeated, tag = "3")]
    pub(crate) location_id: Vec<u64>,
    /// 0 cgocall, 1 runtime, 2 direct.
    #[prost(uint32, tag = "4")]
    pub(crate) via: u32,
    #[prost(bool, tag = "5")]
    pub(crate) locked: bool,
    #[prost(bool, tag = "6")]
    pub(crate) truncated: bool,
}

/// The tag of [`CellHead`]'s last field. All tags after it are numbers of the cell.
const LAST_OF_HEAD: u32 = 6;

impl Message for Cell {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        self.head.encode_raw(buf);
        self.numbers.encode_raw(buf);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        ctx: DecodeContext,
    ) -> Result<(), DecodeError> {
        if tag <= LAST_OF_HEAD {
            self.head.merge_field(tag, wire_type, buf, ctx)
        } else {
            self.numbers.merge_field(tag, wire_type, buf, ctx)
        }
    }

    fn encoded_len(&self) -> usize {
        self.head.encoded_len() + self.numbers.encoded_len()
    }

    fn clear(&mut self) {
        self.head.clear();
        self.numbers.clear();
    }
}
