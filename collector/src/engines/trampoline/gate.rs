//! The gate at which processes leave the program, so that the recorder can follow them (`hook/src/gate.rs`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use cgoprof_hook::layout::arrival;
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::Pid;

use super::tables::Tables;

/// The gate of a program.
pub(crate) struct Gate {
    pid: Pid,
    tables: Arc<Tables>,
    is_open: AtomicBool,
    /// Written to when somebody waits.
    waker: OnceLock<Arc<EventFd>>,
    /// Whether the process has become another program, which is followed.
    has_left: AtomicBool,
    /// Written to when it has.
    left: EventFd,
}

/// Somebody who waits at a gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Arrival {
    state: u32,
    pub(crate) kind: ArrivalKind,
    /// Its number in its own PID namespace.
    pub(crate) number: i32,
}

/// What waits at a gate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ArrivalKind {
    /// A child of the program, before it executes another.
    Forked,
    /// A thread that is about to execute another program.
    Executes,
    /// A thread that could not.
    Stays,
}

impl Gate {
    /// The gate of a program, which is open if somebody is to be waited for.
    ///
    /// # Errors
    /// If the system refuses an eventfd.
    pub(super) fn new(pid: Pid, tables: Arc<Tables>, is_open: bool) -> nix::Result<Gate> {
        let left = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?;
        Ok(Gate { pid, tables, is_open: is_open.into(), waker: OnceLock::new(), has_left: false.into(), left })
    }

    /// Returns the program.
    pub(crate) fn pid(&self) -> Pid {
        self.pid
    }

    /// Whether somebody may wait there.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Acquire)
    }

    /// Whether the process has become another program, which is followed.
    pub(crate) fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Acquire)
    }

    /// Returns the eventfd that is written to when the process has become another program.
    pub(crate) fn left(&self) -> &EventFd {
        &self.left
    }

    /// Notes that the process has become another program.
    pub(crate) fn note_left(&self) {
        self.has_left.store(true, Ordering::Release);
        let _ = self.left.write(1);
    }

    /// Has an eventfd written to when somebody waits.
    pub(crate) fn wake(&self, waker: Arc<EventFd>) {
        let _ = self.waker.set(waker);
    }

    /// Closes it for good. Who waits there goes on.
    pub(crate) fn close(&self) {
        self.is_open.store(false, Ordering::Release);
        self.tables.close_gate();
        self.wake_follower();
    }

    fn wake_follower(&self) {
        if let Some(waker) = self.waker.get() {
            // One that is full wakes too.
            let _ = waker.write(1);
        }
    }

    /// Looks whether somebody waits. Opens it again if somebody has waited in vain, and closed it.
    pub(super) fn look(&self) {
        if !self.is_open() {
            return;
        }
        self.tables.open_gate();
        if !self.is_open() {
            self.tables.close_gate();
        }
        if self.arrival().is_some() {
            self.wake_follower();
        }
    }

    /// Returns who waits there. The program may have written anything.
    pub(crate) fn arrival(&self) -> Option<Arrival> {
        let state = self.tables.gate_state();
        let kind = match state % arrival::NUMBER {
            arrival::FORKED => ArrivalKind::Forked,
            arrival::EXECUTES => ArrivalKind::Executes,
            arrival::STAYS => ArrivalKind::Stays,
            _ => return None,
        };
        Some(Arrival { state, kind, number: (state / arrival::NUMBER) as i32 })
    }

    /// Lets one that waits there go on.
    pub(crate) fn pass(&self, arrival: Arrival) {
        self.tables.pass_gate(arrival.state);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use cgoprof_hook::layout::ARENA_OFFSET;
    use cgoprof_symbols::Avma;

    use super::*;

    /// State of a gate where a child waits.
    const FORKED: u32 = (4711 * arrival::NUMBER) | arrival::FORKED;

    fn gate(is_open: bool) -> Gate {
        let file: File = tempfile::tempfile().expect("a file");
        let size = ARENA_OFFSET + (1 << 20);
        let tables = Tables::map(file, size, Avma(0), 0, Pid::this()).expect("tables");
        Gate::new(Pid::this(), Arc::new(tables), is_open).expect("a gate")
    }

    #[test]
    fn who_waits_is_told_of_and_goes_on() {
        let (gate, waker) = (gate(true), Arc::new(EventFd::new().expect("an eventfd")));
        gate.wake(waker.clone());
        gate.look();
        assert_eq!(gate.arrival(), None);
        for (kind, expected) in [
            (arrival::FORKED, ArrivalKind::Forked),
            (arrival::EXECUTES, ArrivalKind::Executes),
            (arrival::STAYS, ArrivalKind::Stays),
        ] {
            let state = (4711 * arrival::NUMBER) | kind;
            assert!(gate.tables.come_to_gate(state));
            gate.look();
            let found = gate.arrival().expect("one waits");
            assert_eq!((found.kind, found.number, waker.read()), (expected, 4711, Ok(1)));
            gate.pass(found);
            assert_eq!(gate.arrival(), None);
        }
    }

    #[test]
    fn a_gate_that_was_closed_in_vain_is_opened_again_and_one_that_is_closed_stays_closed() {
        let gate = gate(true);
        gate.look();
        gate.tables.close_gate();
        assert!(!gate.tables.come_to_gate(FORKED));
        gate.look();
        assert!(gate.tables.come_to_gate(FORKED));
        gate.close();
        gate.look();
        assert!(gate.arrival().is_none() && !gate.tables.come_to_gate(FORKED));
    }
}
