//! Reading a profile from disk.

use std::path::Path;

use anyhow::Context as _;
use cgoprof_profile::Profile;

/// The file that `record` writes unless told otherwise.
pub(crate) const DEFAULT: &str = "cgoprof.pb.gz";

/// Reads a profile.
pub(crate) fn read(path: &Path) -> anyhow::Result<Profile> {
    let shown = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    cgoprof_profile::decode(&bytes).map_err(|error| anyhow::anyhow!("{shown} {error}"))
}
