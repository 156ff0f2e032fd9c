//! Imports between files go one way: no file needs one that needs it, over any number of others.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use syn::visit::{self, Visit};
use syn::{ItemMod, ItemUse, UseTree};

/// A module by the names on the way to it.
type Module = Vec<String>;

/// What each module imports.
type Imports = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn no_files_import_each_other_in_a_circle() {
    for folder in ["collector/hook/src", "collector/profile/src", "collector/symbols/src", "viewer/src"] {
        assert_eq!(in_circles(imports(Path::new(folder))), Imports::new(), "{folder}");
    }
}

#[test]
fn no_folders_of_the_collector_import_each_other_in_a_circle() {
    let mut folders = Imports::new();
    for (module, imported) in imports(Path::new("collector/src")) {
        let Some(folder) = module.first() else { continue };
        let others = imported.iter().filter_map(|other| other.first()).filter(|&other| other != folder);
        folders.entry(vec![folder.clone()]).or_default().extend(others.map(|other| vec![other.clone()]));
    }
    assert_eq!(in_circles(folders), Imports::new());
}

#[test]
fn a_circle_is_found_and_nothing_else() {
    let imports = |pairs: &[(&str, &[&str])]| -> Imports {
        let module = |name: &str| vec![name.to_owned()];
        pairs.iter().map(|&(from, to)| (module(from), to.iter().map(|name| module(name)).collect())).collect()
    };
    let way: &[(&str, &[&str])] = &[("a", &["b", "c"]), ("b", &["c"]), ("c", &[])];
    assert_eq!(in_circles(imports(way)), Imports::new());
    let circle: &[(&str, &[&str])] = &[("a", &["b"]), ("b", &["c", "d"]), ("c", &["b"]), ("d", &[])];
    assert_eq!(in_circles(imports(circle)), imports(&[("b", &["c"]), ("c", &["b"])]));
}

#[test]
fn what_a_file_imports_is_seen() {
    let code = "mod child; use crate::a::{b, c::D as E}; mod inner { use super::f; } #[cfg(test)] mod tests { use crate::t; }
        use child::N; use std::fmt; pub(in crate::o) struct P; fn g() -> super::h::I { crate::j::k(self::l::m, child::q()) }";
    let mut found = Paths { module: vec!["x".into(), "y".into()], children: BTreeSet::new(), found: Vec::new() };
    found.visit_file(&syn::parse_file(code).expect("it parses"));
    let mut shown: Vec<String> = found.found.iter().map(|path| path.join("::")).collect();
    shown.sort();
    assert_eq!(
        shown,
        ["a::b", "a::c::D", "j::k", "x::h::I", "x::y::child::N", "x::y::child::q", "x::y::f", "x::y::l::m"]
    );
}

/// What the modules of a crate import of each other. Tests may import what they like.
fn imports(crate_source: &Path) -> Imports {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(crate_source);
    let mut files = BTreeMap::new();
    modules(&root, &Module::new(), &mut files);
    let names: BTreeSet<Module> = files.keys().cloned().collect();
    assert!(names.len() > 5, "{}: only {names:?}", root.display());
    let imported = |(module, code): (Module, String)| {
        let mut paths = Paths { module: module.clone(), children: BTreeSet::new(), found: Vec::new() };
        paths.visit_file(&syn::parse_file(&code).unwrap_or_else(|error| panic!("{module:?}: {error}")));
        // The module of a path is its longest part that is one.
        let owner = |path: &Module| {
            (0..=path.len()).rev().map(|len| &path[..len]).find(|part| names.contains(*part)).map(<[String]>::to_vec)
        };
        let others = paths.found.iter().filter_map(owner).filter(|other| *other != module).collect();
        (module, others)
    };
    files.into_iter().map(imported).collect()
}

/// The code of the modules in a folder.
fn modules(folder: &Path, of: &Module, found: &mut BTreeMap<Module, String>) {
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let mut module = of.clone();
        if path.is_dir() {
            module.push(name);
            modules(&path, &module, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests" {
            if !["mod", "lib"].contains(&name.as_str()) {
                module.push(name);
            }
            found.insert(module, std::fs::read_to_string(&path).expect("a source"));
        }
    }
}

/// The modules that are in a circle or between circles, with what they import of each other.
fn in_circles(mut imports: Imports) -> Imports {
    loop {
        let imported: BTreeSet<Module> = imports.values().flatten().cloned().collect();
        let ends: BTreeSet<Module> = imports
            .iter()
            .filter(|(module, others)| {
                !others.iter().any(|other| imports.contains_key(other)) || !imported.contains(*module)
            })
            .map(|(module, _)| module.clone())
            .collect();
        if ends.is_empty() {
            return imports;
        }
        imports.retain(|module, _| !ends.contains(module));
        imports.values_mut().for_each(|others| others.retain(|other| !ends.contains(other)));
    }
}

/// The paths in a file that lead to other modules of its crate.
struct Paths {
    module: Module,
    /// Modules that the file declares.
    children: BTreeSet<String>,
    found: Vec<Module>,
}

impl Paths {
    fn add(&mut self, path: &[String]) {
        let mut module = match path.first().map(String::as_str) {
            Some("crate") => Module::new(),
            Some("self" | "super") => self.module.clone(),
            Some(child) if self.children.contains(child) => self.module.clone(),
            _ => return,
        };
        for name in path {
            match name.as_str() {
                "crate" | "self" => {}
                "super" => drop(module.pop()),
                name => module.push(name.to_owned()),
            }
        }
        self.found.push(module);
    }

    fn add_tree(&mut self, before: &[String], tree: &UseTree) {
        let longer = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&longer(&path.ident), &path.tree),
            UseTree::Name(name) => self.add(&longer(&name.ident)),
            UseTree::Rename(name) => self.add(&longer(&name.ident)),
            UseTree::Glob(_) => self.add(before),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.add_tree(before, item)),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_file(&mut self, file: &'ast syn::File) {
        let child = |item: &syn::Item| match item {
            syn::Item::Mod(module) if module.content.is_none() => Some(module.ident.to_string()),
            _ => None,
        };
        self.children = file.items.iter().filter_map(child).collect();
        visit::visit_file(self, file);
    }

    /// A visibility names a module, and imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let is_test = |attribute: &syn::Attribute| {
            attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
        };
        if item.content.is_some() && !item.attrs.iter().any(is_test) {
            self.module.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.module.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&names);
        visit::visit_path(self, path);
    }
}
