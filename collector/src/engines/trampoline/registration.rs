//! A recorder's hooks and tables in a process. Any recorder finds them by the name of the tables' mapping.

use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use cgoprof_hook::layout::MAGIC;
use cgoprof_hook::registration::{Registration, Replaced, UNDO, Undo};
use cgoprof_symbols::Avma;
use nix::errno::Errno;
use nix::unistd::Pid;

use crate::process::maps::{self, Mapping};
use crate::process::memory;
use crate::process::remote_syscall::{Remote, RemoteError};
use crate::process::status;

/// Name of the tables' memfd, which shows in the program's mappings.
pub(super) const NAME: &[u8] = b"cgoprof\0";
const MAPPED: &str = "/memfd:cgoprof (deleted)";
/// Limit on the patches of an undo list: a list that states this many or more is taken to be damaged.
const MOST: u64 = 100_000;

/// Hooks and tables found in a process.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    /// The tables' mapping.
    pub(super) tables: Range<Avma>,
    /// The registration at their start; only its size is set if it was never written.
    pub(super) presence: Registration,
    /// The code to put back; none if there is no valid list of it.
    pub(super) undo: Option<(Undo, Vec<Replaced>)>,
    /// Whether the tables have the layout of another version.
    pub(super) other_version: bool,
}

/// Returns a registration that names this recorder.
pub(super) fn own() -> Registration {
    static OWN: OnceLock<(u64, u64)> = OnceLock::new();
    let &(recorder_started, recorder_namespace) = OWN.get_or_init(|| {
        let own = Pid::this();
        (status::started(own).unwrap_or(0), status::pid_namespace(own).unwrap_or(0))
    });
    let recorder = u64::from(std::process::id());
    Registration { magic: MAGIC, recorder, recorder_started, recorder_namespace, ..Registration::default() }
}

/// Returns the hooks and tables of all recorders in a process.
///
/// # Errors
/// If its memory can't be read.
pub(crate) fn find(pid: Pid) -> std::io::Result<Vec<Found>> {
    let mappings = maps::read_unopened(pid)?;
    let pid = status::living_thread(pid).unwrap_or(pid);
    mappings.iter().filter(|mapping| is_tables(mapping)).map(|mapping| read(pid, mapping)).collect()
}

fn is_tables(mapping: &Mapping) -> bool {
    mapping.path == Path::new(MAPPED)
}

fn read(pid: Pid, mapping: &Mapping) -> std::io::Result<Found> {
    let tables = mapping.range.clone();
    let size = tables.end.0 - tables.start.0;
    let written = read_plain::<Registration>(pid, tables.start)?.unwrap_or_default();
    let other_version = written.magic != MAGIC && written.magic != 0;
    let presence = if written.magic == MAGIC { written } else { Registration { size, ..Registration::default() } };
    let undo = read_plain::<Undo>(pid, Avma(presence.undo))?.filter(|undo| undo.magic == UNDO && undo.count < MOST);
    let undo = match undo {
        None => None,
        Some(undo) => {
            let entry = |index: u64| {
                let at = presence.undo + size_of::<Undo>() as u64 + index * size_of::<Replaced>() as u64;
                Ok(read_plain::<Replaced>(pid, Avma(at))?.filter(|one| (1..=16).contains(&one.length)))
            };
            let replaced = (0..undo.count).map(entry).collect::<std::io::Result<Option<Vec<_>>>>()?;
            replaced.map(|replaced| (undo, replaced))
        }
    };
    Ok(Found { tables, presence, undo, other_version })
}

/// Reads a struct of plain numbers; none if nothing is there. Other failures are errors: hooks without a list are taken
/// for hooks to which nothing leads.
fn read_plain<T: Copy>(pid: Pid, at: Avma) -> std::io::Result<Option<T>> {
    let mut bytes = vec![0u8; size_of::<T>()];
    if at.0 == 0 {
        return Ok(None);
    }
    match memory::try_read(pid, at, &mut bytes) {
        Ok(read) if read == bytes.len() => {}
        Ok(_) | Err(Errno::EFAULT) => return Ok(None),
        Err(error) => return Err(error.into()),
    }
    // SAFETY: only used for structs of integers, for which any bytes are valid; the read is unaligned.
    Ok(Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() }))
}

impl Found {
    /// Returns the recorder that is at work in the process, if it is alive, and its name.
    pub(crate) fn recorder(&self, target: Pid) -> Option<(Pid, String)> {
        let presence = &self.presence;
        let pid = Pid::from_raw(i32::try_from(presence.recorder).ok().filter(|&pid| pid != 0)?);
        if presence.recorder_namespace != own().recorder_namespace {
            return self.is_on(target).then(|| (pid, "a process of another PID namespace".into()));
        }
        let lives = status::is_from(pid, presence.recorder_started);
        (lives && presence.target == target.as_raw() as u64).then(|| (pid, status::name(pid).unwrap_or_default()))
    }

    /// Whether this recorder put it into this process, and not into a parent that forked the process.
    pub(super) fn is_own(&self, target: Pid) -> bool {
        let (own, presence) = (own(), &self.presence);
        (own.recorder, own.recorder_started, target.as_raw() as u64)
            == (presence.recorder, presence.recorder_started, presence.target)
    }

    /// Address of the word that says that the hooks must stay mapped.
    pub(super) fn kept_at(&self) -> Avma {
        Avma(self.tables.start.0 + std::mem::offset_of!(Registration, kept) as u64)
    }

    /// Whether the addresses that are to be written to are plausible: the program may have overwritten the tables.
    pub(super) fn makes_sense(&self, mappings: &[Mapping]) -> bool {
        let Some((undo, replaced)) = &self.undo else { return false };
        let end = self.presence.undo.checked_add((size_of::<Undo>() + replaced.len() * size_of::<Replaced>()) as u64);
        let code = |at: u64| {
            let of_a_file = |mapping: &&Mapping| mapping.executable && mapping.path.is_absolute();
            mappings.iter().filter(of_a_file).any(|mapping| mapping.range.contains(&Avma(at)))
        };
        self.has_hooks(mappings)
            && self.presence.undo > self.presence.hooks
            && end.is_some_and(|end| end <= self.hooks().end.0)
            && undo.go_start < undo.go_end
            && replaced.iter().all(|one| code(one.at) && code(one.at.saturating_add(one.length - 1)))
    }

    /// Whether its hooks are on. They are off before they are switched on, and in a child that the process has forked.
    fn is_on(&self, pid: Pid) -> bool {
        memory::word(pid, Avma(self.presence.hooks)).is_some_and(|here| here != 0)
    }

    /// Whether the hooks are mapped: their recorder may have been killed before it mapped them.
    pub(super) fn has_hooks(&self, mappings: &[Mapping]) -> bool {
        let hooks = self.hooks();
        let ours = |mapping: &&Mapping| mapping.executable && mapping.path.as_os_str().is_empty();
        let within = mappings
            .iter()
            .filter(ours)
            .filter(|mapping| hooks.start <= mapping.range.start && mapping.range.end <= hooks.end);
        hooks.start != hooks.end
            && within.map(|mapping| mapping.range.end.0 - mapping.range.start.0).sum::<u64>()
                == self.presence.hooks_size
    }

    /// Address range of its hooks.
    pub(super) fn hooks(&self) -> Range<Avma> {
        let start = self.presence.hooks;
        Avma(start)..Avma(start.saturating_add(self.presence.hooks_size))
    }
}

/// Unmaps the hooks and tables of a registration. Nothing may lead to them any more.
///
/// # Errors
/// If a call fails. The tables then stay mapped, so what is left can be found.
pub(super) fn unmap(remote: &mut Remote<'_>, tables: Avma, presence: &Registration) -> Result<(), RemoteError> {
    if presence.hooks != 0 {
        let hooks = [presence.hooks, presence.hooks_size, 0, 0, 0, 0];
        remote.call("munmap of the hooks", libc::SYS_munmap, hooks, &[])?;
    }
    // The tables are unmapped last, because the registration in them tells where the hooks are.
    remote.call("munmap of the tables", libc::SYS_munmap, [tables.0, presence.size, 0, 0, 0, 0], &[])?;
    Ok(())
}

/// Whether a descriptor leads to tables.
pub(super) fn is_ours(descriptor: &Path) -> bool {
    descriptor.read_link().is_ok_and(|path| path == Path::new(MAPPED))
}

/// Whether a process has descriptors that lead to tables.
pub(super) fn has_files(pid: Pid) -> bool {
    let thread = status::living_thread(pid).unwrap_or(pid);
    let files = std::fs::read_dir(format!("/proc/{pid}/task/{thread}/fd"));
    files.into_iter().flatten().flatten().any(|file| is_ours(&file.path()))
}

/// Closes descriptors of tables that a killed recorder has left open in the program.
///
/// # Errors
/// If a call fails.
pub(super) fn close_files(remote: &mut Remote<'_>) -> Result<(), RemoteError> {
    let files = std::fs::read_dir(remote.descriptors()).into_iter().flatten().flatten();
    let ours = files.filter(|file| is_ours(&file.path()));
    let left: Vec<u64> = ours.filter_map(|file| file.file_name().to_str()?.parse().ok()).collect();
    for fd in left {
        remote.call("close", libc::SYS_close, [fd, 0, 0, 0, 0, 0], &[])?;
    }
    Ok(())
}
