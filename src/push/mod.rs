//! Pushing what is recorded to a server of profiles, while the program runs.

mod endpoint;
mod label;
mod sender;
mod spool;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cgoprof_collector::record::Subscriber;
use cgoprof_profile::Profile;
use cgoprof_profile::increment::{Increment, Increments};
use cgoprof_viewer::units::count;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use self::endpoint::Endpoint;
use self::label::Label;
use self::sender::{Credentials, Sender};
use self::spool::{Left, Spool};

use crate::notice::say;
use crate::watched::size;

/// Where a recording is pushed to.
#[derive(clap::Args)]
#[command(next_help_heading = "Push")]
pub(crate) struct Args {
    /// Push to Pyroscope (http://HOST:4040/ingest), Parca (http://HOST:7070/api/profiles/writeraw) or an OpenTelemetry
    /// Collector (http://HOST:4318/v1development/profiles) while the program runs
    #[arg(long, value_name = "URL")]
    push: Option<String>,
    /// Time between two pushes
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = interval, requires = "push")]
    interval: Duration,
    /// Label of all that is pushed; service_name=NAME replaces the program's name
    #[arg(long, value_name = "KEY=VALUE", value_parser = Label::parse, requires = "push")]
    label: Vec<Label>,
    /// File with the bearer token [default: the token in CGOPROF_PUSH_TOKEN]
    #[arg(long, value_name = "FILE", requires = "push")]
    token_file: Option<PathBuf>,
    /// Header of each request: 'X-Scope-OrgID: team'
    #[arg(long, value_name = "NAME: VALUE", value_parser = sender::header, requires = "push")]
    header: Vec<(String, String)>,
    /// Folder for requests that the server has not taken yet, those of an earlier recording included [default: a temporary folder]
    #[arg(long, value_name = "FOLDER", requires = "push")]
    spool: Option<PathBuf>,
    /// Maximum size of the spool; when it is full, pushes cover longer times (64M, 1G)
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

/// Maximum time before now at which an increment is said to begin. Those that waited in a full spool are longer.
const LONGEST_AGO: Duration = Duration::from_secs(1800);

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
        let Some(url) = &self.push else { return Ok(None) };
        // A message of the argument parser would show the password in it.
        let endpoint = Endpoint::parse(url).map_err(|why| anyhow::anyhow!("--push: {why}"))?;
        endpoint.check(&self.label)?;
        let token = std::env::var(sender::TOKEN).ok().filter(|token| !token.is_empty());
        // SAFETY: no other thread runs yet, so none reads the environment: the sender and those of a recording start later.
        unsafe { std::env::remove_var(sender::TOKEN) };
        let credentials = Credentials::new(&endpoint, self.token_file.as_deref(), token, &self.header)?;
        let spool = Spool::open(self.spool.as_deref(), &endpoint, self.spool_size)?;
        Ok(Some(Arc::new(Pusher {
            endpoint,
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
        self.start_sender();
        // Without room, the next increment has what this one would have had.
        if self.spool.has_room() || is_complete {
            self.spool_increment(profile, is_complete);
        }
    }
}

impl Pusher {
    fn start_sender(&self) {
        let start = || Sender::start(self.endpoint.clone(), self.credentials.clone(), self.spool.clone());
        self.sender.get_or_init(start);
    }

    fn spool_increment(&self, profile: &Profile, is_complete: bool) {
        let key = (profile.target.pid, profile.recording.start_unix_ns);
        let mut growing = self.growing.lock().unwrap_or_else(PoisonError::into_inner);
        let increment = growing.entry(key).or_default().next(profile, is_complete);
        if is_complete {
            growing.remove(&key);
        }
        drop(growing);
        // The clock of a recording stands while the system is suspended, and Pyroscope takes nothing that is older than an hour.
        let before = Duration::from_nanos(increment.duration_ns).min(LONGEST_AGO);
        let begin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(before);
        let begin_ns = begin.as_nanos() as u64;
        for (number, stacks) in increment.stacks.chunks(STACKS_IN_REQUEST).enumerate() {
            // Servers take profiles of one time for the same.
            let start_unix_ns = begin_ns + number as u64;
            let part = Increment { start_unix_ns, stacks: stacks.to_vec(), ..increment };
            self.spool.add(&self.endpoint.request(profile, &part, &self.labels));
        }
    }

    /// Waits a while until all is pushed, or for Ctrl-C or another signal to end, and says what was.
    pub(crate) fn finish(&self, quiet: bool) {
        let url = self.endpoint.shown();
        if !self.spool.is_empty() {
            self.start_sender();
        }
        let time = match self.sender.get() {
            Some(Err(error)) => {
                say(format_args!("nothing is pushed to {url}: the system refuses a thread: {error}"));
                Duration::ZERO
            }
            _ => FLUSH,
        };
        let signals = Signals::block();
        let Left { counts, folder, waiting, unwritten, failure } = self.spool.close(time, || !signals.have_come());
        let shown = folder.unwrap_or_default();
        let shown = shown.display();
        if let Some(why) = &counts.refusal {
            say(format_args!("{url} refused {} of {}: {why}", count(counts.refused), requests(counts.added)));
        }
        if counts.damaged > 0 {
            say(format_args!("{} in {shown} can't be read, and stay there", requests(counts.damaged)));
        }
        if unwritten > 0 {
            say(format_args!("{} to {url} could not be written to {shown}, and are lost", requests(unwritten)));
        }
        if waiting > 0 {
            let why = failure.map(|why| format!(": {why}")).unwrap_or_default();
            say(format_args!(
                "{} of {} could not be pushed to {url}{why}; to push them with the next recording: --spool {shown}",
                count(waiting),
                requests(counts.added)
            ));
        } else if !quiet && counts.delivered > 0 {
            say(format_args!("pushed to {url} in {}", requests(counts.delivered)));
        }
    }
}

/// Signals that end the wait for a server, as a file.
struct Signals(Option<SignalFd>);

impl Signals {
    /// Blocks them: a recording has blocked them already.
    fn block() -> Signals {
        let mut set = SigSet::empty();
        [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGHUP]
            .into_iter()
            .for_each(|signal| set.add(signal));
        let _ = set.thread_block();
        Signals(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).ok())
    }

    fn have_come(&self) -> bool {
        self.0.as_ref().is_some_and(|file| file.read_signal().is_ok_and(|signal| signal.is_some()))
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
