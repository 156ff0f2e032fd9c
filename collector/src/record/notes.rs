//! Notes: the recording's limits, in words for the user.

use nix::unistd::Pid;

use super::Program;
use crate::clock::Monotonic;
use crate::correlate::samples::Samples;
use crate::counts::snapshot::Snapshot;
use crate::engines::{Capabilities, Timing};
use crate::process::status;

/// Returns notes on incomplete counts and times.
pub(super) fn counts(snapshot: &Snapshot, timing: Timing) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |count: u64, text: String| {
        if count > 0 {
            notes.push(text);
        }
    };
    let in_flight = snapshot.in_flight.len() as u64;
    note(in_flight, format!("{in_flight}{STILL_IN_C}"));
    note(
        snapshot.folded,
        format!(
            "{} crossings are counted without their whole stack: the table was full; --stack-depth 8 makes fewer stacks",
            snapshot.folded
        ),
    );
    let overflow: u64 = snapshot.overflow.iter().map(|(_, calls)| calls).sum();
    note(
        overflow,
        format!(
            "{overflow} crossings of threads beyond the table's size are counted without stack or time: sums of times \
             are at least what is stated"
        ),
    );
    let spare: u64 = snapshot.spare.iter().map(|(_, calls)| calls).sum();
    note(
        spare,
        format!("{spare} crossings are counted by C function alone, without stack or time: the table was full"),
    );
    note(
        snapshot.full_tables,
        format!(
            "the tables' share of the program's memory, {} MB, was used up: --max-memory {}M allows twice as much",
            snapshot.full_tables >> 20,
            (snapshot.full_tables >> 20) * 2
        ),
    );
    let unkept = snapshot.unkept_times;
    note(unkept, format!("{unkept} times that were measured are left out of sums or quantiles: the table was full"));
    let beyond = snapshot.goroutines.iter().filter(|goroutine| goroutine.beyond).count() as u64;
    note(
        beyond,
        format!("{beyond} goroutines crossed on threads that are not told apart: on at least as many as stated"),
    );
    let lost = snapshot.unattributed;
    note(lost, format!("{lost} crossings could be attributed to no C function"));
    let direct = snapshot.unattributed_direct;
    note(direct, format!("{direct} direct crossings were made without a goroutine: not in the tables"));
    let missed = snapshot.missed_unlocks;
    note(
        missed,
        format!("{missed} times a goroutine was unlocked from its thread unseen: locks may have been shorter"),
    );
    let births = snapshot.lost_births;
    note(births, format!("{births} threads that the runtime made are not explained"));
    note(snapshot.lost_events, format!("the blocked times of {} slow crossings are not known", snapshot.lost_events));
    let ends = snapshot.lost_ends;
    note(ends, format!("{ends} exits and locks are not in the timeline: there was no room for them"));
    note(u64::from(timing == Timing::None), "times were not measured (--timing none)".into());
    notes
}

/// End of the note on crossings that are still in C at the recording's end.
pub(super) const STILL_IN_C: &str = " crossings were still in C at the end: their time so far is included";
/// Returns notes on lost perf records, new processors, and the limits of the sample engine.
pub(super) fn perf(engine: Capabilities, samples: &Samples, end: Monotonic) -> Vec<String> {
    let mut notes = Vec::new();
    if samples.lost > 0 {
        let lost = samples.lost;
        notes.push(if engine.counts_by_records {
            format!(
                "{lost} perf records were dropped (buffer full): there were at least as many crossings as counted, and times and \
                 nesting may be off"
            )
        } else {
            format!("{lost} perf records were dropped (buffer full): there are fewer samples, and blocked times may be off")
        });
    }
    if samples.lost_begins > 0 {
        notes.push(match samples.lost_begins {
            1 => "1 sample of a context switch was dropped (buffer full): the stack of a wait may be missing".to_owned(),
            lost => format!(
                "{lost} samples of context switches were dropped (buffer full): the stacks of as many waits may be missing"
            ),
        });
    }
    if samples.new_processor {
        let unseen = if engine.counts_by_records {
            "there were more crossings than are counted, times and nesting may be off, and blocked times are not known"
        } else {
            "there are fewer samples, and blocked times are not known"
        };
        notes.push(format!("a processor came into use after the start, and what ran on it was not seen: {unseen}"));
    }
    if !engine.counts {
        let name = engine.kind;
        notes.push(format!(
            "engine {name}: nothing is counted; times in C are estimates from samples of the processors"
        ));
        match samples.num_cgo_call {
            Some((count, at)) => {
                let before = std::time::Duration::from_millis(end.0.saturating_sub(at.0) / 1_000_000);
                notes.push(format!(
                    "the Go runtime had counted {count} crossings {} ms before the end",
                    before.as_millis()
                ));
            }
            None => notes.push("the Go runtime's own count of crossings could not be read".into()),
        }
    }
    notes
}

/// Returns the note on a machine that was suspended for this many nanoseconds.
pub(super) fn suspended(nanos: u64) -> String {
    let seconds = nanos as f64 / 1e9;
    format!(
        "the machine was suspended for {seconds:.1} s meanwhile, and what the processor's counter did then is not known: \
         crossings are counted, and their times left out"
    )
}

/// Returns the note on a program without symbols.
pub(super) fn stripped(program: &Program<'_>) -> Option<String> {
    let stripped = !program.target.binary.has_symbol_table();
    let by_go_test = program.image.go_file().extension().is_some_and(|extension| extension == "test");
    let way_out = if by_go_test { ": `go test` strips what it runs, unless it has -o FILE" } else { "" };
    stripped.then(|| format!("the program is stripped: C functions within it have no names of their own{way_out}"))
}

/// Returns the note on processes that the program started and that outlive it.
pub(super) fn children(alive: &[Pid]) -> Option<String> {
    const NAMED: usize = 3;
    let named = alive.iter().take(NAMED).map(|&pid| match status::name(pid) {
        Some(name) => format!("{pid} ({name})"),
        None => pid.to_string(),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let more = alive.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    match alive.len() {
        0 => None,
        1 => {
            Some(format!("process {named}, which the program started, goes on and is not recorded: cgoprof record -p"))
        }
        _ => Some(format!("processes {named}{more}, which the program started, go on and are not recorded")),
    }
}
