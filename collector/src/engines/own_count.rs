//! The Go runtime's own count of crossings, read from the program's memory as `runtime.NumCgoCall` does
//! (runtime/debug.go): what Ms that are gone have counted, and what each living one has.

use cgoprof_symbols::Avma;
use cgoprof_symbols::runtime_offsets::RuntimeOffsets;
use nix::unistd::Pid;

use crate::arch;
use crate::goruntime::Target;
use crate::process::memory::word;

/// Where the counts are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters {
    /// `runtime.ncgocall`.
    gone: Avma,
    /// `runtime.allm`.
    first_m: Avma,
    offsets: RuntimeOffsets,
}

/// Ms that are looked at, at most: what the program writes may be a circle.
const MOST: usize = 100_000;

impl Counters {
    /// Finds them in a program.
    pub(crate) fn find(target: &Target<'_>, offsets: RuntimeOffsets, bias: u64) -> Option<Counters> {
        let own = arch::own_count(target, offsets)?;
        Some(Counters { gone: own.gone.loaded(bias), first_m: own.first_m.loaded(bias), offsets })
    }

    /// The count now; none once the program has ended.
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
