//! Programs that do what they can against a recorder that is root.

use std::fs::File;

use crate::joining::{Recorder, Talking, check_as_it_was, check_round, code};
use cgoprof_testing::recording::User;

/// The file of a program's tables, as any process that may open it has it.
fn tables(program: &Talking) -> File {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", program.pid())).expect("its mappings");
    let range = maps.lines().find(|line| line.contains("memfd:cgoprof")).and_then(|line| line.split(' ').next());
    let path = format!("/proc/{}/map_files/{}", program.pid(), range.expect("the tables"));
    File::options().read(true).write(true).open(path).expect("their file")
}

/// It ended the recorder by SIGBUS, and the hooks stayed.
#[test]
fn a_program_cannot_make_its_tables_shorter() {
    let mut program = Talking::rounds(User::Root, "1.26.6");
    let before = code(program.pid());
    let recorder = Recorder::join(User::Root, program.pid(), &[]);
    let file = tables(&program);
    let refused = file.set_len(0).expect_err("it is sealed");
    assert_eq!(refused.raw_os_error(), Some(libc::EPERM));
    let truth = program.ask("one");
    check_round("after the attempt", &truth, &recorder.leave());
    check_as_it_was("after the attempt", program.pid(), &before);
    program.end();
}

/// Whatever is in them, the recorder goes on, and leaves.
#[test]
fn a_program_that_writes_nonsense_into_its_tables_harms_nobody_but_itself() {
    use std::os::unix::fs::FileExt as _;
    const HEAD: u64 = 128;
    for (what, word) in [("ones", [0xff; 8]), ("small numbers", [1, 0, 0, 0, 0, 0, 0, 0])] {
        let program = Talking::rounds(User::Root, "1.26.6");
        let recorder = Recorder::join(User::Root, program.pid(), &[]);
        let file = tables(&program);
        let length = file.metadata().expect("its length").len().min(2 << 20);
        // Not what names the tables: they would be taken for gone.
        for at in (HEAD..length).step_by(8) {
            file.write_all_at(&word, at).expect("it can be written to");
        }
        std::thread::sleep(std::time::Duration::from_millis(300));
        let report = recorder.leave();
        assert!(report["recording"].is_object(), "{what}: {report}");
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", program.pid())).expect("its mappings");
        assert!(!maps.contains("memfd:cgoprof"), "{what}: {maps}");
        program.end();
    }
}
