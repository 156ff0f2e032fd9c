//! Every view of every recorded profile, against what it was when it was last looked at.

use std::path::{Path, PathBuf};

use cgoprof_profile::{Cell, DecodeError, Profile, decode};
use cgoprof_viewer::export::flamegraph::{Drawing, FlamegraphError};
use cgoprof_viewer::export::{ExportError, FORMATS};
use cgoprof_viewer::report::view::View;
use cgoprof_viewer::report::{By, json, text};
use cgoprof_viewer::tables::inside::Group;
use cgoprof_viewer::value::Value;

/// The recorded profiles by name.
fn profiles() -> Vec<(String, Profile)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/profiles");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let recorded = paths.into_iter().filter(|path| path.to_string_lossy().ends_with(".pb.gz"));
    recorded
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().trim_end_matches(".pb.gz").to_owned();
            (name, decode(&std::fs::read(path).unwrap()).unwrap())
        })
        .collect()
}

#[test]
fn text_reports() {
    for (name, profile) in profiles() {
        let scheduling = [(By::Thread, 8), (By::Goroutine, 5), (By::Callback, 5), (By::Advice, 5)];
        let inside = [Group::Function, Group::Line, Group::Library].map(|group| (By::Inside(group), 5));
        let others = scheduling.into_iter().chain(inside).chain([
            (By::Package, 5),
            (By::Process, 5),
            (By::Blocked, 3),
            (By::Slowest, 3),
        ]);
        for (by, limit) in [(By::Function, 20), (By::Site, 8), (By::Stack, 3)].into_iter().chain(others) {
            insta::assert_snapshot!(
                format!("{name}-{by:?}"),
                text::write(&profile, by, &View::rows(limit)).expect("a report")
            );
        }
    }
}

#[test]
fn json_reports() {
    for (name, profile) in profiles() {
        let report: serde_json::Value = serde_json::from_str(&json::write(&profile).unwrap()).unwrap();
        insta::assert_snapshot!(format!("{name}-json"), first_of_each(&report, 0));
    }
}

/// A JSON value; of arrays, how long they are and the first element.
fn first_of_each(value: &serde_json::Value, depth: usize) -> String {
    match value {
        serde_json::Value::Object(fields) => {
            let pad = "  ".repeat(depth);
            fields.iter().map(|(name, value)| format!("\n{pad}{name}: {}", first_of_each(value, depth + 1))).collect()
        }
        serde_json::Value::Array(items) => {
            let first = items.first().map_or_else(String::new, |item| first_of_each(item, depth));
            format!("{} x {first}", items.len())
        }
        scalar => scalar.to_string(),
    }
}

/// Every format writes every profile; what CSV says is what JSON says.
#[test]
fn exports() {
    for (name, profile) in profiles() {
        for format in FORMATS {
            let mut written = Vec::new();
            match format.write(&profile, &mut written) {
                Err(ExportError::Nothing(_)) => {
                    let has_timeline = !profile.threads.is_empty() || !profile.timeline.counters.is_empty();
                    let expected = match format.name() {
                        "perfetto" => !has_timeline,
                        "benchfmt" => !profile.recording.counted(),
                        _ => false,
                    };
                    assert!(expected, "{name}: {}", format.name());
                    continue;
                }
                result => result.unwrap(),
            }
            if format.is_binary() {
                match format.name() {
                    "otlp" => assert!(written.len() > 100, "{name}"),
                    "perfetto" => check_perfetto(&name, &written),
                    "pprof" => assert!(matches!(decode(&written), Err(DecodeError::NotOurs)), "{name}"),
                    other => panic!("{other} is not checked"),
                }
                continue;
            }
            let written = String::from_utf8(written).unwrap();
            match format.name() {
                "benchfmt" => check_benchfmt(&name, &profile, &written),
                "firefox" => check_firefox(&name, &profile, &written),
                "html" => check_html(&name, &profile, &written),
                "markdown" => insta::assert_snapshot!(format!("{name}-markdown"), written),
                "csv" => check_csv(&name, &profile, &written),
                "svg" => assert!(written.starts_with("<?xml") && written.trim_end().ends_with("</svg>"), "{name}"),
                "folded" => check_folded(&name, &written),
                "speedscope" => check_speedscope(&name, &profile, &written),
                other => panic!("{other} is not checked"),
            }
        }
    }
}

/// It is a sequence of packets to its end.
fn check_perfetto(name: &str, written: &[u8]) {
    let (mut rest, mut packets) = (written, 0);
    while let Some((&key, after)) = rest.split_first() {
        assert_eq!(key, 0x0a, "{name}");
        let bytes = after.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
        let seven = |length: usize, byte: &u8| length << 7 | usize::from(byte & 0x7f);
        let length = after[..bytes].iter().rev().fold(0, seven);
        rest = &after[bytes + length..];
        packets += 1;
    }
    assert!(packets > 1, "{name}");
}

/// Lines of key and value, then of a name, a number and values with units.
fn check_benchfmt(name: &str, profile: &Profile, written: &str) {
    // Several programs have names with spaces between them.
    let is_pair = |words: &[&str]| words.len() == 2 || words[0] == "program:" && !profile.processes.is_empty();
    for line in written.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if !line.starts_with("Benchmark") {
            assert!(is_pair(&words) && words[0].ends_with(':'), "{name}: {line}");
            continue;
        }
        assert!(words.len() >= 4 && words.len().is_multiple_of(2) && words[1].parse::<u64>().is_ok(), "{name}: {line}");
        assert!(words[2..].chunks(2).all(|pair| pair[0].parse::<f64>().is_ok()), "{name}: {line}");
    }
}

/// The roots of its flame graphs have the sums of the values, and its tables the rows of the report.
fn check_html(name: &str, profile: &Profile, written: &str) {
    let data = written.split("<script id=\"data\" type=\"application/json\">").nth(1).unwrap();
    let data: serde_json::Value = serde_json::from_str(data.split("</script>").next().unwrap()).unwrap();
    let graphs = data["flames"]["graphs"].as_array().unwrap();
    let speedscope = speedscope(profile);
    let profiles = speedscope["profiles"].as_array().unwrap();
    assert_eq!(graphs.len(), profiles.len(), "{name}");
    for (graph, one) in graphs.iter().zip(profiles) {
        assert_eq!(
            (&graph["title"], graph["nodes"][0][3].as_f64()),
            (&one["name"], one["endValue"].as_f64()),
            "{name}"
        );
    }
    let report: serde_json::Value = serde_json::from_str(&json::write(profile).unwrap()).unwrap();
    for (sheet, rows) in [("functions", "functions"), ("sites", "sites"), ("callbacks", "callbacks")] {
        let sheet = data["sheets"].as_array().unwrap().iter().find(|found| found["key"] == sheet);
        let found = sheet.map_or(0, |sheet| sheet["rows"].as_array().unwrap().len());
        assert_eq!(found, report[rows].as_array().map_or(0, Vec::len), "{name}: {rows}");
    }
}

fn speedscope(profile: &Profile) -> serde_json::Value {
    let mut written = Vec::new();
    FORMATS.iter().find(|it| it.name() == "speedscope").unwrap().write(profile, &mut written).unwrap();
    serde_json::from_slice(&written).unwrap()
}

/// Columns are as long as their tables, and sums of samples are those of flame graphs.
fn check_firefox(name: &str, profile: &Profile, written: &str) {
    let written: serde_json::Value = serde_json::from_str(written).unwrap();
    let threads = written["threads"].as_array().unwrap();
    for thread in threads {
        for table in ["frameTable", "funcTable", "stackTable", "samples", "markers"] {
            let table = thread[table].as_object().unwrap();
            let columns = table.values().filter_map(serde_json::Value::as_array);
            for column in columns {
                assert_eq!(column.len() as u64, table["length"].as_u64().unwrap(), "{name}: {table:?}");
            }
        }
    }
    let speedscope = speedscope(profile);
    for (one, thread) in speedscope["profiles"].as_array().unwrap().iter().zip(threads) {
        assert_eq!(one["name"], thread["name"], "{name}");
        let weights = thread["samples"]["weight"].as_array().unwrap().iter();
        let sum: f64 = weights.map(|weight| weight.as_f64().unwrap()).sum();
        let scale = if one["unit"] == "none" { 1.0 } else { 1e6 };
        let expected = one["endValue"].as_f64().unwrap();
        assert!((sum * scale - expected).abs() <= expected * 1e-9 + 1.0, "{name}: {sum}, {expected}");
    }
}

/// What inferno makes of it.
fn check_folded(name: &str, written: &str) {
    let sizes = written.lines().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap());
    let sum: u64 = sizes.sum();
    let mut svg = Vec::new();
    let mut options = inferno::flamegraph::Options::default();
    inferno::flamegraph::from_lines(&mut options, written.lines(), &mut svg).unwrap();
    let svg = String::from_utf8(svg).unwrap();
    let digits: String = svg.split("<title>all (").nth(1).unwrap().chars().take_while(|&c| c != ' ').collect();
    assert_eq!(digits.replace(',', ""), sum.to_string(), "{name}");
}

/// Sums of its profiles are those of flame graphs, and every sample names frames that are there.
fn check_speedscope(name: &str, profile: &Profile, written: &str) {
    let written: serde_json::Value = serde_json::from_str(written).unwrap();
    let frames = written["shared"]["frames"].as_array().unwrap().len() as u64;
    let profiles = written["profiles"].as_array().unwrap();
    let drawn =
        String::from_utf8(Drawing { value: Value::default_of(profile), ..Drawing::default() }.draw(profile).unwrap());
    assert!(drawn.unwrap().contains(profiles[0]["name"].as_str().unwrap()), "{name}: the first is the usual value");
    for one in profiles {
        let (samples, weights) = (one["samples"].as_array().unwrap(), one["weights"].as_array().unwrap());
        assert_eq!(samples.len(), weights.len(), "{name}");
        let mut numbers = samples.iter().flat_map(|sample| sample.as_array().unwrap());
        assert!(numbers.all(|number| number.as_u64().unwrap() < frames), "{name}");
        let sum: u64 = weights.iter().map(|weight| weight.as_u64().unwrap()).sum();
        assert_eq!(one["endValue"], sum, "{name}");
    }
}

fn check_csv(name: &str, profile: &Profile, written: &str) {
    let mut lines = written.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let heads = lines.next().unwrap();
    let report: serde_json::Value = serde_json::from_str(&json::write(profile).unwrap()).unwrap();
    let functions = report["functions"].as_array().unwrap();
    assert!(!written.contains('"'), "{name}: a field with a comma");
    for (function, line) in functions.iter().zip(lines.by_ref()) {
        assert_eq!(line.len(), heads.len(), "{name}");
        for (head, field) in heads.iter().zip(line) {
            let nested = head
                .split_once('_')
                .filter(|(object, _)| function.get(*head).is_none() && function[object].is_object());
            let value = nested.map_or(&function[*head], |(object, field)| &function[object][field]);
            let expected = match value {
                serde_json::Value::Null => String::new(),
                serde_json::Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            assert_eq!(field, expected, "{name}: {head}");
        }
    }
    assert_eq!((lines.next(), written.lines().count()), (None, functions.len() + 1), "{name}");
    insta::assert_snapshot!(format!("{name}-csv"), written.lines().take(2).collect::<Vec<_>>().join("\n"));
}

/// Widths are those of the threads' crossings.
#[test]
fn flame_graphs_by_thread() {
    for (name, profile) in profiles() {
        let draw = |value| Drawing { value, by_thread: true, ..Drawing::default() }.draw(&profile);
        if profile.threads.iter().all(|thread| thread.made.is_empty()) {
            assert!(matches!(draw(Value::Calls), Err(FlamegraphError::NoThreads)), "{name}");
            continue;
        }
        let calls: u64 = profile.threads.iter().flat_map(|thread| &thread.made).map(|made| made.calls).sum();
        let svg = String::from_utf8(draw(Value::Calls).unwrap()).unwrap();
        let all = svg.split("<title>all (").nth(1).unwrap().split(' ').next().unwrap().replace(',', "");
        assert_eq!(all, calls.to_string(), "{name}");
        assert!(matches!(draw(Value::Blocked), Err(FlamegraphError::NotOfThreads)), "{name}");
    }
}

#[test]
fn flame_graphs() {
    for (name, profile) in profiles() {
        let recording = &profile.recording;
        let (counted, timed) = (recording.counted(), recording.timing != "none");
        for value in [
            Value::Calls,
            Value::Total,
            Value::C,
            Value::Overhead,
            Value::ExitWait,
            Value::Blocked,
            Value::Preempted,
            Value::Cpu,
        ] {
            let is_there = match value {
                Value::Calls => counted,
                Value::Total | Value::C => counted && timed,
                // Without phases this is the wait for a P: there is none in the program of this recording.
                Value::Overhead | Value::ExitWait => counted && timed && recording.phases_timed(),
                Value::Blocked => recording.off_cpu && profile.cells.iter().any(|cell| cell.stats.blocked > 0.0),
                Value::Preempted => {
                    let own = |cell: &Cell| cell.stats.callbacks == 0 && cell.stats.preempted > 0.0;
                    recording.off_cpu && profile.cells.iter().any(own)
                }
                Value::Cpu => !profile.samples.is_empty(),
            };
            // In one of the programs, only a thread that the runtime makes was preempted in C.
            let border = if value == Value::Preempted { "cgocall" } else { "runtime.cgocall" };
            for inverted in [false, true] {
                match (Drawing { value, inverted, ..Drawing::default() }).draw(&profile) {
                    Ok(svg) => {
                        let svg = String::from_utf8(svg).unwrap();
                        assert!(is_there && svg.contains("</svg>"), "{name} {value:?}");
                        assert!(value == Value::Cpu || svg.contains(border), "{name} {value:?}");
                    }
                    Err(error) => assert!(!is_there, "{name} {value:?}: {error}"),
                }
            }
        }
    }
}

#[test]
fn names_are_escaped_in_the_flame_graph() {
    let (_, mut profile) = profiles().remove(0);
    profile.functions[0].name = "<script>alert(1)</script>\u{1b}[31m;x".into();
    let svg = String::from_utf8(Drawing { value: Value::Calls, ..Drawing::default() }.draw(&profile).unwrap()).unwrap();
    assert!(!svg.contains("<script>alert") && !svg.contains('\u{1b}'));
    let report = text::write(&profile, By::Stack, &View::rows(100)).expect("a report");
    assert!(!report.contains('\u{1b}'));
}
