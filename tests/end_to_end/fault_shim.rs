//! Faults of the recorder's calls to the C library, where strace can't be: it would trace the program that is being launched.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use cgoprof_testing::go::shared_dir;

/// One call that fails, or ends the recorder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    /// The first is 1.
    pub(crate) when: usize,
    /// None: the recorder is killed.
    pub(crate) error: Option<i32>,
}

/// Makes one call of the recorder fail. The file is there afterwards if the recorder has come to it.
pub(crate) fn inject(command: &mut Command, fault: Fault) -> PathBuf {
    let Fault { name, when, error } = fault;
    let fired =
        cgoprof_testing::recording::profile_path(cgoprof_testing::recording::User::Root).with_extension("fired");
    command.env("LD_PRELOAD", shim()).env("FAULT", format!("{name}:{when}:{}", error.unwrap_or(0)));
    command.env("FAULT_FIRED", &fired);
    fired
}

/// How often a recorder calls each function.
pub(crate) fn counts(command: &mut Command) -> BTreeMap<String, usize> {
    let list = tempfile::NamedTempFile::new().expect("a file");
    command.env("LD_PRELOAD", shim()).env("FAULT_COUNTS", list.path());
    assert!(command.output().expect("it runs").status.success());
    let mut counts = BTreeMap::new();
    for name in std::fs::read_to_string(list.path()).expect("names").lines() {
        *counts.entry(name.to_owned()).or_insert(0) += 1;
    }
    counts
}

/// So many places among all calls of a name, of which there are `made`: all of them if `CGOPROF_FAULTS` is `all`.
pub(crate) fn places(made: usize, wanted: usize) -> impl Iterator<Item = usize> {
    let all = std::env::var("CGOPROF_FAULTS").is_ok_and(|which| which == "all");
    let places = if all { made } else { wanted.min(made) };
    (0..places).map(move |place| 1 + place * made / places)
}

fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/end_to_end/fault_shim.c");
        let shim = shared_dir().join("fault_shim.so");
        let mut gcc = Command::new("gcc");
        gcc.args(["-O1", "-Wall", "-Werror", "-fno-builtin", "-shared", "-fPIC", "-o"]).arg(&shim).arg(source);
        assert!(gcc.arg("-ldl").status().expect("gcc").success());
        shim
    })
}
