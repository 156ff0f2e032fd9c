//! Values that are fetched from a thread's registers and memory at a probe, in the syntax of tracefs
//! (`Documentation/trace/uprobetracer.rst`).

use cgoprof_symbols::runtime_offsets::G_M;

use crate::arch::probe_register::{FP, G, G_CALLED, SP};
use crate::goruntime::{Point, ProbePlan};

/// Values that the probes of one program fetch.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    to_return: u32,
    g_goid: u32,
    m_id: u32,
    m_locked_ext: u32,
    indirect: bool,
}

impl Fetch {
    pub(crate) fn new(plan: &ProbePlan) -> Fetch {
        let offsets = plan.offsets;
        Fetch {
            to_return: plan.to_return,
            g_goid: offsets.g_goid,
            m_id: offsets.m_id,
            m_locked_ext: offsets.m_locked_ext,
            indirect: plan.purego.is_some(),
        }
    }

    /// Returns the fetch for no program: as many values as for one, from places that don't matter.
    pub(crate) fn nothing() -> Fetch {
        Fetch { to_return: 0, g_goid: 0, m_id: 0, m_locked_ext: 0, indirect: false }
    }

    /// Returns the arguments at a point; crossings.rs has their places.
    pub(crate) fn at(&self, point: Point) -> String {
        match point {
            Point::Called => self.called(),
            // exitsyscall's frame is the innermost, and its return address is above it.
            Point::Resumed => format!("caller=+8({FP}):x64 goid=+{}({G}):x64", self.g_goid),
            Point::Returned | Point::CallbackBegin | Point::CallbackEnd | Point::Unwind => String::new(),
        }
    }

    /// Returns the arguments at `asmcgocall`'s first branch. The function's own arguments are above its return address.
    /// Each word read from memory takes some 60 ns, so the return address is read only where it is not in the chain of
    /// frames.
    pub(super) fn called(&self) -> String {
        let Fetch { to_return, g_goid, m_id, m_locked_ext, indirect } = self;
        let mut text = format!(
            "fn=+{}({SP}):x64 g={G_CALLED}:x64 goid=+{g_goid}({G_CALLED}):x64 m=+{m_id}(+{G_M}({G_CALLED})):x64 \
             locks=+{m_locked_ext}(+{G_M}({G_CALLED})):x64",
            to_return + 8
        );
        if *to_return == 0 {
            text += &format!(" caller=+0({SP}):x64");
        }
        if *indirect {
            text += &format!(" indirect=+0(+{}({SP})):x64", to_return + 16);
        }
        text
    }
}
