//! Requests that wait to be sent, in files: neither a server that is away nor the end of the recorder loses them.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::fcntl::{Flock, FlockArg};
use tempfile::TempDir;

use super::endpoint::{Protocol, Request};

/// A folder with requests, oldest first.
#[derive(Debug)]
pub(super) struct Spool {
    folder: PathBuf,
    /// Ending of the files: requests of other protocols are left alone.
    ending: &'static str,
    limit: u64,
    state: Mutex<State>,
    changed: Condvar,
    /// The folder, if it is for this recording only.
    temporary: Mutex<Option<TempDir>>,
    /// Keeps other recorders from the folder.
    _lock: Option<Flock<File>>,
}

#[derive(Debug, Default)]
struct State {
    /// Numbers and sizes of files.
    waiting: VecDeque<(u64, u64)>,
    /// A request for which there was no room on the disk.
    unwritten: VecDeque<Request>,
    next: u64,
    added: u64,
    delivered: u64,
    refused: u64,
    /// Why the first request was refused.
    refusal: Option<String>,
    /// Why the last attempt failed.
    failure: Option<String>,
    /// Set when the recording has ended: until when to go on.
    until: Option<Instant>,
}

/// What became of a spool.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) folder: PathBuf,
    /// Requests that there were.
    pub(super) added: u64,
    pub(super) delivered: u64,
    pub(super) refused: u64,
    pub(super) refusal: Option<String>,
    /// Requests in the folder.
    pub(super) waiting: u64,
    /// Requests that are lost because the folder could not be written.
    pub(super) unwritten: u64,
    pub(super) failure: Option<String>,
}

impl Spool {
    /// Opens a folder, with what an earlier recording left there, or makes a temporary one.
    ///
    /// # Errors
    /// If the folder can't be used, or another recorder uses it.
    pub(super) fn open(folder: Option<&Path>, protocol: &Protocol, limit: u64) -> anyhow::Result<Spool> {
        let mut temporary = None;
        let folder = match folder {
            Some(folder) => folder.to_owned(),
            None => {
                let made = tempfile::Builder::new().prefix("cgoprof-push-").tempdir();
                let made = made.context("cannot make a folder for what is to be pushed; name one with --spool")?;
                temporary.insert(made).path().to_owned()
            }
        };
        let cannot = || format!("cannot use {} as a spool", folder.display());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).with_context(cannot)?;
        let lock = if temporary.is_none() { Some(lock(&folder)?) } else { None };
        let mut waiting: Vec<(u64, u64)> = Vec::new();
        for entry in fs::read_dir(&folder).with_context(cannot)? {
            let entry = entry.with_context(cannot)?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(protocol.name)?.strip_suffix('.'));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                waiting.push((number, entry.metadata().with_context(cannot)?.len()));
            }
        }
        waiting.sort_unstable();
        let next = waiting.last().map_or(0, |(number, _)| number + 1);
        let state = State { added: waiting.len() as u64, waiting: waiting.into(), next, ..State::default() };
        Ok(Spool {
            folder,
            ending: protocol.name,
            limit,
            state: Mutex::new(state),
            changed: Condvar::new(),
            temporary: Mutex::new(temporary),
            _lock: lock,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:010}.{}", self.ending))
    }

    /// Whether another request is to be added. If not, later ones may have more in them.
    pub(super) fn has_room(&self) -> bool {
        let mut state = self.state();
        self.write_unwritten(&mut state);
        state.unwritten.is_empty() && state.waiting.iter().map(|(_, size)| size).sum::<u64>() < self.limit
    }

    /// Adds a request, whether there is room or not. One that can't be written is kept in memory.
    pub(super) fn add(&self, request: &Request) {
        let mut state = self.state();
        state.added += 1;
        state.unwritten.push_back(request.clone());
        self.write_unwritten(&mut state);
        drop(state);
        self.changed.notify_all();
    }

    fn write_unwritten(&self, state: &mut State) {
        while let Some(request) = state.unwritten.front() {
            let bytes = to_bytes(request);
            if let Err(error) = write_whole(&self.path(state.next), &bytes) {
                tracing::debug!("{}: {error}; tried again later", self.folder.display());
                return;
            }
            state.waiting.push_back((state.next, bytes.len() as u64));
            state.next += 1;
            state.unwritten.pop_front();
        }
    }

    /// Returns the oldest request, once there is one. None if the recording has ended, and nothing is left to send or no time
    /// to do it.
    pub(super) fn oldest(&self) -> Option<(u64, Request)> {
        let mut state = self.state();
        loop {
            if state.until.is_some_and(|until| until <= Instant::now()) {
                return None;
            }
            match state.waiting.front() {
                Some(&(number, _)) => match fs::read(self.path(number)).map(|bytes| of_bytes(&bytes)) {
                    Ok(Some(request)) => return Some((number, request)),
                    // Somebody has changed or removed it.
                    Ok(None) | Err(_) => {
                        state.waiting.pop_front();
                        refuse(&mut state, format!("{} is no request", self.path(number).display()));
                    }
                },
                None if state.until.is_some() => return None,
                None => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Removes a request that has been sent.
    pub(super) fn delivered(&self, number: u64) {
        self.remove(number, |state| state.delivered += 1);
    }

    /// Removes a request that will never be taken.
    pub(super) fn refused(&self, number: u64, why: String) {
        self.remove(number, |state| refuse(state, why));
    }

    fn remove(&self, number: u64, count: impl FnOnce(&mut State)) {
        let mut state = self.state();
        let _ = fs::remove_file(self.path(number));
        state.waiting.retain(|&(waiting, _)| waiting != number);
        state.failure = None;
        count(&mut state);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits after a failure, less if the recording ends meanwhile. Returns whether it is the first failure since a success.
    pub(super) fn failed(&self, why: String) -> bool {
        self.state().failure.replace(why).is_none()
    }

    /// Waits before the next attempt; only a second once the recording has ended.
    pub(super) fn pause(&self, time: Duration) {
        const AT_END: Duration = Duration::from_secs(1);
        let begun = Instant::now();
        let mut state = self.state();
        loop {
            let whole = if state.until.is_some() { time.min(AT_END) } else { time };
            let left = whole.saturating_sub(begun.elapsed());
            if left.is_zero() || state.until.is_some_and(|until| until <= Instant::now()) {
                return;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Says that the recording has ended, and waits until all is sent, at most for `time`. Removes a temporary folder in
    /// which nothing is left.
    pub(super) fn close(&self, time: Duration) -> Left {
        let until = Instant::now() + time;
        let mut state = self.state();
        self.write_unwritten(&mut state);
        state.until = Some(until);
        self.changed.notify_all();
        while !state.waiting.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let temporary = self.temporary.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(temporary) = temporary.filter(|_| !state.waiting.is_empty()) {
            let _kept = temporary.keep();
        }
        Left {
            folder: self.folder.clone(),
            added: state.added,
            delivered: state.delivered,
            refused: state.refused,
            refusal: state.refusal.clone(),
            waiting: state.waiting.len() as u64,
            unwritten: state.unwritten.len() as u64,
            failure: state.failure.clone(),
        }
    }
}

fn refuse(state: &mut State, why: String) {
    state.refused += 1;
    state.refusal.get_or_insert(why);
}

/// Locks a folder for this process.
fn lock(folder: &Path) -> anyhow::Result<Flock<File>> {
    let path = folder.join("lock");
    let cannot = || format!("cannot use {} as a spool", folder.display());
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path).with_context(cannot)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
            bail!("another recorder uses {}; choose another folder with --spool", folder.display())
        }
        Err((_, error)) => Err(error).with_context(cannot),
    }
}

/// Writes a file that has its name only when it is whole.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let partial = path.with_extension("partial");
    let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&partial);
    let written = file.and_then(|mut file| file.write_all(bytes)).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Returns a request as a file: a line of JSON, and the body.
fn to_bytes(request: &Request) -> Vec<u8> {
    let head = serde_json::json!({ "query": request.query, "headers": request.headers }).to_string();
    [head.as_bytes(), b"\n", &request.body].concat()
}

fn of_bytes(bytes: &[u8]) -> Option<Request> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let head: serde_json::Value = serde_json::from_slice(&bytes[..end]).ok()?;
    let header = |pair: &serde_json::Value| Some((pair[0].as_str()?.to_owned(), pair[1].as_str()?.to_owned()));
    Some(Request {
        query: head["query"].as_str()?.to_owned(),
        headers: head["headers"].as_array()?.iter().map(header).collect::<Option<_>>()?,
        body: bytes[end + 1..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::endpoint::Endpoint;

    const LIMIT: u64 = 100;

    fn spool(folder: Option<&Path>) -> Spool {
        let endpoint = Endpoint::parse("http://localhost/ingest").expect("a URL");
        Spool::open(folder, endpoint.protocol(), LIMIT).expect("a spool")
    }

    fn request(text: &str) -> Request {
        let headers = vec![("Content-Type".to_owned(), "text/plain; a=\"b\"\n".to_owned())];
        Request { query: format!("name={text}"), headers, body: format!("{text}\n\0{text}").into_bytes() }
    }

    #[test]
    fn requests_come_out_as_they_went_in_oldest_first() {
        let spool = spool(None);
        let folder = spool.folder.clone();
        spool.add(&request("a"));
        spool.add(&request("b"));
        for text in ["a", "b"] {
            let (number, found) = spool.oldest().expect("a request");
            assert_eq!(found, request(text));
            spool.delivered(number);
        }
        let left = spool.close(Duration::ZERO);
        assert_eq!((left.added, left.delivered, left.waiting, left.unwritten), (2, 2, 0, 0));
        assert!(spool.oldest().is_none() && !folder.exists());
    }

    #[test]
    fn what_is_left_is_sent_by_the_next_recording() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = spool(Some(folder.path()));
        first.add(&request("a"));
        first.add(&request("b"));
        assert!(
            Spool::open(Some(folder.path()), Endpoint::parse("http://a/ingest").expect("a URL").protocol(), 1).is_err()
        );
        first.delivered(first.oldest().expect("a request").0);
        assert_eq!(first.close(Duration::ZERO).waiting, 1);
        drop(first);
        fs::write(folder.path().join("0000000001.partial"), "half").expect("a file");
        fs::write(folder.path().join("0000000001.otlp"), "of another server").expect("a file");
        let second = spool(Some(folder.path()));
        second.add(&request("c"));
        for text in ["b", "c"] {
            let (number, found) = second.oldest().expect("a request");
            assert_eq!(found, request(text));
            second.delivered(number);
        }
        assert!(folder.path().join("0000000001.otlp").exists());
    }

    #[test]
    fn a_full_spool_has_no_room_until_something_is_sent() {
        let spool = spool(None);
        assert!(spool.has_room());
        spool.add(&request(&"a".repeat(LIMIT as usize)));
        assert!(!spool.has_room());
        spool.delivered(spool.oldest().expect("a request").0);
        assert!(spool.has_room());
    }

    #[test]
    fn what_could_not_be_written_is_written_when_there_is_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("inner");
        let spool = spool(Some(&inner));
        fs::remove_dir_all(&inner).expect("it is there");
        spool.add(&request("a"));
        assert!(!spool.has_room());
        fs::create_dir(&inner).expect("a folder");
        assert!(spool.has_room());
        assert_eq!(spool.oldest().expect("a request").1, request("a"));
    }

    #[test]
    fn a_file_that_is_no_request_is_counted_and_passed_over() {
        let spool = spool(None);
        spool.add(&request("a"));
        spool.add(&request("b"));
        fs::write(spool.path(0), "{}").expect("a file");
        assert_eq!(spool.oldest().expect("a request").1, request("b"));
        assert_eq!(spool.close(Duration::ZERO).refused, 1);
    }

    #[test]
    fn any_bytes_are_no_request_or_one() {
        for bytes in [&b""[..], b"\n", b"{\n", b"{\"query\":1}\n", b"{\"query\":\"\",\"headers\":[[]]}\n", b"[]\nbody"]
        {
            assert_eq!(of_bytes(bytes), None);
        }
    }
}
