//! Functions, files and lines of C, compared with what binutils' addr2line says.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use cgoprof_symbols::debug_info::{DebugInfo, DebugSections};
use cgoprof_symbols::pclntab::Pclntab;
use cgoprof_symbols::{Binary, Svma};
use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{Recorded, User, record};

/// What one of the tools says of an address: function, base name of the file and line, innermost first.
type Frames = Vec<(String, String, u32)>;

fn base_name(path: &str) -> String {
    path.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Addresses of C code in a file, at most so many, spread over its functions.
fn addresses_of_c(data: &[u8], most: usize) -> Vec<Svma> {
    let binary = Binary::parse(data).expect("an ELF file");
    let go = Pclntab::parse(&binary, None).map(|table| table.text()).unwrap_or(Svma(0)..Svma(0));
    let functions = binary.functions().into_iter().filter(|symbol| !go.contains(&symbol.address));
    let all: Vec<Svma> =
        functions.flat_map(|symbol| (0..symbol.size).map(move |offset| Svma(symbol.address.0 + offset))).collect();
    let step = all.len().div_ceil(most).max(1);
    all.into_iter().step_by(step).collect()
}

/// What `addr2line -fiaC` prints.
fn by_binutils(path: &Path, addresses: &[Svma]) -> HashMap<Svma, Frames> {
    let mut tool = Command::new("addr2line")
        .args(["-fiaC", "-e"])
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("addr2line runs");
    let mut input = tool.stdin.take().expect("stdin");
    let text: String = addresses.iter().map(|address| format!("{:#x}\n", address.0)).collect();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = tool.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads");
    let (mut found, mut at) = (HashMap::new(), Svma(0));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(hex) = line.strip_prefix("0x") {
            at = Svma(u64::from_str_radix(hex, 16).expect("an address"));
            found.insert(at, Frames::new());
            continue;
        }
        let place = lines.next().expect("a place").split(" (discriminator").next().expect("text");
        let (file, number) = place.rsplit_once(':').expect("file:line");
        found.entry(at).or_default().push((line.to_owned(), base_name(file), number.parse().unwrap_or(0)));
    }
    found
}

/// The files of the bench program. They have DWARF of version 4: of version 5, binutils 2.40 takes the file before the right one.
const FILES: [&str; 4] = ["plain.c", "optimized.c", "fastest.c", "generic.cc"];

#[test]
fn functions_inlined_calls_and_lines_of_c_are_those_of_addr2line() {
    // The newest of the list whose own DWARF binutils can read.
    const RELEASE: &str = "1.24.11";
    let path = go::build("lines", Build::of(RELEASE));
    let data = std::fs::read(&path).expect("the program");
    let sections = DebugSections::read(&data, &mut (1 << 30)).expect("debug information");
    let info = DebugInfo::new(&sections, None, None).expect("sound debug information");
    let addresses = addresses_of_c(&data, 10_000);
    let expected = by_binutils(&path, &addresses);
    let mut compared = HashMap::new();
    for &address in &addresses {
        let frames = info.frames(address, &|_| None).into_iter();
        let found: Frames =
            frames.map(|frame| (frame.function.unwrap_or_default(), base_name(&frame.file), frame.line)).collect();
        if let Some((_, file, _)) = found.last()
            && let Some(file) = FILES.into_iter().find(|known| known == file)
        {
            assert_eq!(found, expected[&address], "{address}");
            *compared.entry(file).or_insert(0) += 1;
        }
    }
    assert!(compared.len() == FILES.len() && compared.values().all(|&addresses| addresses > 20), "{compared:?}");
}

#[test]
fn a_recording_has_the_lines_of_c_and_its_inlined_functions() {
    let program = go::build("lines", Build::newest());
    let Recorded { report, .. } = record(User::Root, &["--freq", "999"], &program, &["2"]);
    let rows = |table: &str| report[table].as_array().expect("a table").clone();
    let named = |rows: &[serde_json::Value], name: &str| rows.iter().find(|row| row["name"] == name).cloned();
    let functions = rows("c_functions");
    for (name, file, inlined) in
        [("plain", "plain.c", false), ("innermost", "work.h", false), ("generic", "generic.cc", false)]
    {
        let row = named(&functions, name).unwrap_or_else(|| panic!("{name}: {functions:#?}"));
        assert!(row["file"].as_str().is_some_and(|path| path.ends_with(file)), "{name}: {row}");
        assert_eq!(row["inlined"], inlined, "{name}: {row}");
    }
    let lines = rows("c_lines");
    let of_innermost = |row: &&serde_json::Value| row["name"] == "innermost" && row["line"] == 6;
    assert!(lines.iter().any(|row| of_innermost(&row)), "{lines:#?}");
    let step =
        functions.iter().any(|row| row["name"].as_str().is_some_and(|name| name.contains("Walk<double, 2>::step")));
    assert!(step, "{functions:#?}");
}
