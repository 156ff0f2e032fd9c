//! Threads of ours, which the system may refuse.

use std::io;
use std::sync::mpsc;
use std::thread;

/// There can be no more threads.
#[derive(Debug, thiserror::Error)]
#[error("the system refuses more threads or processes: {0} (ulimit -u, or pids.max of a control group)")]
pub struct NoThread(#[from] io::Error);

/// Makes sure that there can be so many threads more, by making them.
///
/// # Errors
/// If there can't.
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
