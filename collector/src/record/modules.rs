//! Go code that the program has loaded: plugins, and libraries with a runtime of their own. Each is recorded like the program
//! itself, into the same profile.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use cgoprof_symbols::Avma;
use nix::unistd::Pid;

use super::engine::{Engine, EngineError, probe_module};
use super::joined::{LOADING, join_module};
use super::located::Located;
use super::recorder::Recorder;
use super::self_check::SelfCheck;
use super::{Identity, identity, notes};
use crate::clock::Rate;
use crate::loaded::{LoadedGo, Runtime, runtime_in};
use crate::process::link_map::LinkMap;
use crate::process::maps::{self, Mapping};
use crate::ticker::own_time;
use crate::trampoline::{InjectError, JoinError, TableSet};
use crate::unwind::{Border, GoModule};
use crate::uprobe::UprobeError;

/// Go code that the program has loaded, as far as it is not recorded.
pub(super) struct Modules {
    pid: Pid,
    libraries: Option<LinkMap>,
    /// Libraries have been loaded since the last search.
    changed: bool,
    /// When the next search may be: a program can load libraries all the time.
    due: Instant,
    /// Mappings whose files have been examined.
    seen: HashSet<(Avma, PathBuf)>,
    /// Those with Go code.
    with_go: HashSet<(Avma, PathBuf)>,
    /// The file that is recorded first.
    first: Option<Identity>,
    /// Modules that have been found.
    waiting: Vec<Waiting>,
    /// Modules that the dynamic linker has not finished with.
    loading: Vec<Loading>,
    /// Plugins of which the plugin loader has told.
    reported: HashSet<PathBuf>,
    /// By name, why modules can't be recorded.
    refused: BTreeMap<String, String>,
    /// Why no module gets probes any more: some probes of one may be set under its number.
    probes_failed: Option<String>,
    /// Modules that the next search finds were loaded before the recorder came.
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
    /// It was loaded before the recorder came.
    was_before: bool,
}

/// Time between two attempts to record a module.
const RETRY: Duration = Duration::from_millis(5);
/// How long the plugin loader may take to tell of a plugin: the hook waits for it for a second.
const REPORTING: Duration = Duration::from_secs(2);
/// How many times as long as a search takes is left until the next.
const REST: u32 = 50;
/// Mappings that are remembered: libraries come and go.
const MOST_SEEN: usize = 100_000;

impl Modules {
    /// Of a process in which `first` is recorded, which ran already if it was joined.
    pub(super) fn of(pid: Pid, first: &Located, joined: bool) -> Modules {
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
            probes_failed: None,
            were_before: joined,
        }
    }

    /// How long until there is something to do, if that is known.
    pub(super) fn pause(&self) -> Option<Duration> {
        (self.changed || !self.waiting.is_empty() || !self.loading.is_empty()).then_some(RETRY)
    }

    /// On modules that are not recorded: those refused, and these others.
    pub(super) fn notes(&self, others: &[String]) -> Vec<String> {
        let refused = self.refused.iter().map(|(name, why)| format!("crossings of {name} are not counted: {why}"));
        let late = others.iter().filter(|name| !self.refused.contains_key(*name));
        let why = "the recording ended before the recorder could count them";
        refused.chain(late.map(|name| format!("crossings of {name} are not counted: {why}"))).collect()
    }

    /// Go code that has been loaded since the last call.
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
        self.refused.insert(name.to_owned(), why.to_string());
    }
}

impl Recorder<'_> {
    /// Records what the program has loaded since the last call.
    pub(super) fn look_for_modules(&mut self) {
        if self.became_another || matches!(self.engine, Engine::Sample) {
            return;
        }
        let (was_before, since) = (self.modules.were_before, Instant::now());
        let mut waiting = std::mem::take(&mut self.modules.waiting);
        waiting.extend(self.modules.take_new());
        let mut ready = std::mem::take(&mut self.modules.loading);
        for module in self.add_redirected() {
            self.modules.reported.insert(module.path.clone());
            ready.push(Loading { module, since, was_before });
        }
        for one in waiting {
            let has_loader = matches!(self.engine, Engine::Trampoline { .. }) && one.runtime == Runtime::Shared;
            if has_loader && self.modules.reported.contains(&one.mapping.path) {
                continue;
            }
            if has_loader && one.since.elapsed() < REPORTING {
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
        for module in ready {
            match &self.engine {
                Engine::Trampoline { tables, .. } => self.hook(&tables.clone(), module),
                Engine::Uprobe(_) => self.probe(module.module, module.was_before),
                Engine::Sample => {}
            }
        }
    }

    /// Adds the plugins whose functions lead to the program's, and returns the others.
    pub(super) fn add_redirected(&mut self) -> Vec<LoadedGo> {
        let plugins = std::mem::take(&mut *self.plugins.lock().unwrap_or_else(PoisonError::into_inner));
        let (redirected, others): (Vec<_>, Vec<_>) = plugins.into_iter().partition(|plugin| plugin.redirected);
        for plugin in redirected {
            self.notes.extend(notes::plugin(&plugin));
            self.add_module(plugin.loaded, Border::Shared);
        }
        others.into_iter().map(|plugin| plugin.loaded).collect()
    }

    fn hook(&mut self, tables: &TableSet, Loading { module, since, was_before }: Loading) {
        let rate = Rate::between(self.begun, self.engine.timebase().now());
        let name = module.name();
        let hooked = match join_module(self.options, self.pid, module.image(), rate) {
            Ok(hooked) => hooked,
            Err(EngineError::Join(JoinError::Inject(InjectError::Loading))) if since.elapsed() < LOADING => {
                self.modules.loading.push(Loading { module, since, was_before });
                return;
            }
            Err(error) => return self.modules.refuse(&name, error),
        };
        let (address, returns) = (hooked.placed.tables.address(), hooked.placed.returns_from_c());
        let Some(own) = tables.add(hooked.placed.tables, module.is_plugin()) else {
            let _ = crate::trampoline::undo_own(self.pid, address);
            return self.modules.refuse(&name, "too many modules are recorded already");
        };
        self.pause = Some(self.pause.unwrap_or_default().max(hooked.pause));
        let check = if module.is_plugin() { self.self_checks.first_mut() } else { None };
        let check = match check {
            Some(check) => {
                check.add(own.clone());
                check
            }
            None => {
                self.notes.push(notes::own_runtime(&name, self.engine.kind()));
                self.self_checks.push(SelfCheck::of_library(&module, own.clone(), was_before));
                let last = self.self_checks.len() - 1;
                &mut self.self_checks[last]
            }
        };
        match check.start_anew(self.pid) {
            _ if was_before => {}
            Some(missed) => self.notes.extend(notes::missed(&name, missed)),
            None => self.notes.push(notes::before_recorder(&name)),
        }
        self.notes.extend(hooked.notes.into_iter().map(|note| format!("{name}: {note}")));
        let border = Border::Hooks { code: hooked.placed.hooks, returns, cells: own.cells() };
        self.add_module(module, border);
    }

    fn probe(&mut self, module: LoadedGo, was_before: bool) {
        let (Engine::Uprobe(probes), Some(sampler)) = (&mut self.engine, &self.sampler) else { return };
        let name = module.name();
        if let Some(why) = self.modules.probes_failed.clone() {
            return self.modules.refuse(&name, why);
        }
        if let Err(error) = probe_module(probes, sampler, &module, self.pid, self.options) {
            if let EngineError::Uprobe(UprobeError::Perf(_)) = &error {
                self.modules.probes_failed = Some(error.to_string());
            }
            return self.modules.refuse(&name, error);
        }
        if !module.is_plugin() {
            self.notes.push(notes::own_runtime(&name, self.engine.kind()));
        }
        self.notes.extend((!was_before).then(|| notes::before_recorder(&name)));
        self.symbolizer.add_module(module);
    }

    fn add_module(&mut self, module: LoadedGo, border: Border) {
        if let Some(sampler) = &self.sampler {
            sampler.add_module(GoModule { go: module.target.go_text(module.bias), border });
        }
        self.symbolizer.add_module(module);
    }
}

/// The name of a file, for people.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
