//! Pushing what is recorded to a server of profiles, while the program runs.

mod endpoint;
mod label;
mod sender;
mod spool;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use cgoprof_collector::record::Subscriber;
use cgoprof_profile::Profile;
use cgoprof_profile::increment::{Increment, Increments};
use cgoprof_viewer::units::count;

use self::endpoint::Endpoint;
use self::label::Label;
use self::sender::{Credentials, Sender};
use self::spool::Spool;

use crate::notice::say;
use crate::watched::size;

/// Where a recording is pushed to.
#[derive(clap::Args)]
#[command(next_help_heading = "Push")]
pub(crate) struct Args {
    /// Push to Pyroscope (http://HOST:4040/ingest), Parca (http://HOST:7070/api/profiles/writeraw) or an OpenTelemetry
    /// Collector (http://HOST:4318/v1development/profiles) while the program runs
    #[arg(long, value_name = "URL", value_parser = Endpoint::parse)]
    push: Option<Endpoint>,
    /// Time between two pushes
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = interval, requires = "push")]
    interval: Duration,
    /// Label of all that is pushed; service_name=NAME goes before the program's name
    #[arg(long, value_name = "KEY=VALUE", value_parser = Label::parse, requires = "push")]
    label: Vec<Label>,
    /// File with the token by which the server knows its users [default: the token in CGOPROF_PUSH_TOKEN]
    #[arg(long, value_name = "FILE", requires = "push")]
    token_file: Option<PathBuf>,
    /// Header of each request: 'X-Scope-OrgID: team'
    #[arg(long, value_name = "NAME: VALUE", value_parser = sender::header, requires = "push")]
    header: Vec<(String, String)>,
    /// Folder for what could not be pushed yet; what an earlier recording left there is pushed first [default: a temporary folder]
    #[arg(long, value_name = "FOLDER", requires = "push")]
    spool: Option<PathBuf>,
    /// Size from which the spool takes no more; then the pushes span longer times (64M, 1G)
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = size, requires = "push")]
    spool_size: u64,
}

/// Parses the time between two pushes.
fn interval(text: &str) -> Result<Duration, String> {
    /// Below it, assembling profiles would take a processor.
    const SHORTEST: Duration = Duration::from_millis(500);
    let interval = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if interval < SHORTEST { Err("500ms at least".into()) } else { Ok(interval) }
}

/// Maximum stacks in a request. Pyroscope refuses profiles with more than 16,000 samples, or of more than 4 MB.
const STACKS_IN_REQUEST: usize = 5000;

/// Time for which the end of a recording waits for what is not pushed yet.
const FLUSH: Duration = Duration::from_secs(10);

/// Puts what is recorded into a spool, from which another thread sends it.
#[derive(Debug)]
pub(crate) struct Pusher {
    endpoint: Endpoint,
    labels: Vec<Label>,
    interval: Duration,
    spool: Arc<Spool>,
    /// Parts of recordings that were spooled, by process and start.
    growing: Mutex<HashMap<(u32, u64), Increments>>,
    /// Started with the first part: the recorder must have no other thread before its program is started.
    sender: OnceLock<std::io::Result<Sender>>,
    credentials: Credentials,
}

impl Args {
    /// Returns the pusher that the options ask for, if they ask for one.
    ///
    /// # Errors
    /// If the token can't be read, the spool can't be used, or a label is not one of the server's.
    pub(crate) fn pusher(&self) -> anyhow::Result<Option<Arc<Pusher>>> {
        let Some(endpoint) = &self.push else { return Ok(None) };
        for label in &self.label {
            endpoint.check(label).with_context(|| format!("--label {label}"))?;
        }
        let credentials = Credentials::new(endpoint, self.token_file.as_deref(), &self.header)?;
        let spool = Spool::open(self.spool.as_deref(), endpoint.protocol(), self.spool_size)?;
        Ok(Some(Arc::new(Pusher {
            endpoint: endpoint.clone(),
            labels: self.label.clone(),
            interval: self.interval,
            spool: Arc::new(spool),
            growing: Mutex::default(),
            sender: OnceLock::new(),
            credentials,
        })))
    }
}

impl Subscriber for Pusher {
    fn interval(&self) -> Duration {
        self.interval
    }

    fn receive(&self, profile: &Profile, is_complete: bool) {
        let start = || Sender::start(self.endpoint.clone(), self.credentials.clone(), self.spool.clone());
        self.sender.get_or_init(start);
        // Without room, the next increment has what this one would have had.
        if self.spool.has_room() || is_complete {
            self.spool_increment(profile, is_complete);
        }
    }
}

impl Pusher {
    fn spool_increment(&self, profile: &Profile, is_complete: bool) {
        let key = (profile.target.pid, profile.recording.start_unix_ns);
        let mut growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let increment = growing.entry(key).or_default().next(profile, is_complete);
        if is_complete {
            growing.remove(&key);
        }
        drop(growing);
        for (number, stacks) in increment.stacks.chunks(STACKS_IN_REQUEST).enumerate() {
            // Servers take profiles of one time for the same.
            let start_unix_ns = increment.start_unix_ns + number as u64;
            let part = Increment { start_unix_ns, stacks: stacks.to_vec(), ..increment };
            self.spool.add(&self.endpoint.request(profile, &part, &self.labels));
        }
    }

    /// Waits a while until all is pushed, and says what was. Removes the spool if it is empty and temporary.
    pub(crate) fn finish(&self, quiet: bool) {
        let url = self.endpoint.shown();
        if let Some(Err(error)) = self.sender.get() {
            say(format_args!("nothing is pushed to {url}: the system refuses a thread: {error}"));
        }
        let left = self.spool.close(FLUSH);
        if left.refused > 0 {
            let why = left.refusal.as_deref().unwrap_or_default();
            say(format_args!("{url} refused {} of {}: {why}", left.refused, requests(left.added)));
        }
        if left.unwritten > 0 {
            let folder = left.folder.display();
            say(format_args!("{} to {url} could not be written to {folder}, and are lost", requests(left.unwritten)));
        }
        if left.waiting > 0 {
            let (why, folder) = (left.failure.as_deref().unwrap_or("it does not answer"), left.folder.display());
            say(format_args!(
                "{} of {} could not be pushed to {url}: {why}; what is left is in {folder}, and is pushed by the next recording \
                 with --spool {folder}",
                left.waiting,
                requests(left.added)
            ));
        } else if !quiet && left.delivered > 0 {
            say(format_args!("pushed to {url} in {}", requests(left.delivered)));
        }
    }
}

/// Returns a number of requests for people.
fn requests(number: u64) -> String {
    if number == 1 { "1 request".to_owned() } else { format!("{} requests", count(number)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_that_would_take_a_processor_are_refused() {
        assert_eq!(interval("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(interval("100ms"), Err("500ms at least".into()));
        assert!(interval("often").is_err());
    }
}
