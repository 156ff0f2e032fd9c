//! Whether more threads could run than had processors.

use cgoprof_profile::{Parallelism, Profile};

use crate::units::percent;

/// Minimum preempted share of the time in which threads could run that is printed.
const PRINTED: f64 = 0.02;
/// Minimum share of an oversubscribed program.
const OVERSUBSCRIBED: f64 = 0.1;
/// Minimum preempted time of an oversubscribed program, as a share of the run.
const OF_RUN: f64 = 0.05;

/// One line: `2 processors, GOMAXPROCS 2; threads were preempted for 31 % of the time in which they could run: ...`. None if
/// nothing is known.
pub fn line(profile: &Profile) -> Option<String> {
    let Parallelism { processors, quota, gomaxprocs, .. } = profile.recording.parallelism;
    let mut facts = Vec::new();
    if let Some(processors) = processors {
        facts.push(format!("{processors} processor{}", if processors == 1 { "" } else { "s" }));
    }
    if let Some(quota) = quota {
        facts.push(format!("a quota of {quota:.2} processors"));
    }
    if let Some(gomaxprocs) = gomaxprocs {
        facts.push(format!("GOMAXPROCS {gomaxprocs}"));
    }
    if facts.is_empty() {
        return None;
    }
    let mut line = facts.join(", ");
    if let Some(share) = profile.recording.parallelism.preempted_share().filter(|&share| share >= PRINTED) {
        line += &format!("; threads were preempted for {} of the time in which they could run", percent(share));
        if is_oversubscribed(profile) {
            line += ": more threads could run than had processors";
        }
    }
    Some(line)
}

/// Whether more threads could run than had processors, for much of the time.
pub fn is_oversubscribed(profile: &Profile) -> bool {
    let recording = &profile.recording;
    let preempted = recording.parallelism.preempted_ns.unwrap_or(0) as f64;
    let is_much = preempted >= OF_RUN * recording.duration_ns.max(1) as f64;
    is_much && recording.parallelism.preempted_share().is_some_and(|share| share >= OVERSUBSCRIBED)
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
    fn what_is_known_is_printed_and_whether_there_were_too_few_processors() {
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
            line.starts_with(
                "2 processors, a quota of 1.50 processors, GOMAXPROCS 4; threads were preempted for 31.0 %"
            ),
            "{line}"
        );
        assert!(line.ends_with("more threads could run than had processors"), "{line}");
        let seldom = Parallelism { ran_ns: Some(90), preempted_ns: Some(40), ..all };
        assert!(!told(seldom).expect("a line").contains("than had"), "it mostly waited for other things");
        let little = Parallelism { preempted_ns: Some(30), ..all };
        let line = told(little).expect("a line");
        assert!(line.contains("preempted for 4.2 %") && !line.contains("than had"), "{line}");
        let none =
            Parallelism { processors: Some(1), preempted_ns: Some(1), ran_ns: Some(1000), ..Parallelism::default() };
        assert_eq!(told(none).as_deref(), Some("1 processor"));
    }
}
