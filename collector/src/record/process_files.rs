//! Profile files of a command's programs. While a program runs, its recorder writes a file of its own. At the end, files with
//! the same name become one file.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cgoprof_profile::{Knows, Profile, decode, processes};
use nix::unistd::Pid;

use super::output::{Output, Unwritten};
use super::output_name::{NameParts, OutputName, with_infix};
use super::{Problem, Progress, SharedFile};

/// The files of a command's programs.
pub(super) struct ProcessFiles {
    name: Option<OutputName>,
    /// Whether each process has a file of its own.
    per_process: bool,
    files: Vec<CombinedFile>,
}

/// One profile file, and its parts: profiles of single processes.
struct CombinedFile {
    path: PathBuf,
    /// What lay at the path when the first part was opened there.
    earlier: Option<FileState>,
    /// Files of the parts. The first has the path itself, if that is a regular file.
    parts: Vec<PathBuf>,
    /// The file itself, if it is standard output, a FIFO, a link or the like.
    held: Option<Output>,
    /// Whether the first program writes to a file like that, which takes nothing else.
    takes_one: bool,
}

/// State of a file: inode, size, and when it was changed.
type FileState = (u64, u64, (i64, i64));

/// Where the profile of a process goes.
pub(super) struct ProcessOutput {
    /// The file that its recorder writes.
    pub(super) output: Output,
    /// Whether it becomes a part of another file.
    pub(super) is_part: bool,
}

impl ProcessFiles {
    /// Of profiles with this name; none to write no files.
    pub(super) fn new(name: Option<OutputName>, per_process: bool) -> ProcessFiles {
        ProcessFiles { name, per_process, files: Vec::new() }
    }

    /// Opens the file for the profile of a program.
    pub(super) fn open(&mut self, program: &Path, pid: Pid) -> Result<Option<ProcessOutput>, Problem> {
        let Some(name) = &self.name else { return Ok(None) };
        let mut path = name.path(&NameParts::of(program, pid), Path::is_dir);
        let in_use = |file: &&CombinedFile| self.per_process && !file.parts.is_empty();
        while let Some(other) = self.files.iter().find(|file| file.path == path).filter(in_use) {
            if other.held.is_some() || other.takes_one {
                return Err(Problem::OneProfile(path));
            }
            path = with_infix(&path, &pid.to_string());
        }
        let index = self.files.iter().position(|file| file.path == path).unwrap_or_else(|| {
            self.files.push(CombinedFile {
                path: path.clone(),
                earlier: None,
                parts: Vec::new(),
                held: None,
                takes_one: false,
            });
            self.files.len() - 1
        });
        let file = &mut self.files[index];
        if file.takes_one {
            return Err(Problem::OneProfile(path));
        }
        let output = file.open_part(pid).map_err(|error| Problem::Write(path, Unwritten::from(error)))?;
        file.parts.push(output.path().to_owned());
        Ok(Some(ProcessOutput { output, is_part: !self.per_process || file.held.is_some() }))
    }

    /// Counts in the file that the first program's recorder has opened already.
    pub(super) fn adopt(&mut self, output: &Output) {
        let path = output.path().to_owned();
        let (earlier, takes_one) = (file_state(&path), !output.is_replaceable());
        self.files.push(CombinedFile { path: path.clone(), earlier, parts: vec![path], held: None, takes_one });
    }

    /// Closes the file of a program that is not recorded after all.
    pub(super) fn discard(&mut self, output: Output) {
        self.files.iter_mut().for_each(|file| file.parts.retain(|part| part != output.path()));
        output.discard();
    }

    /// Combines parts, and tells of each file. Returns the files.
    pub(super) fn write(self, progress: &dyn Progress) -> Vec<PathBuf> {
        let tell = |(written, problem): (SharedFile, Option<Problem>)| {
            progress.written(&written, problem.as_ref());
            written.file
        };
        self.finish().into_iter().map(tell).collect()
    }

    /// Combines parts, and returns the files with the problem of each that could not be written.
    fn finish(self) -> Vec<(SharedFile, Option<Problem>)> {
        let taken: Vec<PathBuf> = self.files.iter().map(|file| file.path.clone()).collect();
        let shared = self.files.into_iter().filter(|file| !self.per_process || file.held.is_some());
        shared.flat_map(|file| file.finish(&taken)).collect()
    }
}

impl CombinedFile {
    /// Opens the file for one more part: at the file's own path if that is free, else beside it, or where that can't be, in
    /// the folder for temporary files.
    fn open_part(&mut self, pid: Pid) -> io::Result<Output> {
        let part = format!("{pid}.part");
        let beside = |name: &str| with_infix(&self.path, name);
        if self.parts.is_empty() && self.held.is_none() {
            self.earlier = file_state(&self.path);
            let output = Output::open(&self.path)?;
            if output.is_replaceable() {
                return Ok(output);
            }
            self.held = Some(output);
        }
        match self.held {
            None => create(&beside, &part).or_else(|_| create(&temporary, &part)),
            Some(_) => create(&temporary, &part),
        }
    }

    /// Writes the file. Processes whose engine does not measure what the first one's does go to another file.
    fn finish(mut self, taken: &[PathBuf]) -> Vec<(SharedFile, Option<Problem>)> {
        if self.takes_one {
            return Vec::new();
        }
        let is_beside = self.held.is_none();
        let mut written = Vec::new();
        for (index, Group { engine, parts, .. }) in self.by_engine().into_iter().enumerate() {
            let path = if index == 0 { self.path.clone() } else { with_infix(&self.path, &engine) };
            let beside = |name: &str| with_infix(&self.path, name);
            let processes = parts.len();
            if parts.len() == 1 && parts[0].0 == path {
                written.push((SharedFile { file: path, processes }, None));
                continue;
            }
            let output = match (index, self.held.take()) {
                (0, Some(held)) => Ok(held),
                (0, None) => Output::open(&path),
                _ if is_beside && !taken.contains(&path) => Output::open(&path),
                _ if is_beside => create(&beside, &engine),
                // Standard output, and files like it, take one profile.
                _ => create(&temporary, &engine),
            };
            let file = output.as_ref().map_or(path, |output| output.path().to_owned());
            let problem = write_combined(&file, output, parts).err();
            written.push((SharedFile { file, processes }, problem));
        }
        self.held.into_iter().for_each(Output::discard);
        written
    }

    /// Reads the parts. A new file in which nothing was recorded is removed.
    fn by_engine(&self) -> Vec<Group> {
        let mut groups: Vec<Group> = Vec::new();
        let is_earlier = |part: &Path| part == self.path && self.earlier.is_some() && file_state(part) == self.earlier;
        for part in self.parts.iter().filter(|part| !is_earlier(part)) {
            let Ok(bytes) = fs::read(part) else { continue };
            if bytes.is_empty() {
                let _ = fs::remove_file(part);
                continue;
            }
            let profile = match decode(&bytes) {
                Ok(profile) => profile,
                Err(error) => {
                    tracing::warn!("{} {error}", part.display());
                    continue;
                }
            };
            let (knows, engine) = (profile.recording.knows, profile.recording.engine.clone());
            let one = (part.clone(), Arc::new(profile));
            match groups.iter_mut().find(|group| group.knows == knows) {
                Some(group) => group.parts.push(one),
                None => groups.push(Group { knows, engine, parts: vec![one] }),
            }
        }
        groups
    }
}

/// Profiles of processes whose engines measure the same.
struct Group {
    knows: Knows,
    /// Name of one of the engines.
    engine: String,
    /// Profiles, with their files.
    parts: Vec<(PathBuf, Arc<Profile>)>,
}

/// Writes profiles of processes into one file, and removes their own.
fn write_combined(path: &Path, output: io::Result<Output>, parts: Vec<(PathBuf, Arc<Profile>)>) -> Result<(), Problem> {
    let (files, profiles): (Vec<PathBuf>, Vec<Arc<Profile>>) = parts.into_iter().unzip();
    let not_combined = |error: Unwritten| Problem::NotCombined(path.to_owned(), error, files.clone());
    let whole = processes::combine(profiles).map_err(|error| not_combined(io::Error::other(error).into()))?;
    let output = output.map_err(|error| not_combined(error.into()))?;
    let is_readable_later = output.is_replaceable();
    output.finish(&whole).map_err(not_combined)?;
    // Parts are removed only if the file has them.
    if is_readable_later {
        let bytes = fs::read(path).map_err(|error| not_combined(error.into()))?;
        decode(&bytes).map_err(|error| not_combined(io::Error::other(error).into()))?;
    }
    // A part that can't be removed is in the file all the same.
    files.iter().filter(|part| *part != path).for_each(|part| drop(fs::remove_file(part)));
    Ok(())
}

/// Creates a file with this in its name. Other names are tried if it exists.
fn create(path: &dyn Fn(&str) -> PathBuf, name: &str) -> io::Result<Output> {
    const NAMES: u32 = 100;
    let is_taken =
        |created: &io::Result<Output>| matches!(created, Err(error) if error.kind() == io::ErrorKind::AlreadyExists);
    let others = (2..=NAMES).map(|number| format!("{name}-{number}"));
    let mut all = std::iter::once(name.to_owned()).chain(others).map(|name| Output::create(&path(&name)));
    all.find(|created| !is_taken(created)).unwrap_or_else(|| Err(io::ErrorKind::AlreadyExists.into()))
}

/// Returns the path of a file with this in its name, in the folder for temporary files.
fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("cgoprof-{}.{name}.pb.gz", std::process::id()))
}

fn file_state(path: &Path) -> Option<FileState> {
    let file = fs::metadata(path).ok()?;
    Some((file.ino(), file.size(), (file.mtime(), file.mtime_nsec())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cgoprof_profile::Encoder;

    fn write(path: &Path, pid: u32, engine: &str) {
        let mut profile = Profile::default();
        (profile.target.pid, profile.recording.engine) = (pid, engine.to_owned());
        profile.recording.knows.counts = engine != "sample";
        fs::write(path, Encoder::default().member(&profile)).expect("a file");
    }

    fn pids(path: &Path) -> Vec<u32> {
        let profile = decode(&fs::read(path).expect("a file")).expect("a profile");
        match profile.processes.len() {
            0 => vec![profile.target.pid],
            _ => profile.processes.iter().map(|process| process.target.pid).collect(),
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Where descriptors run out, only samples can be had of the later ones.
    #[test]
    fn processes_whose_engines_measure_something_else_are_in_another_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let mut files = ProcessFiles::new(Some(at("f.pb.gz").as_path().into()), false);
        for (pid, engine) in [(1, "trampoline"), (2, "sample"), (3, "trampoline"), (4, "sample")] {
            let place = files.open(Path::new("/app"), Pid::from_raw(pid)).expect("it opens").expect("an output");
            assert!(place.is_part);
            write(place.output.path(), pid as u32, engine);
        }
        let written = files.finish();
        assert!(written.iter().all(|(file, problem)| file.processes == 2 && problem.is_none()), "{written:?}");
        assert_eq!((pids(&at("f.pb.gz")), pids(&at("f.sample.pb.gz"))), (vec![1, 3], vec![2, 4]));
        assert_eq!(names(folder.path()), ["f.pb.gz", "f.sample.pb.gz"], "parts are gone");
    }

    #[test]
    fn a_file_that_lies_there_is_no_part() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("f.2.part.pb.gz"), "precious").expect("a file");
        let mut files = ProcessFiles::new(Some(at("f.pb.gz").as_path().into()), false);
        for pid in [1, 2, 2] {
            let place = files.open(Path::new("/app"), Pid::from_raw(pid)).expect("it opens").expect("an output");
            write(place.output.path(), pid as u32, "trampoline");
        }
        assert_eq!(files.finish().len(), 1);
        assert_eq!(pids(&at("f.pb.gz")), [1, 2, 2]);
        assert_eq!(fs::read(at("f.2.part.pb.gz")).expect("the file"), b"precious");
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[test]
    fn what_a_failed_recorder_has_written_is_kept_and_what_it_has_not_is_no_profile() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f.pb.gz");
        let mut files = ProcessFiles::new(Some(path.as_path().into()), false);
        for (pid, writes) in [(1, false), (2, true)] {
            let place = files.open(Path::new("/app"), Pid::from_raw(pid)).expect("it opens").expect("an output");
            if writes {
                write(place.output.path(), pid as u32, "trampoline");
            }
        }
        let written: Vec<_> = files.finish().into_iter().map(|(file, _)| file.processes).collect();
        assert_eq!((written, pids(&path)), (vec![1], vec![2]));
        assert_eq!(names(folder.path()), ["f.pb.gz"]);
        let mut files = ProcessFiles::new(Some(folder.path().join("g.pb.gz").as_path().into()), false);
        files.open(Path::new("/app"), Pid::from_raw(1)).expect("it opens");
        assert!(files.finish().is_empty());
        assert_eq!(names(folder.path()), ["f.pb.gz"], "nothing was recorded");
    }

    /// It was once taken for a process of this command.
    #[test]
    fn an_earlier_recording_at_the_path_is_no_part() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f.pb.gz");
        write(&path, 99, "trampoline");
        let mut files = ProcessFiles::new(Some(path.as_path().into()), false);
        for pid in [1, 2] {
            let one = files.open(Path::new("/app"), Pid::from_raw(pid)).expect("it opens").expect("an output");
            if pid == 2 {
                write(one.output.path(), 2, "trampoline");
            }
        }
        assert_eq!(files.finish().len(), 1);
        assert_eq!(pids(&path), [2]);
    }

    #[test]
    fn the_path_of_a_program_that_is_not_recorded_is_free_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("f.pb.gz");
        for per_process in [true, false] {
            let mut files = ProcessFiles::new(Some(path.as_path().into()), per_process);
            let mut open =
                |pid| files.open(Path::new("/app"), Pid::from_raw(pid)).expect("it opens").expect("an output");
            let first = open(1);
            files.discard(first.output);
            let mut open =
                |pid| files.open(Path::new("/app"), Pid::from_raw(pid)).expect("it opens").expect("an output");
            assert_eq!(open(2).output.path(), path);
            assert_ne!(open(3).output.path(), path);
        }
    }
}
