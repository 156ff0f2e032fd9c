//! Requests that wait to be sent, in files: neither a server that is away nor the end of the recorder loses them.

mod folder;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::endpoint::{Endpoint, Request};
use folder::Folder;

/// Requests, oldest first.
#[derive(Debug)]
pub(super) struct Spool {
    limit: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    folder: Folder,
    /// Files, by their numbers, with their sizes. One that the server fails at goes to the end.
    waiting: VecDeque<(u64, u64)>,
    /// Requests for which there was no room on the disk.
    unwritten: VecDeque<Request>,
    /// Whether the first of these is being sent.
    sends_unwritten: bool,
    counts: Counts,
    /// Why the last attempt failed.
    failure: Option<String>,
    /// Set when the recording has ended: until when to go on.
    until: Option<Instant>,
}

/// Requests by what has happened to them.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// Requests that there were.
    pub(super) added: u64,
    /// Requests that the server took.
    pub(super) delivered: u64,
    /// Requests that it will never take.
    pub(super) refused: u64,
    /// Why it refused the first of them.
    pub(super) refusal: Option<String>,
    /// Files that are no requests.
    pub(super) damaged: u64,
}

/// A request's place in the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    File(u64),
    /// In memory.
    Unwritten,
}

/// State of a spool when the recorder ends.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) counts: Counts,
    /// The folder, if there is one.
    pub(super) folder: Option<PathBuf>,
    /// Requests in it.
    pub(super) waiting: u64,
    /// Requests that are lost, because the folder could not be written.
    pub(super) unwritten: u64,
    /// Why the last attempt failed.
    pub(super) failure: Option<String>,
}

impl Spool {
    /// Opens a folder, with what an earlier recording left there; without one, a temporary one is made when it is needed.
    ///
    /// # Errors
    /// If the folder can't be used, another recorder uses it, or it has requests for another server.
    pub(super) fn open(folder: Option<&Path>, endpoint: &Endpoint, limit: u64) -> anyhow::Result<Spool> {
        let (folder, waiting) = match folder {
            Some(folder) => Folder::open(folder, endpoint)?,
            None => (Folder::temporary(endpoint), Vec::new()),
        };
        let state = State {
            folder,
            counts: Counts { added: waiting.len() as u64, ..Counts::default() },
            waiting: waiting.into(),
            unwritten: VecDeque::new(),
            sends_unwritten: false,
            failure: None,
            until: None,
        };
        Ok(Spool { limit, state: Mutex::new(state), changed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        let state = self.state();
        state.waiting.is_empty() && state.unwritten.is_empty()
    }

    /// Whether another request is to be added. If not, later ones may have more in them.
    pub(super) fn has_room(&self) -> bool {
        let mut state = self.state();
        state.write_unwritten();
        state.unwritten.is_empty() && state.waiting.iter().map(|(_, size)| size).sum::<u64>() < self.limit
    }

    /// Adds a request, whether there is room or not. One that can't be written is kept in memory.
    pub(super) fn add(&self, request: &Request) {
        let mut state = self.state();
        state.counts.added += 1;
        state.unwritten.push_back(request.clone());
        state.write_unwritten();
        drop(state);
        self.changed.notify_all();
    }

    /// Returns the next request, once there is one. None if the recording has ended, and nothing is left to send or no time
    /// to do it.
    pub(super) fn next(&self) -> Option<(Place, Request)> {
        let mut state = self.state();
        loop {
            if state.until.is_some_and(|until| until <= Instant::now()) {
                return None;
            }
            if let Some(&(number, _)) = state.waiting.front() {
                if let Some(request) = state.folder.read(number) {
                    return Some((Place::File(number), request));
                }
                // Somebody has changed or removed it.
                state.waiting.pop_front();
                state.counts.damaged += 1;
                self.changed.notify_all();
            } else if let Some(request) = state.unwritten.front().cloned() {
                state.sends_unwritten = true;
                return Some((Place::Unwritten, request));
            } else if state.until.is_some() {
                return None;
            } else {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Removes a request that the server has taken.
    pub(super) fn delivered(&self, place: Place) {
        self.remove(place, |counts| counts.delivered += 1);
    }

    /// Removes a request that the server will never take. Returns whether it is the first one.
    pub(super) fn refused(&self, place: Place, why: &str) -> bool {
        let mut is_first = false;
        self.remove(place, |counts| {
            counts.refused += 1;
            is_first = counts.refusal.is_none();
            counts.refusal.get_or_insert_with(|| why.to_owned());
        });
        is_first
    }

    fn remove(&self, place: Place, count: impl FnOnce(&mut Counts)) {
        let mut state = self.state();
        match place {
            Place::File(number) => {
                state.folder.remove(number);
                state.waiting.retain(|&(waiting, _)| waiting != number);
            }
            Place::Unwritten => drop(state.unwritten.pop_front()),
        }
        state.sends_unwritten = false;
        state.failure = None;
        count(&mut state.counts);
        drop(state);
        self.changed.notify_all();
    }

    /// Notes why an attempt failed. A request that the server has `answered` gives way to the others.
    pub(super) fn failed(&self, place: Place, why: &str, answered: bool) {
        let mut state = self.state();
        state.sends_unwritten = false;
        state.failure = Some(why.to_owned());
        if let (Place::File(number), true) = (place, answered)
            && state.waiting.front().is_some_and(|&(first, _)| first == number)
        {
            state.waiting.rotate_left(1);
        }
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

    /// Says that the recording has ended, and waits until all is sent, at most for `time`, and only while `goes_on`. Removes a
    /// temporary folder in which nothing is left.
    pub(super) fn close(&self, time: Duration, goes_on: impl Fn() -> bool) -> Left {
        const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
        let until = Instant::now() + time;
        let mut state = self.state();
        state.write_unwritten();
        state.until = Some(until);
        self.changed.notify_all();
        while !(state.waiting.is_empty() && state.unwritten.is_empty()) && goes_on() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let pause = left.min(BETWEEN_LOOKS);
            state = self.changed.wait_timeout(state, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.until = Some(Instant::now());
        let is_empty = state.waiting.is_empty();
        Left {
            counts: state.counts.clone(),
            folder: state.folder.leave(is_empty),
            waiting: state.waiting.len() as u64,
            unwritten: state.unwritten.len() as u64,
            failure: state.failure.clone(),
        }
    }
}

impl State {
    fn write_unwritten(&mut self) {
        // One that is being sent would be sent again.
        while let (Some(request), false) = (self.unwritten.front(), self.sends_unwritten) {
            match self.folder.write(request) {
                Ok(file) => self.waiting.push_back(file),
                Err(error) => return tracing::debug!("{error}; tried again later"),
            }
            self.unwritten.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LIMIT: u64 = 100;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::parse(url).expect("a URL")
    }

    fn spool(folder: Option<&Path>) -> Spool {
        Spool::open(folder, &endpoint("http://localhost/ingest"), LIMIT).expect("a spool")
    }

    fn request(text: &str) -> Request {
        let headers = vec![("Content-Type".to_owned(), "text/plain; a=\"b\"\n".to_owned())];
        Request { query: format!("name={text}"), headers, body: format!("{text}\n\0{text}").into_bytes() }
    }

    fn take(spool: &Spool) -> Request {
        let (place, request) = spool.next().expect("a request");
        spool.delivered(place);
        request
    }

    fn closed(spool: &Spool) -> Left {
        spool.close(Duration::ZERO, || true)
    }

    #[test]
    fn requests_come_out_as_they_went_in_oldest_first() {
        let spool = spool(None);
        assert!(spool.is_empty());
        spool.add(&request("a"));
        spool.add(&request("b"));
        assert_eq!([take(&spool), take(&spool)], [request("a"), request("b")]);
        let left = closed(&spool);
        assert_eq!((left.counts.added, left.counts.delivered, left.waiting, left.unwritten), (2, 2, 0, 0));
        assert!(spool.next().is_none() && left.folder.is_none());
    }

    #[test]
    fn what_is_left_is_sent_by_the_next_recording_to_the_same_server() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = spool(Some(folder.path()));
        first.add(&request("a"));
        first.add(&request("b"));
        let other =
            |url: &str| Spool::open(Some(folder.path()), &endpoint(url), LIMIT).map(|_| ()).expect_err("an error");
        assert!(other("http://localhost/ingest").to_string().contains("another recorder uses"));
        assert_eq!(take(&first), request("a"));
        assert_eq!(closed(&first).waiting, 1);
        drop(first);
        assert!(other("http://elsewhere/ingest").to_string().contains("is for http://localhost/ingest"));
        fs::write(folder.path().join("0000000001.partial"), "half").expect("a file");
        let second = spool(Some(folder.path()));
        second.add(&request("c"));
        assert_eq!([take(&second), take(&second)], [request("b"), request("c")]);
    }

    #[test]
    fn a_full_spool_has_no_room_until_something_is_sent() {
        let spool = spool(None);
        assert!(spool.has_room());
        spool.add(&request(&"a".repeat(LIMIT as usize)));
        assert!(!spool.has_room());
        take(&spool);
        assert!(spool.has_room());
    }

    #[test]
    fn what_could_not_be_written_is_sent_from_memory_or_written_later() {
        let folder = tempfile::tempdir().expect("a folder");
        let inner = folder.path().join("inner");
        let spool = spool(Some(&inner));
        fs::remove_dir_all(&inner).expect("it is there");
        spool.add(&request("a"));
        spool.add(&request("b"));
        assert!(!spool.has_room());
        let (place, sent) = spool.next().expect("a request");
        assert_eq!((place, sent), (Place::Unwritten, request("a")));
        fs::create_dir(&inner).expect("a folder");
        // It is not written while it is sent.
        assert!(!spool.has_room());
        spool.delivered(place);
        assert!(spool.has_room());
        assert_eq!(take(&spool), request("b"));
        assert_eq!(closed(&spool).unwritten, 0);
    }

    /// A request at which a server always failed once kept all others from it.
    #[test]
    fn a_request_that_the_server_fails_at_gives_way() {
        let spool = spool(None);
        spool.add(&request("bad"));
        spool.add(&request("good"));
        let (place, _) = spool.next().expect("a request");
        spool.failed(place, "no connection", false);
        assert_eq!(spool.next().expect("a request").1, request("bad"));
        spool.failed(place, "500", true);
        assert_eq!(take(&spool), request("good"));
        let (place, _) = spool.next().expect("a request");
        assert!(spool.refused(place, "400") && closed(&spool).counts.refusal == Some("400".into()));
    }

    #[test]
    fn a_file_that_is_no_request_is_counted_and_passed_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = spool(Some(folder.path()));
        spool.add(&request("a"));
        spool.add(&request("b"));
        fs::write(folder.path().join("0000000000.request"), "{}").expect("a file");
        assert_eq!(take(&spool), request("b"));
        let counts = closed(&spool).counts;
        assert_eq!((counts.damaged, counts.refused), (1, 0));
    }

    #[test]
    fn the_end_waits_no_longer_than_it_is_let() {
        let spool = spool(None);
        spool.add(&request("a"));
        let begun = Instant::now();
        let left = spool.close(Duration::from_secs(600), || begun.elapsed() < Duration::from_millis(200));
        assert!(begun.elapsed() < Duration::from_secs(60));
        fs::remove_dir_all(left.folder.expect("it is kept")).expect("it is there");
    }
}
