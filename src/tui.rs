//! `cgoprof tui`: shows a recording on interactive screens.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use cgoprof_profile::Profile;
use cgoprof_viewer::tui::terminal::{Host, HostEvent, show};
use cgoprof_viewer::tui::{App, Colours};

use crate::profile_file;
use crate::screen::{self, Sources};

/// Show a profile on interactive screens
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Profile to show
    #[arg(default_value = profile_file::DEFAULT)]
    file: PathBuf,
    #[command(flatten)]
    process_filter: profile_file::ProcessFilter,
    /// Profile to compare with
    #[arg(long, value_name = "FILE")]
    base: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let profile = args.process_filter.read(&args.file)?;
    let base = read_base(args.base.as_deref(), &args.process_filter)?;
    let output = screen::open()?;
    let orders = screen::Orders::listen()?;
    let app = App::new(args.file.display().to_string(), profile, colours(), Box::new(Sources));
    let mut app = match base {
        Some((name, base)) => app.with_base(name, base),
        None => app,
    };
    std::thread::spawn(app.preparation());
    show(&mut app, &mut Recorded { orders }, output)?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the colours that the terminal can show.
pub(crate) fn colours() -> Colours {
    Colours::of_environment(|name| std::env::var(name).ok())
}

/// Reads the profile to compare with, or the same part of it. Returns its name too.
pub(crate) fn read_base(
    path: Option<&Path>,
    of: &profile_file::ProcessFilter,
) -> anyhow::Result<Option<(String, Profile)>> {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    path.map(|path| Ok((name(path), of.read(path)?))).transpose()
}

/// A finished recording, which has no events.
struct Recorded {
    orders: screen::Orders,
}

impl Host for Recorded {
    fn events(&mut self) -> Vec<HostEvent> {
        Vec::new()
    }

    fn is_over(&self) -> bool {
        self.orders.are_to_leave()
    }

    fn save(&mut self, _: &Profile) -> Result<PathBuf, String> {
        Err("this is a recording already".into())
    }
}
