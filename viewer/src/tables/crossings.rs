//! The numbers of crossings: the columns that tables of functions and of sites share.

use cgoprof_profile::metrics::{Known, METRICS, Metric};
use cgoprof_profile::{Distribution, Profile, Recording, Stats, Via};

use super::cell::Cell;
use super::column::{Column, Tone};
use super::part::Part;
use crate::analysis::Cpu;
use crate::measured::Measured;

/// A row that sums up crossings.
pub trait Crossings {
    /// Sums.
    fn stats(&self) -> &Stats;
    /// Processor time in C.
    fn cpu(&self) -> Option<Cpu>;
    /// How C was reached.
    fn via(&self) -> Via;
}

/// Returns the columns.
pub(super) fn columns<R: Crossings>() -> Vec<Column<R>> {
    let own = [
        Column::number("total", "TOTAL", |row: &R, _| total(row.stats()))
            .known(Recording::counted)
            .with_zero()
            .on_screen(8, 1)
            .tone(Tone::Heat),
        Column::number("cpu_in_c", "CPU IN C", |row: &R, _| Cell::Estimate(row.cpu().map(Measured::from)))
            .not_in_json()
            .known(|recording| !recording.counted())
            .on_screen(9, 1)
            .tone(Tone::Heat),
        Column::number("error", "\u{b1}", |row: &R, profile| {
            Cell::Share(error(row, profile).filter(|error| *error >= LEAST_ERROR))
        })
        .not_in_json()
        .on_screen(7, 2)
        .tone(Tone::Faint),
        Column::number("run", "RUN", |row: &R, profile| {
            let run = profile.recording.duration_ns.max(1) as f64;
            Cell::Share(time(row, profile).map(|time| time.value / run))
        })
        .not_in_json()
        .with_zero()
        .on_screen(7, 8)
        .tone(Tone::Heat),
        Column::number("calls", "CALLS", |row: &R, _| Cell::Count(Some(row.stats().calls)))
            .known(Recording::counted)
            .on_screen(13, 1)
            .tone(Tone::Heat),
        Column::number("samples", "SAMPLES", |row: &R, profile| {
            let period = profile.recording.sample_period_ns.max(1) as f64;
            Cell::Count(Some((row.cpu().unwrap_or_default().nanos / period).round() as u64))
        })
        .not_in_json()
        .known(|recording| !recording.counted()),
        Column::json("timed", |row: &R, _| Cell::Count(Some(row.stats().timed))),
        Column::number("each", "EACH", |row: &R, _| {
            let calls = row.stats().measured_calls().max(1) as f64;
            Cell::Nanos(timed(row, row.stats().total().sum / calls))
        })
        .known(Recording::counted)
        .not_in_json(),
        Column::number("c", "C", |row: &R, _| c(row.stats()))
            .known(Recording::counted)
            .with_zero()
            .on_screen(8, 2)
            .tone(Tone::Of(Part::C)),
        Column::json("c_self", |row: &R, _| Cell::Nanos(timed(row, row.stats().c_self()))),
        Column::json("cpu", |row: &R, _| Cell::Estimate(row.cpu().map(Measured::from))),
        Column::number("cpu_beside", "CPU", |row: &R, _| Cell::Estimate(row.cpu().map(Measured::from)))
            .not_in_json()
            .known(Recording::counted)
            .on_screen(8, 8),
        Column::number("cpu_error", "CPU \u{b1}", |row: &R, profile| {
            let untimed = profile.recording.counted() && row.stats().timed == 0;
            Cell::Share(row.cpu().filter(|_| untimed).and_then(relative))
        })
        .not_in_json()
        .not_in_report()
        .on_screen(7, 9)
        .tone(Tone::Faint),
        Column::number("blocked", "BLOCKED", |row: &R, _| Cell::Nanos(timed(row, row.stats().blocked)))
            .known(|recording| recording.off_cpu)
            .on_screen(8, 4)
            .tone(Tone::Of(Part::Blocked)),
        Column::number("preempted", "PREEMPTED", |row: &R, _| Cell::Nanos(timed(row, row.stats().preempted)))
            .known(|recording| recording.off_cpu)
            .without_zero()
            .on_screen(9, 9)
            .tone(Tone::Faint),
        Column::number("enter", "ENTER", |row: &R, _| Cell::Nanos(phase(row, row.stats().enter.sum)))
            .known(|recording| recording.counted() && recording.phases_timed()),
        Column::number("exit", "EXIT", |row: &R, _| Cell::Nanos(phase(row, row.stats().exit.sum)))
            .known(Recording::counted),
        Column::number("overhead", "OVERHEAD", |row: &R, _| {
            Cell::Estimate(phase(row, row.stats().overhead()).map(Measured::from))
        })
        .not_in_report()
        .with_zero()
        .on_screen(8, 3)
        .tone(Tone::Of(Part::Border)),
        // In place of the overhead where all that is known of it is how long crossings waited to get back.
        Column::number("back", "BACK", |row: &R, _| Cell::Nanos(phase(row, row.stats().exit.sum)))
            .not_in_json()
            .not_in_report()
            .known(|recording| recording.counted() && !recording.phases_timed())
            .on_screen(8, 3)
            .tone(Tone::Of(Part::Border)),
        Column::json("c", |row: &R, _| Cell::Times(&row.stats().c_times)),
        Column::number("c_p50", "C P50", |row: &R, _| quantile(&row.stats().c_times, 0.5))
            .known(Recording::counted)
            .not_in_json()
            .with_zero()
            .on_screen(8, 7),
        Column::number("c_p99", "C P99", |row: &R, _| quantile(&row.stats().c_times, 0.99))
            .known(Recording::counted)
            .not_in_json()
            .with_zero()
            .on_screen(8, 5),
        Column::number("c_p90", "C P90", |row: &R, _| quantile(&row.stats().c_times, 0.9))
            .known(Recording::counted)
            .not_in_json()
            .quantile(),
        Column::number("c_max", "C MAX", |row: &R, _| longest(&row.stats().c_times))
            .known(Recording::counted)
            .not_in_json()
            .quantile(),
        Column::number("overhead_p50", "OVERHEAD P50", |row: &R, _| quantile(&row.stats().overhead_times, 0.5))
            .known(Recording::phases_timed)
            .not_in_json()
            .quantile(),
        Column::number("overhead_p90", "P90", |row: &R, _| quantile(&row.stats().overhead_times, 0.9))
            .known(Recording::phases_timed)
            .not_in_json()
            .quantile(),
        Column::number("overhead_p99", "P99", |row: &R, _| quantile(&row.stats().overhead_times, 0.99))
            .known(Recording::phases_timed)
            .not_in_json()
            .quantile(),
        Column::number("overhead_max", "MAX", |row: &R, _| longest(&row.stats().overhead_times))
            .known(Recording::phases_timed)
            .not_in_json()
            .quantile(),
        // Where phases are not timed, overheads are of the few crossings that waited.
        Column::json("overhead", |row: &R, _| Cell::Times(&row.stats().overhead_times)).known(Recording::phases_timed),
    ];
    own.into_iter().chain(metrics()).collect()
}

/// Those that metrics have of their own. On a narrow screen those that are declared later are dropped first.
fn metrics<R: Crossings>() -> impl Iterator<Item = Column<R>> {
    const RANK: u8 = 6;
    let shown = |metric: &&Metric| metric.shown.on_screen().is_some();
    METRICS.iter().filter_map(move |metric| {
        let column = Column::metric(metric, R::stats)?;
        let Some(head) = metric.shown.on_screen() else { return Some(column) };
        let before = METRICS.iter().take_while(|other| other.name != metric.name).filter(shown).count();
        let tone = match metric.known {
            Known::Ps | Known::PsTimed => Tone::Of(Part::Waiting),
            _ => Tone::Plain,
        };
        Some(column.on_screen(9.max(head.len() as u16), RANK + 4 * before as u8).tone(tone))
    })
}

/// Share of a value from which on its error is shown.
const LEAST_ERROR: f64 = 0.0005;

/// Enter, C and exit.
pub(super) fn total(stats: &Stats) -> Cell<'_> {
    sum(stats, stats.total().into())
}

/// C.
pub(super) fn c(stats: &Stats) -> Cell<'_> {
    sum(stats, stats.c.into())
}

fn sum(stats: &Stats, sum: Measured) -> Cell<'_> {
    let sum = (stats.timed > 0).then_some(sum);
    if stats.untimed > 0 { Cell::AtLeast(sum) } else { Cell::Estimate(sum) }
}

/// Of a quantity that is there if any crossing was timed.
fn timed<R: Crossings, T>(row: &R, value: T) -> Option<T> {
    (row.stats().timed > 0).then_some(value)
}

/// The same of a phase that direct crossings don't have.
fn phase<R: Crossings, T>(row: &R, value: T) -> Option<T> {
    timed(row, value).filter(|_| row.via() == Via::Cgocall)
}

/// What the row is sorted by: its total, or its processor time where that is all that is known.
fn time<R: Crossings>(row: &R, profile: &Profile) -> Option<Measured> {
    match profile.recording.counted() {
        true => timed(row, row.stats().total().into()),
        false => row.cpu().map(Measured::from),
    }
}

fn error<R: Crossings>(row: &R, profile: &Profile) -> Option<f64> {
    time(row, profile).map(|time| time.error / time.value.max(1.0))
}

fn relative(cpu: Cpu) -> Option<f64> {
    (cpu.nanos > 0.0).then(|| cpu.standard_error / cpu.nanos)
}

fn quantile(times: &Distribution, share: f64) -> Cell<'_> {
    Cell::Nanos(times.quantile(share))
}

fn longest(times: &Distribution) -> Cell<'_> {
    Cell::Nanos(times.extremes.map(|(_, longest)| longest))
}
