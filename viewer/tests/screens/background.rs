//! What is seen while something is being made.

use cgoprof_viewer::tui::{App, Colours, Effect, Update, UpdateBuilder};
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use crate::driving::{SIZES, Text, app, press, press_only, recorded, settle, text};

fn sees(app: &App, what: &str) -> bool {
    text(app, SIZES[0]).contains(what)
}

/// A program that is watched since a second, and what it will have done after more of them.
fn watched() -> (App, impl FnMut(u64) -> Update) {
    let (whole, mut builder) = (recorded("sqlite"), UpdateBuilder::default());
    let mut after = move |seconds: u64| {
        let mut profile = whole.clone();
        profile.recording.duration_ns = seconds * 1_000_000_000;
        builder.ready(profile)
    };
    let mut app = App::watching("sqlite".into(), after(1), Colours::None, Box::new(Text));
    app.resize(SIZES[0]);
    (app, after)
}

#[test]
fn a_screen_comes_when_what_it_needs_is_made() {
    let mut app = app("sqlite", Colours::None, SIZES[0]);
    press_only(&mut app, '3');
    assert!(sees(&app, "Tree comes as soon as it is made ready"));
    assert!(!app.settle());
    let work = app.take_work().unwrap();
    press_only(&mut app, '↓');
    assert!(app.take_work().is_none() && sees(&app, "C FUNCTION"));
    work.run(|| ());
    assert!(app.settle() && !app.settle());
    assert!(sees(&app, "CALLS FROM GO'S ROOTS DOWN"));
    press_only(&mut app, 'i');
    assert!(sees(&app, "CALLS FROM GO'S ROOTS DOWN"));
    settle(&mut app);
    assert!(sees(&app, "C FUNCTIONS AND THEIR CALLERS"));
}

#[test]
fn esc_ends_waiting_for_a_screen_and_nothing_else() {
    let mut app = app("sqlite", Colours::None, SIZES[0]);
    press(&mut app, "/bind\n");
    press_only(&mut app, '3');
    press_only(&mut app, '\u{1b}');
    settle(&mut app);
    let screen = text(&app, SIZES[0]);
    assert!(screen.contains("C FUNCTION") && !screen.contains("step_row"), "{screen}");
}

#[test]
fn another_screen_than_the_awaited_one_is_shown_instead() {
    let mut app = app("sqlite", Colours::None, SIZES[0]);
    press_only(&mut app, '3');
    press_only(&mut app, '6');
    let work = app.take_work().unwrap();
    press_only(&mut app, '/');
    work.run(|| ());
    assert!(!app.settle() && sees(&app, "C FUNCTION"), "threads are still missing");
    settle(&mut app);
    assert!(sees(&app, "C FUNCTION"), "while something is typed no other screen comes");
    press_only(&mut app, '\u{1b}');
    assert!(app.settle() && sees(&app, "LockOSThread"));
}

#[test]
fn a_span_is_called_one_when_it_is_shown() {
    let mut app = app("busy", Colours::None, SIZES[0]);
    press(&mut app, "5nm→→→→→→→→→→");
    press_only(&mut app, 'm');
    assert!(!sees(&app, "SPAN of"));
    let work = app.take_work().unwrap();
    press_only(&mut app, '\u{1b}');
    work.run(|| ());
    app.settle();
    assert!(!sees(&app, "SPAN of"), "nobody wants it any more");
    press(&mut app, "m→→→→→→→→→→m");
    assert!(sees(&app, "SPAN of"));
    press_only(&mut app, '3');
    assert!(sees(&app, "SPAN of"));
    settle(&mut app);
    assert!(sees(&app, "CALLS FROM GO'S ROOTS DOWN"));
}

#[test]
fn what_comes_while_something_is_made_is_shown_thereafter() {
    let (mut app, mut after) = watched();
    let shows = |app: &App, seconds: u64| sees(app, &format!("crossings in {seconds}.00 s"));
    app.update(after(2));
    assert!(shows(&app, 2), "nothing is to be made");
    press_only(&mut app, '3');
    let work = app.take_work().unwrap();
    app.update(after(3));
    app.update(after(4));
    assert!(shows(&app, 2) && sees(&app, "C FUNCTION"));
    work.run(|| ());
    assert!(app.settle() && shows(&app, 2) && sees(&app, "CALLS FROM"));
    settle(&mut app);
    assert!(shows(&app, 4));
    app.update(after(5));
    assert!(shows(&app, 4) && sees(&app, "LIVE, 1 s ago"), "its tree is missing");
    press_only(&mut app, '1');
    settle(&mut app);
    assert!(shows(&app, 5));
}

#[test]
fn what_has_begun_to_be_made_is_not_overtaken() {
    let (mut app, mut after) = watched();
    press_only(&mut app, '3');
    let work = app.take_work().unwrap();
    app.update(after(2));
    "zzz".chars().for_each(|key| press_only(&mut app, key));
    settle(&mut app);
    assert!(sees(&app, "C FUNCTION"), "one after the other");
    work.run(|| ());
    app.settle();
    assert!(!sees(&app, "since z"), "that was of before");
    settle(&mut app);
    let screen = text(&app, SIZES[0]);
    assert!(screen.contains("since z") && screen.contains("GO'S ROOTS DOWN"), "{screen}");
}

#[test]
fn a_file_that_is_being_made_is_waited_for() {
    let mut app = app("sqlite", Colours::None, SIZES[0]);
    press(&mut app, "4");
    "eqe".chars().for_each(|key| press_only(&mut app, key));
    assert!(!app.leaves() && sees(&app, "another file is still being made"));
    settle(&mut app);
    assert!(app.leaves() && matches!(app.take_effects()[..], [Effect::Write(_)]));
    app.fail("no room".into());
    assert!(!app.leaves() && sees(&app, "no room"), "it is seen that there is none");
    press_only(&mut app, 'e');
    app.handle(&Event::Key(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)));
    assert!(app.leaves() && app.take_work().is_none(), "but not after Ctrl-C");
}

#[test]
fn a_screen_comes_after_something_that_nobody_wants_any_more() {
    let mut app = app("busy", Colours::None, SIZES[0]);
    press(&mut app, "5nm→→→→→→→→→→");
    press_only(&mut app, 'm');
    let span = app.take_work().unwrap();
    press_only(&mut app, '\u{1b}');
    press_only(&mut app, '3');
    settle(&mut app);
    assert!(sees(&app, "Tree comes as soon as"), "the span is still being made");
    span.run(|| ());
    app.settle();
    settle(&mut app);
    assert!(sees(&app, "CALLS FROM GO'S ROOTS DOWN"));
}

#[test]
fn all_is_shown_after_something_that_nobody_wants_any_more() {
    let (mut app, mut after) = watched();
    press(&mut app, "3z");
    app.update(after(2));
    let part = app.take_work().unwrap();
    press_only(&mut app, 't');
    settle(&mut app);
    assert!(sees(&app, "since z"), "the next part is still being made");
    part.run(|| ());
    app.settle();
    settle(&mut app);
    assert!(!sees(&app, "since z") && sees(&app, "crossings in 2.00 s") && sees(&app, "GO'S ROOTS DOWN"));
}
