//! Crossings per operation of Go benchmarks.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{User, command, profile_path, succeeds};

fn module(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-programs").join(name)
}

fn newest() -> &'static str {
    Build::newest().release
}

/// Runs `cgoprof bench` in a module, with a Go release.
fn bench(release: &'static str, module: &Path, more: &str, args: &[&str]) -> Output {
    let mut bench = command(User::Root);
    let go = go::command(release);
    let path = format!("{}:{}", go.parent().expect("a folder").display(), std::env::var("PATH").expect("PATH"));
    bench.arg("bench").args(args).current_dir(module).env("PATH", path).env("MORE", more);
    // The tests of one module write their own counts there.
    bench.env("COUNTS", go::shared_dir());
    bench.env("GOTOOLCHAIN", "local").env("GOWORK", "off").output().expect("cgoprof runs")
}

/// The crossings per operation of each line.
fn per_operation(lines: &str) -> Vec<(String, f64)> {
    let lines = lines.lines().filter(|line| line.starts_with("Benchmark")).map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[3], "cgo-crossings/op", "{line}");
        let name = words[0].rsplit_once('-').map_or(words[0], |(name, _)| name);
        (name.to_owned(), words[2].parse().expect("a number"))
    });
    lines.collect()
}

#[test]
fn crossings_per_operation_are_those_that_a_benchmark_makes() {
    let output = bench(newest(), &module("benchmarks"), "", &["--operations", "500", "--timing", "every"]);
    let (lines, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    let expected = [
        ("BenchmarkN", 3.0),
        // The crossings before its loop are not the loop's.
        ("BenchmarkLoop", 2.0),
        ("BenchmarkParts/n=1", 1.0),
        ("BenchmarkParts/n=4", 4.0),
        ("BenchmarkSizes/size-8", 8.0),
        ("BenchmarkParallel", 5.0),
        ("BenchmarkNone", 0.0),
        ("BenchmarkElsewhere", 0.0),
    ];
    assert_eq!(per_operation(&lines), expected.map(|(name, crossings)| (name.to_owned(), crossings)), "{lines}");
    assert!(lines.contains("pkg: benchmarks\n") && lines.contains(" cgo-ns/op "), "{lines}");
    assert!(
        said.contains("BenchmarkElsewhere") && said.contains("501 crossings of goroutines that it started"),
        "{said}"
    );
}

#[test]
fn benchstat_shows_that_a_later_version_crosses_more_often() {
    let files = ["", "2"].map(|more| {
        let file = profile_path(User::Root).with_extension("txt");
        let named = file.to_str().expect("a path");
        let args = ["--bench", "^BenchmarkN$", "--operations", "200", "--count", "6", "-o", named];
        let output = bench(newest(), &module("benchmarks"), more, &args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        file
    });
    let mut benchstat = Command::new(go::reader("benchstat", "golang.org/x/perf/cmd/benchstat"));
    let table = String::from_utf8(succeeds(benchstat.args(["-format", "csv"]).args(&files)).stdout).expect("text");
    let mut parts = table.split("\n\n").filter(|part| part.contains("cgo-crossings/op"));
    let row = parts.next().expect("a table").lines().find(|line| line.starts_with("N-")).expect("a row");
    let cells: Vec<&str> = row.split(',').collect();
    assert_eq!((cells[1], cells[3], cells[5]), ("3", "5", "+66.67%"), "{table}");
}

#[test]
fn packages_without_crossings_are_named_and_those_without_benchmarks_are_an_error() {
    let output = bench(newest(), &module("family"), "", &["--operations", "10", "./..."]);
    let (lines, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert_eq!(per_operation(&lines), [("BenchmarkCross".to_owned(), 1.0)], "{lines}");
    assert!(said.contains("family/pure: its benchmarks are not recorded: "), "{said}");
    let none = bench(newest(), &module("family"), "", &["--bench", "NoSuch", "./border"]);
    let said = String::from_utf8_lossy(&none.stderr);
    assert!(
        none.status.code() == Some(125) && said.contains("no benchmark in these packages matches NoSuch"),
        "{said}"
    );
}

/// Names of parts may look like a number of processors, and packages of other modules are built where the command runs.
#[test]
fn names_that_end_in_a_number_are_run_with_one_processor_too() {
    let mut bench = command(User::Root);
    let go = go::command(newest());
    let path = format!("{}:{}", go.parent().expect("a folder").display(), std::env::var("PATH").expect("PATH"));
    bench.args(["bench", "--operations", "50", "--bench", "Sizes"]).current_dir(module("benchmarks"));
    bench.env("PATH", path).env("GOTOOLCHAIN", "local").env("GOWORK", "off").env("GOMAXPROCS", "1");
    let lines = String::from_utf8(succeeds(&mut bench).stdout).expect("text");
    assert!(lines.contains("BenchmarkSizes/size-8 50 8.000 cgo-crossings/op"), "{lines}");
}

#[test]
fn a_file_of_lines_stays_as_it_was_if_nothing_is_run() {
    let file = profile_path(User::Root).with_extension("txt");
    std::fs::write(&file, "older").expect("a file");
    for args in [["--bench", "NoSuch"], ["--bench", "."]] {
        let package = if args[1] == "." { "./nosuch" } else { "." };
        let named = file.to_str().expect("a path");
        let output = bench(newest(), &module("benchmarks"), "", &[args[0], args[1], "-o", named, package]);
        assert_eq!(output.status.code(), Some(125));
        assert_eq!(std::fs::read_to_string(&file).expect("a file"), "older");
    }
}

/// A release whose testing package is another.
#[test]
fn benchmarks_of_the_oldest_release_are_told_apart_too() {
    let folder = profile_path(User::Root).with_extension("module");
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::copy(module("benchmarks").join("cross.go"), folder.join("cross.go")).expect("a copy");
    std::fs::write(folder.join("go.mod"), "module benchmarks\n\ngo 1.19\n").expect("a file");
    let test = "package benchmarks\n\nimport \"testing\"\n\nfunc BenchmarkN(b *testing.B) {\n\tfor i := 0; i < b.N; i++ {\n\t\tCross(3)\n\t}\n}\n";
    std::fs::write(folder.join("cross_test.go"), test).expect("a file");
    let output = bench("1.19", &folder, "", &["--operations", "100"]);
    let lines = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        per_operation(&lines),
        [("BenchmarkN".to_owned(), 3.0)],
        "{lines}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
