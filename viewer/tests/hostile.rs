//! Profiles that are damaged below their compression, through every view: an error or a report, never a panic.

use std::io::{Read as _, Write as _};
use std::path::Path;

use cgoprof_profile::decode;
use cgoprof_viewer::export::flamegraph::Drawing;
use cgoprof_viewer::report::view::View;
use cgoprof_viewer::report::{By, json, text};
use proptest::prelude::*;

/// The messages of the recorded profiles.
fn messages() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/profiles");
    let files =
        ["blocked", "busy", "foreign", "locks", "callbacks", "uprobe"].map(|name| folder.join(format!("{name}.pb.gz")));
    let read = files.map(|file| {
        let mut message = Vec::new();
        let bytes = std::fs::read(file).unwrap();
        flate2::read::GzDecoder::new(bytes.as_slice()).read_to_end(&mut message).unwrap();
        message
    });
    read.into()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_damage_is_survived(
        which: prop::sample::Index,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let mut message = which.get(&messages()).clone();
        for (at, value) in damage {
            let at = at.index(message.len());
            message[at] ^= value;
        }
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&message).unwrap();
        if let Ok(profile) = decode(&gzip.finish().unwrap()) {
            for by in By::ALL {
                let report = text::write(&profile, by, &View { quantiles: true, ..View::rows(20) }).expect("a report");
                prop_assert!(!report.chars().any(|c| c.is_control() && c != '\n'));
            }
            prop_assert!(json::write(&profile).is_ok());
            let _ = Drawing::default().draw(&profile);
        }
    }
}
