//! Go functions that C calls.

use cgoprof_profile::{Callback, Distribution, Profile};

use super::cell::Cell;
use super::column::{self, Tone};
use super::part::Part;
use super::{Row, known};
use crate::measured::Measured;
use crate::scheduler;

type Column = column::Column<CallbackRow>;

/// Callbacks of one Go function within one C function.
#[derive(Clone, Debug)]
pub struct CallbackRow {
    /// Its place in the profile.
    callback: usize,
}

/// Returns the callbacks of a profile, those with the longest time first.
pub fn rows(profile: &Profile) -> Vec<CallbackRow> {
    scheduler::by_callback(profile).into_iter().map(|row| CallbackRow { callback: row.index }).collect()
}

impl CallbackRow {
    /// Returns the callback itself.
    pub fn callback<'a>(&self, profile: &'a Profile) -> &'a Callback {
        &profile.callbacks[self.callback]
    }

    /// Name of the Go function.
    pub fn name<'a>(&self, profile: &'a Profile) -> &'a str {
        &profile.functions[self.callback(profile).function.0].name
    }

    /// Name of the C function that calls it; none for foreign threads.
    pub fn within<'a>(&self, profile: &'a Profile) -> Option<&'a str> {
        self.callback(profile).within.map(|function| profile.functions[function.0].name.as_str())
    }
}

/// All phases of callbacks together.
pub fn total(callback: &Callback) -> Measured {
    scheduler::total(callback).into()
}

impl Row for CallbackRow {
    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::name("name", "GO FUNCTION", |row, profile| Cell::text(row.name(profile))).on_screen(18, 0),
            Column::json("within", |row, profile| Cell::optional_text(row.within(profile).and_then(known))),
            Column::name("called_by", "CALLED BY", |row, profile| {
                Cell::text(row.within(profile).unwrap_or("(threads that C made)"))
            })
            .not_in_json()
            .on_screen(14, 1)
            .tone(Tone::Faint),
            Column::number("total", "TOTAL", |row, profile| {
                let callback = row.callback(profile);
                Cell::Nanos(timed(callback, total(callback).value))
            })
            .on_screen(8, 0)
            .tone(Tone::Heat),
            Column::number("error", "\u{b1}", |row, profile| {
                Cell::Share(total(row.callback(profile)).relative_error())
            })
            .not_in_json()
            .not_in_report()
            .on_screen(7, 1)
            .tone(Tone::Faint),
            Column::number("run", "RUN", |row, profile| {
                let (callback, run) = (row.callback(profile), profile.recording.duration_ns.max(1) as f64);
                Cell::Share(timed(callback, total(callback).value / run))
            })
            .not_in_json(),
            Column::number("calls", "CALLS", |row, profile| Cell::Count(Some(row.callback(profile).calls)))
                .on_screen(12, 0),
            Column::json("timed", |row, profile| Cell::Count(Some(row.callback(profile).timed))),
            Column::number("acquire", "GETTING A P", |row, profile| {
                let callback = row.callback(profile);
                Cell::Nanos(timed(callback, callback.acquire.sum))
            })
            .on_screen(11, 2)
            .tone(Tone::Of(Part::Waiting)),
            Column::number("go", "GO", |row, profile| {
                let callback = row.callback(profile);
                Cell::Estimate(timed(callback, Measured::from(callback.go)))
            })
            .with_error()
            .on_screen(8, 1)
            .tone(Tone::Of(Part::Go)),
            Column::number("release", "RELEASE", |row, profile| {
                let callback = row.callback(profile);
                Cell::Nanos(timed(callback, callback.release.sum))
            })
            .on_screen(8, 3)
            .tone(Tone::Of(Part::Waiting)),
            Column::json("go", |row, profile| Cell::Times(&row.callback(profile).go_times)),
            Column::number("go_p50", "GO P50", |row, profile| quantile(&row.callback(profile).go_times, 0.5))
                .not_in_json()
                .on_screen(8, 4),
            Column::number("go_p99", "GO P99", |row, profile| quantile(&row.callback(profile).go_times, 0.99))
                .not_in_json()
                .on_screen(8, 4),
            Column::json("border", |row, profile| Cell::Times(&row.callback(profile).border_times)),
            Column::number("border_p50", "BORDER P50", |row, profile| {
                quantile(&row.callback(profile).border_times, 0.5)
            })
            .not_in_json()
            .on_screen(10, 5),
            Column::number("border_p99", "BORDER P99", |row, profile| {
                quantile(&row.callback(profile).border_times, 0.99)
            })
            .not_in_json()
            .on_screen(10, 5),
            Column::number("abandoned", "PANICKED", |row, profile| Cell::Count(Some(row.callback(profile).abandoned)))
                .without_zero(),
            Column::number("foreign_threads", "THREADS", |row, profile| {
                Cell::Count(Some(row.callback(profile).foreign_threads))
            })
            .without_zero()
            .on_screen(8, 5),
            Column::number("attached", "FIRST CALLS", |row, profile| Cell::Count(Some(row.callback(profile).attached)))
                .without_zero(),
            Column::number("attach", "ATTACHING", |row, profile| {
                let callback = row.callback(profile);
                Cell::Nanos((callback.attached > 0).then_some(callback.attach_ns))
            }),
        ];
        COLUMNS
    }
}

/// Of a quantity that is there if any callback was timed.
fn timed<T>(callback: &Callback, value: T) -> Option<T> {
    (callback.timed > 0).then_some(value)
}

fn quantile(times: &Distribution, share: f64) -> Cell<'_> {
    Cell::Nanos(times.quantile(share))
}
