//! Go plugins that the program loads while it is recorded: their functions are redirected to the program's, which have
//! hooks.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use nix::unistd::Pid;

use crate::arch;
use crate::engines::trampoline::Tables;
use crate::goruntime::plugin::{self, Redirect, SharedFunctions};
use crate::loaded::{LoadedGo, Runtime, runtime_in};
use crate::process::maps::{self, Mapping};
use crate::process::memory::Memory;

/// A plugin that has been loaded.
pub(crate) struct Plugin {
    pub(crate) loaded: LoadedGo,
    /// Whether it contains `LockOSThread`, which has no hook there.
    pub(crate) locks_threads: bool,
    /// Whether its functions jump to the program's.
    pub(crate) redirected: bool,
}

/// Plugins found and not yet taken by the recorder.
pub(crate) type Plugins = Arc<Mutex<Vec<Plugin>>>;

/// Redirects plugins as they are loaded.
pub(crate) struct PluginLoader {
    shared: SharedFunctions,
    seen: HashSet<PathBuf>,
    found: Plugins,
}

impl PluginLoader {
    pub(crate) fn new(shared: SharedFunctions, found: Plugins) -> PluginLoader {
        PluginLoader { shared, seen: HashSet::new(), found }
    }

    /// Finds the plugins that a program had loaded before the attach. Does not change them, because the program's
    /// threads may run their code.
    ///
    /// # Errors
    /// If the process can't be read.
    pub(crate) fn take_loaded(&mut self, pid: Pid) -> std::io::Result<()> {
        let (memory, loaded) = (Memory::open(pid)?, self.find_new(pid)?);
        let loaded = loaded.into_iter().map(|(mut plugin, redirects)| {
            plugin.redirected = all_redirected(&memory, &redirects);
            plugin
        });
        self.found.lock().unwrap_or_else(PoisonError::into_inner).extend(loaded);
        Ok(())
    }

    /// Redirects the functions of the plugin with which the program waits. Changes nothing if several plugins are new:
    /// all but one may run.
    ///
    /// # Errors
    /// If the process can't be read or written.
    pub(crate) fn redirect_waiting(&mut self, pid: Pid, tables: &Tables) -> std::io::Result<()> {
        if !tables.claim_plugin() {
            return Ok(());
        }
        let redirected = self.redirect_new(pid, tables);
        tables.release_plugin();
        redirected
    }

    fn redirect_new(&mut self, pid: Pid, tables: &Tables) -> std::io::Result<()> {
        let (memory, mut new) = (Memory::open(pid)?, self.find_new(pid)?);
        let mut written = Ok(());
        if let [(plugin, redirects)] = &mut new[..]
            && tables.plugin_is_claimed()
        {
            written = write(&memory, redirects);
            plugin.redirected = all_redirected(&memory, redirects);
        }
        self.found.lock().unwrap_or_else(PoisonError::into_inner).extend(new.into_iter().map(|(plugin, _)| plugin));
        written
    }

    fn find_new(&mut self, pid: Pid) -> std::io::Result<Vec<(Plugin, Vec<Redirect>)>> {
        let mappings = maps::read(pid)?;
        let files = mappings.iter().filter(|mapping| mapping.executable && mapping.path.is_absolute());
        let new: Vec<&Mapping> = files.filter(|mapping| self.seen.insert(mapping.path.clone())).collect();
        Ok(new.into_iter().filter_map(|mapping| self.plugin(mapping)).collect())
    }

    fn plugin(&self, mapping: &Mapping) -> Option<(Plugin, Vec<Redirect>)> {
        if runtime_in(mapping).ok()? != Some(Runtime::Shared) {
            return None;
        }
        let loaded = LoadedGo::read(mapping).ok().flatten()?;
        let redirects = self.shared.redirects(&loaded.target, loaded.bias, arch::far_jump);
        let locks_threads = plugin::locks_threads(&loaded.target);
        Some((Plugin { loaded, locks_threads, redirected: false }, redirects))
    }
}

fn write(memory: &Memory, redirects: &[Redirect]) -> std::io::Result<()> {
    for redirect in redirects {
        if memory.read(redirect.at, redirect.original.len())? == redirect.original {
            memory.write(redirect.at, &redirect.jump)?;
        }
    }
    Ok(())
}

/// Whether this recorder or an earlier one has redirected a plugin.
fn all_redirected(memory: &Memory, redirects: &[Redirect]) -> bool {
    !redirects.is_empty()
        && redirects.iter().all(|one| memory.read(one.at, one.jump.len()).is_ok_and(|found| found == one.jump))
}
