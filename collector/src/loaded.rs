//! Go code that a process has loaded beside its program: plugins, and libraries with a runtime of their own.

use std::path::PathBuf;

use crate::goruntime::plugin::is_plugin;
use crate::goruntime::{Image, Target, TargetError};
use crate::process::maps::Mapping;

/// A file with Go code that a process has mapped.
pub(crate) struct LoadedGo {
    pub(crate) path: PathBuf,
    /// Its contents. The bytes stay until the recorder ends, because the code stays with the program until the program
    /// ends.
    pub(crate) target: Target<'static>,
    /// Distance from its stated addresses to those in the process.
    pub(crate) bias: u64,
    /// Its mapping, and with it the file.
    pub(crate) mapping: Mapping,
}

/// Kinds of Go code by the runtime that they work with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Runtime {
    /// The program's: the code is a plugin.
    Shared,
    /// The library's.
    Own,
}

/// Returns the runtime of the Go code in a mapping; none if there is no Go code.
///
/// # Errors
/// If it is Go code that can't be recorded.
pub(crate) fn runtime_in(mapping: &Mapping) -> Result<Option<Runtime>, TargetError> {
    let Some(data) = mapping.contents() else { return Ok(None) };
    match Target::parse(&data) {
        Err(TargetError::NotGo | TargetError::Binary(_) | TargetError::LinkShared) => Ok(None),
        Ok(target) if is_plugin(&target) => Ok(Some(Runtime::Shared)),
        parsed => parsed.map(|_| Some(Runtime::Own)),
    }
}

impl LoadedGo {
    /// Reads the Go code in a mapping. None if the address where it is loaded is not known.
    ///
    /// # Errors
    /// See [`runtime_in`].
    pub(crate) fn read(mapping: &Mapping) -> Result<Option<LoadedGo>, TargetError> {
        let Some(data) = mapping.contents() else { return Ok(None) };
        let target = Target::parse(Vec::leak(data.to_vec()))?;
        let Some(bias) = target.binary.bias(mapping.range.start, mapping.offset) else { return Ok(None) };
        Ok(Some(LoadedGo { path: mapping.path.clone(), target, bias, mapping: mapping.clone() }))
    }

    /// Whether it works with the program's runtime.
    pub(crate) fn is_plugin(&self) -> bool {
        is_plugin(&self.target)
    }

    /// The name of its file.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    pub(crate) fn image(&self) -> Image<'_, 'static> {
        Image { target: &self.target, bias: self.bias }
    }
}
