//! Metrics of crossings: each counter, sum and distribution, declared once.
//!
//! A metric's line gives its name, its kind, its number in the file, when it is known, and the head of its column.
//! These follow from it: the fields of [`Stats`], how they add up and are subtracted (`kinds.rs`), the message of the
//! file (`declare.rs`), and the fields and columns of those metrics that reports show under their own names.
//! docs/developing.md says how to add one.

pub use crate::kinds::Reading;
use crate::kinds::{Count, Kind, Latest, Longest, Nanos, Net, Sum, Times, value};
use crate::recording::Recording;

/// One of the numbers in [`Stats`].
#[derive(Clone, Copy)]
pub struct Metric {
    /// The field of [`Stats`], and the key in JSON; times and sums have a suffix for the unit there.
    pub name: &'static str,
    /// Recordings in which it means something.
    pub known: Known,
    /// Places where it is shown, and the head of its column.
    pub shown: Shown,
    /// Its value.
    pub of: fn(&Stats) -> Reading<'_>,
}

/// Recordings in which a metric means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Where crossings are counted.
    Counted,
    /// Where their times are measured.
    Timed,
    /// Where switches of the threads are seen.
    OffCpu,
    /// Where Ps that are lost are seen.
    Ps,
    /// Where Ps that are lost are seen, and times are measured.
    PsTimed,
    /// Where goroutines are followed.
    Migrations,
}

impl Known {
    /// Whether the metric means something in a recording.
    pub fn of(self, recording: &Recording) -> bool {
        let (seen, timed) = (recording.scheduler, recording.timing != "none");
        match self {
            Known::Counted => recording.counted(),
            Known::Timed => recording.counted() && timed,
            Known::OffCpu => recording.off_cpu,
            Known::Ps => seen.ps,
            Known::PsTimed => seen.ps && timed,
            Known::Migrations => seen.migrations,
        }
    }
}

/// Places where a metric is shown under its own name. Each place includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nowhere: reports show it in a way of their own.
    Apart,
    /// In JSON.
    Json,
    /// In the table of functions on the screen, and files written from there, under this head.
    Screen(&'static str),
    /// In the text report.
    Text(&'static str),
}

impl Shown {
    /// Whether it is in JSON.
    pub fn in_json(self) -> bool {
        self != Shown::Apart
    }

    /// The head of its column on the screen.
    pub const fn on_screen(self) -> Option<&'static str> {
        match self {
            Shown::Apart | Shown::Json => None,
            Shown::Screen(head) | Shown::Text(head) => Some(head),
        }
    }

    /// The head of its column in the text report.
    pub const fn in_text(self) -> Option<&'static str> {
        match self {
            Shown::Apart | Shown::Json | Shown::Screen(_) => None,
            Shown::Text(head) => Some(head),
        }
    }
}

metrics! {
    /// Crossings begun.
    calls: Count = "7", Counted, Apart;
    /// Crossings whose C time was measured.
    timed: Count = "8", Counted, Apart;
    /// Crossings of whose times nothing is known: no timed one stands for them, and sums leave them out.
    untimed: Net = "27", Counted, Json;
    /// Left by panic or Goexit.
    abandoned: Count = "9", Counted, Json;
    /// Still in C at the end.
    in_flight: Latest = "10", Counted, Json;
    /// Callbacks made.
    callbacks: Count = "11", Counted, Json;
    /// How often the P was taken while in C. A crossing that calls back can lose more than one.
    p_lost: Count = "21", Ps, Screen("P LOST");
    /// Crossings that found no P when C had returned, and left their M parked.
    parked: Count = "22", Ps, Json;
    /// Crossings whose goroutine had made its crossing before on another thread.
    migrations: Count = "23", Migrations, Screen("MIGRATIONS");
    /// Waits for a P: of every crossing whose P was taken and whose times were measured.
    p_waits: Count = "24", PsTimed, Json;
    /// How long they took.
    p_wait: Nanos = "25", PsTimed, Json;
    /// The longest of them.
    p_wait_max: Longest = "26", PsTimed, Json;
    /// Enter phase.
    enter: Sum = "12", Timed, Apart;
    /// C phase.
    c: Sum = "13", Timed, Apart;
    /// Callbacks within the C phase.
    callback: Sum = "14", Timed, Apart;
    /// Exit phase.
    exit: Sum = "15", Timed, Apart;
    /// C time, callbacks included, in which the thread waited for something; of slow crossings only.
    blocked: Nanos = "18", OffCpu, Apart;
    /// C time, callbacks included, in which the thread could have run; of slow crossings only.
    preempted: Nanos = "19", OffCpu, Apart;
    /// What is in `blocked` of crossings made in callbacks.
    blocked_within: Nanos = "20", OffCpu, Apart;
    /// C times.
    c_times: Times = "16", Timed, Apart;
    /// Enter plus exit times.
    overhead_times: Times = "17", Timed, Apart;
}
