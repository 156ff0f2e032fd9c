//! Which columns of a table are on the screen, and where.

use crate::tui::tables::{Align, Sheet};

/// A column of a table where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) column: usize,
    pub(crate) x: u16,
    pub(crate) width: u16,
}

/// Which columns of a table fit into a width, the one that it is sorted by among them; names share what is left.
pub(crate) fn columns(sheet: &dyn Sheet, sort: Option<usize>, width: u16) -> Vec<Placed> {
    let all = sheet.heads();
    let mut shown: Vec<usize> = (0..all.len()).filter(|&column| sheet.is_used(column)).collect();
    let needed = |shown: &[usize]| shown.iter().map(|&column| all[column].width + 1).sum::<u16>();
    while needed(&shown) > width + 1 && shown.len() > 1 {
        let droppable = shown.iter().enumerate().filter(|&(_, &column)| Some(column) != sort);
        match droppable.max_by_key(|&(at, &column)| (sheet.rank(column), at)) {
            Some((at, _)) => shown.remove(at),
            None => break,
        };
    }
    let names = shown.iter().filter(|&&column| all[column].align == Align::Left).count() as u16;
    let mut left = (width + 1).saturating_sub(needed(&shown));
    let share = left.checked_div(names).unwrap_or(0);
    let mut x = 0;
    let placed = shown.into_iter().map(|column| {
        let mut own = all[column].width;
        if all[column].align == Align::Left {
            let more = share.min(LONGEST_NAME.saturating_sub(own)).min(left);
            own += more;
            left -= more;
        }
        let placed = Placed { column, x, width: own.min(width.saturating_sub(x)) };
        x += own + 1;
        placed
    });
    placed.collect()
}

/// Names need no more columns than this.
const LONGEST_NAME: u16 = 90;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::tui::data::Data;
    use crate::tui::sample_data;
    use crate::tui::tables::functions::Functions;

    #[test]
    fn columns_fit_and_the_sorted_one_is_there() {
        for (name, profile) in sample_data::recorded() {
            let data = Data::new(Arc::new(profile));
            let sheet = Functions { data: &data, rates: None, base: None, gone: &[] };
            for width in [40, 80, 120, 250] {
                for sort in 0..sheet.heads().len() {
                    let placed = columns(&sheet, Some(sort), width);
                    let fits = placed.iter().all(|one| one.x + one.width <= width);
                    assert!(fits, "{name} {width} {sort}: {placed:?}");
                    assert!(
                        !sheet.is_used(sort) || placed.iter().any(|one| one.column == sort),
                        "{name} {width} {sort}"
                    );
                    assert!(placed.windows(2).all(|two| two[0].x + two[0].width < two[1].x), "{name}");
                }
            }
        }
    }
}
