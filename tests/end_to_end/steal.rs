//! Time that the machine's host takes from busy processors. It is in our processor times and not in a thread's own clock, and
//! the kernel tells nobody whose it was.

/// What the host has taken from all processors since the machine's start: proc_stat(5), in hundredths of a second.
pub(crate) fn stolen_nanos() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").expect("/proc/stat");
    let all = stat.lines().next().expect("a line of all processors");
    all.split_whitespace().nth(8).map_or(0.0, |steal| steal.parse::<f64>().expect("a number") * 1e7)
}
