//! Go releases and programs built with them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

/// The lines of tests/go-releases: a release, and whether it is a corner.
fn listed() -> impl Iterator<Item = (&'static str, bool)> {
    let lines = include_str!("../../go-releases").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next() == Some("corner")))
    })
}

/// The Go releases that there are tests of, oldest first.
pub fn all() -> impl Iterator<Item = &'static str> {
    listed().map(|(release, _)| release)
}

/// The Go releases that this run covers, oldest first.
pub fn releases() -> impl Iterator<Item = &'static str> {
    all().filter(|release| is_covered(release))
}

/// The Go releases whose runtimes differ most.
pub fn corners() -> impl Iterator<Item = &'static str> {
    listed().filter(|(_, is_corner)| *is_corner).map(|(release, _)| release)
}

/// Whether this run covers a release: it covers all, or the corners.
pub fn is_covered(release: &str) -> bool {
    let found = listed().find(|(listed, _)| *listed == release);
    let (_, is_corner) = found.unwrap_or_else(|| panic!("Go {release} is not in tests/go-releases"));
    let only_corners = std::env::var("CGOPROF_TEST_VERSIONS").is_ok_and(|versions| versions == "corners");
    if only_corners && !is_corner {
        eprintln!("SKIPPED: Go {release} is not among the corners (CGOPROF_TEST_VERSIONS=corners)");
    }
    is_corner || !only_corners
}

include!(concat!(env!("OUT_DIR"), "/each_release.rs"));

/// Calls a test of a release, if this run covers that.
pub fn check(release: &'static str, check: impl Fn(&'static str)) {
    if is_covered(release) {
        check(release);
    }
}

/// How a program is built.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Build {
    /// One of tests/go-releases.
    pub release: &'static str,
    /// Arguments of `go build`.
    pub args: &'static [&'static str],
}

impl Build {
    /// A release, as people build.
    pub fn of(release: &'static str) -> Build {
        Build { release, args: &[] }
    }

    /// The newest release.
    pub fn newest() -> Build {
        Build::of(all().last().expect("a release"))
    }
}

/// The `go` command of a release. Panics if it isn't installed: tests/install-toolchains does that.
pub fn command(release: &str) -> PathBuf {
    let path = if release == "1.19" {
        PathBuf::from("/usr/lib/go-1.19/bin/go")
    } else {
        installed().join(release).join("go/bin/go")
    };
    assert!(path.exists(), "Go {release} is not at {}: run tests/install-toolchains", path.display());
    path
}

/// Where tests/install-toolchains puts the Go releases.
fn installed() -> PathBuf {
    let own = || PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache/cgoprof-go");
    std::env::var_os("CGOPROF_GO_DIR").map_or_else(own, PathBuf::from)
}

/// Where it puts programs that read our exports.
pub fn readers() -> PathBuf {
    installed().with_file_name("cgoprof-readers")
}

/// Builds a bench program, or a package of one; each way of building it once in a test run.
pub fn build(program: &str, build: Build) -> PathBuf {
    once(program, build, || compile(&sources().join("bench-programs").join(program), program, ".", build))
}

/// Builds a package that reads our exports, of a module in tests/readers; once in a test run.
pub fn reader(module: &str, package: &str) -> PathBuf {
    // Pyroscope and Parca use assembly and functions of older runtimes where they may.
    let build = Build { args: &["-tags=purego", "-ldflags=-checklinkname=0"], ..Build::newest() };
    let name = format!("reader-{module}");
    once(&name, build, || compile(&sources().join("tests/readers").join(module), &name, package, build))
}

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn once(program: &str, build: Build, compile: impl FnOnce() -> PathBuf) -> PathBuf {
    type Once = Arc<OnceLock<PathBuf>>;
    static BUILT: Mutex<Option<HashMap<(String, Build), Once>>> = Mutex::new(None);
    let once = {
        let mut built = BUILT.lock().expect("no builder panics holding the lock");
        let map = built.get_or_insert_with(HashMap::new);
        Arc::clone(map.entry((program.to_owned(), build)).or_default())
    };
    once.get_or_init(compile).clone()
}

fn compile(source: &Path, program: &str, package: &str, build: Build) -> PathBuf {
    let name: String = build.args.concat().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let output = shared_dir().join(format!("{}-{}-{name}", program.replace('/', "-"), build.release));
    let go = command(build.release);
    let result = Command::new(&go)
        .arg("build")
        .args(build.args)
        .arg("-o")
        .arg(&output)
        .arg(package)
        .current_dir(source)
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .env("GOFLAGS", "-mod=mod")
        .env("GONOSUMDB", "*")
        .env("GONOSUMCHECK", "1")
        .output()
        .expect("go runs");
    assert!(
        result.status.success(),
        "go build of {program} with {build:?}: {}",
        String::from_utf8_lossy(&result.stderr)
    );
    output
}

/// What the name of a run's folder begins with, before its process.
const RUN: &str = "cgoprof-tests-";

/// A folder that every user can read, for programs that run as nobody.
///
/// It outlives the run, so that what a failed test made can be looked at, until the next run.
pub fn shared_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        remove_folders_of_ended_runs();
        let dir = std::env::temp_dir().join(format!("{RUN}{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary folder");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&dir, mode).expect("its mode");
        dir
    })
}

/// They are close to a gigabyte each: a disk that they filled made tests fail with messages that named other causes.
fn remove_folders_of_ended_runs() {
    for entry in std::fs::read_dir(std::env::temp_dir()).expect("the folder of temporary files").flatten() {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(|name| name.strip_prefix(RUN)) else { continue };
        if !Path::new("/proc").join(process).exists() {
            // Another run that begins may be removing it too.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_ended_runs_are_removed_and_those_of_others_kept() {
        // No process has a number so large (`PID_MAX_LIMIT`, include/linux/threads.h).
        let ended = std::env::temp_dir().join(format!("{RUN}4194305"));
        let other = std::env::temp_dir().join(format!("{RUN}1"));
        for folder in [&ended, &other] {
            std::fs::create_dir_all(folder.join("inner")).expect("a folder");
        }
        remove_folders_of_ended_runs();
        assert!(!ended.exists() && other.exists());
        std::fs::remove_dir_all(other).expect("it is there");
    }

    #[test]
    fn the_readme_and_the_version_name_the_oldest_and_the_newest_release() {
        let minor = |release: Option<&'static str>| release.expect("a release").split('.').nth(1).expect("1.minor");
        let (oldest, newest) = (minor(all().next()), minor(all().last()));
        for text in [include_str!("../../../README.md"), include_str!("../../../src/version.rs")] {
            assert!(text.contains(&format!("built by Go 1.{oldest} to 1.{newest}")), "1.{oldest} to 1.{newest}");
        }
    }
}
