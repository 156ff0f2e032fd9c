//! The servers that take profiles, and what their requests are.

use std::fmt::Write as _;
use std::io::Write as _;

use anyhow::bail;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use cgoprof_profile::increment::Increment;
use cgoprof_profile::{Profile, plain};
use cgoprof_viewer::export::otlp;
use cgoprof_viewer::paths::file_name;
use serde_json::json;
use ureq::http::Uri;

use super::label::{Label, SERVICE};

/// An address, and what the server there understands.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    uri: Uri,
    protocol: &'static Protocol,
}

/// What a server understands, as its path says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Protocol {
    /// Ending of files in the spool.
    pub(super) name: &'static str,
    /// Ends of the paths.
    paths: &'static [&'static str],
}

/// Pyroscope's HTTP API (https://grafana.com/docs/pyroscope/latest/reference-server-api).
static PYROSCOPE: Protocol = Protocol { name: "pyroscope", paths: &["/ingest"] };
/// Parca's `ProfileStoreService.WriteRaw`, as its gateway has it (proto/parca/profilestore/v1alpha1/profilestore.proto).
static PARCA: Protocol = Protocol { name: "parca", paths: &["/profiles/writeraw"] };
/// OTLP over HTTP (https://opentelemetry.io/docs/specs/otlp/#otlphttp).
static OTLP: Protocol = Protocol { name: "otlp", paths: &["/v1development/profiles", "/v1/profiles"] };

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

/// What a server answered, if it is no success.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The same request may succeed later.
    Later,
    /// The request is wrong.
    Never,
}

impl Endpoint {
    /// Parses a URL. Its path tells the protocol.
    pub(crate) fn parse(url: &str) -> Result<Endpoint, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none() {
            return Err("a URL begins with http:// or https:// and a host".into());
        }
        let path = uri.path().trim_end_matches('/');
        let known = [&PYROSCOPE, &PARCA, &OTLP];
        let protocol = known.into_iter().find(|protocol| protocol.paths.iter().any(|end| path.ends_with(end)));
        let protocol = protocol.ok_or(
            "its path tells what the server understands: /ingest (Pyroscope), /api/profiles/writeraw (Parca), or \
             /v1development/profiles (OpenTelemetry Collector)",
        )?;
        Ok(Endpoint { uri, protocol })
    }

    pub(super) fn protocol(&self) -> &'static Protocol {
        self.protocol
    }

    /// Returns the user and the password in the address, if there are any.
    pub(super) fn user(&self) -> Option<&str> {
        Some(self.uri.authority()?.as_str().rsplit_once('@')?.0)
    }

    /// Returns the address without its password, for people.
    pub(super) fn shown(&self) -> String {
        let authority = self.uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        format!("{}://{host}{}", self.uri.scheme_str().unwrap_or_default(), self.uri.path())
    }

    /// Returns the address of a request.
    pub(super) fn address(&self, request: &Request) -> String {
        let queries = [self.uri.query().unwrap_or_default(), &request.query];
        let queries: Vec<&str> = queries.into_iter().filter(|query| !query.is_empty()).collect();
        let mark = if queries.is_empty() { "" } else { "?" };
        format!("{}{mark}{}", self.shown(), queries.join("&"))
    }

    /// Checks that the server can take a label.
    pub(super) fn check(&self, label: &Label) -> anyhow::Result<()> {
        if *self.protocol != OTLP && label.key.contains('.') {
            bail!("{} has no labels with dots in their keys", self.protocol.name);
        }
        if *self.protocol == PYROSCOPE && label.value.contains([',', '{', '}']) {
            bail!("Pyroscope takes no comma or brace in a value");
        }
        Ok(())
    }

    /// Returns the request for a part of a profile.
    pub(super) fn request(&self, profile: &Profile, part: &Increment, labels: &[Label]) -> Request {
        let own = file_name(&profile.target.path);
        let given = labels.iter().find(|label| label.key == SERVICE);
        let service = given.map_or(own, |label| &label.value);
        let labels: Vec<&Label> = labels.iter().filter(|label| label.key != SERVICE).collect();
        if *self.protocol == PYROSCOPE {
            pyroscope(profile, part, service, &labels)
        } else if *self.protocol == PARCA {
            parca(profile, part, service, &labels)
        } else {
            otlp(profile, part, service, &labels)
        }
    }

    /// Tells what an answer means. Pyroscope says in its text what is wrong with a request, and answers with one status
    /// both where that can't be taken and where it can't be taken now.
    pub(super) fn refusal(&self, status: u16, text: &str) -> Option<Refusal> {
        match status {
            200..=299 => None,
            408 | 425 | 429 | 500..=599 => Some(Refusal::Later),
            422 if *self.protocol == PYROSCOPE && !text.contains("invalid_argument") => Some(Refusal::Later),
            _ => Some(Refusal::Never),
        }
    }
}

/// A form with the profile, and with names that its values get instead of those of Go's own profiles.
fn pyroscope(profile: &Profile, part: &Increment, service: &str, labels: &[&Label]) -> Request {
    const BOUNDARY: &str = "cgoprof-8b1f5d6c0e7a";
    let seconds = |nanos: u64| nanos / 1_000_000_000;
    let until = part.start_unix_ns + part.duration_ns;
    let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
    // Pyroscope's names have these characters (pkg/og/flameql/flameql.go).
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let service: String = service.chars().map(|c| if allowed(c) { c } else { '_' }).collect();
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
        let check = |url: &str, protocol: &Protocol| assert_eq!(endpoint(url).protocol, protocol, "{url}");
        check("http://localhost:4040/ingest", &PYROSCOPE);
        check("https://user:secret@profiles.example/pyroscope/ingest/", &PYROSCOPE);
        check("http://localhost:7070/api/profiles/writeraw", &PARCA);
        check("http://localhost:4318/v1development/profiles", &OTLP);
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
        let check = |endpoint: &Endpoint, status, text: &str, expected| {
            assert_eq!(endpoint.refusal(status, text), expected, "{status} {text}");
        };
        check(&pyroscope, 200, "", None);
        check(&pyroscope, 422, "pushing failed: at least 1 live replicas required", Some(Refusal::Later));
        check(&pyroscope, 422, "pushing failed invalid_argument: outside of ingestion window", Some(Refusal::Never));
        check(&otlp, 503, "", Some(Refusal::Later));
        check(&otlp, 429, "", Some(Refusal::Later));
        check(&otlp, 401, "", Some(Refusal::Never));
        check(&otlp, 404, "", Some(Refusal::Never));
        check(&otlp, 422, "", Some(Refusal::Never));
    }

    #[test]
    fn labels_are_those_of_the_server() {
        let label = |text: &str| Label::parse(text).expect("a label");
        let (pyroscope, otlp) = (endpoint("http://a/ingest"), endpoint("http://a/v1/profiles"));
        assert!(pyroscope.check(&label("env=a b")).is_ok() && otlp.check(&label("k8s.pod=a,b")).is_ok());
        assert!(pyroscope.check(&label("k8s.pod=a")).is_err() && pyroscope.check(&label("env=a,b")).is_err());
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
