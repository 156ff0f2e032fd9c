//! Functions, files and lines of C, compared with what binutils' addr2line says.

use std::collections::HashMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use cgoprof_symbols::binary::Symbol;
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

/// All addresses of C code in a file.
fn addresses_of_c(data: &[u8]) -> Vec<Svma> {
    let binary = Binary::parse(data).expect("an ELF file");
    let go = Pclntab::parse(&binary, None).map(|table| table.text()).unwrap_or(Svma(0)..Svma(0));
    let functions = binary.functions().into_iter().filter(|symbol| !go.contains(&symbol.address));
    functions.flat_map(|symbol| (0..symbol.size).map(move |offset| Svma(symbol.address.0 + offset))).collect()
}

/// What a tool like `addr2line -fiaC` prints.
fn by_tool(tool: &mut Command, addresses: &[Svma]) -> HashMap<Svma, Frames> {
    let mut tool = tool.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the tool runs");
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
    let of_files = |address: &Svma| {
        let frames = info.frames(*address, &|_| None);
        let file = frames.last().map(|frame| base_name(&frame.file))?;
        Some((*address, FILES.into_iter().find(|known| *known == file)?, frames))
    };
    let compared: Vec<_> = addresses_of_c(&data).iter().filter_map(of_files).collect();
    let addresses: Vec<Svma> = compared.iter().map(|(address, ..)| *address).collect();
    let expected = by_tool(Command::new("addr2line").args(["-fiaC", "-e"]).arg(&path), &addresses);
    let (mut by_file, mut inlined) = (HashMap::new(), 0);
    for (address, file, frames) in compared {
        let frames = frames.into_iter();
        let found: Frames =
            frames.map(|frame| (frame.function.unwrap_or_default(), base_name(&frame.file), frame.line)).collect();
        assert_eq!(found, expected[&address], "{address}");
        *by_file.entry(file).or_insert(0) += 1;
        inlined += usize::from(found.len() > 1);
    }
    assert!(by_file.values().sum::<usize>() > 1000, "{by_file:?}");
    assert!(by_file.len() == FILES.len() && inlined > 100, "{by_file:?}, {inlined}");
}

/// Its debug information has version 5, which binutils 2.40 misreads.
#[test]
fn functions_inlined_calls_and_lines_of_sqlite_are_those_of_llvm() {
    const COMPARED: usize = 10_000;
    let path = go::build("sqlite", Build::newest());
    let data = std::fs::read(&path).expect("the program");
    let sections = DebugSections::read(&data, &mut (1 << 30)).expect("debug information");
    let info = DebugInfo::new(&sections, None, None).expect("sound debug information");
    let all = addresses_of_c(&data);
    let symbols = Binary::parse(&data).expect("an ELF file").functions();
    let symbol = |address: Svma| {
        let covers = |symbol: &&Symbol<'_>| (symbol.address.0..symbol.address.0 + symbol.size).contains(&address.0);
        symbols.iter().find(covers).map(|symbol| symbol.name.to_owned())
    };
    let addresses: Vec<Svma> = all.iter().step_by(all.len() / COMPARED).copied().collect();
    let mut tool = Command::new("llvm-symbolizer");
    tool.args(["--output-style=GNU", "-f", "-i", "-a", "-C", "--obj"]).arg(&path);
    let expected = by_tool(&mut tool, &addresses);
    let (mut lines, mut inlined, mut different) = (0, 0, Vec::new());
    for address in addresses {
        let frames = info.frames(address, &|_| None).into_iter();
        let found: Frames =
            // Some functions have no entry in the debug information, only a symbol.
            frames.map(|frame| (frame.function.or_else(|| symbol(address)).unwrap_or_default(), base_name(&frame.file), frame.line)).collect();
        if found.is_empty() {
            continue;
        }
        (lines, inlined) = (lines + 1, inlined + usize::from(found.len() > 1));
        let mut expected = expected[&address].clone();
        if let Some((function, ..)) = expected.last_mut() {
            // Of the outermost function LLVM tells the symbol: of its part `.cold`, too.
            function.truncate(function.find('.').unwrap_or(function.len()));
        }
        if found != expected {
            different.push((address, found, expected));
        }
    }
    assert!(lines >= COMPARED * 9 / 10 && inlined > 1000, "{lines}, {inlined}");
    assert!(different.is_empty(), "{}: {:#?}", different.len(), &different[..different.len().min(10)]);
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
