//! Properties of a C function that the code of cgo's wrapper tells. The wrapper calls `cgoUse` with each argument if
//! they escape, and `cgoKeepAlive` if they need not. It calls `cgoNoCallback` around C that must not call back
//! (cmd/cgo/out.go).

/// How a wrapper calls its C function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrapperCode {
    /// An argument that contains a pointer is given to `cgoUse`.
    pub(crate) escapes: bool,
    /// `#cgo nocallback`.
    pub(crate) nocallback: bool,
}
