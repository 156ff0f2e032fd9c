//! Files that are full, in the way, or not to be replaced: what a recording leaves there.

use std::path::Path;
use std::process::{Command, Output};

use crate::joining::as_user;
use cgoprof_testing::go::{self, Build, shared_dir};
use cgoprof_testing::recording::{User, binary, profile_path, report, succeeds};

fn crossings() -> std::path::PathBuf {
    go::build("crossings", Build::newest())
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a shell's commands as root, with mounts of its own. `$0` is cgoprof, `$1` the program, `$2` an empty folder.
fn shell(name: &str, script: &str) -> (Output, std::path::PathBuf) {
    let folder = shared_dir().join(format!("output-{name}"));
    std::fs::create_dir_all(&folder).expect("a folder");
    let mut shell = Command::new("unshare");
    shell.args(["--mount", "sh", "-c", script]).arg(binary()).arg(crossings()).arg(&folder);
    (shell.env("TMPDIR", shared_dir()).output().expect("a shell"), folder)
}

fn crossed(profile: &Path) -> Option<u64> {
    report(profile)["totals"]["crossings"].as_u64()
}

/// The whole recording was lost.
#[test]
fn a_disk_that_is_full_for_a_while_costs_nothing() {
    let script = r#"
        mount -t tmpfs -o size=64k none "$2"
        (sleep 0.5; head -c 70000 /dev/zero > "$2/z"; sleep 2.5; rm "$2/z") 2> /dev/null &
        "$0" record -q -o "$2/a.pb.gz" -- "$1" asleep 5 > /dev/null || exit
        cat "$2/a.pb.gz""#;
    let (output, folder) = shell("while", script);
    assert!(output.status.success(), "{}", said(&output));
    let copy = folder.join("copy.pb.gz");
    std::fs::write(&copy, &output.stdout).expect("a file");
    assert_eq!(crossed(&copy), Some(2));
}

/// It was nowhere.
#[test]
fn a_recording_without_room_is_in_the_folder_for_temporary_files() {
    let script = r#"
        mount -t tmpfs -o size=64k none "$2"
        head -c 70000 /dev/zero > "$2/z"
        "$0" record -q -o "$2/a.pb.gz" -- "$1" hot 1000 > /dev/null; status=$?
        ls "$2"; exit $status"#;
    let (output, _) = shell("full", script);
    assert_eq!(output.status.code(), Some(125), "{}", said(&output));
    let (why, place) =
        said(&output).split_once("; the recording is in ").map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a place");
    assert!(why.contains("No space left"), "{why}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "z\n");
    assert!(crossed(Path::new(place.trim_end())) >= Some(1000));
}

#[test]
fn a_file_that_is_mounted_is_written_in_place() {
    let script = r#"
        touch "$2/a.pb.gz"; mount --bind "$2/a.pb.gz" "$2/a.pb.gz"
        exec "$0" record -q -o "$2/a.pb.gz" -- "$1" hot 1000"#;
    let (output, folder) = shell("mounted", script);
    assert!(output.status.success(), "{}", said(&output));
    assert!(crossed(&folder.join("a.pb.gz")) >= Some(1000));
}

#[test]
fn a_file_in_a_folder_of_somebody_else_is_written_in_place() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = shared_dir().join("output-theirs");
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("a.pb.gz");
    std::fs::write(&file, vec![b'x'; 100_000]).expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).expect("its mode");
    let mut record = as_user(User::Nobody, binary());
    succeeds(record.args(["record", "-q", "-o"]).arg(&file).arg("--").arg(crossings()).args(["hot", "1000"]));
    assert!(crossed(&file) >= Some(1000));
    assert_eq!(std::fs::read_dir(&folder).expect("the folder").count(), 1);
}

/// It hung there, with signals blocked.
#[test]
fn a_fifo_that_nobody_reads_is_an_error_before_the_program_runs() {
    let fifo = profile_path(User::Root).with_extension("fifo");
    succeeds(Command::new("mkfifo").arg(&fifo));
    let mut record = as_user(User::Root, binary());
    let output = record.args(["record", "-o"]).arg(&fifo).arg("--").arg(crossings()).args(["hot", "10"]).output();
    let output = output.expect("it runs");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(125), &b""[..]));
    assert!(said(&output).contains("no process reads this FIFO"), "{}", said(&output));
}

/// `go test -exec 'cgoprof record -o FOLDER/ --' ./...` once left the profile of the last package alone.
#[test]
fn programs_that_are_recorded_into_a_folder_have_a_file_each() {
    let script = r#"
        for run in 1 2; do "$0" record -q -o "$2/new/" -- "$1" hot 1000 > /dev/null || exit; done
        "$0" record -o "$2/%h/%n of %p.pb.gz" -- "$1" hot 1000 > /dev/null || exit
        "$1" asleep 3 > /dev/null & pid=$!
        sleep 1
        "$0" record -q -o "$2/new" --duration 1s -p $pid || exit
        echo $pid
        "$0" record -q -o "$2/by process/%p/x.pb.gz" -- "$1" hot 1000 > /dev/null || exit
        ls "$2/by process"/*/x.pb.gz > /dev/null && ls "$2/by process" | wc -l
        "$0" record -o "$2/%x" -- "$1" hot 1000; echo $?
        cd "$2" && ls */*.gz && hostname"#;
    let (output, folder) = shell("folder", script);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let [pid, folders, status, files @ .., host] = &lines[..] else { panic!("{text} {}", said(&output)) };
    assert_eq!((*folders, *status), ("1", "2"), "{}", said(&output));
    assert!(said(&output).contains("unknown placeholder `%x`"), "{}", said(&output));
    let number =
        |name: &str, before: &str| -> Option<u32> { name.strip_prefix(before)?.strip_suffix(".pb.gz")?.parse().ok() };
    let program = crossings().file_name().expect("a name").to_string_lossy().into_owned();
    let in_folder: Vec<_> = files.iter().filter_map(|file| number(file, &format!("new/{program}."))).collect();
    assert!(in_folder.len() == 3 && in_folder.contains(&pid.parse().expect("a process")), "{files:?}");
    let named: Vec<_> = files.iter().filter(|file| number(file, &format!("{host}/{program} of ")).is_some()).collect();
    assert!(named.len() == 1 && files.len() == 4, "{files:?}");
    assert!(said(&output).contains(&format!("written {}/{}", folder.display(), named[0])), "{}", said(&output));
    for file in files {
        let found = report(&folder.join(file));
        let process = found["target"]["pid"].as_u64().expect("a process").to_string();
        assert!(file.contains(&process), "{file}: {process}");
    }
}
