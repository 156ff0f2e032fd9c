//! Bytes of a process's code that are never executed: what is left of the last page of a file's code.

use cgoprof_symbols::Avma;

use super::maps::Mapping;

/// So many unused bytes of executable memory, the first file's that has them.
///
/// Judged by the files: what a recorder that died has left there does not count.
pub(crate) fn find(mappings: &[Mapping], size: usize) -> Option<Avma> {
    mappings.iter().filter(|mapping| mapping.executable).find_map(|mapping| {
        let contents = mapping.contents()?;
        let length = usize::try_from(mapping.range.end.0 - mapping.range.start.0).ok()?.checked_sub(size)?;
        let start = usize::try_from(mapping.offset.0).ok()?.checked_add(length)?;
        // Beyond the file's end there are zeros, to the end of the page.
        let there = contents.get(start..contents.len().min(start + size)).unwrap_or_default();
        let whole = contents.len() > start.saturating_sub(4096);
        (whole && there.iter().all(|&byte| byte == 0)).then(|| Avma(mapping.range.start.0 + length as u64))
    })
}

#[cfg(test)]
mod tests {
    use nix::unistd::Pid;

    use super::*;
    use crate::process::{maps, memory};

    #[test]
    fn our_own_code_has_some() {
        let place = find(&maps::read(Pid::this()).unwrap(), 256).unwrap();
        let mut found = [1; 256];
        assert_eq!(memory::read(Pid::this(), place, &mut found), Some(256));
        assert_eq!(found, [0; 256]);
    }
}
