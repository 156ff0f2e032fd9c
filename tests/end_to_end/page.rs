//! The page of a profile in a browser.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use cgoprof_profile::{
    Cell, Distribution, Encoder, Estimate, Function, FunctionId, Kind, Line, Location, LocationId, Profile, Stats,
};
use cgoprof_testing::go::{self, Build};
use cgoprof_testing::recording::{User, command, profile_path, record, succeeds};
use serde_json::Value as Json;

use crate::browser::page_of;

/// Functions for the scripts of tests, beside the page's own.
const HELPERS: &str = "
const key = (name) => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: name, bubbles: true }));
const frame = () => new Promise((done) => setTimeout(done, 30));
const type = async (text) => { document.activeElement.value = text; document.activeElement.dispatchEvent(new Event('input')); await frame(); };
const cells = () => [...current.view.querySelectorAll('.tabulator-row')].map((row) => [...row.querySelectorAll('.tabulator-cell')].map((cell) => cell.textContent));
const head = () => [...current.view.querySelectorAll('.tabulator-col-title')].map((title) => title.textContent);
const frames = () => [...current.view.querySelectorAll('g.frame')].map((frame) => frame.querySelector('title').textContent);
const tools = () => current.view.querySelector('.tools').textContent;
";

/// Runs a script on a page, as its last, and returns what the script returns.
fn on(page: &Path, script: &str) -> Json {
    let text = std::fs::read_to_string(page).expect("the page");
    let run = format!(
        "<pre id=returned></pre><script>{HELPERS}
(async () => {{ {script} }})().catch((error) => ({{ error: `${{error}} ${{error.stack}}` }}))
  .then((value) => {{ document.getElementById('returned').textContent = `RETURNED${{JSON.stringify(value)}}DENRUTER`; }});</script>
</body>"
    );
    let driven = page.with_extension("driven.html");
    std::fs::write(&driven, text.replace("</body>", &run)).expect("a file");
    let shown = page_of(&format!("file://{}", driven.display()), &page.with_extension("chromium"), &["--disable-gpu"]);
    let returned = shown.split("RETURNED").nth(1).and_then(|rest| rest.split("DENRUTER").next());
    let returned = returned.unwrap_or_else(|| panic!("nothing returned: {}", &shown[..shown.len().min(2000)]));
    let returned = returned.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let value: Json = serde_json::from_str(&returned).expect("JSON");
    assert!(value["error"].is_null(), "{value}");
    value
}

fn page(profile: &Path) -> PathBuf {
    let page = profile.with_extension("html");
    succeeds(command(User::Root).args(["export", "--format", "html", "-o"]).arg(&page).arg(profile));
    page
}

#[test]
fn the_page_shows_the_numbers_of_the_report_and_forbids_the_network() {
    let recorded = record(User::Root, &[], &go::build("crossings", Build::newest()), &["nested", "500"]);
    let page = page(&recorded.profile);
    let text = std::fs::read_to_string(&page).expect("the page");
    let policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:";
    assert!(text.contains(&format!("<meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">")));
    let shown = on(
        &page,
        "show('functions'); await frame(); const functions = cells(), heads = head();
         const graph = data.flames.graphs.find((one) => one.key === 'calls');
         return { heads, functions, calls: graph.nodes[0][3], views: views.map((one) => one.key),
                  facts: views[0].view.querySelector('.facts').textContent };",
    );
    let functions = recorded.report["functions"].as_array().expect("functions");
    let rows = shown["functions"].as_array().expect("rows");
    assert_eq!(rows.len(), functions.len());
    let heads = shown["heads"].as_array().expect("heads");
    let (name, calls) = (at(heads, "C FUNCTION"), at(heads, "CALLS"));
    for (row, function) in rows.iter().zip(functions) {
        let named = row[name].as_str().expect("a name");
        assert!(named.starts_with(function["name"].as_str().expect("a name")), "{named}");
        let expected = cgoprof_viewer::units::count(function["calls"].as_u64().expect("calls"));
        assert_eq!(row[calls].as_str().expect("a count"), expected);
    }
    let sum: u64 = functions.iter().filter_map(|function| function["calls"].as_u64()).sum();
    assert_eq!(shown["calls"], sum);
    assert!(shown["facts"].as_str().expect("facts").contains("crossings in"), "{shown}");
    for view in ["overview", "functions", "sites", "flame", "callbacks", "threads"] {
        assert!(shown["views"].as_array().expect("views").iter().any(|shown| shown == view), "{view}: {shown}");
    }
}

fn at(heads: &[Json], name: &str) -> usize {
    heads.iter().position(|head| head == name).unwrap_or_else(|| panic!("{name}: {heads:?}"))
}

/// A profile with 10,000 C functions and 100,000 stacks.
fn large() -> PathBuf {
    const FUNCTIONS: usize = 10_000;
    const GO: usize = 3_000;
    const STACKS: usize = 100_000;
    let mut profile = Profile::default();
    profile.target.path = "/bin/large".into();
    (profile.recording.engine, profile.recording.timing) = ("trampoline".into(), "auto".into());
    profile.recording.duration_ns = 10_000_000_000;
    let function = |name: String, kind| Function { c_name: name.clone(), name, kind, ..Function::default() };
    profile.functions = (0..FUNCTIONS).map(|at| function(format!("c_function_{at}"), Kind::C)).collect();
    profile.functions.extend((0..GO).map(|at| Function {
        name: format!("example.com/app/package{}.Function{at}", at % 50),
        kind: Kind::Go,
        ..Function::default()
    }));
    profile.locations = (0..profile.functions.len())
        .map(|at| Location { lines: vec![Line { function: FunctionId(at), line: 1 }], ..Location::default() })
        .collect();
    for at in 0..STACKS {
        // The stacks of a function share their outer frames, as stacks do.
        let c = at % FUNCTIONS;
        let go = [at % GO, at / 10 % GO, at % 300, at % 70, at % 20, at % 4, 0].map(|at| LocationId(FUNCTIONS + at));
        let calls = 7;
        let c_times = Distribution { extremes: Some((10.0, 900.0)), buckets: vec![(10.0, calls), (900.0, 1)] };
        let estimate = |sum| Estimate { sum, ..Estimate::default() };
        let (c_time, exit) = (estimate((calls * (c as u64 + 1)) as f64), estimate(calls as f64 * 40.0));
        let stats = Stats { calls, timed: calls, c: c_time, exit, c_times, ..Stats::default() };
        let stack = std::iter::once(LocationId(c)).chain(go).collect();
        profile.cells.push(Cell { id: at as u64 + 1, function: FunctionId(c), stack, stats, ..Cell::default() });
    }
    let path = profile_path(User::Root);
    std::fs::write(&path, Encoder::default().member(&profile)).expect("a file");
    path
}

#[test]
fn a_large_page_is_sorted_searched_and_zoomed_with_the_keyboard() {
    let page = page(&large());
    let shown = on(
        &page,
        "const result = {};
         key('2'); await frame();
         result.heads = head();
         const named = () => cells().slice(0, 3).map((row) => row[0]);
         result.first = named();
         key('>'); await frame();
         result.byName = named();
         key('i'); await frame();
         result.reversed = named();
         key('ArrowDown'); await frame(); key('ArrowDown'); await frame();
         result.selected = current.view.querySelector('.tabulator-selected .tabulator-cell').textContent;
         result.histograms = current.view.querySelectorAll('.detail canvas').length;
         key('End'); await frame();
         result.without = current.view.querySelector('.detail').textContent;
         key('/'); await type('c_function_77$');
         result.filtered = [named(), tools()];
         key('Escape'); await frame();
         result.cleared = tools();
         show('flame'); await frame();
         result.frames = frames().length;
         for (let step = 0; step < 3; step++) key('ArrowDown');
         result.cursor = current.view.querySelector('.line').textContent;
         key('Enter'); await frame();
         result.zoomed = frames().length;
         key('0'); await frame();
         key('/'); await type('Function7$');
         result.matched = tools();
         key('Escape');
         key('t'); result.theme = document.documentElement.dataset.theme;
         key('?'); result.help = document.getElementById('help').open;
         return result;",
    );
    let name = |at: usize| format!("c_function_{at}");
    assert_eq!(shown["first"], serde_json::json!([name(9999), name(9998), name(9997)]), "by total: {shown}");
    assert_eq!(shown["byName"][0], name(0));
    assert_eq!(shown["reversed"][0], name(9999));
    assert_eq!(shown["selected"], shown["reversed"][1]);
    assert_eq!(shown["histograms"], 1);
    assert_eq!(shown["without"], "The page has histograms of the first 1,000 functions only.");
    assert_eq!(shown["filtered"][0], serde_json::json!([name(77)]));
    assert!(shown["filtered"][1].as_str().expect("text").contains("1 of 10,000 rows"), "{}", shown["filtered"]);
    assert!(shown["cleared"].as_str().expect("text").contains("10,000 rows"), "{}", shown["cleared"]);
    let frames = |of: &str| shown[of].as_u64().expect("a number");
    assert!(frames("frames") > 100 && frames("zoomed") > 100, "{shown}");
    assert_ne!(frames("frames"), frames("zoomed"));
    let cursor = shown["cursor"].as_str().expect("a frame");
    assert!(cursor.contains("example.com/app/package") && cursor.ends_with(" %"), "{cursor}");
    assert!(shown["matched"].as_str().expect("text").contains("% of the whole matched"), "{}", shown["matched"]);
    assert_eq!((&shown["theme"], &shown["help"]), (&"dark".into(), &true.into()));
}

/// The page writes numbers by its own script: 1 ms was once 1000 us there.
#[test]
fn numbers_on_the_page_are_written_as_in_the_report() {
    let recorded = record(User::Root, &[], &go::build("crossings", Build::newest()), &["nested", "50"]);
    let nanos = [0.0, 0.4, 9.994, 9.996, 99.96, 999.4, 999.6, 12_345.0, 999_499.0, 999_600.0, 1e6, 9.996e8, 1.5e12];
    let shares = [0.0, 0.0004, 0.0006, 0.5, 1.0, 9.994, 12.3];
    let script = format!("return [{nanos:?}.map(time), {shares:?}.map(percent), count(1234567)];");
    let shown = on(&page(&recorded.profile), &script);
    let times = nanos.map(cgoprof_viewer::units::time);
    let shares = shares.map(cgoprof_viewer::units::percent);
    assert_eq!(shown, serde_json::json!([times, shares, cgoprof_viewer::units::count(1_234_567)]));
}

/// A timeline once drew waits of a microsecond as wide as a pixel in full colour: a thread seemed to wait all the time.
#[test]
fn the_timeline_shows_threads_with_what_they_did_and_zooms() {
    let recorded = record(User::Root, &[], &go::build("scheduler", Build::newest()), &["sleepers", "4"]);
    let page = page(&recorded.profile);
    let shown = on(
        &page,
        "show('timeline'); await frame();
         const canvases = current.view.querySelectorAll('canvas'), lanes = canvases[canvases.length - 1];
         const painted = () => {
           const pixels = lanes.getContext('2d').getImageData(0, 0, lanes.width, lanes.height).data;
           let sum = 0;
           for (let at = 3; at < pixels.length; at += 4) sum += pixels[at] > 0;
           return sum;
         };
         const whole = painted();
         key('+'); key('+'); await frame();
         const zoomed = painted();
         const shares = new Float64Array(11);
         cover(shares, [0, 10, 0, 2, 3, 0, 50, 50, 0], 50, 0, 100);
         show('slowest'); await frame();
         return { threads: data.timeline.threads.length, whole, zoomed, shares: [...shares], slowest: current.view.textContent };",
    );
    assert!(shown["threads"].as_u64() >= Some(4) && shown["whole"].as_u64() > Some(100), "{shown}");
    assert_ne!(shown["whole"], shown["zoomed"]);
    let shares: Vec<f64> = shown["shares"].as_array().expect("shares").iter().filter_map(Json::as_f64).collect();
    assert_eq!(shares, [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0], "nested ones count once");
    let slowest = &recorded.report["slowest"][0];
    assert!(
        shown["slowest"].as_str().expect("text").contains(slowest["function"].as_str().expect("a name")),
        "{shown}"
    );
}

#[test]
fn a_name_that_is_markup_is_shown_as_text() {
    let name = "<img src=x onerror=\"document.title='owned'\">";
    let mut profile = Profile::default();
    profile.target.path = format!("/bin/{}", name.replace('/', ""));
    (profile.recording.engine, profile.recording.timing) = ("trampoline".into(), "auto".into());
    profile.recording.duration_ns = 1_000_000_000;
    profile.recording.notes = vec![name.into()];
    profile.functions = vec![Function {
        name: name.into(),
        c_name: name.into(),
        package: name.into(),
        kind: Kind::C,
        ..Function::default()
    }];
    profile.locations =
        vec![Location { lines: vec![Line { function: FunctionId(0), line: 1 }], ..Location::default() }];
    let c = Estimate { sum: 5e8, ..Estimate::default() };
    let stats = Stats { calls: 100_000, timed: 100_000, c, ..Stats::default() };
    profile.cells = vec![Cell { stack: vec![LocationId(0)], stats, ..Cell::default() }];
    let path = profile_path(User::Root);
    std::fs::write(&path, Encoder::default().member(&profile)).expect("a file");
    let shown = on(
        &page(&path),
        "for (const one of views) { show(one.key); await frame(); }
         show('functions'); key('ArrowDown'); await frame();
         return { images: document.querySelectorAll('img').length, title: document.title, name: cells()[0][0] };",
    );
    assert_eq!((&shown["images"], &shown["name"]), (&0.into(), &name.into()), "{shown}");
    assert!(!shown["title"].as_str().expect("a title").starts_with("owned"));
}

#[test]
fn web_serves_the_page_at_an_address_that_is_its_own() {
    let old = record(User::Root, &[], &go::build("crossings", Build::newest()), &["nested", "500"]);
    let new = record(User::Root, &[], &go::build("crossings", Build::newest()), &["nested", "900"]);
    let mut web = command(User::Root);
    let web = web.args(["web", "--no-browser"]).arg(&old.profile).arg(&new.profile).stderr(Stdio::piped());
    let mut web = web.spawn().expect("cgoprof runs");
    let mut line = String::new();
    BufReader::new(web.stderr.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).expect("an address");
    let (address, path) = url.trim_start_matches("http://").split_once('/').expect("a path");
    assert!(address.starts_with("127.0.0.1:") && path.len() > 32, "{url}");
    let get = |host: &str, path: &str| {
        let mut stream = TcpStream::connect(address).expect("a connection");
        write!(stream, "GET /{path} HTTP/1.0\r\nHost: {host}\r\n\r\n").expect("a request");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let page = get(address, path);
    let has_change = page.contains("\"key\":\"change\"") && page.contains("\"hasBefore\":true");
    assert!(page.contains(" 200 ") && has_change, "{}", &page[..page.len().min(300)]);
    for (host, path) in [("example.com", path), (address, ""), (address, "x/"), ("example.com", "")] {
        assert!(get(host, path).contains(" 404 "), "{host} {path}");
    }
    web.kill().and_then(|()| web.wait()).expect("it ends");

    let html =
        succeeds(command(User::Root).args(["diff", "--format", "html"]).args([&old.profile, &new.profile])).stdout;
    let html = String::from_utf8(html).expect("text");
    assert!(html.contains("\"key\":\"change\"") && html.trim_end().ends_with("</html>"));
    let folder = old.profile.parent().expect("a folder");
    let refused = command(User::Root).arg("web").arg(folder).output().expect("cgoprof runs");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("is a folder"));
}

/// Command lines can be read by every user, and addresses in them.
#[test]
fn the_browser_is_given_a_file_that_leads_to_the_page() {
    let recorded = record(User::Root, &[], &go::build("crossings", Build::newest()), &["nested", "50"]);
    let seen = recorded.profile.with_extension("seen");
    let mut web = command(User::Root);
    let browser = format!("sh -c cat<%s>{}", seen.display()).replace("cat<%s>", "cat${IFS}%s>");
    let web = web.arg("web").arg(&recorded.profile).env("BROWSER", format!("nosuchbrowser:{browser}"));
    let mut web = web.stderr(Stdio::piped()).spawn().expect("cgoprof runs");
    let mut line = String::new();
    BufReader::new(web.stderr.take().expect("a pipe")).read_line(&mut line).expect("a line");
    let url = line.split_whitespace().find(|word| word.starts_with("http://")).expect("an address").to_owned();
    let start = std::time::Instant::now();
    while !std::fs::read_to_string(&seen).is_ok_and(|text| text.contains(&url)) {
        assert!(start.elapsed().as_secs() < 30, "the browser has not been started");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    web.kill().and_then(|()| web.wait()).expect("it ends");
}
