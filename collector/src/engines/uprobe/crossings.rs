//! Makes cells from hits of probes: which crossing each hit belongs to, which is nested in which, how long C took.
//! Pure.

use std::collections::HashMap;
use std::ops::Range;

use cgoprof_symbols::Avma;

use super::cost::{Cost, Scale};
use super::schedule::{Begun, GoroutineId, Schedule};
use crate::clock::Monotonic;
use crate::counts::cell_id::CellId;
use crate::counts::histogram::count;
use crate::counts::slow_event::{SlowEvent, SlowKind};
use crate::counts::snapshot::{CellCopy, CellFlags, InCSnapshot, InFlightCopy, Snapshot, ThreadEvents};
use crate::counts::timing_stats::Phase;
use crate::goruntime::Point;
use crate::perf::Hit;

/// Maximum cells kept; the crossings of more stacks are counted without their stacks.
const MOST_CELLS: usize = 100_000;
/// Maximum goroutines kept on their way back, unless more leave C within `LONGEST_EXIT` nanoseconds.
const MOST_LEAVING: usize = 100_000;
const LONGEST_EXIT: u64 = 10_000_000_000;
/// Maximum crossings nested in each other that are kept apart.
const DEEPEST: usize = 4096;

/// Places of the arguments that [`Point::Called`] fetches.
mod argument {
    pub(super) const FUNCTION: usize = 0;
    pub(super) const G: usize = 1;
    pub(super) const GOID: usize = 2;
    pub(super) const M_ID: usize = 3;
    pub(super) const LOCKS: usize = 4;
    /// Only where `asmcgocall` has no frame of its own.
    pub(super) const CALLER: usize = 5;
}

/// Facts that must be known of a Go module's code in memory.
#[derive(Clone, Debug)]
pub(crate) struct Landmarks {
    /// The runtime that it works with, by the number of the module that contains it.
    pub(crate) runtime: usize,
    /// Return address of `cgocall`'s call of `asmcgocall`.
    pub(crate) after_asmcgocall: Avma,
    /// Return address of `cgocall`'s call of `exitsyscall`.
    pub(crate) after_exitsyscall: Avma,
    /// Where a goroutine's stack ends and C's begins.
    pub(crate) cgocallback: Range<Avma>,
    /// Where a goroutine begins.
    pub(crate) goexit: Range<Avma>,
    /// Functions that make threads.
    pub(crate) newm1: Vec<Range<Avma>>,
    /// purego's trampoline. The first word of its argument is the C function.
    pub(crate) purego: Option<Avma>,
    /// `asmcgocall` has a frame of its own, so that its caller is in the chain of frame pointers.
    pub(crate) has_frame: bool,
    /// Maximum frames of a stack.
    pub(crate) max_frames: usize,
    /// Maximum words that the kernel gives of a stack.
    pub(crate) chain: usize,
    /// Nanoseconds in C that make a crossing a slow event.
    pub(crate) slow: u64,
    /// Whether [`Point::Returned`] is probed.
    pub(crate) timed: bool,
}

/// All crossings so far.
pub(crate) struct Crossings {
    /// Landmarks of each module.
    modules: Vec<Landmarks>,
    cost: Cost,
    scale: Scale,
    cells: Vec<CellCopy>,
    /// Places of cells, by the hash of their keys.
    index: HashMap<u64, Vec<u32>>,
    threads: HashMap<u64, Thread>,
    /// The stack of the last crossing, kept to reuse its memory.
    walked: Vec<Avma>,
    /// Cell of a goroutine's last crossing, and when C returned.
    leaving: HashMap<GoroutineId, (CellId, Monotonic)>,
    /// Slow crossings since they were last taken.
    events: Vec<SlowEvent>,
    /// Crossings whose threads ended in C.
    ended: Vec<InFlightCopy>,
    unattributed_direct: u64,
    folded: u64,
    foreign_callbacks: u64,
    schedule: Schedule,
}

/// One kernel thread.
#[derive(Default)]
struct Thread {
    /// `m.id` when it last crossed.
    m: Option<u64>,
    /// Crossings in flight, the outermost first.
    in_flight: Vec<InFlight>,
    /// Nanoseconds that the probes have taken from it so far.
    spent: u64,
}

#[derive(Clone, Copy)]
struct InFlight {
    cell: CellId,
    module: usize,
    direct: bool,
    goroutine: GoroutineId,
    called: Monotonic,
    /// [`Thread::spent`] before that.
    spent: u64,
    /// Nanoseconds in callbacks so far.
    callbacks: u64,
    /// When the running callback began, and [`Thread::spent`] by then.
    callback: Option<(Monotonic, u64)>,
}

/// Properties that tell one cell from another.
struct Key<'a> {
    function: Avma,
    stack: &'a [Avma],
    enclosing: CellId,
    flags: CellFlags,
}

impl Crossings {
    /// Returns a set without any crossing.
    pub(crate) fn new(first: Landmarks, cost: Cost) -> Self {
        Crossings {
            modules: vec![first],
            cost,
            scale: Scale::default(),
            cells: Vec::new(),
            index: HashMap::new(),
            threads: HashMap::new(),
            walked: Vec::new(),
            leaving: HashMap::new(),
            events: Vec::new(),
            ended: Vec::new(),
            unattributed_direct: 0,
            folded: 0,
            foreign_callbacks: 0,
            schedule: Schedule::default(),
        }
    }

    /// Adds a module. Its number is the number of modules before it.
    pub(crate) fn add_module(&mut self, landmarks: Landmarks) {
        self.modules.push(landmarks);
    }

    /// Number of modules.
    pub(crate) fn modules(&self) -> usize {
        self.modules.len()
    }

    fn timed(&self) -> bool {
        self.modules[0].timed
    }

    /// Adds a hit. Hits of one thread must come in the order of their times.
    pub(crate) fn add(&mut self, hit: &Hit<'_>) {
        if hit.module >= self.modules.len() {
            return;
        }
        let mut thread = std::mem::take(self.threads.entry(hit.tid).or_default());
        match hit.point {
            Point::Called => self.called(&mut thread, hit),
            Point::Returned => self.returned(&mut thread, hit),
            Point::Resumed => self.resumed(hit),
            Point::CallbackBegin => self.callback_began(&mut thread, hit.time),
            Point::CallbackEnd => self.callback_ended(&mut thread, hit.time),
            Point::Unwind => self.unwound(&mut thread),
        }
        if self.timed() {
            self.schedule.set(hit.tid, thread.in_c(), hit.time.0);
        }
        thread.spent += self.cost.of(hit.point, hit.chain().count());
        if let Some(place) = self.threads.get_mut(&hit.tid) {
            *place = thread;
        }
    }

    /// Notes that a thread has ended: its crossings in flight do not return.
    pub(crate) fn end(&mut self, tid: u64, time: Monotonic) {
        self.schedule.end_thread(tid, time.0);
        let Some(thread) = self.threads.remove(&tid) else { return };
        if self.timed() {
            let left = thread.in_flight.iter().filter(|entry| !entry.direct);
            self.ended.extend(left.map(|entry| InFlightCopy { ended: Some(time.0), ..entry.copy(tid) }));
        }
    }

    /// Notes that hits were lost: crossings in flight are not known any more.
    pub(crate) fn lose_track(&mut self) {
        self.threads.values_mut().for_each(|thread| thread.in_flight.clear());
        self.leaving.clear();
        self.schedule.lose_track();
    }

    /// Takes looks at the threads in C, one for every ten milliseconds, up to a time by which all hits are known.
    pub(crate) fn take_looks(&mut self, until: Monotonic) -> Vec<InCSnapshot> {
        if self.timed() {
            self.schedule.look_until(until.0);
        }
        self.schedule.take_looks()
    }

    /// Returns the threads that the runtime made, how many more were not kept, and when most threads were in C.
    pub(crate) fn seen(&self) -> ThreadEvents {
        self.schedule.seen()
    }

    /// Returns the crossing in whose C a thread is, if it is in C.
    pub(crate) fn in_flight(&self, tid: u64) -> Option<CellId> {
        Some(self.threads.get(&tid)?.in_flight.last()?.cell)
    }

    /// Returns the threads that are in crossings, each with the innermost.
    pub(crate) fn in_c(&self) -> HashMap<u64, CellId> {
        self.threads.keys().filter_map(|&tid| Some((tid, self.in_flight(tid)?))).collect()
    }

    /// Returns the number that the Go runtime gave the M which a thread last was.
    pub(crate) fn m(&self, tid: u64) -> Option<u64> {
        self.threads.get(&tid)?.m
    }

    /// Takes the slow crossings since the last call.
    pub(crate) fn take_events(&mut self) -> Vec<SlowEvent> {
        std::mem::take(&mut self.events)
    }

    /// Returns the counts so far.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut in_flight = self.ended.clone();
        if self.timed() {
            for (&tid, thread) in &self.threads {
                let left = thread.in_flight.iter().filter(|entry| !entry.direct);
                in_flight.extend(left.map(|entry| entry.copy(tid)));
            }
        }
        let (goroutines, forgotten) = self.schedule.goroutines();
        Snapshot {
            cells: self.cells.clone(),
            in_flight,
            threads: self.schedule.threads(),
            goroutines,
            forgotten,
            unattributed_direct: self.unattributed_direct,
            folded: self.folded,
            foreign_callbacks: self.foreign_callbacks,
            c_error: self.scale.error(&self.cost),
            ..Snapshot::default()
        }
    }

    fn called(&mut self, thread: &mut Thread, hit: &Hit<'_>) {
        let argument = |index| hit.argument(index);
        let (landmarks, caller) = (&self.modules[hit.module], self.caller(hit));
        let direct = caller != landmarks.after_asmcgocall;
        if argument(argument::G) == 0 {
            self.unattributed_direct += 1;
            return;
        }
        thread.m = Some(argument(argument::M_ID));
        thread.leave_what_returned();
        let mut function = Avma(argument(argument::FUNCTION));
        if landmarks.purego == Some(function) {
            let caller_fetched = !landmarks.has_frame;
            function = Avma(argument(argument::CALLER + usize::from(caller_fetched)));
        }
        let enclosing = thread.in_flight.last().map_or(CellId::NONE, |entry| entry.cell);
        let mut stack = std::mem::take(&mut self.walked);
        let truncated = self.walk(hit, direct, &mut stack);
        let locked = argument(argument::LOCKS) as u32 != 0;
        let flags = CellFlags { direct, locked: locked && !direct, folded: false, truncated };
        let cell = self.find(&Key { function, stack: &stack, enclosing, flags });
        self.walked = stack;
        let (tid, m, landmarks) = (hit.tid, argument(argument::M_ID), &self.modules[hit.module]);
        let goroutine = GoroutineId { runtime: landmarks.runtime, goid: argument(argument::GOID) };
        let begun = Begun { tid, m, goroutine, cell, function, direct, locked: locked && !direct };
        let migrated = self.schedule.begin(&begun);
        if landmarks.newm1.iter().any(|range| range.contains(&caller)) {
            let cells = &self.cells;
            self.schedule.birth(tid, cell, hit.time.0, |cell| cells[cell.0 as usize - 1].function);
        }
        self.cell(cell).shown.calls += 1;
        self.cell(cell).migrations += u64::from(migrated);
        if thread.in_flight.len() < DEEPEST {
            thread.in_flight.push(InFlight {
                cell,
                module: hit.module,
                direct,
                goroutine,
                called: hit.time,
                spent: thread.spent,
                callbacks: 0,
                callback: None,
            });
        }
    }

    fn returned(&mut self, thread: &mut Thread, hit: &Hit<'_>) {
        while thread.in_flight.last().is_some_and(|entry| entry.direct) {
            thread.in_flight.pop();
        }
        // A crossing that began before the probes were set is not known; one that calls back has not returned.
        let is_it = |entry: &mut InFlight| entry.callback.is_none() && entry.module == hit.module;
        let Some(entry) = thread.in_flight.pop_if(is_it) else { return };
        let spent = thread.spent - entry.spent;
        let between = hit.time.0.saturating_sub(entry.called.0);
        let ticks = self.scale.net(between, spent);
        if entry.callbacks == 0 {
            self.scale.add(between, spent);
        }
        let function = self.cell(entry.cell).function;
        self.schedule.end(hit.tid, function, ticks);
        let cell = self.cell(entry.cell);
        cell.shown.timed += 1;
        cell.shown.weight += 1;
        add(&mut cell.shown.c, ticks);
        cell.c_extremes = (cell.c_extremes.0.min(ticks), cell.c_extremes.1.max(ticks));
        count(&mut cell.c_times, ticks);
        if entry.callbacks > 0 {
            add(&mut cell.callback, entry.callbacks);
        }
        self.leave(entry.goroutine, entry.cell, hit.time);
        if ticks >= self.modules[0].slow {
            self.events.push(SlowEvent {
                kind: SlowKind::C,
                cell: entry.cell,
                begin_span: 0,
                from: entry.called.0,
                to: hit.time.0,
                tid: hit.tid,
                goid: entry.goroutine.goid,
                weight: 1,
                is_sampled: true,
                enter: 0,
            });
        }
    }

    /// Notes that a goroutine is on its way back to Go. Goroutines that have been on their way for long have arrived.
    fn leave(&mut self, goroutine: GoroutineId, cell: CellId, time: Monotonic) {
        if self.leaving.len() >= MOST_LEAVING {
            self.leaving.retain(|_, (_, since)| since.0 + LONGEST_EXIT > time.0);
        }
        self.leaving.insert(goroutine, (cell, time));
    }

    fn resumed(&mut self, hit: &Hit<'_>) {
        let (landmarks, caller) = (&self.modules[hit.module], Avma(hit.argument(0)));
        if caller != landmarks.after_exitsyscall {
            return;
        }
        let goroutine = GoroutineId { runtime: landmarks.runtime, goid: hit.argument(1) };
        if let Some((cell, since)) = self.leaving.remove(&goroutine) {
            let waited = self.scale.net(hit.time.0.saturating_sub(since.0), self.cost.of(Point::Returned, 0));
            let cell = self.cell(cell);
            cell.shown.exit.census += 1;
            cell.shown.exit.census_sum += waited;
            cell.overhead_extremes = (cell.overhead_extremes.0.min(waited), cell.overhead_extremes.1.max(waited));
            count(&mut cell.overhead_times, waited);
        }
    }

    fn callback_began(&mut self, thread: &mut Thread, time: Monotonic) {
        while thread.in_flight.last().is_some_and(|entry| entry.direct) {
            thread.in_flight.pop();
        }
        let spent = thread.spent;
        match thread.in_flight.last_mut() {
            Some(entry) => {
                entry.callback = Some((time, spent));
                let cell = entry.cell;
                self.cell(cell).shown.callbacks += 1;
            }
            None => self.foreign_callbacks += 1,
        }
    }

    fn callback_ended(&mut self, thread: &mut Thread, time: Monotonic) {
        thread.leave_what_returned();
        let spent = thread.spent;
        if let Some(entry) = thread.in_flight.last_mut()
            && let Some((began, spent_before)) = entry.callback.take()
        {
            entry.callbacks += self.scale.net(time.0.saturating_sub(began.0), spent - spent_before);
        }
    }

    fn unwound(&mut self, thread: &mut Thread) {
        thread.leave_what_returned();
        if let Some(entry) = thread.in_flight.pop() {
            self.cell(entry.cell).abandoned += 1;
        }
    }

    /// Returns the address to which `asmcgocall` returns.
    fn caller(&self, hit: &Hit<'_>) -> Avma {
        if self.modules[hit.module].has_frame {
            hit.chain().nth(1).unwrap_or(Avma(0))
        } else {
            Avma(hit.argument(argument::CALLER))
        }
    }

    /// Puts a crossing's return addresses into `stack`, as the trampolines find them. Returns whether the stack goes on
    /// beyond them.
    fn walk(&self, hit: &Hit<'_>, direct: bool, stack: &mut Vec<Avma>) -> bool {
        let landmarks = &self.modules[hit.module];
        stack.clear();
        if direct && !landmarks.has_frame {
            stack.push(self.caller(hit));
        }
        let first = stack.len();
        // The probe itself comes first, then the caller of asmcgocall if that has a frame: cgocall is not part of the
        // stack.
        let skipped = 1 + usize::from(landmarks.has_frame && !direct);
        let mut words = skipped;
        for address in hit.chain().skip(skipped) {
            if stack.len() - first == landmarks.max_frames {
                return true;
            }
            words += 1;
            stack.push(address);
            if self.modules.iter().any(|module| module.cgocallback.contains(&address)) {
                return false;
            }
        }
        // A system stack may end anywhere; a goroutine's stack that does not reach its beginning was broken off.
        let whole = direct
            || stack.last().is_some_and(|address| self.modules.iter().any(|module| module.goexit.contains(address)));
        !whole || words >= landmarks.chain
    }

    fn cell(&mut self, cell: CellId) -> &mut CellCopy {
        &mut self.cells[cell.0 as usize - 1]
    }

    fn find(&mut self, key: &Key<'_>) -> CellId {
        let hash = key.hash();
        let known = self.index.get(&hash).map_or(&[][..], Vec::as_slice);
        if let Some(found) = known.iter().find(|&&at| key.names(&self.cells[at as usize])) {
            return CellId(found + 1);
        }
        if self.cells.len() >= MOST_CELLS && !key.flags.folded {
            self.folded += 1;
            let flags = CellFlags { folded: true, truncated: false, ..key.flags };
            return self.find(&Key { function: key.function, stack: &[], enclosing: CellId::NONE, flags });
        }
        let place = self.cells.len() as u32;
        self.index.entry(hash).or_default().push(place);
        self.cells.push(CellCopy {
            stack: key.stack.to_vec(),
            enclosing: key.enclosing,
            flags: key.flags,
            ..CellCopy::new(CellId(place + 1), key.function)
        });
        CellId(place + 1)
    }
}

impl Thread {
    /// Returns the crossing in whose C it is: not one that calls back, nor a direct one.
    fn in_c(&self) -> Option<CellId> {
        self.in_flight.last().filter(|entry| entry.callback.is_none() && !entry.direct).map(|entry| entry.cell)
    }

    /// Forgets crossings that have returned unseen: those that are not calling back.
    fn leave_what_returned(&mut self) {
        while self.in_flight.pop_if(|entry| entry.callback.is_none()).is_some() {}
    }
}

impl InFlight {
    fn copy(&self, tid: u64) -> InFlightCopy {
        InFlightCopy {
            cell: self.cell,
            tid,
            ended: None,
            called: self.called.0,
            callback_ticks: self.callbacks,
            callback_began: self.callback.map(|(began, _)| began.0),
        }
    }
}

impl Key<'_> {
    /// Returns a number that spreads well enough for addresses, and is quick to compute.
    fn hash(&self) -> u64 {
        let CellFlags { direct, locked, folded, truncated } = self.flags;
        let bits = [direct, locked, folded, truncated].into_iter().fold(0, |bits, bit| bits << 1 | u64::from(bit));
        let words = [self.function.0, u64::from(self.enclosing.0) << 32 | bits];
        let words = words.into_iter().chain(self.stack.iter().map(|address| address.0));
        words.fold(0, |hash, word| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23))
    }

    fn names(&self, cell: &CellCopy) -> bool {
        cell.function == self.function
            && cell.enclosing == self.enclosing
            && cell.flags == self.flags
            && cell.stack == self.stack
    }
}

fn add(phase: &mut Phase, nanos: u64) {
    phase.sum += nanos;
    phase.squares += (nanos as f64).powi(2);
}

#[cfg(test)]
mod tests {
    use super::*;

    const BORDER: u64 = 0x100;
    const EXIT: u64 = 0x101;
    const CALLBACK: u64 = 0x110;
    const NOP: u64 = 0x900;
    const WORK: u64 = 0x901;

    /// A program in which things happen, each some nanoseconds after the one before.
    struct Story {
        crossings: Crossings,
        now: u64,
        /// The module of the next hits.
        module: usize,
    }

    impl Story {
        fn new() -> Story {
            Story::with(|_| {})
        }

        fn with(change: impl FnOnce(&mut Landmarks)) -> Story {
            let mut landmarks = Landmarks {
                runtime: 0,
                after_asmcgocall: Avma(BORDER),
                after_exitsyscall: Avma(EXIT),
                cgocallback: Avma(CALLBACK)..Avma(CALLBACK + 1),
                goexit: Avma(0x10)..Avma(0x60),
                newm1: vec![Avma(0x70)..Avma(0x71)],
                purego: None,
                has_frame: true,
                max_frames: 4,
                chain: 8,
                slow: 1000,
                timed: true,
            };
            change(&mut landmarks);
            Story { crossings: Crossings::new(landmarks, Cost::default()), now: 1000, module: 0 }
        }

        fn hit(&mut self, point: Point, tid: u64, after: u64, chain: &[u64], arguments: &[u64]) -> &mut Self {
            let bytes = |words: &[u64]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
            self.now += after;
            let place = (point, self.module);
            self.crossings.add(&Hit::new(place, tid, self.now, &bytes(chain), &bytes(arguments)));
            self
        }

        /// Goroutine `tid + 100` calls C.
        fn called(&mut self, tid: u64, function: u64, stack: &[u64]) -> &mut Self {
            let chain = [&[0x99, BORDER], stack].concat();
            self.hit(Point::Called, tid, 10, &chain, &[function, 0xc000, tid + 100, tid + 1000, 0])
        }

        fn returned(&mut self, tid: u64, after: u64) -> &mut Self {
            self.hit(Point::Returned, tid, after, &[], &[])
        }

        fn at(&mut self, point: Point, tid: u64, after: u64) -> &mut Self {
            self.hit(point, tid, after, &[], &[])
        }

        /// Returns function, stack, calls, C time and abandoned crossings of each cell.
        fn cells(&self) -> Vec<(u64, Vec<u64>, u64, u64, u64)> {
            let cells = self.crossings.snapshot().cells;
            let row = |cell: &CellCopy| {
                let stack = cell.stack.iter().map(|address| address.0).collect();
                (cell.function.0, stack, cell.shown.calls, cell.shown.c.sum, cell.abandoned)
            };
            cells.iter().map(row).collect()
        }
    }

    #[test]
    fn crossings_are_told_apart_by_function_and_stack() {
        let mut story = Story::new();
        story.called(1, NOP, &[0x10, 0x20]).returned(1, 5).called(1, NOP, &[0x10, 0x21]).returned(1, 6);
        story.called(1, NOP, &[0x10, 0x20]).returned(1, 7).called(1, WORK, &[0x10, 0x20]).returned(1, 8);
        let expected =
            [(NOP, vec![0x10, 0x20], 2, 12, 0), (NOP, vec![0x10, 0x21], 1, 6, 0), (WORK, vec![0x10, 0x20], 1, 8, 0)];
        assert_eq!(story.cells(), expected);
        assert_eq!(story.crossings.m(1), Some(1001));
    }

    #[test]
    fn threads_do_not_mix() {
        let mut story = Story::new();
        story.called(1, NOP, &[0x10]).called(2, WORK, &[0x20]).returned(1, 5).returned(2, 5);
        assert_eq!(story.cells(), [(NOP, vec![0x10], 1, 15, 0), (WORK, vec![0x20], 1, 10, 0)]);
    }

    #[test]
    fn a_crossing_in_a_callback_is_within_the_one_that_called_back() {
        let mut story = Story::new();
        story.called(1, WORK, &[0x10]).at(Point::CallbackBegin, 1, 100);
        story.called(1, NOP, &[0x30, CALLBACK, 0x77]).returned(1, 5).at(Point::CallbackEnd, 1, 20).returned(1, 50);
        assert_eq!(story.cells(), [(WORK, vec![0x10], 1, 185, 0), (NOP, vec![0x30, CALLBACK], 1, 5, 0)]);
        let cells = story.crossings.snapshot().cells;
        assert_eq!((cells[0].shown.callbacks, cells[0].callback.sum), (1, 35));
        assert_eq!(cells[1].enclosing, cells[0].at);
    }

    /// The same numbers mean other code and other goroutines in the library.
    #[test]
    fn a_library_with_its_own_runtime_is_a_module_of_its_own() {
        let mut story = Story::new();
        let landmarks = Landmarks { runtime: 1, after_asmcgocall: Avma(0x700), ..story.crossings.modules[0].clone() };
        story.called(1, WORK, &[0x10]).at(Point::CallbackBegin, 1, 1);
        story.module = 1;
        story.called(1, NOP, &[0x10]);
        assert_eq!(story.cells().len(), 1, "hits of a module that is not known");
        story.crossings.add_module(landmarks);
        story.hit(Point::Called, 1, 10, &[0x99, 0x700, 0x10], &[NOP, 0xc000, 101, 1001, 0]).returned(1, 5);
        story.called(2, NOP, &[0x10]);
        let found = story.crossings.snapshot();
        let direct: Vec<_> = found.cells.iter().map(|cell| (cell.function.0, cell.flags.direct)).collect();
        assert_eq!(direct, [(WORK, false), (NOP, false), (NOP, true)], "the program's border is none of the library's");
        assert_eq!(found.cells[1].enclosing, found.cells[0].at);
        let goids: Vec<_> = found.goroutines.iter().map(|goroutine| (goroutine.goid, goroutine.calls)).collect();
        assert_eq!(goids, [(101, 1), (101, 1)], "two goroutines of one number");
    }

    #[test]
    fn a_panic_leaves_the_crossing_that_called_back() {
        let mut story = Story::new();
        story.called(1, WORK, &[0x10]).at(Point::CallbackBegin, 1, 1).called(1, NOP, &[0x30]).returned(1, 5);
        story.at(Point::Unwind, 1, 1).called(1, NOP, &[0x10]).returned(1, 5);
        let expected = [(WORK, vec![0x10], 1, 0, 1), (NOP, vec![0x30], 1, 5, 0), (NOP, vec![0x10], 1, 5, 0)];
        assert_eq!(story.cells(), expected);
        assert_eq!(story.crossings.snapshot().cells[2].enclosing, CellId::NONE);
    }

    #[test]
    fn callbacks_of_foreign_threads_have_no_crossing() {
        let mut story = Story::new();
        story.at(Point::CallbackBegin, 1, 1).called(1, NOP, &[0x10]).returned(1, 5).at(Point::CallbackEnd, 1, 1);
        story.at(Point::CallbackBegin, 1, 1).at(Point::CallbackEnd, 1, 1);
        let found = story.crossings.snapshot();
        assert_eq!((found.foreign_callbacks, found.in_flight.len()), (2, 0));
        assert_eq!(found.cells[0].enclosing, CellId::NONE);
    }

    #[test]
    fn without_times_what_returned_is_known_by_the_next_crossing() {
        let mut story = Story::with(|landmarks| landmarks.timed = false);
        story.called(1, NOP, &[0x10]).called(1, WORK, &[0x10]).at(Point::CallbackBegin, 1, 1);
        story.called(1, NOP, &[0x30]).called(1, NOP, &[0x30]).at(Point::CallbackEnd, 1, 1).called(1, NOP, &[0x10]);
        let cells = story.crossings.snapshot().cells;
        let rows: Vec<_> = cells.iter().map(|cell| (cell.function.0, cell.shown.calls, cell.enclosing)).collect();
        assert_eq!(rows, [(NOP, 2, CellId::NONE), (WORK, 1, CellId::NONE), (NOP, 2, cells[1].at)]);
        assert_eq!((story.crossings.snapshot().in_flight.len(), cells[0].shown.timed), (0, 0));
    }

    #[test]
    fn an_exit_that_waits_is_timed_and_an_ordinary_system_call_is_not() {
        let mut story = Story::new();
        story.called(1, NOP, &[0x10]).returned(1, 5).hit(Point::Resumed, 2, 4000, &[], &[EXIT, 101]);
        story.hit(Point::Resumed, 2, 900, &[], &[EXIT, 101]).hit(Point::Resumed, 2, 900, &[], &[0x555, 101]);
        let cell = &story.crossings.snapshot().cells[0];
        assert_eq!((cell.shown.exit.census, cell.shown.exit.census_sum), (1, 4000));
    }

    #[test]
    fn slow_crossings_are_events() {
        let mut story = Story::new();
        story.called(1, NOP, &[0x10]).returned(1, 999).called(1, NOP, &[0x10]).returned(1, 1000);
        let events = story.crossings.take_events();
        let [event] = events[..] else { panic!("{events:?}") };
        assert_eq!((event.kind, event.cell, event.weight), (SlowKind::C, CellId(1), 1));
        assert_eq!((event.from, event.to, event.tid, event.goid), (2019, 3019, 1, 101));
        assert!(story.crossings.take_events().is_empty());
    }

    #[test]
    fn direct_crossings_are_counted_apart_and_not_timed() {
        let mut story = Story::new();
        let chain = [0x99, 0x40, 0x50];
        story.hit(Point::Called, 1, 1, &chain, &[NOP, 0xc000, 1, 1, 1]).called(1, NOP, &[0x10]).returned(1, 5);
        story.hit(Point::Called, 1, 1, &chain, &[NOP, 0, 1, 1, 1]);
        assert_eq!(story.cells(), [(NOP, vec![0x40, 0x50], 1, 0, 0), (NOP, vec![0x10], 1, 5, 0)]);
        let found = story.crossings.snapshot();
        assert_eq!(
            (found.cells[0].flags.direct, found.cells[1].flags.direct, found.unattributed_direct),
            (true, false, 1)
        );
    }

    #[test]
    fn before_go_1_21_the_caller_of_asmcgocall_is_fetched() {
        let mut story = Story::with(|landmarks| (landmarks.has_frame, landmarks.purego) = (false, Some(Avma(0x600))));
        let fetched = |function, caller| [function, 0xc000, 1, 1, 0, caller, WORK];
        story.hit(Point::Called, 1, 1, &[0x99, 0x10], &fetched(NOP, BORDER)).returned(1, 5);
        story.hit(Point::Called, 1, 1, &[0x99, 0x10], &fetched(0x600, BORDER)).returned(1, 5);
        story.hit(Point::Called, 1, 1, &[0x99, 0x10], &fetched(NOP, 0x44));
        let expected = [(NOP, vec![0x10], 1, 5, 0), (WORK, vec![0x10], 1, 5, 0), (NOP, vec![0x44, 0x10], 1, 0, 0)];
        assert_eq!(story.cells(), expected);
    }

    #[test]
    fn deep_stacks_are_cut_and_marked() {
        let check = |stack: &[u64], kept: usize, truncated: bool| {
            let mut story = Story::new();
            story.called(1, NOP, stack);
            let cell = &story.crossings.snapshot().cells[0];
            assert_eq!((cell.stack.len(), cell.flags.truncated), (kept, truncated), "{stack:x?}");
        };
        check(&[0x10, 0x20, 0x30, 0x40], 4, false);
        check(&[0x10, 0x20, 0x30, 0x40, 0x50], 4, true);
        check(&[0x10, CALLBACK, 0x30, 0x40, 0x50], 2, false);
    }

    #[test]
    fn a_stack_that_does_not_reach_its_beginning_is_marked() {
        let mut story = Story::new();
        story.called(1, NOP, &[0x10, 0x800]);
        assert_eq!(story.crossings.snapshot().cells[0].flags, CellFlags { truncated: true, ..CellFlags::default() });
    }

    #[test]
    fn goroutines_that_left_long_ago_are_forgotten() {
        let mut story = Story::new();
        for goroutine in 0..MOST_LEAVING as u64 + 10 {
            let after = if goroutine == 100 { LONGEST_EXIT } else { 0 };
            let arguments = [NOP, 0xc000, goroutine, 1, 0];
            story.hit(Point::Called, 1, after, &[0x99, BORDER, 0x10], &arguments).returned(1, 0);
        }
        assert_eq!(story.crossings.leaving.len(), MOST_LEAVING + 10 - 100);
    }

    #[test]
    fn what_ends_or_is_lost_in_c_is_in_flight_no_more() {
        let mut story = Story::new();
        story.called(1, NOP, &[0x10]).called(2, NOP, &[0x10]).called(3, NOP, &[0x10]);
        assert_eq!(story.crossings.in_flight(1), Some(CellId(1)));
        story.crossings.end(1, Monotonic(5000));
        let ended: Vec<_> = story.crossings.snapshot().in_flight.iter().filter_map(|entry| entry.ended).collect();
        assert_eq!((ended, story.crossings.in_flight(1)), (vec![5000], None));
        story.crossings.lose_track();
        story.returned(2, 5);
        assert_eq!((story.cells()[0].2, story.cells()[0].3), (3, 0));
    }

    #[test]
    fn more_stacks_than_are_kept_are_counted_without() {
        let mut story = Story::new();
        let extra = 50;
        for stack in 0..MOST_CELLS as u64 + extra {
            story.called(1, NOP, &[stack + 0x1000]).returned(1, 1);
        }
        let found = story.crossings.snapshot();
        assert_eq!((found.cells.len(), found.folded), (MOST_CELLS + 1, extra));
        assert_eq!(found.cells.iter().map(|cell| cell.shown.calls).sum::<u64>(), MOST_CELLS as u64 + extra);
    }
}
