//! Commands to a recording that runs, over a socket with an abstract name (unix(7)).

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Pid, Uid};

use super::recorder::is_gone;

/// What all names begin with. The PID namespace, the recorder's and the program's process ids follow: containers of a pod share
/// abstract names, but not process ids.
const NAME: &str = "cgoprof-control";
/// Maximum wait for the rest of a command, and for its sender to take the answer. The recorder does nothing else meanwhile.
const PATIENCE: Duration = Duration::from_millis(500);
/// Maximum wait for an answer: the recorder may be attaching, or looking up symbols.
const ANSWER: Duration = Duration::from_secs(60);
/// Maximum bytes of an answer.
const MOST_ANSWERED: u64 = 4 << 30;

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
        let name = format!("{NAME} {} {} {program}", pid_namespace(), Pid::this());
        let listener = SocketAddr::from_abstract_name(name).and_then(|name| UnixListener::bind_addr(&name));
        let listener = listener.and_then(|listener| listener.set_nonblocking(true).map(|()| listener));
        listener
            .inspect_err(|error| tracing::debug!("no commands to the recording of {program}: {error}"))
            .ok()
            .map(Control)
    }

    /// Returns a command, if one has come. Only the recorder's user and root may send some.
    pub(super) fn request(&self) -> Option<Request> {
        let (mut sender, _) = self.0.accept().ok()?;
        sender.set_read_timeout(Some(PATIENCE)).ok()?;
        sender.set_write_timeout(Some(PATIENCE)).ok()?;
        if !is_trusted(&sender) {
            refuse(&mut sender, "its recorder belongs to another user; run cgoprof as that user, or as root");
            return None;
        }
        let mut word = Vec::new();
        let mut byte = [0];
        while !word.ends_with(b"\n") && word.len() < NAME.len() {
            sender.read_exact(&mut byte).ok()?;
            word.push(byte[0]);
        }
        match Command::ALL.into_iter().find(|command| command.word().as_bytes() == word) {
            Some(command) => Some(Request { command, sender }),
            None => {
                refuse(&mut sender, "its recorder does not know this command: it is another version of cgoprof");
                None
            }
        }
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
        answer(&mut self.sender, DONE, content);
    }

    /// Says why the command was not followed.
    pub(super) fn refuse(mut self, why: &str) {
        refuse(&mut self.sender, why);
    }
}

/// First words of answers; the number of bytes that follow is the second one.
const DONE: &str = "done";
const REFUSED: &str = "refused";

fn refuse(sender: &mut UnixStream, why: &str) {
    answer(sender, REFUSED, why.as_bytes());
}

fn answer(sender: &mut UnixStream, word: &str, content: &[u8]) {
    // A sender that has gone away misses it.
    let _ = sender.write_all(format!("{word} {}\n", content.len()).as_bytes()).and_then(|()| sender.write_all(content));
}

/// Whether the other end of a socket is of this user, or of root.
fn is_trusted(socket: &UnixStream) -> bool {
    let other = getsockopt(socket, PeerCredentials).map(|other| Uid::from_raw(other.uid()));
    other.is_ok_and(|user| user.is_root() || user == Uid::effective())
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
    /// The recorder has ended, or answered with something else.
    #[error("its recorder has ended, or was interrupted in its answer")]
    Cut,
    /// Another process has taken the name of a recorder.
    #[error("a process of another user takes its commands; run cgoprof as the recorder's user")]
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
        let found = named_in(&sockets, &pid_namespace(), pid);
        if !found.is_empty() || begun.elapsed() >= BEGINS || is_gone(pid) {
            return found;
        }
        std::thread::sleep(BETWEEN_LOOKS);
    }
}

fn named_in(sockets: &str, namespace: &str, pid: Pid) -> Vec<Controllable> {
    let pid = pid.to_string();
    let names = sockets.lines().filter_map(|line| Some(line.split_once('@')?.1));
    let mut found: Vec<Controllable> = names
        .filter_map(|name| {
            let rest = name.strip_prefix(NAME)?.trim_start().strip_prefix(namespace)?.strip_prefix(' ')?;
            let (recorder, program) = rest.split_once(' ')?;
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

/// Returns what tells the PID namespace of this process; the same for all where the kernel does not tell.
fn pid_namespace() -> String {
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

/// Sends a command to a recording. Returns what it asked for.
///
/// # Errors
/// If the recorder does not follow the command.
pub fn send(recording: &Controllable, command: Command) -> Result<Vec<u8>, ControlError> {
    let mut stream = UnixStream::connect_addr(&SocketAddr::from_abstract_name(&recording.name)?)?;
    // Anybody may take a name: root takes answers from the program's user too, whose recorder it may be.
    let owner = std::fs::metadata(format!("/proc/{}", recording.program)).map(|program| program.uid());
    let is_owner = |peer: Uid| Uid::effective().is_root() && owner.is_ok_and(|owner| owner == peer.as_raw());
    let peer = getsockopt(&stream, PeerCredentials).map(|peer| Uid::from_raw(peer.uid()));
    if !is_trusted(&stream) && !peer.is_ok_and(is_owner) {
        return Err(ControlError::NotOurs);
    }
    stream.set_read_timeout(Some(ANSWER))?;
    let mut answer = Vec::new();
    let asked =
        stream.write_all(command.word().as_bytes()).and_then(|()| stream.take(MOST_ANSWERED).read_to_end(&mut answer));
    match asked {
        // The recorder has closed it, before or after it was written to.
        Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {}
        asked => drop(asked?),
    };
    let end = answer.iter().position(|&byte| byte == b'\n').ok_or(ControlError::Cut)?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let content = answer.split_off(end + 1);
    match head.split_once(' ') {
        Some((_, length)) if length.parse() != Ok(content.len()) => Err(ControlError::Cut),
        Some((DONE, _)) => Ok(content),
        Some((REFUSED, _)) => Err(ControlError::Refused(String::from_utf8_lossy(&content).into_owned())),
        _ => Err(ControlError::Cut),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_are_found_by_the_program_and_by_the_recorder() {
        let sockets = "Num RefCount Protocol Flags Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 21474 @cgoprof-control 42 10 20
0000000000000000: 00000003 00000000 00000000 0001 03 21475 @cgoprof-control 42 10 20
0000000000000000: 00000002 00000000 00010000 0001 01 21476 @cgoprof-control 42 10 21
0000000000000000: 00000002 00000000 00010000 0001 01 21477 @cgoprof 254:1 20
0000000000000000: 00000002 00000000 00010000 0001 01 21479 @cgoprof-control 43 10 22
0000000000000000: 00000002 00000000 00010000 0001 01 21478 /run/cgoprof-control 42 10 20";
        let programs = |pid| {
            let found = named_in(sockets, "42", Pid::from_raw(pid));
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
