//! Go code that the program has loaded: plugins, and libraries with a runtime of their own. Each is recorded like the program
//! itself, into the same profile.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
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
use crate::loaded::LoadedGo;
use crate::process::link_map::LinkMap;
use crate::process::maps;
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
    /// Its dynamic linker has not finished with them.
    loading: Vec<Loading>,
    /// By name, why modules can't be recorded.
    refused: BTreeMap<String, String>,
    /// Why no module gets probes any more: some of one's may be set, and its number is taken.
    probes_failed: Option<String>,
    /// What is loaded now was so before the recorder came.
    were_before: bool,
}

/// A module to be recorded as soon as it is loaded.
struct Loading {
    module: LoadedGo,
    since: Instant,
    was_before: bool,
}

/// Time between two attempts to record a module that is being loaded.
const RETRY: Duration = Duration::from_millis(5);
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
            loading: Vec::new(),
            refused: BTreeMap::new(),
            probes_failed: None,
            were_before: joined,
        }
    }

    /// How long until there is something to do, if that is known.
    pub(super) fn pause(&self) -> Option<Duration> {
        (self.changed || !self.loading.is_empty()).then_some(RETRY)
    }

    /// On a library with Go code that is not recorded.
    pub(super) fn note(&self, name: &str) -> String {
        match self.refused.get(name) {
            Some(why) => format!("crossings of {name} are not counted: {why}"),
            None => {
                format!("crossings of {name} are not counted: the program ended before the recorder could count them")
            }
        }
    }

    /// Go code that has been loaded since the last call.
    fn take_new(&mut self) -> Vec<LoadedGo> {
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
        found
    }

    fn search(&mut self) -> Vec<LoadedGo> {
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
            match LoadedGo::of(&mapping) {
                Ok(Some(module)) => {
                    self.with_go.insert((mapping.range.start, mapping.path));
                    found.push(module);
                }
                Ok(None) => {}
                Err(error) => self.refuse(&mapping.path.file_name().unwrap_or_default().to_string_lossy(), error),
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
        let (new, was_before) = (self.modules.take_new(), self.modules.were_before);
        self.modules.were_before = false;
        let tables = match &self.engine {
            Engine::Trampoline { tables, .. } => tables.clone(),
            Engine::Uprobe(_) => return new.into_iter().for_each(|module| self.probe(module, was_before)),
            Engine::Sample => return,
        };
        let since = Instant::now();
        let loading = |module| Loading { module, since, was_before };
        let mut ready = std::mem::take(&mut self.modules.loading);
        // Plugins are seen to when they are loaded.
        ready.extend(new.into_iter().filter(|module| !module.is_plugin()).map(loading));
        ready.extend(self.add_redirected().into_iter().map(loading));
        ready.into_iter().for_each(|module| self.hook(&tables, module));
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
        let missed = check.start_anew(self.pid);
        self.notes.extend(notes::missed(&name, missed.filter(|_| !was_before)));
        self.notes.extend(hooked.notes);
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
        self.notes.extend((!was_before).then(|| notes::before_probes(&name)));
        self.symbolizer.add_module(module);
    }

    fn add_module(&mut self, module: LoadedGo, border: Border) {
        if let Some(sampler) = &self.sampler {
            sampler.add_module(GoModule { go: module.target.go_text(module.bias), border });
        }
        self.symbolizer.add_module(module);
    }
}
