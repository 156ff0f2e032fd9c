//! Threads of the recorder, which the system may refuse.

use std::io;
use std::sync::mpsc;
use std::thread;

/// The system refuses more threads.
#[derive(Debug, thiserror::Error)]
#[error("the system refuses more threads or processes: {0} (ulimit -u, or pids.max of a control group)")]
pub struct NoThread(#[from] io::Error);

/// Checks that the system allows this many more threads, by making them.
///
/// # Errors
/// If it refuses one.
pub(crate) fn check_room(threads: usize) -> Result<(), NoThread> {
    thread::scope(|scope| {
        let mut gates = Vec::new();
        for _ in 0..threads {
            // Each waits until the gates are dropped.
            let (gate, closed) = mpsc::channel::<()>();
            thread::Builder::new().spawn_scoped(scope, move || closed.recv().is_ok())?;
            gates.push(gate);
        }
        Ok(())
    })
}
