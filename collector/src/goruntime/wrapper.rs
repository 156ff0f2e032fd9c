//! What the code of cgo's wrapper for a C function tells: cmd/cgo has it call `cgoUse` with each argument if they escape,
//! `cgoKeepAlive` if they need not, and `cgoNoCallback` around C that must not call back (cmd/cgo/out.go).

/// How a wrapper calls its C function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrapperCode {
    /// An argument that contains a pointer is given to `cgoUse`.
    pub(crate) escapes: bool,
    /// `#cgo nocallback`.
    pub(crate) nocallback: bool,
}
