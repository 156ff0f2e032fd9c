//! Threads: what they did, who made them and why.

use cgoprof_profile::{Profile, Thread};

use super::Row;
use super::cell::Cell;
use super::column::{self, Tone};
use super::part::Part;
use crate::{programs, scheduler};

type Column = column::Column<ThreadRow>;

/// A thread.
#[derive(Clone, Debug)]
pub struct ThreadRow {
    /// Its place in the profile.
    thread: usize,
    /// Its crossings that `runtime.NumCgoCall` counts.
    crossings: u64,
    /// Nanoseconds in C of these.
    c_ns: f64,
    /// The place in the profile of what tells why the runtime made it.
    birth: Option<usize>,
    /// Why it was made, in words.
    because: String,
}

/// Returns the threads of a profile, those with the most time in C first.
pub fn rows(profile: &Profile) -> Vec<ThreadRow> {
    let rows = scheduler::by_thread(profile).into_iter().map(|row| ThreadRow {
        thread: row.index,
        crossings: row.crossings,
        c_ns: row.c_ns,
        birth: row.birth.as_ref().map(|birth| birth.index),
        because: row.because(),
    });
    rows.collect()
}

impl ThreadRow {
    /// Returns the thread itself.
    pub fn thread<'a>(&self, profile: &'a Profile) -> &'a Thread {
        &profile.threads[self.thread]
    }

    /// Nanoseconds in C.
    pub fn c_ns(&self) -> f64 {
        self.c_ns
    }
}

impl Row for ThreadRow {
    fn columns() -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            Column::number("pid", "PID", |row, profile| {
                Cell::Number(programs::pid(profile, row.thread(profile).process))
            })
            .known(|recording| recording.processes > 0)
            .on_screen(8, 2),
            Column::number("tid", "TID", |row, profile| Cell::Number(Some(row.thread(profile).tid))).on_screen(8, 0),
            Column::number("m", "M", |row, profile| Cell::Number(row.thread(profile).m)).with_zero().on_screen(5, 3),
            Column::json("crossings", |row, _| Cell::Count(Some(row.crossings)))
                .known(|recording| recording.scheduler.migrations),
            Column::number("crossings_made", "CROSSINGS", |row, profile| {
                let crosses = !row.thread(profile).made.is_empty();
                Cell::Count(crosses.then_some(row.crossings))
            })
            .not_in_json()
            .on_screen(13, 1),
            Column::json("c", |row, _| Cell::Nanos(Some(row.c_ns)))
                .known(|recording| recording.scheduler.migrations && recording.timing != "none"),
            Column::number("c_time", "C", |row, _| Cell::Nanos(Some(row.c_ns)))
                .not_in_json()
                .without_zero()
                .on_screen(8, 1)
                .tone(Tone::Heat),
            Column::number("blocked", "BLOCKED", |row, profile| Cell::Nanos(row.thread(profile).blocked_ns))
                .without_zero()
                .on_screen(8, 2)
                .tone(Tone::Of(Part::Blocked)),
            Column::number("locked", "LOCKED", |row, profile| Cell::Nanos(row.thread(profile).locked_ns))
                .known(|recording| recording.scheduler.locks)
                .without_zero()
                .on_screen(8, 4)
                .tone(Tone::Of(Part::Locked)),
            Column::number("locked_idle", "IDLE LOCKED", |row, profile| {
                Cell::Nanos(row.thread(profile).locked_idle_ns)
            })
            .known(|recording| recording.scheduler.locks)
            .without_zero()
            .on_screen(11, 6)
            .tone(Tone::Of(Part::Idle)),
            Column::number("created", "STARTED", |row, profile| Cell::Moment(row.thread(profile).created_ns))
                .with_zero()
                .on_screen(8, 5)
                .tone(Tone::Faint),
            Column::number("exited", "ENDED", |row, profile| Cell::End(row.thread(profile).exited_ns))
                .with_zero()
                .on_screen(8, 5)
                .tone(Tone::Faint),
            Column::name("name", "NAME", |row, profile| Cell::text(&row.thread(profile).name))
                .on_screen(10, 2)
                .tone(Tone::Faint),
            Column::json("parent", |row, profile| Cell::Number(row.thread(profile).parent)),
            Column::json("made", |row, profile| {
                Cell::Birth(row.birth.map(|birth| Box::new(scheduler::birth(profile, birth))))
            }),
            Column::name("because", "MADE BECAUSE", |row, _| Cell::text(&row.because))
                .not_in_json()
                .on_screen(20, 4)
                .tone(Tone::Faint),
        ];
        COLUMNS
    }
}
