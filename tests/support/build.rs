//! Makes the macro `each_release!` from the list of Go releases.

use std::fmt::Write as _;
use std::path::Path;

fn main() {
    let list = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../go-releases");
    println!("cargo:rerun-if-changed={}", list.display());
    let text = std::fs::read_to_string(&list).unwrap();
    let mut tests = String::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some(release) = line.split_whitespace().next() else { continue };
        let minor = release.split('.').nth(1).unwrap();
        writeln!(tests, "#[test] fn go_1_{minor}() {{ $crate::go::check({release:?}, $check); }}").unwrap();
    }
    let code = format!(
        "/// Makes a test of each release in tests/go-releases from a function that takes the release.\n\
         #[macro_export] macro_rules! each_release {{ ($check:path) => {{ {tests} }}; }}"
    );
    std::fs::write(Path::new(&std::env::var("OUT_DIR").unwrap()).join("each_release.rs"), code).unwrap();
}
