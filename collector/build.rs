//! Compiles the hook crate a second time, as the flat piece of code that is mapped into targets.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

fn main() {
    let hook = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join("hook");
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    println!("cargo:rerun-if-changed={}", hook.join("src").display());
    println!("cargo:rerun-if-changed={}", hook.join("hook.ld").display());

    let triple = format!("{}-unknown-linux-gnu", env::var("CARGO_CFG_TARGET_ARCH").unwrap());
    let object = out.join("hook.o");
    run(Command::new(env::var("RUSTC").unwrap())
        .args(["--edition", "2024", "--crate-name", "cgoprof_hook", "--crate-type", "lib", "--emit", "obj"])
        .args(["--cfg", "blob", "--check-cfg", "cfg(blob)", "--target", &triple])
        .args(["-C", "panic=abort", "-C", "opt-level=3", "-C", "codegen-units=1", "-C", "relocation-model=pic"])
        // Vectorized code would need an aligned stack.
        .args(["-C", "no-vectorize-slp", "-C", "no-vectorize-loops"])
        .args(["-C", "force-frame-pointers=no", "-C", "overflow-checks=no", "-C", "debug-assertions=no"])
        .arg(hook.join("src/lib.rs"))
        .arg("-o")
        .arg(&object));
    let linked = out.join("hook.so");
    run(Command::new(linker())
        .args([
            "-shared",
            "-nostdlib",
            "-Wl,-Bsymbolic",
            "-Wl,--build-id=none",
            "-Wl,--no-undefined",
            "-Wl,-z,noexecstack",
        ])
        .arg("-Wl,-z,norelro")
        .arg(format!("-Wl,-T,{}", hook.join("hook.ld").display()))
        .arg(&object)
        .arg("-o")
        .arg(&linked));

    let data = fs::read(&linked).unwrap();
    let file = object::File::parse(&*data).unwrap();
    assert!(file.dynamic_relocations().is_none_or(|mut all| all.next().is_none()), "the hook needs relocations");
    let mut blob = Vec::new();
    for name in [".here", ".params", ".text", ".data"] {
        let Some(section) = file.section_by_name(name) else { continue };
        let start = section.address() as usize;
        blob.resize(start, 0);
        blob.extend_from_slice(section.data().unwrap());
    }
    fs::write(out.join("hook.bin"), &blob).unwrap();

    let (mut symbols, mut returns) = (String::new(), Vec::new());
    for symbol in file.symbols() {
        let name = symbol.name().unwrap();
        assert!(!name.contains("panicking"), "the hook can panic: {name}");
        if name.starts_with("from_c_") {
            returns.push(symbol.address());
        }
        if name.starts_with("thunk_") {
            let constant = name.to_uppercase();
            writeln!(symbols, "pub(super) const {constant}: u64 = {:#x};", symbol.address()).unwrap();
        }
    }
    writeln!(symbols, "pub(super) static FROM_C: &[u64] = &{returns:?};").unwrap();
    fs::write(out.join("hook_symbols.rs"), symbols).unwrap();
}

/// Returns the C compiler for the target, which links.
fn linker() -> String {
    let of = |name: &str| env::var(name).unwrap();
    let (arch, host) = (of("CARGO_CFG_TARGET_ARCH"), of("HOST"));
    if host.starts_with(&arch) { "cc".into() } else { format!("{arch}-linux-gnu-gcc") }
}

fn run(command: &mut Command) {
    let status = command.status().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    assert!(status.success(), "{command:?} failed");
}
