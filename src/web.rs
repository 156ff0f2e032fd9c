//! `cgoprof web`: shows a profile, or what has changed between two, in a browser.

use std::io::{BufWriter, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail};
use cgoprof_viewer::diff::compare::{Diff, Side};
use cgoprof_viewer::diff::key::By;
use cgoprof_viewer::page::{self, Comparison};
use tempfile::NamedTempFile;
use tiny_http::{Header, Method, Request, Response, Server};

use crate::diff;
use crate::notice::say;
use crate::profile_file;

/// Show a profile in a browser, as `go tool pprof -http` does
#[derive(clap::Args)]
#[command(after_help = "Examples:
  cgoprof web
  cgoprof web old.pb.gz new.pb.gz
  cgoprof web --no-browser --port 8080 app.pb.gz    # then: ssh -L 8080:127.0.0.1:8080 HOST

The address of the page can't be guessed, because every user of this machine can reach its ports.")]
pub(crate) struct Args {
    /// Profile, or the older of two
    #[arg(default_value = profile_file::DEFAULT)]
    file: PathBuf,
    /// Newer profile to compare with; two folders hold repeats
    now: Option<PathBuf>,
    #[command(flatten)]
    process_filter: profile_file::ProcessFilter,
    /// Port on 127.0.0.1; 0 for any that is free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Open no browser
    #[arg(long)]
    no_browser: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let page = page(args)?;
    let wanted = SocketAddrV4::new(Ipv4Addr::LOCALHOST, args.port);
    let server = match Server::http(wanted) {
        Ok(server) => server,
        Err(error) => bail!("cannot listen on {wanted}: {error}"),
    };
    let address = server.server_addr().to_ip().context("the server has no address")?.to_string();
    let path = format!("/{}/", secret()?);
    let url = format!("http://{address}{path}");
    say(format_args!("serving {url} until Ctrl-C"));
    let _leads_there = if args.no_browser { None } else { Some(open(&url).context("no browser was started")?) };
    for request in server.incoming_requests() {
        // A browser that has gone away is no error of the server's.
        let _ = answer(request, &page, &address, &path);
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the page of a profile or of two.
fn page(args: &Args) -> anyhow::Result<Vec<u8>> {
    let mut written = Vec::new();
    let mut output = BufWriter::new(&mut written);
    match &args.now {
        None if args.file.is_dir() => {
            bail!("{} is a folder: name a profile, or two folders to compare", args.file.display())
        }
        None => page::write(&args.process_filter.read(&args.file)?, None, &mut output)?,
        Some(_) if args.process_filter.is_set() => bail!("--process shows a part of one profile: name one file"),
        Some(now) => {
            let (before, after) = (diff::repeats(&args.file)?, diff::repeats(now)?);
            diff::check(&before, &after)?;
            let side = |repeats| Side { repeats, per_second: false };
            let (base, now) = (side(before.as_slice()), side(after.as_slice()));
            let diff = Diff::between(base, now, By::Function);
            page::write(&after[0], Some(Comparison { diff: &diff, base, now }), &mut output)?;
        }
    }
    output.flush()?;
    drop(output);
    Ok(written)
}

/// Returns 128 random bits in hexadecimal.
fn secret() -> anyhow::Result<String> {
    let mut bytes = [0; 16];
    let mut random = std::fs::File::open("/dev/urandom").context("cannot open /dev/urandom")?;
    random.read_exact(&mut bytes).context("cannot read /dev/urandom")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Opens an address in the user's browser. Without one, the user has the address.
///
/// The browser gets a file of the user's own that leads to the address: command lines can be read by every user. Returns that
/// file, which is there as long as the value is.
fn open(url: &str) -> anyhow::Result<NamedTempFile> {
    let mut file = tempfile::Builder::new().prefix("cgoprof-web-").suffix(".html").tempfile()?;
    write!(file, "<!DOCTYPE html><meta http-equiv=refresh content='0; url={url}'><a href='{url}'>cgoprof</a>")?;
    let named = std::env::var("BROWSER").unwrap_or_default();
    let browsers = named.split(':').chain(["xdg-open"]).map(str::trim).filter(|browser| !browser.is_empty());
    let path = file.path().to_string_lossy().into_owned();
    for browser in browsers {
        let mut words = browser.split_whitespace();
        let mut command = Command::new(words.next().unwrap_or_default());
        let words: Vec<&str> = words.collect();
        command.args(words.iter().map(|word| word.replace("%s", &path)));
        if !words.iter().any(|word| word.contains("%s")) {
            command.arg(&path);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C here is not for the browser.
        if command.process_group(0).spawn().is_ok() {
            return Ok(file);
        }
    }
    say("no browser could be started: open the address above");
    Ok(file)
}

/// Answers with the page if the request is for it, by the name that the server has: a page of another site whose name leads
/// to this machine gets nothing.
fn answer(request: Request, page: &[u8], address: &str, path: &str) -> std::io::Result<()> {
    let port = address.rsplit(':').next().unwrap_or_default();
    let local = [address.to_owned(), format!("localhost:{port}")];
    let host = request.headers().iter().find(|header| header.field.equiv("Host"));
    let is_local = host.is_some_and(|host| local.iter().any(|local| host.value.as_str() == local));
    if !is_local || request.url() != path {
        return request.respond(Response::empty(404));
    }
    if !matches!(request.method(), Method::Get | Method::Head) {
        return request.respond(Response::empty(405));
    }
    let headers =
        [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store"), ("X-Frame-Options", "DENY")];
    let mut response = Response::from_data(page);
    for (name, value) in headers {
        response.add_header(Header::from_bytes(name, value).expect("a header of ASCII"));
    }
    request.respond(response)
}
