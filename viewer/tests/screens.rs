//! Every screen of recorded profiles at three sizes, against what it was when it was last looked at; and keys in any order.

#[path = "screens/background.rs"]
mod background;
#[path = "screens/driving.rs"]
mod driving;

use cgoprof_viewer::tui::{App, Colours, Effect, Screen, UpdateBuilder};
use proptest::prelude::*;
use ratatui::crossterm::event::{Event, KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::Size;

use driving::{SIZES, Text, app, drawn, press, press_only, recorded, settle, text, update};

const PROFILES: [&str; 12] = [
    "blocked",
    "busy",
    "callbacks",
    "foreign",
    "inside",
    "locks",
    "sampled",
    "sleepers",
    "sqlite",
    "untimed",
    "uprobe",
    "waiting",
];

#[test]
fn every_screen_at_three_sizes() {
    for name in ["busy", "sqlite"] {
        for size in SIZES {
            let mut app = app(name, Colours::None, size);
            for (number, screen) in (1..).zip(Screen::ALL) {
                press(&mut app, &number.to_string());
                let snapshot = format!("{name}-{}-{}x{}", screen.name(), size.width, size.height);
                insta::assert_snapshot!(snapshot, text(&app, size));
            }
            press(&mut app, "?");
            insta::assert_snapshot!(format!("{name}-Help-{}x{}", size.width, size.height), text(&app, size));
        }
    }
}

#[test]
fn every_profile_has_every_screen() {
    for name in PROFILES {
        let mut app = app(name, Colours::None, SIZES[0]);
        for (number, screen) in (1..).zip(Screen::ALL) {
            press(&mut app, &number.to_string());
            insta::assert_snapshot!(format!("{name}-{}", screen.name()), text(&app, SIZES[0]));
        }
    }
}

/// The screen after some keys.
fn after(name: &str, keys: &str) -> String {
    let mut app = app(name, Colours::None, SIZES[1]);
    press(&mut app, keys);
    text(&app, SIZES[1])
}

#[test]
fn tables_are_sorted_filtered_and_opened() {
    let first = |screen: &str| screen.lines().nth(3).unwrap().split_whitespace().next().unwrap().to_owned();
    assert_eq!(first(&after("sqlite", "")), "_sqlite3_step_row_internal");
    assert!(first(&after("sqlite", "<")).starts_with("_sqlite3_bind"), "by name");
    assert_eq!(first(&after("sqlite", "i")), "sqlite3_column_count", "the smallest first");
    assert_eq!(first(&after("sqlite", "/bind_\n")), "_sqlite3_bind_text");
    assert_eq!(first(&after("sqlite", "/^malloc$\n")), "malloc");
    assert!(after("sqlite", "/no such\n").contains("nothing matches no such"));
    assert_eq!(first(&after("sqlite", "/bind_\n\u{1b}")), "_sqlite3_step_row_internal", "Esc shows all again");
    assert!(after("sqlite", "/^malloc$\n\n").lines().nth(2).unwrap().contains("malloc"), "Enter opens Detail");
    assert_eq!(first(&after("sqlite", "/^malloc$\n\n\u{1b}")), "malloc", "and Esc comes back");
}

#[test]
fn the_flame_graph_is_zoomed_searched_and_inverted() {
    insta::assert_snapshot!("flame-zoomed", after("sqlite", "4↓↓↓↓\n"));
    insta::assert_snapshot!("flame-searched", after("sqlite", "4/bind\n"));
    insta::assert_snapshot!("flame-inverted-calls", after("sqlite", "4ivvvvvv"));
    assert!(after("sqlite", "4/bind\n").contains("/bind: "));
}

#[test]
fn the_tree_is_opened_searched_and_inverted() {
    insta::assert_snapshot!("tree-inverted", after("sqlite", "3i↓→→"));
    insta::assert_snapshot!("tree-searched", after("sqlite", "3/bind_text\n"));
    insta::assert_snapshot!("tree-all", after("busy", "3*"));
}

#[test]
fn a_span_of_the_timeline_filters_the_other_screens() {
    insta::assert_snapshot!("timeline-event", after("busy", "5nn"));
    let waited = after("blocked", "5↓↓↓nn");
    assert!(waited.contains("15.7 ms of it blocked (15.7 ms in read)"), "{waited}");
    assert!(waited.contains("wait_for_pipe  blocks.c:"), "{waited}");
    insta::assert_snapshot!("timeline-zoomed", after("busy", "5n++++"));
    insta::assert_snapshot!("timeline-span", after("busy", "5nm→→→→→→→→→→m"));
    let functions = after("busy", "5nm→→→→→→→→→→m1");
    assert!(functions.contains("SPAN of"), "{functions}");
    let again = after("busy", "5nm→→→→→→→→→→m1\u{1b}");
    assert!(!again.contains("SPAN of"), "{again}");
}

#[test]
fn a_recording_is_compared_with_another() {
    let profile = recorded("sqlite");
    let mut slower = profile.clone();
    for cell in &mut slower.cells {
        cell.stats.c.sum *= 2.0;
        cell.stats.calls /= 2;
    }
    let mut app =
        App::new("slower".into(), slower, Colours::None, Box::new(Text)).with_base("base.pb.gz".into(), profile);
    app.resize(SIZES[1]);
    insta::assert_snapshot!("compared", text(&app, SIZES[1]));
    press(&mut app, "\n");
    let detail = text(&app, SIZES[1]);
    assert!(detail.contains("50,000 calls (\u{394} -50.0 %)"), "{detail}");
    press(&mut app, "3");
    insta::assert_snapshot!("compared-tree", text(&app, SIZES[1]));
    press(&mut app, "4");
    assert!(text(&app, SIZES[1]).contains("\u{394} +75.2 %"), "{}", text(&app, SIZES[1]));
}

#[test]
fn a_program_that_is_watched_is_frozen_zeroed_and_windowed() {
    let size = SIZES[1];
    let whole = recorded("sqlite");
    let part = |tenths: u64| {
        let mut profile = whole.clone();
        for cell in &mut profile.cells {
            cell.stats.calls = cell.stats.calls * tenths / 100;
        }
        profile.recording.duration_ns = tenths * 100_000_000;
        profile
    };
    let mut builder = UpdateBuilder::default();
    let mut part = |tenths| builder.ready(part(tenths));
    let mut app = App::watching("sqlite".into(), part(1), Colours::None, Box::new(Text));
    app.resize(size);
    let calls = |app: &App| text(app, size).lines().nth(1).unwrap().to_owned();
    for tenths in 2..50 {
        update(&mut app, part(tenths));
    }
    insta::assert_snapshot!("live", text(&app, size));
    assert!(app.grow_old(std::time::Duration::from_millis(2500)) && calls(&app).contains("LIVE, 2 s ago"));
    assert!(!app.grow_old(std::time::Duration::from_millis(2600)));
    app.grow_old(std::time::Duration::ZERO);
    press(&mut app, "f");
    let frozen = calls(&app);
    update(&mut app, part(60));
    assert_eq!(calls(&app), frozen);
    assert!(frozen.contains("FROZEN"));
    press(&mut app, "f");
    assert!(calls(&app).contains("crossings in 6.00 s"), "{}", calls(&app));
    press(&mut app, "z");
    update(&mut app, part(70));
    assert!(calls(&app).contains("crossings in 1.00 s"), "{}", calls(&app));
    press(&mut app, "f");
    update(&mut app, part(80));
    press(&mut app, "z");
    assert!(calls(&app).contains("LIVE") && calls(&app).contains("crossings in 0.00 ns"), "{}", calls(&app));
    press(&mut app, "tt");
    // Moments are kept a second apart.
    let window = calls(&app);
    let seconds: f64 = window.split("last ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((5.0..6.01).contains(&seconds) && window.contains(&format!("crossings in {seconds:.2} s")), "{window}");
    press(&mut app, "t<");
    update(&mut app, part(90));
    assert!(
        calls(&app).contains("less than 10 s") && calls(&app).contains("crossings in 9.00 s"),
        "all of a run shorter than the window: {}",
        calls(&app)
    );
    press(&mut app, "tttf");
    update(&mut app, part(120));
    press(&mut app, "t");
    assert!(calls(&app).contains("last 5.90 s"), "seconds before what is frozen: {}", calls(&app));
    press(&mut app, "w");
    assert_eq!(app.take_effects(), [Effect::Save]);
    app.end("the program, status 0".into());
    assert!(calls(&app).contains("ENDED: the program, status 0"));
}

#[test]
fn the_flame_graph_that_is_written_is_the_one_that_is_seen() {
    let written = |keys: &str| {
        let mut app = app("sqlite", Colours::None, SIZES[0]);
        press(&mut app, keys);
        press(&mut app, "e");
        let Some(Effect::Write(file)) = app.take_effects().pop() else { panic!("a file") };
        String::from_utf8(file.contents).unwrap()
    };
    let (whole, zoomed) = (written("4"), written("4jjjj\n"));
    assert!(whole.contains("main.scan") && whole.contains("main.insert"));
    assert!(!zoomed.contains("main.scan") && zoomed.contains("below main.insert"), "{zoomed}");
    let inverted = written("4ij\n");
    assert!(inverted.contains("below _sqlite3_step_row_internal") && !inverted.contains("_sqlite3_bind_text"));
}

#[test]
fn a_span_is_dragged_and_a_click_is_none() {
    let dragged = |from: u16, to: u16| {
        let mut app = app("busy", Colours::None, SIZES[0]);
        press(&mut app, "5");
        let mut mouse = |kind, column| {
            app.handle(&Event::Mouse(MouseEvent { kind, column, row: 8, modifiers: KeyModifiers::NONE }));
            settle(&mut app);
        };
        mouse(MouseEventKind::Down(MouseButton::Left), from);
        mouse(MouseEventKind::Drag(MouseButton::Left), to);
        mouse(MouseEventKind::Up(MouseButton::Left), to);
        text(&app, SIZES[0]).contains("SPAN of")
    };
    assert!(dragged(40, 60));
    assert!(dragged(60, 40));
    assert!(!dragged(40, 41) && !dragged(40, 40));
}

#[test]
fn matches_at_the_end_of_a_text_follow_each_other() {
    let mut app = app("sqlite", Colours::None, SIZES[0]);
    press(&mut app, "2/sqlite\n");
    let seen: Vec<String> = std::iter::repeat_with(|| {
        press(&mut app, "n");
        text(&app, SIZES[0])
    })
    .take(200)
    .collect();
    assert!(seen[1..].contains(&seen[0]), "after the last comes the first again");
    assert!(seen.iter().any(|screen| screen != &seen[0]));
}

#[test]
fn a_span_says_what_it_does_not_know() {
    let span = "5nm→→→→→→→→→→m";
    assert!(after("busy", &format!("{span}6v")).contains("not known of a span"));
    assert!(after("busy", &format!("{span}7")).contains("not known of a span"));
    assert!(after("busy", &format!("{span}8")).contains("not known of a span"));
    // now_ns is called at the start only.
    let detail = after("busy", &format!("/now\n\n{span}2"));
    assert!(detail.contains("now_ns was not called in what is shown"), "{detail}");
}

#[test]
fn notes_of_the_recording_are_shown() {
    let mut profile = recorded("sqlite");
    profile.recording.notes = vec!["7 perf records found no room".into()];
    let mut app = App::new("sqlite".into(), profile, Colours::None, Box::new(Text));
    app.resize(SIZES[0]);
    assert!(text(&app, SIZES[0]).contains(" 1 note: ?"));
    press(&mut app, "?");
    assert!(text(&app, SIZES[0]).contains("note: 7 perf records found no room"));
}

/// Sums may be anything in a damaged file.
#[test]
fn shares_beyond_measure_are_drawn_within_the_screen() {
    let mut profile = recorded("busy");
    for cell in &mut profile.cells {
        (cell.stats.enter.sum, cell.stats.c.sum, cell.stats.exit.sum) = (1e15, 1.0, -1e15);
    }
    for size in SIZES {
        let mut app = App::new("damaged".into(), profile.clone(), Colours::None, Box::new(Text));
        app.resize(size);
        for number in 1..=8 {
            press(&mut app, &number.to_string());
            assert!(!text(&app, size).is_empty());
        }
        press(&mut app, "2e");
        assert_eq!(app.take_effects().len(), 1);
    }
}

#[test]
fn what_is_shown_is_exported_and_names_are_copied() {
    let file = |name: &str, keys: &str| {
        let mut app = app(name, Colours::None, SIZES[0]);
        press(&mut app, keys);
        match app.take_effects().pop() {
            Some(Effect::Write(file)) => (file.stem + "." + file.extension, String::from_utf8(file.contents).unwrap()),
            other => panic!("{other:?}"),
        }
    };
    let (name, functions) = file("sqlite", "/bind_\ne");
    assert_eq!(name, "cgoprof-functions.csv");
    assert!(functions.starts_with("C FUNCTION,TOTAL,") && functions.lines().count() == 4, "{functions}");
    let (name, svg) = file("sqlite", "4e");
    assert_eq!(name, "cgoprof-flame.svg");
    assert!(svg.contains("</svg>") && svg.contains("runtime.cgocall"));
    let (name, events) = file("busy", "5e");
    assert_eq!(name, "cgoprof-timeline.csv");
    assert_eq!(events.lines().count(), recorded("busy").timeline.crossings.len() + 1);
    assert_eq!(file("sqlite", "3e").0, "cgoprof-tree.csv");
    assert_eq!(file("sqlite", "2e").0, "cgoprof-detail.txt");
    assert_eq!(file("busy", "6e").0, "cgoprof-threads.csv");
    let mut app = app("sqlite", Colours::None, SIZES[0]);
    press(&mut app, "y");
    assert_eq!(app.take_effects(), [Effect::Copy("_sqlite3_step_row_internal".into())]);
}

#[test]
fn the_mouse_does_what_keys_do() {
    let size = SIZES[0];
    let mut app = app("sqlite", Colours::None, size);
    let mouse = |app: &mut App, kind, column, row| {
        app.handle(&Event::Mouse(MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE }));
        settle(app);
    };
    let left = MouseEventKind::Down(MouseButton::Left);
    mouse(&mut app, left, 3, 5);
    press(&mut app, "y");
    assert_eq!(app.take_effects(), [Effect::Copy("_sqlite3_step_internal".into())]);
    mouse(&mut app, left, 3, 5);
    assert!(text(&app, size).contains("WHERE THE TIME GOES"), "a second click opens");
    mouse(&mut app, left, 30, 0);
    assert!(text(&app, size).contains("▏runtime.goexit"), "a click on a tab");
    mouse(&mut app, left, 5, 6);
    mouse(&mut app, left, 5, 6);
    assert!(text(&app, size).contains("main.insert"), "{}", text(&app, size));
    mouse(&mut app, left, 3, 0);
    mouse(&mut app, left, 3, 2);
    assert!(text(&app, size).lines().nth(2).unwrap().starts_with("C FUNCTION▴"), "a click on a head sorts");
    let selected = |app: &mut App| {
        press(app, "y");
        app.take_effects()
    };
    let before = selected(&mut app);
    mouse(&mut app, MouseEventKind::ScrollUp, 3, 8);
    mouse(&mut app, MouseEventKind::ScrollUp, 3, 8);
    assert_ne!(selected(&mut app), before, "the wheel goes up");
}

#[test]
fn names_can_not_drive_the_terminal() {
    let mut profile = recorded("sqlite");
    for function in &mut profile.functions {
        function.name = format!("\u{1b}[2J\u{202e}\u{2066}\r\n\u{9b}日本語e\u{301}\u{200b}{}", function.name);
        function.file = format!("\u{1b}]0;x\u{7}{}", function.file);
    }
    for thread in &mut profile.threads {
        thread.name = "\u{1b}[31m".into();
    }
    profile.recording.notes.push("\u{1b}c".into());
    profile.target.path = "\u{1b}c".into();
    for size in SIZES {
        let mut app = App::new("\u{1b}c".into(), profile.clone(), Colours::True, Box::new(Text));
        app.resize(size);
        for number in 1..=8 {
            press(&mut app, &number.to_string());
            let buffer = drawn(&app, size);
            for cell in buffer.content() {
                let bad = |c: char| {
                    c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c)
                };
                assert!(!cell.symbol().contains(bad), "{:?}", cell.symbol());
            }
        }
    }
}

#[test]
fn a_small_terminal_says_so() {
    let size = Size::new(30, 5);
    let app = app("sqlite", Colours::None, size);
    assert!(text(&app, size).contains("the terminal is too small"));
}

#[test]
fn colours_are_there_only_where_they_are_wanted() {
    use ratatui::style::Color;
    for (colours, fits) in [
        (Colours::None, (|color| color == Color::Reset) as fn(Color) -> bool),
        (Colours::Sixteen, |color| !matches!(color, Color::Rgb(..) | Color::Indexed(_))),
        (Colours::True, |_| true),
    ] {
        for name in ["busy", "sqlite"] {
            let mut app = app(name, colours, SIZES[1]);
            for number in 1..=8 {
                press(&mut app, &number.to_string());
                let buffer = drawn(&app, SIZES[1]);
                assert!(
                    buffer.content().iter().all(|cell| fits(cell.fg) && fits(cell.bg)),
                    "{name} {number} {colours:?}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is typed and clicked, and however large the terminal is by then, something is drawn.
    #[test]
    fn no_input_is_too_much(
        profile in 0..PROFILES.len(),
        input in proptest::collection::vec((0u8..40, 0u16..260, 0u16..80), 1..120),
    ) {
        let mut size = SIZES[0];
        let mut app = app(PROFILES[profile], Colours::Sixteen, size);
        for (what, x, y) in input {
            let keys = "12345678?/niv*+-0mfztwyejkhlgG<> q\n\u{1b}\t\u{8}";
            let event = match keys.chars().nth(what.into()) {
                Some('q') => {
                    size = Size::new(x.max(1), y.max(1));
                    Event::Resize(size.width, size.height)
                }
                Some(key) => {
                    press_only(&mut app, key);
                    if y % 3 > 0 {
                        settle(&mut app);
                    }
                    continue;
                }
                None => {
                    let kind = match x % 3 {
                        0 => MouseEventKind::Down(MouseButton::Left),
                        1 => MouseEventKind::Drag(MouseButton::Left),
                        _ => MouseEventKind::Up(MouseButton::Left),
                    };
                    Event::Mouse(MouseEvent { kind, column: x, row: y, modifiers: KeyModifiers::NONE })
                }
            };
            app.handle(&event);
            // At times much happens before what was asked for is made.
            if y % 3 > 0 {
                settle(&mut app);
            }
            drawn(&app, size);
        }
        drawn(&app, size);
    }
}
