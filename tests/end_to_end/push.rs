//! Pushing while a program runs, to the real servers, and to one that does what it should not.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cgoprof_profile::decode;
use cgoprof_profile::encode::SAMPLE_TYPES;
use cgoprof_profile::increment::Increment;
use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{User, command, profile_path, succeeds};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value as Json;

use crate::servers::{self, Server, until};

/// Sum of a value over all stacks, and by the innermost function.
type Sums = (i64, BTreeMap<String, i64>);

/// Seconds of a recording to a real server; `CGOPROF_TEST_PUSH_SECONDS=600` for a longer one.
fn seconds() -> f64 {
    std::env::var("CGOPROF_TEST_PUSH_SECONDS").map_or(20.0, |seconds| seconds.parse().expect("seconds"))
}

/// Records a program for a while and stops the server twice meanwhile. Then all that the file has is at the server too.
fn survives_stops(server: &mut Server, path: &str, read: impl Fn(&Server, &str) -> Sums) {
    let (seconds, profile) = (seconds(), profile_path(User::Root));
    server.start();
    let url = format!("http://{}{path}", server.address);
    let mut recorder = command(User::Root);
    recorder.args(["record", "--push", &url, "--interval", "1s", "--label", "env=test"]);
    recorder.args(["--label", "service_name=crossings", "-o"]).arg(&profile).arg("--");
    recorder.arg(go::build("crossings", Build::newest())).args(["rounds", "500"]);
    recorder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut recorder = recorder.spawn().expect("cgoprof runs");
    let (mut lines, output) = (recorder.stdin.take().expect("a pipe"), recorder.stdout.take().expect("a pipe"));
    let begun = Instant::now();
    let rounds = std::thread::spawn(move || {
        let (mut answers, mut nops) = (BufReader::new(output).lines(), 0);
        assert_eq!(answers.next().expect("a line").expect("text"), "ready");
        while begun.elapsed().as_secs_f64() < seconds {
            writeln!(lines).expect("it reads");
            let truth: Json = serde_json::from_str(&answers.next().expect("a line").expect("text")).expect("JSON");
            nops += truth["calls"]["nop"].as_i64().expect("calls");
            std::thread::sleep(Duration::from_millis(20));
        }
        nops
    });
    let at = |share: f64| {
        std::thread::sleep(Duration::from_secs_f64(seconds * share).saturating_sub(begun.elapsed()));
    };
    let pid = recorder.id();
    for stop in [0.2, 0.6] {
        at(stop);
        server.stop();
        at(stop + 0.15);
        server.start();
    }
    let early = resident(pid);
    at(0.98);
    let late = resident(pid);
    let nops = rounds.join().expect("the program answers");
    let output = recorder.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains(&format!("cgoprof: pushed to {url} in ")), "{said}");
    assert!(said.contains(&format!("cannot push to {url}: ")), "it was away: {said}");
    assert!(late < early + (8 << 20), "{early} bytes, later {late}");
    let profile = decode(&std::fs::read(&profile).expect("the profile")).expect("a profile");
    let whole = Increment::whole(&profile);
    for (at, (name, unit)) in SAMPLE_TYPES.iter().enumerate() {
        let expected: i64 = whole.stacks.iter().map(|stack| stack.values[at]).sum();
        if expected == 0 {
            continue;
        }
        let (found, functions) = read(server, &format!("{name}:{unit}"));
        if *unit == "count" {
            assert_eq!((found, functions.get("nop")), (expected, Some(&nops)), "{name}");
        } else {
            // An estimate that falls is not taken back.
            let most = expected / 200 + 1000;
            assert!((0..=most).contains(&(found - expected)), "{name}: {found}, the file has {expected}");
        }
    }
}

/// Bytes of a process in memory that are its own.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a line");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

fn get(url: &str, query: &[(&str, &str)]) -> Json {
    let mut answer = ureq::get(url).query_pairs(query.iter().copied()).call().expect("an answer");
    serde_json::from_str(&answer.body_mut().read_to_string().expect("text")).expect("JSON")
}

fn folder(name: &str) -> PathBuf {
    profile_path(User::Root).with_extension(name)
}

#[test]
fn pyroscope_has_the_totals_of_the_file_though_it_was_stopped_twice() {
    let read = |server: &Server, value: &str| {
        let query = format!("cgo:{value}:crossings:count{{service_name=\"crossings\",env=\"test\"}}");
        let url = format!("http://{}/pyroscope/render", server.address);
        let found = get(&url, &[("query", &query), ("from", "now-1h"), ("until", "now"), ("format", "json")]);
        let flames = &found["flamebearer"];
        let names = flames["names"].as_array().expect("names");
        let mut functions = BTreeMap::new();
        for level in flames["levels"].as_array().expect("levels") {
            // Distance, total, own, name.
            for bar in level.as_array().expect("a level").chunks(4) {
                let name = names[bar[3].as_u64().expect("a name") as usize].as_str().expect("a name");
                *functions.entry(name.to_owned()).or_default() += bar[2].as_i64().expect("a value");
            }
        }
        (flames["numTicks"].as_i64().expect("a total"), functions)
    };
    survives_stops(&mut servers::pyroscope(&folder("pyroscope")), "/ingest", read);
}

#[test]
fn parca_has_the_totals_of_the_file_though_it_was_stopped_twice() {
    let time = |shift: i64| {
        let now = std::time::SystemTime::now() + Duration::from_secs(3600);
        humantime::format_rfc3339_seconds(now - Duration::from_secs((3600 - shift) as u64)).to_string()
    };
    let read = |server: &Server, value: &str| {
        let query = format!("cgo:{value}:crossings:count:delta{{service_name=\"crossings\",env=\"test\"}}");
        let url = format!("http://{}/api/profiles/query", server.address);
        let (begin, end) = (time(-3600), time(60));
        let found = get(
            &url,
            &[
                ("mode", "MODE_MERGE"),
                ("merge.query", &query),
                ("merge.start", &begin),
                ("merge.end", &end),
                ("reportType", "REPORT_TYPE_TOP"),
            ],
        );
        let number = |value: &Json| value.as_str().expect("a number").parse::<i64>().expect("a number");
        let mut functions = BTreeMap::new();
        for row in found["top"]["list"].as_array().expect("rows") {
            let name = row["meta"]["function"]["name"].as_str().unwrap_or_default();
            *functions.entry(name.to_owned()).or_default() += number(&row["flat"]);
        }
        (functions.values().sum(), functions)
    };
    survives_stops(&mut servers::parca(&folder("parca")), "/api/profiles/writeraw", read);
}

#[test]
fn the_opentelemetry_collector_has_the_totals_of_the_file_though_it_was_killed_twice() {
    let read = |server: &Server, value: &str| {
        let (name, _) = value.split_once(':').expect("a type with its unit");
        let (mut sum, mut functions) = (0, BTreeMap::new());
        // A line may be cut where it was killed. What it had not acknowledged was sent again, so that line counts nothing.
        let printed = server.printed();
        let lines = printed.lines().filter_map(|line| serde_json::from_str::<Json>(line).ok());
        for line in lines.filter(|line| line["type"] == name && line["service"] == "crossings") {
            sum += line["sum"].as_i64().expect("a sum");
            for (function, value) in line["functions"].as_object().expect("functions") {
                *functions.entry(function.clone()).or_default() += value.as_i64().expect("a value");
            }
        }
        (sum, functions)
    };
    survives_stops(&mut servers::collector(&folder("collector"), None), "/v1development/profiles", read);
}

/// What a request was.
pub(crate) struct Received {
    head: String,
    body: Vec<u8>,
}

/// A server with a fixed answer; none for one that never answers.
pub(crate) struct Scripted {
    address: SocketAddr,
    pub(crate) received: Arc<Mutex<Vec<Received>>>,
}

impl Scripted {
    pub(crate) fn new(answers: impl Fn(usize) -> Option<&'static str> + Send + 'static) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let received = Arc::<Mutex<Vec<Received>>>::default();
        let to = received.clone();
        std::thread::spawn(move || {
            let mut unanswered = Vec::new();
            for (number, stream) in listener.incoming().enumerate() {
                let mut stream = stream.expect("a connection");
                let Some(request) = read_request(&mut stream) else { continue };
                to.lock().expect("no panic").push(request);
                match answers(number) {
                    Some(status) => {
                        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 3\r\nConnection: close\r\n\r\nwhy");
                        let _ = stream.write_all(answer.as_bytes());
                    }
                    None => unanswered.push(stream),
                }
            }
        });
        Scripted { address, received }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/ingest", self.address)
    }

    fn received<T>(&self, of: impl Fn(&Received) -> T) -> Vec<T> {
        self.received.lock().expect("no panic").iter().map(of).collect()
    }
}

fn read_request(stream: &mut TcpStream) -> Option<Received> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length?];
    reader.read_exact(&mut body).ok()?;
    Some(Received { head, body })
}

/// Crossings in the profiles of requests, as `go tool pprof` adds them up.
pub(crate) fn crossings(requests: &[&Received], folder: &Path) -> i64 {
    std::fs::create_dir_all(folder).expect("a folder");
    let mut pprof = Command::new(go::command(Build::newest().release));
    pprof.args(["tool", "pprof", "-raw"]).env("GOTOOLCHAIN", "local");
    for (number, request) in requests.iter().enumerate() {
        let find = |from: usize, text: &[u8]| {
            let found = request.body[from..].windows(text.len()).position(|window| window == text);
            from + found.expect("a part of a form")
        };
        let begin = find(0, b"\r\n\r\n") + 4;
        let file = folder.join(format!("{number}.pb.gz"));
        std::fs::write(&file, &request.body[begin..find(begin, b"\r\n--cgoprof-")]).expect("a file");
        pprof.arg(file);
    }
    let raw = String::from_utf8(succeeds(&mut pprof).stdout).expect("text");
    let samples = raw.split("Samples:\n").nth(1).and_then(|rest| rest.split("Locations\n").next()).expect("samples");
    let first = |line: &str| line.split_whitespace().next().and_then(|value| value.parse::<i64>().ok());
    samples.lines().skip(1).filter(|line| line.contains(':')).filter_map(first).sum()
}

/// Records `crossings durations` with a push, and returns what cgoprof said, its crossings, and how long it took.
fn pushed(url: &str, arguments: &[&str]) -> (String, i64, Duration) {
    recorded(&[&["--push", url, "--interval", "500ms"], arguments].concat())
}

fn recorded(arguments: &[&str]) -> (String, i64, Duration) {
    let profile = profile_path(User::Root);
    let mut recorder = command(User::Root);
    recorder.arg("record").args(arguments).arg("-o").arg(&profile);
    let begun = Instant::now();
    let output = succeeds(recorder.arg("--").arg(go::build("crossings", Build::newest())).args(["durations", "200"]));
    let took = begun.elapsed();
    let profile = decode(&std::fs::read(&profile).expect("the profile")).expect("a profile");
    let calls = profile.cells.iter().map(|cell| cell.stats.calls as i64).sum();
    (String::from_utf8_lossy(&output.stderr).into_owned(), calls, took)
}

#[test]
fn a_server_that_refuses_for_a_while_gets_everything_with_the_users_headers() {
    let server = Scripted::new(|number| if number < 2 { Some("503 Busy") } else { Some("200 OK") });
    let token = folder("token");
    std::fs::write(&token, "secret\n").expect("a file");
    let token = token.to_str().expect("a path").to_owned();
    let (said, calls, _) = pushed(&server.url(), &["--token-file", &token, "--header", "X-Scope-OrgID: team"]);
    assert!(said.contains("503") && said.contains("tried again") && said.contains("cgoprof: pushed to"), "{said}");
    let requests = server.received.lock().expect("no panic");
    assert!(requests[0].body == requests[1].body && requests[1].body == requests[2].body, "the same again");
    assert_eq!(crossings(&requests[2..].iter().collect::<Vec<_>>(), &folder("refused")), calls);
    for request in requests.iter() {
        let head = request.head.to_lowercase();
        assert!(head.contains("authorization: bearer secret") && head.contains("x-scope-orgid: team"), "{head}");
    }
}

#[test]
fn a_request_that_is_refused_for_good_is_said_and_not_sent_again() {
    let server = Scripted::new(|_| Some("400 Bad Request"));
    let (said, ..) = pushed(&server.url(), &[]);
    let count = server.received(|_| ()).len();
    assert!(
        said.contains(&format!("refused {count} of {count} request")) && said.contains(": 400 Bad Request: why"),
        "{said}"
    );
}

#[test]
fn a_server_that_never_answers_holds_nothing_up_and_what_it_missed_is_pushed_later() {
    let answers = Arc::new(AtomicBool::new(false));
    let does = answers.clone();
    let server = Scripted::new(move |_| does.load(Ordering::Acquire).then_some("200 OK"));
    let spool = folder("spool");
    let spool = spool.to_str().expect("a path");
    let (said, first, took) = pushed(&server.url(), &["--spool", spool]);
    assert!(said.contains("could not be pushed") && said.contains(&format!("--spool {spool}")), "{said}");
    let (_, _, alone) = recorded(&[]);
    let most = alone + Duration::from_secs(14);
    assert!(took < most, "{took:?}: the end waits ten seconds, not more ({most:?})");
    answers.store(true, Ordering::Release);
    server.received.lock().expect("no panic").clear();
    let (_, second, _) = pushed(&server.url(), &["--spool", spool]);
    let requests = server.received.lock().expect("no panic");
    assert_eq!(crossings(&requests.iter().collect::<Vec<_>>(), &folder("late")), first + second);
}

/// A redirect was once followed by a GET without the profile, with the user's headers, and its success was believed.
#[test]
fn a_redirect_is_not_followed_and_what_it_is_for_is_kept() {
    let other = Scripted::new(|_| Some("200 OK"));
    let answer: &'static str = format!("302 Found\r\nLocation: http://{}/login", other.address).leak();
    let server = Scripted::new(move |_| Some(answer));
    let spool = folder("redirected");
    let (said, ..) = pushed(&server.url(), &["--header", "X-Secret: 1", "--spool", spool.to_str().expect("a path")]);
    assert!(said.contains("push to that address") && said.contains("could not be pushed"), "{said}");
    assert!(other.received(|_| ()).is_empty());
    let waiting = std::fs::read_dir(&spool).expect("the spool").flatten();
    assert!(waiting.into_iter().any(|file| file.file_name().to_string_lossy().ends_with(".request")));
}

/// A wrong token once lost all that was recorded until the end, where it was said.
#[test]
fn a_token_that_is_refused_is_said_at_once_and_nothing_is_lost() {
    let server = Scripted::new(|number| if number < 2 { Some("401 Unauthorized") } else { Some("200 OK") });
    let (said, calls, _) = pushed(&server.url(), &[]);
    let (first, last) = (said.find("cannot push to"), said.find("cgoprof: pushed to"));
    assert!(first.is_some() && first < last && said.contains("401 Unauthorized: why"), "{said}");
    let requests = server.received.lock().expect("no panic");
    assert_eq!(crossings(&requests[2..].iter().collect::<Vec<_>>(), &folder("unauthorized")), calls);
}

#[test]
fn ctrl_c_ends_the_wait_for_a_server() {
    let server = Scripted::new(|_| None);
    let mut recorder = command(User::Root);
    recorder.args(["record", "--push", &server.url(), "-o"]).arg(profile_path(User::Root)).arg("--");
    recorder.arg(go::build("crossings", Build::newest())).args(["hot", "1000"]).stdout(Stdio::null());
    let recorder = recorder.stderr(Stdio::piped()).spawn().expect("cgoprof runs");
    until(Duration::from_secs(20), "the last request", || !server.received(|_| ()).is_empty());
    let begun = Instant::now();
    kill(Pid::from_raw(recorder.id() as i32), Signal::SIGINT).expect("it runs");
    let output = recorder.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(begun.elapsed() < Duration::from_secs(6) && said.contains("--spool "), "{:?}: {said}", begun.elapsed());
    let left = said.split("--spool ").nth(1).and_then(|rest| rest.lines().next()).expect("a folder");
    std::fs::remove_dir_all(left).expect("it is there");
}

#[test]
fn the_program_does_not_get_the_token() {
    let server = Scripted::new(|_| Some("200 OK"));
    let script =
        format!("echo token=$CGOPROF_PUSH_TOKEN; exec {} hot 1000", go::build("crossings", Build::newest()).display());
    let mut recorder = command(User::Root);
    recorder.env("CGOPROF_PUSH_TOKEN", "secret").args(["record", "--push", &server.url(), "-o"]);
    let output = succeeds(recorder.arg(profile_path(User::Root)).args(["--", "sh", "-c", &script]));
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("token=\n"));
    assert!(
        server.received(|request| request.head.to_lowercase().contains("authorization: bearer secret")).contains(&true)
    );
}

#[test]
fn a_password_is_in_no_message() {
    for url in ["https://user:secret@host/nowhere", "https://user:secret@ho st/ingest", "user:secret@host"] {
        let mut recorder = command(User::Root);
        let output = recorder.args(["record", "--push", url, "--", "true"]).output().expect("cgoprof runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && !said.contains("secret") && said.contains("--push"), "{said}");
    }
}

#[test]
fn each_program_that_a_shell_starts_is_pushed_under_its_name() {
    let server = Scripted::new(|_| Some("200 OK"));
    let program = go::build("crossings", Build::newest());
    let (one, other) = (folder("one"), folder("other"));
    std::os::unix::fs::symlink(&program, &one).expect("a link");
    succeeds(Command::new("cp").arg(&program).arg(&other));
    let script = format!("{} hot 20000 & {} hot 20000; wait", other.display(), program.display());
    let mut recorder = command(User::Root);
    recorder.args(["record", "--push", &server.url(), "-o"]).arg(format!("{}/", folder("profiles").display()));
    succeeds(recorder.args(["--", "sh", "-c", &script]));
    let named = |path: &Path| path.file_name().expect("a name").to_str().expect("text").to_owned();
    for name in [named(&program), named(&other)] {
        let of =
            format!("name={}%7B%7D", name.replace(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c), "_"));
        assert!(server.received(|request| request.head.contains(&of)).contains(&true), "{of}");
    }
}

#[test]
fn a_server_is_known_by_its_certificate() {
    let folder = folder("tls");
    std::fs::create_dir_all(&folder).expect("a folder");
    let openssl = |arguments: &[&str]| {
        let mut openssl = Command::new("openssl");
        succeeds(openssl.args(arguments).current_dir(&folder));
    };
    let new_key = ["-newkey", "rsa:2048", "-nodes", "-subj"];
    openssl(
        &[&["req", "-x509", "-days", "2"], &new_key[..], &["/CN=test", "-keyout", "ca.key", "-out", "ca.pem"]].concat(),
    );
    openssl(&[&["req"], &new_key[..], &["/CN=localhost", "-keyout", "key.pem", "-out", "request.pem"]].concat());
    std::fs::write(folder.join("extensions"), "subjectAltName=IP:127.0.0.1\n").expect("a file");
    let sign = ["x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    openssl(&[&sign[..], &["-days", "2", "-extfile", "extensions", "-out", "certificate.pem"]].concat());
    let mut server = servers::collector(&folder, Some((&folder.join("certificate.pem"), &folder.join("key.pem"))));
    server.start();
    let record = |certificates: &Path| {
        let mut recorder = command(User::Root);
        recorder.env("SSL_CERT_FILE", certificates).args(["record", "--push"]);
        recorder.arg(format!("https://{}/v1development/profiles", server.address)).arg("-o");
        recorder.arg(profile_path(User::Root)).arg("--").arg(go::build("crossings", Build::newest()));
        String::from_utf8_lossy(&succeeds(recorder.args(["hot", "20000"])).stderr).into_owned()
    };
    let trusted = record(&folder.join("ca.pem"));
    assert!(trusted.contains("cgoprof: pushed to https://"), "{trusted}");
    until(Duration::from_secs(10), "it is printed", || server.printed().contains("\"end\":true"));
    let unknown = record(Path::new("/etc/ssl/certs/ca-certificates.crt"));
    assert!(unknown.contains("could not be pushed") && unknown.contains("ertificate"), "{unknown}");
}
