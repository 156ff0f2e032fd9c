//! Reading a profile from disk.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use cgoprof_profile::Profile;

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
