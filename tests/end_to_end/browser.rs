//! Pages as a browser shows them.

use std::path::Path;
use std::process::Command;

use cgoprof_testing::recording::succeeds;

/// Returns a page as headless Chromium has it after its scripts have run.
pub(crate) fn page_of(url: &str, browsers_own: &Path, options: &[&str]) -> String {
    let mut chromium = Command::new("chromium");
    chromium.args(["--headless", "--no-sandbox", "--no-first-run", "--disable-background-networking"]).args(options);
    chromium.arg("--virtual-time-budget=3000").arg("--dump-dom");
    chromium.arg(format!("--user-data-dir={}", browsers_own.display()));
    let output = succeeds(chromium.arg(url));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
