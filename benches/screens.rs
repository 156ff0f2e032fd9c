//! How soon the screens are there, and how long a picture takes: `cargo bench --bench screens`.
//!
//! A recording with 100,000 distinct stacks and 1,000,000 slow crossings is made, written, read and looked at, at 250x70.
//! Nothing here passes or fails.

use std::hint::black_box;
use std::time::{Duration, Instant};

use cgoprof_profile::{
    Cell, Encoder, Estimate, Function, FunctionId, Kind, Line, Location, LocationId, Made, Profile, SlowCrossing,
    Stats, Thread, Timeline, Wait, decode,
};
use cgoprof_viewer::tui::{App, Colours, Files};
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::{Rect, Size};

const STACKS: usize = 100_000;
const EVENTS: usize = 1_000_000;
const C_FUNCTIONS: usize = 200;
const GO_FUNCTIONS: usize = 20_000;
const DEPTH: usize = 16;
const THREADS: usize = 64;
const SIZE: Size = Size::new(250, 70);

fn main() {
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let profile = made();
    let bytes = Encoder::default().member(&profile);
    println!("{STACKS} stacks, {EVENTS} events, {} MB in the file\n", bytes.len() / 1_000_000);
    drop(profile);
    let began = Instant::now();
    let profile = decode(&bytes).expect("a profile");
    let decoded = began.elapsed();
    let mut app = App::new("made".into(), profile, Colours::True, Box::new(Nothing));
    app.resize(SIZE);
    let area = Rect::new(0, 0, SIZE.width, SIZE.height);
    let mut buffer = Buffer::empty(area);
    app.draw(area, &mut buffer);
    println!("- open to the first picture: {:?}, {decoded:?} of it reading", began.elapsed());
    let began = Instant::now();
    let preparing = std::thread::spawn(app.preparation());
    seen(&mut app, '3', "the tree, asked for at once,");
    preparing.join().expect("it is made");
    println!("- what screens need, made meanwhile by a thread: {:?}", began.elapsed());
    for key in "5m".chars().chain(['l'; 100]) {
        app.handle(&Event::Key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE)));
    }
    seen(&mut app, 'm', "a span of half the time");
    seen(&mut app, '3', "its tree");
    seen(&mut app, '2', "Detail of it");
    for code in ['1', '5'].map(KeyCode::Char).into_iter().chain([KeyCode::Esc]) {
        app.handle(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        app.settle();
    }
    drop(app.take_work());
    seen(&mut app, 'e', "a file of all events");
    app.handle(&Event::Key(KeyEvent::new(KeyCode::Char('4'), KeyModifiers::NONE)));
    seen(&mut app, 'e', "the flame graph as an SVG");
    app.take_effects();
    println!();
    println!("| screen | first | picture | longest | key and picture | longest | searching | longest |");
    println!("|---|---|---|---|---|---|---|---|");
    let screens = [
        ("Functions", '1', "jjjjjjjjjjjjjjjjjjjj", "function_1"),
        ("Detail", '2', "jjjjjjjjjjjjjjjjjjjj", "method1"),
        ("Tree", '3', "jjjjjljjjjljjjjljjjj", "method1"),
        ("Tree, from C up", '3', "ijjjljjjjljjjjljjjjj", "method1"),
        ("Flame", '4', "jjjjlljjhjjkjjljjjjj", "method1"),
        ("Flame, from C up", '4', "ijjjljjljhjjkjjljjjj", "method1"),
        ("Timeline", '5', "jllll++++llllll--lll", "function_1"),
        ("Threads", '6', "jjjjjjjjjjjjjjjjjjjj", "app"),
        ("Callbacks", '7', "jjjj", "a"),
        ("Advice", '8', "jjjj", "a"),
    ];
    for (name, screen, keys, wanted) in screens {
        let mut picture = |app: &mut App, code: Option<KeyCode>| {
            let began = Instant::now();
            if let Some(code) = code {
                app.handle(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
            }
            buffer.reset();
            app.draw(area, black_box(&mut buffer));
            began.elapsed()
        };
        let first = picture(&mut app, Some(KeyCode::Char(screen)));
        let pictures = (0..50).map(|_| picture(&mut app, None)).collect();
        let moves = keys.chars().map(|key| picture(&mut app, Some(KeyCode::Char(key)))).collect();
        let letters = ["/", wanted].concat().chars().map(KeyCode::Char).collect::<Vec<_>>();
        let found = "nnnnnNNNNN".chars().map(KeyCode::Char);
        let search = letters.into_iter().chain([KeyCode::Enter]).chain(found).chain([KeyCode::Esc]);
        let searches = search.map(|code| picture(&mut app, Some(code))).collect();
        print!("| {name} | {first:.1?} |");
        for (median, longest) in [summary(pictures), summary(moves), summary(searches)] {
            print!(" {median:.1?} | {longest:.1?} |");
        }
        println!();
    }
}

/// Presses a key and tells when what it asks for is seen, and how long pictures take until then.
fn seen(app: &mut App, key: char, what: &str) {
    let area = Rect::new(0, 0, SIZE.width, SIZE.height);
    let (mut buffer, mut pictures, began) = (Buffer::empty(area), Vec::new(), Instant::now());
    // What is still coming from before is not what is timed.
    app.settle();
    app.handle(&Event::Key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE)));
    let mut settled = false;
    while !settled {
        let turn = Instant::now();
        let work = app.take_work();
        // Where nothing is to be made, it is there already.
        settled = work.is_none() && pictures.is_empty();
        if let Some(work) = work {
            std::thread::spawn(move || work.run(|| ()));
        }
        settled |= app.settle();
        buffer.reset();
        app.draw(area, black_box(&mut buffer));
        pictures.push(turn.elapsed());
        std::thread::sleep(Duration::from_millis(1));
    }
    let (picture, longest) = summary(pictures);
    println!(
        "- {what} is there after {:.1?}; pictures until then {picture:.1?}, longest {longest:.1?}",
        began.elapsed()
    );
}

struct Nothing;

impl Files for Nothing {
    fn lines(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

fn summary(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() - 1])
}

/// Numbers that look random and are always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

fn made() -> Profile {
    let mut numbers = Numbers(1);
    let mut profile = Profile::default();
    profile.recording.engine = "trampoline".into();
    profile.recording.timing = "auto".into();
    profile.recording.duration_ns = 60_000_000_000;
    let function = |name: String, kind| {
        let c_name = if kind == Kind::C { name.clone() } else { String::new() };
        Function { name, kind, file: "/src/app/file.go".into(), c_name, package: "main".into(), ..Function::default() }
    };
    profile.functions = vec![function("runtime.cgocall".into(), Kind::Border)];
    profile.functions.extend((0..C_FUNCTIONS).map(|at| function(format!("c_function_{at}"), Kind::C)));
    let go = |at| function(format!("example.com/app/package{}.(*Type).Method{at}", at % 100), Kind::Go);
    profile.functions.extend((0..GO_FUNCTIONS).map(go));
    profile.locations = (0..profile.functions.len())
        .map(|at| Location {
            address: at as u64 + 1,
            lines: vec![Line { function: FunctionId(at), line: at as u32 }],
            ..Location::default()
        })
        .collect();
    for id in 0..STACKS {
        let c = 1 + numbers.below(C_FUNCTIONS);
        let mut stack = vec![LocationId(c), LocationId(0)];
        // Stacks share their outer frames, as stacks do.
        let mut wide = 4;
        let mut frames: Vec<LocationId> = (0..DEPTH)
            .map(|depth| {
                wide = (wide * 2).min(GO_FUNCTIONS / DEPTH);
                LocationId(1 + C_FUNCTIONS + depth * (GO_FUNCTIONS / DEPTH) + numbers.below(wide))
            })
            .collect();
        frames.reverse();
        stack.extend(frames);
        let estimate = |sum| Estimate { sum, variance: sum, common: 0.0 };
        let calls = 1 + numbers.below(1000) as u64;
        let stats = Stats {
            calls,
            timed: calls,
            enter: estimate(calls as f64 * 30.0),
            c: estimate(calls as f64 * numbers.below(100_000) as f64),
            exit: estimate(calls as f64 * 40.0),
            ..Stats::default()
        };
        profile.cells.push(Cell { id: id as u64 + 1, function: FunctionId(c), stack, stats, ..Cell::default() });
    }
    for thread in 0..THREADS {
        let tid = 1000 + thread as u64;
        let made = vec![Made { function: FunctionId(1), calls: 5, c_ns: 1e9, ..Made::default() }];
        profile.threads.push(Thread { tid, m: Some(thread as u64), name: "app".into(), made, ..Thread::default() });
    }
    let (each, mut timeline) = (EVENTS / THREADS, Timeline::default());
    for event in 0..EVENTS {
        let (tid, at) = (1000 + (event / each) as u64, (event % each) as u64);
        let called_ns = at * (60_000_000_000 / each as u64);
        let c_ns = 10_000 + numbers.below(2_000_000) as u64;
        let cell = 1 + numbers.below(STACKS) as u64;
        timeline.crossings.push(SlowCrossing {
            cell,
            tid,
            goid: 7,
            called_ns,
            c_ns: Some(c_ns),
            exit_ns: 300,
            weight: 1,
            ..SlowCrossing::default()
        });
        if event % 4 == 0 {
            timeline.waits.push(Wait {
                process: 0,
                tid,
                from_ns: called_ns + 1000,
                to_ns: called_ns + c_ns / 2,
                stack: None,
            });
        }
    }
    profile.timeline = timeline.into();
    profile
}
