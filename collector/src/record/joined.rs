//! A program that runs already.

use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::engine::{EngineError, Whom, allow_many_files};
use super::recorder::{Watched, is_gone};
use super::{
    EngineKind, Options, Problem, Program, Refused, prepare, read, settings, unseen_locks, wanted, watch_hooks,
};
use crate::arch;
use crate::clock::{Moment, Rate};
use crate::goruntime::{Image, Plan};
use crate::perf::{Frequency, Session, Wanted};
use crate::process::frozen::FreezeError;
use crate::process::pause::Pause;
use crate::trampoline::{self, InjectError, JoinError, Joined, Placed, Settings};

/// Watches a program that runs with the first engine that can.
pub(super) fn join(options: &Options, program: &Program<'_>, pid: Pid) -> Result<Watched, Problem> {
    let mut refused = Refused(Vec::new());
    let bias = program.located.bias(pid, program.target).ok_or(Problem::Ended)?;
    if wanted(options, EngineKind::Trampoline) {
        match join_with_hooks(options, program, pid, bias) {
            Ok(watched) => return Ok(watched),
            // Nothing that another engine would make good.
            Err(error @ EngineError::Join(JoinError::Taken { .. } | JoinError::Freeze(FreezeError::Traced(_)))) => {
                return Err(Problem::Engine(EngineKind::Trampoline, error));
            }
            Err(EngineError::Join(
                JoinError::Freeze(FreezeError::Remote(error)) | JoinError::Inject(InjectError::Remote(error)),
            )) if error.is_final() => return Err(Problem::Lost(error)),
            // Whatever failed, it failed for that.
            Err(_) if is_gone(pid) => return Err(Problem::Ended),
            Err(error) => refused.add(EngineKind::Trampoline, error),
        }
    }
    let Some((kind, prepared)) = prepare(options, program, Whom::Running(pid, bias), &mut refused) else {
        return Err(if is_gone(pid) { Problem::Ended } else { refused.problem() });
    };
    read(options, program, pid, prepared, bias, (Moment::now(), refused.notes(kind)))
}

fn join_with_hooks(options: &Options, program: &Program<'_>, pid: Pid, bias: u64) -> Result<Watched, EngineError> {
    let plan = arch::plan(program.target)?;
    let (began, started) = (Moment::now(), Instant::now());
    allow_many_files();
    let wanted =
        Wanted { frequency: Frequency(options.frequency), kernel: true, only_samples: false, before_exec: false };
    let session = Session::new(pid, wanted, Vec::new());
    std::thread::sleep(LEARNING);
    let settings = settings(options, Rate::between(began, Moment::now()));
    let image = Image { target: program.target, bias };
    let mut joined = loop {
        match trampoline::join(pid, image, &plan, settings) {
            // Its loading takes milliseconds.
            Err(JoinError::Inject(InjectError::Loading)) if started.elapsed() < LOADING => {
                std::thread::sleep(LEARNING);
            }
            joined => break joined?,
        }
    };
    // Only now: a thread whose switches are recorded takes longer to stop. And before anything is counted.
    let session = session.and_then(|mut session| session.watch_all().map(|()| session));
    let began = joined.switch_on(pid, image, &plan);
    let Joined { placed, mappings, pause, cleaned, .. } = joined;
    let tables = placed.tables.address();
    let counted = began.map_err(EngineError::from).and_then(|began| {
        let notes = notes(program, &plan, cleaned, began.in_flight);
        watch_hooks(options, program, pid, (placed, mappings), session, (began.at, Some(pause), notes))
    });
    counted.inspect_err(|_| {
        // Nobody would take them out.
        let _ = trampoline::undo_own(pid, tables);
    })
}

/// A further Go module with hooks, which count already.
pub(super) struct HookedModule {
    pub(super) placed: Placed,
    /// How long the program stood still.
    pub(super) pause: Pause,
    pub(super) notes: Vec<String>,
}

/// Puts hooks into a Go module of a program that is recorded, beside those of others. `rate` is that of the hooks' clock.
pub(super) fn join_module(
    options: &Options,
    pid: Pid,
    image: Image<'_, '_>,
    rate: Rate,
) -> Result<HookedModule, EngineError> {
    let plan = arch::plan(image.target)?.without_plugins();
    let settings = Settings { starts: false, ..settings(options, rate) };
    let mut joined = trampoline::join(pid, image, &plan, settings)?;
    let tables = joined.placed.tables.address();
    let began = joined.switch_on(pid, image, &plan).inspect_err(|_| {
        let _ = trampoline::undo_own(pid, tables);
    })?;
    let notes = unseen_locks(&plan).into_iter().chain(begun_before(began.in_flight)).collect();
    Ok(HookedModule { placed: joined.placed, pause: joined.pause, notes })
}

fn begun_before(crossings: usize) -> Option<String> {
    (crossings > 0)
        .then(|| format!("about {crossings} crossings had begun when the recorder came: they are not counted"))
}

fn notes(program: &Program<'_>, plan: &Plan, cleaned: bool, in_flight: usize) -> Vec<String> {
    let mut notes = Vec::from_iter(unseen_locks(plan));
    if let Some(library) = &program.located.go_library {
        notes.push(format!("the Go code is that of {}", library.path.display()));
    }
    if cleaned {
        notes.push("what an earlier recorder had left in the program was removed first".into());
    }
    notes.extend(begun_before(in_flight));
    notes
}

/// How long the rate of the clock is learned before it is needed.
const LEARNING: Duration = Duration::from_millis(5);
/// How long a library may take to be loaded.
pub(super) const LOADING: Duration = Duration::from_secs(10);
