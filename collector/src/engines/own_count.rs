//! The Go runtime's own count of crossings, read from the program's memory as `runtime.NumCgoCall` does
//! (runtime/debug.go): the sum of the Ms that are gone, and the count of each living one.

use cgoprof_symbols::Avma;
use cgoprof_symbols::runtime_offsets::RuntimeOffsets;
use nix::unistd::Pid;

use crate::arch;
use crate::goruntime::Target;
use crate::process::memory::word;

/// Addresses of the counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters {
    /// `runtime.ncgocall`.
    gone: Avma,
    /// `runtime.allm`.
    first_m: Avma,
    offsets: RuntimeOffsets,
}

/// Maximum Ms that are read: the list that the program writes may be a circle.
const MOST: usize = 100_000;

impl Counters {
    /// Finds the counts in a program.
    pub(crate) fn find(target: &Target<'_>, offsets: RuntimeOffsets, bias: u64) -> Option<Counters> {
        let own = arch::own_count(target, offsets)?;
        Some(Counters { gone: own.gone.loaded(bias), first_m: own.first_m.loaded(bias), offsets })
    }

    /// Reads the count as it is now; none once the program has ended.
    pub(crate) fn read(&self, pid: Pid) -> Option<u64> {
        let (mut sum, mut m) = (word(pid, self.gone)?, word(pid, self.first_m)?);
        for _ in 0..MOST {
            if m == 0 {
                return Some(sum);
            }
            sum = sum.wrapping_add(word(pid, Avma(m.wrapping_add(self.offsets.m_ncgocall.into())))?);
            m = word(pid, Avma(m.wrapping_add(self.offsets.m_alllink.into())))?;
        }
        None
    }
}
