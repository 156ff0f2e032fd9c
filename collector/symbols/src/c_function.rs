//! The user's name of a C function, from the Go wrapper that calls it or from its own symbol.

use crate::demangle::demangle;

/// A C function as its caller knows it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct CFunction {
    /// Its name, for example `sqlite3_step`.
    pub name: String,
    /// Import path of the Go package that calls it.
    pub package: String,
}

/// Returns the C function for the Go function that called `cgocall`, if that is a wrapper written by cgo.
///
/// cmd/cgo writes `_Cfunc_f`, `_C2func_f` (the form that returns errno), `_Cmacro_f` and `_cgo_cmalloc`.
pub fn from_wrapper(go_function: &str) -> Option<CFunction> {
    let (package, function) = split_package(go_function);
    let name = match function {
        "_cgo_cmalloc" => "malloc",
        _ => ["_Cfunc_", "_C2func_", "_Cmacro_"].iter().find_map(|prefix| function.strip_prefix(prefix))?,
    };
    let name = if name == "_CMalloc" || name == "_Cmalloc" { "malloc" } else { name };
    Some(CFunction { name: name.to_owned(), package: package.to_owned() })
}

/// Returns the C function of runtime/cgo that a function of the Go runtime calls. Each has one caller (runtime/proc.go,
/// cgocall.go, runtime.go).
pub fn of_runtime(go_function: &str) -> Option<&'static str> {
    Some(match go_function {
        "runtime.newm1" | "runtime.newm" | "runtime.templateThread" => "x_cgo_thread_start",
        "runtime.main" => "x_cgo_notify_runtime_init_done",
        "runtime.callbackUpdateSystemStack" => "x_cgo_getstackbound",
        "runtime.cgoBindM" => "x_cgo_bindm",
        "runtime.setenv_c" | "syscall.runtimeSetenv" => "x_cgo_setenv",
        "runtime.unsetenv_c" | "syscall.runtimeUnsetenv" => "x_cgo_unsetenv",
        _ => return None,
    })
}

/// Returns the C function's name from its symbol: that of cgo's wrapper for it, or its own.
pub fn from_symbol(symbol: &str) -> String {
    if let Some(name) = symbol.strip_prefix("_cgo_libc_") {
        return name.to_owned();
    }
    match wrapped(symbol) {
        Some("_Cmalloc") => "malloc".to_owned(),
        Some(name) => name.to_owned(),
        None => demangle(symbol),
    }
}

/// Whether a symbol is that of a C function which cgo writes around another.
pub fn is_wrapper(symbol: &str) -> bool {
    wrapped(symbol).is_some()
}

/// Returns the C function around which cgo wrote the one with this symbol: `_cgo_<hash>_Cfunc_f`.
fn wrapped(symbol: &str) -> Option<&str> {
    let (hash, name) = symbol.strip_prefix("_cgo_")?.split_once('_')?;
    if hash.len() != 12 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    ["Cfunc_", "C2func_", "Cmacro_"].iter().find_map(|prefix| name.strip_prefix(prefix))
}

/// Returns the name of an exported Go function from that of the function by which C calls it: `_cgoexp_<hash>_f`, as
/// cmd/cgo names it.
pub fn from_export(go_function: &str) -> Option<&str> {
    let (hash, name) = go_function.strip_prefix("_cgoexp_")?.split_once('_')?;
    (hash.len() == 12 && hash.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(name)
}

/// Splits `github.com/a/b.(*T).f` into package and function.
pub fn split_package(go_function: &str) -> (&str, &str) {
    let path = go_function.rfind('/').map_or(0, |slash| slash + 1);
    match go_function[path..].find('.') {
        Some(dot) => (&go_function[..path + dot], &go_function[path + dot + 1..]),
        None => ("", go_function),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_of_every_form() {
        let check = |go: &str, package: &str, name: &str| {
            let expected = CFunction { name: name.into(), package: package.into() };
            assert_eq!(from_wrapper(go), Some(expected), "{go}");
        };
        check("main._Cfunc_spin", "main", "spin");
        check("github.com/mattn/go-sqlite3._Cfunc_sqlite3_step", "github.com/mattn/go-sqlite3", "sqlite3_step");
        check("gopkg.in/a.v1/b._C2func_open", "gopkg.in/a.v1/b", "open");
        check("main._cgo_cmalloc", "main", "malloc");
        check("main._Cfunc__CMalloc", "main", "malloc");
        check("main._Cmacro_errno", "main", "errno");
        assert_eq!(from_wrapper("main.main"), None);
        assert_eq!(from_wrapper("runtime.main"), None);
    }

    #[test]
    fn symbols_of_every_form() {
        let check = |symbol: &str, name: &str| assert_eq!(from_symbol(symbol), name, "{symbol}");
        check("_cgo_0123456789ab_Cfunc_spin", "spin");
        check("_cgo_0123456789ab_C2func_open", "open");
        check("_cgo_0123456789ab_Cfunc__Cmalloc", "malloc");
        check("_cgo_libc_setuid", "setuid");
        check("x_cgo_notify_runtime_init_done", "x_cgo_notify_runtime_init_done");
        check("_ZN3foo3barEv", "foo::bar");
    }

    #[test]
    fn packages_and_functions() {
        assert_eq!(split_package("github.com/a/b.(*T).f"), ("github.com/a/b", "(*T).f"));
        assert_eq!(split_package("main.main.func1"), ("main", "main.func1"));
        assert_eq!(split_package("crosscall2"), ("", "crosscall2"));
    }
}
