//! The tables that samples of OTLP profiles refer to, each entry once.

use std::collections::HashMap;
use std::hash::Hash;

use cgoprof_profile::{CodeFile, Function, Kind, Location, LocationId, Profile};

use super::proto::{
    AnyValue, Function as FunctionEntry, KeyValueAndUnit, Line, Link, Location as LocationEntry, Mapping,
    ProfilesDictionary, Stack,
};
use crate::units::printable;

/// A dictionary that grows.
pub(super) struct Dictionary {
    tables: ProfilesDictionary,
    strings: HashMap<String, i32>,
    attributes: HashMap<(&'static str, String), i32>,
    stacks: HashMap<Vec<LocationId>, i32>,
}

/// Index of the program's mapping; those of libraries follow.
const PROGRAM: i32 = 1;

impl Dictionary {
    /// Returns a dictionary with the files, functions and locations of a profile.
    pub(super) fn new(profile: &Profile) -> Dictionary {
        let mut dictionary = Dictionary {
            tables: ProfilesDictionary {
                mapping_table: vec![Mapping::default()],
                location_table: vec![LocationEntry::default()],
                function_table: vec![FunctionEntry::default()],
                link_table: vec![Link::default()],
                string_table: vec![String::new()],
                attribute_table: vec![KeyValueAndUnit::default()],
                stack_table: vec![Stack::default()],
            },
            strings: HashMap::from([(String::new(), 0)]),
            attributes: HashMap::new(),
            stacks: HashMap::from([(Vec::new(), 0)]),
        };
        let target = (&profile.target.path, &profile.target.build_id);
        let libraries = profile.libraries.iter().map(|library| (&library.path, &library.build_id));
        for (path, build_id) in std::iter::once(target).chain(libraries) {
            let mapping = dictionary.mapping(path, build_id);
            dictionary.tables.mapping_table.push(mapping);
        }
        for function in &profile.functions {
            let function = dictionary.function(function);
            dictionary.tables.function_table.push(function);
        }
        for location in &profile.locations {
            let location = dictionary.location(profile, location);
            dictionary.tables.location_table.push(location);
        }
        dictionary
    }

    pub(super) fn into_tables(self) -> ProfilesDictionary {
        self.tables
    }

    pub(super) fn string(&mut self, text: &str) -> i32 {
        number(&mut self.strings, &mut self.tables.string_table, printable(text), |text| text.clone())
    }

    pub(super) fn stack(&mut self, stack: &[LocationId]) -> i32 {
        let entry = |stack: &Vec<LocationId>| Stack {
            location_indices: stack.iter().map(|location| location.0 as i32 + 1).collect(),
        };
        number(&mut self.stacks, &mut self.tables.stack_table, stack.to_vec(), entry)
    }

    /// Returns the mapping of a file. It spans all addresses: those of locations are as the file states them.
    fn mapping(&mut self, path: &str, build_id: &str) -> Mapping {
        let has_build_id = !build_id.is_empty();
        let build_id = has_build_id.then(|| self.attribute("process.executable.build_id.gnu", build_id));
        Mapping {
            memory_limit: u64::MAX,
            filename_strindex: self.string(path),
            attribute_indices: build_id.into_iter().collect(),
        }
    }

    fn function(&mut self, function: &Function) -> FunctionEntry {
        let system_name = if function.symbol.is_empty() { &function.name } else { &function.symbol };
        FunctionEntry {
            name_strindex: self.string(&function.name),
            system_name_strindex: self.string(system_name),
            filename_strindex: self.string(&function.file),
        }
    }

    fn location(&mut self, profile: &Profile, location: &Location) -> LocationEntry {
        let line = |line: &cgoprof_profile::Line| Line {
            function_index: line.function.0 as i32 + 1,
            line: i64::from(line.line),
        };
        // The values that OpenTelemetry's conventions have for this attribute.
        let kind = location.lines.first().map(|line| profile.functions[line.function.0].kind);
        let kind = match kind.unwrap_or_default() {
            Kind::Go | Kind::Border => "go",
            Kind::C => "native",
            Kind::Kernel => "kernel",
        };
        LocationEntry {
            mapping_index: match location.file {
                CodeFile::Program => PROGRAM,
                CodeFile::Library(library) => PROGRAM + 1 + library.0 as i32,
                CodeFile::None => 0,
            },
            address: location.address,
            lines: location.lines.iter().map(line).collect(),
            attribute_indices: vec![self.attribute("profile.frame.type", kind)],
        }
    }

    fn attribute(&mut self, key: &'static str, value: &str) -> i32 {
        let key_strindex = self.string(key);
        let entry = |(_, value): &(_, String)| KeyValueAndUnit {
            key_strindex,
            value: Some(AnyValue { string_value: Some(value.clone()), int_value: None }),
        };
        number(&mut self.attributes, &mut self.tables.attribute_table, (key, value.to_owned()), entry)
    }
}

/// Returns the index of something in its table, where it is added if it is new.
fn number<K: Hash + Eq, E>(numbers: &mut HashMap<K, i32>, table: &mut Vec<E>, key: K, entry: impl Fn(&K) -> E) -> i32 {
    *numbers.entry(key).or_insert_with_key(|key| {
        table.push(entry(key));
        table.len() as i32 - 1
    })
}
