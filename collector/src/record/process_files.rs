//! Files that profiles of a command's programs go to. While a program runs, its own recorder writes its profile; those whose
//! files have the same name become one in the end.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use cgoprof_profile::{Profile, processes};
use nix::unistd::Pid;

use super::output::{Output, Unwritten};
use super::output_name::{NameParts, OutputName, with_infix};
use super::{ManyProfiles, Problem};

/// The files of a command's programs.
pub(super) struct ProcessFiles {
    name: Option<OutputName>,
    /// Whether each process has a file of its own.
    per_process: bool,
    files: Vec<SharedFile>,
}

/// A file for the profiles of all processes whose files have its name.
struct SharedFile {
    path: PathBuf,
    /// Files of single processes, until the end.
    parts: Vec<PathBuf>,
    /// The file itself, if no other can lie beside it.
    held: Option<Output>,
}

/// Where the profile of a process goes.
pub(super) struct Place {
    /// The file that it is in at the end.
    pub(super) file: PathBuf,
    /// The file that its recorder writes; none if it is kept in memory until the end.
    pub(super) output: Option<Output>,
}

/// The profiles of processes by the file that they are in at the end, each with the file that it is in now.
pub(super) type Profiles = HashMap<PathBuf, Vec<(Option<PathBuf>, Profile)>>;

impl ProcessFiles {
    /// Of profiles with this name; none to write no files.
    pub(super) fn new(name: Option<OutputName>, per_process: bool) -> ProcessFiles {
        ProcessFiles { name, per_process, files: Vec::new() }
    }

    /// Opens the file for the profile of a program.
    pub(super) fn open(&mut self, program: &Path, pid: Pid) -> Result<Option<Place>, Problem> {
        let Some(name) = &self.name else { return Ok(None) };
        let mut path = name.path(&NameParts::of(program, pid), Path::is_dir);
        if self.per_process {
            while let Some(other) = self.files.iter().find(|file| file.path == path) {
                if other.held.is_some() {
                    return Err(Problem::OneProfile(path));
                }
                path = with_infix(&path, &pid.to_string());
            }
        }
        let index = match self.files.iter().position(|file| file.path == path) {
            Some(index) => index,
            None => {
                let output = open(&path)?;
                let held = (!output.is_replaceable()).then_some(output);
                self.files.push(SharedFile { path: path.clone(), parts: Vec::new(), held });
                self.files.len() - 1
            }
        };
        let file = &mut self.files[index];
        let output = if file.held.is_some() { None } else { Some(open(&file.part(pid))?) };
        file.parts.extend(output.as_ref().map(|output| output.path().to_owned()));
        Ok(Some(Place { file: path, output }))
    }

    /// Closes the file of a program that is not recorded after all.
    pub(super) fn discard(&mut self, place: Place) {
        let Some(output) = place.output else { return };
        self.files.iter_mut().for_each(|file| file.parts.retain(|part| part != output.path()));
        output.discard();
    }

    /// Writes the files, each with the profiles of all its processes.
    pub(super) fn finish(self, mut profiles: Profiles) -> Vec<(ManyProfiles, Option<Problem>)> {
        let written = self.files.into_iter().filter_map(|file| {
            let path = file.path.clone();
            let profiles = profiles.remove(&path).unwrap_or_default();
            let many = ManyProfiles { file: path, processes: profiles.len() };
            if profiles.is_empty() {
                file.held.into_iter().for_each(Output::discard);
                return None;
            }
            Some((many, file.finish(profiles).err()))
        });
        written.collect()
    }
}

impl SharedFile {
    /// Returns the path for another process's profile: the file's own, if no other process's is there.
    fn part(&self, pid: Pid) -> PathBuf {
        let mut path = self.path.clone();
        while self.parts.contains(&path) {
            path = with_infix(&path, &format!("{pid}.part"));
        }
        path
    }

    fn finish(self, profiles: Vec<(Option<PathBuf>, Profile)>) -> Result<(), Problem> {
        if let [(Some(part), _)] = profiles.as_slice()
            && *part == self.path
        {
            return Ok(());
        }
        let (parts, profiles): (Vec<_>, Vec<_>) = profiles.into_iter().map(|(part, one)| (part, one.into())).unzip();
        let parts: Vec<PathBuf> = parts.into_iter().flatten().collect();
        let together = processes::together(profiles);
        let whole = together.map_err(|error| Problem::Apart(self.path.clone(), parts.clone(), error))?;
        let output = match self.held {
            Some(output) => output,
            None => open(&self.path)?,
        };
        output.finish(&whole).map_err(|error| Problem::Write(self.path.clone(), error))?;
        // What can't be removed is in the file all the same.
        parts.iter().filter(|part| **part != self.path).for_each(|part| drop(fs::remove_file(part)));
        Ok(())
    }
}

fn open(path: &Path) -> Result<Output, Problem> {
    Output::open(path).map_err(|error| Problem::Write(path.to_owned(), Unwritten::from(error)))
}
