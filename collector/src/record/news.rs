//! What is told of programs that others start.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;

use cgoprof_profile::Profile;
use nix::unistd::Pid;

use super::{EngineKind, Outcome, Problem, Progress, RecordError, SharedFile};

/// What a follower tells of programs.
pub(super) enum News {
    /// It was recorded. The last tells whether its file becomes a part of another.
    Recorded(PathBuf, Pid, Box<Result<Outcome, RecordError>>, bool),
    PassedOver(PathBuf, Pid, Problem),
}

/// A progress that is told the news of a follower too, by the thread of its recorder.
pub(super) struct Relay<'a> {
    progress: &'a dyn Progress,
    news: Receiver<News>,
    recorded: Cell<usize>,
}

impl<'a> Relay<'a> {
    pub(super) fn new(progress: &'a dyn Progress, news: Receiver<News>) -> Relay<'a> {
        Relay { progress, news, recorded: Cell::new(0) }
    }

    /// Returns how many programs it was told of that were recorded.
    pub(super) fn recorded(&self) -> usize {
        self.recorded.get()
    }

    /// Tells all news until the follower has ended.
    pub(super) fn tell_all(&self) {
        self.news.iter().for_each(|news| self.tell(news));
    }

    pub(super) fn tell(&self, news: News) {
        match news {
            News::Recorded(program, pid, mut outcome, is_part) => {
                self.recorded.set(self.recorded.get() + 1);
                if let (Ok(outcome), true) = (&mut *outcome, is_part) {
                    // Its file is told of when it has all profiles that belong in it.
                    outcome.file = None;
                }
                self.progress.recorded(&program, pid, *outcome);
            }
            News::PassedOver(program, pid, problem) => self.progress.passed_over(&program, pid, &problem),
        }
    }
}

impl Progress for Relay<'_> {
    fn passes(&self) {
        self.news.try_iter().for_each(|news| self.tell(news));
        self.progress.passes();
    }

    fn waiting(&self, pid: Pid, program: &Path) {
        self.progress.waiting(pid, program);
    }

    fn joined(&self, pid: Pid, engine: EngineKind) {
        self.progress.joined(pid, engine);
    }

    fn not_recorded(&self, problem: &Problem) {
        self.progress.not_recorded(problem);
    }

    fn recorded(&self, program: &Path, pid: Pid, outcome: Result<Outcome, RecordError>) {
        self.progress.recorded(program, pid, outcome);
    }

    fn written(&self, file: &SharedFile, problem: Option<&Problem>) {
        self.progress.written(file, problem);
    }

    fn passed_over(&self, program: &Path, pid: Pid, problem: &Problem) {
        self.progress.passed_over(program, pid, problem);
    }

    fn symbolizing(&self, stacks: usize) {
        self.progress.symbolizing(stacks);
    }

    fn symbolized(&self) {
        self.progress.symbolized();
    }

    fn looks_on(&self) -> bool {
        self.progress.looks_on()
    }

    fn so_far(&self, profile: Profile) {
        self.progress.so_far(profile);
    }
}
