//! Whether the program had enough processors: where it had not, times in C are longer than C's work.

use cgoprof_profile::{Parallelism, Profile};

use crate::units::percent;

/// Share of the time in which threads could have run from which on preemption is told.
const TOLD: f64 = 0.02;
/// The same from which on the program had too few processors, if that is not little of the run.
const TOO_FEW: f64 = 0.1;
/// Share of the run.
const NOT_LITTLE: f64 = 0.05;

/// One line: `2 processors, GOMAXPROCS 2; threads were preempted for 31 % of the time in which they could run: ...`. None if
/// nothing is known.
pub fn line(profile: &Profile) -> Option<String> {
    let Parallelism { processors, quota, gomaxprocs, .. } = profile.recording.parallelism;
    let mut facts = Vec::new();
    if let Some(processors) = processors {
        facts.push(format!("{processors} processor{}", if processors == 1 { "" } else { "s" }));
    }
    if let Some(quota) = quota {
        facts.push(format!("a quota of {quota:.2}"));
    }
    if let Some(gomaxprocs) = gomaxprocs {
        facts.push(format!("GOMAXPROCS {gomaxprocs}"));
    }
    if facts.is_empty() {
        return None;
    }
    let mut line = facts.join(", ");
    if let Some(share) = profile.recording.parallelism.preempted_share().filter(|&share| share >= TOLD) {
        line += &format!("; threads were preempted for {} of the time in which they could run", percent(share));
        if had_too_few(profile) {
            line += ": there were too few processors for what ran, and times in C contain this (PREEMPTED)";
        }
    }
    Some(line)
}

/// Whether the program had too few processors, as far as that is known.
pub fn had_too_few(profile: &Profile) -> bool {
    let recording = &profile.recording;
    let preempted = recording.parallelism.preempted_ns.unwrap_or(0) as f64;
    let is_much = preempted >= NOT_LITTLE * recording.duration_ns.max(1) as f64;
    is_much && recording.parallelism.preempted_share().is_some_and(|share| share >= TOO_FEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(parallelism: Parallelism) -> Option<String> {
        let mut profile = Profile::default();
        profile.recording.duration_ns = 1000;
        profile.recording.parallelism = parallelism;
        line(&profile)
    }

    #[test]
    fn what_is_known_is_told_and_few_processors_are_named_as_the_cause() {
        assert_eq!(told(Parallelism::default()), None);
        let all = Parallelism {
            processors: Some(2),
            quota: Some(1.5),
            gomaxprocs: Some(4),
            ran_ns: Some(690),
            preempted_ns: Some(310),
        };
        let line = told(all).expect("a line");
        assert!(
            line.starts_with("2 processors, a quota of 1.50, GOMAXPROCS 4; threads were preempted for 31.0 %"),
            "{line}"
        );
        assert!(line.contains("too few processors"), "{line}");
        let seldom = Parallelism { ran_ns: Some(90), preempted_ns: Some(40), ..all };
        assert!(!told(seldom).expect("a line").contains("too few"), "it mostly waited for other things");
        let little = Parallelism { preempted_ns: Some(30), ..all };
        let line = told(little).expect("a line");
        assert!(line.contains("preempted for 4.2 %") && !line.contains("too few"), "{line}");
        let none =
            Parallelism { processors: Some(1), preempted_ns: Some(1), ran_ns: Some(1000), ..Parallelism::default() };
        assert_eq!(told(none).as_deref(), Some("1 processor"));
    }
}
