//! Comparing two sides.

use std::collections::BTreeMap;

use cgoprof_profile::{Profile, Stats};

use super::key::{By, Key};
use super::measure::Measure;
use super::quantity::Quantity;
use super::rows::{DiffRow, Quantities};
use crate::analysis;
use crate::measured::Measured;

/// One side of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Repeats of one program.
    pub repeats: &'a [Profile],
    /// Whether sums are those of a second.
    pub per_second: bool,
}

/// What differs.
#[derive(Clone, Debug)]
pub struct Diff {
    /// All crossings together.
    pub totals: DiffRow,
    /// Rows, those that differ most first.
    pub rows: Vec<DiffRow>,
}

/// Sums of one recording by row.
type Sums = BTreeMap<Key, Stats>;

impl Diff {
    /// Compares two sides.
    pub fn between(base: Side<'_>, now: Side<'_>, by: By) -> Diff {
        let sums = |side: Side<'_>| side.repeats.iter().map(|profile| sums(profile, by)).collect::<Vec<_>>();
        let (before, after) = (sums(base), sums(now));
        let mut keys: Vec<&Key> = before.iter().chain(&after).flat_map(BTreeMap::keys).collect();
        keys.sort();
        keys.dedup();
        let row = |key: &Key| DiffRow {
            key: key.clone(),
            is_all: false,
            base: quantities(base, &before, key),
            now: quantities(now, &after, key),
        };
        let mut rows: Vec<DiffRow> = keys.into_iter().map(row).collect();
        rows.sort_by(|one, other| other.weight().total_cmp(&one.weight()).then_with(|| one.key.cmp(&other.key)));
        let all = |side: Side<'_>| -> Vec<Sums> {
            let total = |profile: &Profile| BTreeMap::from([(Key::default(), analysis::totals(profile).0)]);
            side.repeats.iter().map(total).collect()
        };
        let totals = DiffRow {
            key: Key::default(),
            is_all: true,
            base: quantities(base, &all(base), &Key::default()),
            now: quantities(now, &all(now), &Key::default()),
        };
        Diff { totals, rows }
    }

    /// Returns the rows, and the totals with an empty key, of which a measure grew by more than a share of what it was.
    /// Rows with less than `least` of a side's total are left out: of the time, or of crossings for their number.
    pub fn above(&self, measure: Measure, limit: f64, least: f64) -> Vec<&DiffRow> {
        let weight = match measure {
            Measure::Calls => Measure::Calls,
            measure if measure.is_sum() => measure,
            _ => Measure::Total,
        };
        let share = |of: f64, all: f64| if all > 0.0 { of / all } else { 0.0 };
        // Direct crossings are rows, and not in the totals.
        let value = |quantity: Option<Quantity>| quantity.map_or(0.0, |quantity| quantity.value);
        let (mut all_base, mut all_now) = (0.0, 0.0);
        for row in &self.rows {
            let (base, now) = row.quantity(weight);
            all_base += value(base);
            all_now += value(now);
        }
        let counts = |row: &&DiffRow| {
            let (base, now) = row.quantity(weight);
            share(value(base), all_base).max(share(value(now), all_now)) >= least
        };
        let rows = self.rows.iter().filter(counts);
        std::iter::once(&self.totals).chain(rows).filter(|row| row.change(measure).exceeds(limit)).collect()
    }
}

/// Returns each measure of a row; none where a repeat has the row and did not measure it.
fn quantities(side: Side<'_>, sums: &[Sums], key: &Key) -> Quantities {
    Measure::ALL.map(|measure| {
        let repeats = side.repeats.iter().zip(sums).filter_map(|(profile, sums)| {
            let measured = match sums.get(key) {
                Some(stats) => measure.of(stats, &profile.recording),
                // Without crossings there is no time of one.
                None if measure.is_sum() => Some(Measured::default()),
                None => return None,
            };
            let seconds = profile.recording.duration_ns.max(1) as f64 / 1e9;
            let scale = if side.per_second && measure.is_sum() { 1.0 / seconds } else { 1.0 };
            Some(measured.map(|value| Measured { value: value.value * scale, error: value.error * scale }))
        });
        let repeats: Vec<Measured> = repeats.collect::<Option<_>>()?;
        (!repeats.is_empty()).then(|| Quantity::of(&repeats))
    })
}

fn sums(profile: &Profile, by: By) -> Sums {
    let mut sums = Sums::new();
    for cell in &profile.cells {
        sums.entry(Key::of(profile, cell, by)).or_default().add(&cell.stats);
    }
    sums
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{Cell, Estimate, Function, FunctionId, Kind};

    use super::*;

    /// A recording of functions with their packages, calls and time in C.
    fn profile(functions: &[(&str, &str, u64, f64)]) -> Profile {
        let function = |(name, package, ..): &(&str, &str, u64, f64)| Function {
            name: format!("{name} ({package})"),
            c_name: (*name).to_owned(),
            package: (*package).to_owned(),
            kind: Kind::C,
            ..Function::default()
        };
        let cell = |(index, &(_, _, calls, c)): (usize, &(&str, &str, u64, f64))| Cell {
            id: index as u64,
            function: FunctionId(index),
            stats: Stats { calls, timed: calls, c: Estimate { sum: c, ..Estimate::default() }, ..Stats::default() },
            ..Cell::default()
        };
        let mut profile = Profile {
            functions: functions.iter().map(function).collect(),
            cells: functions.iter().enumerate().map(cell).collect(),
            ..Profile::default()
        };
        profile.recording.duration_ns = 2_000_000_000;
        profile
    }

    fn between(base: &[Profile], now: &[Profile], per_second: bool) -> Diff {
        let side = |repeats| Side { repeats, per_second };
        Diff::between(side(base), side(now), By::Function)
    }

    #[test]
    fn functions_are_matched_by_name_and_package_and_not_by_the_name_shown() {
        let base = profile(&[("f", "a", 10, 100.0), ("f", "b", 20, 400.0), ("old", "a", 1, 1.0)]);
        let mut now = profile(&[("f", "b", 20, 400.0), ("f", "a", 11, 120.0), ("young", "a", 1, 1.0)]);
        now.functions[1].name = "f".to_owned();
        let diff = between(&[base], &[now], false);
        let row = |function: &str, package: &str| {
            let is_it = |row: &&DiffRow| (row.key.function.as_str(), row.key.package.as_str()) == (function, package);
            diff.rows.iter().find(is_it).expect("a row")
        };
        assert_eq!(diff.rows[0].key.package, "a");
        for (function, package, calls, c) in [
            ("f", "a", "+10.0 %", "+20.0 %"),
            ("f", "b", "=", "="),
            ("old", "a", "gone", "gone"),
            ("young", "a", "new", "new"),
        ] {
            let row = row(function, package);
            assert_eq!((row.change(Measure::Calls).text(), row.change(Measure::C).text()), (calls.into(), c.into()));
        }
        assert_eq!(diff.totals.change(Measure::Calls).text(), "+3.2 %");
    }

    #[test]
    fn what_grew_too_much_is_told_and_what_is_too_small_is_not() {
        let base = profile(&[("f", "a", 1000, 1000.0), ("g", "a", 100, 10.0), ("tiny", "a", 1, 0.1)]);
        let now = profile(&[("f", "a", 1000, 1010.0), ("g", "a", 110, 13.0), ("tiny", "a", 2, 0.2)]);
        let diff = between(&[base], &[now], false);
        let above = |measure, limit, least| {
            let rows = diff.above(measure, limit, least);
            rows.into_iter().map(|row| row.key.function.clone()).collect::<Vec<_>>()
        };
        assert_eq!(above(Measure::Calls, 0.05, 0.01), ["g"]);
        assert_eq!(above(Measure::Calls, 0.05, 0.0), ["g", "tiny"]);
        assert_eq!(above(Measure::C, 0.05, 0.0), ["g", "tiny"]);
        assert_eq!(above(Measure::C, 0.01, 0.01), ["", "g"]);
        assert_eq!(above(Measure::CEach, 0.05, 0.01), ["g"]);
        assert!(above(Measure::Calls, 0.2, 0.01).is_empty());
    }

    /// Of what was not timed, the time is not nothing.
    #[test]
    fn what_was_not_measured_has_not_changed() {
        let (mut base, now) = (profile(&[("f", "a", 10, 100.0)]), profile(&[("f", "a", 10, 100.0)]));
        base.cells[0].stats = Stats { calls: 10, ..Stats::default() };
        let diff = between(&[base], &[now], false);
        let row = &diff.rows[0];
        assert_eq!((row.change(Measure::Calls).text(), row.change(Measure::C).text()), ("=".into(), String::new()));
        assert_eq!(row.quantity(Measure::C).0, None);
        assert!(diff.above(Measure::C, 0.0, 0.0).is_empty());
    }

    #[test]
    fn repeats_tell_noise_and_seconds_make_runs_comparable() {
        let repeat = |calls, c| profile(&[("f", "a", calls, c)]);
        let base = [repeat(100, 90.0), repeat(100, 110.0), repeat(100, 100.0)];
        let now = [repeat(110, 95.0), repeat(110, 115.0), repeat(110, 105.0)];
        let diff = between(&base, &now, false);
        assert_eq!(diff.rows[0].change(Measure::Calls).text(), "+10.0 %");
        assert_eq!(diff.rows[0].change(Measure::C).text(), "~+5.0 %");
        let mut longer = now.clone();
        longer.iter_mut().for_each(|profile| profile.recording.duration_ns *= 11);
        longer.iter_mut().for_each(|profile| profile.cells[0].stats.calls *= 10);
        let diff = between(&base, &longer, true);
        assert_eq!(diff.rows[0].change(Measure::Calls).text(), "=");
        assert_eq!(diff.rows[0].quantity(Measure::Calls).0.expect("a count").value, 50.0);
    }
}
