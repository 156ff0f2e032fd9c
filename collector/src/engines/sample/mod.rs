//! The sample engine: nothing but samples, and the runtime's own count of crossings. Samples in C get the Go stack that
//! called C.
//!
//! The stack is exact where C leaves the frame pointer alone or keeps a chain of its own: the kernel follows that
//! across the border. Otherwise it is read from the program's memory a moment later, while the goroutine waits for C.
//! If the goroutine has come back by then, the frame is another's and its stack is not known.

mod engine;

use std::ops::Range;
use std::sync::Arc;

use cgoprof_symbols::Avma;
use nix::unistd::Pid;

pub(crate) use engine::Sampling;

use super::own_count::Counters;

use crate::perf::Sample;
use crate::process::memory;
use crate::unwind::StackCopy;

/// Looks up the Go stacks of one program.
pub(crate) struct GoStacks {
    pub(crate) pid: Pid,
    /// Go's code.
    pub(crate) go: Range<Avma>,
    /// Return address of `cgocall`'s call of `asmcgocall`; none up to Go 1.20, whose `asmcgocall` has no frame.
    pub(crate) after_asmcgocall: Option<Avma>,
    /// Where a goroutine's stack ends and C's begins.
    pub(crate) cgocallback: Range<Avma>,
    /// Where a goroutine begins.
    pub(crate) goexit: Range<Avma>,
    /// The runtime's own counts, if they can be found.
    pub(crate) counters: Option<Counters>,
    /// Their value when the recorder came.
    pub(crate) counted_before: u64,
}

/// Maximum bytes read of a goroutine's stack.
const STACK_BYTES: usize = 16 << 10;
/// Maximum frames.
const DEEPEST: usize = 256;

impl GoStacks {
    /// Returns the return addresses of the Go stack from which a sampled thread called C. `frame` is the frame pointer
    /// with which `asmcgocall` called C.
    pub(crate) fn of(&self, sample: &Sample<'_>, frame: Avma) -> Option<Arc<[Avma]>> {
        self.in_chain(sample, frame).or_else(|| self.in_memory(frame))
    }

    /// Finds the stack in the chain that the kernel followed when it took the sample.
    fn in_chain(&self, sample: &Sample<'_>, frame: Avma) -> Option<Arc<[Avma]>> {
        let first = match self.after_asmcgocall {
            Some(border) => {
                let first = sample.chain.iter().skip(1).position(|address| self.go.contains(address))? + 1;
                (sample.chain[first] == border).then_some(first + 1)?
            }
            None if sample.bp == frame => 1,
            None => return None,
        };
        self.own(sample.chain.get(first..)?.iter().copied().take_while(|address| self.go.contains(address)))
    }

    /// Reads the stack from the program's memory as it is now.
    fn in_memory(&self, frame: Avma) -> Option<Arc<[Avma]>> {
        let mut bytes = vec![0; STACK_BYTES];
        let read = memory::read(self.pid, frame, &mut bytes)?;
        let mut calls = Vec::new();
        let stack = StackCopy { start: frame, bytes: &bytes[..read] };
        stack.follow_frame_pointers(frame, |at| self.go.contains(&at), DEEPEST, &mut calls);
        let mut returns = calls.iter().map(|call| Avma(call.0 + 1));
        if self.after_asmcgocall.is_some() && returns.next() != self.after_asmcgocall {
            return None;
        }
        self.own(returns)
    }

    /// Returns the goroutine's own part of a stack, without the part beyond a callback.
    fn own(&self, stack: impl Iterator<Item = Avma>) -> Option<Arc<[Avma]>> {
        let mut own = Vec::new();
        for address in stack {
            own.push(address);
            if self.cgocallback.contains(&address) {
                break;
            }
        }
        (!own.is_empty()).then(|| own.into())
    }

    /// Whether a stack does not reach the place where the goroutine began.
    pub(crate) fn is_cut(&self, stack: &[Avma]) -> bool {
        !stack.last().is_some_and(|address| self.goexit.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::clock::Monotonic;

    const BORDER: Avma = Avma(0x1500);

    fn stacks(after_asmcgocall: Option<Avma>) -> GoStacks {
        let go = Avma(0x1000)..Avma(0x2000);
        let cgocallback = Avma(0x1900)..Avma(0x1910);
        let goexit = Avma(0x1a00)..Avma(0x1a10);
        GoStacks { pid: Pid::this(), go, after_asmcgocall, cgocallback, goexit, counters: None, counted_before: 0 }
    }

    fn sample(bp: u64, chain: &[u64]) -> Sample<'static> {
        let chain = chain.iter().copied().map(Avma).collect();
        Sample {
            tid: 1,
            time: Monotonic(0),
            ip: Avma(0x7000),
            sp: Avma(0),
            bp: Avma(bp),
            stack: Cow::Borrowed(&[]),
            chain,
        }
    }

    fn check(what: &str, border: Option<Avma>, sample: &Sample<'_>, frame: u64, expected: Option<&[u64]>) {
        let found = stacks(border).of(sample, Avma(frame));
        let found: Option<Vec<u64>> = found.map(|stack| stack.iter().map(|address| address.0).collect());
        assert_eq!(found.as_deref(), expected, "{what}");
    }

    #[test]
    fn the_go_stack_is_found_in_the_chain_or_in_memory_or_not_at_all() {
        // Three frames of a stack, the innermost first.
        let mut memory = Box::new([0u64, BORDER.0, 0, 0x1700, 0, 0x1800]);
        let base = memory.as_ptr().addr() as u64;
        (memory[0], memory[2]) = (base + 16, base + 32);
        std::hint::black_box(&mut memory);
        let (at, elsewhere) = (base, base + 16);
        let crossed = sample(at, &[0x7000, 0x7100, BORDER.0, 0x1600, 0x1601]);
        check("the chain crosses the border", Some(BORDER), &crossed, at, Some(&[0x1600, 0x1601]));
        let nested = sample(at, &[0x7000, BORDER.0, 0x1600, 0x1905, 0x1700]);
        check("a callback", Some(BORDER), &nested, at, Some(&[0x1600, 0x1905]));
        let lost = sample(3, &[0x7000, 0x1600]);
        check("the chain is none, memory has it", Some(BORDER), &lost, at, Some(&[0x1700, 0x1800]));
        check("the goroutine has come back", Some(BORDER), &lost, elsewhere, None);
        check("no such memory", Some(BORDER), &lost, 8, None);
        check("before Go 1.21", None, &sample(elsewhere, &[0x7000, 0x1600, 0x7fff]), elsewhere, Some(&[0x1600]));
        check("before Go 1.21, in memory", None, &lost, elsewhere, Some(&[0x1700, 0x1800]));
    }
}
