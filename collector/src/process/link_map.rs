//! The libraries that the dynamic linker has loaded into a process: its list for debuggers (`struct r_debug` and
//! `struct link_map` in glibc's and musl's <link.h>), which takes two system calls to compare, where `/proc/PID/maps` takes
//! many more.

use cgoprof_symbols::Avma;
use nix::unistd::Pid;

use super::auxv;
use super::memory::word;

/// The list as it was last seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkMap {
    pid: Pid,
    first: Avma,
    last: Avma,
}

/// Libraries that are followed at most: the list is the program's, and may be a circle.
const MOST: usize = 100_000;
/// Offsets in `struct r_debug` and `struct link_map`.
const R_MAP: u64 = 8;
const NEXT: u64 = 24;
const PREVIOUS: u64 = 32;

impl LinkMap {
    /// The list of a process; none for a static program, and before its linker has made one.
    pub(crate) fn of(pid: Pid) -> Option<LinkMap> {
        let list = word(pid, Avma(list(pid)?.0.wrapping_add(R_MAP))).filter(|&first| first != 0)?;
        let mut map = LinkMap { pid, first: Avma(list), last: Avma(list) };
        map.last = map.end();
        Some(map)
    }

    /// Whether a library has been loaded, or the last one unloaded, since the last call.
    pub(crate) fn has_changed(&mut self) -> bool {
        let (last, first) = (self.last, self.first);
        let is_last = self.field(last, NEXT) == Some(0);
        let is_listed = last == first
            || self.field(last, PREVIOUS).is_some_and(|before| self.field(Avma(before), NEXT) == Some(last.0));
        if is_last && is_listed {
            return false;
        }
        self.last = self.end();
        true
    }

    fn end(&self) -> Avma {
        let mut last = self.first;
        for _ in 0..MOST {
            match self.field(last, NEXT) {
                Some(next) if next != 0 => last = Avma(next),
                _ => break,
            }
        }
        last
    }

    fn field(&self, library: Avma, offset: u64) -> Option<u64> {
        word(self.pid, Avma(library.0.wrapping_add(offset)))
    }
}

/// Address of a program's `struct r_debug`, which its dynamic section has under `DT_DEBUG`.
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
    // A program without the first is not position-independent.
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
        // SAFETY: nothing of it is used.
        assert_eq!(unsafe { libc::dlclose(library) }, 0);
        assert!(map.has_changed());
        assert!(!map.has_changed());
    }
}
