//! A piece of advice.

use cgoprof_profile::Stats;

use crate::analysis::{Position, SiteRow};

/// What it is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// Many short crossings at one line.
    Chatty,
    /// Crossings whose goroutines waited for a P afterwards.
    LostP,
    /// Threads blocked in a lock inside C.
    Lock,
    /// Crossings blocked until the disk had what they wrote.
    Disk,
    /// Threads made because others were in C.
    ThreadGrowth,
    /// A thread-bound library called from several threads.
    Wandering,
    /// Memory of C's that Go does not free.
    Unfreed,
    /// Names looked up through C.
    Dns,
    /// Much of a function's time in C in callbacks.
    Callbacks,
    /// Arguments that escape though C does not call back.
    Noescape,
    /// Crossings before `main`.
    Init,
}

impl Kind {
    /// As in the report.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Chatty => "chatty",
            Kind::LostP => "p-lost",
            Kind::Lock => "c-lock",
            Kind::Disk => "disk",
            Kind::ThreadGrowth => "thread-growth",
            Kind::Wandering => "wandering",
            Kind::Unfreed => "unfreed",
            Kind::Dns => "dns",
            Kind::Callbacks => "callbacks",
            Kind::Noescape => "noescape",
            Kind::Init => "init",
        }
    }
}

/// One finding.
#[derive(Clone, Debug)]
pub struct Advice<'a> {
    /// What it is about.
    pub kind: Kind,
    /// The C function.
    pub function: &'a str,
    /// The line of Go, where one stands out.
    pub site: Option<Position<'a>>,
    /// What was seen.
    pub why: String,
    /// What to do.
    pub what: String,
    /// What this would save, where that can be told.
    pub saving: Option<Saving>,
}

/// Time that advice would save.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Saving {
    /// Nanoseconds.
    pub nanos: f64,
    /// Its standard error.
    pub standard_error: f64,
}

impl Saving {
    /// What it is at least, most likely.
    pub(super) fn at_least(self) -> f64 {
        (self.nanos - 2.0 * self.standard_error).max(0.0)
    }
}

/// The site of a function with the most of something.
pub(super) fn busiest<'a>(sites: &[SiteRow<'a>], function: &str, most: impl Fn(&Stats) -> f64) -> Option<Position<'a>> {
    let of_function = sites.iter().filter(|row| row.function.name == function);
    let busiest = of_function.max_by(|one, other| most(&one.stats).total_cmp(&most(&other.stats)));
    busiest.and_then(|row| row.site)
}
