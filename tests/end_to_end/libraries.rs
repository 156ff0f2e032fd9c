//! Real C libraries through real Go modules, shared objects, purego, and libraries that skip the scheduler.

use std::process::Command;

use serde_json::Value;

use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::recording::{
    Recorded, User, calls, check_counts, command, profile_path, record, report, succeeds,
};

const NO_LINKNAME_CHECK: Build = Build { release: "1.27.3", args: &["-ldflags=-checklinkname=0"] };

/// Records a program with both engines that count: all that is known of it must hold for each.
fn by_each(program: &std::path::Path) -> impl Iterator<Item = Recorded> {
    let engines = [(User::Nobody, "trampoline"), (User::Root, "uprobe")];
    engines.into_iter().map(|(user, engine)| record(user, &["--engine", engine], program, &[]))
}

fn function<'a>(report: &'a Value, name: &str) -> &'a Value {
    let functions = report["functions"].as_array().expect("functions");
    functions.iter().find(|function| function["name"] == name).unwrap_or_else(|| panic!("no function {name}"))
}

#[test]
fn sqlite_inserts_and_scans() {
    let program = go::build("sqlite", Build::newest());
    for recorded in by_each(&program) {
        check_counts("sqlite", &recorded);
        let steps: u64 = calls(&recorded.report, "cgocall")
            .iter()
            .filter(|(name, _)| name.contains("step"))
            .map(|(_, calls)| calls)
            .sum();
        assert!(steps >= recorded.truth["least_steps"].as_u64().expect("least_steps"), "{steps} steps");
        let step = function(&recorded.report, "_sqlite3_step_internal");
        assert_eq!(step["package"], "github.com/mattn/go-sqlite3");
        let sites = recorded.report["sites"].as_array().expect("sites");
        let caller = sites.iter().find(|site| site["function"] == "_sqlite3_step_internal").expect("a site");
        assert!(caller["file"].as_str().is_some_and(|file| file.ends_with("sqlite3.go")), "{caller}");
        assert!(caller["line"].as_u64() > Some(0), "{caller}");
    }
}

#[test]
fn sqlite_own_test_suite_passes_as_without_us() {
    let release = "1.26.6";
    let module = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-programs/sqlite");
    let go = go::command(release);
    let environment = [("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=mod"), ("GOWORK", "off")];
    let suite = shared_dir().join("sqlite.test");
    let mut build = Command::new(&go);
    build
        .args(["test", "-c", "-o"])
        .arg(&suite)
        .arg("github.com/mattn/go-sqlite3")
        .envs(environment)
        .current_dir(&module);
    succeeds(&mut build);
    // The tests read files beside their sources.
    let mut list = Command::new(&go);
    list.args(["list", "-f", "{{.Dir}}", "github.com/mattn/go-sqlite3"]).envs(environment).current_dir(&module);
    let sources = String::from_utf8(succeeds(&mut list).stdout).expect("a path");

    let outcome = |mut command: Command| {
        let output = command.current_dir(sources.trim()).output().expect("the suite runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let verdict = |line: &&str| line.trim_start().starts_with("--- ") || *line == "PASS" || *line == "FAIL";
        let without_times = |line: &str| line.split(" (").next().unwrap_or_default().to_owned();
        let verdicts: Vec<String> = text.lines().filter(verdict).map(without_times).collect();
        (output.status.code(), verdicts)
    };
    let mut bare = Command::new(&suite);
    bare.arg("-test.v");
    let profile = profile_path(User::Root);
    let mut recorded = command(User::Root);
    recorded.args(["record", "-q", "-o"]).arg(&profile).arg("--").arg(&suite).arg("-test.v");
    let (bare, recorded) = (outcome(bare), outcome(recorded));
    assert_eq!(bare.0, Some(0), "the suite passes by itself");
    assert!(bare.1.len() > 50, "the suite has tests: {}", bare.1.len());
    assert_eq!(bare, recorded);
    let crossings = report(&profile)["totals"]["crossings"].as_u64();
    assert!(crossings > Some(10_000), "{crossings:?}");
}

#[test]
fn zstd_compresses() {
    let program = go::build("zstd", Build::newest());
    for recorded in by_each(&program) {
        check_counts("zstd", &recorded);
        let blocks = &recorded.truth["blocks"];
        assert_eq!(&function(&recorded.report, "ZSTD_compress")["calls"], blocks);
        assert_eq!(&function(&recorded.report, "ZSTD_decompress")["calls"], blocks);
        let sum: u64 = calls(&recorded.report, "cgocall").values().sum();
        assert_eq!(Some(sum), recorded.truth["num_cgo_call"].as_u64());
    }
}

#[test]
fn a_function_of_a_shared_object_names_its_library() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-programs/sharedlib");
    let libraries = shared_dir();
    succeeds(Command::new("make").arg("-s").arg(format!("LIBDIR={}", libraries.display())).current_dir(&source));
    let program = shared_dir().join("sharedlib");
    for (release, more) in [("1.19", ""), ("1.27.3", "-s -w")] {
        let mut build = Command::new(go::command(release));
        build.arg("build").arg(format!("-ldflags={more}")).arg("-o").arg(&program).arg(".").current_dir(&source);
        let flags = format!("-L{0} -Wl,-rpath,{0}", libraries.display());
        succeeds(build.envs([("GOTOOLCHAIN", "local"), ("CGO_LDFLAGS_ALLOW", ".*"), ("CGO_LDFLAGS", &flags)]));
        for recorded in by_each(&program) {
            check_counts("sharedlib", &recorded);
            let library = function(&recorded.report, "border_cross")["library"].clone();
            assert!(library.as_str().is_some_and(|path| path.ends_with("/libborder.so")), "Go {release}: {library}");
        }
    }
}

#[test]
fn purego_is_seen_through() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-programs/purego");
    for (cgo, flags) in [("0", ""), ("0", "-s -w"), ("1", "")] {
        let program = shared_dir().join(format!("purego{cgo}{}", flags.len()));
        let mut build = Command::new(go::command("1.27.3"));
        build.arg("build").arg(format!("-ldflags={flags}")).arg("-o").arg(&program).arg(".").current_dir(&source);
        succeeds(build.envs([("GOTOOLCHAIN", "local"), ("GOFLAGS", "-mod=mod"), ("CGO_ENABLED", cgo)]));
        for recorded in by_each(&program) {
            check_counts(&format!("purego with CGO_ENABLED={cgo} {flags}"), &recorded);
            let library = function(&recorded.report, "labs")["library"].clone();
            assert!(library.as_str().is_some_and(|path| path.contains("libc.so")), "{library}");
            let sites = recorded.report["sites"].as_array().expect("sites");
            let caller = sites.iter().find(|site| site["function"] == "labs").expect("a site");
            assert_eq!(caller["caller"], "main.main", "{caller}");
        }
    }
}

#[test]
fn direct_crossings_are_counted_apart() {
    for build in [Build::of("1.19"), Build::of("1.21.13"), NO_LINKNAME_CHECK]
        .into_iter()
        .filter(|build| go::is_covered(build.release))
    {
        let program = go::build("direct", build);
        for recorded in by_each(&program) {
            check_counts(&format!("direct of {build:?}"), &recorded);
            let direct = calls(&recorded.report, "direct");
            let expected = recorded.truth["direct"].as_object().expect("direct");
            assert_eq!(direct.len(), expected.len(), "{direct:?}");
            for (name, calls) in expected {
                assert_eq!(direct.get(name).copied(), calls.as_u64(), "{build:?}: {direct:?}");
            }
            // A probe after them would be single-stepped.
            let probed = recorded.report["recording"]["engine"] == "uprobe";
            let nop = function(&recorded.report, "direct_nop");
            assert_eq!(nop["package"], "main");
            assert!(nop["enter_ns"].is_null() && nop["c_ns"].is_null() == probed, "{nop}");
            let own: u64 = calls(&recorded.report, "runtime").values().sum();
            assert_eq!(recorded.report["totals"]["direct"].as_u64(), Some(own + direct.values().sum::<u64>()));
            assert!(own > 0, "the runtime starts its threads by direct crossings");
        }
    }
}

#[test]
fn names_come_from_the_go_side_when_symbols_are_stripped() {
    let program = go::build("crossings", Build { release: "1.27.3", args: &["-ldflags=-s -w"] });
    let recorded = record(User::Root, &[], &program, &["strings", "100"]);
    let free = function(&recorded.report, "free");
    assert_eq!(free["package"], "main");
    assert!(free["symbol"].is_null(), "{free}");
    assert!(free["library"].as_str().is_some_and(|library| library.contains("libc")), "{free}");
    let site =
        &recorded.report["sites"].as_array().expect("sites").iter().find(|site| site["function"] == "malloc").cloned();
    let site = site.as_ref().expect("malloc's site");
    assert_eq!(site["caller"], "main.cStrings");
    assert!(site["line"].as_u64() > Some(0));
}

#[test]
fn programs_linked_by_gos_own_linker() {
    const WAYS: [&[&str]; 3] = [
        &["-tags=netcgo", "-ldflags=-linkmode=internal"],
        &["-tags=netcgo", "-ldflags=-linkmode=internal -s -w"],
        &["-tags=netcgo", "-buildmode=pie", "-ldflags=-linkmode=internal"],
    ];
    for release in ["1.21.13", "1.25.5", "1.26.6", "1.27.3"] {
        for args in WAYS {
            let program = go::build("resolver", Build { release, args });
            for recorded in by_each(&program) {
                check_counts(&format!("resolver of Go {release} {args:?}"), &recorded);
                assert_eq!(function(&recorded.report, "getaddrinfo")["package"], "net");
            }
        }
    }
}

#[test]
fn a_program_that_the_dynamic_linker_refuses_keeps_its_status() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-programs/sharedlib");
    let libraries = shared_dir().join("not-on-the-path");
    std::fs::create_dir_all(&libraries).expect("a folder");
    succeeds(Command::new("make").arg("-s").arg(format!("LIBDIR={}", libraries.display())).current_dir(&source));
    let program = shared_dir().join("unlinked");
    let mut build = Command::new(go::command("1.27.3"));
    build.args(["build", "-o"]).arg(&program).arg(".").current_dir(&source);
    let flags = format!("-L{}", libraries.display());
    succeeds(build.envs([("GOTOOLCHAIN", "local"), ("CGO_LDFLAGS_ALLOW", ".*"), ("CGO_LDFLAGS", &flags)]));
    let output =
        command(User::Root).args(["record", "-o"]).arg(profile_path(User::Root)).arg("--").arg(&program).output();
    let output = output.expect("cgoprof runs");
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(127), "{messages}");
    assert!(messages.contains("libborder.so") && messages.contains("without being recorded"), "{messages}");
}

/// Records the program of the shared object, which waits until `change` has been done to the library that it runs with.
fn with_changed_library(engine: &str, change: impl Fn(&std::path::Path)) -> (Option<i32>, Value) {
    use std::io::Write as _;
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-programs/sharedlib");
    let libraries = tempfile::tempdir().expect("a folder");
    let folder = libraries.path();
    succeeds(Command::new("make").arg("-s").arg(format!("LIBDIR={}", folder.display())).current_dir(&source));
    let program = folder.join("program");
    let mut build = Command::new(go::command("1.27.3"));
    build.args(["build", "-o"]).arg(&program).arg(".").current_dir(&source);
    let flags = format!("-L{0} -Wl,-rpath,{0}", folder.display());
    succeeds(build.envs([("GOTOOLCHAIN", "local"), ("CGO_LDFLAGS_ALLOW", ".*"), ("CGO_LDFLAGS", &flags)]));
    let profile = profile_path(User::Root);
    let mut recorder = command(User::Root);
    recorder.args(["record", "-q", "--engine", engine, "-o"]).arg(&profile).arg("--").arg(&program);
    let recorder = recorder.env("CROSSINGS_WAIT", "1").stdin(std::process::Stdio::piped());
    let mut recorder =
        recorder.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().expect("cgoprof runs");
    std::thread::sleep(std::time::Duration::from_millis(700));
    change(&folder.join("libborder.so"));
    recorder.stdin.take().expect("stdin").write_all(b"x").expect("the program reads");
    (recorder.wait().expect("it ends").code(), report(&profile))
}

#[test]
fn a_library_that_is_replaced_deleted_or_cut_off_is_named_as_it_was() {
    let replace = |library: &std::path::Path| {
        let other = library.with_extension("new");
        std::fs::copy("/usr/bin/true", &other).expect("another file");
        std::fs::rename(other, library).expect("in its place");
    };
    let delete = |library: &std::path::Path| std::fs::remove_file(library).expect("deleted");
    for engine in ["trampoline", "uprobe"] {
        for (what, change) in [("replaced", &replace as &dyn Fn(&std::path::Path)), ("deleted", &delete)] {
            let (status, report) = with_changed_library(engine, change);
            let row = function(&report, "border_cross");
            assert_eq!((status, &row["calls"]), (Some(0), &20_000.into()), "{engine}: {what}");
            assert!(row["library"].as_str().is_some_and(|path| path.ends_with("/libborder.so")), "{what}: {row}");
        }
    }
    // Whoever runs code that is gone gets SIGBUS, of which a Go program dies with status 2; we do not.
    let cut = |library: &std::path::Path| {
        std::fs::File::options().write(true).open(library).and_then(|file| file.set_len(0)).expect("cut off");
    };
    let (status, report) = with_changed_library("trampoline", cut);
    assert_eq!((status, &report["recording"]["engine"]), (Some(2), &"trampoline".into()));
}

#[test]
fn c_without_unwind_information_is_never_given_to_the_wrong_crossing() {
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-programs/inside");
    let program = shared_dir().join("inside-without-cfi");
    let mut build = Command::new(go::command("1.26.6"));
    build.args(["build", "-o"]).arg(&program).arg(".").current_dir(&source);
    let flags = "-O2 -fno-asynchronous-unwind-tables -fno-unwind-tables";
    succeeds(build.envs([("GOTOOLCHAIN", "local"), ("CGO_CFLAGS", flags)]));
    for engine in ["trampoline", "uprobe", "sample"] {
        let recorded = record(User::Root, &["--freq", "999", "--engine", engine], &program, &["2"]);
        let mut seen = 0;
        for row in recorded.report["samples"].as_array().expect("samples") {
            let expected = match row["frames"][0]["name"].as_str() {
                Some("light" | "middle_work" | "bottom") => "outer",
                Some("heavy") => "other",
                _ => continue,
            };
            seen += row["samples"].as_u64().expect("samples");
            let right = row["function"] == expected || row["function"].is_null() && row["truncated"] == true;
            assert!(right, "{engine}: {row:#}");
        }
        assert!(seen > 500, "{engine}: {seen}");
    }
}
