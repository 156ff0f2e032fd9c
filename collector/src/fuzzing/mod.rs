//! Entry points of the code that reads untrusted bytes, for the fuzz targets in `tests/fuzz` and for the test that
//! replays their inputs.
//!
//! Any input must give an error or a value, in bounded time and memory. The value itself does not matter.

mod patched_program;

pub use patched_program::PatchedProgram;

use cgoprof_profile::{Encoder, decode, decode_message};
use cgoprof_symbols::buildinfo::{BuildInfo, runtime_version};
use cgoprof_symbols::debug_info::{DebugInfo, DebugLinks, DebugSections};
use cgoprof_symbols::{Binary, Svma, call_frames, dwarf_offsets};

use crate::arch;
use crate::goruntime::Target;
use crate::inspection::Inspection;

pub use crate::engines::trampoline::lying_tables::tables;
pub use crate::engines::trampoline::tables_image::TablesImage;
pub use crate::perf::fuzzing::perf_records;
pub use crate::process::fuzzing::{filter, proc_files};
pub use crate::unwind::fuzzing::stack;

/// Data that is made once for all inputs. Parts of inputs stand for changes of it.
pub struct Base {
    /// For [`plan`] and [`pclntab`].
    pub program: PatchedProgram,
    /// For [`tables`].
    pub tables: TablesImage,
}

/// A fuzz target.
pub type FuzzTarget = fn(&Base, &[u8]);

/// All fuzz targets by name.
pub const TARGETS: [(&str, FuzzTarget); 10] = [
    ("elf", |_, data| elf(data)),
    ("plan", |base, data| plan(&base.program, data)),
    ("pclntab", |base, data| pclntab(&base.program, data)),
    ("buildinfo", |_, data| build_info(data)),
    ("dwarf", |_, data| dwarf(data)),
    ("stack", |_, data| stack(data)),
    ("profile", |_, data| profile(data)),
    ("perf_records", |_, data| perf_records(data)),
    ("tables", |base, data| tables(&base.program.target, &base.tables, data)),
    ("proc_files", |_, data| {
        proc_files(data);
        filter(data);
    }),
];

/// Reads the bytes as a program or library.
pub fn elf(data: &[u8]) {
    if let Ok(binary) = Binary::parse(data) {
        let _ = (binary.functions(), binary.imports(), binary.exports(), binary.build_id(), binary.extent());
        let _ = (binary.ifuncs(), binary.data_pieces(), binary.layout(), binary.variable("runtime.buildVersion"));
    }
    let _ = Target::parse(data);
}

/// Plans the patches and probes of a Go program that is damaged somewhere.
pub fn plan(program: &PatchedProgram, data: &[u8]) {
    let patched = program.patched(data);
    let Ok(target) = Target::parse(&patched) else { return };
    let _ = Inspection::new(&target);
    let _ = arch::sample_plan(&target);
}

/// Reads functions, files and lines of a Go program whose function table is damaged.
pub fn pclntab(program: &PatchedProgram, data: &[u8]) {
    /// Maximum functions read, because most of the time goes into those.
    const SOME: usize = 200;
    let patched = program.patched(data);
    let Ok(target) = Target::parse(&patched) else { return };
    for function in target.pclntab.functions().take(SOME) {
        for at in [function.start, Svma(function.end.0.wrapping_sub(1))] {
            let _ = target.pclntab.frames_at(at);
            let _ = target.pclntab.frame_size_at(at);
        }
    }
    let _ = (target.pclntab.asmcgocall(), target.pclntab.text(), target.pclntab.module());
}

/// Reads the bytes as the linker's information about a build.
pub fn build_info(data: &[u8]) {
    let file = patched_program::elf_with_section(".go.buildinfo", data);
    let Ok(binary) = Binary::parse(&file) else { return };
    if let Some(build) = BuildInfo::read(&binary) {
        let _ = build.setting("CGO_ENABLED");
    }
    let _ = runtime_version(&binary);
}

/// Reads debug and call frame information of a file.
pub fn dwarf(data: &[u8]) {
    let Ok(binary) = Binary::parse(data) else { return };
    let _ = dwarf_offsets::read(&binary);
    for function in binary.functions().iter().take(10) {
        let _ = call_frames::size_of_function(&binary, function.address);
    }
    let _ = call_frames::size_of_function(&binary, binary.entry());
    let _ = DebugLinks::read(data);
    let Ok(sections) = DebugSections::read(data, &mut (64 << 20)) else { return };
    let Some(info) = DebugInfo::new(&sections, Some(&sections), Some(&sections)) else { return };
    for function in binary.functions().iter().take(10) {
        let _ = info.frames(function.address, &|_| None);
    }
}

/// Reads the bytes as a profile, and as the content of one. A profile that was read can be written, and read again.
pub fn profile(data: &[u8]) {
    for profile in [decode(data), decode_message(data)].into_iter().flatten() {
        let written = Encoder::default().member(&profile);
        assert!(decode(&written).is_ok(), "what was written can't be read");
    }
}
