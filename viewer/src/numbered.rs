//! Things by number, each once.

use std::collections::HashMap;
use std::hash::Hash;

/// Things by the order in which they came.
pub(crate) struct Numbered<K> {
    numbers: HashMap<K, usize>,
    all: Vec<K>,
}

impl<K> Default for Numbered<K> {
    fn default() -> Self {
        Numbered { numbers: HashMap::new(), all: Vec::new() }
    }
}

impl<K: Clone + Eq + Hash> Numbered<K> {
    /// Returns the number of a thing; the next one for a new thing.
    pub(crate) fn number(&mut self, thing: K) -> usize {
        if let Some(&known) = self.numbers.get(&thing) {
            return known;
        }
        self.all.push(thing.clone());
        self.numbers.insert(thing, self.all.len() - 1);
        self.all.len() - 1
    }

    /// Returns all things in the order of their numbers.
    pub(crate) fn all(&self) -> &[K] {
        &self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_has_one_number() {
        let mut names = Numbered::default();
        let numbers: Vec<usize> = ["a", "b", "a", "c"].map(|name| names.number(name)).into();
        assert_eq!((numbers, names.all()), (vec![0, 1, 0, 2], &["a", "b", "c"][..]));
    }
}
