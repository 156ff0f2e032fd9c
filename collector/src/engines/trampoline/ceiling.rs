//! Maximum size of a program's tables: a small share of what the program may still take itself.

use super::shared::LEAST;

/// Reason why a process can't have tables.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cramped {
    /// RLIMIT_AS leaves too little.
    #[error(
        "its address space is limited to {} MB (ulimit -v), of which {} MB will be free; the hooks' tables need {:.1} MB, and may \
         take a quarter of that",
        .limit >> 20, .free >> 20, megabytes(*.needed)
    )]
    AddressSpace {
        /// Bytes.
        limit: u64,
        /// Bytes.
        free: u64,
        /// Bytes.
        needed: u64,
    },
    /// Its control group, or the system, leaves too little.
    #[error(
        "it may take {} MB more of memory; the hooks' tables need {:.1} MB, and take an eighth at most: --max-memory allows more",
        .free >> 20, megabytes(*.needed)
    )]
    Memory {
        /// Bytes.
        free: u64,
        /// Bytes.
        needed: u64,
    },
    /// All that is mapped counts as locked memory, which is limited.
    #[error("it locks its memory (mlockall), which is limited (ulimit -l), and the hooks' tables may need {} MB", .needed >> 20)]
    Locked {
        /// Bytes.
        needed: u64,
    },
}

/// Bytes that a program may still take; none where there is no limit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Free {
    /// Of memory.
    pub(super) memory: Option<u64>,
    /// Of address space, and its limit.
    pub(super) address_space: Option<(u64, u64)>,
    /// Whether its Go runtime has not started yet.
    pub(super) starts: bool,
}

/// Divisor of the free address space: tables may take a quarter.
const OF_ADDRESS_SPACE: u64 = 4;
/// Bytes that Go maps until a program's `main` begins: 1.5 GB in Go 1.26 with the threads of two processors. Most of
/// them are only reserved.
const GO_MAPS: u64 = 1600 << 20;
/// Divisor of the free memory: tables may take an eighth.
const OF_MEMORY: u64 = 8;
/// Maximum bytes of the tables, unless more is asked for.
const MOST: u64 = 256 << 20;
/// Bytes that references can reach.
pub const LARGEST: u64 = (1 << 32) - (1 << 20);

/// Returns the maximum bytes of a program's tables.
///
/// # Errors
/// If that would be too few to be of use.
pub(super) fn of(free: Free, asked: Option<u64>) -> Result<u64, Cramped> {
    let mut size = match (asked, free.memory) {
        (Some(asked), _) => asked.clamp(LEAST, LARGEST),
        (None, Some(free)) if free / OF_MEMORY < LEAST => return Err(Cramped::Memory { free, needed: LEAST }),
        (None, Some(free)) => (free / OF_MEMORY).min(MOST),
        (None, None) => MOST,
    };
    if let Some((mapped, limit)) = free.address_space {
        let free = mapped.saturating_sub(if free.starts { GO_MAPS } else { 0 });
        size = size.min(free / OF_ADDRESS_SPACE);
        if size < LEAST {
            return Err(Cramped::AddressSpace { limit, free, needed: LEAST });
        }
    }
    // Whole pages.
    Ok(size & !4095)
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1 << 20;

    #[test]
    fn tables_take_a_small_share() {
        let size = |memory, address_space: Option<u64>, asked| {
            let free = Free { memory, address_space: address_space.map(|free| (free, free + MB)), starts: false };
            of(free, asked).map(|size| size / MB)
        };
        assert_eq!(size(Some(24 << 30), None, None), Ok(256));
        assert_eq!(size(Some(160 * MB), None, None), Ok(20));
        assert_eq!(size(None, Some(160 * MB), None), Ok(40));
        assert_eq!(size(Some(160 * MB), Some(40 * MB), None), Ok(10));
        assert_eq!(size(Some(160 * MB), None, Some(100 * MB)), Ok(100));
        assert_eq!(size(Some(160 * MB), Some(40 * MB), Some(100 * MB)), Ok(10), "what is mapped is limited");
        assert_eq!(size(None, None, Some(1)), Ok(LEAST / MB));
        assert_eq!(size(Some(8 * MB), None, None), Err(Cramped::Memory { free: 8 * MB, needed: LEAST }));
        let starting = |free| Free { address_space: Some((free, free)), starts: true, ..Free::default() };
        assert_eq!(of(starting(GO_MAPS + 160 * MB), None), Ok(40 * MB));
        assert!(matches!(of(starting(GO_MAPS), None), Err(Cramped::AddressSpace { free: 0, .. })));
        let cramped = Cramped::AddressSpace { limit: 5 * MB, free: 4 * MB, needed: LEAST };
        assert_eq!(size(None, Some(4 * MB), None), Err(cramped));
    }
}
