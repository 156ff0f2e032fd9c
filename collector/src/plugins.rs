//! Go plugins that the program loads while it is recorded: their crossings are led through the program's own hooks.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use nix::unistd::Pid;

use crate::process::maps::{self, Mapping};
use crate::process::memory::Memory;
use crate::target::Target;
use crate::target::plugin::{self, Redirect, SharedFunctions};
use crate::trampoline::Tables;

/// A plugin that has been loaded.
pub(crate) struct Plugin {
    pub(crate) path: PathBuf,
    /// Its file.
    pub(crate) data: Box<[u8]>,
    /// How far from its stated addresses it was loaded.
    pub(crate) bias: u64,
    /// Whether it locks goroutines to threads, which the hooks don't see.
    pub(crate) locks_threads: bool,
    /// Whether its functions lead to the program's.
    pub(crate) is_led: bool,
}

/// Plugins that have come and that nobody has asked for yet.
pub(crate) type Plugins = Arc<Mutex<Vec<Plugin>>>;

/// Sees to plugins as they come.
pub(crate) struct PluginLoader {
    shared: SharedFunctions,
    seen: HashSet<PathBuf>,
    found: Plugins,
}

impl PluginLoader {
    pub(crate) fn new(shared: SharedFunctions, found: Plugins) -> PluginLoader {
        PluginLoader { shared, seen: HashSet::new(), found }
    }

    /// Looks at what is loaded already, in a program that is joined: its threads may be anywhere in that, so nothing is changed.
    ///
    /// # Errors
    /// If the process can't be read.
    pub(crate) fn take_loaded(&mut self, pid: Pid) -> std::io::Result<()> {
        let (memory, loaded) = (Memory::open(pid)?, self.find_new(pid)?);
        let loaded = loaded.into_iter().map(|(mut plugin, redirects)| {
            plugin.is_led = is_led(&memory, &redirects);
            plugin
        });
        self.found.lock().unwrap_or_else(PoisonError::into_inner).extend(loaded);
        Ok(())
    }

    /// Leads the functions of the new plugin to the program's own, while the program waits with it. Where there are several,
    /// only one of them waits: the others may run, and none is changed.
    ///
    /// # Errors
    /// If the process can't be read or written.
    pub(crate) fn see_to_new(&mut self, pid: Pid, tables: &Tables) -> std::io::Result<()> {
        if !tables.write_plugin() {
            return Ok(());
        }
        let seen_to = self.lead_new(pid, tables);
        tables.plugin_is_written();
        seen_to
    }

    fn lead_new(&mut self, pid: Pid, tables: &Tables) -> std::io::Result<()> {
        let (memory, mut new) = (Memory::open(pid)?, self.find_new(pid)?);
        let mut written = Ok(());
        if let [(plugin, redirects)] = &mut new[..]
            && tables.plugin_is_being_written()
        {
            written = write(&memory, redirects);
            plugin.is_led = is_led(&memory, redirects);
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
        let data = mapping.contents()?;
        let target = Target::parse(&data).ok().filter(plugin::is_plugin)?;
        let bias = target.binary.bias(mapping.range.start, mapping.offset)?;
        let redirects = self.shared.redirects(&target, bias);
        let locks_threads = plugin::locks_threads(&target);
        let plugin = Plugin { path: mapping.path.clone(), data: data[..].into(), bias, locks_threads, is_led: false };
        Some((plugin, redirects))
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

/// By this recorder or an earlier one.
fn is_led(memory: &Memory, redirects: &[Redirect]) -> bool {
    redirects.iter().all(|one| memory.read(one.at, one.jump.len()).is_ok_and(|found| found == one.jump))
}
