//! Works out how a process's seccomp filters would answer a system call, and so whether the process can make it at all.
//! A filter may refuse a call, which does no harm, or kill for it.

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::status::Status;
use crate::arch::AUDIT_ARCHITECTURE;

/// One instruction of a filter (linux/filter.h, `sock_filter`).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Instruction {
    pub(super) code: u16,
    pub(super) if_true: u8,
    pub(super) if_false: u8,
    pub(super) k: u32,
}

/// Input of a filter for a call, in words of 32 bits (linux/seccomp.h, `seccomp_data`): number, architecture, address
/// of the call, arguments.
pub(super) type Data = [u32; 16];

/// Maximum number of instructions of a filter that are followed; the kernel allows 4,096, and no loops.
const MOST: usize = 4096;

/// Effect of a filter on a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    /// The call is made, or fails with an error.
    Harmless,
    /// The filter kills, traps, or asks another process.
    Dangerous,
}

/// A system call with the arguments that a filter can judge: numbers and flags. Addresses and descriptors are not known
/// beforehand, and have any value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// `SYS_*`.
    pub(crate) number: i64,
    /// Its arguments, in the order of the registers.
    pub(crate) args: [u64; 6],
}

impl Call {
    /// Returns a call that filters judge by its number, if at all.
    pub(crate) const fn of(number: i64) -> Call {
        Call { number, args: [0; 6] }
    }
}

/// The filters of a thread may kill it for the calls.
#[derive(Debug, thiserror::Error)]
#[error(
    "a seccomp filter of its own restricts the system calls that hooks need (memfd_create, mmap, madvise, munmap), {0}"
)]
pub struct Filtered(&'static str);

/// Fails if these system calls might kill a stopped thread that makes them.
pub(crate) fn check(tid: Pid, calls: &[Call]) -> Result<(), Filtered> {
    // If the number of filters can't be read, the filters are examined.
    let filters = |pid: Pid| Status::read(pid).map_or(u32::MAX, |status| status.filters);
    let theirs = filters(tid);
    if theirs == 0 {
        return Ok(());
    }
    match verdict(tid, calls) {
        Some(Verdict::Harmless) => Ok(()),
        Some(Verdict::Dangerous) => Err(Filtered("and would kill it for them")),
        // We have as many filters ourselves: they are our container's, and do to the thread what they do to us.
        None if theirs == filters(Pid::this()) => match survives(calls) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Filtered("and kills for them")),
            Err(_) => Err(Filtered("and no process can be made to try them")),
        },
        None => Err(Filtered("which only root may read")),
    }
}

/// Whether a child of ours makes these calls and lives. Their effect on the child does not matter.
fn survives(calls: &[Call]) -> nix::Result<bool> {
    let no_core = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the child makes system calls and ends; it allocates nothing.
    match unsafe { libc::fork() } {
        // SAFETY: whatever the calls do to its memory, the child uses none of that any more.
        0 => unsafe {
            libc::setrlimit(libc::RLIMIT_CORE, &raw const no_core);
            for Call { number, args: [a, b, c, d, e, f] } in calls {
                libc::syscall(*number, *a, *b, *c, *d, *e, *f);
            }
            libc::_exit(0)
        },
        -1 => Err(Errno::last()),
        child => Ok(matches!(waitpid(Pid::from_raw(child), None)?, WaitStatus::Exited(_, 0))),
    }
}

/// Returns the verdict of all filters of a stopped thread on these calls; none if they can't be read, which takes
/// CAP_SYS_ADMIN.
fn verdict(tid: Pid, calls: &[Call]) -> Option<Verdict> {
    let mut index = 0;
    loop {
        let filter = match read(tid, index) {
            Ok(filter) => filter,
            // There are no more filters.
            Err(libc::ENOENT) => return Some(Verdict::Harmless),
            Err(_) => return None,
        };
        if calls.iter().any(|call| judge(&filter, &data(call)) == Verdict::Dangerous) {
            return Some(Verdict::Dangerous);
        }
        index += 1;
    }
}

/// Reads one filter of a thread; index 0 is the latest.
fn read(tid: Pid, index: u64) -> Result<Vec<Instruction>, i32> {
    const PTRACE_SECCOMP_GET_FILTER: libc::c_uint = 0x420c;
    let mut filter = vec![Instruction::default(); MOST];
    // SAFETY: the kernel writes at most 4,096 instructions (BPF_MAXINSNS), for which there is room.
    let length = unsafe { libc::ptrace(PTRACE_SECCOMP_GET_FILTER, tid.as_raw(), index, filter.as_mut_ptr()) };
    if length < 0 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    filter.truncate(length as usize);
    Ok(filter)
}

/// Returns a filter's input for a call, with 0 as the call's address.
pub(super) fn data(call: &Call) -> Data {
    let mut data = [0; 16];
    (data[0], data[1]) = (call.number as u32, AUDIT_ARCHITECTURE);
    for (words, arg) in data[4..].chunks_exact_mut(2).zip(call.args) {
        (words[0], words[1]) = (arg as u32, (arg >> 32) as u32);
    }
    data
}

fn judge(filter: &[Instruction], data: &Data) -> Verdict {
    match run(filter, data).map(|action| action & 0xffff_0000) {
        // SECCOMP_RET_ALLOW, SECCOMP_RET_LOG, SECCOMP_RET_ERRNO.
        Some(0x7fff_0000 | 0x7ffc_0000 | 0x0005_0000) => Verdict::Harmless,
        _ => Verdict::Dangerous,
    }
}

/// Returns the result of a filter; none if it is not a filter that the kernel would have taken.
pub(super) fn run(filter: &[Instruction], data: &Data) -> Option<u32> {
    let (mut a, mut x, mut memory, mut at) = (0u32, 0u32, [0u32; 16], 0usize);
    for _ in 0..MOST {
        let Instruction { code, if_true, if_false, k } = *filter.get(at)?;
        at += 1;
        let operand = if code & 0x08 != 0 { x } else { k };
        match code & 0x07 {
            // BPF_LD and BPF_LDX: by BPF_ABS, BPF_IMM, BPF_MEM, BPF_LEN.
            0x00 | 0x01 => {
                let value = match code & 0xe0 {
                    0x20 => *data.get(k as usize / 4)?,
                    0x00 => k,
                    0x60 => *memory.get(k as usize)?,
                    0x80 => size_of::<Data>() as u32,
                    _ => return None,
                };
                *if code & 0x07 == 0 { &mut a } else { &mut x } = value;
            }
            0x02 => *memory.get_mut(k as usize)? = a,
            0x03 => *memory.get_mut(k as usize)? = x,
            // BPF_ALU.
            0x04 => {
                a = match code & 0xf0 {
                    0x00 => a.wrapping_add(operand),
                    0x10 => a.wrapping_sub(operand),
                    0x20 => a.wrapping_mul(operand),
                    0x30 => a.checked_div(operand)?,
                    0x40 => a | operand,
                    0x50 => a & operand,
                    0x60 => a.checked_shl(operand).unwrap_or(0),
                    0x70 => a.checked_shr(operand).unwrap_or(0),
                    0x80 => a.wrapping_neg(),
                    0xa0 => a ^ operand,
                    _ => return None,
                }
            }
            // BPF_JMP.
            0x05 => {
                let holds = match code & 0xf0 {
                    0x00 => {
                        at = at.checked_add(k as usize)?;
                        continue;
                    }
                    0x10 => a == operand,
                    0x20 => a > operand,
                    0x30 => a >= operand,
                    0x40 => a & operand != 0,
                    _ => return None,
                };
                at += usize::from(if holds { if_true } else { if_false });
            }
            // BPF_RET.
            0x06 => return Some(if code & 0x18 == 0x10 { a } else { k }),
            // BPF_MISC: BPF_TAX, BPF_TXA.
            _ => *if code & 0x80 == 0 { &mut x } else { &mut a } = if code & 0x80 == 0 { a } else { x },
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(what: &str, filter: &[(u16, u8, u8, u32)], call: i64, expected: Verdict) {
        let filter: Vec<_> =
            filter.iter().map(|&(code, if_true, if_false, k)| Instruction { code, if_true, if_false, k }).collect();
        assert_eq!(judge(&filter, &data(&Call::of(call))), expected, "{what}, call {call}");
    }

    #[test]
    fn filters_are_judged_as_the_kernel_does() {
        const ALLOW: u32 = 0x7fff_0000;
        const KILL: u32 = 0x8000_0000;
        const REFUSE: u32 = 0x0005_0001;
        // Kills for 319, refuses 9, allows the rest.
        let some = [
            (0x20, 0, 0, 0),
            (0x15, 0, 1, 319),
            (0x06, 0, 0, KILL),
            (0x15, 0, 1, 9),
            (0x06, 0, 0, REFUSE),
            (0x06, 0, 0, ALLOW),
        ];
        check("kills for one", &some, 319, Verdict::Dangerous);
        check("refuses one", &some, 9, Verdict::Harmless);
        check("allows another", &some, 28, Verdict::Harmless);
        let other_architecture =
            [(0x20, 0, 0, 4), (0x15, 1, 0, AUDIT_ARCHITECTURE), (0x06, 0, 0, KILL), (0x06, 0, 0, ALLOW)];
        check("by architecture", &other_architecture, 9, Verdict::Harmless);
        let computed = [
            (0x20, 0, 0, 0),
            (0x54, 0, 0, 0xff),
            (0x02, 0, 0, 3),
            (0x61, 0, 0, 3),
            (0x87, 0, 0, 0),
            (0x35, 0, 1, 9),
            (0x06, 0, 0, KILL),
            (0x06, 0, 0, ALLOW),
        ];
        check("by arithmetic", &computed, 9, Verdict::Dangerous);
        check("by arithmetic", &computed, 8, Verdict::Harmless);
        // Kills for mmap of code: a bit of the third argument.
        let code = [
            (0x20, 0, 0, 0),
            (0x15, 0, 4, 9),
            (0x20, 0, 0, 32),
            (0x45, 0, 1, libc::PROT_EXEC as u32),
            (0x06, 0, 0, KILL),
            (0x06, 0, 0, ALLOW),
            (0x06, 0, 0, ALLOW),
        ]
        .map(|(code, if_true, if_false, k)| Instruction { code, if_true, if_false, k });
        for (protection, expected) in [(libc::PROT_READ, Verdict::Harmless), (libc::PROT_EXEC, Verdict::Dangerous)] {
            let call = Call { number: 9, args: [0, 4096, protection as u64, 0, u64::MAX, 0] };
            assert_eq!(judge(&code, &data(&call)), expected, "mmap with protection {protection}");
        }
        check("no end", &[(0x05, 0, 0, u32::MAX)], 9, Verdict::Dangerous);
        check("nothing", &[], 9, Verdict::Dangerous);
    }
}
