//! The profile's file while it grows and when it is finished.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use cgoprof_profile::{Encoder, Profile};

/// The path that stands for standard output.
const STANDARD_OUTPUT: &str = "-";

/// A file that is a valid profile from its first member on.
pub struct Output {
    path: PathBuf,
    file: File,
    encoder: Encoder,
    is_new: bool,
    /// It is a regular file under a name of its own, which another file may take. Others get one member, at the end.
    is_replaceable: bool,
    /// Whether what was there before has been replaced.
    begun: bool,
}

impl Output {
    /// Makes sure that the file can be written; what it holds stays until the first member. `-` is standard output.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn open(path: &Path) -> io::Result<Output> {
        if path.as_os_str() == STANDARD_OUTPUT {
            let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
            return Ok(Output::with(path, file, false, false));
        }
        let is_new = !path.exists();
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        // A name under /dev or /proc, or a link, stands for a file that is somebody's.
        let is_link = path.is_symlink() || ["/dev/", "/proc/"].iter().any(|folder| path.starts_with(folder));
        let is_replaceable = file.metadata()?.is_file() && !is_link;
        Ok(Output::with(path, file, is_new, is_replaceable))
    }

    fn with(path: &Path, file: File, is_new: bool, is_replaceable: bool) -> Output {
        Output { path: path.to_owned(), file, encoder: Encoder::default(), is_new, is_replaceable, begun: false }
    }

    /// Appends what has changed since the last member.
    ///
    /// # Errors
    /// If it can't be written, for example because the disk is full.
    pub fn append(&mut self, profile: &Profile) -> io::Result<()> {
        if !self.is_replaceable {
            return Ok(());
        }
        if !self.begun {
            self.file.set_len(0)?;
            self.begun = true;
        }
        self.file.write_all(&self.encoder.member(profile))
    }

    /// Replaces the file with the finished profile in one member.
    ///
    /// # Errors
    /// If it can't be written; what had been appended is then still there.
    pub fn finish(mut self, profile: &Profile) -> io::Result<()> {
        let member = Encoder::default().member(profile);
        if !self.is_replaceable {
            // A link to a file may lead to a longer one.
            if self.path.is_symlink() && self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
            }
            return self.file.write_all(&member);
        }
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".partial");
        let partial = self.path.with_file_name(name);
        let written = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&partial).and_then(
            |mut file| {
                file.set_permissions(Permissions::from_mode(0o600))?;
                file.write_all(&member)?;
                fs::rename(&partial, &self.path)
            },
        );
        if written.is_err() {
            let _ = fs::remove_file(&partial);
        }
        written
    }

    /// Gives up: a file that was made for this recording goes, another stays.
    pub fn discard(self) {
        if self.is_new && self.is_replaceable {
            let _ = fs::remove_file(&self.path);
        }
    }
}
