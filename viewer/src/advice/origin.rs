//! Whose a line is: the user's own, or a dependency's, which the user can't change but call differently.

use std::collections::BTreeMap;

use cgoprof_profile::{Kind, Profile};

use crate::analysis::{self, Frame, Position, SiteRow};

/// A module of Go's and its version, from the path of one of its files: `github.com/x/y` and `v1.2.3` of
/// `/root/go/pkg/mod/github.com/x/y@v1.2.3/z.go`.
pub(super) fn dependency(file: &str) -> Option<(String, &str)> {
    let module_first = file.rsplit_once("/pkg/mod/").map_or(file, |(_, module)| module);
    let (module, rest) = module_first.split_once("@v")?;
    let version = rest.split('/').next().filter(|version| version.starts_with(|c: char| c.is_ascii_digit()))?;
    let version = &module_first[module.len() + 1..module.len() + 2 + version.len()];
    Some((unescaped(module), version))
}

/// Where a dependency's line is in, and the line of the user's own that leads there most often.
pub(super) fn note(profile: &Profile, row: &SiteRow<'_>) -> String {
    let Some(site) = row.site else { return String::new() };
    let Some((module, version)) = dependency(site.file) else { return String::new() };
    match caller(profile, row) {
        Some(caller) => {
            let file = caller.file.rsplit('/').next().unwrap_or_default();
            format!("; the line is in {module} {version}, called by {} ({file}:{})", caller.function, caller.line)
        }
        None => format!("; the line is in {module} {version}"),
    }
}

/// The user's own line that leads to a site most often, if a stack shows one.
fn caller<'a>(profile: &'a Profile, row: &SiteRow<'_>) -> Option<Position<'a>> {
    let mut calls: BTreeMap<Position<'_>, u64> = BTreeMap::new();
    let standard = standard_library(profile);
    for cell in &profile.cells {
        let function = &profile.functions[cell.function.0];
        if !std::ptr::eq(function, row.function) || analysis::site(profile, cell) != row.site {
            continue;
        }
        let frames = analysis::frames(profile, &cell.stack);
        if let Some(own) = frames.iter().find(|frame| is_own(frame, standard)) {
            let sum = calls.entry(own.position).or_default();
            *sum = sum.saturating_add(cell.stats.calls);
        }
    }
    calls.into_iter().max_by_key(|&(position, calls)| (calls, position)).map(|(position, _)| position)
}

/// Folder of the standard library's sources, if paths of files tell it: they don't with `-trimpath`.
fn standard_library(profile: &Profile) -> Option<&str> {
    let files = profile.functions.iter().filter(|function| function.name.starts_with("runtime."));
    files
        .filter_map(|function| function.file.rsplit_once("runtime/"))
        .map(|(folder, _)| folder)
        .find(|of| !of.is_empty())
}

/// Whether a frame is neither a dependency's nor the standard library's. Without that's folder, a package is the standard
/// library's if the first element of its path has no dot.
fn is_own(frame: &Frame<'_>, standard: Option<&str>) -> bool {
    let Position { function, file, .. } = frame.position;
    let first = function.split(['/', '(']).next().unwrap_or_default();
    let is_standard = match standard {
        Some(folder) => file.starts_with(folder),
        None if function.contains('/') => !first.contains('.'),
        None => !first.starts_with("main."),
    };
    frame.kind == Kind::Go && dependency(file).is_none() && !is_standard
}

/// A path in the module cache with its capital letters: `!x` stands for `X` (golang.org/x/mod/module, EscapePath).
fn unescaped(path: &str) -> String {
    let mut unescaped = String::new();
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '!' => unescaped.extend(chars.next().map(|c| c.to_ascii_uppercase())),
            c => unescaped.push(c),
        }
    }
    unescaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_named_by_their_files() {
        let check = |file: &str, expected: Option<(&str, &str)>| {
            assert_eq!(
                dependency(file).as_ref().map(|(module, version)| (module.as_str(), *version)),
                expected,
                "{file}"
            );
        };
        let sqlite = Some(("github.com/mattn/go-sqlite3", "v1.14.22"));
        check("/root/go/pkg/mod/github.com/mattn/go-sqlite3@v1.14.22/sqlite3.go", sqlite);
        check("github.com/mattn/go-sqlite3@v1.14.22/sqlite3.go", sqlite);
        check("/go/pkg/mod/github.com/!data!dog/zstd@v1.5.5/zstd.go", Some(("github.com/DataDog/zstd", "v1.5.5")));
        check("/home/me/app/main.go", None);
        check("/home/me@work/main.go", None);
        check("/home/me@work/go/pkg/mod/github.com/mattn/go-sqlite3@v1.14.22/sqlite3.go", sqlite);
    }

    #[test]
    fn frames_of_the_users_own_packages() {
        let check = |function, file, standard, expected| {
            let position = Position { function, file, line: 1 };
            let frame = Frame { position, kind: Kind::Go, inlined: false };
            assert_eq!(is_own(&frame, standard), expected, "{function}");
        };
        let standard = Some("/usr/local/go/src/");
        check("main.main", "/home/me/app/main.go", standard, true);
        check("myapp/db.(*DB).Insert", "/home/me/app/db/db.go", standard, true);
        check("database/sql.(*DB).Exec", "/usr/local/go/src/database/sql/sql.go", standard, false);
        check("github.com/x/y.F", "/root/go/pkg/mod/github.com/x/y@v1.0.0/f.go", standard, false);
        check("main.main", "myapp/main.go", None, true);
        check("example.com/app/db.(*DB).Insert", "example.com/app/db/db.go", None, true);
        check("database/sql.(*DB).Exec", "database/sql/sql.go", None, false);
        check("runtime.main", "runtime/proc.go", None, false);
    }
}
