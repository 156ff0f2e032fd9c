//! Go plugins. Each has a copy of the runtime's code, which works on the runtime's data in the program. So its functions that
//! the hooks are in can lead to the program's own: then a plugin's crossings are the program's.

use cgoprof_symbols::Avma;

use super::Target;
use super::code::Code;

/// Functions of the program that plugins are to use, by name and `abi.FuncID`: wrappers of other ABIs have the same names.
#[derive(Clone, Debug)]
pub struct SharedFunctions {
    functions: Vec<(&'static str, u8, Avma)>,
}

/// A function of a plugin's that is to lead to the program's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Its first byte.
    pub at: Avma,
    /// What is there.
    pub original: Vec<u8>,
    /// What is to be there.
    pub jump: Vec<u8>,
}

/// What the hooks are in, or lead to.
const SHARED: [&str; 5] =
    ["runtime.cgocall", "runtime.asmcgocall", "runtime.cgocallback", "runtime.cgocallbackg", "runtime.newm1"];
/// `jmp [rip]`, which the address follows.
const JUMP: [u8; 6] = [0xff, 0x25, 0, 0, 0, 0];

impl SharedFunctions {
    /// Those of a program that is loaded with this bias.
    pub fn of(program: &Target<'_>, bias: u64) -> SharedFunctions {
        let functions = program.pclntab.functions().filter_map(|function| {
            let name = SHARED.into_iter().find(|&name| name == function.name)?;
            Some((name, function.id, function.start.loaded(bias)))
        });
        SharedFunctions { functions: functions.collect() }
    }

    /// How a plugin is led to them. It has been built by the same release: the runtime refuses others (`lastmoduleinit` in
    /// runtime/plugin.go).
    pub fn redirects(&self, plugin: &Target<'_>, bias: u64) -> Vec<Redirect> {
        let redirect = |&(name, id, to): &(&'static str, u8, Avma)| {
            let mut own = plugin.pclntab.functions().filter(|function| function.name == name && function.id == id);
            let code = Code::decode(&plugin.binary, &own.next()?).ok()?;
            let jump = [&JUMP[..], &to.0.to_le_bytes()].concat();
            let original = code.bytes.get(..jump.len())?.to_vec();
            Some(Redirect { at: code.start.loaded(bias), original, jump })
        };
        self.functions.iter().filter_map(redirect).collect()
    }
}

/// Whether a program can load plugins.
pub fn loads_plugins(program: &Target<'_>) -> bool {
    program.pclntab.functions().any(|function| function.name == "plugin.lastmoduleinit")
}

/// Whether a file is a plugin: what tells the runtime of its tables when it is loaded is in nothing else that is recorded
/// (`PrepareAddmoduledata` in cmd/link/internal/ld/ld.go).
pub fn is_plugin(file: &Target<'_>) -> bool {
    file.pclntab.functions().any(|function| function.name == "runtime.addmoduledata")
}

/// Whether a plugin has code that locks goroutines to their threads or unlocks them: of its own, as it has it inlined.
pub fn locks_threads(plugin: &Target<'_>) -> bool {
    plugin.pclntab.functions().any(|function| function.name == "runtime.LockOSThread")
}
