//! Runs the fuzz targets of `cgoprof_collector::fuzzing`, on what `tests/fuzz/run` has made before.

use std::sync::OnceLock;

use cgoprof_collector::fuzzing::{Base, PatchedProgram, TARGETS, TablesImage};

/// Gives an input to a target.
pub fn run(name: &str, data: &[u8]) {
    static BASE: OnceLock<Base> = OnceLock::new();
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("it is among the targets");
    target(BASE.get_or_init(base), data);
}

fn base() -> Base {
    let read = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz").join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; use tests/fuzz/run", path.display()))
    };
    Base {
        program: PatchedProgram::new(read("program")).expect("a Go program"),
        tables: TablesImage::read(&read("tables")).expect("tables"),
    }
}
