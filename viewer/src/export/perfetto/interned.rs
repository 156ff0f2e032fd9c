//! Strings that a trace has once, and refers to by numbers from then on.

use super::proto::{InternedData, InternedString};
use crate::numbered::Numbered;

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
    all: Numbered<String>,
    /// Number of strings that packets have.
    written: usize,
}

impl Strings {
    fn number(&mut self, text: &str) -> u64 {
        iid(self.all.number(text.to_owned()))
    }

    fn take_new(&mut self) -> Vec<InternedString> {
        let new = self.all.all().iter().enumerate().skip(self.written);
        let new = new.map(|(number, name)| InternedString { iid: iid(number), name: name.clone() }).collect();
        self.written = self.all.all().len();
        new
    }
}

/// Returns the number that a trace has for a string: 0 is none.
fn iid(number: usize) -> u64 {
    number as u64 + 1
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
            event_names: self.events.take_new(),
            debug_annotation_names: self.annotations.take_new(),
            debug_annotation_string_values: self.values.take_new(),
        };
        (new != InternedData::default()).then_some(new)
    }
}
