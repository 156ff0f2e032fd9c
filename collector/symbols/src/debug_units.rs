//! Units of debug information: which of them an address lies in, and whether they can be read in bounded time and memory.
//!
//! The reader of a unit follows nested entries by recursion, holds all rows of its line table, and all ranges of all of
//! its entries, which a file of kilobytes can state by the billion. So a unit with more of these than compilers write is
//! refused before it is read.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use gimli::{DebuggingInformationEntry, Dwarf, EndianSlice, LittleEndian, UnitRef};

use crate::address::Svma;

/// Bytes of a section.
pub(crate) type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Maximum depth of entries in a unit. Those of templates within templates stay below 100.
const DEEPEST: isize = 500;
/// Maximum bytes of a unit's line program, of which each may be a row. A unit of a million lines of C++ has 8 MB.
const LONGEST_LINES: usize = 16 << 20;
/// Maximum address ranges of all entries of a unit, and of all units themselves.
const MOST_RANGES: usize = 8 << 20;
/// Maximum ranges that are looked at for an address: those that begin before it, while one of them reaches it.
const MOST_CANDIDATES: usize = 10_000;

/// Units of a file by their addresses.
pub(crate) struct Units<'a> {
    dwarf: Dwarf<Slice<'a>>,
    /// Ranges of units, by their begin, with the largest end so far.
    ranges: Vec<UnitRange>,
    /// Headers of units that have addresses.
    headers: Vec<gimli::UnitHeader<Slice<'a>>>,
    /// Whether the units that were asked for can be read, by their index.
    known: RefCell<HashMap<usize, bool>>,
}

struct UnitRange {
    begin: u64,
    end: u64,
    largest_end: u64,
    unit: usize,
}

impl<'a> Units<'a> {
    /// Finds the units of a file; none if it is damaged, or has more than can be read.
    pub(crate) fn new(dwarf: Dwarf<Slice<'a>>) -> Option<Units<'a>> {
        let (mut units, mut headers, mut ranges) = (dwarf.units(), Vec::new(), Vec::new());
        while let Ok(Some(header)) = units.next() {
            // A damaged unit has no addresses for the reader either.
            let Ok(unit) = dwarf.unit(header) else { continue };
            let Ok(mut found) = dwarf.unit_ranges(&unit) else { continue };
            let before = ranges.len();
            while let Ok(Some(range)) = found.next() {
                ranges.push(UnitRange { begin: range.begin, end: range.end, largest_end: 0, unit: headers.len() });
                if ranges.len() > MOST_RANGES {
                    return None;
                }
            }
            if ranges.len() > before {
                headers.push(header);
            }
        }
        ranges.sort_by_key(|range| range.begin);
        let mut largest_end = 0;
        for range in &mut ranges {
            largest_end = range.end.max(largest_end);
            range.largest_end = largest_end;
        }
        Some(Units { dwarf, ranges, headers, known: RefCell::default() })
    }

    /// Whether there are units at an address, and all can be read.
    pub(crate) fn are_sound_at(&self, address: Svma) -> bool {
        let after = self.ranges.partition_point(|range| range.begin <= address.0);
        let candidates = self.ranges[..after].iter().rev().take_while(|range| address.0 < range.largest_end);
        let mut looked_at = 0;
        let within = candidates.inspect(|_| looked_at += 1).take(MOST_CANDIDATES).filter(|range| address.0 < range.end);
        let units: Vec<usize> = within.map(|range| range.unit).collect();
        let is_known = |&unit: &usize| *self.known.borrow_mut().entry(unit).or_insert_with(|| self.is_sound(unit));
        looked_at < MOST_CANDIDATES && !units.is_empty() && units.iter().all(is_known)
    }

    fn is_sound(&self, unit: usize) -> bool {
        let unit = self.dwarf.unit(self.headers[unit]);
        unit.is_ok_and(|unit| is_sound(UnitRef::new(&self.dwarf, &unit)).unwrap_or(false))
    }
}

/// Returns split debug information if all of its units can be read.
pub(crate) fn sound(dwarf: Arc<Dwarf<Slice<'_>>>) -> Option<Arc<Dwarf<Slice<'_>>>> {
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        let unit = dwarf.unit(header).ok()?;
        if !is_sound(UnitRef::new(&dwarf, &unit)).unwrap_or(false) {
            return None;
        }
    }
    Some(dwarf)
}

/// Whether a unit is nested, and has ranges and lines, no more than compilers write.
fn is_sound(unit: UnitRef<'_, Slice<'_>>) -> gimli::Result<bool> {
    let lines = unit.line_program.as_ref().map_or(0, |lines| lines.header().raw_program_buf().len());
    if lines > LONGEST_LINES {
        return Ok(false);
    }
    let (mut entries, mut entry, mut ranges) = (unit.entries_raw(None)?, DebuggingInformationEntry::null(), 0);
    while !entries.is_empty() {
        if entries.next_depth() > DEEPEST {
            return Ok(false);
        }
        if !entries.read_entry(&mut entry)? {
            continue;
        }
        let Some(value) = entry.attr_value(gimli::DW_AT_ranges) else { continue };
        let Some(mut found) = unit.attr_ranges(value)? else { continue };
        while found.next()?.is_some() {
            ranges += 1;
            if ranges > MOST_RANGES {
                return Ok(false);
            }
        }
    }
    Ok(true)
}
