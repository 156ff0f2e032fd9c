//! IFUNCs: functions with several implementations, such as `memcpy`. A resolver selects one when the library is loaded.
//! Their symbols have the resolver's address. If this process has loaded the same library, its dynamic linker has
//! selected the same implementation.

use std::collections::HashSet;
use std::ffi::CString;

use cgoprof_symbols::{Avma, Binary, Svma, call_frames};
use nix::unistd::Pid;

use crate::process::maps;

/// Returns the selected implementations, with their sizes in bytes (0 if unknown) and names. Empty if this process has
/// not loaded the library.
pub(super) fn implementations<'data>(binary: &Binary<'data>) -> Vec<(Svma, u64, &'data str)> {
    let mut symbols = binary.ifuncs().to_vec();
    let Some(bias) = (!symbols.is_empty()).then(|| own_bias(binary)).flatten() else { return Vec::new() };
    // As in `Binary::functions`: `strchr`, not the weak `index`.
    symbols.sort_by_key(|symbol| (symbol.binding, symbol.name.starts_with('_'), symbol.name.len(), symbol.name));
    let mut seen = HashSet::new();
    let selected = symbols.into_iter().filter_map(|symbol| {
        let address = Avma(address_of(symbol.name)?).stated(bias);
        let is_new = binary.is_code(address) && seen.insert(address);
        is_new.then(|| (address, call_frames::size_of_function(binary, address).unwrap_or(0), symbol.name))
    });
    selected.collect()
}

/// Returns the distance from a library's stated addresses to those in this process.
fn own_bias(binary: &Binary<'_>) -> Option<u64> {
    let id = binary.build_id()?;
    let mappings = maps::read(Pid::this()).ok()?;
    mappings.iter().filter(|mapping| mapping.executable && mapping.path.is_absolute()).find_map(|mapping| {
        let data = mapping.contents()?;
        let own = Binary::parse(&data).ok()?;
        (own.build_id().as_ref() == Some(&id)).then(|| own.bias(mapping.range.start, mapping.offset)).flatten()
    })
}

fn address_of(name: &str) -> Option<u64> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name ends with a zero byte. `dlsym` calls nothing but resolvers, as the dynamic linker does in every
    // program.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    (!address.is_null()).then_some(address as u64)
}
