//! Programs on a terminal: tmux is one that can be typed on and read.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A terminal with a shell; closed when it is dropped.
pub struct Tmux {
    /// Each on a server of its own.
    server: String,
}

/// How long a screen may take to show what is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

impl Tmux {
    /// A terminal of so many columns and rows.
    pub fn new(columns: u16, rows: u16) -> Tmux {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let server = format!("cgoprof-tests-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let tmux = Tmux { server };
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let shell = "env -u NO_COLOR PS1='$ ' sh";
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", &columns, "-y", &rows, shell]);
        tmux
    }

    fn run(&self, args: &[&str]) -> String {
        let output = Command::new("tmux").args(["-u", "-L", &self.server]).args(args).output();
        let output = output.expect("tmux runs: tests/install-toolchains installs it");
        assert!(output.status.success(), "tmux {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Types a command line.
    pub fn command(&self, line: &str) {
        self.run(&["send-keys", "-l", line]);
        self.keys(&["Enter"]);
    }

    /// Presses keys, by tmux's names.
    pub fn keys(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    /// What is to be seen.
    pub fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// The same with the sequences that colour it.
    pub fn screen_with_styles(&self) -> String {
        self.run(&["capture-pane", "-p", "-e"])
    }

    /// Waits until a text is to be seen; returns all that is.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_until(&format!("\"{text}\""), |screen| screen.contains(text))
    }

    /// Waits until what is to be seen is as it should be; returns all of it.
    pub fn wait_until(&self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if holds(&screen) {
                return screen;
            }
            assert!(Instant::now() < deadline, "no {what} on the screen:\n{screen}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses a key and waits for what it brings.
    pub fn press(&self, key: &str, text: &str) -> String {
        self.keys(&[key]);
        self.wait_for(text)
    }

    /// Whether the terminal is as a shell needs it: lines are edited and shown, and no other screen covers the first.
    pub fn check_given_back(&self) {
        self.command("stty -a; echo given back");
        let screen = self.wait_for("\ngiven back");
        let modes: Vec<&str> = screen.split([' ', ';', '\n']).collect();
        assert!(modes.contains(&"icanon") && modes.contains(&"echo") && modes.contains(&"isig"), "{screen}");
        let state = self.run(&["display-message", "-p", "#{alternate_on} #{mouse_any_flag} #{cursor_flag}"]);
        assert_eq!(state.trim(), "0 0 1", "alternate screen, mouse, cursor");
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let _ = Command::new("tmux").args(["-L", &self.server, "kill-server"]).output();
    }
}
