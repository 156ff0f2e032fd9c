//! Functions, and places in their code.

/// Index of a [`Function`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct FunctionId(pub usize);

/// Index of a [`Location`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LocationId(pub usize);

/// Side of the border that a function is on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Kind {
    /// Go.
    #[default]
    Go,
    /// `runtime.cgocall` or what stands in its place.
    Border,
    /// C.
    C,
    /// The kernel, in which a thread waits.
    Kernel,
}

impl Kind {
    /// Returns its number in a file.
    pub fn number(self) -> u32 {
        match self {
            Kind::Go => 0,
            Kind::Border => 1,
            Kind::C => 2,
            Kind::Kernel => 3,
        }
    }

    /// Converts a number in a file.
    pub(crate) fn from_number(number: u32) -> Kind {
        match number {
            1 => Kind::Border,
            2 => Kind::C,
            3 => Kind::Kernel,
            _ => Kind::Go,
        }
    }
}

/// A function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Function {
    /// Unique among the functions of its kind: a C function's own name, with its package where two share it.
    pub name: String,
    /// Side of the border.
    pub kind: Kind,
    /// Source file, empty when unknown.
    pub file: String,
    /// For a C function: its own name.
    pub c_name: String,
    /// For a C function: import path of the Go package that calls it.
    pub package: String,
    /// For a C function: name of the symbol that Go calls, empty when stripped.
    pub symbol: String,
    /// For a C function of a shared library: the library's path, else empty.
    pub library: String,
    /// For a C function: how cgo's wrapper calls it, if there is one.
    pub wrapper: Option<Wrapper>,
    /// For a C function of the program's own file: whether its code uses thread-local storage.
    pub thread_local: bool,
}

impl Function {
    /// Returns name and package, which are the same in every recording. [`Function::name`] has the package only where a
    /// second function has the same name.
    pub fn identity(&self) -> (&str, &str) {
        if self.c_name.is_empty() { (&self.name, "") } else { (&self.c_name, &self.package) }
    }

    /// Returns a function that stands for a thread that C made, as the caller of all that it calls.
    pub fn of_thread(name: &str) -> Function {
        Function { name: format!("[thread {name}]"), kind: Kind::C, ..Function::default() }
    }

    /// Returns a function that stands for what a thread waits in: a system call by its name, or [`Function::PAGE`].
    pub fn of_wait(call: &str) -> Function {
        Function { name: format!("[{call}]"), kind: Kind::Kernel, ..Function::default() }
    }

    /// Stands in place of a system call for a thread that needs a page of a file, or of memory that was swapped out.
    pub const PAGE: &str = "page fault";

    /// Stands in place of a system call for a thread that could have run, but had lost its processor.
    pub const PREEMPTED: &str = "preempted";

    /// Returns what a thread waits in, if it stands for that.
    pub fn wait(&self) -> Option<&str> {
        let name = self.name.strip_prefix('[')?.strip_suffix(']')?;
        (self.kind == Kind::Kernel).then_some(name)
    }

    /// Name of the function that stands for code in no file, or code that can't be unwound.
    pub const UNKNOWN_CODE: &str = "[unknown code]";

    /// Whether it stands for code that is not known.
    pub fn is_unknown_code(&self) -> bool {
        self.kind == Kind::C && self.symbol.is_empty() && self.name == Function::UNKNOWN_CODE
    }

    /// Name of the function that stands for the recorder's hooks.
    pub const HOOKS: &str = "[cgoprof's hooks]";

    /// Returns the name of the thread that it stands for, unless it is code. No symbol has such a name.
    pub fn thread(&self) -> Option<&str> {
        let is_code = self.kind != Kind::C || !self.symbol.is_empty();
        self.name.strip_prefix("[thread ")?.strip_suffix(']').filter(|_| !is_code)
    }
}

/// Facts from the code of cgo's wrapper for a C function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Wrapper {
    /// Whether it has pointer arguments whose targets escape to the heap: no `#cgo noescape`.
    pub escapes: bool,
    /// Whether it has `#cgo nocallback`.
    pub nocallback: bool,
}

/// Index of a [`Library`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct LibraryId(pub usize);

/// A file with code beside the program's own: a shared library, or a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Library {
    /// Its path.
    pub path: String,
    /// GNU build id in hexadecimal, empty if there is none.
    pub build_id: String,
}

/// The file that states an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum CodeFile {
    /// The program's own.
    #[default]
    Program,
    /// A library.
    Library(LibraryId),
    /// None: code that the program has made, and what stands for no code.
    None,
}

/// A code address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Location {
    /// Address as in the file.
    pub address: u64,
    /// The file.
    pub file: CodeFile,
    /// Lines that it stands for, inlined calls first.
    pub lines: Vec<Line>,
}

/// A line of code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Line {
    /// Its function.
    pub function: FunctionId,
    /// Line in the function's file, 0 when unknown.
    pub line: u32,
}

/// How C was reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Via {
    /// By `runtime.cgocall`: counted by `runtime.NumCgoCall`.
    #[default]
    Cgocall,
    /// By `asmcgocall`, called by the runtime itself.
    Runtime,
    /// By `asmcgocall`, called by a library that skips the scheduler.
    Direct,
}

impl Via {
    /// Returns its number in a file.
    pub(crate) fn number(self) -> u32 {
        match self {
            Via::Cgocall => 0,
            Via::Runtime => 1,
            Via::Direct => 2,
        }
    }

    /// Converts a number in a file.
    pub(crate) fn from_number(number: u32) -> Via {
        match number {
            1 => Via::Runtime,
            2 => Via::Direct,
            _ => Via::Cgocall,
        }
    }
}
