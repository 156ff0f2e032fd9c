//! Paths as reports show them.

/// The last part of a path.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The last two parts of a path.
pub(crate) fn short_path(path: &str) -> &str {
    let mut slashes = path.rmatch_indices('/').map(|(index, _)| index);
    slashes.nth(1).map_or(path, |index| &path[index + 1..])
}
