//! Exports as their readers see them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use cgoprof_profile::{Profile, decode};
use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{Recorded, User, command, profile_path, report, succeeds};
use serde_json::Value as Json;

use crate::browser::page_of;
use crate::servers::{self, until};

/// Sqlite with its rows in a file that goroutines share, so that they wait in C and lose their Ps; every wait is recorded.
fn sqlite() -> Recorded {
    let (program, profile) = (go::build("sqlite", Build::newest()), profile_path(User::Root));
    let mut recorder = command(User::Root);
    recorder.env("SQLITE_FILE", profile.with_extension("db")).args(["record", "-q", "--waits", "every", "-o"]);
    let output = succeeds(recorder.arg(&profile).arg("--").arg(&program));
    let truth = serde_json::from_slice(&output.stdout).expect("what the program knows");
    Recorded { truth, report: report(&profile), profile }
}

fn export(recorded: &Recorded, format: &str, extension: &str) -> PathBuf {
    let file = recorded.profile.with_extension(extension);
    succeeds(command(User::Root).args(["export", "--format", format, "-o"]).arg(&file).arg(&recorded.profile));
    file
}

fn profile(recorded: &Recorded) -> Profile {
    decode(&std::fs::read(&recorded.profile).expect("the profile")).expect("a profile")
}

/// Sum over the report's functions. Those of direct crossings count too.
fn sum(recorded: &Recorded, field: &str) -> f64 {
    let functions = recorded.report["functions"].as_array().expect("functions");
    functions.iter().filter_map(|function| function[field].as_f64()).sum()
}

fn close(what: &str, found: f64, expected: f64, tolerance: f64) {
    assert!((found - expected).abs() <= tolerance, "{what}: {found}, expected {expected}");
}

/// Speedscope itself opens the export and shows the report's sums.
#[test]
fn speedscope_shows_the_totals_of_the_report() {
    let recorded = sqlite();
    let (file, script) = (export(&recorded, "speedscope", "json"), recorded.profile.with_extension("js"));
    let encoded = succeeds(Command::new("base64").args(["-w", "0"]).arg(&file)).stdout;
    let encoded = String::from_utf8(encoded).expect("text");
    std::fs::write(&script, format!("speedscope.loadFileFromBase64('export.json', '{encoded}')")).expect("a file");
    let page = go::readers().join("speedscope-1.25.0/dist/release/index.html");
    let url = format!("file://{}#localProfilePath={}&view=sandwich", page.display(), script.display());
    // It draws with WebGL.
    let options = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"];
    let shown = page_of(&url, &script.with_extension("chromium"), &options);
    let total = |field: &str| recorded.report["totals"][field].as_f64().expect("a time");
    // Of functions it draws only the rows that are to be seen; the profiles, with their sums, are all there.
    for expected in [
        cgoprof_viewer::units::count(sum(&recorded, "calls") as u64),
        shown_by_speedscope(total("overhead_ns")),
        "time of Go/C crossings".to_owned(),
    ] {
        assert!(shown.contains(&expected), "{expected}: {}", &shown[..shown.len().min(4000)]);
    }
}

/// A time as speedscope writes it.
fn shown_by_speedscope(nanos: f64) -> String {
    match nanos {
        nanos if nanos >= 1e9 => format!("{:.2}s", nanos / 1e9),
        nanos if nanos >= 1e6 => format!("{:.2}ms", nanos / 1e6),
        nanos => format!("{:.2}\u{b5}s", nanos / 1e3),
    }
}

/// Rows of SQL queries over a trace, as Perfetto's trace processor answers them.
fn perfetto(trace: &Path, queries: &[&str]) -> Vec<Vec<Json>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/perfetto/trace_processor.js");
    let mut node = Command::new("node");
    node.arg(script).arg(go::readers().join("perfetto-ui-52.0")).arg(trace).args(queries);
    serde_json::from_slice(&succeeds(&mut node).stdout).expect("rows")
}

#[test]
fn perfetto_shows_each_slow_crossing_wait_and_migration_where_it_was() {
    let recorded = sqlite();
    let (profile, trace) = (profile(&recorded), export(&recorded, "perfetto", "pftrace"));
    let answers = perfetto(
        &trace,
        &[
            "select category, count(*) as n, sum(max(dur, 0)) as ns from slice group by category",
            // Slices with the same arguments share them.
            "select sum(a.int_value) as n from slice s join args a using (arg_set_id) where a.key = 'debug.stands_for_crossings'",
            "select count(*) as n from flow",
            "select t.name, count(*) as n, max(c.value) as most from counter c join counter_track t on c.track_id = t.id
             group by t.name",
            "select cast(clock_value as text) as at from clock_snapshot where clock_name = 'REALTIME'",
            "select name from stats where severity in ('error', 'data_loss') and value > 0",
            "select t.tid, count(*) as n from slice s join thread_track k on s.track_id = k.id join thread t using (utid)
             where s.category = 'crossing' group by t.tid",
            "select count(*) as n, sum(dur) as ns from slice s join track t on s.track_id = t.id
             where t.name = 'blocked in C'",
        ],
    );
    let timeline = &profile.timeline;
    let slices = |category: &str| {
        let row = answers[0].iter().find(|row| row["category"] == category);
        row.map_or((0, 0), |row| (row["n"].as_u64().expect("a number"), row["ns"].as_u64().expect("a time")))
    };
    let crossings = &timeline.crossings;
    assert!(crossings.len() > 100, "{}", crossings.len());
    let ns = crossings.iter().filter(|it| !it.open).map(|it| it.enter_ns + it.c_ns.unwrap_or(0)).sum();
    assert_eq!(slices("crossing"), (crossings.len() as u64, ns));
    let waits_for_p: Vec<u64> = crossings.iter().map(|it| it.exit_ns).filter(|&exit| exit > 0).collect();
    assert_eq!(slices("p_wait"), (waits_for_p.len() as u64, waits_for_p.iter().sum()));
    let asleep: Vec<u64> = timeline.asleep.iter().map(|wait| wait.to_ns - wait.from_ns).collect();
    assert_eq!(slices("asleep"), (asleep.len() as u64, asleep.iter().sum()));
    assert_eq!(answers[1][0]["n"], crossings.iter().map(|it| it.weight.max(1)).sum::<u64>());
    let migrated = crossings.iter().filter(|it| it.exit_tid.is_some_and(|tid| tid != it.tid)).count();
    assert_eq!((answers[2][0]["n"].as_u64(), slices("migration").0), (Some(migrated as u64), migrated as u64));
    let most = timeline.counters.iter().map(|at| at.in_c).max().expect("counters");
    let in_c = answers[3].iter().find(|row| row["name"] == "threads in C").expect("a counter");
    assert_eq!(in_c["n"], timeline.counters.len());
    assert_eq!(in_c["most"].as_f64(), Some(most as f64));
    assert_eq!(answers[4][0]["at"], profile.recording.start_unix_ns.to_string());
    assert!(answers[5].is_empty(), "{:?}", answers[5]);
    // Those that do not nest lie on tracks of their own.
    let mut by_thread: BTreeMap<u64, usize> = BTreeMap::new();
    crossings.iter().for_each(|it| *by_thread.entry(it.tid).or_default() += 1);
    for row in &answers[6] {
        let all = by_thread[&row["tid"].as_u64().expect("an id")] as u64;
        assert!(row["n"].as_u64() <= Some(all) && row["n"].as_u64() > Some(all / 2), "{row} of {all}");
    }
    assert_eq!(answers[6].len(), by_thread.len());
    let blocked: u64 = timeline.waits.iter().map(|wait| wait.to_ns - wait.from_ns).sum();
    assert!(timeline.waits.len() > 100);
    let found = &answers[7][0];
    assert_eq!((found["n"].as_u64(), found["ns"].as_u64()), (Some(timeline.waits.len() as u64), Some(blocked)));
}

#[test]
fn firefox_profiler_shows_the_totals_of_the_report_and_the_timeline() {
    let recorded = sqlite();
    let (profile, file) = (profile(&recorded), export(&recorded, "firefox", "firefox.json"));
    let session = format!("cgoprof-{}", std::process::id());
    let cli = |args: &[&str]| {
        let mut node = Command::new("node");
        node.arg(go::readers().join("profiler-cli-0.10.0/dist/profiler-cli.js"));
        succeeds(node.args(args).args(["--session", &session])).stdout
    };
    cli(&["load", file.to_str().expect("a path")]);
    let functions = |thread: &str| -> Json {
        let found = cli(&["thread", "functions", "--json", "--thread", thread]);
        serde_json::from_slice(&found).expect("JSON")
    };
    let own = |thread: &str| -> f64 {
        let functions = functions(thread);
        let functions = functions["functions"].as_array().expect("functions");
        functions.iter().map(|function| function["selfSamples"].as_f64().expect("a number")).sum()
    };
    let (total, calls) = (own("t-0"), own("t-1"));
    let threads: Json = serde_json::from_slice(&cli(&["thread", "list", "--json"])).expect("JSON");
    cli(&["stop"]);
    close("total", total * 1e6, sum(&recorded, "total_ns"), 5000.0);
    close("crossings", calls, sum(&recorded, "calls"), 0.0);
    let threads = threads["threads"].as_array().expect("threads");
    let markers: u64 = threads.iter().filter_map(|thread| thread["markerCount"].as_u64()).sum();
    let timeline = &profile.timeline;
    let waits_for_p = timeline.crossings.iter().filter(|it| it.exit_ns > 0).count();
    let expected = timeline.crossings.len() + waits_for_p + timeline.waits.len() + timeline.locked.len();
    assert_eq!(markers, expected as u64, "{threads:?}");
}

/// Two programs that a shell runs at once: one of them waits in C.
fn two_programs() -> Recorded {
    let profile = profile_path(User::Root);
    let mut recorder = command(User::Root);
    recorder.env("CROSSINGS", go::build("crossings", Build::newest()));
    recorder.env("SCHEDULER", go::build("scheduler", Build::newest())).args(["record", "-q", "-o"]).arg(&profile);
    succeeds(recorder.args(["--", "sh", "-c", "$CROSSINGS nested 500 & $SCHEDULER sleepers & wait"]));
    Recorded { truth: Json::Null, report: report(&profile), profile }
}

#[test]
fn pprof_perfetto_and_firefox_tell_the_processes_of_a_file_apart() {
    let recorded = two_programs();
    let (profile, trace) = (profile(&recorded), export(&recorded, "perfetto", "pftrace"));
    assert_eq!(profile.processes.len(), 2);
    let mut pprof = Command::new(go::command(Build::newest().release));
    pprof.args(["tool", "pprof", "-tags", "-sample_index=crossings"]).arg(&recorded.profile);
    let tags = String::from_utf8(succeeds(pprof.env("GOTOOLCHAIN", "local")).stdout).expect("text");
    let rows = perfetto(
        &trace,
        &["select p.pid, p.name, count(*) as n from slice s join thread_track k on s.track_id = k.id
           join thread t using (utid) join process p using (upid) where s.category = 'crossing' group by p.pid"],
    );
    for process in &profile.processes {
        let (pid, calls) = (process.target.pid, process.cells.iter().map(|cell| cell.stats.calls).sum::<u64>());
        // As `16010 (96.74%): 4711`, under the head of the label.
        let of_pid = |line: &&str| line.trim_end().ends_with(&format!(": {pid}"));
        let line = tags.lines().find(of_pid).unwrap_or_else(|| panic!("{pid}: {tags}"));
        assert_eq!(line.split_whitespace().next(), Some(calls.to_string().as_str()), "{tags}");
        let crossings = process.timeline.crossings.len();
        let row = rows[0].iter().find(|row| row["pid"] == pid);
        assert_eq!(row.map_or(0, |row| row["n"].as_u64().expect("a number")), crossings as u64, "{rows:?}");
        if let Some(row) = row {
            let name = process.target.path.rsplit('/').next();
            assert_eq!(row["name"].as_str(), name);
        }
    }
    assert!(profile.processes.iter().any(|process| process.timeline.crossings.len() > 10), "some are slow");
    let firefox = std::fs::read(export(&recorded, "firefox", "firefox.json")).expect("the export");
    let firefox: Json = serde_json::from_slice(&firefox).expect("JSON");
    for process in &profile.processes {
        let pid = process.target.pid.to_string();
        let threads = firefox["threads"].as_array().expect("threads").iter().filter(|thread| thread["pid"] == pid);
        assert_eq!(threads.count(), process.threads.len(), "of process {pid}");
    }
}

/// The Collector's receiver takes the export as a request, and its exporter prints what it got.
#[test]
fn the_opentelemetry_collector_has_the_totals_of_the_report() {
    let recorded = sqlite();
    let file = export(&recorded, "otlp", "otlp");
    let mut collector = servers::collector(&recorded.profile.with_extension("collector"), None);
    collector.start();
    let address = collector.address;
    let body = std::fs::read(&file).expect("the export");
    let mut stream = TcpStream::connect(address).expect("a connection");
    let head = format!(
        "POST /v1development/profiles HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    until(Duration::from_secs(30), "the profiles are printed", || collector.printed().contains("\"end\":true"));
    let lines: Vec<Json> = collector.printed().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |name: &str| lines.iter().find(|line| line["type"] == name).unwrap_or_else(|| panic!("{name}: {lines:?}"));
    assert_eq!(
        (of("crossings")["sum"].as_f64(), &of("crossings")["unit"]),
        (Some(sum(&recorded, "calls")), &"count".into())
    );
    for (name, field) in [("total", "total_ns"), ("c", "c_ns"), ("overhead", "overhead_ns"), ("exit_wait", "exit_ns")] {
        // Each sample is rounded to whole nanoseconds.
        close(name, of(name)["sum"].as_f64().expect("a sum"), sum(&recorded, field), 2000.0);
        assert_eq!(of(name)["unit"], "nanoseconds");
    }
    let functions = recorded.report["functions"].as_array().expect("functions");
    let binds = functions.iter().find(|function| function["name"] == "_sqlite3_bind_text").expect("a function");
    assert_eq!(of("crossings")["functions"]["_sqlite3_bind_text"], binds["calls"]);
    let file = |path: &str| lines.iter().find(|line| line["file"].as_str().is_some_and(|file| file.ends_with(path)));
    let (program, libc) = (recorded.report["target"]["path"].as_str().expect("a path"), file("libc.so.6"));
    let build_id = "process.executable.build_id.gnu";
    assert_eq!(file(program).expect("the program")[build_id], recorded.report["target"]["build_id"]);
    assert_eq!(libc.expect("the C library")[build_id], build_id_of("/lib/x86_64-linux-gnu/libc.so.6"));
}

/// Returns the build id of a file, as readelf prints it.
fn build_id_of(file: &str) -> String {
    let notes = succeeds(Command::new("readelf").args(["-n", file])).stdout;
    let notes = String::from_utf8(notes).expect("text");
    notes.split("Build ID: ").nth(1).and_then(|rest| rest.lines().next()).expect("a build id").to_owned()
}

#[test]
fn benchstat_reads_the_times_per_crossing() {
    let recorded = sqlite();
    let file = export(&recorded, "benchfmt", "bench");
    let mut benchstat = Command::new(go::reader("benchstat", "golang.org/x/perf/cmd/benchstat"));
    let table = String::from_utf8(succeeds(benchstat.args(["-format", "csv"]).arg(&file)).stdout).expect("text");
    let functions = recorded.report["functions"].as_array().expect("functions");
    let step = functions.iter().find(|it| it["name"] == "_sqlite3_step_row_internal").expect("a function");
    let (calls, total) = (step["calls"].as_f64().expect("calls"), step["total_ns"].as_f64().expect("a time"));
    let values: Vec<f64> = table
        .lines()
        .filter_map(|line| line.strip_prefix("Crossing/function=_sqlite3_step_row_internal,"))
        .map(|rest| rest.split(',').next().unwrap_or_default().parse().expect("a value"))
        .collect();
    // Seconds in all, in C and at the border, and crossings per second.
    assert_eq!(values.len(), 4, "{table}");
    close("a crossing", values[0] * 1e9, total / calls, total / calls * 1e-3);
    close("parts of a crossing", values[1] + values[2], values[0], values[0] * 1e-3);
    let run = recorded.report["recording"]["duration_ns"].as_f64().expect("a time") / 1e9;
    close("rate", values[3], calls / run, calls / run * 1e-3);
}

/// `go tool pprof` once showed functions of shared libraries as the program's own.
#[test]
fn pprof_has_each_library_with_its_build_id_as_a_mapping() {
    let recorded = sqlite();
    for file in [recorded.profile.clone(), export(&recorded, "pprof", "pprof")] {
        let mut pprof = Command::new(go::command(Build::newest().release));
        pprof.args(["tool", "pprof", "-raw"]).arg(&file).env("GOTOOLCHAIN", "local");
        let raw = String::from_utf8(succeeds(&mut pprof).stdout).expect("text");
        let mapping = |name: &str| {
            let line = raw.lines().find(|line| line.contains("0xffffffffffffffff/0x0") && line.contains(name));
            line.unwrap_or_else(|| panic!("{name}: {raw}")).to_owned()
        };
        let libc = mapping("libc.so.6");
        let number = libc.split(':').next().expect("a number").trim();
        let build_id = build_id_of("/lib/x86_64-linux-gnu/libc.so.6");
        assert!(libc.contains(&build_id), "{libc}: {build_id}");
        assert!(mapping("sqlite").contains(recorded.report["target"]["build_id"].as_str().expect("a build id")));
        let of = |function: &str| {
            let line = raw.lines().find(|line| line.split_whitespace().nth(3) == Some(function));
            line.unwrap_or_else(|| panic!("{function}: {raw}")).to_owned()
        };
        assert!(of("fsync").contains(&format!("M={number}")), "{}", of("fsync"));
        assert!(of("main.main").contains("M=1"), "{}", of("main.main"));
    }
}

#[test]
fn a_profile_is_not_replaced_by_its_own_export_and_a_reader_that_has_enough_is_no_error() {
    let recorded = sqlite();
    let before = std::fs::read(&recorded.profile).expect("the profile");
    let mut export = command(User::Root);
    let refused =
        export.args(["export", "--format", "pprof", "-o"]).args([&recorded.profile, &recorded.profile]).output();
    let said = String::from_utf8_lossy(&refused.expect("cgoprof runs").stderr).into_owned();
    assert!(said.contains("is the profile itself"), "{said}");
    assert_eq!(std::fs::read(&recorded.profile).expect("the profile"), before);
    for format in ["csv", "speedscope", "html"] {
        let mut writer = command(User::Root);
        writer
            .args(["export", "--format", format])
            .arg(&recorded.profile)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut writer = writer.spawn().expect("cgoprof runs");
        drop(writer.stdout.take());
        let output = writer.wait_with_output().expect("it ends");
        assert!(output.status.success() && output.stderr.is_empty(), "{format}: {output:?}");
    }
}
