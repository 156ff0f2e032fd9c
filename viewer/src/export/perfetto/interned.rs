//! Strings that a trace has once, and refers to by numbers from then on.

use std::collections::HashMap;

use super::proto::{InternedData, InternedString};

/// All strings of a trace so far.
#[derive(Default)]
pub(super) struct Interned {
    events: Strings,
    annotations: Strings,
    values: Strings,
}

/// The strings of one use.
#[derive(Default)]
struct Strings {
    numbers: HashMap<String, u64>,
    new: Vec<InternedString>,
}

impl Strings {
    fn number(&mut self, text: &str) -> u64 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        // 0 is no number of a string.
        let number = self.numbers.len() as u64 + 1;
        self.numbers.insert(text.to_owned(), number);
        self.new.push(InternedString { iid: number, name: text.to_owned() });
        number
    }
}

impl Interned {
    /// Returns the number of an event's name.
    pub(super) fn event(&mut self, name: &str) -> u64 {
        self.events.number(name)
    }

    /// Returns the number of an annotation's name.
    pub(super) fn annotation(&mut self, name: &str) -> u64 {
        self.annotations.number(name)
    }

    /// Returns the number of an annotation's value.
    pub(super) fn value(&mut self, text: &str) -> u64 {
        self.values.number(text)
    }

    /// Returns the strings that the packets so far don't have.
    pub(super) fn take_new(&mut self) -> Option<InternedData> {
        let new = InternedData {
            event_names: std::mem::take(&mut self.events.new),
            debug_annotation_names: std::mem::take(&mut self.annotations.new),
            debug_annotation_string_values: std::mem::take(&mut self.values.new),
        };
        (new != InternedData::default()).then_some(new)
    }
}
