//! Recorded profiles for tests.

use std::path::Path;

use cgoprof_profile::{Profile, decode};

/// All, with their names.
pub(crate) fn recorded() -> Vec<(String, Profile)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/profiles");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> =
        files.filter_map(|path| Some(path.file_name()?.to_str()?.strip_suffix(".pb.gz")?.to_owned())).collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), named(&name))).collect()
}

pub(crate) fn named(name: &str) -> Profile {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/profiles/{name}.pb.gz"));
    decode(&std::fs::read(file).unwrap()).unwrap()
}
