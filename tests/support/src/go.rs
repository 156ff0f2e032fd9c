//! Go releases and programs built with them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

/// The Go releases tested; the patch release is what could be had.
pub const RELEASES: [&str; 8] = ["1.19", "1.21.13", "1.22.10", "1.23.9", "1.24.11", "1.25.5", "1.26.6", "1.27.3"];

/// How a program is built.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Build {
    /// One of [`RELEASES`].
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
        Build::of("1.27.3")
    }
}

/// The `go` command of a release. Panics if it isn't installed: tests/install-toolchains does that.
pub fn command(release: &str) -> PathBuf {
    let path = if release == "1.19" {
        PathBuf::from("/usr/lib/go-1.19/bin/go")
    } else {
        let dir = std::env::var_os("CGOPROF_GO_DIR")
            .map(PathBuf::from)
            .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME")).join(".cache/cgoprof-go"));
        dir.join(release).join("go/bin/go")
    };
    assert!(path.exists(), "Go {release} is not at {}: run tests/install-toolchains", path.display());
    path
}

/// The releases that this run covers: all, or those that differ most.
pub fn is_covered(release: &str) -> bool {
    let corners = std::env::var("CGOPROF_TEST_VERSIONS").is_ok_and(|versions| versions == "corners");
    let covered = !corners || ["1.19", "1.21.13", "1.25.5", "1.26.6", "1.27.3"].contains(&release);
    if !covered {
        eprintln!("SKIPPED: Go {release} is not among the corners (CGOPROF_TEST_VERSIONS=corners)");
    }
    covered
}

/// Builds a bench program, or a package of one; each way of building it once in a test run.
pub fn build(program: &str, build: Build) -> PathBuf {
    type Once = Arc<OnceLock<PathBuf>>;
    static BUILT: Mutex<Option<HashMap<(String, Build), Once>>> = Mutex::new(None);
    let once = {
        let mut built = BUILT.lock().expect("no builder panics holding the lock");
        let map = built.get_or_insert_with(HashMap::new);
        Arc::clone(map.entry((program.to_owned(), build)).or_default())
    };
    once.get_or_init(|| compile(program, build)).clone()
}

fn compile(program: &str, build: Build) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench-programs").join(program);
    let name: String = build.args.concat().chars().filter(|c| c.is_ascii_alphanumeric()).collect();
    let output = shared_dir().join(format!("{}-{}-{name}", program.replace('/', "-"), build.release));
    let go = command(build.release);
    let result = Command::new(&go)
        .arg("build")
        .args(build.args)
        .arg("-o")
        .arg(&output)
        .arg(".")
        .current_dir(&source)
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

/// A folder that every user can read, for programs that run as nobody.
pub fn shared_dir() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        let dir = std::env::temp_dir().join(format!("cgoprof-tests-{}", std::process::id()));
        std::fs::create_dir_all(&dir).expect("a temporary folder");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&dir, mode).expect("its mode");
        dir
    })
}
