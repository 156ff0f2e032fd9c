//! The terminal: taken over and given back, whatever happens.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use cgoprof_profile::Profile;
use crossterm::clipboard::CopyToClipboard;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture,
};
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{cursor, execute};

use super::app::App;
use super::effect::{Effect, NewFile};
use super::state::background::Work;
use super::update::Update;

/// What the world is to the screens.
pub trait Host {
    /// What has come since it was last asked.
    fn events(&mut self) -> Vec<HostEvent>;
    /// Whether we have been told to leave.
    fn is_over(&self) -> bool;
    /// Writes the recording of a program that is watched; returns where to.
    ///
    /// # Errors
    /// In words.
    fn save(&mut self, profile: &Profile) -> Result<PathBuf, String>;
}

/// What comes of a program that is watched.
pub enum HostEvent {
    /// What it has done so far.
    Update(Update),
    /// It has ended, or the recording of it.
    End(String),
}

/// Milliseconds that keys are waited for before news are looked at.
const TURN: u8 = 50;

/// As long as this nobody sees that they wait.
const SOON: Duration = Duration::from_millis(10);

/// A terminal that was taken over, to be given back by whoever panics too.
static TAKEN: Mutex<Option<File>> = Mutex::new(None);

/// What another thread said when it panicked: it has no screen to say it on.
static PANICKED: Mutex<Option<String>> = Mutex::new(None);

/// Shows the screens until somebody leaves them. `output` is the terminal.
///
/// # Errors
/// If the terminal can't be used.
pub fn show(app: &mut App, host: &mut dyn Host, output: File) -> io::Result<()> {
    *lock() = Some(output.try_clone()?);
    let (hook, ours) = (std::panic::take_hook(), std::thread::current().id());
    std::panic::set_hook(Box::new(move |panic| {
        if std::thread::current().id() == ours {
            give_back();
            hook(panic);
        } else {
            *panicked() = Some(panic.to_string());
        }
    }));
    let done = take_over(&output).and_then(|()| event_loop(app, host, output));
    give_back();
    let _ = std::panic::take_hook();
    done
}

fn lock() -> std::sync::MutexGuard<'static, Option<File>> {
    TAKEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn panicked() -> std::sync::MutexGuard<'static, Option<String>> {
    PANICKED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn take_over(mut output: &File) -> io::Result<()> {
    enable_raw_mode()?;
    execute!(output, EnterAlternateScreen, EnableMouseCapture, EnableBracketedPaste, cursor::Hide)
}

fn give_back() {
    if let Some(mut output) = lock().take() {
        let _ = execute!(output, DisableBracketedPaste, DisableMouseCapture, LeaveAlternateScreen, cursor::Show);
        let _ = disable_raw_mode();
    }
}

fn event_loop(app: &mut App, host: &mut dyn Host, output: File) -> io::Result<()> {
    let (copied_to, keys) = (output.try_clone()?, output.try_clone()?);
    let mut terminal = Terminal::new(CrosstermBackend::new(BufWriter::with_capacity(1 << 16, output)))?;
    app.resize(terminal.size()?);
    let (mut changed, mut newest) = (true, Instant::now());
    while !app.leaves() && !host.is_over() {
        if let Some(panic) = panicked().take() {
            return Err(io::Error::other(panic));
        }
        for news in host.events() {
            match news {
                HostEvent::Update(update) => {
                    newest = Instant::now();
                    app.update(update);
                }
                HostEvent::End(why) => app.end(why),
            }
            changed = true;
        }
        changed |= app.grow_old(newest.elapsed());
        changed |= app.settle();
        while let Some(work) = app.take_work() {
            elsewhere(work);
            changed |= app.settle();
        }
        if changed {
            terminal.draw(|frame| {
                let area = frame.area();
                super::view::draw(app, area, frame.buffer_mut());
            })?;
        }
        changed = false;
        if !wait_for_input(&keys)? {
            return Ok(());
        }
        // All that has been typed or turned by now is one picture.
        while event::poll(Duration::ZERO)? {
            changed |= app.handle(&event::read()?);
            if app.leaves() {
                break;
            }
        }
        for effect in app.take_effects() {
            changed = true;
            let said = match effect {
                Effect::Copy(text) => copy(&copied_to, &text)
                    .map(|()| format!("sent to the terminal's clipboard: {text}"))
                    .map_err(|error| error.to_string()),
                Effect::Write(file) => write(&file).map(|path| format!("written {path}")),
                Effect::Save => host.save(app.profile()).map(|path| format!("written {}", path.display())),
            };
            match said {
                Ok(said) => app.say(said),
                Err(why) => app.fail(format!("failed: {why}")),
            }
        }
    }
    Ok(())
}

/// Has something done on another thread. What is soon done is waited for, so that no picture is drawn without it.
fn elsewhere(work: Work) {
    let (done, soon) = mpsc::channel();
    std::thread::spawn(move || {
        work.run(|| {
            let _ = done.send(());
        });
    });
    let _ = soon.recv_timeout(SOON);
}

/// Waits a turn for keys. Returns whether the terminal is still there: crossterm 0.29 reads on and on from one that is not.
fn wait_for_input(terminal: &File) -> io::Result<bool> {
    let mut ready = [PollFd::new(terminal.as_fd(), PollFlags::POLLIN)];
    match poll(&mut ready, PollTimeout::from(TURN)) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(error) => return Err(error.into()),
    }
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR | PollFlags::POLLNVAL;
    Ok(!ready[0].revents().is_some_and(|events| events.intersects(gone)))
}

/// Asks the terminal to put a text on the clipboard (OSC 52): that reaches the user's own also over ssh.
fn copy(mut output: impl Write, text: &str) -> io::Result<()> {
    execute!(output, CopyToClipboard::to_clipboard_from(text))
}

/// Names tried before it is given up.
const MOST_NAMES: u32 = 1000;

/// Writes a file of a name that is not there yet. Returns the name.
fn write(file: &NewFile) -> Result<String, String> {
    for number in 1..=MOST_NAMES {
        let number = if number == 1 { String::new() } else { format!("-{number}") };
        let name = format!("{}{number}.{}", file.stem, file.extension);
        match File::create_new(&name) {
            Ok(mut out) => {
                return out
                    .write_all(&file.contents)
                    .map(|()| name.clone())
                    .map_err(|error| format!("{name}: {error}"));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(format!("{name}: {error}")),
        }
    }
    Err(format!("there are {MOST_NAMES} files called {} already", file.stem))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_sent_to_the_clipboard() {
        let mut sent = Vec::new();
        copy(&mut sent, "sqlite3_step").unwrap();
        assert_eq!(sent, b"\x1b]52;c;c3FsaXRlM19zdGVw\x1b\\");
    }
}
