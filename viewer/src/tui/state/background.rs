//! What is being made elsewhere than where it is drawn.

use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::super::data::Data;
use super::super::data::direction::Direction;
use super::super::effect::NewFile;
use super::super::screen::Screen;

/// Something to be done on another thread.
pub struct Work {
    pub(in crate::tui) job: Option<Job>,
    pub(in crate::tui) retired: Vec<Arc<Data>>,
}

impl Work {
    /// Does it. `done` is called as soon as there is something to be settled.
    pub fn run(self, done: impl FnOnce()) {
        if let Some(job) = self.job {
            job();
        }
        done();
        drop(self.retired);
    }
}

pub(in crate::tui) type Job = Box<dyn FnOnce() + Send>;

/// What is being made: data one after the other, and a file beside.
#[derive(Default)]
pub(crate) struct Background {
    /// What has not begun.
    pub(in crate::tui) job: Option<Job>,
    /// From where it comes when it is made.
    pub(in crate::tui) coming: Option<Receiver<Arc<Data>>>,
    /// Nobody wants any more what comes.
    pub(in crate::tui) unwanted: bool,
    /// What is to be shown has become another since.
    pub(in crate::tui) outdated: bool,
    /// What is to be shown once it can be.
    pub(in crate::tui) awaited: Option<Need>,
    /// A file that has not begun to be made.
    pub(in crate::tui) file: Option<Job>,
    /// From where that comes.
    pub(in crate::tui) file_coming: Option<Receiver<Result<NewFile, String>>>,
    /// What is shown no more: it takes long to give back its memory.
    pub(in crate::tui) retired: Vec<Arc<Data>>,
}

/// A screen, and from where the tree on it grows.
pub(in crate::tui) type Need = (Screen, Direction);

impl Background {
    pub(crate) fn is_file_coming(&self) -> bool {
        self.file_coming.is_some()
    }

    /// Nobody waits for a file any more.
    pub(crate) fn forget_file(&mut self) {
        (self.file, self.file_coming) = (None, None);
    }
}
