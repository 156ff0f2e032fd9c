//! Functions of a file by address.

use std::ops::Range;

use cgoprof_symbols::Svma;

use super::covering;

/// Names of functions by address.
#[derive(Default)]
pub(super) struct FunctionTable {
    /// Address, size, and range of the name in `names`.
    functions: Vec<(Svma, u64, Range<usize>)>,
    names: String,
}

impl FunctionTable {
    /// Of functions with address, size and name, in any order. Of two at one address, the first is kept.
    pub(super) fn new<'a>(functions: impl IntoIterator<Item = (Svma, u64, &'a str)>) -> FunctionTable {
        let mut all: Vec<_> = functions.into_iter().collect();
        all.sort_by_key(|&(address, ..)| address);
        all.dedup_by_key(|&mut (address, ..)| address);
        let mut table = FunctionTable::default();
        for (address, size, name) in all {
            let start = table.names.len();
            table.names.push_str(name);
            table.functions.push((address, size, start..table.names.len()));
        }
        table
    }

    /// The name of the function that covers an address.
    pub(super) fn name_at(&self, address: Svma) -> Option<&str> {
        let function = covering(&self.functions, |function| (function.0, function.1), address)?;
        Some(&self.names[function.2.clone()])
    }
}
