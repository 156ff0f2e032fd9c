//! Knowledge of a Go binary and its runtime that holds on any architecture. Pure functions over the bytes of the file.

pub(crate) mod functions;
pub(crate) mod labels;
pub mod module;
pub mod own_count;
pub mod plan;
pub mod plugin;
pub mod probes;
pub mod sample_plan;
mod wrapper;

use std::ops::Range;

use cgoprof_symbols::Avma;
use cgoprof_symbols::binary::{Binary, BinaryError};
use cgoprof_symbols::buildinfo::{self, BuildInfo, GoVersion};
use cgoprof_symbols::pclntab::{Pclntab, PclntabError};
use cgoprof_symbols::runtime_offsets::RuntimeOffsets;

pub use module::ModulePlan;
pub use own_count::OwnCount;
pub use plan::{Patch, Plan, PlanError};
pub use probes::{Point, Probe, ProbePlan};
pub use sample_plan::SamplePlan;
pub(crate) use wrapper::WrapperCode;

/// The oldest Go release whose runtime is known.
pub const OLDEST: u32 = 19;

/// A Go binary that makes crossings.
pub struct Target<'data> {
    /// The file.
    pub binary: Binary<'data>,
    /// Build information that the linker wrote.
    pub build: BuildInfo,
    /// Its release, if the offsets of that were measured.
    pub release: Option<u32>,
    /// Its functions.
    pub pclntab: Pclntab<'data>,
}

/// A target in a process.
#[derive(Clone, Copy)]
pub struct Image<'target, 'data> {
    /// The file.
    pub target: &'target Target<'data>,
    /// Difference between the addresses where it was loaded and its stated addresses.
    pub bias: u64,
}

/// Why a file is not a target.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The file can't be read as a binary.
    #[error("it {0}")]
    Binary(#[from] BinaryError),
    /// Not linked by Go's linker.
    #[error("it is not a Go program")]
    NotGo,
    /// Built by Go's other compiler, whose runtime differs.
    #[error("it was built by gccgo, whose runtime has no runtime.cgocall; build it with the gc toolchain (`go build`)")]
    Gccgo,
    /// Built by a release that is too old.
    #[error("it was built by {0}; Go 1.{OLDEST} or newer is needed")]
    TooOld(String),
    /// Its Go code is in shared libraries.
    #[error(
        "it is linked against shared Go libraries (-linkshared), where its runtime is: cgoprof can't record that; build \
         it without -linkshared"
    )]
    LinkShared,
    /// Built without cgo, so it has no crossings.
    #[error("it was built {}: it has no crossings", without_cgo(.cgo_enabled))]
    NoCgo {
        /// The build setting, if recorded.
        cgo_enabled: Option<String>,
    },
    /// The function table can't be used.
    #[error("{0}")]
    Pclntab(#[from] PclntabError),
}

fn without_cgo(cgo_enabled: &Option<String>) -> &'static str {
    match cgo_enabled.as_deref() {
        Some("0") => "with CGO_ENABLED=0",
        _ => "without any package that uses cgo",
    }
}

impl<'data> Target<'data> {
    /// Reads a binary as a target.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn parse(data: &'data [u8]) -> Result<Self, TargetError> {
        let binary = Binary::parse(data)?;
        let found = BuildInfo::read(&binary);
        let gccgo = binary.section(".go_export").is_some() || binary.imports().contains(&"__go_go");
        if gccgo || found.as_ref().is_some_and(|build| build.version_text.contains("gccgo")) {
            return Err(TargetError::Gccgo);
        }
        let version = found.as_ref().and_then(|build| build.version);
        let (known, table) = match &found {
            Some(_) => (version, None),
            // Without build information, a function table shows that it is a Go program.
            None => match Pclntab::parse(&binary, None) {
                Err(PclntabError::Missing) => return Err(TargetError::NotGo),
                parsed => (buildinfo::runtime_version(&binary).and_then(|text| GoVersion::parse(&text)), Some(parsed?)),
            },
        };
        let build = found.unwrap_or_else(|| BuildInfo {
            version_text: known.map_or_else(|| "unknown".to_owned(), |version| version.to_string()),
            version: known,
            module: String::new(),
        });
        if known.is_some_and(|version| version.minor < OLDEST) {
            return Err(TargetError::TooOld(build.version_text.clone()));
        }
        let release = known.map(|version| version.minor).filter(|&minor| RuntimeOffsets::of_release(minor).is_some());
        let pclntab = match table.filter(|_| release.is_none()) {
            Some(table) => table,
            None => Pclntab::parse(&binary, release)?,
        };
        let has = |name: &str| pclntab.functions().any(|function| function.name == name);
        if !has("runtime.cgocall") && binary.imports().contains(&"runtime.cgocall") {
            return Err(TargetError::LinkShared);
        }
        // Both runtime/cgo and its replacement in programs built without cgo (purego's fakecgo) have it.
        if !has("crosscall2") {
            let cgo_enabled = build.setting("CGO_ENABLED").map(str::to_owned);
            return Err(TargetError::NoCgo { cgo_enabled });
        }
        Ok(Target { binary, build, release, pclntab })
    }

    /// Returns the note for a program whose release was not measured.
    pub fn untested(&self) -> Option<String> {
        let version = &self.build.version_text;
        self.release.is_none().then(|| {
            format!("Go version {version:?} is untested with this cgoprof: its code was checked, as far as it can be")
        })
    }

    /// Returns the range of Go's code in a program loaded with this bias.
    pub fn go_text(&self, bias: u64) -> Range<Avma> {
        let text = self.pclntab.text();
        text.start.loaded(bias)..text.end.loaded(bias)
    }
}
