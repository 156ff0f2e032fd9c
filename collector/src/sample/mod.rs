//! The sample engine: nothing but samples, of which those in C get the Go stack that called C, and the runtime's own count
//! of crossings.
//!
//! The stack is exact where C leaves the frame pointer alone or keeps a chain of its own: the kernel follows that across
//! the border. Else it is read from the program's memory a moment later, while the goroutine waits for C; if it has come
//! back by then, the frame is another's and its stack is not known.

mod counters;

use std::ops::Range;
use std::sync::Arc;

use cgoprof_symbols::Avma;
use nix::unistd::Pid;

pub(crate) use counters::Counters;

use crate::offcpu::Monotonic;
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
    /// The runtime's own counts, if they can be found.
    pub(crate) counters: Option<Counters>,
}

/// Bytes read of a goroutine's stack.
const STACK_BYTES: usize = 16 << 10;
/// Most frames.
const DEEPEST: usize = 256;

impl GoStacks {
    /// The return addresses of the Go stack from which a sampled thread was in C, `frame` being the frame pointer that
    /// `asmcgocall` called C with.
    pub(crate) fn of(&self, sample: &Sample<'_>, frame: Avma) -> Option<Arc<[Avma]>> {
        self.in_chain(sample, frame).or_else(|| self.in_memory(frame))
    }

    /// From the chain that the kernel followed when it took the sample.
    fn in_chain(&self, sample: &Sample<'_>, frame: Avma) -> Option<Arc<[Avma]>> {
        let first = match self.after_asmcgocall {
            Some(border) => sample.chain.iter().position(|&address| address == border)? + 1,
            None if sample.bp == frame => 1,
            None => return None,
        };
        let stack: Vec<_> =
            sample.chain[first..].iter().copied().take_while(|address| self.go.contains(address)).collect();
        (!stack.is_empty()).then(|| stack.into())
    }

    /// From the goroutine's stack as it is now.
    fn in_memory(&self, frame: Avma) -> Option<Arc<[Avma]>> {
        let mut bytes = vec![0; STACK_BYTES];
        let read = memory::read(self.pid, frame, &mut bytes)?;
        let mut calls = Vec::new();
        let stack = StackCopy { start: frame, bytes: &bytes[..read] };
        stack.follow_frame_pointers(frame, &self.go, DEEPEST, &mut calls);
        let returns: Vec<_> = calls.iter().map(|call| Avma(call.0 + 1)).collect();
        let own = match (self.after_asmcgocall, returns.split_first()) {
            (Some(border), Some((&first, outer))) if first == border => outer,
            (None, Some(_)) => &returns,
            _ => return None,
        };
        (!own.is_empty()).then(|| own.into())
    }

    /// `runtime.NumCgoCall` at this moment.
    pub(crate) fn num_cgo_call(&self, now: Monotonic) -> Option<(u64, Monotonic)> {
        Some((self.counters.as_ref()?.read(self.pid)?, now))
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    const BORDER: Avma = Avma(0x1500);

    fn stacks(after_asmcgocall: Option<Avma>) -> GoStacks {
        GoStacks { pid: Pid::this(), go: Avma(0x1000)..Avma(0x2000), after_asmcgocall, counters: None }
    }

    fn sample(bp: u64, chain: &[u64]) -> Sample<'static> {
        let chain = chain.iter().copied().map(Avma).collect();
        Sample { tid: 1, ip: Avma(0x7000), sp: Avma(0), bp: Avma(bp), stack: Cow::Borrowed(&[]), chain }
    }

    fn check(what: &str, border: Option<Avma>, sample: &Sample<'_>, frame: u64, expected: Option<&[u64]>) {
        let found = stacks(border).of(sample, Avma(frame));
        let found: Option<Vec<u64>> = found.map(|stack| stack.iter().map(|address| address.0).collect());
        assert_eq!(found.as_deref(), expected, "{what}");
    }

    #[test]
    fn the_go_stack_is_found_in_the_chain_or_in_memory_or_not_at_all() {
        let outer = [0u64, 0x1800];
        let memory = [outer.as_ptr().addr() as u64, 0x1700];
        let frame = [memory.as_ptr().addr() as u64, BORDER.0];
        let at = frame.as_ptr().addr() as u64;
        let crossed = sample(at, &[0x7000, 0x7100, BORDER.0, 0x1600, 0x1601]);
        check("the chain crosses the border", Some(BORDER), &crossed, at, Some(&[0x1600, 0x1601]));
        let lost = sample(3, &[0x7000, 0x1600]);
        check("the chain is none, memory has it", Some(BORDER), &lost, at, Some(&[0x1700, 0x1800]));
        let elsewhere = memory.as_ptr().addr() as u64;
        check("the goroutine has come back", Some(BORDER), &lost, elsewhere, None);
        check("no such memory", Some(BORDER), &lost, 8, None);
        check("before Go 1.21", None, &sample(elsewhere, &[0x7000, 0x1600, 0x7fff]), elsewhere, Some(&[0x1600]));
        check("before Go 1.21, in memory", None, &lost, elsewhere, Some(&[0x1700, 0x1800]));
    }
}
