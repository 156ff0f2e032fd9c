//! How the whole processor time of a run splits: whether C and the way to it are what takes the time.

use cgoprof_profile::{Function, Kind, Line, Profile, SampledStack};

use crate::units::percent;

/// What a thread was seen to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// Go, its garbage collector included.
    Go,
    /// C.
    C,
    /// Getting from Go to C and back.
    Border,
    /// The Go runtime's scheduler.
    Scheduler,
    /// The recorder's hooks.
    Hooks,
}

/// Samples by what threads were seen to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuSplit {
    samples: [u64; Doing::ALL.len()],
}

/// Functions of the runtime that are the way to C and back (runtime/cgocall.go, runtime/proc.go).
const BORDER: [&str; 7] = ["cgocall", "asmcgocall", "cgocallback", "cgocallbackg", "cgocallbackg1", "needm", "dropm"];
/// Functions of the runtime in which it looks for work (runtime/proc.go). Older releases write `findrunnable`.
const SCHEDULER: [&str; 12] = [
    "schedule",
    "findRunnable",
    "findrunnable",
    "mcall",
    "park_m",
    "goexit0",
    "sysmon",
    "startm",
    "stopm",
    "wakep",
    "gopreempt_m",
    "handoffp",
];
/// Fewest samples that tell: shares with a standard error of 10 points.
const ENOUGH: u64 = 25;

impl Doing {
    const ALL: [Doing; 5] = [Doing::Go, Doing::C, Doing::Border, Doing::Scheduler, Doing::Hooks];

    fn name(self) -> &'static str {
        match self {
            Doing::Go => "in Go",
            Doing::C => "in C",
            Doing::Border => "at the border",
            Doing::Scheduler => "in the scheduler",
            Doing::Hooks => "in the recorder's hooks",
        }
    }

    fn of(profile: &Profile, sampled: &SampledStack) -> Doing {
        let lines = sampled.stack.iter().flat_map(|location| &profile.locations[location.0].lines);
        let mut functions = lines.map(|line: &Line| &profile.functions[line.function.0]).peekable();
        match functions.peek() {
            Some(innermost) if innermost.name == Function::HOOKS => return Doing::Hooks,
            Some(innermost) if innermost.kind == Kind::C => return Doing::C,
            _ => {}
        }
        // The innermost function of the runtime that says what the ones that it has called are for.
        for function in functions {
            // What enters and leaves a system call of Go does so for crossings too, but what calls it tells.
            if function.kind == Kind::Border {
                return Doing::Border;
            }
            let Some(name) = function.name.strip_prefix("runtime.") else { break };
            if BORDER.contains(&name) {
                return Doing::Border;
            }
            if SCHEDULER.contains(&name) {
                return Doing::Scheduler;
            }
        }
        Doing::Go
    }
}

impl CpuSplit {
    /// Returns how the samples of a recording split; none if they are too few to tell.
    pub fn of(profile: &Profile) -> Option<CpuSplit> {
        let mut split = CpuSplit { samples: [0; Doing::ALL.len()] };
        for sampled in &profile.samples {
            let count = &mut split.samples[Doing::of(profile, sampled) as usize];
            *count = count.saturating_add(sampled.samples);
        }
        (split.all() >= ENOUGH).then_some(split)
    }

    /// Share of the processor time.
    pub fn share(&self, doing: Doing) -> f64 {
        self.samples[doing as usize] as f64 / self.all() as f64
    }

    /// Standard error of the share with the largest. A share of which no sample told would have none by itself, so one
    /// more of each kind is added (Agresti and Coull).
    pub fn standard_error(&self) -> f64 {
        let all = self.all() as f64;
        let share = |samples: u64| (samples as f64 + 1.0) / (all + 2.0);
        let error = |samples: u64| (share(samples) * (1.0 - share(samples)) / all).sqrt();
        self.samples.iter().map(|&samples| error(samples)).fold(0.0, f64::max)
    }

    fn all(&self) -> u64 {
        self.samples.iter().fold(0, |sum, &samples| sum.saturating_add(samples))
    }

    /// One line: `processor time: 61.0 % in Go, 30.5 % in C, ... (±1.2 points)`.
    pub fn line(&self) -> String {
        let shares = Doing::ALL.into_iter().filter(|&doing| self.samples[doing as usize] > 0);
        let shares: Vec<String> =
            shares.map(|doing| format!("{} {}", percent(self.share(doing)), doing.name())).collect();
        format!("processor time: {} (\u{b1}{:.1} points)", shares.join(", "), self.standard_error() * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{FunctionId, Location, LocationId};

    use super::*;

    /// Stacks with the innermost function first.
    fn profile(stacks: &[(&[(&str, Kind)], u64)]) -> Profile {
        let mut profile = Profile::default();
        for &(functions, samples) in stacks {
            let mut stack = Vec::new();
            for &(name, kind) in functions {
                profile.functions.push(Function { name: name.into(), kind, ..Function::default() });
                let lines = vec![Line { function: FunctionId(profile.functions.len() - 1), line: 1 }];
                profile.locations.push(Location { address: 1, lines, ..Location::default() });
                stack.push(LocationId(profile.locations.len() - 1));
            }
            profile.samples.push(SampledStack { stack, samples, ..SampledStack::default() });
        }
        profile
    }

    #[test]
    fn a_sample_is_what_the_innermost_telling_function_is_for() {
        use Kind::{Border, C, Go};
        let check = |expected: Doing, functions: &[(&str, Kind)]| {
            let profile = profile(&[(functions, 100)]);
            assert_eq!(CpuSplit::of(&profile).expect("a split").share(expected), 1.0, "{functions:?}");
        };
        check(Doing::Go, &[("main.work", Go), ("runtime.main", Go)]);
        check(Doing::Go, &[("runtime.memmove", Go), ("main.work", Go), ("runtime.cgocall", Go)]);
        check(Doing::Go, &[("runtime.scanobject", Go), ("runtime.gcBgMarkWorker", Go)]);
        check(Doing::C, &[("sqlite3_step", C), ("runtime.cgocall", Border), ("main.work", Go)]);
        check(Doing::C, &[("[thread x]", C)]);
        check(Doing::Border, &[("runtime.casgstatus", Go), ("runtime.exitsyscall", Go), ("runtime.cgocall", Border)]);
        check(Doing::Border, &[("runtime.cgocall", Border), ("main.work", Go)]);
        check(Doing::Border, &[("main._Cfunc_f", Border), ("main.work", Go)]);
        let system_call = [("runtime.reentersyscall", Go), ("runtime.entersyscall", Go), ("syscall.Syscall", Go)];
        check(Doing::Go, &system_call);
        check(Doing::Scheduler, &[("runtime.futex", Go), ("runtime.findRunnable", Go), ("runtime.schedule", Go)]);
        check(Doing::Hooks, &[(Function::HOOKS, Border)]);
    }

    #[test]
    fn the_line_has_what_there_is_with_its_error() {
        let c: &[_] = &[("f", Kind::C)];
        let go: &[_] = &[("main.main", Kind::Go)];
        let split = CpuSplit::of(&profile(&[(c, 25), (go, 75)])).expect("a split");
        assert_eq!(split.line(), "processor time: 75.0 % in Go, 25.0 % in C (\u{b1}4.4 points)");
        assert_eq!(CpuSplit::of(&profile(&[(c, 24)])), None);
    }
}
