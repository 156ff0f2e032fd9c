//! Tells the binary which commit it is built from.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=CGOPROF_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    for file in [".git/HEAD", ".git/logs/HEAD"] {
        if Path::new(file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    // Packages are built from archives without a repository, and can name the commit themselves.
    let named = std::env::var("CGOPROF_COMMIT").ok().filter(|commit| !commit.is_empty());
    println!("cargo::rustc-env=CGOPROF_COMMIT={}", named.or_else(of_repository).unwrap_or_else(|| "unknown".into()));
}

/// Returns the commit of the repository that the sources are in, if they are in their own.
fn of_repository() -> Option<String> {
    if !Path::new(".git").exists() {
        return None;
    }
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    let commit = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| commit.trim().to_owned()).filter(|commit| !commit.is_empty())
}
