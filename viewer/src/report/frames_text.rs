//! Stacks as text.

use std::fmt::Write as _;

use cgoprof_profile::Kind;

use crate::analysis::Frame;
use crate::paths::short_path;
use crate::units::printable;

/// Writes a stack, a frame a line, innermost first.
pub(super) fn write_frames(text: &mut String, frames: &[Frame<'_>], truncated: bool) {
    for frame in frames {
        let side = match frame.kind {
            Kind::Go => "go",
            Kind::Border => "--",
            Kind::C => "c ",
            Kind::Kernel => "k ",
        };
        let _ = write!(text, "  {side}  {}", printable(frame.position.function));
        if !frame.position.file.is_empty() {
            let file = printable(short_path(frame.position.file));
            let _ = match frame.position.line {
                0 => write!(text, "  {file}"),
                line => write!(text, "  {file}:{line}"),
            };
        }
        text.push_str(if frame.inlined { "  (inlined)\n" } else { "\n" });
    }
    if truncated {
        text.push_str("  ... (truncated)\n");
    }
}
