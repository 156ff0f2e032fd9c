//! Replays events from files through the correlator, and compares its results with the end of each file.
//!
//! A line is an event: its name, then `key=value`. Times are nanoseconds. The expected results follow `=>`. With
//! `CGOPROF_BLESS_REPLAYS=1` in the environment, the test writes them instead.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{Debug, Write as _};
use std::path::Path;
use std::sync::Arc;

use nix::unistd::Pid;

use super::correlator::{Correlator, Event};
use super::samples::WaitTime;
use super::threads::Threads;
use super::waits::{WaitStack, Waited, WaitsIn};
use crate::clock::{Moment, Monotonic, Rate};
use crate::counts::cell_id::CellId;
use crate::counts::slow_event::{SlowEvent, SlowKind};
use crate::counts::snapshot::InCSnapshot;
use crate::perf::{Switch, SwitchKind};
use crate::unwind::Walk;

const END_OF_EVENTS: &str = "=>\n";

#[test]
fn events_in_files_give_the_sums_that_stand_there() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/correlate/replays");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 6, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let (events, expected) = text.split_once(END_OF_EVENTS).unwrap_or((&text, ""));
        let found = replay(events);
        if std::env::var_os("CGOPROF_BLESS_REPLAYS").is_some() {
            std::fs::write(&file, format!("{events}{END_OF_EVENTS}{found}")).unwrap();
        } else {
            assert_eq!(found, expected, "{}", file.display());
        }
    }
}

/// Returns the correlator's results when all events have been fed to it.
fn replay(events: &str) -> String {
    let lines = || events.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let sees_switches = !lines().any(|line| line == "no switches");
    let mut correlator = Correlator::new(Threads::default(), true, sees_switches);
    lines().filter(|line| *line != "no switches").for_each(|line| correlator.feed(event(line)));
    told(&mut correlator)
}

/// Returns the event of a line.
fn event(line: &str) -> Event {
    let mut words = line.split_whitespace();
    let (name, values) = (words.next().unwrap(), words.map(|word| word.split_once('=').unwrap()).collect());
    let line = Line { text: line, values };
    let (tid, time) = (line.number("tid"), Monotonic(line.number("at")));
    match name {
        "start" => Event::Started { tid, parent: line.number("parent"), time },
        "name" => Event::Named { tid, name: line.values["is"].to_owned() },
        "end" => Event::Ended { tid, m: line.values.get("m").map(|_| line.number("m")), time },
        "in" => Event::Switched(Switch { tid, time, kind: SwitchKind::In }),
        "blocked" => Event::Switched(Switch { tid, time, kind: SwitchKind::Blocked }),
        "preempted" => Event::Switched(Switch { tid, time, kind: SwitchKind::Preempted }),
        "exec" => Event::BecameProgram,
        "fork" => Event::StartedProcess(Pid::from_raw(line.number("pid") as i32)),
        "reaped" => Event::ProcessEnded(Pid::from_raw(line.number("pid") as i32)),
        "lost" => Event::Lost(line.number("records")),
        "look" => {
            let in_c = line.values.get("in_c").map_or("", |of| of).split(',').filter(|tid| !tid.is_empty());
            let in_c = in_c.map(|tid| (tid.parse().unwrap(), CellId(1))).collect();
            Event::Looked(InCSnapshot { at: time.0, in_c })
        }
        "found" => Event::Waited(Waited {
            tid,
            looked_at: Some(time),
            stack: Arc::new(WaitStack {
                walk: Walk::of_crossing(CellId(line.number("cell") as u32)),
                waits_in: WaitsIn::Call(line.number("call")),
            }),
            nanos: 1.0,
            variance: 1.0,
        }),
        "begins" => {
            let (walk, waits_in) = (Walk::of_crossing(CellId(line.number("cell") as u32)), WaitsIn::Page);
            let is_whole = !line.values.contains_key("cut");
            Event::Blocked { tid, since: time, stack: Arc::new(WaitStack { walk, waits_in }), is_whole }
        }
        "every_wait" => Event::EveryWait(time),
        "some_waits" => Event::SomeWaits(time),
        "lost_begins" => Event::LostBegins { in_all: line.number("records") },
        "complete" => Event::Complete { before: time, rate: nanoseconds() },
        kind => Event::Slow(line.slow(kind)),
    }
}

struct Line<'a> {
    text: &'a str,
    values: HashMap<&'a str, &'a str>,
}

impl Line<'_> {
    /// Returns a number by its key, 0 if there is none.
    fn number(&self, key: &str) -> u64 {
        let digits = self.values.get(key).map(|text| text.replace('_', ""));
        digits.map_or(0, |digits| digits.parse().unwrap_or_else(|error| panic!("{}: {key}: {error}", self.text)))
    }

    fn slow(&self, kind: &str) -> SlowEvent {
        let kind = match kind {
            "c" => SlowKind::C,
            "c_locked" => SlowKind::CLocked,
            "direct" => SlowKind::Direct,
            "enter" => SlowKind::Enter,
            "exit" => SlowKind::Exit,
            "lock" => SlowKind::Locked,
            other => panic!("{}: no event {other}", self.text),
        };
        SlowEvent {
            kind,
            cell: CellId(self.number("cell") as u32),
            begin_span: self.number("begin_span") as u32,
            from: self.number("from"),
            to: self.number("to"),
            tid: self.number("tid"),
            goid: self.number("goid"),
            weight: self.number("weight").max(1),
            is_sampled: self.values.contains_key("weight"),
            enter: 0,
        }
    }
}

/// Returns a clock whose ticks are nanoseconds.
fn nanoseconds() -> Rate {
    let moment = |nanos| Moment { ticks: nanos, monotonic: Monotonic(nanos), suspended: 0 };
    Rate::between(moment(0), moment(1_000_000_000))
}

/// Returns the correlator's results, one fact per line.
fn told(correlator: &mut Correlator) -> String {
    let mut text = String::new();
    let mut tell = |what: &str, value: &dyn Debug| writeln!(text, "{what}: {value:?}").unwrap();
    let samples = correlator.samples(Monotonic(20_000_000));
    for (cell, slow) in samples.slow.iter().collect::<BTreeMap<_, _>>() {
        tell(&format!("cell {}", cell.0), slow);
    }
    tell("blocked by thread", &samples.blocked.iter().collect::<BTreeMap<_, _>>());
    tell("idle by thread", &samples.thread_idle.iter().collect::<BTreeMap<_, _>>());
    let told = |time: &WaitTime| (time.number, time.sum, time.variance, time.found);
    let mut stacks: Vec<_> = samples.waits.iter().map(|(stack, time)| (told(time), stack.waits_in)).collect();
    stacks.sort_by_key(|&((number, ..), _)| number);
    stacks.iter().for_each(|found| tell("waiting stack", found));
    tell("every wait", &samples.every_wait);
    tell("runnable", &correlator.runnable(Monotonic(20_000_000)));
    tell("lost", &samples.lost);
    tell("confirmed", &correlator.take_confirmed().into_iter().collect::<BTreeMap<_, _>>());
    tell("became another", &correlator.became_another());
    tell("children", &correlator.children());
    for thread in correlator.threads().list(|_| None) {
        tell("thread", &(thread.tid, thread.name, thread.created_ns, thread.exited_ns));
    }
    let part = correlator.timeline(Monotonic(1_000_000_000), |tid| tid == 8);
    part.crossings.iter().for_each(|crossing| tell("crossing", crossing));
    part.waits.iter().for_each(|wait| tell("wait in C", wait));
    part.asleep.iter().for_each(|wait| tell("wait", wait));
    part.locks.iter().for_each(|lock| tell("lock", lock));
    part.looks.iter().for_each(|look| tell("look", look));
    text
}
