//! Screens that panic after a moment, for the test that the terminal is given back then: `panicking FILE`.

use std::fs::File;
use std::path::PathBuf;

use cgoprof_profile::{Profile, decode};
use cgoprof_viewer::tui::terminal::{Host, HostEvent, show};
use cgoprof_viewer::tui::{App, Colours, Files};

struct Nothing;

impl Files for Nothing {
    fn lines(&self, _: &str) -> Option<Vec<String>> {
        None
    }
}

struct Panicking {
    turns: u32,
}

impl Host for Panicking {
    fn events(&mut self) -> Vec<HostEvent> {
        self.turns += 1;
        assert!(self.turns < 10, "a panic amid the screens");
        Vec::new()
    }

    fn is_over(&self) -> bool {
        false
    }

    fn save(&mut self, _: &Profile) -> Result<PathBuf, String> {
        Err("nothing is saved".into())
    }
}

fn main() -> std::io::Result<()> {
    let file = std::env::args_os().nth(1).expect("usage: panicking FILE");
    let profile = decode(&std::fs::read(file)?).expect("a profile");
    let mut app = App::new("a recording".into(), profile, Colours::Sixteen, Box::new(Nothing));
    let terminal = File::options().read(true).write(true).open("/dev/tty")?;
    show(&mut app, &mut Panicking { turns: 0 }, terminal)
}
