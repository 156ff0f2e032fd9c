//! What we read from binaries against what others read from them, for every Go release.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use cgoprof_symbols::buildinfo::BuildInfo;
use cgoprof_symbols::dwarf_offsets::Structs;
use cgoprof_symbols::pclntab::Pclntab;
use cgoprof_symbols::runtime_offsets::{G_M, G_SCHED, G_STACKGUARD0, RuntimeOffsets};
use cgoprof_symbols::{Binary, dwarf_offsets, runtime_offsets};

use cgoprof_testing::go::{self, Build};

#[test]
fn the_table_of_struct_offsets_is_that_of_dwarf() {
    let bless = std::env::var_os("CGOPROF_BLESS_OFFSETS").is_some();
    let mut rows = Vec::new();
    let releases: Vec<_> = if bless { go::all().collect() } else { go::releases().collect() };
    for release in releases {
        let data = std::fs::read(go::build("crossings", Build::of(release))).expect("the program");
        let binary = Binary::parse(&data).expect("an ELF file");
        let minor = BuildInfo::read(&binary).and_then(|build| build.version).expect("a version").minor;
        let structs = Structs::read(&binary).expect("DWARF");
        for (field, expected) in [("stack", 0), ("stackguard0", G_STACKGUARD0), ("m", G_M), ("sched", G_SCHED)] {
            assert_eq!(structs.offset("g", field), Some(expected), "Go 1.{minor}: g.{field}");
        }
        let stated = dwarf_offsets::read(&binary).expect("all fields in DWARF");
        assert!(
            bless || RuntimeOffsets::of_release(minor) == Some(stated),
            "Go 1.{minor}: {stated:?}; see docs/developing.md"
        );
        rows.push((minor, stated));
    }
    if bless {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("collector/symbols/src/runtime_offsets.txt");
        std::fs::write(file, runtime_offsets::table(&rows)).expect("the table");
    } else if go::releases().eq(go::all()) {
        assert_eq!(rows.len(), runtime_offsets::measured().len(), "releases in the table and in tests/go-releases");
    }
}

#[test]
fn functions_and_lines_are_those_of_go_tool_addr2line() {
    for release in go::releases() {
        // The tool finds no functions in position-independent programs of every release.
        check_lines(release, &[]);
    }
}

fn check_lines(release: &'static str, args: &'static [&'static str]) {
    let path = go::build("crossings", Build { release, args });
    let data = std::fs::read(&path).expect("the program");
    let binary = Binary::parse(&data).expect("an ELF file");
    let minor = BuildInfo::read(&binary).and_then(|build| build.version).expect("a version").minor;
    let table = Pclntab::parse(&binary, Some(minor)).expect("a pclntab");
    // The last address of a function: a return address looks like that.
    let addresses: Vec<_> = table
        .functions()
        .filter(|function| function.name.starts_with("main.") || function.name.starts_with("runtime."))
        .step_by(7)
        .map(|function| function.start)
        .collect();
    assert!(addresses.len() > 100, "Go {release}: {} functions", addresses.len());
    let mut tool = Command::new(go::command(release))
        .args(["tool", "addr2line"])
        .arg(&path)
        .env("GOTOOLCHAIN", "local")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("go tool addr2line runs");
    let mut input = tool.stdin.take().expect("stdin");
    let text: String = addresses.iter().map(|address| format!("{:#x}\n", address.0)).collect();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = tool.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads");
    let text = String::from_utf8(output.stdout).expect("text");
    let mut lines = text.lines();
    for address in addresses {
        let (function, position) = (lines.next().expect("a function"), lines.next().expect("a position"));
        let frames = table.frames_at(address);
        let (innermost, outermost) = (frames.first().expect("a frame"), frames.last().expect("a frame"));
        // The tool prints the function of the symbol table, and the line of the innermost call.
        let plain = function.trim_end_matches(".abi0").trim_end_matches("<1>");
        assert_eq!(outermost.function, plain, "Go {release} {args:?} {address}");
        let shown = format!("{}:{}", innermost.file, innermost.line);
        assert_eq!(shown, position, "Go {release} {args:?} {address} {function}");
    }
}

#[test]
fn inlined_calls_are_expanded() {
    for release in go::releases() {
        for args in [&[][..], &["-ldflags=-s -w"], &["-buildmode=pie", "-ldflags=-s -w"]] {
            let data = std::fs::read(go::build("crossings", Build { release, args })).expect("the program");
            let binary = Binary::parse(&data).expect("an ELF file");
            let minor = BuildInfo::read(&binary).and_then(|build| build.version).expect("a version").minor;
            let table = Pclntab::parse(&binary, Some(minor)).expect("a pclntab");
            // Every release inlines sync.(*Mutex).Lock or an atomic into something of main's or the library's.
            let inlined = table.functions().any(|function| {
                let end = function.end.0.min(function.start.0 + 400);
                (function.start.0..end).step_by(5).any(|at| {
                    let frames = table.frames_at(cgoprof_symbols::Svma(at));
                    frames.len() > 1 && frames[0].inlined && frames[0].function.starts_with("sync.(*Mutex).")
                })
            });
            assert!(inlined, "Go {release} {args:?}");
        }
    }
}
