//! Commands under seccomp filters of one system call, as containers and service managers have them.

use std::process::Command;
use std::sync::Mutex;

use cgoprof_testing::go::shared_dir;
use cgoprof_testing::recording::succeeds;

/// Runs a command for which a system call fails with EPERM.
pub(crate) fn without(system_call: &str) -> Command {
    under(system_call, "SECCOMP_RET_ERRNO | EPERM", "without")
}

/// Runs a command that a system call ends.
pub(crate) fn killed_for(system_call: &str) -> Command {
    under(system_call, "SECCOMP_RET_KILL_PROCESS", "killed-for")
}

/// Built once for all tests: one that executes it while another has it written again would be refused.
fn under(system_call: &str, action: &str, name: &str) -> Command {
    static BUILDING: Mutex<()> = Mutex::new(());
    let filter = shared_dir().join(format!("{name}-{system_call}"));
    let _one_at_a_time = BUILDING.lock().expect("every filter was built");
    if filter.exists() {
        return Command::new(filter);
    }
    let source = r#"
        #include <errno.h>
        #include <linux/filter.h>
        #include <linux/seccomp.h>
        #include <stddef.h>
        #include <sys/prctl.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        int main(int argc, char **argv) {
            struct sock_filter code[] = {
                BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
                BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CALL, 0, 1),
                BPF_STMT(BPF_RET | BPF_K, ACTION),
                BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
            };
            struct sock_fprog program = {4, code};
            if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &program)) return 99;
            execv(argv[1], argv + 1);
            return 98;
        }"#;
    let text = filter.with_extension("c");
    std::fs::write(&text, source).expect("a file");
    let defined = [format!("-DCALL=SYS_{system_call}"), format!("-DACTION={action}")];
    succeeds(Command::new("gcc").args(defined).arg(text).arg("-o").arg(&filter));
    Command::new(filter)
}
