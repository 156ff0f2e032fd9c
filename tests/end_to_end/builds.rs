//! Builds other than the usual: of debuggers, without inlining, against Spectre, guided by profiles, with headers missing.
//!
//! `cargo test --release --test end_to_end builds -- --nocapture` prints the table of releases and builds with their counts.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::recording::{Recorded, User, check_calls, check_counts, notes, record, succeeds};

/// Ways to build, and the releases that can't: Go's own assembly refuses 1.26 to be built so.
const WAYS: [(&[&str], &[&str]); 5] = [
    (&["-gcflags=all=-N -l"], &[]),
    (&["-gcflags=all=-l"], &[]),
    (&["-gcflags=all=-l=4"], &[]),
    (&["-gcflags=all=-spectre=ret", "-asmflags=all=-spectre=ret"], &["1.26.6"]),
    (&["-gcflags=all=-spectre=all", "-asmflags=all=-spectre=all"], &["1.26.6"]),
];

const SCENARIOS: [(&str, &str); 8] = [
    ("hot", "20000"),
    ("sites", "1000"),
    ("nested", "100"),
    ("panics", "100"),
    ("stacks", "10"),
    ("errno", "300"),
    ("locked", "300"),
    ("foreign", "20"),
];

#[test]
fn builds_without_inlining_and_against_spectre_are_counted_exactly() {
    let mut table = String::new();
    for release in go::releases() {
        for (args, refused) in WAYS {
            if refused.contains(&release) {
                let _ = writeln!(table, "{release:8} {:60} go build refuses it", args[0]);
                continue;
            }
            let program = go::build("crossings", Build { release, args });
            let mut counted = 0;
            for (scenario, size) in SCENARIOS {
                let recorded = record(User::Nobody, &["--engine", "trampoline"], &program, &[scenario, size]);
                check_counts(&format!("{scenario} of {release} {args:?}"), &recorded);
                counted += recorded.truth["num_cgo_call"].as_u64().expect("a count");
            }
            let _ = writeln!(table, "{release:8} {:60} {counted:7} crossings, as NumCgoCall", args[0]);
        }
    }
    println!("{table}");
}

/// A program built with a profile of its own.
fn guided(release: &'static str) -> PathBuf {
    let plain = go::build("guided", Build::of(release));
    let profile = shared_dir().join(format!("guided-{release}.pprof"));
    succeeds(Command::new(plain).arg(&profile));
    let output = shared_dir().join(format!("guided-{release}"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-programs/guided");
    let mut build = Command::new(go::command(release));
    build.arg("build").arg(format!("-pgo={}", profile.display())).arg("-o").arg(&output).arg(".").current_dir(source);
    succeeds(build.envs([("GOTOOLCHAIN", "local"), ("GOWORK", "off"), ("GOFLAGS", "-mod=mod")]));
    output
}

/// `reentersyscall` and `LockOSThread` are inlined then wherever they are used: no engine worked, and locks were missing.
#[test]
fn builds_guided_by_a_profile_have_their_callbacks_and_locks() {
    for release in ["1.22.10", "1.24.11", "1.26.6", "1.27.3"].into_iter().filter(|release| go::is_covered(release)) {
        let program = guided(release);
        for (user, engine) in [(User::Nobody, "trampoline"), (User::Root, "uprobe")] {
            let recorded = record(user, &["--engine", engine], &program, &[]);
            let what = format!("guided {release} by {engine}");
            check_counts(&what, &recorded);
            if engine == "trampoline" {
                let locks = recorded.report["locks"].as_array().expect("locks");
                assert_eq!(locks.len(), 1, "{what}: {locks:?}");
                assert_eq!(locks[0]["locks"], recorded.truth["locks"], "{what}");
                let place = &locks[0]["frames"][0];
                assert_eq!(place["name"], "main.pinned", "{what}: {}", locks[0]);
            }
        }
    }
}

fn changed(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = std::fs::read(go::build("crossings", Build::newest())).expect("the program");
    change(&mut bytes);
    let path = shared_dir().join(name);
    std::fs::write(&path, bytes).expect("a file");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("its mode");
    path
}

fn check(program: &Path) -> Recorded {
    let recorded = record(User::Nobody, &["--engine", "trampoline"], program, &["nested", "50"]);
    check_counts(&program.display().to_string(), &recorded);
    recorded
}

#[test]
fn programs_without_section_headers_or_build_information_are_go_programs() {
    const SECTIONS: usize = 0x28;
    check(&changed("no-sections", |elf| {
        elf[SECTIONS..SECTIONS + 8].fill(0);
        elf[0x3c..0x40].fill(0);
    }));
    check(&changed("bad-sections", |elf| elf[SECTIONS..SECTIONS + 8].copy_from_slice(&(1u64 << 40).to_le_bytes())));
    let stripped = shared_dir().join("no-build-information");
    let mut strip = Command::new("strip");
    strip.args(["-R", ".go.buildinfo", "-o"]).arg(&stripped).arg(go::build("crossings", Build::newest()));
    succeeds(&mut strip);
    let recorded = check(&stripped);
    assert_eq!(recorded.report["target"]["go_version"], format!("go{}", Build::newest().release));
    // What the runtime calls is known without symbols.
    let names: Vec<_> =
        recorded.report["functions"].as_array().expect("functions").iter().map(|f| &f["name"]).collect();
    assert!(names.contains(&&"x_cgo_thread_start".into()), "{names:?}");
    assert!(notes(&recorded.report).contains("stripped"), "{}", notes(&recorded.report));
}

#[test]
fn releases_that_nobody_has_tested_are_tried_and_said_to_be() {
    let newest = format!("go{}", Build::newest().release);
    for version in ["go1.98.1", "go1.99.0", "devel +a", &format!("t{}", &newest[1..])] {
        let program = changed("untested", |elf| {
            let magic = b"\xff Go buildinf:\x08";
            let at = elf.windows(magic.len()).position(|window| window == magic).expect("build information") + 33;
            assert_eq!(&elf[at..at + newest.len()], newest.as_bytes());
            elf[at..at + newest.len()].copy_from_slice(version.as_bytes());
        });
        let recorded = check(&program);
        let notes = notes(&recorded.report);
        assert!(notes.contains(version) && notes.contains("untested"), "{version}: {notes}");
        let sampled = record(User::Nobody, &["--engine", "sample"], &program, &["hot", "2000000"]);
        assert_eq!(sampled.report["recording"]["engine"], "sample");
    }
}

#[test]
fn thread_local_storage_of_more_than_a_page_is_no_obstacle() {
    let ways: [&[&str]; 3] = [&[], &["-buildmode=pie"], &["-ldflags=-extldflags=-static"]];
    for release in ["1.19", "1.21.13", "1.27.3"].into_iter().filter(|release| go::is_covered(release)) {
        for args in ways {
            let program = go::build("tls", Build { release, args });
            let recorded = record(User::Nobody, &["--engine", "trampoline"], &program, &[]);
            check_calls(&format!("{release} {args:?}"), &recorded);
        }
    }
}
