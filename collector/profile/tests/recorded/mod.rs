//! The recorded profiles of the repository.

use std::path::{Path, PathBuf};

use cgoprof_profile::{Profile, Stats, decode};

/// The recorded profiles by name.
pub(crate) fn recorded() -> Vec<(String, Profile)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/profiles");
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(".pb.gz"));
    paths.sort();
    let read = |path: PathBuf| {
        let profile = decode(&std::fs::read(&path).expect("a file")).expect("a profile");
        (path.file_name().expect("a name").to_string_lossy().into_owned(), profile)
    };
    paths.into_iter().map(read).collect()
}

/// Returns the sum of all crossings.
pub(crate) fn totals(profile: &Profile) -> Stats {
    let mut totals = Stats::default();
    profile.cells.iter().for_each(|cell| totals.add(&cell.stats));
    totals
}
