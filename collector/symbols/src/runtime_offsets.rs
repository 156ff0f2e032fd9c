//! Offsets of the runtime's structs that the hooks read, by Go version.
//!
//! Measured from the DWARF of go1.19.8, 1.21.13, 1.22.10, 1.23.9, 1.24.11, 1.25.5, 1.26.6 and 1.27.3
//! (runtime/runtime2.go); they are the same on amd64 and arm64. The plan checks them against the
//! displacements that `runtime.cgocall` itself uses, and reads DWARF where the two disagree.

/// Byte offsets within `runtime.m` and `runtime.g`; those not here have not changed since Go 1.19.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuntimeOffsets {
    /// `m.procid`: the kernel's thread id.
    pub m_procid: u32,
    /// `m.p`.
    pub m_p: u32,
    /// `m.oldp`.
    pub m_oldp: u32,
    /// `m.incgo`.
    pub m_incgo: u32,
    /// `m.ncgocall`.
    pub m_ncgocall: u32,
    /// `m.ncgo`.
    pub m_ncgo: u32,
    /// `m.lockedExt`.
    pub m_locked_ext: u32,
    /// `m.syscalltick`.
    pub m_syscalltick: u32,
    /// `m.id`.
    pub m_id: u32,
    /// `m.alllink`.
    pub m_alllink: u32,
    /// `m.curg`.
    pub m_curg: u32,
    /// `g.goid`.
    pub g_goid: u32,
    /// `g.syscallsp`; `g.syscallpc` follows.
    pub g_syscallsp: u32,
}

/// The Go 1.x releases that were measured, newest first.
pub const MEASURED: [u32; 8] = [27, 26, 25, 24, 23, 22, 21, 19];

impl RuntimeOffsets {
    /// The offsets of a Go 1.x release; none if it was not measured.
    pub fn of_release(minor: u32) -> Option<RuntimeOffsets> {
        let row = |m_procid, m_p, m_oldp, m_incgo, m_ncgocall, m_ncgo, m_locked_ext, m_syscalltick, g_goid| {
            Some(RuntimeOffsets {
                m_procid,
                m_p,
                m_oldp,
                m_incgo,
                m_ncgocall,
                m_ncgo,
                m_locked_ext,
                m_syscalltick,
                // Next to others in all these releases.
                m_id: m_p + 24,
                m_alllink: m_ncgocall + 32,
                m_curg: m_procid + 120,
                g_goid,
                g_syscallsp: if minor >= 25 { 104 } else { 112 },
            })
        };
        match minor {
            19 => row(72, 208, 224, 280, 304, 312, 616, 668, 152),
            21 => row(72, 208, 224, 280, 304, 312, 616, 664, 152),
            22 => row(72, 208, 224, 280, 296, 304, 608, 952, 152),
            23 => row(72, 208, 224, 280, 296, 304, 608, 740, 160),
            24 => row(72, 208, 224, 280, 320, 328, 632, 764, 160),
            25 => row(64, 200, 216, 272, 312, 320, 624, 756, 152),
            26 | 27 => row(64, 208, 224, 280, 320, 328, 648, 788, 152),
            _ => None,
        }
    }
}
