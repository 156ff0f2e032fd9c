//! The thread that sends requests.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cgoprof_viewer::units::printable;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::endpoint::{Endpoint, Refusal, Request};
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
const TOKEN: &str = "CGOPROF_PUSH_TOKEN";

/// A thread that sends what is in a spool.
#[derive(Debug)]
pub(super) struct Sender;

/// Headers by which a server knows its users.
#[derive(Clone)]
pub(super) struct Credentials(Vec<(String, String)>);

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
    if is_valid { Ok((name.into(), value.into())) } else { Err("the name or the value is none of a header".into()) }
}

impl Credentials {
    /// Reads the token, from a file or else from the environment, or takes the user in the endpoint's address.
    ///
    /// # Errors
    /// If the file can't be read, or what it has can't be in a header.
    pub(super) fn new(
        endpoint: &Endpoint,
        file: Option<&Path>,
        headers: &[(String, String)],
    ) -> anyhow::Result<Credentials> {
        let token = match file {
            Some(file) => {
                let text = std::fs::read_to_string(file);
                Some(text.with_context(|| format!("cannot read the token in {}", file.display()))?)
            }
            None => std::env::var(TOKEN).ok(),
        };
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty());
        let token = token.map(|token| format!("Bearer {token}"));
        let user = endpoint.user().map(|user| format!("Basic {}", BASE64.encode(percent_decoded(user))));
        let mut all = headers.to_vec();
        if let Some(authorization) = token.or(user) {
            if ureq::http::HeaderValue::try_from(&authorization).is_err() {
                bail!("the token is not one line of text");
            }
            all.push(("Authorization".into(), authorization));
        }
        Ok(Credentials(all))
    }
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

/// Why a request was not taken.
enum Unsent {
    /// It may be taken later.
    Later(String),
    /// It will never be.
    Never(String),
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
        .timeout_connect(Some(CONNECT))
        .timeout_global(Some(REQUEST))
        .user_agent(concat!("cgoprof/", env!("CARGO_PKG_VERSION")))
        .tls_config(tls);
    let agent = config.build().new_agent();
    let mut pause = FIRST_PAUSE;
    while let Some((number, request)) = spool.oldest() {
        match send(&agent, endpoint, credentials, &request) {
            Ok(()) => {
                spool.delivered(number);
                pause = FIRST_PAUSE;
            }
            Err(Unsent::Never(why)) => spool.refused(number, why),
            Err(Unsent::Later(why)) => {
                if spool.failed(why.clone()) {
                    say(format_args!(
                        "cannot push to {}: {why}; tried again until the recording ends",
                        endpoint.shown()
                    ));
                }
                spool.pause(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

fn send(agent: &Agent, endpoint: &Endpoint, credentials: &Credentials, request: &Request) -> Result<(), Unsent> {
    let mut post = agent.post(endpoint.address(request));
    for (name, value) in request.headers.iter().chain(&credentials.0) {
        post = post.header(name, value);
    }
    let mut answer = post.send(&request.body[..]).map_err(|error| Unsent::Later(printable(&error.to_string())))?;
    let status = answer.status();
    let body = answer.body_mut().with_config().limit(ANSWER).read_to_vec().unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    let first = text.lines().next().unwrap_or_default();
    let why = || printable(&format!("{status}: {first}")).trim_end_matches([':', ' ']).to_owned();
    match endpoint.refusal(status.as_u16(), &text) {
        None => Ok(()),
        Some(Refusal::Later) => Err(Unsent::Later(why())),
        Some(Refusal::Never) => Err(Unsent::Never(why())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_in_the_address_is_for_the_header() {
        let endpoint = |url: &str| Endpoint::parse(url).expect("a URL");
        let of = |url: &str| Credentials::new(&endpoint(url), None, &[]).expect("credentials").0;
        assert_eq!(of("http://a/ingest"), []);
        let expected = format!("Basic {}", BASE64.encode("me:p@ss"));
        assert_eq!(of("http://me:p%40ss@a/ingest"), [("Authorization".to_owned(), expected)]);
    }

    #[test]
    fn a_token_goes_before_a_user_and_is_one_line() {
        let endpoint = Endpoint::parse("http://me:pass@a/ingest").expect("a URL");
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        let of = |text: &str| {
            std::fs::write(&file, text).expect("a file");
            Credentials::new(&endpoint, Some(&file), &[("X-Scope-OrgID".into(), "team".into())])
        };
        let found = of("abc\n").expect("credentials").0;
        assert_eq!(found[1], ("Authorization".into(), "Bearer abc".into()));
        assert_eq!(found[0].0, "X-Scope-OrgID");
        assert!(of("a\nb").is_err());
        assert!(Credentials::new(&endpoint, Some(Path::new("/nowhere")), &[]).is_err());
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
