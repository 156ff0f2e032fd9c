//! The profile's file while it grows and when it is finished.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cgoprof_profile::{Encoder, Profile};
use nix::fcntl::{FcntlArg, OFlag, fcntl, posix_fallocate};

/// The path that stands for standard output.
pub(super) const STANDARD_OUTPUT: &str = "-";
/// Maximum bytes kept that could not be written yet. Beyond it, the file grows no further until the end.
const MOST_PENDING: usize = 64 << 20;
/// Maximum wait for a FIFO's reader.
const READER: Duration = Duration::from_secs(2);

/// A file that is a valid profile from its first member on.
pub struct Output {
    path: PathBuf,
    file: File,
    encoder: Encoder,
    is_new: bool,
    /// Whether it is a regular file under a name of its own, which another file may take. Other files get one member,
    /// at the end.
    is_replaceable: bool,
    /// Whether the earlier content has been removed.
    begun: bool,
    /// Bytes of whole members in the file.
    length: u64,
    /// Members that could not be written yet, for example because the disk was full.
    pending: Vec<u8>,
    /// Whether more was pending than [`MOST_PENDING`] bytes.
    stalled: bool,
}

/// Why a finished profile is not in its file.
#[derive(Debug, thiserror::Error)]
pub enum Unwritten {
    /// The profile is lost.
    #[error(transparent)]
    Lost(#[from] io::Error),
    /// The profile is in another file.
    #[error("{error}; the recording is in {}", .place.display())]
    Elsewhere {
        /// Why it is not in its own file.
        error: io::Error,
        /// The other file.
        place: PathBuf,
    },
}

impl Output {
    /// Makes sure that the file can be written, in a folder that is made if it is missing. Its content stays until the
    /// first member. `-` is standard output.
    ///
    /// # Errors
    /// If it can't be written, or is a FIFO without a reader.
    pub fn open(path: &Path) -> io::Result<Output> {
        if path.as_os_str() == STANDARD_OUTPUT {
            let file = File::from(io::stdout().as_fd().try_clone_to_owned()?);
            return Ok(Output::with(path, file, false, false));
        }
        let present = fs::metadata(path);
        if present.as_ref().is_ok_and(|present| present.file_type().is_fifo()) {
            return Ok(Output::with(path, open_fifo(path)?, false, false));
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        // A name under /dev or /proc, or a link, stands for another file, which must not be replaced.
        let is_link = path.is_symlink() || ["/dev/", "/proc/"].iter().any(|folder| path.starts_with(folder));
        let is_replaceable = file.metadata()?.is_file() && !is_link;
        Ok(Output::with(path, file, present.is_err(), is_replaceable))
    }

    /// Creates a file.
    ///
    /// # Errors
    /// If it can't be, or one has this name.
    pub(super) fn create(path: &Path) -> io::Result<Output> {
        Ok(Output::with(path, create(path)?, true, true))
    }

    fn with(path: &Path, file: File, is_new: bool, is_replaceable: bool) -> Output {
        Output {
            path: path.to_owned(),
            file,
            encoder: Encoder::default(),
            is_new,
            is_replaceable,
            begun: false,
            length: 0,
            pending: Vec::new(),
            stalled: false,
        }
    }

    /// Whether it is a regular file under a name of its own: others can lie beside it.
    pub(super) fn is_replaceable(&self) -> bool {
        self.is_replaceable
    }

    /// Returns the path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the output at another path instead, and removes what was made for this one. Returns this one if the other
    /// can't be written.
    pub(super) fn moved_to(self, path: &Path) -> Output {
        if path == self.path {
            return self;
        }
        let Ok(other) = Output::open(path) else { return self };
        let folder = self.path.parent().filter(|folder| path.parent() != Some(*folder)).map(Path::to_owned);
        self.discard();
        if let Some(folder) = folder {
            // Only if it is empty.
            let _ = fs::remove_dir(folder);
        }
        other
    }

    /// Appends the changes since the last member. A member that can't be written now is kept, and written with the
    /// next.
    pub fn append(&mut self, profile: &Profile) {
        if !self.is_replaceable || self.stalled {
            return;
        }
        self.pending.append(&mut self.encoder.member(profile));
        if let Err(error) = self.write_pending() {
            tracing::debug!("{}: {error}; tried again later", self.path.display());
            self.stalled = self.pending.len() > MOST_PENDING;
        }
    }

    fn write_pending(&mut self) -> io::Result<()> {
        if !self.begun {
            self.file.set_len(0)?;
            self.begun = true;
        }
        if let Err(error) = self.file.write_all_at(&self.pending, self.length) {
            // Half a member would make the next members unreadable.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Replaces the file with the finished profile in one member. The file is written in place where no other can take
    /// its name: its folder can't be written, or the file is a mount of its own.
    ///
    /// # Errors
    /// If the file can't be written. The profile is then in the folder for temporary files, if there is room.
    pub fn finish(mut self, profile: &Profile) -> Result<(), Unwritten> {
        let member = Encoder::default().member(profile);
        let written = if self.is_replaceable {
            self.replace(&member)
                .or_else(|error| if self.is_there() { self.finish_in_place(&member) } else { Err(error) })
        } else {
            self.overwrite(&member)
        };
        written.map_err(|error| {
            // An empty file of this name would say that nothing was recorded.
            if self.length == 0 {
                self.discard();
            }
            match rescue(&member) {
                Ok(place) => Unwritten::Elsewhere { error, place },
                Err(_) => Unwritten::Lost(error),
            }
        })
    }

    /// Puts a new file with this content in the file's place.
    fn replace(&self, member: &[u8]) -> io::Result<()> {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let partial = self.path.with_file_name(name);
        let mut file = create(&partial)?;
        let written = file.write_all(member).and_then(|()| fs::rename(&partial, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&partial);
        }
        written
    }

    /// Replaces the file with the profile so far. Unlike [`Output::finish`], it leaves nothing elsewhere if that fails.
    ///
    /// # Errors
    /// If the file can't be written.
    pub(super) fn replace_now(self, profile: &Profile) -> io::Result<()> {
        let member = Encoder::default().member(profile);
        self.replace(&member).or_else(|error| if self.is_there() { self.finish_in_place(&member) } else { Err(error) })
    }

    /// Whether the file still has its name. It may have been moved, or its folder removed.
    fn is_there(&self) -> bool {
        let identity = |file: fs::Metadata| (file.dev(), file.ino());
        fs::symlink_metadata(&self.path).map(identity).ok() == self.file.metadata().map(identity).ok()
    }

    /// Overwrites the file's content. If the new content is longer, room for it is reserved first; without it, the file
    /// stays as it is.
    fn finish_in_place(&self, member: &[u8]) -> io::Result<()> {
        let (present, needed) = (self.file.metadata()?.len(), member.len() as u64);
        if needed > present
            && let Err(error) = posix_fallocate(&self.file, present as i64, (needed - present) as i64)
        {
            let _ = self.file.set_len(present);
            return Err(error.into());
        }
        self.file.write_all_at(member, 0)?;
        self.file.set_len(needed)
    }

    /// Writes to a file that must not be replaced, at its current position.
    fn overwrite(&mut self, member: &[u8]) -> io::Result<()> {
        // The file that a link leads to may be longer than the profile.
        if self.path.is_symlink() && self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.file.write_all(member)
    }

    /// Gives up. A file that was made for this recording is removed; any other stays.
    pub fn discard(self) {
        if self.is_new && self.is_replaceable {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Creates a new file. Fails if a file or a link has this name.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Writes a file in the folder for temporary files. Tries several names, because others may have taken one.
fn rescue(member: &[u8]) -> io::Result<PathBuf> {
    const NAMES: u32 = 100;
    let name = |number| std::env::temp_dir().join(format!("cgoprof-{}-{number}.pb.gz", std::process::id()));
    let free = |number| create(&name(number)).map(|file| (file, name(number)));
    let taken = |result: &io::Result<_>| matches!(result, Err(error) if error.kind() == io::ErrorKind::AlreadyExists);
    let (mut file, path) = (1..NAMES).map(free).find(|result| !taken(result)).unwrap_or_else(|| free(NAMES))?;
    let written = file.write_all(member);
    if written.is_err() {
        let _ = fs::remove_file(&path);
    }
    written.map(|()| path)
}

/// Opens a FIFO once it has a reader.
fn open_fifo(path: &Path) -> io::Result<File> {
    let deadline = Instant::now() + READER;
    let file = loop {
        match OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path) {
            Err(error) if error.raw_os_error() == Some(libc::ENXIO) => {
                if Instant::now() >= deadline {
                    return Err(io::Error::other("no process reads this FIFO; start its reader first"));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            opened => break opened?,
        }
    };
    fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_of_another_user_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (victim, link) = (folder.path().join("victim"), folder.path().join("link"));
        fs::write(&victim, "precious").expect("a file");
        std::os::unix::fs::symlink(&victim, &link).expect("a link");
        assert_eq!(create(&link).map(drop).map_err(|error| error.kind()), Err(io::ErrorKind::AlreadyExists));
        assert_eq!(fs::read(&victim).expect("the file"), b"precious");
    }

    #[test]
    fn a_file_in_place_has_the_last_content_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        for content in ["short", "a longer one", "short", ""] {
            let output = Output::open(&path).expect("it opens");
            output.finish_in_place(content.as_bytes()).expect("it is written");
            assert_eq!(fs::read_to_string(&path).expect("the file"), content);
        }
    }

    #[test]
    fn what_could_not_be_written_comes_with_the_next_member() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("file");
        let mut output = Output::open(&path).expect("it opens");
        let profile = Profile::default();
        output.append(&profile);
        let writable = std::mem::replace(&mut output.file, File::open(&path).expect("it opens to be read"));
        output.append(&profile);
        let before = fs::metadata(&path).expect("the file").len();
        assert_eq!(before, output.length);
        assert!(!output.pending.is_empty() && !output.stalled);
        output.file = writable;
        output.append(&profile);
        assert!(output.pending.is_empty() && output.length > before);
        assert_eq!(fs::metadata(&path).expect("the file").len(), output.length);
    }

    #[test]
    fn a_file_whose_folder_is_gone_is_not_said_to_be_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("build");
        fs::create_dir(&inner).expect("a folder");
        let output = Output::open(&inner.join("file")).expect("it opens");
        fs::remove_dir_all(&inner).expect("it goes");
        match output.finish(&Profile::default()) {
            Err(Unwritten::Elsewhere { place, .. }) => fs::remove_file(place).expect("it is there"),
            other => panic!("{other:?}"),
        }
    }
}
