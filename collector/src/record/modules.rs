//! Go code that the program has loaded: plugins, and libraries with a runtime of their own. Each is recorded like the
//! program itself, into the same profile.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cgoprof_symbols::Avma;
use nix::unistd::Pid;

use super::go_image::GoImage;
use super::recorder::{Recorder, is_gone};
use super::{Identity, identity};
use crate::clock::own_time;
use crate::engines::AddError;
use crate::loaded::{LoadedGo, Runtime, runtime_in};
use crate::process::link_map::LinkMap;
use crate::process::maps::{self, Mapping};
use crate::unwind::{Border, GoModule};

/// Go code that the program has loaded and that is not recorded yet.
pub(super) struct Modules {
    pid: Pid,
    libraries: Option<LinkMap>,
    /// Whether libraries have been loaded since the last search.
    changed: bool,
    /// Earliest time of the next search, because a program can load libraries all the time.
    due: Instant,
    /// Mappings whose files have been examined.
    seen: HashSet<(Avma, PathBuf)>,
    /// Examined mappings with Go code.
    with_go: HashSet<(Avma, PathBuf)>,
    /// The file whose Go code is recorded from the start.
    first: Option<Identity>,
    /// Modules that a search has found.
    waiting: Vec<Waiting>,
    /// Modules that the dynamic linker is still loading.
    loading: Vec<Loading>,
    /// Plugins that the engine has reported.
    reported: HashSet<PathBuf>,
    /// Reasons why modules can't be recorded, by name of the module.
    refused: BTreeMap<String, String>,
    /// Whether modules that the next search finds were loaded before the recorder came.
    were_before: bool,
}

/// A mapping with Go code.
struct Waiting {
    mapping: Mapping,
    runtime: Runtime,
    since: Instant,
    was_before: bool,
}

/// A module to be recorded as soon as it is loaded.
struct Loading {
    module: LoadedGo,
    since: Instant,
    /// Whether it was loaded before the recorder came.
    was_before: bool,
}

/// Why a module is not recorded that was found too late.
const TOO_LATE: &str = "the recording ended before the recorder could count them";
/// Maximum time that a library may take to load.
const LOADING: Duration = Duration::from_secs(10);
/// Time between two attempts to record a module.
const RETRY: Duration = Duration::from_millis(5);
/// Maximum time until a plugin is reported. The plugin hook waits for the recorder for a second.
const REPORTING: Duration = Duration::from_secs(2);
/// Pause after a search, as a multiple of the processor time that the search took.
const REST: u32 = 50;
/// Maximum number of remembered mappings, because libraries come and go.
const MOST_SEEN: usize = 100_000;

impl Modules {
    /// Returns the modules of a process in which `first` is recorded. `joined` tells whether the process ran already.
    pub(super) fn of(pid: Pid, first: &GoImage, joined: bool) -> Modules {
        Modules {
            pid,
            libraries: None,
            changed: false,
            due: Instant::now(),
            seen: HashSet::new(),
            with_go: HashSet::new(),
            first: identity(first.file.metadata()),
            waiting: Vec::new(),
            loading: Vec::new(),
            reported: HashSet::new(),
            refused: BTreeMap::new(),
            were_before: joined,
        }
    }

    /// Returns the time until there is something to do; none if that is not known.
    pub(super) fn pause(&self) -> Option<Duration> {
        (self.changed || !self.waiting.is_empty() || !self.loading.is_empty()).then_some(RETRY)
    }

    /// Returns notes on modules that are not recorded: the refused ones, and `others`.
    pub(super) fn notes(&self, others: &[String]) -> Vec<String> {
        let refused = self.refused.iter().map(|(name, why)| format!("crossings of {name} are not counted: {why}"));
        let late = others.iter().filter(|name| !self.refused.contains_key(*name));
        refused.chain(late.map(|name| format!("crossings of {name} are not counted: {TOO_LATE}"))).collect()
    }

    /// Returns the Go code that has been loaded since the last call.
    fn take_new(&mut self) -> Vec<Waiting> {
        self.changed |= match &mut self.libraries {
            Some(libraries) => libraries.has_changed(),
            None => {
                self.libraries = LinkMap::of(self.pid);
                self.libraries.is_some()
            }
        };
        if !self.changed || Instant::now() < self.due {
            return Vec::new();
        }
        self.changed = false;
        let before = own_time();
        let found = self.search();
        self.due = Instant::now() + REST * (own_time() - before);
        self.were_before = false;
        found
    }

    fn search(&mut self) -> Vec<Waiting> {
        let mut found = Vec::new();
        if self.seen.len() > MOST_SEEN {
            self.seen.clone_from(&self.with_go);
        }
        for mut mapping in maps::read_unopened(self.pid).unwrap_or_default() {
            if !mapping.executable || !self.seen.insert((mapping.range.start, mapping.path.clone())) {
                continue;
            }
            mapping.open(self.pid);
            if mapping.opened().is_none_or(|file| identity(file.metadata()) == self.first) {
                continue;
            }
            match runtime_in(&mapping) {
                Ok(Some(runtime)) => {
                    self.with_go.insert((mapping.range.start, mapping.path.clone()));
                    found.push(Waiting { mapping, since: Instant::now(), was_before: self.were_before, runtime });
                }
                Ok(None) => {}
                Err(error) => self.refuse(&file_name(&mapping.path), error),
            }
        }
        found
    }

    fn refuse(&mut self, name: &str, why: impl ToString) {
        self.refused.insert(name.to_owned(), reason(self.pid, why));
    }
}

/// Returns why a module of a process is not recorded. Whatever fails in a program that has ended fails for that.
fn reason(pid: Pid, why: impl ToString) -> String {
    if is_gone(pid) { TOO_LATE.to_owned() } else { why.to_string() }
}

impl Recorder<'_> {
    /// Records the Go code that the program has loaded since the last call.
    pub(super) fn look_for_modules(&mut self) {
        let capabilities = self.engine.capabilities();
        if self.became_another || !capabilities.counts {
            return;
        }
        let (was_before, since) = (self.modules.were_before, Instant::now());
        let mut waiting = std::mem::take(&mut self.modules.waiting);
        waiting.extend(self.modules.take_new());
        let mut ready = std::mem::take(&mut self.modules.loading);
        for module in self.take_reported() {
            self.modules.reported.insert(module.path.clone());
            ready.push(Loading { module, since, was_before });
        }
        for one in waiting {
            let is_reported = capabilities.reports_plugins && one.runtime == Runtime::Shared;
            if is_reported && self.modules.reported.contains(&one.mapping.path) {
                continue;
            }
            if is_reported && one.since.elapsed() < REPORTING {
                self.modules.waiting.push(one);
                continue;
            }
            match LoadedGo::read(&one.mapping) {
                Ok(Some(module)) if !self.symbolizer.has(&module) => {
                    ready.push(Loading { module, since, was_before: one.was_before });
                }
                Ok(_) => {}
                Err(error) => self.modules.refuse(&file_name(&one.mapping.path), error),
            }
        }
        ready.into_iter().for_each(|module| self.record_module(module));
    }

    /// Adds the modules that the engine reports as recorded, and returns the others.
    pub(super) fn take_reported(&mut self) -> Vec<LoadedGo> {
        let (recorded, others): (Vec<_>, Vec<_>) =
            self.engine.take_reported().into_iter().partition(|reported| reported.is_recorded);
        for reported in recorded {
            self.notes.extend(reported.note);
            self.know_module(reported.module, Some(Border::Shared));
        }
        others.into_iter().map(|reported| reported.module).collect()
    }

    fn record_module(&mut self, loading: Loading) {
        let Loading { module, since, was_before } = loading;
        match self.engine.add_module(&module, was_before, &self.pump) {
            Ok(added) => {
                if let Some(pause) = added.pause {
                    self.pause = Some(self.pause.unwrap_or_default().max(pause));
                }
                self.notes.extend(added.notes);
                self.know_module(module, added.border);
            }
            Err(AddError::Loading(_)) if since.elapsed() < LOADING => {
                self.modules.loading.push(Loading { module, since, was_before });
            }
            Err(error) => self.modules.refuse(&module.name(), error),
        }
    }

    fn know_module(&mut self, module: LoadedGo, border: Option<Border>) {
        if let Some(border) = border {
            self.pump.add_module(GoModule { go: module.target.go_text(module.bias), border });
        }
        self.symbolizer.add_module(module);
    }
}

/// Returns the name of a file, as text for messages.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It was once said to lack a privilege.
    #[test]
    fn a_module_of_a_program_that_has_ended_came_too_late_whatever_fails() {
        let mut child = std::process::Command::new("true").spawn().expect("it runs");
        let pid = Pid::from_raw(child.id() as i32);
        child.wait().expect("it ends");
        assert_eq!(reason(pid, "its memory can't be read"), TOO_LATE);
        assert_eq!(reason(Pid::this(), "its memory can't be read"), "its memory can't be read");
    }
}
