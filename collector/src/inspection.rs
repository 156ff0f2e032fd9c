//! Facts about a binary, for `cgoprof inspect`.

use cgoprof_symbols::c_function::{self, CFunction};

use crate::arch;
use crate::goruntime::{Plan, PlanError, ProbePlan, Target};

/// A binary as `inspect` shows it.
#[derive(Debug)]
pub struct Inspection {
    /// As the linker wrote it.
    pub go_version: String,
    /// Position-independent.
    pub pie: bool,
    /// Without symbol table.
    pub stripped: bool,
    /// `CGO_ENABLED` at build time, if recorded.
    pub cgo_enabled: Option<String>,
    /// Build id, if there is one.
    pub build_id: Option<String>,
    /// Number of Go functions.
    pub functions: usize,
    /// C functions that have a Go wrapper.
    pub c_functions: Vec<CFunction>,
    /// Plan of the trampoline engine.
    pub plan: Result<Plan, PlanError>,
    /// Plan of the uprobe engine.
    pub probes: Result<ProbePlan, PlanError>,
}

impl Inspection {
    /// Inspects a binary.
    pub fn new(target: &Target<'_>) -> Inspection {
        let mut c_functions: Vec<_> =
            target.pclntab.functions().filter_map(|function| c_function::from_wrapper(function.name)).collect();
        c_functions.sort_by(|one, other| (&one.package, &one.name).cmp(&(&other.package, &other.name)));
        c_functions.dedup();
        Inspection {
            go_version: target.build.version_text.clone(),
            pie: target.binary.is_position_independent(),
            stripped: !target.binary.has_symbol_table(),
            cgo_enabled: target.build.setting("CGO_ENABLED").map(str::to_owned),
            build_id: target.binary.build_id(),
            functions: target.pclntab.len(),
            c_functions,
            plan: arch::plan(target),
            probes: arch::probe_plan(target),
        }
    }
}
