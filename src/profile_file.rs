//! Reading a profile from disk.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use cgoprof_profile::{Profile, processes};
use cgoprof_viewer::programs;

/// The file that `record` writes unless told otherwise.
pub(crate) const DEFAULT: &str = "cgoprof.pb.gz";

/// The name of standard output among files to write to.
pub(crate) const STANDARD_OUTPUT: &str = "-";

/// Parses the argument for a file to write to.
///
/// # Errors
/// If it is standard output, and that is a terminal.
pub(crate) fn output(argument: &str) -> Result<PathBuf, String> {
    if argument == STANDARD_OUTPUT && std::io::stdout().is_terminal() {
        return Err("standard output is a terminal: redirect it, or name a file".into());
    }
    Ok(argument.into())
}

/// Reads a profile.
pub(crate) fn read(path: &Path) -> anyhow::Result<Profile> {
    let shown = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    cgoprof_profile::decode(&bytes).map_err(|error| anyhow::anyhow!("{shown} {error}"))
}

/// Filter of a profile's processes.
#[derive(clap::Args, Default)]
pub(crate) struct ProcessFilter {
    /// Show only the process with this id, or the processes of this program
    #[arg(long, value_name = "PID|NAME")]
    process: Option<String>,
}

impl ProcessFilter {
    /// Whether only some processes are shown.
    pub(crate) fn is_set(&self) -> bool {
        self.process.is_some()
    }

    /// Reads a profile, or the part of it that is shown.
    pub(crate) fn read(&self, path: &Path) -> anyhow::Result<Profile> {
        let profile = read(path)?;
        let Some(which) = &self.process else { return Ok(profile) };
        let found = processes::select(&profile, which).with_context(|| path.display().to_string())?;
        found.with_context(|| {
            let there = match profile.processes.len() {
                0 => programs::process(&profile),
                _ => programs::processes(&profile),
            };
            format!("{} has no process {which}; it has {there}", path.display())
        })
    }
}

/// Returns the profiles of a folder in the order of their names, or the file itself.
pub(crate) fn all_in(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let shown = path.display();
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read {shown}"))?;
    let mut paths: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.retain(|path| path.to_string_lossy().ends_with(".pb.gz"));
    paths.sort();
    if paths.is_empty() {
        bail!("{shown} holds no profiles (.pb.gz)");
    }
    Ok(paths)
}
