//! Go's format of benchmark results (https://go.dev/design/14313-benchmark-format), for benchstat.

use std::collections::HashMap;
use std::io::{self, Write};

use cgoprof_profile::{Profile, Stats, Via};

use super::format::{ExportError, Format};
use crate::analysis;
use crate::programs::programs;
use crate::units::printable;

/// A line for each C function, whose operation is a crossing, and one for all of them.
pub struct Benchfmt;

impl Format for Benchfmt {
    fn name(&self) -> &'static str {
        "benchfmt"
    }

    fn about(&self) -> &'static str {
        "Lines of Go benchmarks for benchstat: time, time in C and at the border per crossing, and crossings per second"
    }

    fn write(&self, profile: &Profile, output: &mut dyn Write) -> Result<(), ExportError> {
        if !profile.recording.counted() {
            return Err(ExportError::Nothing("engine sample counts no crossings: record with another engine"));
        }
        writeln!(output, "goos: linux\ngoarch: {}", go_architecture(&profile.target.arch))?;
        writeln!(output, "program: {}", programs(profile))?;
        let (all, _) = analysis::totals(profile);
        line(output, "Crossings", profile, &all)?;
        let mut names: HashMap<String, usize> = HashMap::new();
        for row in analysis::by_function(profile) {
            let via = match row.via {
                Via::Cgocall => "",
                Via::Direct => "/via=direct",
                Via::Runtime => "/via=runtime",
            };
            let mut name = format!("Crossing/function={}{via}", word(&row.function.name));
            let same = names.entry(name.clone()).or_default();
            if *same > 0 {
                // As the testing package tells benchmarks of one name apart.
                name += &format!("#{same:02}");
            }
            *same += 1;
            line(output, &name, profile, &row.stats)?;
        }
        Ok(())
    }
}

fn go_architecture(arch: &str) -> &str {
    match arch {
        "aarch64" => "arm64",
        _ => "amd64",
    }
}

/// Returns a name without what ends a name, or a part of one, in the format.
fn word(name: &str) -> String {
    printable(name).replace(|c: char| c.is_whitespace() || c == '/', "_")
}

fn line(output: &mut dyn Write, name: &str, profile: &Profile, stats: &Stats) -> io::Result<()> {
    if stats.calls == 0 {
        return Ok(());
    }
    write!(output, "Benchmark{name} {}", stats.calls)?;
    let (calls, recording) = (stats.calls as f64, &profile.recording);
    if stats.timed > 0 {
        let measured = stats.measured_calls().max(1) as f64;
        write!(output, " {:.3} ns/op", stats.total_self() / measured)?;
        write!(output, " {:.3} C-ns/op", stats.c_self() / measured)?;
        if recording.phases_timed() {
            write!(output, " {:.3} border-ns/op", stats.overhead().sum / measured)?;
        }
    }
    writeln!(output, " {:.3} crossings/s", calls / (recording.duration_ns.max(1) as f64 / 1e9))
}

#[cfg(test)]
mod tests {
    use cgoprof_profile::{Cell, Estimate, Function, FunctionId, Kind};

    use super::*;

    #[test]
    fn names_are_words_and_an_operation_is_a_crossing() {
        let c = Estimate { sum: 4000.0, ..Estimate::default() };
        let profile = |timed| {
            let name = "std::map<int, x>::at (example.com/p)".to_owned();
            let mut profile = Profile {
                functions: vec![Function { name, kind: Kind::C, ..Function::default() }],
                cells: vec![Cell {
                    function: FunctionId(0),
                    stats: Stats { calls: 20, timed, c, ..Stats::default() },
                    ..Cell::default()
                }],
                ..Profile::default()
            };
            profile.recording.duration_ns = 500_000_000;
            profile
        };
        let written = |profile: &Profile| {
            let mut lines = Vec::new();
            Benchfmt.write(profile, &mut lines).expect("lines");
            String::from_utf8(lines).expect("text").lines().last().expect("a line").to_owned()
        };
        let name = "BenchmarkCrossing/function=std::map<int,_x>::at_(example.com_p) 20";
        assert_eq!(written(&profile(20)), format!("{name} 200.000 ns/op 200.000 C-ns/op 0.000 border-ns/op 40.000 crossings/s"));
        assert_eq!(written(&profile(0)), format!("{name} 40.000 crossings/s"));
    }
}
