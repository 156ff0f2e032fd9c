//! Unwinds samples to frames: C by call frame information, up to the hooks' marker, which names the crossing; Go by
//! frame pointers.

pub(crate) mod fuzzing;
mod markers;
mod modules;
mod stack;

use std::ops::Range;
use std::sync::Arc;

use cgoprof_symbols::Avma;
use framehop::{FrameAddress, Unwinder as _};

use crate::arch::{FrameUnwinder, UnwindCache, frame_registers};
use crate::counts::cell_id::CellId;
use crate::perf::Sample;
use crate::process::maps::Mapping;
pub(crate) use markers::Markers;
pub(crate) use stack::StackCopy;

/// Where a sample was taken.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Place {
    /// In C called by a crossing.
    Crossing(CellId),
    /// In C called by `asmcgocall`, with its frame pointer. The crossing must be found by other means.
    Called(Avma),
    /// In C called by `asmcgocall`, with the return addresses of Go, innermost first.
    CalledFrom(Arc<[Avma]>),
    /// In Go, or in C that Go called without a crossing: the vDSO.
    Go,
    /// In the hooks, or at a probe.
    Hooks,
    /// In C on a thread that has not come from Go, or on a stack that could not be followed to its crossing.
    Elsewhere,
}

/// A sample with its frames, innermost first: addresses of the instruction and of the calls.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Walk {
    pub(crate) place: Place,
    pub(crate) frames: Vec<Avma>,
    /// The stack goes on beyond the frames.
    pub(crate) truncated: bool,
    /// Code that could not be followed lies between the frames and the crossing.
    pub(crate) gap: bool,
    /// The thread, if no crossing is known: [`Place::Elsewhere`].
    pub(crate) tid: Option<u64>,
}

impl Walk {
    /// Assigns a walk that got lost to its crossing, which is known by other means.
    pub(crate) fn leave_gap(&mut self, cell: CellId) {
        (self.place, self.truncated, self.gap, self.tid) = (Place::Crossing(cell), false, true, None);
    }

    /// Returns a walk in a crossing of which no more is known.
    pub(crate) fn of_crossing(cell: CellId) -> Walk {
        Walk::new(Place::Crossing(cell), Vec::new(), false)
    }

    fn new(place: Place, frames: Vec<Avma>, truncated: bool) -> Walk {
        Walk { place, frames, truncated, gap: false, tid: None }
    }
}

/// Maximum frames of a walk.
const DEEPEST: usize = 256;

/// Walks the stacks of one process.
pub(crate) struct Unwinder {
    unwinder: FrameUnwinder,
    cache: UnwindCache,
    known: Vec<Mapping>,
    /// The kernel's code in every process: the only C that Go calls without a crossing.
    vdso: Range<Avma>,
    modules: Vec<GoModule>,
}

/// A program, library or plugin with Go code.
#[derive(Clone, Debug)]
pub(crate) struct GoModule {
    /// Its Go code.
    pub(crate) go: Range<Avma>,
    /// The border between it and C.
    pub(crate) border: Border,
}

/// Border between C and Go, as it is on the stack.
#[derive(Clone, Debug)]
pub(crate) enum Border {
    /// Hooks of the module's own.
    Hooks {
        /// Their code.
        code: Range<Avma>,
        /// Addresses in their code to which C returns.
        returns: Vec<Avma>,
        /// Marks that they leave on the stack.
        markers: Markers,
    },
    /// No hooks, but `asmcgocall` itself. There may be probes.
    Asmcgocall {
        /// The function.
        code: Range<Avma>,
        /// Instructions under probes.
        probes: Vec<Avma>,
    },
    /// The border of another module, for a plugin whose functions are redirected.
    Shared,
}

impl Border {
    /// Whether a thread at this address is in our hooks or at our probes.
    fn is_ours(&self, ip: Avma) -> bool {
        match self {
            Border::Hooks { code, .. } => code.contains(&ip),
            // The instruction pointer is after the breakpoint until the kernel has set it back.
            Border::Asmcgocall { probes, .. } => probes.iter().any(|&probe| ip == probe || ip.0 == probe.0 + 1),
            Border::Shared => false,
        }
    }

    /// Whether a return address of C is in it.
    fn contains(&self, address: Avma) -> bool {
        match self {
            Border::Hooks { code, .. } | Border::Asmcgocall { code, .. } => code.contains(&address),
            Border::Shared => false,
        }
    }
}

impl Unwinder {
    /// Returns an unwinder for a process with this Go code.
    pub(crate) fn new(first: GoModule) -> Self {
        let (unwinder, cache, vdso) = (FrameUnwinder::new(), UnwindCache::new(), Avma(0)..Avma(0));
        Unwinder { unwinder, cache, known: Vec::new(), vdso, modules: vec![first] }
    }

    /// Adds Go code that has been loaded, and may be mapped already.
    pub(crate) fn add_module(&mut self, module: GoModule) {
        let around: Vec<_> = self.known.extract_if(.., |mapping| mapping.range.contains(&module.go.start)).collect();
        around.iter().for_each(|mapping| self.remove(mapping));
        self.modules.push(module);
        around.iter().for_each(|mapping| self.add_mapping(mapping));
    }

    /// Adds a mapping. Mappings that were there before are forgotten.
    pub(crate) fn add_mapping(&mut self, mapping: &Mapping) {
        if !mapping.executable || self.known.contains(mapping) {
            return;
        }
        // The mapping is part of a known one, with other permissions now.
        let bias = |mapping: &Mapping| mapping.range.start.0.wrapping_sub(mapping.offset.0);
        let within = |other: &Mapping| {
            other.path == mapping.path
                && bias(other) == bias(mapping)
                && other.range.start <= mapping.range.start
                && mapping.range.end <= other.range.end
        };
        if self.known.iter().any(within) {
            return;
        }
        let overlaps = |other: &Mapping| other.range.start < mapping.range.end && mapping.range.start < other.range.end;
        let gone: Vec<_> = self.known.extract_if(.., |other| overlaps(other)).collect();
        gone.iter().for_each(|mapping| self.remove(mapping));
        if mapping.path.as_os_str() == "[vdso]" {
            self.vdso = mapping.range.clone();
        }
        for module in modules::of_mapping(mapping, &self.go_within(mapping)) {
            self.unwinder.add_module(module);
        }
        self.known.push(mapping.clone());
    }

    fn remove(&mut self, mapping: &Mapping) {
        self.unwinder.remove_module(mapping.range.start.0);
        // A file with Go code has two modules, before and after that code.
        let go_end = self.go_within(mapping).end;
        if mapping.range.contains(&go_end) {
            self.unwinder.remove_module(go_end.0);
        }
    }

    /// Returns the Go code in a mapping; an empty range if it has none.
    fn go_within(&self, mapping: &Mapping) -> Range<Avma> {
        let has = |go: &&Range<Avma>| go.start < mapping.range.end && mapping.range.start < go.end;
        self.modules.iter().map(|module| &module.go).find(has).cloned().unwrap_or(Avma(0)..Avma(0))
    }

    /// Whether an address lies in Go code.
    pub(crate) fn is_go(&self, address: Avma) -> bool {
        self.modules.iter().any(|module| module.go.contains(&address))
    }

    /// Returns the frames of a sample.
    pub(crate) fn walk(&mut self, sample: &Sample<'_>) -> Walk {
        let mut walk = self.follow(sample);
        if walk.place == Place::Elsewhere {
            walk.tid = Some(sample.tid);
            if walk.truncated
                && let Some(cell) = self.crossing_above(sample)
            {
                walk.leave_gap(cell);
            }
        }
        walk
    }

    /// Finds the crossing of a stack that can't be followed, by its hook's frame: C's return address, which the hook
    /// wipes afterwards, and the cell's address above it.
    fn crossing_above(&self, sample: &Sample<'_>) -> Option<CellId> {
        let hooks: Vec<_> = self
            .modules
            .iter()
            .filter_map(|module| match &module.border {
                Border::Hooks { returns, markers, .. } => Some((returns, markers)),
                Border::Asmcgocall { .. } | Border::Shared => None,
            })
            .collect();
        if hooks.is_empty() {
            return None;
        }
        let words = sample.stack.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()));
        let words: Vec<u64> = words.collect();
        (0..words.len()).find_map(|at| {
            let (_, markers) = hooks.iter().find(|(returns, _)| returns.contains(&Avma(words[at])))?;
            markers.cell(*words.get(at + 1 + markers.distance as usize / 8)?)
        })
    }

    fn follow(&mut self, sample: &Sample<'_>) -> Walk {
        let stack = StackCopy { start: sample.sp, bytes: &sample.stack };
        let mut frames = vec![sample.ip];
        if self.modules.iter().any(|module| module.border.is_ours(sample.ip)) {
            return Walk::new(Place::Hooks, frames, false);
        }
        let mut registers = frame_registers(sample.ip.0, sample.sp.0, sample.bp.0);
        let mut at = FrameAddress::from_instruction_pointer(sample.ip.0);
        let mut read = |address: u64| stack.word(Avma(address)).ok_or(());
        while !self.is_go(Avma(at.address_for_lookup())) {
            let next = self.unwinder.unwind_frame(at, &mut registers, &mut self.cache, &mut read);
            let Ok(Some(caller)) = next else {
                // No thread begins in the function that it is in, so a walk that ends at once met code without unwind
                // information.
                let truncated = next.is_err() || frames.len() == 1;
                return Walk::new(Place::Elsewhere, frames, truncated);
            };
            match self.modules.iter().map(|module| &module.border).find(|border| border.contains(Avma(caller))) {
                Some(Border::Hooks { markers, .. }) => {
                    let marker = stack.word(Avma(registers.sp().wrapping_add(markers.distance)));
                    let cell = marker.and_then(|word| markers.cell(word));
                    return Walk::new(cell.map_or(Place::Elsewhere, Place::Crossing), frames, marker.is_none());
                }
                Some(Border::Asmcgocall { .. }) => {
                    return Walk::new(Place::Called(Avma(registers.bp())), frames, false);
                }
                Some(Border::Shared) | None => {}
            }
            let Some(address) = FrameAddress::from_return_address(caller) else { break };
            if frames.len() == DEEPEST {
                return Walk::new(Place::Elsewhere, frames, true);
            }
            frames.push(Avma(address.address_for_lookup()));
            at = address;
        }
        // Other C reaches Go only through the border, so the walk has guessed through code without unwind information.
        let outermost = frames.iter().rev().find(|&&frame| !self.is_go(frame));
        if outermost.is_some_and(|frame| !self.vdso.contains(frame)) {
            frames.retain(|&frame| !self.is_go(frame));
            return Walk::new(Place::Elsewhere, frames, true);
        }
        let truncated = stack.follow_frame_pointers(Avma(registers.bp()), |at| self.is_go(at), DEEPEST, &mut frames);
        Walk::new(Place::Go, frames, truncated)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::Monotonic;

    const NOWHERE: Range<Avma> = Avma(0)..Avma(0);

    fn no_go() -> GoModule {
        GoModule { go: NOWHERE, border: Border::Shared }
    }

    /// Our own C library with some bytes of its call frame information changed, mapped where the real one is.
    fn damaged(changes: &[(usize, u8)]) -> (tempfile::NamedTempFile, Mapping) {
        let mappings = crate::process::maps::read(nix::unistd::Pid::this()).unwrap();
        let real =
            mappings.into_iter().find(|mapping| mapping.executable && mapping.path.ends_with("libc.so.6")).unwrap();
        let mut data = std::fs::read(&real.path).unwrap();
        let places: Vec<_> = {
            let binary = cgoprof_symbols::Binary::parse(&data).unwrap();
            let place = |name| {
                let (address, bytes) = binary.section(name).unwrap();
                let start = binary.file_offset(address).unwrap().0 as usize;
                start..start + bytes.len()
            };
            vec![place(".eh_frame"), place(".eh_frame_hdr")]
        };
        for &(at, value) in changes {
            let place = &places[at % 2];
            data[place.start + at / 2 % place.len()] = value;
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), data).unwrap();
        let mut mapping = Mapping { path: file.path().to_owned(), ..real };
        mapping.open(nix::unistd::Pid::this());
        (file, mapping)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn damaged_call_frame_information_and_any_stack_are_survived(
            changes in prop::collection::vec(any::<(usize, u8)>(), 0..2000),
            samples in prop::collection::vec((any::<u64>(), any::<u64>(), prop::collection::vec(any::<u8>(), 0..600)), 50),
        ) {
            let (_file, mapping) = damaged(&changes);
            let mut unwinder = Unwinder::new(no_go());
            unwinder.add_mapping(&mapping);
            let length = mapping.range.end.0 - mapping.range.start.0;
            for (ip, bp, stack) in samples {
                let ip = Avma(mapping.range.start.0 + ip % length);
                let (sp, stack) = (Avma(0x7fff_0000_0000 | bp & !15), Cow::Owned(stack));
                let walk = unwinder.walk(&Sample { tid: 1, time: Monotonic(0), ip, sp, bp: Avma(bp), stack, chain: Vec::new() });
                prop_assert!(walk.frames.len() <= DEEPEST);
            }
        }
    }

    #[test]
    fn code_is_gos_from_when_its_module_is_added() {
        let (_file, mapping) = damaged(&[]);
        let mut unwinder = Unwinder::new(no_go());
        unwinder.add_mapping(&mapping);
        let middle = Avma(mapping.range.start.0 + 4096)..Avma(mapping.range.start.0 + 8192);
        let walk = |unwinder: &mut Unwinder| {
            let (ip, sp) = (middle.start, Avma(0x7fff_0000_0000));
            let (stack, chain) = (Cow::Owned(vec![0; 64]), Vec::new());
            unwinder.walk(&Sample { tid: 1, time: Monotonic(0), ip, sp, bp: sp, stack, chain }).place
        };
        assert_ne!(walk(&mut unwinder), Place::Go);
        unwinder.add_module(GoModule { go: middle.clone(), border: Border::Shared });
        assert_eq!(walk(&mut unwinder), Place::Go);
        assert_eq!(unwinder.known, [mapping]);
    }

    #[test]
    fn a_mapping_over_another_takes_its_place() {
        let (_one, first) = damaged(&[]);
        let (_other, second) = damaged(&[(0, 1)]);
        let mut unwinder = Unwinder::new(no_go());
        [&first, &first, &second].into_iter().for_each(|mapping| unwinder.add_mapping(mapping));
        assert_eq!(unwinder.known, [second]);
    }
}
