//! A module of the Go runtime for the hooks' code. With it, the program's own profiler and tracebacks can unwind from
//! each of the hooks' instructions on a goroutine's stack to the calling function.
//!
//! The tables are those of runtime/symtab.go and runtime2.go (`_func`), with as little in them as the runtime needs.

use cgoprof_symbols::Avma;
use nix::unistd::Pid;

use super::blob;

use crate::arch::{Distances, distances};
use crate::goruntime::module::field;
use crate::goruntime::plan::{Hook, Plan};
use crate::goruntime::{Image, ModulePlan};
use crate::process::memory::Memory;

/// Where a module is to be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The word of the first module that leads to the next.
    pub(crate) from: Avma,
    /// The hooks' module.
    pub(crate) module: Avma,
    /// The word of the hooks' module that leads to the next.
    pub(crate) next: Avma,
}

impl Link {
    /// Adds the module to the runtime's list, behind the first. The runtime must have finished its setup, during which
    /// it goes through the list and does more work if there are several modules.
    pub(crate) fn make(self, pid: Pid) -> std::io::Result<()> {
        let memory = Memory::open(pid)?;
        let next = memory.word(self.from)?;
        memory.write(self.next, &next.to_le_bytes())?;
        memory.write(self.from, &self.module.0.to_le_bytes())
    }

    pub(super) fn new(plan: ModulePlan, bias: u64, module: Avma) -> Link {
        let next = u64::from(plan.next);
        let from = Avma(plan.first.loaded(bias).0 + next);
        Link { from, module, next: Avma(module.0 + next) }
    }
}

/// A piece of code with a name.
struct Piece {
    start: u64,
    name: String,
    file: String,
    line: u32,
    /// Whether the runtime may unwind from it.
    walked: bool,
}

/// Returns the bytes of a module, to be placed at `place`, for hooks that are at `hooks`. None if there can be no
/// module for the code.
pub(super) fn build(image: Image<'_, '_>, plan: &Plan, code: &[u8], hooks: Avma, place: Avma) -> Option<Vec<u8>> {
    let layout = plan.module?;
    let known = distances(code, &entries(plan)?)?;
    let pieces = pieces(image, plan);
    let end = code.len() as u64;
    let mut tables = Tables { pc_values: vec![0], ..Tables::default() };
    for (index, piece) in pieces.iter().enumerate() {
        let until = pieces.get(index + 1).map_or(end, |next| next.start);
        tables.add(piece, until, &known, layout.record_size);
    }
    tables.functions.extend([end as u32, 0].map(u32::to_le_bytes).concat());
    Some(tables.lay_out(&pieces, layout, (image.bias, hooks, end), place))
}

/// Returns the offsets at which Go enters the hooks, and how far its return address is from the stack pointer there.
fn entries(plan: &Plan) -> Option<Vec<(u64, u32)>> {
    let mut entries = Vec::new();
    let mut amid = 0;
    for patch in &plan.patches {
        match patch.hook {
            // On the system stack.
            Hook::C | Hook::Attach => {}
            hook if hook.is_amid() => {
                entries.push((blob::place(amid), patch.frame_size?));
                amid += 1;
            }
            Hook::Exit | Hook::CallbackRelease => {
                entries.push((blob::entry(patch.hook, plan.p_stays_wired), patch.frame_size?));
            }
            hook => entries.push((blob::entry(hook, plan.p_stays_wired), 0)),
        }
    }
    Some(entries)
}

/// Returns the hooks' code in pieces, by address. A piece that stands for the rest of a function has that function's
/// name. The other pieces have names of the runtime's, which it leaves out of tracebacks.
fn pieces(image: Image<'_, '_>, plan: &Plan) -> Vec<Piece> {
    let own = |start: u64, name: &str, walked: bool| {
        let name = format!("runtime.cgoprof_{name}");
        Piece { start, name, file: "cgoprof".into(), line: 1, walked }
    };
    let of = |hook: Hook, start: u64| {
        let patch = plan.patches.iter().find(|patch| patch.hook == hook);
        patch.map(|patch| stands_for(image, patch, start))
    };
    let entry = |hook: Hook| blob::entry(hook, plan.p_stays_wired);
    let mut pieces = vec![own(0, "data", false), own(entry(Hook::Enter), "enter", true)];
    // The two C hooks are adjacent.
    pieces.push(own(blob::c_thunks(), "c", false));
    pieces.extend(of(Hook::Exit, entry(Hook::Exit)));
    pieces.push(own(entry(Hook::CallbackBegin), "callback", true));
    pieces.extend(of(Hook::CallbackRelease, entry(Hook::CallbackRelease)));
    pieces.push(own(entry(Hook::Attach), "attach", false));
    pieces.push(own(entry(Hook::Park), "hook", true));
    let amid = plan.patches.iter().filter(|patch| patch.hook.is_amid());
    pieces.extend(amid.enumerate().map(|(number, patch)| stands_for(image, patch, blob::place(number))));
    pieces.sort_by_key(|piece| piece.start);
    pieces
}

/// Returns a piece that runs in a frame of the program's own.
fn stands_for(image: Image<'_, '_>, patch: &crate::goruntime::Patch, start: u64) -> Piece {
    let frames = image.target.pclntab.frames_at(patch.at);
    let (file, line) = frames.last().map_or_else(Default::default, |frame| (frame.file.clone(), frame.line));
    Piece { start, name: patch.function.clone(), file, line, walked: true }
}

/// The tables of a module while they are built.
#[derive(Default)]
struct Tables {
    names: Vec<u8>,
    units: Vec<u8>,
    files: Vec<u8>,
    pc_values: Vec<u8>,
    records: Vec<u8>,
    functions: Vec<u8>,
}

impl Tables {
    fn add(&mut self, piece: &Piece, until: u64, known: &Distances, record_size: usize) {
        /// `abi.FuncFlagAsm`: a goroutine can't be preempted there.
        const ASSEMBLY: u8 = 4;
        /// `abi.ArgsSizeUnknown`.
        const UNKNOWN: u32 = 1 << 31;
        let function = (self.records.len() as u32, self.units.len() as u32 / 4);
        self.functions.extend([piece.start as u32, function.0].map(u32::to_le_bytes).concat());
        self.units.extend((self.files.len() as u32).to_le_bytes());
        let name = self.names.len() as u32;
        self.names.extend(piece.name.bytes().chain([0]));
        self.files.extend(piece.file.bytes().chain([0]));
        let length = until - piece.start;
        let (pcsp, file, line) = if piece.walked {
            (self.values(&runs(piece.start, until, known)), self.values(&[(length, 0)]), self.line(length, piece.line))
        } else {
            (0, 0, 0)
        };
        // entryOff, nameOff, args, deferreturn, pcsp, pcfile, pcln, npcdata, cuOffset.
        let fields = [piece.start as u32, name, UNKNOWN, 0, pcsp, file, line, 0, function.1];
        let mut record = fields.map(u32::to_le_bytes).concat();
        record.resize(record_size - 4, 0);
        // funcID, flag, a byte of padding, nfuncdata.
        record.extend([0, ASSEMBLY, 0, 0]);
        self.records.extend(record);
    }

    fn line(&mut self, length: u64, line: u32) -> u32 {
        self.values(&[(length, line as i32)])
    }

    /// Adds a table of values by address: each run is a number of bytes and their value. Returns the table's place.
    fn values(&mut self, runs: &[(u64, i32)]) -> u32 {
        let place = self.pc_values.len() as u32;
        let mut before = -1;
        for &(length, value) in runs {
            let change = value - before;
            varint(&mut self.pc_values, ((change << 1) ^ (change >> 31)) as u32);
            varint(&mut self.pc_values, length as u32);
            before = value;
        }
        self.pc_values.push(0);
        place
    }

    fn lay_out(self, pieces: &[Piece], layout: ModulePlan, code: (u64, Avma, u64), place: Avma) -> Vec<u8> {
        let (bias, hooks, end) = code;
        let mut bytes = vec![0; layout.next as usize + 8];
        let word = |bytes: &mut Vec<u8>, at: usize, value: u64| {
            bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        };
        let buckets = buckets(pieces, end);
        let slices = [
            (field::NAMES, self.names, 1),
            (field::UNITS, self.units, 4),
            (field::FILES, self.files, 1),
            (field::PC_VALUES, self.pc_values, 1),
            (field::RECORDS, self.records, 1),
            (field::FUNCTIONS, self.functions, 8),
        ];
        for (at, table, item) in slices {
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            let (address, length) = (place.0 + bytes.len() as u64, table.len() as u64 / item);
            word(&mut bytes, at, address);
            word(&mut bytes, at + 8, length);
            word(&mut bytes, at + 16, length);
            bytes.extend(table);
        }
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let address = place.0 + bytes.len() as u64;
        word(&mut bytes, field::BUCKETS, address);
        bytes.extend(buckets);
        word(&mut bytes, field::HEADER, layout.header.loaded(bias).0);
        for (at, address) in [(field::MIN_PC, 0), (field::MIN_PC + 8, end), (field::TEXT, 0), (field::TEXT + 8, end)] {
            word(&mut bytes, at, hooks.0 + address);
        }
        bytes
    }
}

/// Returns how far the return address is, in runs: a number of bytes and their distance. Where the distance is not
/// known, the one before continues.
fn runs(start: u64, until: u64, known: &Distances) -> Vec<(u64, i32)> {
    let mut runs: Vec<(u64, i32)> = Vec::new();
    let (mut from, mut value) = (start, known.range(start..until).next().map_or(0, |(_, &distance)| distance));
    for (&at, &distance) in known.range(start..until) {
        if distance != value {
            runs.push((at - from, value as i32));
            (from, value) = (at, distance);
        }
    }
    runs.push((until - from, value as i32));
    runs
}

/// Returns the `findfunctab`: the first function of each 4 KiB, from which the runtime searches on.
fn buckets(pieces: &[Piece], end: u64) -> Vec<u8> {
    const BUCKET: u64 = 4096;
    const SUB_BUCKETS: usize = 16;
    let mut bytes = Vec::new();
    for start in (0..end).step_by(BUCKET as usize) {
        let first = pieces.partition_point(|piece| piece.start <= start).saturating_sub(1);
        bytes.extend((first as u32).to_le_bytes());
        bytes.extend([0; SUB_BUCKETS]);
    }
    bytes
}

fn varint(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_address_are_written_as_go_reads_them() {
        let mut tables = Tables { pc_values: vec![0], ..Tables::default() };
        let place = tables.values(&[(10, 0), (300, 48), (1, 8)]);
        assert_eq!(place, 1);
        // Changes of 1, 48 and -40, each doubled with its sign in the lowest bit.
        assert_eq!(tables.pc_values[1..], [2, 10, 96, 0xac, 2, 79, 1, 0]);
    }

    #[test]
    fn distances_become_runs() {
        let known: Distances = [(2, 0), (3, 8), (9, 8), (12, 0), (40, 7)].into();
        assert_eq!(runs(0, 20, &known), [(3, 0), (9, 8), (8, 0)]);
        assert_eq!(runs(20, 30, &known), [(10, 0)]);
    }
}
