//! Files that are written whole or not at all.

use std::fs::{File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;

/// Mode of a file that the user's mask restricts.
pub(crate) const USUAL: u32 = 0o666;

/// Mode of a profile: it may have names that only its user may see.
pub(crate) const PRIVATE: u32 = 0o600;

/// Writes a file by a function. A file that is there stays as it was until the new one is complete, which gets its mode.
/// Where the folder takes no new file, and of a device, it is written to in place.
///
/// # Errors
/// If the file can't be written, or the function fails.
pub(crate) fn write(
    path: &Path,
    mode: u32,
    write: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    // A link stays one, and leads to the new file.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let present = std::fs::metadata(path).ok();
    let is_special = present.as_ref().is_some_and(|found| !found.is_file());
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = tempfile::Builder::new();
    let beside = beside.prefix(".cgoprof-").permissions(Permissions::from_mode(mode));
    match (!is_special).then(|| beside.tempfile_in(parent)) {
        Some(Ok(file)) => {
            if let Some(present) = present {
                file.as_file().set_permissions(present.permissions()).with_context(cannot)?;
            }
            let mut output = BufWriter::new(file);
            write(&mut output).with_context(cannot)?;
            let file = output.into_inner().map_err(std::io::IntoInnerError::into_error).with_context(cannot)?;
            file.persist(path).map_err(|error| error.error).with_context(cannot)?;
        }
        _ => {
            let mut output = BufWriter::new(File::create(path).with_context(cannot)?);
            write(&mut output).and_then(|()| Ok(output.flush()?)).with_context(cannot)?;
        }
    }
    Ok(())
}

/// Whether two paths are of one file.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    identity(one).is_some_and(|found| identity(other) == Some(found))
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn a_file_stays_as_it_was_if_the_new_one_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let fails = |output: &mut dyn Write| {
            output.write_all(&[b'x'; 100_000])?;
            bail!("nothing to show")
        };
        assert!(write(&path, USUAL, fails).is_err() && !path.exists());
        for bytes in [100_000, 3] {
            write(&path, USUAL, |output| Ok(output.write_all(&vec![b'y'; bytes])?)).expect("written");
            let error = write(&path, USUAL, fails).expect_err("an error");
            assert!(format!("{error:#}").ends_with("file: nothing to show"), "{error:#}");
            assert_eq!(std::fs::read(&path).expect("a file"), vec![b'y'; bytes]);
        }
        assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 1, "nothing is left beside it");
        let mode = |path: &Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("its mode");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).expect("a link");
        write(&link, PRIVATE, |output| Ok(output.write_all(b"z")?)).expect("written");
        assert!(std::fs::symlink_metadata(&link).expect("it is there").is_symlink());
        assert_eq!((std::fs::read(&path).expect("a file"), mode(&path)), (b"z".to_vec(), 0o640));
        let other = folder.path().join("other");
        write(&other, PRIVATE, |_| Ok(())).expect("written");
        assert_eq!(mode(&other), 0o600);
        write(Path::new("/dev/null"), USUAL, |output| Ok(output.write_all(b"x")?)).expect("a device");
        assert!(!std::fs::metadata("/dev/null").expect("it is there").is_file());
    }
}
