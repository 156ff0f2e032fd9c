//! Widths of a table's columns on a terminal: names are shortened first, then columns left out.

use crate::tables::Align;

/// Columns of the terminal between two columns of a table.
pub(super) const GAP: usize = 2;
/// Width to which names are shortened before columns are left out.
const READABLE: usize = 20;
/// Least width of a name.
const LEAST: usize = 12;

/// A column before it is fitted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Width of its widest cell.
    pub(super) width: usize,
    /// Names stand to the left, numbers to the right.
    pub(super) align: Align,
    /// Columns with the highest rank are left out first.
    pub(super) rank: u8,
}

/// Returns the width of each column; none where it is left out. The first number and the first name stay.
pub(super) fn fit(wanted: &[Wanted], room: Option<usize>) -> Vec<Option<usize>> {
    let mut widths: Vec<Option<usize>> = wanted.iter().map(|column| Some(column.width)).collect();
    let Some(room) = room else { return widths };
    if excess(&shortened(wanted, &widths, room, READABLE), room) > 0 {
        let first = |align| wanted.iter().position(|column| column.align == align);
        let kept = [first(Align::Right), first(Align::Left)];
        let mut order: Vec<usize> = (0..wanted.len()).filter(|&at| !kept.contains(&Some(at))).collect();
        order.sort_by_key(|&at| (wanted[at].rank, at));
        while excess(&shortened(wanted, &widths, room, READABLE), room) > 0
            && let Some(least) = order.pop()
        {
            widths[least] = None;
        }
    }
    let readable = shortened(wanted, &widths, room, READABLE);
    if excess(&readable, room) > 0 { shortened(wanted, &widths, room, LEAST) } else { readable }
}

/// Returns widths of which names were shortened, the longest first, as far as they must be and to no less than `least`.
fn shortened(wanted: &[Wanted], widths: &[Option<usize>], room: usize, least: usize) -> Vec<Option<usize>> {
    let mut widths = widths.to_vec();
    let mut left = excess(&widths, room);
    while left > 0 {
        let names = widths.iter_mut().zip(wanted).filter(|(_, column)| column.align == Align::Left);
        let longest = names.filter_map(|(width, _)| width.as_mut()).max_by_key(|width| **width);
        match longest {
            Some(width) if *width > least => *width -= 1,
            _ => break,
        }
        left -= 1;
    }
    widths
}

/// Returns by how much columns are wider than the room for them.
fn excess(widths: &[Option<usize>], room: usize) -> usize {
    let all: usize = widths.iter().flatten().map(|width| width + GAP).sum();
    all.saturating_sub(GAP).saturating_sub(room)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shortened_before_columns_are_left_out() {
        let number = |width, rank| Wanted { width, align: Align::Right, rank };
        let name = |width| Wanted { width, align: Align::Left, rank: 0 };
        let table = [number(10, 0), number(8, 5), number(8, 3), name(60)];
        let check = |room: Option<usize>, expected: [Option<usize>; 4]| {
            assert_eq!(fit(&table, room), expected, "{room:?}");
        };
        check(None, [Some(10), Some(8), Some(8), Some(60)]);
        check(Some(92), [Some(10), Some(8), Some(8), Some(60)]);
        check(Some(80), [Some(10), Some(8), Some(8), Some(48)]);
        check(Some(64), [Some(10), Some(8), Some(8), Some(32)]);
        check(Some(52), [Some(10), Some(8), Some(8), Some(20)]);
        check(Some(51), [Some(10), None, Some(8), Some(29)]);
        check(Some(41), [Some(10), None, None, Some(29)]);
        check(Some(30), [Some(10), None, None, Some(18)]);
        check(Some(5), [Some(10), None, None, Some(12)]);
    }
}
