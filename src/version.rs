//! The text of `cgoprof --version`.

use cgoprof_collector::record::EngineKind;
use cgoprof_viewer::export::FORMATS;

/// Version and commit.
pub(crate) const SHORT: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("CGOPROF_COMMIT"), ")");

/// Returns the same, with what this build can do.
pub(crate) fn long() -> String {
    let engines = EngineKind::ALL.map(EngineKind::name).join(", ");
    let formats: Vec<&str> = FORMATS.iter().map(|format| format.name()).collect();
    format!(
        "{SHORT}\nprograms: {}, built by Go 1.19 to 1.27\nengines: {engines}\nexports: {}",
        std::env::consts::ARCH,
        formats.join(", ")
    )
}
