//! The recorder at work: it watches the program, lets the file grow, and finishes it.

use std::collections::HashMap;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime};

use cgoprof_profile::{Knows, Profile, Recording, Scheduler};
use nix::sys::eventfd::EventFd;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use super::children::wait_for_end;
use super::control::{Command, Request};
use super::facts::{per_crossing, target_facts};
use super::modules::Modules;
use super::notes;
use super::parallelism::ParallelismWatch;
use super::session::{Attached, Session};
use super::steal::Processors;
use super::stop_source::{StopSource, ended};
use super::{Identity, Options, Outcome, Progress, RecordError, identity};
use crate::assemble::samples::{assemble_samples, assemble_waits};
use crate::assemble::scheduler::{Idle, Observed, Span, assemble_scheduler};
use crate::assemble::{Clock, assemble};
use crate::clock::{Moment, Rate, own_time};
use crate::correlate::pump::Pump;
use crate::correlate::samples::Samples;
use crate::correlate::slow::Slow;
use crate::correlate::timeline::Part;
use crate::counts::cell_id::CellId;
use crate::counts::snapshot::Snapshot;
use crate::engines::trampoline::undo_mine;
use crate::engines::{DetachError, Engine, RunningEngine, Timing};
use crate::perf::Frequency;
use crate::process::execution::Execution;
use crate::process::pause::Pause;
use crate::process::status;
use crate::symbolize::{DebugFiles, Symbolizer, tell_apart};

/// Time that the program may take to end after SIGTERM. Then the profile is finished although the program still runs.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// Time that the recorder waits for signals between two rounds of its loop.
pub(super) const PAUSE: Duration = Duration::from_millis(100);
/// Pause between two live profiles, as a multiple of the processor time that one takes to assemble.
const REST: u32 = 30;
/// Maximum pause between two live profiles, so that screens stay current.
const LONGEST_REST: Duration = Duration::from_secs(1);
/// Time between two updates of the timeline in live profiles.
const TIMELINE: Duration = Duration::from_secs(1);
/// Time between two members of the growing file.
const MEMBER: Duration = Duration::from_secs(2);
/// Time between two writings of the whole file, after a pause.
const WHOLE: Duration = Duration::from_secs(30);

/// What ends the run of a recorder.
pub(super) enum Run<'a> {
    Ended(Box<Outcome>),
    /// The engine has detached, and what it counted is a part of the session.
    Paused(Box<Session<'a>>),
}

/// A program that is being recorded.
pub(super) struct Recorder<'a> {
    pub(super) options: &'a Options,
    pub(super) pid: Pid,
    /// What remains when the engine detaches.
    session: Session<'a>,
    // Dropped before the engine, whose probes it holds.
    pub(super) pump: Pump,
    pub(super) engine: Box<dyn Engine>,
    pub(super) symbolizer: Symbolizer<'a, 'a>,
    profile: Profile,
    /// Notes that each profile of this recording gets.
    pub(super) notes: Vec<String>,
    /// Go code that the program loads.
    pub(super) modules: Modules,
    /// Processor times at the recording's start, if the kernel tells.
    processors: Option<Processors>,
    parallelism: ParallelismWatch,
    started: Instant,
    /// Start of the recording, on both clocks.
    pub(super) begun: Moment,
    /// Longest stop of the program for the recorder, if there was one.
    pub(super) pause: Option<Pause>,
    /// The program as a file: its device and inode.
    program: Option<Identity>,
    execution: Execution,
    /// Whether the process runs another program by now.
    pub(super) became_another: bool,
    /// Whether to detach again: the first attempt failed for lack of a thread.
    leave_again: bool,
    /// Time of the next timeline for live profiles.
    timeline_due: Instant,
}

impl<'a> Recorder<'a> {
    pub(super) fn new(session: Session<'a>, attached: Attached) -> Self {
        let Session { options, program, pid, .. } = session;
        let RunningEngine { engine, pump, bias, mappings, begun, pause, mut notes } = attached.engine;
        match (&session.gates, engine.gate()) {
            (Some(gates), Some(gate)) => gates.add(gate),
            (None, Some(gate)) => gate.close(),
            (_, None) => {}
        }
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let (sampling, engine_has) = (pump.reads_perf(), engine.capabilities());
        let profile = Profile {
            target: target_facts(program, pid),
            recording: Recording {
                engine: engine_has.kind.name().into(),
                knows: Knows { counts: engine_has.counts, phases: engine_has.phases },
                timing: if engine_has.counts { options.timing } else { Timing::None }.name().into(),
                start_unix_ns: since_epoch.as_nanos() as u64,
                off_cpu: sampling && options.timing != Timing::None && engine_has.counts,
                scheduler: Scheduler { threads: sampling, ..engine_has.scheduler },
                sample_period_ns: if sampling { Frequency(options.frequency).period() } else { 0 },
                ..Recording::default()
            },
            ..Profile::default()
        };
        notes.extend(notes::stripped(program));
        let debug_files = DebugFiles::of(pid, options.debuginfod);
        let mut symbolizer = Symbolizer::new(
            debug_files,
            program.target,
            program.image.go_file(),
            program.image.go_library.is_some(),
            bias,
        );
        symbolizer.set_mappings(&mappings);
        Recorder {
            options,
            pid,
            pump,
            symbolizer,
            modules: Modules::of(pid, program.image, attached.ran_already),
            notes,
            processors: Processors::by_now(),
            parallelism: ParallelismWatch::of(pid, program.target, bias),
            profile,
            started: Instant::now(),
            begun: engine.timebase().of(begun),
            pause,
            engine,
            program: program.image.identity,
            execution: Execution::of(pid),
            became_another: false,
            leave_again: false,
            timeline_due: Instant::now(),
            session,
        }
    }

    /// Whether somebody else has started the program.
    pub(super) fn is_of_other(&self) -> bool {
        self.session.tie.child(self.pid).is_none()
    }

    /// Records until the program ends, or the recorder is told to finish or to pause.
    pub(super) fn run(mut self, stop: StopSource<'_>, progress: &dyn Progress) -> Result<Run<'a>, RecordError> {
        let _left_in_any_case = LeavesOnPanic(self.pid);
        let child = self.session.tie.child(self.pid);
        let duration = self.session.left();
        let mut paused: Option<Request> = None;
        let mut status = None;
        let mut asked_to_finish: Option<(Signal, Instant)> = None;
        let (mut last_member, mut next_look, mut last_round) = (Instant::now(), Instant::now(), Instant::now());
        let mut last_received = Instant::now();
        loop {
            progress.passes();
            let left = duration.map(|duration| duration.saturating_sub(self.started.elapsed()));
            let pause = self.modules.pause().unwrap_or(PAUSE);
            let pause = left.map_or(pause, |left| left.min(pause));
            if let (Some(signal), None) = (self.wait(stop, child, pause), asked_to_finish) {
                asked_to_finish = Some((signal, Instant::now()));
                child.inspect(|&child| stop.end(child));
            }
            if child.is_some() {
                status = status.or(ended(self.pid)?);
            } else if asked_to_finish.is_some() || is_gone(self.pid) {
                status = Some(0);
            }
            let over = duration.is_some_and(|duration| self.started.elapsed() >= duration)
                || asked_to_finish.is_some_and(|(_, since)| since.elapsed() >= GRACE);
            if status.is_some() || over {
                break;
            }
            if asked_to_finish.is_none() {
                paused = self.answer();
                if paused.is_some() {
                    break;
                }
            }
            self.became_another |= self.is_succeeded() || self.is_another();
            // The other program is recorded by itself.
            if self.became_another && self.is_succeeded() {
                break;
            }
            if !self.became_another {
                self.parallelism.look();
            }
            self.look_for_modules();
            if last_round.elapsed() + PAUSE / 10 < PAUSE {
                continue;
            }
            last_round = Instant::now();
            self.engine.poll(self.pump.reads_perf());
            let has_parts = !self.session.parts.is_empty();
            if has_parts && last_member.elapsed() >= WHOLE {
                let profile = self.whole_so_far();
                if let Err(error) = self.session.write(&profile) {
                    tracing::debug!("{error}; tried again later");
                }
                last_member = Instant::now();
            } else if !has_parts && self.session.output.is_some() && last_member.elapsed() >= MEMBER {
                self.append();
                last_member = Instant::now();
            }
            if let Some(subscriber) = &self.options.subscriber
                && last_received.elapsed() >= subscriber.interval()
            {
                // The timeline's parts go to the growing file.
                subscriber.receive(&self.so_far(None), false);
                last_received = Instant::now();
            }
            if progress.looks_on() && Instant::now() >= next_look {
                let before = own_time();
                let timeline = self.due_timeline();
                let profile = self.so_far(timeline);
                progress.so_far(self.session.with_latest(profile));
                // The program loses this processor time where it keeps all processors busy.
                next_look = Instant::now() + ((own_time() - before) * REST).min(LONGEST_REST);
            }
        }
        let goes_on = status.is_none() || (child.is_none() && !is_gone(self.pid));
        let notes_before = self.notes.len();
        let left = if goes_on && !self.became_another { self.leave(&mut status, false) } else { None };
        // What the engine says of hooks that it could not remove.
        let stays = if left.is_none() { self.notes[notes_before..].to_vec() } else { Vec::new() };
        self.finish(progress, left, status.is_some() && child.is_some());
        // The probes are removed with their engine before the recorder waits for a program that keeps running.
        let Recorder { profile, engine, pump, mut session, became_another, .. } = self;
        drop(pump);
        drop(engine);
        if let Some(request) = paused {
            if status.is_none() {
                let said: Vec<String> = stays.into_iter().chain(session.pause(profile)).collect();
                request.done(said.join("; ").as_bytes());
                return Ok(Run::Paused(Box::new(session)));
            }
            request.refuse("the program has ended");
        }
        let gates = session.gates.clone();
        let (profile, problem, file) = session.finish(profile);
        let goes_on = goes_on && child.is_none_or(|_| status.is_none());
        let status = match (status, asked_to_finish, child, stop) {
            (Some(status), ..) => status,
            (None, Some((signal, _)), ..) => 128 + signal as i32 as u8,
            (None, None, Some(child), StopSource::Signals(_)) => {
                if let (Some(gates), false) = (&gates, became_another) {
                    gates.finish();
                }
                wait_for_end(child, stop, progress, gates.as_deref())?
            }
            (None, None, ..) => 0,
        };
        let outcome = Outcome { status, profile: Some(profile), problem, file, goes_on, followed: None };
        Ok(Run::Ended(Box::new(outcome)))
    }

    /// Waits for what comes next: the program's end, a signal to finish, which it returns, a command, a library that is loaded,
    /// another program in its place.
    fn wait(&self, stop: StopSource<'_>, child: Option<Pid>, pause: Duration) -> Option<Signal> {
        let end = self.session.tie.end().map(|end| end.as_fd());
        let control = self.session.control.as_ref().map(|control| control.as_fd());
        let (loaded, gate) = (self.engine.loaded(), self.engine.gate());
        let events = [loaded, gate.as_ref().map(|gate| gate.left())];
        let events = events.map(|event| event.map(|event| event.as_fd()));
        let files: Vec<BorrowedFd<'_>> = [end, control].into_iter().chain(events).flatten().collect();
        let signal = stop.wait(child, &files, pause);
        // One write wakes the recorder only once.
        let _ = (loaded.map(EventFd::read), gate.as_ref().map(|gate| gate.left().read()));
        signal
    }

    /// Returns all that was recorded so far, the timeline included.
    fn whole_so_far(&mut self) -> Profile {
        // The growing file has parts of the timeline.
        let growing = std::mem::take(&mut self.profile.timeline);
        let timeline = self.pump.timeline(true);
        let profile = self.so_far(Some(timeline));
        self.profile.timeline = growing;
        self.session.with_latest(profile)
    }

    /// Follows a command, if one has come. Returns the command to pause.
    fn answer(&mut self) -> Option<Request> {
        let request = self.session.control.as_ref()?.request()?;
        match request.command {
            Command::Pause => return Some(request),
            Command::Resume => request.refuse("it is not paused"),
            Command::Snapshot => {
                let whole = self.whole_so_far();
                request.done(&self.session.answer_with(&whole));
            }
        }
        None
    }

    /// Whether the program that the process becomes is followed.
    fn is_succeeded(&self) -> bool {
        self.engine.gate().is_some_and(|gate| gate.has_left())
    }

    /// Whether the process has become another program, or the same program anew.
    fn is_another(&self) -> bool {
        let begun_anew = self.engine.is_gone().unwrap_or_else(|| self.execution.is_over());
        begun_anew || is_another(self.pid, self.program)
    }

    fn append(&mut self) {
        let timeline = self.pump.timeline(false);
        self.take_stock(Some(timeline));
        if let Some(output) = &mut self.session.output {
            output.append(&self.profile);
        }
    }

    /// Returns the whole timeline for live profiles, if it is due.
    fn due_timeline(&mut self) -> Option<Part> {
        let due = self.timeline_due <= Instant::now();
        due.then(|| {
            self.timeline_due = Instant::now() + TIMELINE;
            self.pump.timeline(true)
        })
    }

    /// Returns the live profile: all that was recorded so far; with this timeline, or with the timeline as it is.
    fn so_far(&mut self, timeline: Option<Part>) -> Profile {
        self.take_stock(timeline);
        let mut profile = self.profile.clone();
        profile.recording.notes.retain(|note| !note.ends_with(notes::STILL_IN_C));
        tell_apart(&mut profile);
        profile
    }

    /// Assembles the profile of all that was recorded so far; with this timeline, or with the timeline as it is.
    fn take_stock(&mut self, timeline: Option<Part>) {
        let end = self.engine.timebase().now();
        let samples = self.pump.samples(end.monotonic);
        let snapshot = self.engine.snapshot();
        self.put_together(snapshot, samples, timeline, end);
    }

    fn take_mappings(&mut self) {
        self.symbolizer.set_mappings(&self.pump.take_mappings());
        for mappings in self.engine.take_mappings() {
            self.symbolizer.set_mappings(&mappings);
        }
    }

    /// Assembles the profile from the counts of the engine and the samples at one time.
    fn put_together(&mut self, mut snapshot: Snapshot, samples: Option<Samples>, timeline: Option<Part>, end: Moment) {
        self.take_mappings();
        if self.pump.reads_perf() {
            let mut threads = self.pump.threads();
            let since_start = |time: u64| time.saturating_sub(self.begun.monotonic.0);
            for thread in &mut threads {
                thread.created_ns = thread.created_ns.map(since_start);
                thread.exited_ns = thread.exited_ns.map(since_start);
            }
            self.profile.threads = threads;
        } else {
            // Threads that crossed are added later.
            self.profile.threads.clear();
        }
        let rate = Rate::between(self.begun, end);
        let clock = self.describe(&snapshot, samples.as_ref(), rate, end);
        let mut off = HashMap::new();
        let mut samples = samples;
        if let Some(samples) = &mut samples {
            off = off_cpu(&self.pump, samples, &mut snapshot, rate, end);
        }
        let (suspended, mut timeline) = (self.begun.suspended_until(end) > 0, timeline);
        if suspended || samples.as_ref().is_some_and(|samples| samples.new_processor) {
            off.clear();
            if let Some(part) = &mut timeline {
                part.forget_switches();
            }
        }
        let crossings = assemble(&mut self.profile, &snapshot, &mut self.symbolizer, clock, &off);
        if self.profile.recording.counted() {
            // Other engines have probes, which tell when C is called, and only with times when it returns.
            let always_looks = !self.engine.capabilities().counts_by_records;
            let all_heard = samples.as_ref().is_some_and(|samples| samples.lost == 0 && !samples.new_processor);
            let seen = self.engine.seen();
            if seen.more_births > 0 {
                let more = seen.more_births;
                self.profile.recording.notes.push(format!("{more} more threads were made than are explained"));
            }
            let switches = samples.as_ref().filter(|_| self.profile.recording.off_cpu);
            let observed = Observed {
                births: if suspended { &[][..] } else { &seen.births },
                peak: (clock.measured || always_looks && !suspended)
                    .then_some((&seen.peak, !always_looks && all_heard)),
                blocked: switches.map(|samples| &samples.blocked),
                idle: switches.map(|samples| Idle { by_lock: &samples.idle, by_thread: &samples.thread_idle }),
                timeline: timeline.filter(|_| !suspended),
                labels: None,
            };
            let labels = self.engine.labels();
            let labels = labels.as_ref().map(|looks| looks.lock().unwrap_or_else(PoisonError::into_inner));
            let observed = Observed { labels: labels.as_deref(), ..observed };
            let span = Span { rate, begun: self.begun.monotonic, end };
            let off = |tid, from, to| {
                let (mut off, ended) = self.pump.off(tid, from, to);
                let in_c = switches.and_then(|samples| samples.locked_blocked.get(&tid)).copied().unwrap_or(0);
                off.blocked = off.blocked.saturating_sub(in_c);
                (off, ended)
            };
            let symbolizer = &mut self.symbolizer;
            assemble_scheduler(&mut self.profile, &snapshot, &crossings, symbolizer, (&clock, &span), &observed, off);
        }
        if let Some(samples) = samples {
            assemble_samples(&mut self.profile, &samples, &crossings, &mut self.symbolizer);
            if self.profile.recording.off_cpu {
                assemble_waits(&mut self.profile, &samples, &crossings, &mut self.symbolizer);
            }
        }
    }

    /// Sets the recording's facts as of now. Returns the clock that converts raw times.
    fn describe(&mut self, snapshot: &Snapshot, samples: Option<&Samples>, rate: Rate, end: Moment) -> Clock {
        let calibration = self.engine.calibration();
        let suspended = self.begun.suspended_until(end);
        let measured = self.options.timing != Timing::None && self.engine.capabilities().counts && suspended == 0;
        let are_known = suspended == 0 && samples.is_some_and(|samples| !samples.new_processor);
        let runnable = if are_known { self.pump.runnable(end.monotonic) } else { None };
        self.profile.recording.parallelism = self.parallelism.so_far(runnable);
        let (known, calibration) = (calibration.is_some(), calibration.unwrap_or_default());
        let ticks_per_ns = rate.ticks_per_ns;
        let is_succeeded = self.is_succeeded();
        let recording = &mut self.profile.recording;
        recording.duration_ns = end.monotonic.0.saturating_sub(self.begun.monotonic.0);
        recording.hook_ns_per_crossing = per_crossing(&calibration, snapshot, self.options.timing) / ticks_per_ns;
        recording.clock_read_ns = calibration.clock_read / ticks_per_ns;
        recording.folded_stacks = snapshot.folded;
        recording.foreign_callbacks = snapshot.foreign_callbacks;
        recording.lost_events = snapshot.lost_events;
        recording.notes = notes::counts(snapshot, self.options.timing);
        recording.notes.extend_from_slice(&self.notes);
        if let Some(pause) = self.pause {
            recording.notes.push(format!("the program stood still for {pause}, to be joined and left"));
        }
        recording.notes.extend(self.engine.notes(end.monotonic));
        if !known {
            recording.notes.push("the hooks' own time could not be measured: it is in the times".into());
        }
        if suspended > 0 {
            recording.notes.push(notes::suspended(suspended));
            recording.timing = Timing::None.name().into();
            recording.off_cpu = false;
        }
        let stolen = self.processors.zip(Processors::by_now()).and_then(|(begun, now)| now.note_since(begun));
        recording.notes.extend(stolen);
        if self.pump.failed() {
            recording.notes.push("reading perf records failed on the way: what came after that is missing".into());
        }
        let forgotten = self.pump.forgotten_threads();
        if forgotten > 0 {
            recording.notes.push(format!("{forgotten} more threads came and went than are listed"));
        }
        if self.became_another || self.pump.became_another() {
            const NOTE: &str = "the program became another one, or itself anew: what that did is not in its numbers";
            let way_out = if is_succeeded { "" } else { "; record --wait NAME, or -p PID" };
            recording.notes.push(format!("{NOTE}{way_out}"));
        }
        if let Some(samples) = samples {
            recording.num_cgo_call = samples.num_cgo_call.map(|(count, _)| count);
            recording.off_cpu &= !samples.new_processor;
            recording.looks_cost_ns = recording.off_cpu.then_some(samples.looks_cost);
            recording.every_wait_ns = if recording.off_cpu { samples.every_wait.min(recording.duration_ns) } else { 0 };
            recording.notes.extend(notes::perf(self.engine.capabilities(), samples, end.monotonic));
        }
        Clock { measured, ticks_per_ns, calibration, c_error: snapshot.c_error, end: end.ticks }
    }

    /// Detaches the engine from a program that keeps running. Returns when counting ended, if the engine had to detach.
    fn leave(&mut self, status: &mut Option<u8>, again: bool) -> Option<Moment> {
        match self.engine.detach()? {
            Ok(detached) => {
                self.pause = Some(self.pause.unwrap_or_default().max(detached.pause));
                self.notes.extend(detached.note.map(str::to_owned));
                return detached.off;
            }
            Err(DetachError::Ended(ended)) => *status = status.or(Some(ended)),
            Err(DetachError::Lost) => self.became_another |= !is_gone(self.pid),
            // There is room for a thread when the recorder's own threads have ended.
            Err(DetachError::NoThread(_)) if !again => self.leave_again = true,
            Err(DetachError::NoThread(note) | DetachError::Stays(note)) => self.notes.push(note),
        }
        None
    }

    /// Assembles the complete recording after the detach, or after the program's end, and finishes the file.
    fn finish(&mut self, progress: &dyn Progress, left: Option<Moment>, ended: bool) {
        // In a program that keeps running, crossings that return after this are not in the snapshot. Their events may
        // come or not.
        let end = left.map_or_else(|| self.engine.timebase().now(), |left| self.engine.timebase().of(left));
        let engine_has = self.engine.capabilities();
        let counted = (!engine_has.counts_by_records).then(|| self.engine.snapshot());
        self.engine.stop();
        self.pump.stop();
        let samples = self.pump.samples(end.monotonic);
        if std::mem::take(&mut self.leave_again) {
            self.leave(&mut None, true);
        }
        if ended {
            let children = self.pump.children();
            let is_followed = |pid| self.session.gates.as_ref().is_some_and(|gates| gates.know(pid));
            let alive: Vec<_> = children.into_iter().filter(|&pid| !is_gone(pid) && !is_followed(pid)).collect();
            self.notes.extend(notes::children(&alive));
        }
        // Counts from the kernel's records are complete when all records are read.
        let snapshot = counted.unwrap_or_else(|| self.engine.snapshot());
        self.take_mappings();
        self.take_reported();
        if engine_has.counts {
            let uncounted = self.symbolizer.other_go_code();
            self.notes.extend(self.modules.notes(&uncounted));
        }
        progress.symbolizing(snapshot.cells.len());
        let timeline = self.pump.timeline(true);
        self.put_together(snapshot, samples, Some(timeline), end);
        self.symbolizer.add_lines(&mut self.profile);
        tell_apart(&mut self.profile);
        progress.symbolized();
        if let Some(subscriber) = &self.options.subscriber {
            subscriber.receive(&self.profile, true);
        }
    }
}

/// Whether a process runs another program than this file. False if its file may not be looked at.
pub(super) fn is_another(pid: Pid, program: Option<Identity>) -> bool {
    let now = identity(std::fs::metadata(status::program(pid)));
    now.is_some() && program.is_some() && now != program
}

/// Removes the recorder's hooks from a process when a panic of the recorder ends the recording.
pub(super) struct LeavesOnPanic(pub(super) Pid);

impl Drop for LeavesOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() && undo_mine(self.0).is_err() {
            tracing::error!("the hooks are still in the program; remove them: cgoprof detach {}", self.0);
        }
    }
}

/// Whether a process that is not the recorder's child has ended.
pub(super) fn is_gone(pid: Pid) -> bool {
    status::living_thread(pid).is_none()
}

/// Returns the off-CPU times of each cell's slow crossings, including those still in C. For these it also sets when
/// their threads ended.
fn off_cpu(
    pump: &Pump,
    samples: &mut Samples,
    snapshot: &mut Snapshot,
    rate: Rate,
    end: Moment,
) -> HashMap<CellId, Slow> {
    let mut off = samples.slow.clone();
    let locked: Vec<u64> = snapshot.locked.iter().map(|lock| lock.tid).collect();
    let mut outermost = std::collections::HashSet::new();
    for entry in &mut snapshot.in_flight {
        let (found, ended) = pump.off(entry.tid, rate.monotonic(entry.called), end.monotonic);
        entry.ended = entry.ended.or(ended.map(|ended| rate.ticks(ended)));
        let sum = off.entry(entry.cell).or_default();
        sum.blocked += found.blocked as f64;
        sum.preempted += found.preempted as f64;
        sum.c.census += found.preempted as f64 * rate.ticks_per_ns;
        // Its time includes nested crossings. Those that have ended are already in the thread's sum.
        if outermost.insert(entry.tid) {
            let own = found.blocked.saturating_sub(pump.blocked_within(entry.tid, rate.monotonic(entry.called)));
            *samples.blocked.entry(entry.tid).or_default() += own as f64;
            if locked.contains(&entry.tid) {
                *samples.locked_blocked.entry(entry.tid).or_default() += own;
            }
        }
    }
    off
}
