//! The inputs that fuzzing has found worth keeping (`tests/fuzz/corpus`), each given to its target; and what `tests/fuzz/run` starts
//! from.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use cgoprof_collector::fuzzing::{Base, PatchedProgram, TARGETS, TablesImage};
use cgoprof_symbols::Avma;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use crate::joining::{Recorder, Talking};
use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::User;

#[test]
fn inputs_that_were_found_by_fuzzing_are_survived() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("target/fuzz");
    std::fs::create_dir_all(&folder).expect("a folder");
    let program = std::fs::read(go::build("hotloop", STRIPPED)).expect("a program");
    let tables = tables(&root.join("tests/fuzz/tables.gz"));
    std::fs::write(folder.join("program"), &program).expect("a file");
    std::fs::write(folder.join("tables"), &tables).expect("a file");
    let base = Base {
        program: PatchedProgram::new(program).expect("a Go program"),
        tables: TablesImage::read(&tables).expect("tables of this layout: make them anew with CGOPROF_BLESS_TABLES=1"),
    };
    for (name, target) in TARGETS {
        let corpus = std::fs::read_dir(root.join("tests/fuzz/corpus").join(name)).expect("a corpus");
        let mut inputs = 0;
        for input in corpus {
            let path = input.expect("an entry").path();
            eprintln!("{}", path.display());
            target(&base, &std::fs::read(path).expect("an input"));
            inputs += 1;
        }
        assert!(inputs > 0, "{name} has no inputs");
    }
}

/// Smaller: less to copy for each input.
const STRIPPED: Build = Build { release: "1.26.6", args: &["-ldflags=-s -w"] };

/// The tables whose words the inputs change: always the same.
fn tables(kept: &Path) -> Vec<u8> {
    if std::env::var_os("CGOPROF_BLESS_TABLES").is_some() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&recorded_tables()).expect("bytes");
        std::fs::write(kept, gzip.finish().expect("bytes")).expect("a file");
    }
    let mut tables = Vec::new();
    GzDecoder::new(&std::fs::read(kept).expect("tables")[..]).read_to_end(&mut tables).expect("bytes");
    tables
}

/// The tables of a program that has crossed in many ways, as it has them while it is recorded.
fn recorded_tables() -> Vec<u8> {
    let mut program = Talking::rounds(User::Root, "1.26.6");
    let recorder = Recorder::join(User::Root, program.pid(), &["--timing", "every"]);
    program.ask("go");
    std::thread::sleep(Duration::from_millis(300));
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", program.pid())).expect("its mappings");
    let range = maps.lines().find(|line| line.contains("memfd:cgoprof")).and_then(|line| line.split(' ').next());
    let range = range.expect("the tables");
    let bytes = std::fs::read(format!("/proc/{}/map_files/{range}", program.pid())).expect("their file");
    let (start, _) = range.split_once('-').expect("a range");
    let address = Avma(u64::from_str_radix(start, 16).expect("an address"));
    recorder.leave();
    program.end();
    TablesImage::write(address, &bytes)
}
