//! Where the tables of those Ms are whose own address leads elsewhere, and which Ms have none.
//!
//! A cache in shared memory: each word holds an M's address and its table's index, so that it is read and written at once. A
//! word may make room for another's at any time; who finds none looks further.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use crate::layout::{DIRECTORY, Header};

/// What the directory knows of an M.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Its table was the one at this index.
    Table(usize),
    /// No table was free, and none has become so since.
    Nowhere,
}

/// Words looked at for an M.
const PROBES: usize = 8;
/// Set in the low half-word of an M without a table; the rest are bits of [`Header::freed`] then.
const NOWHERE: u64 = 1 << 15;
/// User space addresses have 47 bits.
const SHIFT: u32 = 16;

/// What is known of an M.
pub(crate) fn find(header: &Header, m: u64) -> Option<Place> {
    for probe in 0..PROBES {
        let found = word(header, m, probe).load(Relaxed);
        if found >> SHIFT == m {
            let low = found & ((1 << SHIFT) - 1);
            return match low & NOWHERE {
                0 => Some(Place::Table(low as usize)),
                _ if low == nowhere(header) => Some(Place::Nowhere),
                _ => None,
            };
        }
    }
    None
}

/// Notes what is known of an M: in its word, a free one, or another's.
pub(crate) fn note(header: &Header, m: u64, place: Place) {
    let low = match place {
        Place::Table(index) => index as u64,
        Place::Nowhere => nowhere(header),
    };
    let mut chosen = word(header, m, 0);
    let mut there = chosen.load(Relaxed);
    for probe in 0..PROBES {
        let candidate = word(header, m, probe);
        let found = candidate.load(Relaxed);
        if found >> SHIFT == m {
            candidate.store(m << SHIFT | low, Relaxed);
            return;
        }
        if found == 0 && there != 0 {
            (chosen, there) = (candidate, found);
        }
    }
    // Another M may take the word at the same time: then this one is lost.
    if there != 0 || chosen.compare_exchange(0, m << SHIFT | low, Relaxed, Relaxed).is_err() {
        header.directory_evictions.fetch_add(1, Relaxed);
        chosen.store(m << SHIFT | low, Relaxed);
    }
}

fn nowhere(header: &Header) -> u64 {
    NOWHERE | header.freed.load(Relaxed) & (NOWHERE - 1)
}

fn word(header: &Header, m: u64, probe: usize) -> &AtomicU64 {
    let home = (m >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    &header.directory[(home as usize + probe) % DIRECTORY]
}
