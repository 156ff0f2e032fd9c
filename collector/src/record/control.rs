//! Commands to a recording that runs, over a socket with an abstract name (unix(7)).

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Pid, Uid};

use super::recorder::is_gone;

/// What all names begin with. The recorder's and the program's process ids follow.
const NAME: &str = "cgoprof-control";
/// Maximum wait for the rest of a command, and for its sender to take the answer. The recorder does nothing else meanwhile.
const PATIENCE: Duration = Duration::from_millis(500);
/// Maximum wait for an answer: the recorder may be attaching, or looking up symbols.
const ANSWER: Duration = Duration::from_secs(60);

/// A command to a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Detach from the program, and wait.
    Pause,
    /// Attach to the program again.
    Resume,
    /// Send all that was recorded so far, as a profile's file.
    Snapshot,
}

impl Command {
    const ALL: [Command; 3] = [Command::Pause, Command::Resume, Command::Snapshot];

    fn word(self) -> &'static str {
        match self {
            Command::Pause => "pause\n",
            Command::Resume => "resume\n",
            Command::Snapshot => "snapshot\n",
        }
    }
}

/// The end of the socket at which a recorder takes commands.
pub(super) struct Control(UnixListener);

/// A command that waits for its answer.
pub(super) struct Request {
    pub(super) command: Command,
    sender: UnixStream,
}

impl Control {
    /// Listens for commands to the recording of a process. None where the system has no abstract names, or the name is taken.
    pub(super) fn of(program: Pid) -> Option<Control> {
        let name = format!("{NAME} {} {program}", Pid::this());
        let listener = SocketAddr::from_abstract_name(name).and_then(|name| UnixListener::bind_addr(&name));
        let listener = listener.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        listener
            .inspect_err(|error| tracing::debug!("no commands to the recording of {program}: {error}"))
            .ok()
            .map(Control)
    }

    /// Returns a command, if one has come. The recorder's user and root may send some; others are not answered.
    pub(super) fn request(&self) -> Option<Request> {
        let (mut sender, _) = self.0.accept().ok()?;
        let user = Uid::from_raw(getsockopt(&sender, PeerCredentials).ok()?.uid());
        if !user.is_root() && user != Uid::effective() {
            return None;
        }
        sender.set_read_timeout(Some(PATIENCE)).ok()?;
        sender.set_write_timeout(Some(PATIENCE)).ok()?;
        let mut word = Vec::new();
        let mut byte = [0];
        while !word.ends_with(b"\n") && word.len() < NAME.len() {
            sender.read_exact(&mut byte).ok()?;
            word.push(byte[0]);
        }
        let command = Command::ALL.into_iter().find(|command| command.word().as_bytes() == word)?;
        Some(Request { command, sender })
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Request {
    /// Says that the command was followed, and sends what it asked for. A sender that has gone away misses it.
    pub(super) fn done(mut self, content: &[u8]) {
        let _ = self.sender.write_all(b"done\n").and_then(|()| self.sender.write_all(content));
    }

    /// Says why the command was not followed.
    pub(super) fn refuse(mut self, why: &str) {
        let _ = self.sender.write_all(format!("refused\n{why}").as_bytes());
    }
}

/// A recording that takes commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controllable {
    name: String,
    /// The program's process.
    pub program: Pid,
}

/// Why a command was not followed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The recorder did not answer.
    #[error("its recorder does not answer: {0}")]
    Silent(#[from] io::Error),
    /// It belongs to another user.
    #[error("its recorder belongs to another user; run as that one, or as root")]
    NotOurs,
    /// The recorder says why.
    #[error("{0}")]
    Refused(String),
}

/// Returns the recordings of a process, or by the recorder that is this process. Waits a moment for one that is about to begin.
pub fn recordings(pid: Pid) -> Vec<Controllable> {
    const BEGINS: Duration = Duration::from_secs(1);
    const BETWEEN_LOOKS: Duration = Duration::from_millis(20);
    let begun = Instant::now();
    loop {
        let sockets = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
        let found = named_in(&sockets, pid);
        if !found.is_empty() || begun.elapsed() >= BEGINS || is_gone(pid) {
            return found;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

fn named_in(sockets: &str, pid: Pid) -> Vec<Controllable> {
    let pid = pid.to_string();
    let names = sockets.lines().filter_map(|line| Some(line.split_once('@')?.1));
    let mut found: Vec<Controllable> = names
        .filter_map(|name| {
            let (recorder, program) = name.strip_prefix(NAME)?.trim_start().split_once(' ')?;
            let program_pid = Pid::from_raw(program.parse().ok()?);
            let is_meant = recorder == pid || program == pid;
            is_meant.then(|| Controllable { name: name.to_owned(), program: program_pid })
        })
        .collect();
    // Connections have the name of the socket too.
    found.sort_by_key(|one| one.program);
    found.dedup();
    found
}

/// Sends a command to a recording. Returns what it asked for.
///
/// # Errors
/// If the recorder does not follow the command.
pub fn send(recording: &Controllable, command: Command) -> Result<Vec<u8>, ControlError> {
    let mut stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(&recording.name)?)?;
    stream.set_read_timeout(Some(ANSWER))?;
    let mut answer = Vec::new();
    let asked = stream.write_all(command.word().as_bytes()).and_then(|()| stream.read_to_end(&mut answer));
    match asked {
        // The recorder has closed it, before or after it was written to.
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
            return Err(ControlError::NotOurs);
        }
        asked => asked?,
    };
    if let Some(content) = answer.strip_prefix(b"done\n") {
        return Ok(content.to_vec());
    }
    match answer.strip_prefix(b"refused\n") {
        Some(why) => Err(ControlError::Refused(String::from_utf8_lossy(why).into_owned())),
        None if answer.is_empty() => Err(ControlError::NotOurs),
        None => Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_are_found_by_the_program_and_by_the_recorder() {
        let sockets = "Num RefCount Protocol Flags Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 21474 @cgoprof-control 10 20
0000000000000000: 00000003 00000000 00000000 0001 03 21475 @cgoprof-control 10 20
0000000000000000: 00000002 00000000 00010000 0001 01 21476 @cgoprof-control 10 21
0000000000000000: 00000002 00000000 00010000 0001 01 21477 @cgoprof 254:1 20
0000000000000000: 00000002 00000000 00010000 0001 01 21478 /run/cgoprof-control 10 20";
        let programs = |pid| {
            let found = named_in(sockets, Pid::from_raw(pid));
            found.iter().map(|one| one.program.as_raw()).collect::<Vec<_>>()
        };
        assert_eq!((programs(10), programs(20), programs(21), programs(1)), (vec![20, 21], vec![20], vec![21], vec![]));
    }

    #[test]
    fn a_command_is_answered() {
        let program = Pid::from_raw(4_194_303);
        let control = Control::of(program).expect("a name");
        assert!(control.request().is_none());
        let found = recordings(program);
        let [recording] = &found[..] else { panic!("{found:?}") };
        let ask = |command, answer: fn(Request)| {
            std::thread::scope(|scope| {
                let sent = scope.spawn(|| send(recording, command));
                let request = loop {
                    if let Some(request) = control.request() {
                        break request;
                    }
                };
                assert_eq!(request.command, command);
                answer(request);
                sent.join().expect("no panic")
            })
        };
        assert_eq!(ask(Command::Snapshot, |request| request.done(b"a\nb")).expect("an answer"), b"a\nb");
        assert_eq!(ask(Command::Pause, |request| request.done(b"")).expect("an answer"), b"");
        let refused = ask(Command::Resume, |request| request.refuse("it is not paused")).expect_err("a refusal");
        assert_eq!(refused.to_string(), "it is not paused");
    }
}
