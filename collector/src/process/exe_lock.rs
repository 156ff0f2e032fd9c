//! Lets one recorder at a time change a program. The recorder holds an abstract socket name meanwhile (unix(7)).
//! Nothing of the program is locked, because the program may lock its own file.

use std::io::ErrorKind;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::status;

/// Holds the name until it is dropped; holds nothing where the name can't be had.
pub(crate) struct Lock {
    _name: Option<UnixListener>,
}

/// Maximum wait for the name. A recorder holds it for some milliseconds, but any process may hold it for as long as it
/// likes.
const LONGEST_WAIT: Duration = Duration::from_secs(3);
const BETWEEN_TRIES: Duration = Duration::from_millis(2);

impl Lock {
    /// Takes the name, after waiting for other recorders to be done with the process.
    pub(crate) fn of(pid: Pid) -> Lock {
        let Some(name) = name(pid).and_then(|name| SocketAddr::from_abstract_name(name).ok()) else {
            return Lock { _name: None };
        };
        let started = Instant::now();
        loop {
            match UnixListener::bind_addr(&name) {
                Ok(taken) => return Lock { _name: Some(taken) },
                Err(error) if error.kind() == ErrorKind::AddrInUse && started.elapsed() < LONGEST_WAIT => {
                    std::thread::sleep(BETWEEN_TRIES);
                }
                Err(_) => return Lock { _name: None },
            }
        }
    }
}

/// Returns the name, which is the same in every PID namespace; none if the process has ended.
fn name(pid: Pid) -> Option<String> {
    let file = std::fs::metadata(status::program(pid)).ok()?;
    Some(format!("cgoprof {}:{} {}", file.dev(), file.ino(), status::started(pid)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_and_the_next_waits() {
        const HELD: Duration = Duration::from_millis(50);
        let own = Pid::this();
        let first = Lock::of(own);
        assert!(first._name.is_some());
        let started = Instant::now();
        std::thread::scope(|scope| {
            let second = scope.spawn(move || (Lock::of(own)._name.is_some(), started.elapsed()));
            std::thread::sleep(HELD);
            drop(first);
            let (has_it, after) = second.join().unwrap();
            assert!(has_it && after >= HELD, "{after:?}");
        });
        assert_eq!(name(Pid::from_raw(i32::MAX)), None);
    }
}
