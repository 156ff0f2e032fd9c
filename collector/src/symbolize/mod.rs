//! Converts addresses to the profile's functions and locations.

mod debug_files;
mod debuginfod;
mod function_table;
mod ifunc;
mod libraries;
mod lines;

use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use cgoprof_profile::{
    CodeFile, Function, FunctionId, Kind, Library, LibraryId, Line, Location, LocationId, Profile, Wrapper,
};
use cgoprof_symbols::binary::Symbol;
use cgoprof_symbols::c_function::{self, CFunction};
use cgoprof_symbols::demangle::demangle;
use cgoprof_symbols::{Avma, Svma, call_frames, pclntab};

use crate::arch;
use crate::goruntime::{Target, WrapperCode};
use crate::loaded::LoadedGo;
use crate::process::kernel_symbols::{KernelEntry, KernelSymbols};
use crate::process::maps::Mapping;
pub(crate) use debug_files::DebugFiles;
use libraries::{Found, Libraries};

/// Names the addresses of one recording, each once.
pub(crate) struct Symbolizer<'target, 'data> {
    target: &'target Target<'data>,
    /// The name of the target's file.
    file: String,
    /// The path of the target's file if it is a library, else empty.
    own_library: String,
    bias: u64,
    /// Go code that the program has loaded.
    modules: Vec<LoadedGo>,
    symbols: Vec<Symbol<'data>>,
    /// The program's functions that have call frame information.
    unnamed: OnceCell<Vec<(Svma, u64)>>,
    imports: Vec<&'data str>,
    libraries: Libraries,
    /// Libraries of the profile by path.
    known_libraries: HashMap<String, LibraryId>,
    debug_files: DebugFiles,
    functions: HashMap<FunctionKey, FunctionId>,
    go_locations: HashMap<Avma, LocationId>,
    c_locations: HashMap<(Avma, FunctionId), LocationId>,
    /// C functions by address, with the name from the first Go stack that called them.
    named: HashMap<Avma, FunctionId>,
    inside_locations: HashMap<Avma, LocationId>,
    /// Places in the C functions that crossings have called.
    called_locations: HashMap<(Avma, FunctionId), LocationId>,
    borders: HashMap<&'static str, LocationId>,
    /// Go functions that C calls, by the address of cgo's entry.
    exported: HashMap<Avma, FunctionId>,
    /// Names of C functions that Go calls through cgo's wrappers.
    wrapped: OnceCell<HashSet<String>>,
    /// The kernel's functions.
    kernel: OnceCell<KernelSymbols>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum FunctionKey {
    Go(String, String),
    /// With the module that calls it, if that is not the program.
    C(CFunction, Option<usize>),
    /// A function within C: symbol and library.
    Inside(String, String),
    /// A function inlined in C, or one whose code is from several source files: name, library and source file.
    InFile(String, String, String),
}

impl<'target, 'data> Symbolizer<'target, 'data> {
    /// Creates a symbolizer for a program or a library that is loaded with this bias.
    pub(crate) fn new(
        debug_files: DebugFiles,
        target: &'target Target<'data>,
        file: &Path,
        is_library: bool,
        bias: u64,
    ) -> Self {
        Symbolizer {
            file: file_name(&file.to_string_lossy()).to_owned(),
            own_library: if is_library { file.to_string_lossy().into_owned() } else { String::new() },
            target,
            bias,
            modules: Vec::new(),
            symbols: target.binary.functions(),
            unnamed: OnceCell::new(),
            imports: target.binary.imports().to_vec(),
            libraries: Libraries::default(),
            known_libraries: HashMap::new(),
            debug_files,
            functions: HashMap::new(),
            go_locations: HashMap::new(),
            c_locations: HashMap::new(),
            named: HashMap::new(),
            inside_locations: HashMap::new(),
            called_locations: HashMap::new(),
            borders: HashMap::new(),
            exported: HashMap::new(),
            wrapped: OnceCell::new(),
            kernel: OnceCell::new(),
        }
    }

    /// Adds Go code that the program has loaded.
    pub(crate) fn add_module(&mut self, module: LoadedGo) {
        self.modules.push(module);
    }

    /// Whether this Go code has been added.
    pub(crate) fn has(&self, module: &LoadedGo) -> bool {
        self.modules.iter().any(|known| known.path == module.path && known.bias == module.bias)
    }

    /// Returns the Go code that an address lies in, and the address as stated there. It is the program's code unless
    /// the address lies in a module's.
    fn go_code(&self, address: Avma) -> (&Target<'_>, Svma) {
        let (target, bias) = match self.module_of(address) {
            Some(index) => (&self.modules[index].target, self.modules[index].bias),
            None => (self.target, self.bias),
        };
        (target, address.stated(bias))
    }

    /// Returns the index of the loaded module whose Go code an address lies in.
    fn module_of(&self, address: Avma) -> Option<usize> {
        self.modules.iter().position(|module| module.target.go_text(module.bias).contains(&address))
    }

    /// Returns the names of libraries with Go code that have not been added.
    pub(crate) fn other_go_code(&self) -> Vec<String> {
        let own = self.target.binary.extent();
        let is_known = |mapping: &Mapping| {
            own.contains(&mapping.range.start.stated(self.bias))
                || self.modules.iter().any(|module| module.path == mapping.path)
        };
        let others = self.libraries.files().filter(|file| !is_known(file));
        let with_go = others.filter(|file| file.contents().is_some_and(|data| Target::parse(&data).is_ok()));
        with_go.map(|file| file_name(&file.path.to_string_lossy()).to_owned()).collect()
    }

    /// Adds the mappings of libraries.
    pub(crate) fn set_mappings(&mut self, mappings: &[Mapping]) {
        self.libraries.set_mappings(mappings);
    }

    /// Returns the stack of a place that locks a goroutine to its thread. An inlined `LockOSThread` is removed; a
    /// called one is not in the stack.
    pub(crate) fn lock_site(&mut self, profile: &mut Profile, stack: &[Avma]) -> Vec<LocationId> {
        let locations: Vec<_> = stack.iter().map(|&address| self.go(profile, address)).collect();
        if let Some(first) = locations.first() {
            let names = |line: &Line| profile.functions[line.function.0].name == "runtime.LockOSThread";
            let inlined = profile.locations[first.0].lines.iter().position(names);
            profile.locations[first.0].lines.drain(..inlined.map_or(0, |last| last + 1));
        }
        locations
    }

    /// Returns the location of a Go return address.
    pub(crate) fn go(&mut self, profile: &mut Profile, return_address: Avma) -> LocationId {
        if let Some(&known) = self.go_locations.get(&return_address) {
            return known;
        }
        let file = self.go_file(profile, Avma(return_address.0.wrapping_sub(1)));
        let (code, call) = self.go_code(Avma(return_address.0.wrapping_sub(1)));
        let (stated, frames) = (Svma(call.0.wrapping_add(1)), code.pclntab.frames_at(call));
        let mut lines = Vec::new();
        for frame in frames {
            let key = FunctionKey::Go(frame.function.clone(), frame.file.clone());
            let wrapper = c_function::from_wrapper(&frame.function).is_some();
            let kind = if wrapper { Kind::Border } else { Kind::Go };
            let new = Function { name: frame.function, file: frame.file, kind, ..Function::default() };
            let function = self.function(profile, key, new);
            lines.push(Line { function, line: frame.line });
        }
        if lines.is_empty() {
            let name = self.own_symbol(stated).map_or_else(|| format!("[{stated}]"), str::to_owned);
            let key = FunctionKey::Go(name.clone(), String::new());
            lines.push(Line {
                function: self.function(profile, key, Function { name, ..Function::default() }),
                line: 0,
            });
        }
        let location = add_location(profile, Location { address: stated.0, file, lines });
        self.go_locations.insert(return_address, location);
        location
    }

    /// Returns the border's location: the runtime function that calls C.
    pub(crate) fn border(&mut self, profile: &mut Profile, name: &'static str) -> LocationId {
        if let Some(&known) = self.borders.get(name) {
            return known;
        }
        let new = Function { name: name.to_owned(), kind: Kind::Border, ..Function::default() };
        let function = self.function(profile, FunctionKey::Go(name.to_owned(), "border".to_owned()), new);
        let start = self.target.pclntab.functions().find(|function| function.name == name);
        let address = start.map_or(0, |function| function.start.0);
        let file = self.own_file(profile);
        let location = add_location(profile, Location { address, file, lines: vec![Line { function, line: 0 }] });
        self.borders.insert(name, location);
        location
    }

    /// Whether a stack ends where the system stack does. The goroutine's own frames are then not in it.
    pub(crate) fn ends_on_system_stack(&self, stack: &[Avma]) -> bool {
        stack
            .last()
            .and_then(|&address| self.caller(address))
            .is_some_and(|function| function.name == "runtime.systemstack")
    }

    /// Returns the Go function that C calls by an entry of cgo's: the one that the entry calls or has inlined. If it is
    /// not found, the name is the entry's own without cgo's prefix.
    pub(crate) fn exported(&mut self, profile: &mut Profile, entry: Avma) -> FunctionId {
        if let Some(&known) = self.exported.get(&entry) {
            return known;
        }
        let (code, stated) = self.go_code(entry);
        let table = &code.pclntab;
        let own = table.function_at(stated);
        let (mut name, mut file) =
            (own.map_or_else(|| format!("[{stated}]"), |own| own.name.to_owned()), String::new());
        if let Some((own, short)) = own.and_then(|own| Some((own, c_function::from_export(own.name)?))) {
            let is_it = |function: &str| function.rsplit_once('.').is_some_and(|(_, last)| last == short);
            let inlined =
                (own.start.0..own.end.0).flat_map(|at| table.frames_at(Svma(at))).find(|frame| is_it(&frame.function));
            let alone = || {
                let mut found = table.functions().filter(|function| is_it(function.name));
                found.next().filter(|_| found.next().is_none())
            };
            (name, file) = match inlined {
                Some(frame) => (frame.function, frame.file),
                None => (alone().map_or(short, |function| function.name).to_owned(), String::new()),
            };
        }
        let key = FunctionKey::Go(name.clone(), file.clone());
        let function = self.function(profile, key, Function { name, file, ..Function::default() });
        self.exported.insert(entry, function);
        function
    }

    /// Returns the function and location of a C function called from a Go stack. Without a stack, it has the name that
    /// it got with one.
    pub(crate) fn c(&mut self, profile: &mut Profile, address: Avma, stack: &[Avma]) -> (FunctionId, LocationId) {
        // Go code reaches the assembly function asmcgocall through a wrapper of the same name.
        let go = stack.iter().find_map(|&address| {
            let function = self.caller(address).filter(|function| function.name != "runtime.asmcgocall")?;
            Some((function.name.to_owned(), address))
        });
        let caller = go.as_ref().map(|(name, _)| name.as_str());
        let wrapped = caller.and_then(c_function::from_wrapper);
        let module = go.as_ref().and_then(|&(_, address)| self.module_of(address));
        let stated = address.stated(self.bias);
        let own = self.own_symbol(stated).map(str::to_owned);
        let extent = self.target.binary.extent();
        let in_library = if extent.contains(&stated) { None } else { self.libraries.find(address) };
        let package = caller.map(|name| c_function::split_package(name).0.to_owned()).unwrap_or_default();
        let named = wrapped.unwrap_or_else(|| {
            let symbol = own.as_deref().or(in_library.as_ref().and_then(|found| found.symbol.as_deref()));
            let unnamed = || self.unnamed(address, in_library.as_ref(), caller);
            let name = symbol.map_or_else(unnamed, c_function::from_symbol);
            CFunction { name, package }
        });
        let library = match &in_library {
            Some(found) => found.path.clone(),
            None if self.imports.contains(&named.name.as_str()) => {
                self.libraries.exporter(&named.name).unwrap_or_default()
            }
            None if extent.contains(&stated) => self.own_library.clone(),
            None => String::new(),
        };
        let file = match &in_library {
            Some(found) => self.library(profile, &found.path, &found.build_id),
            None if extent.contains(&stated) => self.own_file(profile),
            None => CodeFile::None,
        };
        let symbol = own.or(in_library.and_then(|found| found.symbol)).unwrap_or_default();
        let key = FunctionKey::C(named.clone(), module);
        let new = Function {
            name: named.name.clone(),
            thread_local: !self.functions.contains_key(&key)
                && extent.contains(&stated)
                && self.uses_thread_local(stated),
            kind: Kind::C,
            file: String::new(),
            c_name: named.name.clone(),
            package: named.package.clone(),
            symbol,
            library,
            wrapper: go
                .as_ref()
                .filter(|(name, _)| c_function::from_wrapper(name).is_some())
                .and_then(|&(_, address)| self.wrapper(address)),
        };
        let known = self.named.get(&address).copied().filter(|_| stack.is_empty());
        let function = known.unwrap_or_else(|| self.function(profile, key, new));
        if !stack.is_empty() {
            self.named.entry(address).or_insert(function);
        }
        let key = (address, function);
        if let Some(&known) = self.c_locations.get(&key) {
            return (function, known);
        }
        let lines = vec![Line { function, line: 0 }];
        let location = add_location(profile, Location { address: stated.0, file, lines });
        self.c_locations.insert(key, location);
        (function, location)
    }

    /// Returns the name of a C function without a symbol: the one that its caller in the Go runtime tells, else its
    /// place in its file.
    fn unnamed(&self, address: Avma, library: Option<&Found>, caller: Option<&str>) -> String {
        if address.0 == 0 {
            return "[C functions beyond the tables]".into();
        }
        let own = address.stated(self.bias);
        if let Some(found) = library {
            return format!("{}+{}", file_name(&found.path), found.stated);
        }
        if !self.target.binary.extent().contains(&own) {
            return Function::UNKNOWN_CODE.into();
        }
        let called = caller.and_then(c_function::of_runtime);
        called.map_or_else(|| format!("{}+{own}", self.file), str::to_owned)
    }

    /// Returns the location of an instruction of C, or of a call made there.
    pub(crate) fn inside(&mut self, profile: &mut Profile, address: Avma) -> LocationId {
        if let Some(&known) = self.inside_locations.get(&address) {
            return known;
        }
        let own = address.stated(self.bias);
        let (stated, symbol, library, file, file_name) = if self.target.binary.extent().contains(&own) {
            let symbol = self.own_symbol(own).map(str::to_owned);
            (own, symbol, String::new(), self.own_file(profile), Some(self.file.clone()))
        } else if let Some(found) = self.libraries.find(address) {
            let file = self.library(profile, &found.path, &found.build_id);
            let name = file_name(&found.path).to_owned();
            (found.stated, found.symbol, found.path, file, Some(name))
        } else {
            (Svma(address.0), None, String::new(), CodeFile::None, None)
        };
        let is_in_file = file_name.is_some();
        let name = match (&symbol, file_name) {
            (Some(symbol), _) => demangle(symbol),
            (None, Some(file)) => format!("{file}+{}", self.start_of_unnamed(address, stated)),
            (None, None) => Function::UNKNOWN_CODE.to_owned(),
        };
        let new = Function {
            name: name.clone(),
            kind: Kind::C,
            symbol: symbol.unwrap_or_default(),
            library: library.clone(),
            ..Function::default()
        };
        let function = self.function(profile, FunctionKey::Inside(name, library), new);
        let lines = vec![Line { function, line: 0 }];
        let location = add_location(profile, Location { address: stated.0, file, lines });
        // An address in no file may turn out later to be in a library.
        if is_in_file {
            self.inside_locations.insert(address, location);
        }
        location
    }

    /// Returns the address where a function without a symbol begins, as its file states it.
    fn start_of_unnamed(&mut self, address: Avma, stated: Svma) -> Svma {
        if !self.target.binary.extent().contains(&address.stated(self.bias)) {
            return self.libraries.start_of_unnamed(address, stated);
        }
        let functions = self.unnamed.get_or_init(|| call_frames::functions(&self.target.binary));
        covering(functions, |&function| function, stated).map_or(stated, |&(start, _)| start)
    }

    /// Returns the location of an instruction, or of a call, in the C function that a crossing has called.
    pub(crate) fn called(&mut self, profile: &mut Profile, address: Avma, function: FunctionId) -> LocationId {
        if let Some(&known) = self.called_locations.get(&(address, function)) {
            return known;
        }
        let inside = self.inside(profile, address);
        let lines = vec![Line { function, line: 0 }];
        let location = Location { lines, ..profile.locations[inside.0].clone() };
        let location = add_location(profile, location);
        self.called_locations.insert((address, function), location);
        location
    }

    /// Returns a library as the file of locations.
    fn library(&mut self, profile: &mut Profile, path: &str, build_id: &str) -> CodeFile {
        if let Some(&known) = self.known_libraries.get(path) {
            return CodeFile::Library(known);
        }
        let id = LibraryId(profile.libraries.len());
        profile.libraries.push(Library { path: path.to_owned(), build_id: build_id.to_owned() });
        self.known_libraries.insert(path.to_owned(), id);
        CodeFile::Library(id)
    }

    /// Returns the target's file as that of locations.
    fn own_file(&mut self, profile: &mut Profile) -> CodeFile {
        if self.own_library.is_empty() {
            return CodeFile::Program;
        }
        let build_id = self.target.binary.build_id().unwrap_or_default();
        self.library(profile, &self.own_library.clone(), &build_id)
    }

    /// Returns the file of the Go code that an address lies in.
    fn go_file(&mut self, profile: &mut Profile, address: Avma) -> CodeFile {
        let Some(index) = self.module_of(address) else { return self.own_file(profile) };
        let module = &self.modules[index];
        let (path, build_id) = (module.path.to_string_lossy().into_owned(), module.target.binary.build_id());
        self.library(profile, &path, &build_id.unwrap_or_default())
    }

    /// Whether an address lies in a file's code.
    pub(crate) fn is_known(&mut self, address: Avma) -> bool {
        self.target.binary.extent().contains(&address.stated(self.bias)) || self.libraries.find(address).is_some()
    }

    /// Returns the location of code that is in no file, or can't be unwound: code that the program has compiled,
    /// assembly.
    pub(crate) fn unknown_code(&mut self, profile: &mut Profile) -> LocationId {
        self.of_no_code(profile, Function { name: Function::UNKNOWN_CODE.into(), kind: Kind::C, ..Function::default() })
    }

    /// Returns the location that stands for a thread that C made, as the caller of all that it calls.
    pub(crate) fn thread(&mut self, profile: &mut Profile, name: &str) -> LocationId {
        self.of_no_code(profile, Function::of_thread(name))
    }

    /// Returns the location that stands for what a thread waits in.
    pub(crate) fn wait(&mut self, profile: &mut Profile, call: &str) -> LocationId {
        self.of_no_code(profile, Function::of_wait(call))
    }

    /// Returns what a thread waits in that came to the kernel on this way.
    pub(crate) fn waits_in_kernel(&self, entry: &KernelEntry) -> String {
        let symbols = self.kernel.get_or_init(KernelSymbols::read);
        symbols.waits_in(entry).map_or_else(|| "kernel".to_owned(), str::to_owned)
    }

    fn of_no_code(&mut self, profile: &mut Profile, new: Function) -> LocationId {
        let key = FunctionKey::Inside(new.name.clone(), String::new());
        let function = self.function(profile, key, new);
        if let Some(&known) = self.c_locations.get(&(Avma(0), function)) {
            return known;
        }
        let lines = vec![Line { function, line: 0 }];
        let location = add_location(profile, Location { address: 0, file: CodeFile::None, lines });
        self.c_locations.insert((Avma(0), function), location);
        location
    }

    /// Returns the start of the function of the program's own C that holds an address; the address itself if none is
    /// known.
    pub(crate) fn start_of(&self, address: Avma) -> Avma {
        let own = covering(&self.symbols, |symbol| (symbol.address, symbol.size), address.stated(self.bias));
        own.map_or(address, |symbol| symbol.address.loaded(self.bias))
    }

    /// Whether an address lies in Go code.
    pub(crate) fn is_go(&self, address: Avma) -> bool {
        let (code, stated) = self.go_code(address);
        code.pclntab.function_at(stated).is_some()
    }

    /// Whether a Go stack may have called a C function. Cgo's wrapper names the function that Go calls. That function
    /// may have jumped on to one that Go calls nowhere, but not to another one with a wrapper.
    pub(crate) fn may_be_called(&self, function: Avma, go: &[Avma]) -> bool {
        let wrapper = go.first().and_then(|&address| self.caller(address));
        let wrapped = wrapper.and_then(|wrapper| c_function::from_wrapper(wrapper.name));
        let (Some(wrapped), Some(symbol)) = (wrapped, self.own_symbol(function.stated(self.bias))) else { return true };
        let name = c_function::from_symbol(symbol);
        let names = self.wrapped.get_or_init(|| {
            let functions = self.target.pclntab.functions();
            functions.filter_map(|function| Some(c_function::from_wrapper(function.name)?.name)).collect()
        });
        name == wrapped.name || !names.contains(&name)
    }

    /// Returns the location of an instruction of Go or C, or of a call made there.
    pub(crate) fn either(&mut self, profile: &mut Profile, address: Avma) -> LocationId {
        if self.is_go(address) {
            // `go` takes a return address.
            return self.go(profile, Avma(address.0 + 1));
        }
        self.inside(profile, address)
    }

    /// Returns the location of the hooks' own code.
    pub(crate) fn hooks(&mut self, profile: &mut Profile) -> LocationId {
        self.border(profile, Function::HOOKS)
    }

    /// Whether two addresses of C lie in one function.
    pub(crate) fn same_function(&mut self, profile: &mut Profile, one: Avma, other: Avma) -> bool {
        let (one, other) = (self.inside(profile, one), self.inside(profile, other));
        let function = |location: LocationId| profile.locations[location.0].lines[0].function;
        function(one) == function(other) && !profile.functions[function(one).0].symbol.is_empty()
    }

    fn function(&mut self, profile: &mut Profile, key: FunctionKey, mut new: Function) -> FunctionId {
        if let Some(&known) = self.functions.get(&key) {
            return known;
        }
        let taken = |function: &Function| !function.c_name.is_empty() && function.name == new.name;
        if !new.c_name.is_empty() && profile.functions.iter().any(taken) {
            new.name = format!("{} ({})", new.c_name, new.package);
        }
        let id = FunctionId(profile.functions.len());
        profile.functions.push(new);
        self.functions.insert(key, id);
        id
    }

    /// Whether one of the program's own C functions uses thread-local storage.
    fn uses_thread_local(&self, function: Svma) -> bool {
        // A static program contains the C library, which uses much thread-local storage.
        if self.target.binary.imports().is_empty() {
            return false;
        }
        let go = self.target.pclntab.text();
        let extent = |address: Svma| {
            let symbol = covering(&self.symbols, |symbol| (symbol.address, symbol.size), address)?;
            (!go.contains(&address)).then(|| symbol.address..Svma(symbol.address.0.saturating_add(symbol.size)))
        };
        arch::uses_thread_local(&self.target.binary, function, &extent)
    }

    /// Returns how the wrapper that holds a return address calls its C function.
    fn wrapper(&self, return_address: Avma) -> Option<Wrapper> {
        let (code, call) = self.go_code(Avma(return_address.0.wrapping_sub(1)));
        let WrapperCode { escapes, nocallback } = arch::wrapper_code(code, &code.pclntab.function_at(call)?)?;
        Some(Wrapper { escapes, nocallback })
    }

    /// Returns the Go function that holds a return address.
    fn caller(&self, return_address: Avma) -> Option<pclntab::Function<'_>> {
        let (code, call) = self.go_code(Avma(return_address.0.wrapping_sub(1)));
        code.pclntab.function_at(call)
    }

    fn own_symbol(&self, address: Svma) -> Option<&'data str> {
        covering(&self.symbols, |symbol| (symbol.address, symbol.size), address).map(|symbol| symbol.name)
    }
}

/// Returns the symbol that covers an address. `symbols` are in the order of their addresses; `extent` returns address
/// and size of one.
fn covering<S>(symbols: &[S], extent: impl Fn(&S) -> (Svma, u64), address: Svma) -> Option<&S> {
    let after = symbols.partition_point(|symbol| extent(symbol).0 <= address);
    let candidates = symbols[..after].iter().rev().take(8);
    let exact = candidates.clone().find(|symbol| address.0 - extent(symbol).0.0 < extent(symbol).1);
    exact.or_else(|| candidates.clone().find(|symbol| extent(symbol).0 == address))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

fn add_location(profile: &mut Profile, location: Location) -> LocationId {
    profile.locations.push(location);
    LocationId(profile.locations.len() - 1)
}

/// Adds the package to the names of C functions that share one, and the library's file to those that share a package
/// too.
pub(crate) fn tell_apart(profile: &mut Profile) {
    let mut names: HashMap<String, usize> = HashMap::new();
    let mut packages: HashMap<(String, String), usize> = HashMap::new();
    for function in profile.functions.iter().filter(|function| !function.c_name.is_empty()) {
        *names.entry(function.c_name.clone()).or_default() += 1;
        *packages.entry((function.c_name.clone(), function.package.clone())).or_default() += 1;
    }
    for function in profile.functions.iter_mut().filter(|function| !function.c_name.is_empty()) {
        let Function { c_name, package, library, .. } = &*function;
        let same_package = packages[&(c_name.clone(), package.clone())] > 1;
        let told = match (package.as_str(), file_name(library)) {
            _ if names[c_name] == 1 => continue,
            (package, library) if same_package && !library.is_empty() => format!("{package}, {library}"),
            ("", _) => continue,
            (package, _) => package.to_owned(),
        };
        function.name = format!("{c_name} ({})", told.trim_start_matches(", "));
    }
}
