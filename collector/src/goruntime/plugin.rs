//! Go plugins. Each has a copy of the runtime's code, which works on the runtime's data in the program. So a plugin's
//! functions can jump to the program's, which have hooks.

use cgoprof_symbols::Avma;

use super::Target;

/// Functions of the program that plugins use instead of their own. Each has a name and an `abi.FuncID`, because
/// wrappers of other ABIs have the same names.
#[derive(Clone, Debug)]
pub struct SharedFunctions {
    functions: Vec<(&'static str, u8, Avma)>,
}

/// A jump from a plugin's function to the program's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Address of its first byte.
    pub at: Avma,
    /// Bytes of the file there.
    pub original: Vec<u8>,
    /// Bytes of the jump.
    pub jump: Vec<u8>,
}

/// Functions with hooks, and `newm1`, which a hook recognizes as a caller.
const SHARED: [&str; 5] =
    ["runtime.cgocall", "runtime.asmcgocall", "runtime.cgocallback", "runtime.cgocallbackg", "runtime.newm1"];

impl SharedFunctions {
    /// Finds the functions of a program that is loaded with this bias.
    pub fn of(program: &Target<'_>, bias: u64) -> SharedFunctions {
        let functions = program.pclntab.functions().filter_map(|function| {
            let name = SHARED.into_iter().find(|&name| name == function.name)?;
            Some((name, function.id, function.start.loaded(bias)))
        });
        SharedFunctions { functions: functions.collect() }
    }

    /// Returns redirections of a plugin's functions to these; none if the plugin lacks one that has hooks. The plugin
    /// was built by the same release: the runtime refuses others (`lastmoduleinit` in runtime/plugin.go). `jump`
    /// returns the bytes of a jump.
    pub fn redirects(&self, plugin: &Target<'_>, bias: u64, jump: impl Fn(Avma) -> Vec<u8>) -> Vec<Redirect> {
        let mut redirects = Vec::new();
        for &(name, id, to) in &self.functions {
            match redirect(plugin, name, id, jump(to), bias) {
                Some(found) => redirects.push(found),
                // The compiler may have inlined it: threads that the plugin starts are then listed without a reason.
                None if name == "runtime.newm1" => {}
                None => return Vec::new(),
            }
        }
        redirects
    }
}

fn redirect(plugin: &Target<'_>, name: &str, id: u8, jump: Vec<u8>, bias: u64) -> Option<Redirect> {
    let own = plugin.pclntab.functions().find(|function| function.name == name && function.id == id)?;
    let length = usize::try_from(own.end.0.checked_sub(own.start.0)?).ok()?;
    let original = plugin.binary.bytes_at(own.start, length)?.get(..jump.len())?.to_vec();
    Some(Redirect { at: own.start.loaded(bias), original, jump })
}

/// Whether a program can load plugins.
pub fn loads_plugins(program: &Target<'_>) -> bool {
    program.pclntab.functions().any(|function| function.name == "plugin.lastmoduleinit")
}

/// Whether a file is a plugin. A plugin contains the function that registers its tables when it is loaded; no program
/// does (`PrepareAddmoduledata` in cmd/link/internal/ld/ld.go).
pub fn is_plugin(file: &Target<'_>) -> bool {
    file.pclntab.functions().any(|function| function.name == "runtime.addmoduledata")
}

/// Whether a plugin contains `LockOSThread`.
pub fn locks_threads(plugin: &Target<'_>) -> bool {
    plugin.pclntab.functions().any(|function| function.name == "runtime.LockOSThread")
}
