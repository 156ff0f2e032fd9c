//! Code caves: bytes of a process's code that are never executed, at the end of the last page of a file's code, or of
//! the kernel's (vdso(7)).

use cgoprof_symbols::Avma;
use nix::unistd::Pid;

use super::maps::{self, Mapping};
use super::memory;

/// Returns the address of `size` unused bytes of executable memory: those of the first file that has them, else the
/// kernel's, because a static program may fill its last page.
///
/// Whether bytes are unused is read from the files, and from the kernel's code in our own process. So the stub of a
/// recorder that died does not count.
pub(crate) fn find(mappings: &[Mapping], size: usize) -> Option<Avma> {
    of_files(mappings, size).or_else(|| of_kernel(mappings, size))
}

fn of_files(mappings: &[Mapping], size: usize) -> Option<Avma> {
    mappings.iter().filter(|mapping| mapping.executable).find_map(|mapping| {
        let contents = mapping.contents()?;
        let length = usize::try_from(mapping.range.end.0 - mapping.range.start.0).ok()?.checked_sub(size)?;
        let start = usize::try_from(mapping.offset.0).ok()?.checked_add(length)?;
        // Beyond the file's end, the page is filled with zeros.
        let there = contents.get(start..contents.len().min(start + size)).unwrap_or_default();
        let whole = contents.len() > start.saturating_sub(4096);
        (whole && there.iter().all(|&byte| byte == 0)).then(|| Avma(mapping.range.start.0 + length as u64))
    })
}

/// Finds a code cave in the vdso. The kernel maps the same image into all processes of a kind
/// (arch/x86/entry/vdso/vma.c), and lets debuggers write there.
fn of_kernel(mappings: &[Mapping], size: usize) -> Option<Avma> {
    let place = |mappings: &[Mapping]| {
        let image = mappings.iter().find(|mapping| mapping.executable && mapping.path.as_os_str() == "[vdso]")?;
        let length = image.range.end.0 - image.range.start.0;
        Some((length, Avma(image.range.end.0.checked_sub(size as u64).filter(|&at| at >= image.range.start.0)?)))
    };
    let ((length, place), own) = (place(mappings)?, place(&maps::read_unopened(Pid::this()).ok()?)?);
    let mut there = vec![1; size];
    let read = memory::read(Pid::this(), own.1, &mut there);
    (length == own.0 && read == Some(size) && there.iter().all(|&byte| byte == 0)).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_code_has_some() {
        let place = find(&maps::read(Pid::this()).unwrap(), 256).unwrap();
        let mut found = [1; 256];
        assert_eq!(memory::read(Pid::this(), place, &mut found), Some(256));
        assert_eq!(found, [0; 256]);
    }

    #[test]
    fn where_no_file_has_any_the_kernel_has() {
        let mappings = maps::read(Pid::this()).unwrap();
        assert_ne!(find(&mappings, 136), of_kernel(&mappings, 136), "files come first");
        let kernel: Vec<_> = mappings.into_iter().filter(|mapping| mapping.path.as_os_str() == "[vdso]").collect();
        let place = find(&kernel, 136).expect("a place");
        assert_eq!(place.0 + 136, kernel[0].range.end.0);
        assert_eq!(find(&kernel, 1 << 20), None);
        // As in a process of another kind.
        let mut other = kernel.clone();
        other[0].range.end.0 += 4096;
        assert_eq!(find(&other, 136), None);
    }
}
