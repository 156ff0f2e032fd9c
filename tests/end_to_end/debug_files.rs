//! Debug information where distributions keep it, and what is said where there is none.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cgoprof_testing::go::{self, shared_dir};
use cgoprof_testing::recording::{User, command, profile_path, report, succeeds};
use serde_json::Value;

/// The program, and a folder with its library's source and the library with all of its debug information.
fn program() -> (PathBuf, PathBuf) {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-programs/hotlibrary");
    let folder = BUILT.get_or_init(|| {
        let folder = shared_dir().join("hotlibrary");
        std::fs::create_dir_all(&folder).expect("a folder");
        shell(&folder, &format!("{GCC} -g -o libhot.so {}", source.join("library/hot.c").display()));
        let mut build = Command::new(go::command("1.27.3"));
        build.args(["build", "-o"]).arg(folder.join("program")).arg(".").current_dir(&source);
        let flags = format!("-L{}", folder.display());
        succeeds(build.envs([("GOTOOLCHAIN", "local"), ("CGO_LDFLAGS", &flags)]));
        folder
    });
    (folder.join("program"), folder.clone())
}

const GCC: &str = "gcc -O1 -shared -fPIC -Wl,--build-id";

fn shell(folder: &Path, script: &str) {
    succeeds(Command::new("bash").args(["-euo", "pipefail", "-c", script]).current_dir(folder));
}

/// What a recording says of the function that the library does not export.
struct Hidden {
    /// Its name.
    name: String,
    /// The lines that samples found it, and what is inlined in it, at.
    lines: Vec<u64>,
    notes: String,
    /// What `report --by line` says under its table.
    advice: String,
}

/// Records the program with the library in a folder. `around` is what the recorder is run by.
fn hidden(folder: &Path, around: &[&str], options: &[&str]) -> Hidden {
    let (program, _) = program();
    let profile = profile_path(User::Root);
    let recorder = command(User::Root);
    let mut words = around.iter().map(|word| std::ffi::OsString::from(*word)).collect::<Vec<_>>();
    words.push(recorder.get_program().to_owned());
    let mut recorder = Command::new(&words[0]);
    recorder.args(&words[1..]).args(["record", "-q", "--freq", "997", "-o"]).arg(&profile).args(options).arg("--");
    succeeds(recorder.arg(program).arg("0.5").env("LD_LIBRARY_PATH", folder));
    let report = report(&profile);
    let of_library = |row: &&Value| row["library"].as_str().is_some_and(|path| path.ends_with("/libhot.so"));
    let rows = |table: &str| report[table].as_array().expect("a table").clone();
    let functions = rows("c_functions");
    let mut own: Vec<&Value> = functions.iter().filter(of_library).collect();
    // What is inlined has no time of its own where lines are known.
    own.retain(|row| row["inlined"] == false && row["name"] != "hot");
    own.sort_by_key(|row| std::cmp::Reverse(row["total_ns"].as_f64().map(|nanos| nanos as u64)));
    let name = own.first().unwrap_or_else(|| panic!("{functions:#?}"))["name"].as_str().expect("a name").to_owned();
    let lines = rows("c_lines");
    let in_hot = lines.iter().filter(|row| row["file"].as_str().is_some_and(|file| file.ends_with("hot.c")));
    let text = succeeds(command(User::Root).args(["report", "--by", "line"]).arg(&profile));
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    let notes = report["recording"]["notes"].to_string();
    let advice = text.lines().filter(|line| line.starts_with("note: ") && line.contains("libhot.so")).collect();
    Hidden { name, lines: in_hot.filter_map(|row| row["line"].as_u64()).collect(), notes, advice }
}

fn check_has_lines(what: &str, found: &Hidden) {
    assert_eq!(found.name, "hidden", "{what}: {}", found.notes);
    // The loop, and what is inlined in it.
    assert!(found.lines.iter().any(|line| (5..=16).contains(line)), "{what}: {:?} {}", found.lines, found.notes);
    assert!(found.lines.iter().all(|line| (5..=21).contains(line)), "{what}: {:?}", found.lines);
    assert!(!found.notes.contains("debug information"), "{what}: {}", found.notes);
    assert_eq!(found.advice, "", "{what}");
}

/// A folder with the library after this script, in which $FULL is the library with all of its debug information.
fn variant(name: &str, script: &str) -> PathBuf {
    let (_, full) = program();
    let folder = full.join(name);
    std::fs::create_dir_all(&folder).expect("a folder");
    shell(&folder, &format!("FULL={}/libhot.so; {script}", full.display()));
    folder
}

/// Stripped of everything that a distribution strips.
const STRIPPED: &str = "strip --strip-all -o libhot.so $FULL";
/// As distributions split a library's debug information off.
const SPLIT_OFF: &str = "objcopy --only-keep-debug $FULL hot.debug; strip --strip-all -o libhot.so $FULL";

#[test]
fn lines_are_found_wherever_debug_information_may_be() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-programs/hotlibrary/library/hot.c");
    let split = format!("{GCC} -g -gsplit-dwarf -o libhot.so {}", source.display());
    let build = |more: &str| format!("{GCC} {more} -o libhot.so {}", source.display());
    let cases: &[(&str, String)] = &[
        ("full", "cp $FULL .".into()),
        ("dwarf4", build("-gdwarf-4")),
        ("zlib", "objcopy --compress-debug-sections=zlib $FULL libhot.so".into()),
        ("zstd", "objcopy --compress-debug-sections=zstd $FULL libhot.so".into()),
        ("debuglink", format!("{SPLIT_OFF}; objcopy --add-gnu-debuglink=hot.debug libhot.so")),
        (
            "debuglink by checksum",
            format!(
                "{}; objcopy --only-keep-debug libhot.so hot.debug; strip --strip-all libhot.so; \
                 objcopy --add-gnu-debuglink=hot.debug libhot.so",
                build("-g -Wl,--build-id=none")
            ),
        ),
        (
            "debuglink in .debug",
            format!(
                "mkdir -p .debug; {SPLIT_OFF}; objcopy --add-gnu-debuglink=hot.debug libhot.so; mv hot.debug .debug/"
            ),
        ),
        ("dwo", split.clone()),
        // Debian 12's dwp crashes at DWARF 5.
        ("dwp", format!("{split} -gdwarf-4; dwp -e libhot.so -o libhot.so.dwp; rm *.dwo")),
        (
            "dwz",
            format!(
                "{SPLIT_OFF}; {GCC} -g -O2 -o other.so {}; objcopy --only-keep-debug other.so other.debug; \
                 cp hot.debug third.debug; dwz -q -m shared.dwz -M $PWD/shared.dwz hot.debug other.debug third.debug; \
                 readelf -S hot.debug | grep -q gnu_debugaltlink; objcopy --add-gnu-debuglink=hot.debug libhot.so",
                source.display()
            ),
        ),
    ];
    for (name, script) in cases {
        check_has_lines(name, &hidden(&variant(name, script), &[], &[]));
    }
}

/// Runs the recorder where /usr/lib/debug is this script's work, in a mount namespace of its own.
fn with_debug_folder(folder: &Path, script: &str) -> Hidden {
    let mounted = format!("mount -t tmpfs none /usr/lib/debug; cd '{}'; {script}; exec \"$@\"", folder.display());
    hidden(folder, &["unshare", "--mount", "bash", "-euc", &mounted, "bash"], &[])
}

#[test]
fn lines_are_found_by_the_build_id_where_distributions_keep_them() {
    let folder = variant("build id", SPLIT_OFF);
    let id = "id=$(readelf -n libhot.so | sed -n 's/.*Build ID: //p')";
    let install = format!(
        "{id}; mkdir -p /usr/lib/debug/.build-id/${{id:0:2}}; cp hot.debug /usr/lib/debug/.build-id/${{id:0:2}}/${{id:2}}.debug"
    );
    check_has_lines("build id", &with_debug_folder(&folder, &install));
    let global = format!("{SPLIT_OFF}; objcopy --add-gnu-debuglink=hot.debug libhot.so; mv hot.debug kept");
    let folder = variant("global debuglink", &global);
    let install = "mkdir -p \"/usr/lib/debug$PWD\"; cp kept \"/usr/lib/debug$PWD/hot.debug\"";
    check_has_lines("global debuglink", &with_debug_folder(&folder, install));
}

#[test]
fn the_c_library_of_debian_has_lines_with_its_debug_package() {
    let (program, folder) = program();
    let profile = profile_path(User::Root);
    let mut recorder = command(User::Root);
    recorder.args(["record", "-q", "--freq", "997", "-o"]).arg(&profile).arg("--").arg(program);
    succeeds(recorder.args(["0.5", "sorted"]).env("LD_LIBRARY_PATH", folder));
    let report = report(&profile);
    let lines = report["c_lines"].as_array().expect("a table");
    let of_sort = |row: &Value| {
        row["library"].as_str().is_some_and(|path| path.ends_with("/libc.so.6"))
            && row["file"].as_str().is_some_and(|file| file.ends_with("msort.c"))
            && row["name"] == "msort_with_tmp"
    };
    assert!(lines.iter().any(of_sort), "tests/install-toolchains installs libc6-dbg: {lines:#?}");
}

#[test]
fn functions_of_stripped_libraries_have_the_names_of_mini_symbols() {
    // As gdb's manual says ("MiniDebugInfo").
    let mini = "objcopy --only-keep-debug $FULL debug; \
                nm -D $FULL --format=posix --defined-only | awk '{print $1}' | sort >dynamic; \
                nm $FULL --format=posix --defined-only | awk '{if ($2 == \"T\" || $2 == \"t\") print $1}' | sort >all; \
                comm -13 dynamic all >keep; \
                objcopy -S --remove-section .gdb_index --remove-section .comment --keep-symbols=keep debug mini; \
                strip --strip-all -o libhot.so $FULL; xz -f mini; objcopy --add-section .gnu_debugdata=mini.xz libhot.so";
    let found = hidden(&variant("mini", mini), &[], &[]);
    assert_eq!(found.name, "hidden");
    assert!(found.advice.contains("no debug information"), "{}", found.advice);
}

#[test]
fn a_stripped_library_has_places_in_its_file_and_a_way_out() {
    let found = hidden(&variant("stripped", STRIPPED), &[], &[]);
    // Where the function begins, so that it is one.
    let begin = shell_output("nm $FULL | awk '$3 == \"hidden\" { print $1 }' | sed 's/^0*//'");
    assert_eq!(found.name, format!("libhot.so+0x{begin}"));
    assert!(found.advice.contains("-dbgsym") && found.advice.contains("--debuginfod"), "{}", found.advice);
    assert!(found.lines.is_empty(), "{:?}", found.lines);
}

fn shell_output(script: &str) -> String {
    let (_, full) = program();
    let script = format!("FULL={}/libhot.so; {script}", full.display());
    String::from_utf8_lossy(&succeeds(Command::new("bash").args(["-c", &script])).stdout).trim().to_owned()
}

#[test]
fn debug_information_of_another_build_is_refused_and_said() {
    let other =
        "sed 's/0.5/0.25/' SOURCE >other.c; GCC -g -o other.so other.c; objcopy --only-keep-debug other.so hot.debug";
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-programs/hotlibrary/library/hot.c");
    let include = format!("{GCC} -I {}", source.parent().expect("a folder").display());
    let other = other.replace("SOURCE", &source.display().to_string()).replace("GCC", &include);
    let folder =
        variant("another build", &format!("{STRIPPED}; {other}; objcopy --add-gnu-debuglink=hot.debug libhot.so"));
    let found = hidden(&folder, &[], &[]);
    assert!(found.name.starts_with("libhot.so+0x"), "{}", found.name);
    let debug = folder.join("hot.debug");
    assert!(found.notes.contains(&format!("{} is of another build", debug.display())), "{}", found.notes);
}

#[test]
fn debug_information_that_is_damaged_is_said_to_be() {
    // A section header that points beyond the file.
    let damage = "python3 - <<'END'\n\
                  import struct\n\
                  data = bytearray(open('libhot.so', 'rb').read())\n\
                  headers, = struct.unpack_from('<Q', data, 40)\n\
                  size, count, names = struct.unpack_from('<HHH', data, 58)\n\
                  table, = struct.unpack_from('<Q', data, headers + names * size + 24)\n\
                  for index in range(count):\n\
                  \u{20}   at = headers + index * size\n\
                  \u{20}   name, = struct.unpack_from('<I', data, at)\n\
                  \u{20}   if data[table + name:].split(b'\\0')[0] == b'.debug_info':\n\
                  \u{20}       struct.pack_into('<Q', data, at + 24, 1 << 40)\n\
                  open('libhot.so', 'wb').write(data)\n\
                  END";
    let found = hidden(&variant("damaged", &format!("cp $FULL libhot.so\n{damage}")), &[], &[]);
    assert!(found.notes.contains("libhot.so was not used: it is damaged"), "{}", found.notes);
    assert_eq!(found.name, "hidden", "its symbols are sound");
}

/// The library beside debug information of our own, as assembly: its abbreviations, its entries, and other sections. A unit
/// covers the whole library.
fn hostile(name: &str, abbreviations: &str, entries: &str, sections: &str) -> Hidden {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench-programs/hotlibrary/library/hot.c");
    let assembly = format!(
        "cat >hostile.s <<'END'\n\
         .section .debug_abbrev,\"\",@progbits\n\
         .byte 1,0x11,1,0x11,1,0x12,7,0x10,0x17,0,0, {abbreviations}, 0\n\
         .section .debug_info,\"\",@progbits\n\
         .long end-begin\n\
         begin: .short 4\n\
         .long 0\n\
         .byte 8, 1\n\
         .quad hot-4096, 8192\n\
         .long 0\n\
         {entries}\n\
         .byte 0\n\
         end:\n\
         {sections}\n\
         END\n"
    );
    hidden(&variant(name, &format!("{assembly}{GCC} -o libhot.so {} hostile.s", source.display())), &[], &[])
}

/// A file of kilobytes can state billions of entries, or lead a reader in circles. Units that take too long are refused; of
/// others the line is found.
#[test]
fn debug_information_that_has_no_end_does_no_harm() {
    let lines = |rows: &str| {
        format!(
            ".section .debug_line,\"\",@progbits\n\
             .long last-first\n\
             first: .short 4\n\
             .long program-header\n\
             header: .byte 1,1,1,-5,14,13, 0,1,1,1,1,0,0,0,1,0,0,1, 0, 'h','o','t','.','c',0,0,0,0, 0\n\
             program: .byte 0,9,2\n\
             .quad hot-4096\n\
             {rows}\n\
             .byte 1, 2,0x80,0x40, 0,1,1\n\
             last:\n"
        )
    };
    let one_line = lines("");
    let ranges = ".section .debug_ranges,\"\",@progbits\n.rept 100000\n.quad 0,8192\n.endr\n.quad 0,0";
    let function = ".byte 2\n.quad hot-4096, 8192";
    let is_read = |name: &str, abbreviations: &str, entries: &str, sections: &str| {
        let found = hostile(name, abbreviations, entries, sections);
        assert_eq!(found.name, "hidden", "{name}: {}", found.notes);
        !found.lines.is_empty()
    };
    for (name, abbreviations, entries, sections, expected) in [
        ("a function", "2,0x2e,0,0x11,1,0x12,7,0,0", function.to_owned(), one_line.clone(), true),
        (
            "a million inlined calls, each within the one before",
            "2,0x2e,1,0x11,1,0x12,7,0,0, 3,0x1d,1,0,0",
            format!("{function}\n.fill 1000000,1,3\n.fill 1000001,1,0"),
            one_line.clone(),
            false,
        ),
        (
            "two hundred functions with a hundred thousand ranges each",
            "2,0x2e,0,0x55,0x17,0,0",
            ".rept 200\n.byte 2\n.long 0\n.endr".to_owned(),
            format!("{one_line}{ranges}"),
            false,
        ),
        ("seventeen million rows", "2,0x2e,0,0,0", ".byte 2".to_owned(), lines(".fill 17<<20,1,1"), false),
        (
            "a function whose origin is itself",
            "2,0x2e,0,0x11,1,0x12,7,0x31,0x13,0,0",
            format!("{function}\n.long 32"),
            one_line.clone(),
            true,
        ),
        (
            "a form that says a million times that the next says it",
            "2,0x2e,0,0x11,1,0x12,7,0x3,0x16,0,0",
            format!("{function}\n.fill 1000000,1,0x16\n.byte 0xb,0"),
            one_line.clone(),
            true,
        ),
    ] {
        assert_eq!(is_read(name, abbreviations, &entries, &sections), expected, "{name}");
    }
}

/// A server on loopback, killed when dropped.
struct Server {
    child: std::process::Child,
    url: String,
}

impl Server {
    fn start(folder: &Path) -> Server {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("its number").port();
        let database = folder.join("index.sqlite");
        let mut server = Command::new("debuginfod");
        server.args(["-p", &port.to_string(), "-d"]).arg(database).arg("-F").arg(folder.join("kept"));
        let child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.expect("debuginfod runs: tests/install-toolchains");
        Server { child, url: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn debuginfod_is_asked_when_it_is_to_be_and_not_otherwise() {
    let folder = variant("debuginfod", &format!("mkdir -p kept cache; {SPLIT_OFF}; mv hot.debug kept/"));
    let server = Server::start(&folder);
    let id = shell_output("readelf -n $FULL | sed -n 's/.*Build ID: //p'");
    let cache = folder.join("cache");
    let environment = format!("DEBUGINFOD_URLS={} DEBUGINFOD_CACHE_PATH={}", server.url, cache.display());
    let mut around: Vec<&str> = vec!["env"];
    around.extend(environment.split(' '));
    let unasked = hidden(&folder, &around, &[]);
    assert!(unasked.name.starts_with("libhot.so+0x"), "{}", unasked.name);
    // The server indexes its files first.
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let mut find = Command::new("debuginfod-find");
        find.args(["debuginfo", &id])
            .env("DEBUGINFOD_URLS", &server.url)
            .env("DEBUGINFOD_CACHE_PATH", folder.join("try"));
        if find.output().expect("debuginfod-find runs: tests/install-toolchains").status.success() {
            break;
        }
        let _ = std::fs::remove_dir_all(folder.join("try"));
        assert!(Instant::now() < deadline, "the server does not find it");
        std::thread::sleep(Duration::from_millis(300));
    }
    check_has_lines("debuginfod", &hidden(&folder, &around, &["--debuginfod"]));
    // From its cache, when the server is gone.
    drop(server);
    check_has_lines("its cache", &hidden(&folder, &around, &["--debuginfod=10s"]));
}

#[test]
fn a_debuginfod_that_hangs_or_is_not_named_is_said() {
    let folder = variant("hanging", STRIPPED);
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("DEBUGINFOD_URLS=http://{}", silent.local_addr().expect("its address"));
    let cache = format!("DEBUGINFOD_CACHE_PATH={}", folder.join("cache").display());
    let found = hidden(&folder, &["env", &url, &cache], &["--debuginfod=1s"]);
    assert!(found.notes.contains("took longer than 1s"), "{}", found.notes);
    let found = hidden(&folder, &["env", "-u", "DEBUGINFOD_URLS"], &["--debuginfod"]);
    assert!(found.notes.contains("DEBUGINFOD_URLS names no"), "{}", found.notes);
}
