//! The thread that sends requests.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cgoprof_viewer::units::printable;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::endpoint::{Answer, Endpoint, Refusal, Request};
use super::spool::Spool;
use crate::notice::say;

/// Time to wait after a first failure. It doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Maximum time to wait after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Maximum time to find and reach the server.
const CONNECT: Duration = Duration::from_secs(5);
/// Maximum time of a whole request.
const REQUEST: Duration = Duration::from_secs(30);
/// Maximum bytes of an answer that are read.
const ANSWER: u64 = 64 << 10;

/// The variable with the token.
pub(super) const TOKEN: &str = "CGOPROF_PUSH_TOKEN";

/// A thread that sends what is in a spool.
#[derive(Debug)]
pub(super) struct Sender;

/// Headers by which a server knows its users.
#[derive(Clone)]
pub(super) struct Credentials {
    headers: Vec<(String, String)>,
    /// File with a token. It is read for each request, because tokens are renewed.
    file: Option<PathBuf>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials")
    }
}

/// Parses a header.
pub(super) fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is NAME: VALUE")?;
    let (name, value) = (name.trim(), value.trim());
    let is_valid = ureq::http::HeaderName::try_from(name).is_ok() && ureq::http::HeaderValue::try_from(value).is_ok();
    if is_valid {
        Ok((name.into(), value.into()))
    } else {
        Err("the name or the value has characters that headers don't have".into())
    }
}

impl Credentials {
    /// Takes the token from a file, or the token in the environment, or the user in the endpoint's address. `headers` are those
    /// of the user.
    ///
    /// # Errors
    /// If the file can't be read, what it has can't be in a header, or there are two ways to tell who the user is.
    pub(super) fn new(
        endpoint: &Endpoint,
        file: Option<&Path>,
        token: Option<String>,
        headers: &[(String, String)],
    ) -> anyhow::Result<Credentials> {
        const OURS: [&str; 3] = ["content-type", "content-encoding", "content-length"];
        let is_given = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Authorization"));
        if let Some((name, _)) = headers.iter().find(|(name, _)| OURS.contains(&name.to_ascii_lowercase().as_str())) {
            bail!("--header {name}: this header belongs to the request");
        }
        let user = endpoint.user().map(|user| {
            let user = percent_decoded(user);
            let colon = if user.contains(&b':') { &b""[..] } else { b":" };
            format!("Basic {}", BASE64.encode([&user, colon].concat()))
        });
        let given = is_given.then_some("--header Authorization");
        let ways = [
            given,
            user.as_ref().map(|_| "the user in the address"),
            file.map(|_| "--token-file"),
            token.as_ref().filter(|_| file.is_none()).map(|_| TOKEN),
        ];
        if let [one, other, ..] = ways.into_iter().flatten().collect::<Vec<_>>()[..] {
            bail!("{one} and {other} both say who you are; give one of them");
        }
        let mut all = headers.to_vec();
        let token = token.filter(|_| file.is_none()).map(|token| bearer(&token).with_context(|| TOKEN.to_owned()));
        all.extend(token.transpose()?.or(user).map(|value| ("Authorization".to_owned(), value)));
        let credentials = Credentials { headers: all, file: file.map(Path::to_owned) };
        credentials.headers()?;
        Ok(credentials)
    }

    /// Returns the headers of a request.
    ///
    /// # Errors
    /// If the token can't be read.
    fn headers(&self) -> anyhow::Result<Vec<(String, String)>> {
        let Some(file) = &self.file else { return Ok(self.headers.clone()) };
        let token = std::fs::read_to_string(file).map_err(anyhow::Error::from).and_then(|text| bearer(&text));
        let token = token.with_context(|| format!("cannot read the token in {}", file.display()))?;
        Ok([&self.headers[..], &[("Authorization".into(), token)]].concat())
    }
}

/// Returns the value of a header for a token.
fn bearer(token: &str) -> anyhow::Result<String> {
    let value = format!("Bearer {}", token.trim());
    if token.trim().is_empty() || ureq::http::HeaderValue::try_from(&value).is_err() {
        bail!("a token is one line of text");
    }
    Ok(value)
}

/// Decodes the `%40` of a user or a password.
fn percent_decoded(text: &str) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = (byte == b'%').then(|| after.get(..2)).flatten();
        let code = code.and_then(|code| u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok());
        decoded.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    decoded
}

impl Sender {
    /// Starts the thread. It takes no signal, and ends with the spool.
    pub(super) fn start(endpoint: Endpoint, credentials: Credentials, spool: Arc<Spool>) -> io::Result<Sender> {
        let send = move || {
            // Signals are for the recorder's main thread.
            let _ = nix::sys::signal::SigSet::all().thread_block();
            run(&endpoint, &credentials, &spool);
        };
        std::thread::Builder::new().name("push".into()).spawn(send).map(|_| Sender)
    }
}

fn run(endpoint: &Endpoint, credentials: &Credentials, spool: &Spool) {
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    let config = Agent::config_builder()
        .http_status_as_error(false)
        // A redirect would turn the request into another one, and send its headers to another host.
        .max_redirects(0)
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(REQUEST))
        .user_agent(concat!("cgoprof/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls);
    let agent = config.build().new_agent();
    let (mut pause, mut has_said) = (FIRST_PAUSE, false);
    while let Some((place, request)) = spool.next() {
        match send(&agent, endpoint, credentials, &request) {
            Sent::Taken => {
                spool.delivered(place);
                pause = FIRST_PAUSE;
            }
            Sent::Refused(why) => {
                if spool.refused(place, &why) {
                    say(format_args!("{} refuses what is pushed: {why}", endpoint.shown()));
                }
            }
            Sent::Failed { why, answered, after } => {
                if !has_said {
                    say(format_args!(
                        "cannot push to {}: {why}; tried again until the recording ends",
                        endpoint.shown()
                    ));
                }
                has_said = true;
                spool.failed(place, &why, answered);
                spool.pause(after.unwrap_or(pause).min(LONGEST_PAUSE));
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Result of an attempt.
enum Sent {
    Taken,
    /// The server will never take it.
    Refused(String),
    /// The server may take it later.
    Failed {
        why: String,
        /// Whether the server has answered.
        answered: bool,
        /// Time that it asked to wait for.
        after: Option<Duration>,
    },
}

fn send(agent: &Agent, endpoint: &Endpoint, credentials: &Credentials, request: &Request) -> Sent {
    let failed = |why: &dyn std::fmt::Display| Sent::Failed {
        why: printable(&format!("{why:#}")),
        answered: false,
        after: None,
    };
    let own = match credentials.headers() {
        Ok(own) => own,
        Err(error) => return failed(&error),
    };
    let mut post = agent.post(endpoint.address(request));
    for (name, value) in request.headers.iter().chain(&own) {
        post = post.header(name, value);
    }
    let mut answer = match post.send(&request.body[..]) {
        Ok(answer) => answer,
        Err(error) => return failed(&error),
    };
    let body = answer.body_mut().with_config().limit(ANSWER).read_to_vec().unwrap_or_default();
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let after = header("Retry-After").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let status = answer.status().as_u16();
    match endpoint.refusal(&Answer { status, location: header("Location"), body: &body }) {
        None => Sent::Taken,
        Some(Refusal::Later(why)) => Sent::Failed { why, answered: true, after },
        Some(Refusal::Never(why)) => Sent::Refused(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::parse(url).expect("a URL")
    }

    #[test]
    fn a_user_in_the_address_is_for_the_header() {
        let of = |url: &str| {
            let credentials = Credentials::new(&endpoint(url), None, None, &[]).expect("credentials");
            credentials.headers().expect("headers")
        };
        assert_eq!(of("http://a/ingest"), []);
        let expected = |user: &str| [("Authorization".to_owned(), format!("Basic {}", BASE64.encode(user)))];
        assert_eq!(of("http://me:p%40ss@a/ingest"), expected("me:p@ss"));
        assert_eq!(of("http://me@a/ingest"), expected("me:"));
    }

    #[test]
    fn a_token_is_one_line_and_is_read_again() {
        let endpoint = endpoint("http://a/ingest");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        let of = |text: &str| {
            std::fs::write(&file, text).expect("a file");
            Credentials::new(&endpoint, Some(&file), None, &[("X-Scope-OrgID".into(), "team".into())])
        };
        let credentials = of("abc\n").expect("credentials");
        let token = || credentials.headers().expect("headers")[1].clone();
        assert_eq!(token(), ("Authorization".into(), "Bearer abc".into()));
        std::fs::write(&file, "renewed").expect("a file");
        assert_eq!(token().1, "Bearer renewed");
        assert!(of("a\nb").is_err() && of("\n").is_err());
        assert!(Credentials::new(&endpoint, Some(Path::new("/nowhere")), None, &[]).is_err());
        let environment = Credentials::new(&endpoint, None, Some("abc".into()), &[]).expect("credentials");
        assert_eq!(environment.headers().expect("headers"), [("Authorization".into(), "Bearer abc".into())]);
    }

    #[test]
    fn two_ways_to_say_who_one_is_are_an_error() {
        let header = |name: &str| [(name.to_owned(), "x".to_owned())];
        let check = |url: &str, token: Option<&str>, headers: &[(String, String)]| {
            let token = token.map(str::to_owned);
            assert!(Credentials::new(&endpoint(url), None, token, headers).is_err(), "{url} {headers:?}");
        };
        check("http://me:pass@a/ingest", Some("abc"), &[]);
        check("http://me:pass@a/ingest", None, &header("authorization"));
        check("http://a/ingest", Some("abc"), &header("Authorization"));
        check("http://a/ingest", None, &header("Content-Type"));
    }

    #[test]
    fn headers_are_names_with_values() {
        assert_eq!(header("X-Scope-OrgID: a:b"), Ok(("X-Scope-OrgID".into(), "a:b".into())));
        for wrong in ["X-Scope-OrgID", "a b: c", ": c", "a: b\nc"] {
            assert!(header(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn codes_in_a_password_are_decoded() {
        for (text, expected) in [("a%3Ab", "a:b"), ("100%", "100%"), ("%zz%4", "%zz%4"), ("%e2%82%ac", "€")] {
            assert_eq!(percent_decoded(text), expected.as_bytes(), "{text}");
        }
    }
}
