//! The tables that samples of OTLP profiles refer to, each entry once.

use std::collections::HashMap;
use std::hash::Hash;

use cgoprof_profile::{CodeFile, Function, FunctionId, Kind, Location, LocationId, Profile};

use super::proto::{
    AnyValue, Function as FunctionEntry, KeyValueAndUnit, Line, Link, Location as LocationEntry, Mapping,
    ProfilesDictionary, Stack,
};
use crate::units::printable;

/// A dictionary that grows. It has those functions and locations of the profile that stacks need.
pub(super) struct Dictionary<'a> {
    profile: &'a Profile,
    tables: ProfilesDictionary,
    strings: HashMap<String, i32>,
    attributes: HashMap<(&'static str, String), i32>,
    functions: HashMap<FunctionId, i32>,
    locations: HashMap<LocationId, i32>,
    stacks: HashMap<Vec<LocationId>, i32>,
}

/// Index of the program's mapping; those of libraries follow.
const PROGRAM: i32 = 1;

impl<'a> Dictionary<'a> {
    /// Returns a dictionary with the files of a profile.
    pub(super) fn new(profile: &'a Profile) -> Dictionary<'a> {
        let mut dictionary = Dictionary {
            profile,
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
            functions: HashMap::new(),
            locations: HashMap::new(),
            stacks: HashMap::from([(Vec::new(), 0)]),
        };
        let target = (&profile.target.path, &profile.target.build_id);
        let libraries = profile.libraries.iter().map(|library| (&library.path, &library.build_id));
        for (path, build_id) in std::iter::once(target).chain(libraries) {
            let mapping = dictionary.mapping(path, build_id);
            dictionary.tables.mapping_table.push(mapping);
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
        let locations: Vec<i32> = stack.iter().map(|&location| self.location_index(location)).collect();
        let entry = |_: &Vec<LocationId>| Stack { location_indices: locations.clone() };
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

    fn function_index(&mut self, id: FunctionId) -> i32 {
        if let Some(&index) = self.functions.get(&id) {
            return index;
        }
        let entry = self.function(&self.profile.functions[id.0]);
        number(&mut self.functions, &mut self.tables.function_table, id, |_| entry.clone())
    }

    fn location_index(&mut self, id: LocationId) -> i32 {
        if let Some(&index) = self.locations.get(&id) {
            return index;
        }
        let entry = self.location(&self.profile.locations[id.0]);
        number(&mut self.locations, &mut self.tables.location_table, id, |_| entry.clone())
    }

    fn function(&mut self, function: &Function) -> FunctionEntry {
        let system_name = if function.symbol.is_empty() { &function.name } else { &function.symbol };
        FunctionEntry {
            name_strindex: self.string(&function.name),
            system_name_strindex: self.string(system_name),
            filename_strindex: self.string(&function.file),
        }
    }

    fn location(&mut self, location: &Location) -> LocationEntry {
        let line = |line: &cgoprof_profile::Line| Line {
            function_index: self.function_index(line.function),
            line: i64::from(line.line),
        };
        let lines = location.lines.iter().map(line).collect();
        // The values that OpenTelemetry's conventions have for this attribute.
        let kind = location.lines.first().map(|line| self.profile.functions[line.function.0].kind);
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
            lines,
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
