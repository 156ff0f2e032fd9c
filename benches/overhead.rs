//! What a recording costs a program: `cargo bench --bench overhead`, or a part of it: `-- sampling`.
//!
//! Every figure is a ratio of runs that alternate, bare and recorded, in this one process tree; the best round
//! of each run counts, and the median over the runs is printed. Nothing here passes or fails.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{User, binary, command, profile_path, report};
use cgoprof_testing::tmux::Tmux;

const RUNS: usize = 5;

fn main() {
    // `cargo test --benches` and the like only want to know that it builds.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    println!("machine: {}, clock read in place: {:.1} ns\n", processor(), clock_read());
    let parts: [(&str, fn()); 10] = [
        ("crossings", || crossing_table("1.26.6")),
        ("whole", || whole_runs("1.26.6")),
        ("before", || crossing_table("1.24.11")),
        ("watched", || watched("1.26.6")),
        ("sampling", || sampling("1.26.6")),
        ("blocked", || blocked("1.27.3")),
        ("rivals", || rivals("1.26.6")),
        ("breakpoints", || breakpoints("1.26.6")),
        ("start-up", start_up),
        ("recorder", || recorder("1.26.6")),
    ];
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    for (_, part) in parts.iter().filter(|(name, _)| only.as_deref().is_none_or(|only| only == *name)) {
        part();
    }
}

/// Nanoseconds of one crossing in the best of a program's rounds, by its own measurement.
fn call_nanos(command: Command) -> f64 {
    measured(command, "call_ns")
}

/// A number that a program prints of itself.
fn measured(mut command: Command, field: &str) -> f64 {
    let output = command.stderr(Stdio::inherit()).output().expect("it runs");
    let truth: Value = output
        .stdout
        .split(|&byte| byte == b'\n')
        .find_map(|line| serde_json::from_slice(line).ok())
        .expect("the program's truth");
    truth[field].as_f64().expect("a number")
}

fn bare(program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args);
    command
}

fn recorded(timing: &str, program: &Path, args: &[&str]) -> Command {
    let mut recorded = command(User::Root);
    recorded.args(["record", "-q", "--timing", timing, "-o"]).arg(profile_path(User::Root)).arg("--").arg(program);
    recorded.args(args);
    recorded
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn crossing_table(release: &'static str) {
    let program = go::build("crossings", Build::of(release));
    println!("Go {release}, per crossing of an empty C function, as a share of the bare call:\n");
    println!("| program | bare | auto | none | every | auto adds | none adds | every adds |");
    println!("|---|---|---|---|---|---|---|---|");
    let programs: [(&str, &[&str]); 7] = [
        ("stack of 4 frames", &["depth", "4"]),
        ("stack of 16 frames", &["depth", "16"]),
        ("stack of 32 frames", &["depth", "32"]),
        ("stack of 60 frames", &["depth", "60"]),
        ("two threads", &["threads", "20000000"]),
        ("one site, four goroutines", &["one-site", "1000000"]),
        ("ten sites, four goroutines", &["sites", "1000000"]),
    ];
    for (name, args) in programs {
        let mut nanos: [Vec<f64>; 4] = Default::default();
        for _ in 0..RUNS {
            nanos[0].push(call_nanos(bare(&program, args)));
            for (index, timing) in ["auto", "none", "every"].into_iter().enumerate() {
                nanos[index + 1].push(call_nanos(recorded(timing, &program, args)));
            }
        }
        let [bare, auto, none, every] = nanos.map(median);
        let share = |value: f64| format!("{:.2}", (value - bare) / bare);
        println!(
            "| {name} | {bare:.1} ns | {auto:.1} ns | {none:.1} ns | {every:.1} ns | {} | {} | {} |",
            share(auto),
            share(none),
            share(every)
        );
    }
    println!();
}

/// What a recording adds to whole runs, not only to their best rounds, on a quiet machine and beside busy neighbours.
fn whole_runs(release: &'static str) {
    const PAIRS: usize = 15;
    println!("Whole runs, Go {release}, the median of {PAIRS} pairs of a bare and a recorded run:\n");
    println!("| program | beside it | bare | auto | auto adds | timed |");
    println!("|---|---|---|---|---|---|");
    let crossings = go::build("crossings", Build::of(release));
    let hot = go::build("hotloop", Build::of(release));
    let programs: [(&str, &Path, &[&str]); 3] = [
        ("stack of 4 frames", &crossings, &["depth", "4"]),
        ("stack of 16 frames", &crossings, &["depth", "16"]),
        ("an int in, an int out", &hot, &[]),
    ];
    for (beside, neighbours) in [("nothing", 0), ("two busy processes", 2)] {
        let _busy: Vec<Neighbour> = (0..neighbours).map(|_| Neighbour::start()).collect();
        for (name, program, args) in programs {
            let (mut bares, mut autos, mut adds, mut timed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            for _ in 0..PAIRS {
                let plain = measured(bare(program, args), "mean_ns");
                let profile = profile_path(User::Root);
                let mut recorded = command(User::Root);
                recorded.args(["record", "-q", "-o"]).arg(&profile).arg("--").arg(program).args(args);
                let auto = measured(recorded, "mean_ns");
                bares.push(plain);
                autos.push(auto);
                adds.push((auto - plain) / plain);
                let totals = &report(&profile)["totals"];
                let number = |field: &str| totals[field].as_f64().expect("a number");
                timed.push(number("timed") / number("crossings"));
            }
            let [bare, auto, adds, timed] = [bares, autos, adds, timed].map(median);
            println!("| {name} | {beside} | {bare:.1} ns | {auto:.1} ns | {adds:.2} | {:.1} % |", timed * 100.0);
        }
    }
    println!();
}

/// A process that keeps a processor busy.
struct Neighbour(std::process::Child);

impl Neighbour {
    fn start() -> Neighbour {
        Neighbour(Command::new("sh").args(["-c", "while :; do :; done"]).spawn().expect("a shell"))
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `top` adds to a recording of a program that keeps all processors busy with crossings.
fn watched(release: &'static str) {
    let program = go::build("crossings", Build::of(release));
    let args = ["threads", "60000000"];
    let mut nanos: [Vec<f64>; 3] = Default::default();
    for _ in 0..RUNS {
        nanos[0].push(call_nanos(bare(&program, &args)));
        nanos[1].push(call_nanos(recorded("auto", &program, &args)));
        let tmux = Tmux::new(120, 40);
        tmux.command(&format!("{} top -- {} {}", binary().display(), program.display(), args.join(" ")));
        // Looking whether it has ended takes time from it.
        std::thread::sleep(Duration::from_secs(5));
        tmux.wait_for("ENDED: the program, status 0");
        tmux.keys(&["q"]);
        let screen = tmux.wait_for("has written is in ");
        let path = screen.lines().find_map(|line| line.split("has written is in ").nth(1)).expect("the file is named");
        nanos[2].push(call_nanos(bare(Path::new("cat"), &[path.trim()])));
        let _ = std::fs::remove_file(path.trim());
    }
    let [bare, recorded, watched] = nanos.map(median);
    println!("Two threads on two processors, Go {release}, per crossing of an empty C function:\n");
    println!("| bare | record | top | record adds | top adds | crossings a second under top |");
    println!("|---|---|---|---|---|---|");
    let adds = |value: f64| (value - bare) / bare;
    let rate = 2.0e9 / watched / 1e6;
    println!(
        "| {bare:.1} ns | {recorded:.1} ns | {watched:.1} ns | {:.2} | {:.2} | {rate:.1} million |\n",
        adds(recorded),
        adds(watched)
    );
}

/// What samples add to a recording: a busy program's processor time, with and without.
fn sampling(release: &'static str) {
    let program = go::build("crossings", Build::of(release));
    let args = ["one-site", "1000000"];
    let ways: [&[&str]; 3] = [&["--no-samples"], &["--freq", "199"], &["--freq", "999"]];
    // What is looked for is smaller than how runs differ: each round is compared with itself.
    let mut ratios: [Vec<f64>; 2] = Default::default();
    for _ in 0..4 * RUNS {
        let nanos = ways.map(|way| {
            let mut recorded = command(User::Root);
            recorded.args(["record", "-q", "--timing", "none", "-o"]).arg(profile_path(User::Root)).args(way);
            recorded.arg("--").arg(&program).args(args);
            call_nanos(recorded)
        });
        ratios[0].push(nanos[1] / nanos[0]);
        ratios[1].push(nanos[2] / nanos[0]);
    }
    let [usual, often] = ratios.map(median);
    println!("Samples, Go {release}, added to a recording without, as a share of the program's processor time:\n");
    println!("| samples a second | adds |");
    println!("|---|---|");
    for (frequency, ratio) in [(199, usual), (999, often)] {
        println!("| {frequency} | {:.1} % |", (ratio - 1.0) * 100.0);
    }
    println!();
}

/// What it takes to see where 200 threads are blocked, each 25 times a second.
fn blocked(release: &'static str) {
    const WAYS: [(&str, User, &[&str]); 4] = [
        ("--no-samples, as nobody", User::Nobody, &["--no-samples"]),
        ("looks, as nobody", User::Nobody, &[]),
        ("looks or every wait, as root", User::Root, &[]),
        ("every wait (--waits every), as root", User::Root, &["--waits", "every"]),
    ];
    let program = go::build("manythreads", Build::of(release));
    let args = ["napping", "200"];
    let mut bare_nanos = Vec::new();
    let mut ways: [[Vec<f64>; 3]; WAYS.len()] = Default::default();
    for _ in 0..RUNS {
        bare_nanos.push(measured(bare(&program, &args), "nap_cpu_ns"));
        for ((_, user, options), [nanos, looks, seen]) in WAYS.into_iter().zip(&mut ways) {
            let profile = profile_path(user);
            let mut recorded = command(user);
            recorded.args(["record", "-q", "-o"]).arg(&profile).args(options).arg("--").arg(&program).args(args);
            nanos.push(measured(recorded, "nap_cpu_ns"));
            let recording = &report(&profile)["recording"];
            let share = |field: &str| {
                recording[field].as_f64().unwrap_or(0.0) / recording["duration_ns"].as_f64().expect("a time")
            };
            looks.push(share("looks_cost_ns"));
            seen.push(share("every_wait_ns"));
        }
    }
    let bare = median(bare_nanos);
    println!(
        "200 threads that are blocked 25 times a second each, {:.1} us of processor time for one wait, Go {release}:\n",
        bare / 1e3
    );
    println!("| recorded with | adds to a wait | looks take, of a processor | every wait is seen |");
    println!("|---|---|---|---|");
    for ((name, ..), [nanos, looks, seen]) in WAYS.into_iter().zip(ways) {
        let added = median(nanos) - bare;
        let percent = |share: f64| format!("{:.2} %", share * 100.0);
        let (looks, seen) = (percent(median(looks)), percent(median(seen)));
        println!("| {name} | {:.1} us, {:.1} % | {looks} | {seen} of the run |", added / 1e3, added / bare * 100.0);
    }
    println!();
}

fn rivals(release: &'static str) {
    let program = go::build("crossings", Build::of(release));
    println!("Beside it, Go {release}, stack of 4 frames:\n");
    println!("| tool | per crossing | as a share of the bare call |");
    println!("|---|---|---|");
    let args = ["depth", "4"];
    let (mut plain, mut traced) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        plain.push(call_nanos(bare(&program, &args)));
        let mut command = bare(&program, &args);
        command.env("BENCH_TRACE", "1");
        traced.push(call_nanos(command));
    }
    let (plain, traced) = (median(plain), median(traced));
    println!("| none | {plain:.1} ns | |");
    println!("| Go's execution tracer | {traced:.1} ns | {:.2} |", (traced - plain) / plain);
    println!();
}

/// The uprobe engine beside bpftrace: breakpoints both, in alternation.
fn breakpoints(release: &'static str) {
    let program = go::build("crossings", Build::of(release));
    let shown = program.display();
    if Command::new("bpftrace").arg("--version").output().is_err() {
        println!("bpftrace is not installed: nothing to compare the uprobe engine with\n");
        return;
    }
    let pair = format!(
        "uprobe:{shown}:runtime.cgocall {{ @start[tid] = nsecs; }} \
         uprobe:{shown}:runtime.exitsyscall /@start[tid]/ {{ @ns = hist(nsecs - @start[tid]); delete(@start[tid]); }}"
    );
    // What the engine finds, but for nesting: calls, sums and spreads by Go stack, C function and lock state; the
    // goroutine and M of each. The offsets are those of Go 1.26 (runtime/runtime2.go).
    let same = format!(
        "uprobe:{shown}:runtime.cgocall {{ $g = reg(\"r14\"); $m = *(uint64*)($g+48); @start[tid] = nsecs; \
           @fn[tid] = reg(\"ax\"); @stack[tid] = ustack(64); @locked[tid] = *(uint32*)($m+648); \
           @goid[tid] = *(uint64*)($g+152); @m[tid] = *(uint64*)($m+232); }} \
         uprobe:{shown}:runtime.exitsyscall /@start[tid]/ {{ $ns = nsecs - @start[tid]; \
           @calls[@stack[tid], @fn[tid], @locked[tid]] = count(); @sum[@stack[tid], @fn[tid], @locked[tid]] = sum($ns); \
           @ns[@stack[tid], @fn[tid], @locked[tid]] = hist($ns); delete(@start[tid]); }}"
    );
    let args = ["threads", "100000"];
    let bpftrace = |script: &str| {
        let mut command = Command::new("bpftrace");
        command.arg("-q").arg("-e").arg(script).arg("-c").arg(format!("{shown} {}", args.join(" ")));
        command
    };
    let probed = || {
        let mut command = command(User::Root);
        command.args(["record", "-q", "--engine", "uprobe", "-o"]).arg(profile_path(User::Root)).arg("--");
        command.arg(&program).args(args);
        command
    };
    let mut nanos: [Vec<f64>; 3] = Default::default();
    for _ in 0..RUNS {
        for (command, nanos) in [bpftrace(&pair), bpftrace(&same), probed()].into_iter().zip(&mut nanos) {
            nanos.push(call_nanos(command));
        }
    }
    let [pair, same, probed] = nanos.map(median);
    println!("By breakpoints, Go {release}, two threads:\n");
    println!("| tool | per crossing | beside bpftrace with the same information |");
    println!("|---|---|---|");
    println!("| bpftrace, entry and exit with one histogram | {pair:.0} ns | {:.2} |", pair / same);
    println!("| bpftrace, by stack, function and lock state, goroutine and M | {same:.0} ns | 1 |");
    println!("| cgoprof record --engine uprobe | {probed:.0} ns | {:.2} |", probed / same);
    println!();
}

fn start_up() {
    println!("Start-up, whole process of one crossing more or less:\n");
    println!("| program | bare | recorded | difference |");
    println!("|---|---|---|---|");
    let small = go::build("crossings", Build::of("1.26.6"));
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len()) / (1 << 20);
    let large = padded(&small);
    for program in [small, large] {
        let time = |mut command: Command| {
            let start = Instant::now();
            assert!(command.stdout(Stdio::null()).status().expect("it runs").success());
            start.elapsed().as_secs_f64() * 1e3
        };
        let (mut plain, mut with) = (Vec::new(), Vec::new());
        for _ in 0..9 {
            plain.push(time(bare(&program, &["hot", "1"])));
            with.push(time(recorded("auto", &program, &["hot", "1"])));
        }
        let (plain, with) = (median(plain), median(with));
        println!("| {} MB | {plain:.1} ms | {with:.1} ms | {:.1} ms |", size(&program), with - plain);
    }
    println!();
}

/// The program with 100 MB of debug information more.
fn padded(program: &Path) -> std::path::PathBuf {
    let padding = go::shared_dir().join("padding");
    std::fs::write(&padding, vec![0x5a; 100 << 20]).expect("padding");
    let large = go::shared_dir().join("large");
    let mut objcopy = Command::new("objcopy");
    objcopy.arg("--add-section").arg(format!(".debug_padding={}", padding.display())).arg(program).arg(&large);
    cgoprof_testing::recording::succeeds(&mut objcopy);
    large
}

/// CPU time and memory of the recorder beside a busy program.
fn recorder(release: &'static str) {
    let program = go::build("crossings", Build::of(release));
    let profile = profile_path(User::Root);
    let mut recorder = command(User::Root);
    recorder.args(["record", "-q", "-o"]).arg(&profile).arg("--").arg(&program).args(["threads", "400000000"]);
    let mut child = recorder.stdout(Stdio::null()).spawn().expect("it runs");
    let (start, mut last) = (Instant::now(), (0.0, 0, 0.0));
    while child.try_wait().expect("a child").is_none() {
        // A thread that has ended takes what it used with it: at the end there is less than before.
        if let Some((cpu, resident)) = usage(child.id()).filter(|usage| usage.0 >= last.0) {
            last = (cpu, resident.max(last.1), start.elapsed().as_secs_f64());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let report = report(&profile);
    let seconds = report["recording"]["duration_ns"].as_f64().unwrap_or(1.0) / 1e9;
    let rate = report["totals"]["crossings"].as_f64().unwrap_or(0.0) / seconds;
    println!("Recorder, while the program makes {:.1} million crossings a second:", rate / 1e6);
    println!("{:.2} % of a core, at most {:.1} MB resident", last.0 / last.2 * 100.0, last.1 as f64 / 1e6);
}

/// CPU seconds, as the scheduler counts them for each thread, and resident bytes of a process.
fn usage(pid: u32) -> Option<(f64, u64)> {
    let mut nanos = 0.0;
    for thread in std::fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        let times = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        nanos += times.split_whitespace().next()?.parse::<f64>().ok()?;
    }
    let memory = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = memory.split_whitespace().nth(1)?.parse().ok()?;
    Some((nanos / 1e9, pages * 4096))
}

fn processor() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    name.unwrap_or("unknown").to_owned()
}

fn clock_read() -> f64 {
    let found = cgoprof_collector::engines::trampoline::calibrate().unwrap_or_default();
    let (start, ticks) = (Instant::now(), cgoprof_collector::clock::ticks());
    std::thread::sleep(Duration::from_millis(50));
    let rate = (cgoprof_collector::clock::ticks() - ticks) as f64 / start.elapsed().as_nanos() as f64;
    found.clock_read / rate
}
