//! Notes of engines: their limits, in words for the user.

use nix::unistd::geteuid;

use super::Settings;
use crate::correlate::waits::WaitsMode;
use crate::perf::{Session, SwitchesUnsampled};

/// Returns the notes on what a session does not see.
pub(super) fn unseen(settings: Settings, session: &Session) -> Vec<String> {
    let kernel = (settings.frequency > 0 && !session.sees_kernel()).then(|| WITHOUT_KERNEL.to_owned());
    let unsampled = session.switches_unsampled().filter(|_| settings.waits == WaitsMode::Every);
    kernel.into_iter().chain(unsampled.map(not_every_wait)).collect()
}

/// Returns the note on waits that are looked at, where every one was to be seen.
fn not_every_wait(unsampled: SwitchesUnsampled) -> String {
    let why = match unsampled {
        SwitchesUnsampled::NotWanted => "this engine does not see where C waits",
        SwitchesUnsampled::NoSymbols if geteuid().is_root() => {
            "the kernel hides the addresses of its functions; `sysctl kernel.kptr_restrict=0`, and in a container \
             --cap-add=SYSLOG, shows them"
        }
        // Both settings decide on the addresses too.
        SwitchesUnsampled::Forbidden | SwitchesUnsampled::NoSymbols => {
            "that takes root, or `sysctl kernel.perf_event_paranoid=1 kernel.kptr_restrict=0`"
        }
        SwitchesUnsampled::NoMemory => "it needs more locked memory than this user has left; raise `ulimit -l`",
        SwitchesUnsampled::NoFiles => "it needs more open files than this user may have; raise `ulimit -n`",
    };
    format!("not every wait is seen (--waits every): {why}")
}

/// Note where samples may not be taken in the kernel.
const WITHOUT_KERNEL: &str = "samples leave out what happens in the kernel: seeing that takes root, or \
                                         `sysctl kernel.perf_event_paranoid=1`";

/// Returns the note on a library with a Go runtime of its own that is recorded too.
pub(super) fn own_runtime(name: &str) -> String {
    format!("{name} has a Go runtime of its own, which numbers its goroutines independently")
}

/// Returns the note on crossings that a module made before its hooks were in place.
pub(super) fn missed(name: &str, crossings: u64) -> Option<String> {
    let were = if crossings == 1 { "1 crossing was".into() } else { format!("about {crossings} crossings were") };
    let note = || format!("{were} made by {name} between its loading and the recorder's hooks there: not counted");
    (crossings > 0).then(note)
}

/// Returns the note on such crossings where their number is not known.
pub(super) fn before_recorder(name: &str) -> String {
    format!("crossings that {name} made between its loading and the recorder's hooks or probes there are not counted")
}
