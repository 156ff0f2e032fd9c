//! Functions of the kernel, by `/proc/kallsyms`, and what a thread waits in by the outermost of them.

use std::io::Read as _;

use cgoprof_profile::Function;
use cgoprof_symbols::Avma;

use crate::arch;

/// Number of calls that tell what a thread waits for.
/// Since Linux 6.8 there may be as many as five before those of the system call's own.
const ENTRY: usize = 6;

/// The outermost calls in the kernel of a thread, as return addresses from the outside in; 0 where there are fewer.
/// They tell the system call or the exception by which it came there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct KernelEntry(pub(crate) [u64; ENTRY]);

impl KernelEntry {
    /// From a call chain, innermost first.
    pub(crate) fn of(chain: &[Avma]) -> KernelEntry {
        let mut calls = [0; ENTRY];
        calls.iter_mut().zip(chain.iter().rev()).for_each(|(call, address)| *call = address.0);
        KernelEntry(calls)
    }
}

/// Functions in the order of their addresses.
pub(crate) struct KernelSymbols(Vec<(u64, Box<str>)>);

const FILE: &str = "/proc/kallsyms";

/// Whether the kernel tells this user the addresses of its functions (`kernel.kptr_restrict`, proc(5)).
pub(crate) fn are_readable() -> bool {
    /// Enough for a hundred functions. Only some symbols have address zero where all are told.
    const LOOKED_AT: u64 = 4096;
    let mut text = Vec::new();
    let read = std::fs::File::open(FILE).and_then(|file| file.take(LOOKED_AT).read_to_end(&mut text));
    read.is_ok() && String::from_utf8_lossy(&text).lines().filter_map(parse_line).any(|(address, ..)| address != 0)
}

impl KernelSymbols {
    /// Reads them; none are known if that fails.
    pub(crate) fn read() -> KernelSymbols {
        KernelSymbols::parse(&std::fs::read_to_string(FILE).unwrap_or_default())
    }

    fn parse(text: &str) -> KernelSymbols {
        let functions =
            text.lines().filter_map(parse_line).filter(|(_, kind, _)| matches!(*kind, "t" | "T" | "w" | "W"));
        let mut functions: Vec<_> = functions.map(|(address, _, name)| (address, Box::from(name))).collect();
        // Of several names of one address, that of a system call is the last.
        functions.sort_by_key(|(address, name): &(u64, Box<str>)| (*address, arch::system_call_of(name).is_some()));
        KernelSymbols(functions)
    }

    /// Returns what a thread waits in: the name of a system call, [`Function::PAGE`], or the innermost of these kernel
    /// functions if they are neither.
    pub(crate) fn waits_in(&self, entry: &KernelEntry) -> Option<&str> {
        let calls = entry.0.iter().filter(|&&address| address != 0);
        let names: Vec<&str> = calls.filter_map(|&address| self.name(address - 1)).collect();
        let call = names.iter().find_map(|name| arch::system_call_of(name));
        let page = names.iter().any(|name| name.contains("page_fault")).then_some(Function::PAGE);
        call.or(page).or(names.last().copied())
    }

    fn name(&self, address: u64) -> Option<&str> {
        let after = self.0.partition_point(|&(start, _)| start <= address);
        self.0[..after].last().map(|(_, name)| &**name)
    }
}

/// Returns address, kind and name: a line is `ffffffff81000000 T _text`, perhaps with a module.
fn parse_line(line: &str) -> Option<(u64, &str, &str)> {
    let mut words = line.split_whitespace();
    Some((u64::from_str_radix(words.next()?, 16).ok()?, words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "0000000000000000 A fixed_percpu_data\n\
        ffffffff81000000 T _text\n\
        ffffffff81000b00 T entry_SYSCALL_64_after_hwframe\n\
        ffffffff81000c00 T asm_exc_page_fault\n\
        ffffffff81000d00 t do_signal_stop\n\
        ffffffff81000e00 T __x64_sys_futex\n\
        ffffffff81000e00 T __alias_of_it\n\
        ffffffff81000f00 T __x64_sys_newfstat\n\
        ffffffff81000f80 T ksys_read\n\
        ffffffff81001000 D some_data\n\
        ffffffffc0000000 t helper\t[module]\n";

    #[test]
    fn what_a_thread_waits_in_by_the_way_it_came_to_the_kernel() {
        let symbols = KernelSymbols::parse(TEXT);
        let check = |what: &str, calls: [u64; 4], expected: Option<&str>| {
            let calls = calls.map(|call| if call == 0 { 0 } else { 0xffff_ffff_0000_0000 | call });
            let calls: Vec<Avma> = calls.into_iter().filter(|&call| call != 0).rev().map(Avma).collect();
            assert_eq!(symbols.waits_in(&KernelEntry::of(&calls)), expected, "{what}");
        };
        check("a system call", [0x8100_0b76, 0x8100_0e34, 0x8100_0d10, 0], Some("futex"));
        check("one that the kernel calls otherwise", [0x8100_0b76, 0x8100_0f34, 0, 0], Some("fstat"));
        check("the end of one", [0x8100_0b76, 0x8100_0f94, 0x8100_0d10, 0], Some("read"));
        check("a page", [0x8100_0c22, 0x8100_0d10, 0, 0], Some(Function::PAGE));
        check("something else", [0x8100_0d10, 0xc000_0010, 0, 0], Some("helper"));
        check("a return address at the end of its function", [0x8100_0e00, 0, 0, 0], Some("do_signal_stop"));
        check("nothing", [0; 4], None);
        assert_eq!(KernelSymbols::parse("").waits_in(&KernelEntry::of(&[Avma(1), Avma(2)])), None);
    }
}
