//! Names of profiles, in which parts stand for what is known of the recorded program.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::unistd::Pid;

use super::output::STANDARD_OUTPUT;

/// A path in which `%p` stands for the program's process id, `%n` for its name, `%h` for the host's name, `%t` for the time at which
/// the recording began, and `%%` for a percent sign. A folder stands for a file in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputName(OsString);

/// Why a path names no profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown placeholder `{0}`: use %p (process id), %n (program's name), %h (host), %t (time), or %% for a percent sign"
)]
pub struct UnknownPart(String);

/// Name of a file in a folder.
const IN_FOLDER: &str = "%n.%p.pb.gz";

/// What the parts of a name stand for.
#[derive(Clone, Debug)]
pub(crate) struct NameParts {
    /// Name of the program.
    pub(crate) program: OsString,
    /// Its process.
    pub(crate) pid: Pid,
    /// Name of the host.
    pub(crate) host: OsString,
    /// In UTC: `20261130T094512Z`.
    pub(crate) time: String,
}

impl NameParts {
    /// Of a program that is recorded from now on.
    pub(crate) fn of(program: &Path, pid: Pid) -> NameParts {
        let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        NameParts {
            program: program.file_name().unwrap_or_default().to_owned(),
            pid,
            host: nix::unistd::gethostname().unwrap_or_default(),
            time: time.replace(['-', ':'], ""),
        }
    }
}

impl OutputName {
    /// Reads a name.
    ///
    /// # Errors
    /// If a percent sign is followed by something else than is known.
    pub fn parse(name: &OsStr) -> Result<OutputName, UnknownPart> {
        let mut bytes = name.as_bytes().iter();
        while bytes.any(|&byte| byte == b'%') {
            let part = bytes.next().copied();
            if !part.is_some_and(|part| b"pnht%".contains(&part)) {
                let part: String = part.map(|part| char::from(part).escape_default().to_string()).unwrap_or_default();
                return Err(UnknownPart(format!("%{part}")));
            }
        }
        Ok(OutputName(name.to_owned()))
    }

    /// Returns the path of a profile. `is_folder` tells whether a path is one.
    pub(crate) fn path(&self, parts: &NameParts, is_folder: impl Fn(&Path) -> bool) -> PathBuf {
        let path = fill(&self.0, parts);
        if path.as_os_str() == STANDARD_OUTPUT {
            return path;
        }
        let names_folder = path.as_os_str().as_bytes().ends_with(b"/") || is_folder(&path);
        if names_folder { path.join(fill(OsStr::new(IN_FOLDER), parts)) } else { path }
    }
}

/// Returns a path with something before its ending, for another profile than that of this path.
pub fn with_infix(path: &Path, what: &str) -> PathBuf {
    const ENDING: &[u8] = b".pb.gz";
    let name = path.file_name().unwrap_or_default().as_bytes();
    let (stem, ending) = name.strip_suffix(ENDING).map_or((name, &b""[..]), |stem| (stem, ENDING));
    path.with_file_name(OsString::from_vec([stem, b".", what.as_bytes(), ending].concat()))
}

impl From<&Path> for OutputName {
    /// A path without parts that stand for something.
    fn from(path: &Path) -> OutputName {
        let mut name = Vec::new();
        for &byte in path.as_os_str().as_bytes() {
            name.extend(if byte == b'%' { &b"%%"[..] } else { std::slice::from_ref(&byte) });
        }
        OutputName(OsString::from_vec(name))
    }
}

fn fill(name: &OsStr, parts: &NameParts) -> PathBuf {
    let mut path = Vec::new();
    let mut bytes = name.as_bytes().iter();
    while let Some(&byte) = bytes.next() {
        match (byte, if byte == b'%' { bytes.next() } else { None }) {
            (b'%', Some(b'p')) => path.extend(parts.pid.to_string().bytes()),
            (b'%', Some(b'n')) => path.extend(parts.program.as_bytes()),
            (b'%', Some(b'h')) => path.extend(parts.host.as_bytes()),
            (b'%', Some(b't')) => path.extend(parts.time.bytes()),
            _ => path.push(byte),
        }
    }
    PathBuf::from(OsString::from_vec(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_filled_with_what_is_known() {
        let parts = NameParts {
            program: "app".into(),
            pid: Pid::from_raw(4711),
            host: "build-1".into(),
            time: "20261130T094512Z".into(),
        };
        let check = |name: &str, expected: &str| {
            let name = OutputName::parse(OsStr::new(name)).expect("a name");
            let is_folder = |path: &Path| path == Path::new("there") || path == Path::new("-");
            assert_eq!(name.path(&parts, is_folder), Path::new(expected), "{name:?}");
        };
        check("cgoprof.pb.gz", "cgoprof.pb.gz");
        check("-", "-");
        check("%h/%n-%p.%t.pb.gz", "build-1/app-4711.20261130T094512Z.pb.gz");
        check("100%%.pb.gz", "100%.pb.gz");
        check("%%p", "%p");
        check("new/", "new/app.4711.pb.gz");
        check("there", "there/app.4711.pb.gz");
        check("elsewhere", "elsewhere");
        let literal = OutputName::from(Path::new("100%p"));
        assert_eq!(literal.path(&parts, |_| false), Path::new("100%p"));
    }

    #[test]
    fn a_second_profile_has_its_process_in_its_name() {
        for (path, expected) in [("a/cgoprof.pb.gz", "a/cgoprof.4711.pb.gz"), ("profile", "profile.4711")] {
            assert_eq!(with_infix(Path::new(path), "4711"), Path::new(expected));
        }
    }

    #[test]
    fn a_part_that_stands_for_nothing_is_refused() {
        for (name, part) in [("a%q", "%q"), ("100%", "%"), ("%%%\n", "%\\n")] {
            assert_eq!(OutputName::parse(OsStr::new(name)), Err(UnknownPart(part.to_owned())), "{name:?}");
        }
    }
}
