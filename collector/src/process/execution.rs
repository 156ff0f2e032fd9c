//! What a process executes, from one execve(2) to the next. All that is known about a process's memory is known about one
//! execution; another thread of it may begin the next at any time, until its threads stand.

use cgoprof_symbols::Avma;
use nix::unistd::Pid;

use super::auxv;
use super::remote_syscall::RemoteError;

/// One execution of a program by a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Execution {
    pid: Pid,
    /// Address of the program's random bytes, which the kernel chooses anew for each execution, if addresses are random
    /// at all. The bytes themselves say nothing: the Go runtime zeroes them (`randinit`, runtime/rand.go, Go 1.22).
    random_bytes: Option<Avma>,
}

impl Execution {
    /// Returns what a process executes now. It must be asked for before what it is to stand for is read.
    pub(crate) fn of(pid: Pid) -> Execution {
        Execution { pid, random_bytes: auxv::random_bytes(pid) }
    }

    pub(crate) fn pid(self) -> Pid {
        self.pid
    }

    /// Whether the process is known to execute another program, or the same anew.
    pub(crate) fn is_over(self) -> bool {
        auxv::random_bytes(self.pid).zip(self.random_bytes).is_some_and(|(now, then)| now != then)
    }

    /// Returns an error if the process is known to execute another program, or the same anew.
    pub(super) fn check(self) -> Result<(), RemoteError> {
        if self.is_over() { Err(RemoteError::Became) } else { Ok(()) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::process::{Child, ChildStdout, Command, Stdio};

    use super::*;

    /// A shell that executes a shell anew when it is told to.
    pub(in crate::process) struct Shell {
        child: Child,
        answers: BufReader<ChildStdout>,
    }

    impl Shell {
        pub(in crate::process) fn start() -> Shell {
            let mut command = Command::new("sh");
            command.args(["-c", "echo ready; read line; exec sh -c 'echo ready; read line'"]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell");
            let answers = BufReader::new(child.stdout.take().expect("a pipe"));
            let mut shell = Shell { child, answers };
            shell.wait_until_ready();
            shell
        }

        pub(in crate::process) fn pid(&self) -> Pid {
            Pid::from_raw(self.child.id() as i32)
        }

        pub(in crate::process) fn begin_anew(&mut self) {
            self.answer();
            self.wait_until_ready();
        }

        pub(in crate::process) fn end(mut self) {
            self.answer();
            assert!(self.child.wait().expect("its status").success());
        }

        fn answer(&mut self) {
            self.child.stdin.as_mut().expect("a pipe").write_all(b"go on\n").expect("it reads");
        }

        fn wait_until_ready(&mut self) {
            let mut line = String::new();
            self.answers.read_line(&mut line).expect("a line");
            assert_eq!(line, "ready\n");
        }
    }

    #[test]
    fn it_is_over_when_the_process_executes_the_same_program_anew() {
        let mut shell = Shell::start();
        let first = Execution::of(shell.pid());
        assert!(!first.is_over() && first.check().is_ok());
        shell.begin_anew();
        assert!(first.is_over());
        assert!(matches!(first.check(), Err(RemoteError::Became)));
        shell.end();
    }
}
