//! Restarts system calls that end with EINTR because their thread was stopped. The kernel restarts others itself
//! (signal(7), "Interruption of system calls and library functions by stop signals").

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use crate::arch::{Registers, SYS_EPOLL_WAIT, SYS_IO_PGETEVENTS};

/// Result with which the kernel restarts a call, unless a signal handler runs first: then the call ends with EINTR
/// (arch/x86/kernel/signal.c).
const ERESTARTNOHAND: i64 = -514;
const EINTR: i64 = -4;

/// Whether a restarted call would wait longer than it should.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    /// It waits without a time limit.
    Endless,
    /// It has a time limit, which would start anew.
    Limited,
}

/// Age below which a call may be restarted although its time limit starts anew.
const YOUNG: Duration = Duration::from_millis(100);

/// First stop of each thread in the last tenth of a second. A call that it waits in later was begun after that stop.
static STOOD: Mutex<Option<HashMap<Pid, Instant>>> = Mutex::new(None);
/// Number of remembered threads from which on stops that are too old are forgotten.
const MANY: usize = 4096;

/// Returns the registers with which a stopped thread restarts its system call; none if the call ends as it would, or
/// was not interrupted. One call with a time limit ends with EINTR, as under any tracer. Those of the next tenth of a
/// second are restarted.
pub(crate) fn taken_up(tid: Pid, registers: &Registers) -> Option<Registers> {
    let wait = wait(registers)?;
    let now = Instant::now();
    let mut stood = STOOD.lock().unwrap_or_else(PoisonError::into_inner);
    let stood = stood.get_or_insert_default();
    if stood.len() >= MANY && !stood.contains_key(&tid) {
        stood.retain(|_, when| now.duration_since(*when) < YOUNG);
    }
    let first = stood.entry(tid).or_insert(now);
    let is_young = *first != now && now.duration_since(*first) < YOUNG;
    if !is_young {
        *first = now;
    }
    (wait == Wait::Endless || is_young).then(|| registers.with_result(ERESTARTNOHAND))
}

/// Returns how long an interrupted call was to wait; none unless it is one that ends with EINTR because of a stop
/// alone.
fn wait(registers: &Registers) -> Option<Wait> {
    if registers.result() != EINTR {
        return None;
    }
    let until = |is_endless: bool| Some(if is_endless { Wait::Endless } else { Wait::Limited });
    let [_, _, third, fourth, fifth, _] = registers.arguments();
    match registers.system_call()? {
        SYS_EPOLL_WAIT | libc::SYS_epoll_pwait => until((fourth as i32) < 0),
        libc::SYS_epoll_pwait2 | libc::SYS_semtimedop => until(fourth == 0),
        libc::SYS_semop => until(true),
        libc::SYS_rt_sigtimedwait => until(third == 0),
        libc::SYS_io_getevents | SYS_IO_PGETEVENTS => until(fifth == 0),
        // Calls on sockets with SO_RCVTIMEO or SO_SNDTIMEO; without these, the kernel restarts them itself.
        libc::SYS_read
        | libc::SYS_readv
        | libc::SYS_recvfrom
        | libc::SYS_recvmsg
        | libc::SYS_accept
        | libc::SYS_accept4
        | libc::SYS_write
        | libc::SYS_writev
        | libc::SYS_sendto
        | libc::SYS_sendmsg => until(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers(call: i64, arguments: [u64; 6]) -> Registers {
        Registers::made_up([0; 3], call, arguments, EINTR)
    }

    #[test]
    fn calls_that_end_for_a_stop_and_how_long_they_wait() {
        let check = |call: i64, arguments: [u64; 6], expected: Option<Wait>| {
            let one = registers(call, arguments);
            assert_eq!(wait(&one), expected, "{call}");
            // A call that the kernel restarts itself, or that has a result, is left alone.
            for result in [0, 5, -11, ERESTARTNOHAND, -512, -516] {
                assert_eq!(wait(&one.with_result(result)), None, "{call} {result}");
            }
        };
        check(SYS_EPOLL_WAIT, [0, 0, 0, u64::from(u32::MAX), 0, 0], Some(Wait::Endless));
        check(SYS_EPOLL_WAIT, [0, 0, 0, 1000, 0, 0], Some(Wait::Limited));
        check(libc::SYS_semop, [0; 6], Some(Wait::Endless));
        check(libc::SYS_semtimedop, [0, 0, 0, 0x7000, 0, 0], Some(Wait::Limited));
        check(libc::SYS_rt_sigtimedwait, [0; 6], Some(Wait::Endless));
        check(libc::SYS_io_getevents, [0, 0, 0, 0, 0x7000, 0], Some(Wait::Limited));
        check(libc::SYS_recvfrom, [0; 6], Some(Wait::Limited));
        check(libc::SYS_close, [0; 6], None);
        check(-1, [0; 6], None);
    }

    #[test]
    fn a_call_with_a_time_limit_ends_once() {
        let taken_up = |tid: i32, call: i64| {
            let found = taken_up(Pid::from_raw(tid), &registers(call, [0; 6]));
            assert!(found.is_none_or(|one| (one.result(), one.system_call()) == (ERESTARTNOHAND, Some(call))));
            found.is_some()
        };
        const NOBODY: i32 = i32::MAX - 7;
        assert!(!taken_up(NOBODY, libc::SYS_recvfrom), "the first ends");
        assert!(taken_up(NOBODY, libc::SYS_recvfrom) && taken_up(NOBODY, SYS_EPOLL_WAIT));
        assert!(!taken_up(NOBODY - 1, libc::SYS_recvfrom), "another thread's");
        assert!(taken_up(NOBODY - 2, libc::SYS_semop));
        std::thread::sleep(YOUNG);
        assert!(!taken_up(NOBODY, libc::SYS_recvfrom), "it may have begun long ago");
    }
}
