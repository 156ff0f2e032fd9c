//! Notes of engines: their limits, in words for the user.

/// Note where samples may not be taken in the kernel.
pub(super) const WITHOUT_KERNEL: &str = "samples leave out what happens in the kernel: seeing that takes root, or \
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
