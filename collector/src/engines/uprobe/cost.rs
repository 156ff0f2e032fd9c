//! Cost of a probe to the thread that hits it, measured on a thread of the recorder. Every time between two probes
//! contains it.

use cgoprof_symbols::{Avma, FileOffset};
use nix::unistd::{Pid, gettid};

use super::fetch::Fetch;
use super::tracefs::Definitions;
use super::{UprobeError, most_frames};

use crate::arch;
use crate::goruntime::Point;
use crate::perf::{Frequency, Record, Session, TracedProbe, Wanted};
use crate::process::maps;

/// Nanoseconds that a hit takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Cost {
    /// For [`Point::Called`], without its stack.
    called: f64,
    /// For each frame of a stack.
    frame: f64,
    /// For any other point.
    other: f64,
}

impl Cost {
    /// Returns the cost of a hit with this many frames.
    pub(crate) fn of(&self, point: Point, frames: usize) -> u64 {
        match point {
            Point::Called => (self.called + self.frame * frames as f64) as u64,
            _ => self.other as u64,
        }
    }

    /// Returns the cost of a crossing with a stack of ten frames, in nanoseconds.
    pub(crate) fn crossing(&self, timed: bool) -> f64 {
        self.called + 10.0 * self.frame + if timed { self.other } else { 0.0 }
    }
}

/// How much more probes cost in the program than in the recorder. A processor that shares its core with a busy one
/// takes up to half as much again. The shortest crossings tell, because all of their time is the probes'. If C itself
/// takes longer, that can't be told apart, and is in the error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    now: f64,
    least: f64,
    seen: u32,
    /// Crossings in windows that are over, and the sum over them of how much more probes cost.
    all: f64,
    dearer: f64,
}

impl Scale {
    /// Number of crossings of which the shortest is taken.
    const WINDOW: u32 = 128;
    const MOST: f64 = 1.6;

    /// Adds a crossing: the time from one probe to the other, and the probes' part of it, in nanoseconds.
    pub(crate) fn add(&mut self, between: u64, probes: u64) {
        self.least = self.least.min(between as f64 / probes.max(1) as f64);
        self.seen += 1;
        if self.seen == Self::WINDOW {
            let seen = f64::from(Self::WINDOW);
            let (all, dearer) = (self.all + seen, self.dearer + seen * (self.now - 1.0));
            *self = Scale { now: self.least.clamp(1.0, Self::MOST), least: f64::INFINITY, seen: 0, all, dearer };
        }
    }

    /// Returns a time without the probes' part of it.
    pub(crate) fn net(&self, between: u64, probes: u64) -> u64 {
        between.saturating_sub((self.now * probes as f64) as u64)
    }

    /// Returns how far off times may be on average, all alike, in nanoseconds.
    pub(crate) fn error(&self, cost: &Cost) -> f64 {
        let (all, dearer) = (self.all + f64::from(self.seen), self.dearer + f64::from(self.seen) * (self.now - 1.0));
        (dearer / all.max(1.0) + 0.1) * cost.called
    }
}

impl Default for Scale {
    fn default() -> Self {
        Scale { now: 1.0, least: f64::INFINITY, seen: 0, all: 0.0, dearer: 0.0 }
    }
}

/// Rounds for each depth of stack. A small ring holds the records of this many.
const ROUNDS: u64 = 500;

/// Probes on the recorder itself. Dropping them removes them, which takes the kernel a quarter of a second.
pub(super) struct Stage {
    session: Session,
    /// Frames of the deeper stack with which the thread passes the probes.
    frames: usize,
    _definitions: Definitions,
}

impl Stage {
    /// Sets probes like those of a program.
    pub(super) fn set(fetch: &Fetch) -> Result<Stage, UprobeError> {
        let mut definitions = Definitions::new()?;
        let [called, first, second] = arch::probe_places();
        let points = [
            (Point::Called, "called", called, fetch.called()),
            (Point::CallbackBegin, "first", first, String::new()),
            (Point::CallbackEnd, "second", second, String::new()),
        ];
        let own = maps::read(Pid::this()).map_err(UprobeError::Own)?;
        let mut probes = Vec::new();
        for (point, name, address, arguments) in points {
            let place = Avma(address);
            let mapping = own.iter().find(|mapping| mapping.range.contains(&place));
            let mapping = mapping.ok_or_else(|| UprobeError::Own(std::io::ErrorKind::NotFound.into()))?;
            let offset = FileOffset(place.0 - mapping.range.start.0 + mapping.offset.0);
            let number = definitions.add(name, "/proc/self/exe".as_ref(), offset, &arguments)?;
            let first = point == Point::Called;
            probes.push(TracedProbe {
                point,
                module: 0,
                number,
                frames: first.then_some(most_frames()),
                fetches: first,
            });
        }
        let wanted =
            Wanted { frequency: Frequency(0), kernel: false, only_samples: false, switches: false, before_exec: false };
        let mut session = Session::new(Pid::this(), wanted, probes)?;
        session.watch(gettid())?;
        let frames = usize::from(most_frames()).clamp(8, 40) - 4;
        Ok(Stage { session, frames, _definitions: definitions })
    }

    /// Passes the probes and measures them. Takes some milliseconds.
    ///
    /// # Errors
    /// If no probe is hit.
    pub(super) fn measure(&mut self) -> Result<Cost, UprobeError> {
        let (few, many) = (2, self.frames);
        let short = intervals(&mut self.session, few).ok_or(UprobeError::Silent)?;
        let long = intervals(&mut self.session, many).ok_or(UprobeError::Silent)?;
        let frame = ((long.0 - short.0) / (many - few) as f64).max(0.0);
        // The chain begins with the probe itself.
        Ok(Cost { called: (short.0 - frame * (few + 1) as f64).max(0.0), frame, other: short.1 })
    }
}

/// Returns the median times from the first point to the second, and from there to the third, with a stack of this many
/// frames.
fn intervals(session: &mut Session, depth: usize) -> Option<(f64, f64)> {
    let mut frames = vec![[0u64; 2]; depth];
    let base = frames.as_ptr();
    for (index, frame) in frames.iter_mut().enumerate() {
        let next = base.wrapping_add(index + 1).addr() as u64;
        *frame = [if index + 1 < depth { next } else { 0 }, 0x40_0000];
    }
    // g, m and the memory that they point to: every word leads here.
    let mut runtime = vec![0u64; 256];
    let here = runtime.as_ptr().addr() as u64;
    runtime.fill(here);
    // SAFETY: `frames` and `runtime` live until the call returns.
    unsafe { arch::probe_stage(ROUNDS, frames.as_ptr(), runtime.as_ptr()) };
    let mut last = None;
    let (mut called, mut other) = (Vec::new(), Vec::new());
    session.read(true, |record| {
        let Record::Hit(hit) = record else { return };
        match (last, hit.point) {
            (Some((Point::Called, since)), Point::CallbackBegin) => called.push(hit.time.0.saturating_sub(since)),
            (Some((Point::CallbackBegin, since)), Point::CallbackEnd) => other.push(hit.time.0.saturating_sub(since)),
            _ => {}
        }
        last = Some((hit.point, hit.time.0));
    });
    Some((median(&mut called)?, median(&mut other)?))
}

fn median(times: &mut [u64]) -> Option<f64> {
    times.sort_unstable();
    times.get(times.len() / 2).map(|&time| time as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_crossings_tell_what_probes_take() {
        let check = |what: &str, between: &[u64], expected: u64| {
            let mut scale = Scale::default();
            (0..Scale::WINDOW as usize).for_each(|index| scale.add(between[index % between.len()], 2000));
            assert_eq!(scale.net(5000, 2000), expected, "{what}");
        };
        check("as on ourselves", &[2005, 9000], 2995);
        check("a busy neighbour", &[2600, 2700, 9000], 2400);
        check("nothing is short", &[9000], 1800);
        check("less than on ourselves", &[1500], 3000);
        assert_eq!(Scale::default().net(5000, 2000), 3000, "nothing is known yet");
    }
}
