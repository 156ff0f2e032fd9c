//! Tells the binary which commit it is built from.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=CGOPROF_COMMIT");
    println!("cargo::rerun-if-changed=build.rs");
    // In a worktree, they are elsewhere.
    for name in ["HEAD", "logs/HEAD"] {
        let file = git(&["rev-parse", "--git-path", name]).filter(|file| Path::new(file).exists());
        file.inspect(|file| println!("cargo::rerun-if-changed={file}"));
    }
    // Packages are built from archives without a repository, and can name the commit themselves.
    let named = std::env::var("CGOPROF_COMMIT").ok().filter(|commit| !commit.is_empty());
    println!("cargo::rustc-env=CGOPROF_COMMIT={}", named.or_else(of_repository).unwrap_or_else(|| "unknown".into()));
}

/// Returns the commit of the repository that the sources are in, if they are in their own.
fn of_repository() -> Option<String> {
    Path::new(".git").exists().then(|| git(&["rev-parse", "--short=12", "HEAD"]))?
}

/// Returns what a git command prints, if it succeeds.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let printed = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| printed.trim().to_owned()).filter(|printed| !printed.is_empty())
}
