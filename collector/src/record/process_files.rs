//! Files that profiles of a command's programs go to. While a program runs, its own recorder writes its profile; those whose
//! files have the same name become one in the end.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cgoprof_profile::{Knows, Profile, decode, processes};
use nix::unistd::Pid;

use super::output::{Output, Unwritten};
use super::output_name::{NameParts, OutputName, with_infix};
use super::{Problem, SharedFile};

/// The files of a command's programs.
pub(super) struct ProcessFiles {
    name: Option<OutputName>,
    /// Whether each process has a file of its own.
    per_process: bool,
    files: Vec<Parts>,
}

/// The profiles of processes that go to one file.
struct Parts {
    path: PathBuf,
    /// Where they are until the end: the first at the file's own path, if others can lie beside it.
    parts: Vec<PathBuf>,
    /// The file itself, if none can.
    held: Option<Output>,
}

/// Where the profile of a process goes.
pub(super) struct Place {
    /// The file that its recorder writes.
    pub(super) output: Output,
    /// Whether that becomes a part of another file.
    pub(super) is_part: bool,
}

impl ProcessFiles {
    /// Of profiles with this name; none to write no files.
    pub(super) fn new(name: Option<OutputName>, per_process: bool) -> ProcessFiles {
        ProcessFiles { name, per_process, files: Vec::new() }
    }

    /// Opens the file for the profile of a program.
    pub(super) fn open(&mut self, program: &Path, pid: Pid) -> Result<Option<Place>, Problem> {
        let Some(name) = &self.name else { return Ok(None) };
        let mut path = name.path(&NameParts::of(program, pid), Path::is_dir);
        let mut known = self.files.iter().position(|file| file.path == path);
        while let Some(other) = known.filter(|_| self.per_process) {
            if self.files[other].held.is_some() {
                return Err(Problem::OneProfile(path));
            }
            path = with_infix(&path, &pid.to_string());
            known = self.files.iter().position(|file| file.path == path);
        }
        let unwritten = |error: io::Error| Problem::Write(path.clone(), Unwritten::from(error));
        let (index, output) = match known {
            Some(index) => (index, create_part(&self.files[index], pid).map_err(unwritten)?),
            None => {
                let output = Output::open(&path).map_err(unwritten)?;
                let mut file = Parts { path: path.clone(), parts: Vec::new(), held: None };
                let output = if output.is_replaceable() {
                    output
                } else {
                    file.held = Some(output);
                    create_part(&file, pid).map_err(unwritten)?
                };
                self.files.push(file);
                (self.files.len() - 1, output)
            }
        };
        let file = &mut self.files[index];
        file.parts.push(output.path().to_owned());
        Ok(Some(Place { output, is_part: !self.per_process || file.held.is_some() }))
    }

    /// Closes the file of a program that is not recorded after all.
    pub(super) fn discard(&mut self, output: Output) {
        self.files.iter_mut().for_each(|file| file.parts.retain(|part| part != output.path()));
        output.discard();
    }

    /// Writes the files that have several processes. Returns all files that have parts, with what is wrong with them.
    pub(super) fn finish(self) -> Vec<(SharedFile, Option<Problem>)> {
        let shared = self.files.into_iter().filter(|file| !self.per_process || file.held.is_some());
        shared.flat_map(Parts::finish).collect()
    }
}

impl Parts {
    fn finish(mut self) -> Vec<(SharedFile, Option<Problem>)> {
        let mut written = Vec::new();
        for (index, Group { engine, parts, .. }) in by_engine(&self.parts).into_iter().enumerate() {
            let others_beside = self.parts.first() == Some(&self.path);
            let (path, held) = match index {
                0 => (self.path.clone(), self.held.take()),
                _ if others_beside => (with_infix(&self.path, &engine), None),
                // Standard output, and files like it, take one profile.
                _ => (temporary(&engine), None),
            };
            let shared = SharedFile { file: path.clone(), processes: parts.len() };
            written.push((shared, write_together(path, held, parts).err()));
        }
        self.held.into_iter().for_each(Output::discard);
        written
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

/// Reads the profiles of processes. A file in which nothing was recorded is removed.
fn by_engine(parts: &[PathBuf]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for part in parts {
        let Ok(bytes) = fs::read(part) else { continue };
        if bytes.is_empty() {
            let _ = fs::remove_file(part);
        }
        let Ok(profile) = decode(&bytes) else { continue };
        let (knows, engine) = (profile.recording.knows, profile.recording.engine.clone());
        let one = (part.clone(), Arc::new(profile));
        match groups.iter_mut().find(|group| group.knows == knows) {
            Some(group) => group.parts.push(one),
            None => groups.push(Group { knows, engine, parts: vec![one] }),
        }
    }
    groups
}

/// Writes profiles of processes into one file, and removes their own.
fn write_together(path: PathBuf, held: Option<Output>, parts: Vec<(PathBuf, Arc<Profile>)>) -> Result<(), Problem> {
    let (files, profiles): (Vec<PathBuf>, Vec<Arc<Profile>>) = parts.into_iter().unzip();
    if files == [path.clone()] {
        return Ok(());
    }
    let apart = |error: Unwritten| Problem::Apart(path.clone(), error, files.clone());
    let whole = processes::together(profiles).map_err(|error| apart(io::Error::other(error).into()))?;
    let output = match held {
        Some(output) => output,
        None => Output::open(&path).map_err(|error| apart(error.into()))?,
    };
    output.finish(&whole).map_err(apart)?;
    // What can't be removed is in the file all the same.
    files.iter().filter(|part| **part != path).for_each(|part| drop(fs::remove_file(part)));
    Ok(())
}

/// Creates a file for the profile of one more process: beside the file that it becomes a part of, or where that can't be,
/// in the folder for temporary files.
fn create_part(file: &Parts, pid: Pid) -> io::Result<Output> {
    /// Names that are tried: others may have taken one.
    const NAMES: u32 = 100;
    let beside = |name: &str| with_infix(&file.path, name);
    let create = |path: &dyn Fn(&str) -> PathBuf| {
        let mut created = Output::create(&path(&format!("{pid}.part")));
        for number in 2..NAMES {
            match created {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    created = Output::create(&path(&format!("{pid}-{number}.part")));
                }
                created => return created,
            }
        }
        created
    };
    match file.held {
        None => create(&beside).or_else(|_| create(&temporary)),
        Some(_) => create(&temporary),
    }
}

/// Returns the path of a file with this in its name, in the folder for temporary files.
fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("cgoprof-{}.{name}.pb.gz", std::process::id()))
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
            let place = files.open(Path::new("/app"), Pid::from_raw(pid)).expect("it opens").expect("a place");
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
            let place = files.open(Path::new("/app"), Pid::from_raw(pid)).expect("it opens").expect("a place");
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
            let place = files.open(Path::new("/app"), Pid::from_raw(pid)).expect("it opens").expect("a place");
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
}
