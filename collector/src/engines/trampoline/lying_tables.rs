//! Reads, in every way, tables into which the program has written anything.

use std::collections::HashMap;
use std::os::unix::fs::FileExt as _;

use cgoprof_hook::layout::ARENA_OFFSET;
use cgoprof_profile::{Encoder, Profile, decode};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::Pid;

use super::tables_image::TablesImage;
use super::{Budget, Calibration, Outliers, Tables};
use crate::assemble::scheduler::{Observed, Span, assemble_scheduler};
use crate::assemble::{Clock, assemble};
use crate::clock::Monotonic;
use crate::clock::{Moment, Rate};
use crate::correlate::offcpu::OffTime;
use crate::goruntime::Target;
use crate::symbolize::{DebugFiles, Symbolizer};

/// Bytes of a patch: its place (four bytes, in words), and the word to be written there.
const PATCH: usize = 12;
/// Bytes that the tables may take.
const SIZE: u64 = ARENA_OFFSET + (4 << 20);

/// Reads the tables of a real program with some words changed.
pub fn tables(program: &Target<'_>, image: &TablesImage, data: &[u8]) {
    let Some(tables) = patched(image, data) else { return };
    let pid = Pid::from_raw(i32::MAX);
    let mut births = Vec::new();
    for now in [1000, 2000] {
        tables.tick(now);
        tables.read_events(|_| ());
        tables.read_births(|birth| births.push(birth));
        let _ = (tables.crossings(), tables.threads_in_use(), tables.foreign_cells(), tables.in_c_since(1, now));
        let budget = Budget { share: 0.1, timing: 100.0, callback: 50.0, own: 20.0, own_c: 5.0 };
        tables.apply_policy(2000.0, budget, |_| Outliers::default());
        tables.release_ended(pid);
        tables.end_locks(now);
    }
    let (peak, snapshot) = (tables.look(2000), tables.snapshot());
    let mut symbolizer = Symbolizer::new(DebugFiles::of(pid, None), program, "program".as_ref(), false, 0);
    let clock = Clock {
        measured: true,
        ticks_per_ns: 2.0,
        calibration: Calibration::default(),
        c_error: snapshot.c_error,
        end: 10_000,
    };
    let at = |ticks| Moment { ticks, monotonic: Monotonic(ticks / 2), suspended: 0 };
    let span = Span { rate: Rate::between(at(0), at(10_000)), begun: Monotonic(0), end: at(10_000) };
    let observed = Observed {
        births: &births,
        peak: Some((&peak, false)),
        blocked: None,
        idle: None,
        timeline: None,
        labels: None,
    };
    let mut profile = Profile::default();
    let crossings = assemble(&mut profile, &snapshot, &mut symbolizer, clock, &HashMap::new());
    let off = |_, _, _| (OffTime::default(), None);
    assemble_scheduler(&mut profile, &snapshot, &crossings, &mut symbolizer, (&clock, &span), &observed, off);
    let written = Encoder::default().member(&profile);
    assert!(decode(&written).is_ok(), "what was written can't be read");
}

/// Returns the tables with these patches; none if the system refuses them.
fn patched(image: &TablesImage, patches: &[u8]) -> Option<Tables> {
    let file = std::fs::File::from(memfd_create(c"tables", MFdFlags::MFD_CLOEXEC).ok()?);
    let tables = Tables::map(file.try_clone().ok()?, SIZE, image.address, 0, Pid::this()).ok()?;
    let bytes = &image.bytes[..image.bytes.len().min(SIZE as usize)];
    file.write_all_at(bytes, 0).ok()?;
    for patch in patches.chunks_exact(PATCH) {
        let (place, word) = patch.split_first_chunk::<4>()?;
        let words = bytes.len() / 8;
        let at = u32::from_le_bytes(*place) as usize % words.max(1) * 8;
        file.write_all_at(word, at as u64).ok()?;
    }
    Some(tables)
}
