//! The kernel's view of the target's threads: samples of what they run, and when they lose the processor.
//!
//! One event on each processor, inherited by every thread; its ring also carries switches, the ends of threads and new
//! executable mappings. No root is needed for one's own processes while `perf_event_paranoid` is 2 or less.

mod attributes;
mod record;
mod ring;

use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use linux_perf_event_reader::RecordParseInfo;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::EventFd;
use nix::unistd::Pid;
use perf_event::Counter;

pub(crate) use attributes::Frequency;
pub(crate) use record::{Record, Sample};
use ring::Ring;

/// Why there are no samples and no switches.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PerfError {
    /// Forbidden by the system's setting, or in a container.
    #[error("perf events are not permitted (perf_event_paranoid is {paranoid})")]
    Forbidden {
        /// `/proc/sys/kernel/perf_event_paranoid`.
        paranoid: String,
    },
    /// The rings are memory that counts.
    #[error("perf events need more locked memory than this user has left (`ulimit -l`, kernel.perf_event_mlock_kb)")]
    Memory,
    /// Not there, or out of something.
    #[error("perf events can't be had: {0}")]
    System(#[from] std::io::Error),
}

impl PerfError {
    /// How they can be had.
    pub(crate) fn way_out(&self) -> &'static str {
        match self {
            PerfError::Memory => "end other recordings, raise `ulimit -l`, or run as root",
            PerfError::Forbidden { .. } | PerfError::System(_) => {
                "sysctl kernel.perf_event_paranoid=2; in a container: --cap-add=PERFMON; else run as root"
            }
        }
    }
}

/// The rings of one target.
pub(crate) struct Session {
    rings: Vec<Ring>,
    format: RecordParseInfo,
    pid: Pid,
    waker: Arc<EventFd>,
    /// Whether samples are taken in the kernel too.
    pub(crate) sees_kernel: bool,
}

/// Pages of data in each ring, the most first: as many as the user may lock (`perf_event_mlock_kb`, 516 by default).
const PAGES: [usize; 4] = [128, 64, 32, 16];

impl Session {
    /// Watches a process that has one thread, and every thread it will have.
    ///
    /// # Errors
    /// See [`PerfError`].
    pub(crate) fn open(pid: Pid, frequency: Frequency) -> Result<Session, PerfError> {
        match Self::open_with(pid, frequency, true) {
            Err(PerfError::Forbidden { .. }) => Self::open_with(pid, frequency, false),
            done => done,
        }
    }

    fn open_with(pid: Pid, frequency: Frequency, sees_kernel: bool) -> Result<Session, PerfError> {
        let sizes = PAGES.into_iter().map(|pages| Self::open_sized(pid, frequency, sees_kernel, pages));
        let mut opened = sizes.skip_while(|opened| matches!(opened, Err(PerfError::Memory)));
        opened.next().unwrap_or(Err(PerfError::Memory))
    }

    fn open_sized(pid: Pid, frequency: Frequency, sees_kernel: bool, pages: usize) -> Result<Session, PerfError> {
        let mut rings = Vec::new();
        for cpu in online_cpus()? {
            let ring = match open_event(pid, cpu, frequency, sees_kernel, pages) {
                Ok(counter) => Ring::map(counter, pages).map_err(|error| match error {
                    Errno::EPERM => PerfError::Memory,
                    error => PerfError::System(error.into()),
                })?,
                // A processor that has gone since.
                Err(error) if error.raw_os_error() == Some(libc::ENODEV) => continue,
                Err(error) => return Err(refused(error)),
            };
            rings.push(ring);
        }
        let mut builder = attributes::builder(pid, 0, frequency, sees_kernel, pages);
        let format = attributes::format(builder.attrs_mut())?;
        let waker = Arc::new(EventFd::new().map_err(std::io::Error::from)?);
        Ok(Session { rings, format, pid, waker, sees_kernel })
    }

    /// What ends a wait, when written to.
    pub(crate) fn waker(&self) -> Arc<EventFd> {
        Arc::clone(&self.waker)
    }

    /// Waits until a ring has filled a little, at most so long.
    pub(crate) fn wait(&mut self, timeout: Duration) {
        let live = self.rings.iter().filter(|ring| !ring.ended).map(|ring| ring.as_fd());
        let mut ready: Vec<PollFd<'_>> =
            live.chain([self.waker.as_fd()]).map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let _ = poll(&mut ready, PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX));
        // An event whose process has ended, or become another program, would end every wait at once.
        let ended = PollFlags::POLLHUP | PollFlags::POLLERR;
        let over: Vec<bool> =
            ready.iter().map(|fd| fd.revents().is_some_and(|found| found.intersects(ended))).collect();
        for (ring, over) in self.rings.iter_mut().filter(|ring| !ring.ended).zip(over) {
            ring.ended = over;
        }
    }

    /// Hands out what has come since the last time; of each thread in order, of different ones not.
    pub(crate) fn read(&mut self, mut visit: impl FnMut(Record<'_>)) {
        for ring in &mut self.rings {
            ring.drain(|bytes| {
                if let Some(record) = record::parse(bytes, &self.format, self.pid) {
                    visit(record);
                }
            });
        }
    }
}

/// The event of one processor; an older kernel's is inherited by child processes too, whose records are left out.
fn open_event(pid: Pid, cpu: usize, frequency: Frequency, sees_kernel: bool, pages: usize) -> std::io::Result<Counter> {
    let builder = || attributes::builder(pid, cpu, frequency, sees_kernel, pages);
    match builder().build() {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            let mut builder = builder();
            builder.inherit_thread(false).remove_on_exec(false);
            builder.build()
        }
        done => done,
    }
}

fn refused(error: std::io::Error) -> PerfError {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EACCES | Errno::EPERM) => {
            let paranoid = std::fs::read_to_string("/proc/sys/kernel/perf_event_paranoid").unwrap_or_default();
            PerfError::Forbidden { paranoid: paranoid.trim().to_owned() }
        }
        _ => PerfError::System(error),
    }
}

fn online_cpus() -> std::io::Result<Vec<usize>> {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    cpu_list(text.trim()).ok_or_else(|| std::io::Error::other(format!("unknown list of processors: {text}")))
}

/// The processors of a list such as `0-3,8`.
fn cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last < first || last > 1 << 16 {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        let check = |text: &str, expected: Option<Vec<usize>>| assert_eq!(cpu_list(text), expected, "{text}");
        check("0", Some(vec![0]));
        check("0-1", Some(vec![0, 1]));
        check("0-2,5,7-8", Some(vec![0, 1, 2, 5, 7, 8]));
        check("", None);
        check("3-1", None);
        check("0-99999999999", None);
    }
}
