//! Debug information from debuginfod servers, by the client of elfutils: `debuginfod-find`. It asks the servers that
//! `DEBUGINFOD_URLS` names and keeps what it gets where gdb and perf look too.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The name of the client.
const CLIENT: &str = "debuginfod-find";
/// Sleep between two looks whether the client has ended.
const BETWEEN_LOOKS: Duration = Duration::from_millis(5);
/// Maximum bytes of a path that the client prints.
const LONGEST_PATH: u64 = 4096;

/// A client of debuginfod servers.
pub(super) struct Debuginfod {
    client: PathBuf,
    limit: Duration,
    /// Time that is left for all questions.
    left: Duration,
    /// Why no more is asked.
    refused: Option<String>,
}

impl Debuginfod {
    /// A client that takes at most so long for all questions together.
    pub(super) fn new(limit: Duration) -> Debuginfod {
        let no_servers = std::env::var_os("DEBUGINFOD_URLS").is_none_or(|urls| urls.is_empty());
        let refused = no_servers.then(|| "DEBUGINFOD_URLS names no debuginfod server: none was asked".to_owned());
        Debuginfod { client: CLIENT.into(), limit, left: limit, refused }
    }

    /// Returns the file with the debug information of the program or library with this build id; none if no server has
    /// it.
    pub(super) fn find(&mut self, build_id: &[u8]) -> Option<PathBuf> {
        if self.refused.is_some() || self.left.is_zero() {
            return None;
        }
        let hex: String = build_id.iter().map(|byte| format!("{byte:02x}")).collect();
        let started = Instant::now();
        let mut command = Command::new(&self.client);
        command.args(["debuginfo", &hex]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let found = match command.spawn() {
            Ok(client) => self.wait(client),
            Err(error) => {
                self.refused = Some(format!(
                    "{} can't be run ({error}), so no debuginfod server was asked: it is in elfutils (Debian: package \
                     debuginfod; Fedora: elfutils-debuginfod-client)",
                    self.client.display()
                ));
                None
            }
        };
        self.left = self.left.saturating_sub(started.elapsed());
        found
    }

    /// Returns why servers were not asked, or not for all, once.
    pub(super) fn take_note(&mut self) -> Option<String> {
        self.refused.take()
    }

    fn wait(&mut self, mut client: Child) -> Option<PathBuf> {
        let started = Instant::now();
        let ended = loop {
            match client.try_wait() {
                Ok(Some(status)) => break status.success(),
                Ok(None) if started.elapsed() < self.left => std::thread::sleep(BETWEEN_LOOKS),
                _ => {
                    let _ = client.kill();
                    let _ = client.wait();
                    self.refused = Some(format!(
                        "the debuginfod servers took longer than {:?}: not all debug information was got; --debuginfod=5m \
                         gives them more time",
                        self.limit
                    ));
                    break false;
                }
            }
        };
        if !ended {
            return None;
        }
        let mut path = String::new();
        client.stdout.take()?.take(LONGEST_PATH).read_to_string(&mut path).ok()?;
        Some(PathBuf::from(path.trim_end()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn client(script: &str, limit: Duration) -> Debuginfod {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let client = folder.join("client");
        std::fs::write(&client, script).expect("it is written");
        std::fs::set_permissions(&client, std::fs::Permissions::from_mode(0o755)).expect("it may be run");
        Debuginfod { client, limit, left: limit, refused: None }
    }

    #[test]
    fn servers_that_have_it_have_it_not_or_hang() {
        let limit = Duration::from_secs(30);
        let mut has = client("#!/bin/sh\necho /cache/$1-$2\n", limit);
        assert_eq!(has.find(&[0xab, 1]), Some("/cache/debuginfo-ab01".into()));
        assert_eq!(has.take_note(), None);
        let mut has_not = client("#!/bin/sh\necho not found >&2\nexit 1\n", limit);
        assert_eq!((has_not.find(&[1]), has_not.take_note()), (None, None));
        let started = Instant::now();
        let mut hangs = client("#!/bin/sh\nexec tail -f /dev/null\n", Duration::from_millis(50));
        assert_eq!((hangs.find(&[1]), hangs.find(&[2])), (None, None));
        assert!(started.elapsed() < Duration::from_secs(20));
        assert!(hangs.take_note().is_some_and(|note| note.contains("longer than 50ms")));
        assert_eq!(hangs.take_note(), None);
    }

    #[test]
    fn a_client_that_is_not_installed_is_named() {
        let mut missing = Debuginfod { client: "/nowhere/debuginfod-find".into(), ..client("", Duration::MAX) };
        assert_eq!(missing.find(&[1]), None);
        assert!(missing.take_note().is_some_and(|note| note.contains("/nowhere/debuginfod-find")));
    }
}
