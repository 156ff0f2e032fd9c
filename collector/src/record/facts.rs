//! Facts of a recording that follow from its program and from its counts.

use nix::unistd::Pid;

use super::Program;
use crate::counts::calibration::Calibration;
use crate::counts::snapshot::Snapshot;
use crate::engines::Timing;
use crate::goruntime::Target;

/// Returns what the profile says of the program.
pub(super) fn target_facts(program: &Program<'_>, pid: Pid) -> cgoprof_profile::Target {
    let target: &Target<'_> = program.target;
    let path = &program.image.program;
    let absolute = path.canonicalize().unwrap_or_else(|_| path.clone());
    cgoprof_profile::Target {
        path: absolute.to_string_lossy().into_owned(),
        args: program.image.arguments.clone(),
        pid: pid.as_raw() as u32,
        go_version: target.build.version_text.clone(),
        arch: std::env::consts::ARCH.to_owned(),
        build_id: target.binary.build_id().unwrap_or_default(),
        pie: target.binary.is_position_independent(),
        stripped: !target.binary.has_symbol_table(),
        race: target.build.setting("-race") == Some("true"),
        cgo: target.build.setting("CGO_ENABLED") != Some("0"),
    }
}

/// Returns the mean cost of counting a crossing, in ticks.
pub(super) fn per_crossing(calibration: &Calibration, snapshot: &Snapshot, timing: Timing) -> f64 {
    if timing == Timing::Every {
        return calibration.timed_crossing;
    }
    let calls: u64 = snapshot.cells.iter().map(|cell| cell.shown.calls).sum();
    let timed: u64 = snapshot.cells.iter().map(|cell| cell.shown.timed).sum();
    let share = timed as f64 / calls.max(1) as f64;
    calibration.untimed_crossing * (1.0 - share) + calibration.timed_crossing * share
}
