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

    /// Looks at what is loaded already, in a program that is joined: whoever runs in it may be anywhere, so nothing is led
    /// elsewhere any more. Returns the names of plugins that no earlier recorder has led to the program's functions.
    ///
    /// # Errors
    /// If the process can't be read.
    pub(crate) fn take_loaded(&mut self, pid: Pid) -> std::io::Result<Vec<String>> {
        let (memory, loaded) = (Memory::open(pid)?, self.find_new(pid)?);
        let mut apart = Vec::new();
        for (plugin, redirects) in loaded {
            let is_led = |one: &Redirect| memory.read(one.at, one.jump.len()).is_ok_and(|found| found == one.jump);
            if !redirects.iter().all(is_led) {
                apart.push(plugin.path.file_name().unwrap_or_default().to_string_lossy().into_owned());
            }
            self.found.lock().unwrap_or_else(PoisonError::into_inner).push(plugin);
        }
        Ok(apart)
    }

    /// Leads the functions of new plugins to the program's own, while the program waits with one.
    ///
    /// # Errors
    /// If the process can't be read or written.
    pub(crate) fn see_to_new(&mut self, pid: Pid, tables: &Tables) -> std::io::Result<()> {
        let (memory, new) = (Memory::open(pid)?, self.find_new(pid)?);
        // None of a plugin's code has run as long as the program waits.
        if !tables.write_plugin() {
            return Ok(());
        }
        let written = write(&memory, new.iter().flat_map(|(_, redirects)| redirects));
        tables.plugin_is_written();
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
        let plugin = Plugin { path: mapping.path.clone(), data: data[..].into(), bias, locks_threads };
        Some((plugin, redirects))
    }
}

fn write<'a>(memory: &Memory, redirects: impl Iterator<Item = &'a Redirect>) -> std::io::Result<()> {
    for redirect in redirects {
        if memory.read(redirect.at, redirect.original.len())? == redirect.original {
            memory.write(redirect.at, &redirect.jump)?;
        }
    }
    Ok(())
}
