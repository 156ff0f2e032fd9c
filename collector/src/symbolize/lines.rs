//! Lines of C: files, lines and inlined functions for the locations that symbols have named.

use std::path::Path;

use cgoprof_profile::{Function, FunctionId, Kind, Line, Profile};
use cgoprof_symbols::debug_info::SourceFrame;
use cgoprof_symbols::demangle::demangle;
use cgoprof_symbols::{Avma, Svma, c_function};

use super::{FunctionKey, Symbolizer};
use crate::process::maps::Mapping;

impl Symbolizer<'_, '_> {
    /// Gives all locations in C their lines and inlined functions, as far as there is debug information, and notes what
    /// of that could not be used.
    pub(crate) fn add_lines(&mut self, profile: &mut Profile) {
        let mut inside: Vec<_> =
            self.inside_locations.iter().map(|(&address, &location)| (address, location)).collect();
        // The order of functions in the profile must not depend on the order in the map.
        inside.sort_by_key(|&(_, location)| location.0);
        for (address, location) in inside {
            let Some((mapping, stated)) = self.place(address) else { continue };
            let frames = self.debug_files.frames(&mapping, stated);
            let own = profile.locations[location.0].lines[0].function;
            if !frames.is_empty() {
                let outermost = |symbolizer: &mut Self, profile: &mut Profile, frame: &SourceFrame| {
                    symbolizer.in_file(profile, own, frame)
                };
                profile.locations[location.0].lines = self.lines(profile, own, frames, outermost);
            } else if let Some(name) = self.debug_files.name(&mapping, stated)
                && profile.functions[own.0].symbol.is_empty()
            {
                let frame = SourceFrame { function: Some(name), ..SourceFrame::default() };
                profile.locations[location.0].lines[0].function = self.in_file(profile, own, &frame);
            }
        }
        self.add_lines_of_called(profile);
        profile.recording.notes.extend(self.debug_files.take_notes());
    }

    /// Does the same for places in C functions that crossings have called, and for where these functions begin.
    fn add_lines_of_called(&mut self, profile: &mut Profile) {
        let mut stood: Vec<_> = self.called_locations.iter().map(|(&key, &location)| (key, location)).collect();
        stood.sort_by_key(|&(_, location)| location.0);
        for ((address, function), location) in stood {
            let Some((mapping, stated)) = self.place(address) else { continue };
            let mut frames = self.debug_files.frames(&mapping, stated);
            let c_name = profile.functions[function.0].c_name.clone();
            // The wrapper that cgo writes has lines of its own, and may have the function inlined.
            if frames.last().and_then(|frame| frame.function.as_deref()).is_some_and(c_function::is_wrapper) {
                frames.pop();
                if frames.last().is_some_and(|frame| frame.function.as_ref() != Some(&c_name)) {
                    frames.push(SourceFrame::default());
                }
            }
            if let Some(own) = frames.last() {
                // A function that is inlined in its wrapper has no begin of its own.
                if profile.functions[function.0].file.is_empty() {
                    profile.functions[function.0].file.clone_from(&own.file);
                }
                profile.locations[location.0].lines = self.lines(profile, function, frames, |_, _, _| function);
            }
        }
        let mut called: Vec<_> = self.c_locations.iter().map(|(&key, &location)| (key, location)).collect();
        called.sort_by_key(|&(_, location)| location.0);
        for ((address, function), location) in called {
            let Some(source) = self.begin_of(&profile.functions[function.0], address) else { continue };
            profile.functions[function.0].file = source.file;
            profile.locations[location.0].lines[0].line = source.line;
        }
    }

    /// The mapped file that an address lies in, and the address as that states it.
    fn place(&mut self, address: Avma) -> Option<(Mapping, Svma)> {
        let mapping = self.libraries.mapping(address)?.clone();
        let own = address.stated(self.bias);
        if self.target.binary.extent().contains(&own) {
            return Some((mapping, own));
        }
        let stated = self.libraries.stated(&mapping, address)?;
        Some((mapping, stated))
    }

    /// The lines of a place in a function, from those that debug information states. `outermost` says which function of
    /// the profile the last of them is.
    fn lines(
        &mut self,
        profile: &mut Profile,
        own: FunctionId,
        frames: Vec<SourceFrame>,
        outermost: impl Fn(&mut Self, &mut Profile, &SourceFrame) -> FunctionId,
    ) -> Vec<Line> {
        let inlined = frames.len() - 1;
        let mut lines = Vec::new();
        for (index, frame) in frames.into_iter().enumerate() {
            let function = match &frame.function {
                Some(name) if index < inlined => self.inlined(profile, own, name.clone(), frame.file.clone()),
                _ => outermost(self, profile, &frame),
            };
            lines.push(Line { function, line: frame.line });
        }
        lines
    }

    /// A function that is inlined in one of C.
    fn inlined(&mut self, profile: &mut Profile, own: FunctionId, name: String, file: String) -> FunctionId {
        let library = profile.functions[own.0].library.clone();
        let key = FunctionKey::InFile(name.clone(), library.clone(), file.clone());
        self.function(profile, key, Function { name, kind: Kind::C, file, library, ..Function::default() })
    }

    /// A function of C whose code at an address is from this source file. Most have code from one. One that has no
    /// symbol gets the name that debug information has.
    fn in_file(&mut self, profile: &mut Profile, own: FunctionId, frame: &SourceFrame) -> FunctionId {
        let known = &profile.functions[own.0];
        let named = frame.function.as_ref().filter(|_| known.symbol.is_empty());
        if let Some(name) = named {
            let name = demangle(name);
            let new = Function { name: name.clone(), symbol: name.clone(), file: frame.file.clone(), ..known.clone() };
            let key = FunctionKey::InFile(name, new.library.clone(), new.file.clone());
            return self.function(profile, key, new);
        }
        if known.file.is_empty() {
            profile.functions[own.0].file.clone_from(&frame.file);
        }
        let known = &profile.functions[own.0];
        if known.file == frame.file || frame.file.is_empty() {
            return own;
        }
        let new = Function { file: frame.file.clone(), ..known.clone() };
        let key = FunctionKey::InFile(new.name.clone(), new.library.clone(), new.file.clone());
        self.function(profile, key, new)
    }

    /// The line where a C function that Go calls begins: by its own symbol, not that of cgo's wrapper at `address`.
    fn begin_of(&mut self, function: &Function, address: Avma) -> Option<SourceFrame> {
        if function.c_name.is_empty() {
            return None;
        }
        let own = self.symbols.iter().find(|symbol| symbol.name == function.c_name).map(|symbol| symbol.address);
        let (mapping, stated) = match own {
            Some(stated) => (self.libraries.mapping(stated.loaded(self.bias))?.clone(), stated),
            None if !function.library.is_empty() => self.libraries.exported(&function.c_name)?,
            None => self.place(address).filter(|_| function.symbol == function.c_name)?,
        };
        let source = self.debug_files.frames(&mapping, stated).pop()?;
        let is_known = Path::new(&source.file).file_name().is_some();
        is_known.then_some(source)
    }
}
