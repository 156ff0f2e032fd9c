//! What other programs make of what we write, and what we make of a file cut short.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{Recorded, User, command, profile_path, record, report, succeeds};

use crate::browser::page_of;

fn sqlite() -> Recorded {
    record(User::Root, &[], &go::build("sqlite", Build::newest()), &[])
}

/// Flat values by function, as `go tool pprof -top` prints them.
fn pprof_top(profile: &Path, index: &str) -> BTreeMap<String, f64> {
    let mut pprof = Command::new(go::command(Build::newest().release));
    pprof.args(["tool", "pprof", "-top", "-nodecount=1000", "-nodefraction=0", "-edgefraction=0"]);
    let unit = if index == "crossings" { "-unit=count" } else { "-unit=ns" };
    pprof.arg(unit).arg(format!("-sample_index={index}")).arg(profile).env("GOTOOLCHAIN", "local");
    let text = String::from_utf8(succeeds(&mut pprof).stdout).expect("text");
    let rows = text.lines().skip_while(|line| !line.trim_start().starts_with("flat")).skip(1);
    let mut flat = BTreeMap::new();
    for row in rows {
        let columns: Vec<&str> = row.split_whitespace().collect();
        let value: f64 = columns[0].trim_end_matches("ns").parse().unwrap_or_else(|_| panic!("a number: {row}"));
        if value != 0.0 {
            flat.insert(columns[5..].join(" "), value);
        }
    }
    flat
}

#[test]
fn go_tool_pprof_shows_the_functions_and_totals_of_the_report() {
    let recorded = sqlite();
    for (index, field) in [
        ("crossings", "calls"),
        ("total", "total_ns"),
        ("c", "c_ns"),
        ("overhead", "overhead_ns"),
        ("exit_wait", "exit_ns"),
    ] {
        let found = pprof_top(&recorded.profile, index);
        let mut expected: BTreeMap<String, f64> = BTreeMap::new();
        for function in recorded.report["functions"].as_array().expect("functions") {
            let value = function[field].as_f64().unwrap_or(0.0);
            *expected.entry(function["name"].as_str().expect("name").to_owned()).or_default() += value;
        }
        expected.retain(|_, value| *value >= 1.0);
        for (name, value) in &expected {
            let shown = found.get(name).copied().unwrap_or(0.0);
            // pprof adds whole nanoseconds, stack by stack.
            assert!((shown - value).abs() <= 20.0 + value * 1e-6, "{index} of {name}: pprof {shown}, report {value}");
        }
        let shown = found.values().filter(|&&value| value >= 20.0).count();
        assert!(shown <= expected.len(), "{index}: {found:?}");
    }
}

#[test]
fn a_finished_profile_is_one_member() {
    let recorded = sqlite();
    let bytes = std::fs::read(&recorded.profile).expect("the profile");
    let mut first = flate2::bufread::GzDecoder::new(bytes.as_slice());
    first.read_to_end(&mut Vec::new()).expect("a gzip member");
    assert!(first.into_inner().is_empty(), "bytes follow the first member");
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&recorded.profile).expect("metadata"));
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_recording_killed_on_the_way_leaves_a_valid_profile() {
    let program = go::build("crossings", Build::newest());
    let profile = profile_path(User::Root);
    let mut recorder = command(User::Root)
        .args(["record", "-q", "-o"])
        .arg(&profile)
        .arg("--")
        .arg(&program)
        .args(["torture", "30"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("cgoprof runs");
    let members = || {
        let file = std::fs::read(&profile).unwrap_or_default();
        let mut rest = file.as_slice();
        let mut members = 0;
        while !rest.is_empty() {
            let mut member = flate2::bufread::GzDecoder::new(rest);
            if member.read_to_end(&mut Vec::new()).is_err() {
                break;
            }
            members += 1;
            rest = member.into_inner();
        }
        members
    };
    while members() < 2 {
        assert!(recorder.try_wait().expect("a child").is_none(), "the program ended before two members were written");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    recorder.kill().expect("kill -9");
    recorder.wait().expect("it ends");
    let pid = report(&profile)["target"]["pid"].as_i64().expect("pid") as i32;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL).expect("the program lives on");

    let whole = report(&profile);
    assert!(whole["totals"]["crossings"].as_u64() > Some(1000), "{}", whole["totals"]);
    let pprof = pprof_top(&profile, "crossings");
    assert_eq!(pprof.get("nop").map(|&calls| calls as u64), function_calls(&whole, "nop"));

    // Cut at the end of the first member, then within the second.
    let bytes = std::fs::read(&profile).expect("the profile");
    let mut first = flate2::bufread::GzDecoder::new(bytes.as_slice());
    first.read_to_end(&mut Vec::new()).expect("a member");
    let end = bytes.len() - first.into_inner().len();
    assert!(end < bytes.len(), "there are several members");
    let cut = profile_path(User::Root);
    let mut at_member = None;
    for length in [end, end + (bytes.len() - end) / 2] {
        std::fs::write(&cut, &bytes[..length]).expect("a cut copy");
        let found = function_calls(&report(&cut), "nop");
        assert!(found > Some(0) && found < function_calls(&whole, "nop"), "{found:?}");
        assert_eq!(*at_member.get_or_insert(found), found);
    }
    std::fs::write(&cut, &bytes[..end]).expect("a cut copy");
    assert_eq!(pprof_top(&cut, "crossings").get("nop").map(|&calls| calls as u64), at_member.flatten());
}

fn function_calls(report: &serde_json::Value, name: &str) -> Option<u64> {
    let functions = report["functions"].as_array().expect("functions");
    functions.iter().find(|function| function["name"] == name)?["calls"].as_u64()
}

#[test]
fn the_program_lives_on_when_its_recorder_is_killed() {
    let program = go::build("crossings", Build::newest());
    let profile = profile_path(User::Root);
    let output = profile.with_extension("truth");
    let mut recorder = command(User::Root)
        .args(["record", "-q", "-o"])
        .arg(&profile)
        .arg("--")
        .arg(&program)
        .args(["torture", "3"])
        .stdout(std::fs::File::create(&output).expect("a file"))
        .spawn()
        .expect("cgoprof runs");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    recorder.kill().expect("kill -9");
    recorder.wait().expect("it ends");
    for _ in 0..100 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        if std::fs::read_to_string(&output).is_ok_and(|text| text.contains("num_cgo_call")) {
            return;
        }
    }
    panic!("the program did not finish");
}

#[test]
fn the_flame_graph_renders_in_a_browser_and_search_and_zoom_work() {
    let recorded = sqlite();
    let svg = recorded.profile.with_extension("svg");
    succeeds(command(User::Root).arg("flamegraph").arg(&recorded.profile).arg("-o").arg(&svg));
    let text = std::fs::read_to_string(&svg).expect("the SVG");
    for part in ["_sqlite3_step_row_internal", "main.scan", "runtime.cgocall", "green: Go", "Search", "Reset Zoom"] {
        assert!(text.contains(part), "{part}");
    }
    // The page opens with a search or a zoom, as a link to it would.
    let found = in_browser(&svg, "s=sqlite3_step");
    assert!(found.contains("Matched:"), "{}", &found[..found.len().min(2000)]);
    assert!(found.contains("rgb(230,0,230)"), "found frames are painted");
    let scan = &text[text.find("<title>main.scan (").expect("main.scan is drawn")..];
    let attribute = |name: &str| {
        let value = &scan[scan.find(name).expect("an attribute") + name.len()..];
        value[..value.find('"').expect("its end")].to_owned()
    };
    let zoomed = in_browser(&svg, &format!("x={}&y={}", attribute("fg:x=\""), attribute(" y=\"")));
    let group = |dom: &str, frame: &str| {
        let title = dom.find(&format!("<title>{frame} (")).expect("the frame is drawn");
        dom[..title].rfind("<g").map(|start| dom[start..title].to_owned()).expect("its group")
    };
    assert!(!group(&text, "main.insert").contains("hide"));
    assert!(group(&zoomed, "main.insert").contains("hide"), "what is beside the zoomed frame is hidden");
    assert!(!group(&zoomed, "main.scan").contains("hide"));
    for value in ["calls", "c", "overhead", "exit-wait"] {
        succeeds(command(User::Root).arg("flamegraph").arg(&recorded.profile).args(["--value", value, "-o"]).arg(&svg));
    }
    succeeds(command(User::Root).arg("flamegraph").arg(&recorded.profile).arg("--inverted").arg("-o").arg(&svg));
}

/// The drawing as headless Chromium has it after its scripts have run.
fn in_browser(svg: &Path, query: &str) -> String {
    page_of(&format!("file://{}?{query}", svg.display()), &svg.with_extension("chromium"), &["--disable-gpu"])
}

#[test]
fn text_reports_of_every_kind() {
    let recorded = sqlite();
    for by in ["function", "site", "stack"] {
        let output = succeeds(command(User::Root).args(["report", "--by", by, "--limit", "3"]).arg(&recorded.profile));
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(text.contains("crossings in") && text.contains("more (--limit)"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() < 260), "{text}");
    }
}

#[test]
fn folded_stacks_have_the_time_of_the_report() {
    let recorded = sqlite();
    let mut export = command(User::Root);
    let folded = succeeds(export.args(["export", "--format", "folded"]).arg(&recorded.profile)).stdout;
    let folded = String::from_utf8(folded).expect("text");
    let sizes = folded.lines().map(|line| line.rsplit_once(' ').expect("a size").1.parse::<u64>().expect("a number"));
    let rows = recorded.report["functions"].as_array().expect("rows");
    let total: f64 = rows.iter().filter_map(|row| row["total_ns"].as_f64()).sum();
    let sum = sizes.sum::<u64>() as f64;
    assert!((sum - total).abs() < total * 1e-4, "{sum} of {total}");
}

#[test]
fn shells_and_man_take_what_is_written_for_them() {
    for (shell, check) in [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish")] {
        let script = succeeds(command(User::Root).args(["completions", shell])).stdout;
        assert!(String::from_utf8_lossy(&script).contains("cgoprof"), "{shell}");
        let file = profile_path(User::Root).with_extension(shell);
        std::fs::write(&file, script).expect("a file");
        // Not every machine has every shell.
        if Command::new(check).arg("--version").output().is_ok() {
            succeeds(Command::new(check).arg("-n").arg(&file));
        }
    }
    let folder = profile_path(User::Root).with_extension("man");
    succeeds(command(User::Root).arg("man").arg(&folder));
    let page = std::fs::read_to_string(folder.join("cgoprof-record.1")).expect("a page");
    assert!(page.contains(r"\-\-waits") && page.contains("context switches a second"), "{page}");
    assert!(folder.join("cgoprof.1").exists());
}

#[test]
fn merged_profiles_have_the_sums_of_all() {
    let program = go::build("crossings", Build::newest());
    let runs = [500, 300].map(|count| record(User::Root, &[], &program, &["nested", &count.to_string()]));
    let folder = runs[0].profile.with_extension("folder");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::copy(&runs[1].profile, folder.join("one.pb.gz")).expect("a copy");
    let merged = folder.join("all");
    succeeds(command(User::Root).arg("merge").args([&runs[0].profile, &folder]).arg("-o").arg(&merged));
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&merged).expect("a file"));
    assert_eq!(mode & 0o777, 0o600);
    let found = report(&merged);
    for field in ["crossings", "callbacks"] {
        let sum: u64 = runs.iter().filter_map(|run| run.report["totals"][field].as_u64()).sum();
        assert_eq!(found["totals"][field], sum, "{field}");
    }
    for function in ["leaf", "call_back"] {
        let sum: u64 = runs.iter().filter_map(|run| function_calls(&run.report, function)).sum();
        assert_eq!(function_calls(&found, function), Some(sum), "{function}");
    }
    let pprof = pprof_top(&merged, "crossings");
    assert_eq!(pprof.get("leaf").map(|&calls| calls as u64), function_calls(&found, "leaf"));
    let text = String::from_utf8(succeeds(command(User::Root).arg("report").arg(&merged)).stdout).expect("text");
    assert!(!text.contains("pid"), "{text}");
    let itself = command(User::Root).arg("merge").args([&runs[0].profile, &merged]).arg("-o").arg(&merged).output();
    let said = String::from_utf8_lossy(&itself.expect("cgoprof runs").stderr).into_owned();
    assert!(said.contains("would be added to itself"), "{said}");
    let again = folder.join("again");
    succeeds(command(User::Root).arg("merge").args([&merged, &runs[1].profile]).arg("-o").arg(&again));
    let notes = report(&again)["recording"]["notes"].clone();
    let notes: Vec<&str> = notes.as_array().expect("notes").iter().filter_map(serde_json::Value::as_str).collect();
    let sums: Vec<&&str> = notes.iter().filter(|note| note.contains("the sum of")).collect();
    assert!(sums.len() == 1 && sums[0].starts_with("this is the sum of 3 recordings of crossings-"), "{notes:?}");
    let sampled =
        record(User::Root, &["--engine", "sample"], &go::build("crossings", Build::newest()), &["torture", "1"]);
    let refused = command(User::Root).arg("merge").args([&merged, &sampled.profile]).args(["-o", "-"]).output();
    let refused = refused.expect("cgoprof runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(125) && said.contains("their engines do not measure the same"), "{said}");
}
