//! Libraries that the dynamic linker has loaded into a process, from its list for debuggers (`struct r_debug` and
//! `struct link_map` in glibc's and musl's <link.h>). Comparing the list takes two system calls, while `/proc/PID/maps`
//! takes many more.

use cgoprof_symbols::Avma;
use nix::unistd::Pid;

use super::auxv;
use super::memory::{read, word};

/// The list as it was last seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkMap {
    pid: Pid,
    first: Avma,
    last: Avma,
    /// Words of the last entry.
    entry: Entry,
}

/// Words of a `struct link_map`: address, name, dynamic section, next, previous.
type Entry = [u64; 5];

const NEXT: usize = 3;
const PREVIOUS: usize = 4;
/// Offset of the first entry's address in `struct r_debug`.
const R_MAP: u64 = 8;
/// Maximum number of libraries followed: the list is the program's, and may be a circle.
const MOST: usize = 100_000;

impl LinkMap {
    /// Returns the list of a process; none for a static program, and before its linker has made one.
    pub(crate) fn of(pid: Pid) -> Option<LinkMap> {
        let first = Avma(word(pid, Avma(list(pid)?.0.wrapping_add(R_MAP))).filter(|&first| first != 0)?);
        let mut map = LinkMap { pid, first, last: first, entry: entry(pid, first)? };
        map.go_to_end();
        Some(map)
    }

    /// Whether a library has been loaded, or the last one unloaded, since the last call. False if the list can't be
    /// read: the process has ended, or become another program.
    pub(crate) fn has_changed(&mut self) -> bool {
        let Some(now) = entry(self.pid, self.last) else { return false };
        let is_listed = self.last == self.first
            || entry(self.pid, Avma(now[PREVIOUS])).is_some_and(|before| before[NEXT] == self.last.0);
        if is_listed && now == self.entry {
            return false;
        }
        let before = (self.last, self.entry);
        if is_listed {
            self.entry = now;
        } else {
            let Some(first) = entry(self.pid, self.first) else { return false };
            (self.last, self.entry) = (self.first, first);
        }
        self.go_to_end();
        (self.last, self.entry) != before
    }

    fn go_to_end(&mut self) {
        for _ in 0..MOST {
            let next = Some(Avma(self.entry[NEXT])).filter(|next| next.0 != 0);
            let Some((next, entry)) = next.and_then(|next| Some((next, entry(self.pid, next)?))) else { break };
            (self.last, self.entry) = (next, entry);
        }
    }
}

/// Returns an entry of the list, if it can be read.
fn entry(pid: Pid, at: Avma) -> Option<Entry> {
    let mut bytes = [0; size_of::<Entry>()];
    let whole = read(pid, at, &mut bytes)? == bytes.len();
    let words = bytes.as_chunks::<8>().0;
    whole.then(|| std::array::from_fn(|index| u64::from_le_bytes(words[index])))
}

/// Returns the address of a program's `struct r_debug`, which `DT_DEBUG` in its dynamic section holds.
fn list(pid: Pid) -> Option<Avma> {
    const PT_PHDR: u32 = 6;
    const PT_DYNAMIC: u32 = 2;
    const DT_DEBUG: u64 = 21;
    const HEADER: u64 = 56;
    let headers = auxv::program_headers(pid)?;
    let field = |index: u64, offset: u64| word(pid, Avma(headers.start.0.wrapping_add(index * HEADER + offset)));
    let of_kind = |kind: u32| {
        let mut indices = 0..headers.count.min(MOST as u64);
        // The type is the lower half of the first word, the address the third.
        let index = indices.find(|&index| field(index, 0).is_some_and(|word| word as u32 == kind))?;
        field(index, 16)
    };
    // A program without PT_PHDR is not position-independent.
    let bias = of_kind(PT_PHDR).map_or(0, |stated| headers.start.0.wrapping_sub(stated));
    let dynamic = of_kind(PT_DYNAMIC)?.wrapping_add(bias);
    for entry in 0..MOST as u64 {
        let at = dynamic.wrapping_add(entry * 16);
        match word(pid, Avma(at))? {
            0 => return None,
            DT_DEBUG => return word(pid, Avma(at.wrapping_add(8))).filter(|&list| list != 0).map(Avma),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_that_is_loaded_changes_the_list_once() {
        let mut map = LinkMap::of(Pid::this()).expect("a dynamic program");
        assert!(!map.has_changed());
        let load = |name: &std::ffi::CStr| {
            // SAFETY: the name ends with a zero byte; the libraries are C's own.
            let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW) };
            assert!(!library.is_null(), "{name:?}");
            library
        };
        let library = load(c"libBrokenLocale.so.1");
        assert!(map.has_changed());
        assert!(!map.has_changed());
        // SAFETY: nothing of the library is used.
        assert_eq!(unsafe { libc::dlclose(library) }, 0);
        assert!(map.has_changed());
        assert!(!map.has_changed());
    }
}
