//! The servers that take profiles, and what their requests are.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::bail;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cgoprof_profile::increment::Increment;
use cgoprof_profile::{Profile, plain};
use cgoprof_viewer::export::otlp;
use cgoprof_viewer::units::printable;
use serde_json::json;
use ureq::http::Uri;

use super::label::{Label, SERVICE};

/// An address, and what the server there understands.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    uri: Uri,
    /// Without slashes at its end.
    path: String,
    protocol: Protocol,
}

/// What a server understands, as its path says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// Pyroscope's HTTP API (https://grafana.com/docs/pyroscope/latest/reference-server-api).
    Pyroscope,
    /// Parca's `ProfileStoreService.WriteRaw`, as its gateway has it (proto/parca/profilestore/v1alpha1/profilestore.proto).
    Parca,
    /// OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
    Otlp,
}

impl Protocol {
    /// Returns the protocol of a path.
    fn of(path: &str) -> Option<Protocol> {
        let ends = [
            ("/ingest", Protocol::Pyroscope),
            ("/profiles/writeraw", Protocol::Parca),
            ("/v1development/profiles", Protocol::Otlp),
            ("/v1/profiles", Protocol::Otlp),
        ];
        ends.into_iter().find(|(end, _)| path.ends_with(end)).map(|(_, protocol)| protocol)
    }
}

/// Name of the profiles: `cgo:crossings:count` and so on.
const PROFILE: &str = "cgo";

/// A request that is sent by POST.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// What follows the question mark; empty if nothing does.
    pub(super) query: String,
    /// `Content-Type` and others.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// What a server answered, if it is no success, with the reason.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The same request may succeed later, or with another token or address.
    Later(String),
    /// The request is wrong.
    Never(String),
}

/// An answer of a server.
#[derive(Debug, Default)]
pub(super) struct Answer<'a> {
    pub(super) status: u16,
    /// `Location`, of a redirect.
    pub(super) location: Option<&'a str>,
    pub(super) body: &'a [u8],
}

impl Endpoint {
    /// Parses a URL. Its path tells the protocol.
    pub(crate) fn parse(url: &str) -> Result<Endpoint, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err("a URL begins with http:// or https:// and a host".into());
        }
        let path = uri.path().trim_end_matches('/').to_owned();
        let protocol = Protocol::of(&path).ok_or(
            "its path tells what the server understands: /ingest (Pyroscope), /api/profiles/writeraw (Parca), or \
             /v1development/profiles (OpenTelemetry Collector)",
        )?;
        Ok(Endpoint { uri, path, protocol })
    }

    /// Returns the user and the password in the address, if there are any.
    pub(super) fn user(&self) -> Option<&str> {
        Some(self.uri.authority()?.as_str().rsplit_once('@')?.0)
    }

    /// Returns the address without its password, for people.
    pub(super) fn shown(&self) -> String {
        let authority = self.uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        format!("{}://{host}{}", self.uri.scheme_str().unwrap_or_default(), self.path)
    }

    /// Returns the address of a request.
    pub(super) fn address(&self, request: &Request) -> String {
        let queries = [self.uri.query().unwrap_or_default(), &request.query];
        let queries: Vec<&str> = queries.into_iter().filter(|query| !query.is_empty()).collect();
        let mark = if queries.is_empty() { "" } else { "?" };
        format!("{}{mark}{}", self.shown(), queries.join("&"))
    }

    /// Checks that the server can take these labels.
    pub(super) fn check(&self, labels: &[Label]) -> anyhow::Result<()> {
        for (at, label) in labels.iter().enumerate() {
            let (protocol, is_service) = (self.protocol, label.is_service());
            let is_same = |other: &Label| other.key == label.key || is_service && other.is_service();
            if labels[..at].iter().any(is_same) {
                bail!("--label {label}: there is another value of this key");
            }
            if protocol != Protocol::Otlp && !label.has_plain_key() && !is_service {
                bail!("--label {label}: keys of {protocol:?} have letters, digits and _ only");
            }
            if protocol != Protocol::Otlp && label.key.starts_with("__") {
                bail!("--label {label}: keys of {protocol:?} that begin with __ are its own");
            }
            if protocol == Protocol::Pyroscope && label.value.contains([',', '{', '}']) {
                bail!("--label {label}: a value of {protocol:?} has no comma and no brace");
            }
            if protocol == Protocol::Pyroscope && is_service && !label.value.chars().all(is_in_service) {
                bail!("--label {label}: a service of {protocol:?} has letters, digits and -_./ only");
            }
        }
        Ok(())
    }

    /// Returns the request for a part of a profile.
    pub(super) fn request(&self, profile: &Profile, part: &Increment, labels: &[Label]) -> Request {
        let own = profile.target.program();
        let given = labels.iter().find(|label| label.is_service());
        let service = given.map_or(own, |label| &label.value);
        let labels: Vec<&Label> = labels.iter().filter(|label| !label.is_service()).collect();
        let make = match self.protocol {
            Protocol::Pyroscope => pyroscope,
            Protocol::Parca => parca,
            Protocol::Otlp => otlp,
        };
        make(profile, part, service, &labels)
    }

    /// Tells what an answer means. Where the address or the token is wrong, a request is kept: it is not to blame. Pyroscope
    /// says in its text what is wrong with a request, and answers with one status both where that can't be taken and where it
    /// can't be taken now. OTLP has a list of the statuses after which a request is sent again.
    pub(super) fn refusal(&self, answer: &Answer<'_>) -> Option<Refusal> {
        let text = String::from_utf8_lossy(answer.body);
        let status = ureq::http::StatusCode::from_u16(answer.status)
            .map_or_else(|_| answer.status.to_string(), |it| it.to_string());
        let first = text.lines().next().unwrap_or_default();
        let why = || printable(&format!("{status}: {first}")).trim_end_matches([':', ' ']).to_owned();
        let is_otlp = self.protocol == Protocol::Otlp;
        match answer.status {
            200..=299 if is_otlp => otlp::rejected(answer.body).map(|why| Refusal::Never(printable(&why))),
            200..=299 => None,
            300..=399 => {
                let place = printable(answer.location.unwrap_or("another place"));
                Some(Refusal::Later(format!("{status}: it is at {place}; push to that address")))
            }
            401 | 403 | 404 | 405 | 407 => Some(Refusal::Later(why())),
            429 | 502..=504 => Some(Refusal::Later(why())),
            408 | 425 | 500..=599 if !is_otlp => Some(Refusal::Later(why())),
            422 if self.protocol == Protocol::Pyroscope && !text.contains("invalid_argument") => {
                Some(Refusal::Later(why()))
            }
            _ => Some(Refusal::Never(why())),
        }
    }
}

/// A form with the profile, and with names that its values get instead of those of Go's own profiles.
fn pyroscope(profile: &Profile, part: &Increment, service: &str, labels: &[&Label]) -> Request {
    const BOUNDARY: &str = "cgoprof-8b1f5d6c0e7a";
    let seconds = |nanos: u64| nanos / 1_000_000_000;
    let until = part.start_unix_ns + part.duration_ns;
    let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
    let service: String = service.chars().map(|c| if is_in_service(c) { c } else { '_' }).collect();
    let name = format!("{service}{{{}}}", labels.join(","));
    let query = format!(
        "name={}&from={}&until={}&spyName=cgoprof",
        percent_encoded(&name),
        seconds(part.start_unix_ns),
        seconds(until) + 1
    );
    // Each value's name without an entry here would be looked up among those of Go's profiles: `cpu` would make all values
    // parts of a `process_cpu` profile.
    let types = cgoprof_profile::encode::SAMPLE_TYPES.map(|(name, unit)| {
        let units = if unit == "count" { "samples" } else { unit };
        (name.to_owned(), json!({ "units": units, "display-name": PROFILE, "aggregation": "sum" }))
    });
    let types = serde_json::Value::from(serde_json::Map::from_iter(types)).to_string();
    let mut body = Vec::new();
    for (field, content) in [("profile", &plain(profile, part)[..]), ("sample_type_config", types.as_bytes())] {
        let disposition = format!("form-data; name=\"{field}\"; filename=\"{field}\"");
        body.extend(format!("--{BOUNDARY}\r\nContent-Disposition: {disposition}\r\n\r\n").bytes());
        body.extend(content);
        body.extend(b"\r\n");
    }
    body.extend(format!("--{BOUNDARY}--\r\n").bytes());
    Request { query, headers: content_type(&format!("multipart/form-data; boundary={BOUNDARY}")), body }
}

fn parca(profile: &Profile, part: &Increment, service: &str, labels: &[&Label]) -> Request {
    let label = |name: &str, value: &str| json!({ "name": name, "value": value });
    let own = [label("__name__", PROFILE), label(SERVICE, service)].into_iter();
    let labels: Vec<_> = own.chain(labels.iter().map(|given| label(&given.key, &given.value))).collect();
    let samples = [json!({ "rawProfile": BASE64.encode(plain(profile, part)) })];
    let body = json!({ "series": [{ "labels": { "labels": labels }, "samples": samples }], "normalized": true });
    Request { query: String::new(), headers: content_type("application/json"), body: body.to_string().into() }
}

fn otlp(profile: &Profile, part: &Increment, service: &str, labels: &[&Label]) -> Request {
    let given = labels.iter().map(|label| (label.key.clone(), label.value.clone()));
    let attributes: Vec<_> = [("service.name".to_owned(), service.to_owned())].into_iter().chain(given).collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    // Writing to memory does not fail.
    let written = gzip.write_all(&otlp::request(profile, part, &attributes));
    let body = written.and_then(|()| gzip.finish()).unwrap_or_default();
    let mut headers = content_type("application/x-protobuf");
    headers.push(("Content-Encoding".into(), "gzip".into()));
    Request { query: String::new(), headers, body }
}

/// Whether Pyroscope's names of services have a character (pkg/og/flameql/flameql.go).
fn is_in_service(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_./".contains(c)
}

fn content_type(value: &str) -> Vec<(String, String)> {
    vec![("Content-Type".into(), value.into())]
}

/// Encodes all that may have a meaning in a query.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::parse(url).expect("a URL")
    }

    #[test]
    fn the_path_tells_the_protocol() {
        let check = |url: &str, protocol: Protocol| assert_eq!(endpoint(url).protocol, protocol, "{url}");
        check("http://localhost:4040/ingest", Protocol::Pyroscope);
        check("https://user:secret@profiles.example/pyroscope/ingest/", Protocol::Pyroscope);
        check("http://localhost:7070/api/profiles/writeraw", Protocol::Parca);
        assert_eq!(endpoint("http://a/ingest//").shown(), "http://a/ingest");
        check("http://localhost:4318/v1development/profiles", Protocol::Otlp);
        for wrong in ["localhost:4040/ingest", "http://localhost:4040", "ftp://localhost/ingest", "/ingest", ""] {
            assert!(Endpoint::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let endpoint = endpoint("https://user:secret@host:1/ingest?tenant=a");
        assert_eq!((endpoint.shown().as_str(), endpoint.user()), ("https://host:1/ingest", Some("user:secret")));
        let request = Request { query: "name=b".into(), ..Request::default() };
        assert_eq!(endpoint.address(&request), "https://host:1/ingest?tenant=a&name=b");
        assert_eq!(endpoint.address(&Request::default()), "https://host:1/ingest?tenant=a");
    }

    #[test]
    fn a_server_that_starts_is_asked_again_and_a_wrong_request_is_not_sent_again() {
        let (pyroscope, otlp) = (endpoint("http://a/ingest"), endpoint("http://a/v1development/profiles"));
        let check = |endpoint: &Endpoint, status, body: &[u8], comes: Option<bool>| {
            let answer = Answer { status, body, location: None };
            let found = endpoint.refusal(&answer).map(|refusal| matches!(refusal, Refusal::Later(_)));
            assert_eq!(found, comes, "{status} {body:?}");
        };
        check(&pyroscope, 200, b"", None);
        check(&pyroscope, 422, b"pushing failed: at least 1 live replicas required", Some(true));
        check(&pyroscope, 422, b"pushing failed invalid_argument: outside of ingestion window", Some(false));
        check(&pyroscope, 500, b"", Some(true));
        for (status, comes) in [(503, true), (429, true), (500, false), (400, false), (422, false), (413, false)] {
            check(&otlp, status, b"", Some(comes));
        }
        // The token or the address is wrong, not the request.
        for status in [301, 302, 401, 403, 404] {
            check(&pyroscope, status, b"", Some(true));
            check(&otlp, status, b"", Some(true));
        }
    }

    #[test]
    fn a_redirect_is_said_and_not_followed() {
        let answer = Answer { status: 302, location: Some("https://b/ingest"), ..Answer::default() };
        let expected = "302 Found: it is at https://b/ingest; push to that address";
        assert_eq!(endpoint("http://a/ingest").refusal(&answer), Some(Refusal::Later(expected.into())));
    }

    #[test]
    fn labels_are_those_of_the_server() {
        let labels = |texts: &[&str]| texts.iter().map(|text| Label::parse(text).expect("a label")).collect::<Vec<_>>();
        let check = |url: &str, texts: &[&str], taken: bool| {
            assert_eq!(endpoint(url).check(&labels(texts)).is_ok(), taken, "{url} {texts:?}");
        };
        let (pyroscope, parca, otlp) = ("http://a/ingest", "http://a/profiles/writeraw", "http://a/v1/profiles");
        check(pyroscope, &["env=a b", "zone=1"], true);
        check(otlp, &["k8s.pod-name/x=a,b"], true);
        for url in [pyroscope, parca] {
            check(url, &["k8s.pod=a"], false);
            check(url, &["__name__=a"], false);
            check(url, &["service.name=a"], true);
        }
        check(pyroscope, &["env=a,b"], false);
        check(pyroscope, &["service_name=my app"], false);
        for url in [pyroscope, parca, otlp] {
            check(url, &["a=1", "a=2"], false);
            check(url, &["service_name=a", "service.name=b"], false);
        }
    }

    #[test]
    fn the_service_is_the_program_or_what_its_label_says() {
        let target = cgoprof_profile::Target { path: "/bin/my app".into(), ..cgoprof_profile::Target::default() };
        let profile = Profile { target, ..Profile::default() };
        let label = |text: &str| Label::parse(text).expect("a label");
        let query = |labels: &[Label]| {
            let part = Increment { start_unix_ns: 5_000_000_000, duration_ns: 1_500_000_000, stacks: Vec::new() };
            endpoint("http://a/ingest").request(&profile, &part, labels).query
        };
        assert_eq!(query(&[]), "name=my_app%7B%7D&from=5&until=7&spyName=cgoprof");
        let labels = [label("env=a b"), label("service_name=api"), label("zone=1")];
        assert_eq!(query(&labels), "name=api%7Benv%3Da%20b%2Czone%3D1%7D&from=5&until=7&spyName=cgoprof");
    }
}
