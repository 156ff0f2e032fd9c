//! Blocked time by where C waited, and in what.

use std::collections::{BTreeMap, HashMap};

use cgoprof_profile::{FunctionId, Profile, Via};

use crate::analysis::{self, Frame};
use crate::measured::Measured;
use crate::waits::{self, BlockedTime};

/// All waits with one stack.
#[derive(Clone, Debug)]
pub struct BlockedRow<'a> {
    /// The crossing's C function.
    pub function: &'a str,
    /// What it waited in: a system call, or a page; none where that is not known.
    pub waits_in: Option<&'a str>,
    /// What it waited in, frames that C had called, the C function, border, Go frames. Without what it waited in and those
    /// that C had called where that is not known.
    pub frames: Vec<Frame<'a>>,
    /// How many of the frames lie before the crossing's C function.
    pub inside: usize,
    /// Whether the stack goes on beyond its frames.
    pub truncated: bool,
    /// Nanoseconds.
    pub time: Measured,
    /// Number of its waits that were seen, or of looks that found one.
    pub found: u64,
}

/// By stack, the longest blocked first.
pub fn by_stack(profile: &Profile) -> Vec<BlockedRow<'_>> {
    let mut rows: BTreeMap<(Vec<Frame<'_>>, usize), (BlockedRow<'_>, BlockedTime)> = BTreeMap::new();
    for part in waits::parts(profile) {
        let (stack, inside, truncated) = match part.stack {
            Some(wait) => (&wait.stack, wait.inside, wait.truncated),
            None => (&part.cell.stack, 0, part.cell.truncated),
        };
        let frames = analysis::frames(profile, stack);
        let inside = analysis::inside(profile, stack, inside).len();
        let key = (frames.clone(), inside);
        let new = BlockedRow {
            function: &profile.functions[part.cell.function.0].name,
            waits_in: part.stack.and_then(|wait| wait.waits_in(profile)),
            frames,
            inside,
            truncated: false,
            time: Measured::default(),
            found: 0,
        };
        let (row, time) = rows.entry(key).or_insert_with(|| (new, BlockedTime::default()));
        row.truncated |= truncated;
        time.add(&part);
        row.found = row.found.saturating_add(part.stack.map_or(0, |wait| wait.found));
    }
    let mut rows: Vec<_> =
        rows.into_values().map(|(row, time)| BlockedRow { time: Measured::from(&time), ..row }).collect();
    rows.sort_by(|one, other| other.time.value.total_cmp(&one.time.value));
    rows
}

/// What the crossings of a function waited in, and for which share of their blocked time, the largest share first.
pub(crate) type Shares = Vec<(String, f64)>;

/// Returns the shares by function. Time of which that is not known is left out.
pub(crate) fn by_function(profile: &Profile) -> HashMap<(FunctionId, Via), Shares> {
    /// Nanoseconds by what was waited in, and all.
    type Sums<'a> = (BTreeMap<&'a str, f64>, f64);
    let mut sums: HashMap<(FunctionId, Via), Sums<'_>> = HashMap::new();
    for part in waits::parts(profile) {
        let (calls, all) = sums.entry((part.cell.function, part.cell.via)).or_default();
        *all += part.nanos;
        if let Some(call) = part.stack.and_then(|wait| wait.waits_in(profile)) {
            *calls.entry(call).or_default() += part.nanos;
        }
    }
    let shares = |(calls, all): Sums<'_>| {
        let mut shares: Shares = calls.into_iter().map(|(call, nanos)| (call.to_owned(), nanos / all)).collect();
        shares.sort_by(|one, other| other.1.total_cmp(&one.1));
        shares
    };
    sums.into_iter().map(|(function, sums)| (function, shares(sums))).collect()
}
