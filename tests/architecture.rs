//! Holds the structure of the source: a room imports from its own floor and those below, never from
//! above, and no two files import each other, not even by way of others. `src/lib.rs` draws the same
//! map for its readers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed unwrap is what a test is for, also in its helpers"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{Attribute, Item, UseTree, visit::Visit};

const FLOORS: &[(&str, u8)] = &[
    ("clock", 0),
    ("text", 0),
    ("protocol", 1),
    ("topic", 1),
    ("files", 1),
    ("network", 1),
    ("identity", 1),
    ("tls", 2),
    ("access", 2),
    ("tokens", 2),
    ("pki", 2),
    ("policy", 3),
    ("client", 3),
    ("broker", 4),
    ("server", 5),
    ("config", 6),
    ("cli", 7),
];

/// Lines of code of a file: without those that are empty, comments or tests.
const CODE_LINES_MAX: usize = 500;

/// How often a name is passed on at most.
const HOPS_MAX: usize = 8;

/// The names that lead to a module from the crate: none for the crate itself.
type Module = Vec<String>;

/// A path as it is written: `["crate", "topic", "Topic"]`.
type Written = Vec<String>;

fn floor(room: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(name, _)| *name == room)
        .map(|(_, floor)| *floor)
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file below `folder`, with its path from there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// The module of a file.
fn module_of(file: &Path) -> Module {
    let text = |part: std::path::Component<'_>| part.as_os_str().to_str().unwrap().to_owned();
    let mut module: Module = file.with_extension("").components().map(text).collect();
    if matches!(module.last().map(String::as_str), Some("lib" | "main")) {
        module.pop();
    }
    module
}

fn is_test_file(file: &Path) -> bool {
    module_of(file).iter().any(|name| name.ends_with("tests"))
}

/// Every path in the code of a file. One in a module within the file, only if it leads out of there.
#[derive(Default)]
struct Paths {
    found: Vec<Written>,
    /// How many modules within the file lead to where the visitor is.
    depth: usize,
    with: With,
}

/// What else is looked at, beside the code that is in the program.
#[derive(Clone, Copy, Default, PartialEq)]
enum With {
    /// Tests, and what the file only passes on by `pub use`.
    #[default]
    All,
    Nothing,
}

impl Paths {
    fn of(code: &str, with: With) -> Vec<Written> {
        let mut paths = Self {
            with,
            ..Self::default()
        };
        paths.visit_file(&syn::parse_file(code).unwrap());
        paths.found
    }

    /// Notes a path as it would be written at the top of the file, if it leads out of the file.
    fn note(&mut self, mut path: Written) {
        for _ in 0..self.depth {
            match path.first().map(String::as_str) {
                Some("super") => drop(path.remove(0)),
                Some("crate") => {}
                _ => return,
            }
        }
        self.found.push(path);
    }

    fn note_use(&mut self, before: &Written, tree: &UseTree) {
        let and = |name: &syn::Ident| [before.as_slice(), &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.note_use(&and(&path.ident), &path.tree),
            UseTree::Name(name) if name.ident == "self" => self.note(before.clone()),
            UseTree::Name(name) => self.note(and(&name.ident)),
            UseTree::Rename(rename) => self.note(and(&rename.ident)),
            UseTree::Glob(_) => self.note(before.clone()),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.note_use(before, tree);
                }
            }
        }
    }

    /// Of a macro's tokens, which are no syntax yet.
    fn note_tokens(&mut self, tokens: TokenStream) {
        let mut path = Written::new();
        for token in tokens {
            match token {
                TokenTree::Ident(name) => path.push(name.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == ':' => {}
                other => {
                    self.note_rooted(std::mem::take(&mut path));
                    if let TokenTree::Group(group) = other {
                        self.note_tokens(group.stream());
                    }
                }
            }
        }
        self.note_rooted(path);
    }

    fn note_rooted(&mut self, path: Written) {
        let is_root = |name: &String| matches!(name.as_str(), "crate" | "super");
        if let Some(start) = path.iter().position(is_root) {
            self.note(path[start..].to_vec());
        }
    }
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let is_cfg = attribute.path().is_ident("cfg");
        is_cfg && matches!(&attribute.meta, syn::Meta::List(list) if list.tokens.to_string().contains("test"))
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        _ => &[],
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        if self.with == With::All || !is_for_tests(attributes(item)) {
            syn::visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.depth += 1;
        syn::visit::visit_item_mod(self, item);
        self.depth -= 1;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let only_passes_on = !matches!(item.vis, syn::Visibility::Inherited);
        if self.with == With::All || !only_passes_on {
            self.note_use(&Written::new(), &item.tree);
        }
        self.visit_visibility(&item.vis);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string());
        self.note_rooted(names.collect());
        syn::visit::visit_path(self, path);
    }

    /// To say who may see something is not to use it.
    fn visit_visibility(&mut self, visibility: &'ast syn::Visibility) {
        if self.with == With::All {
            syn::visit::visit_visibility(self, visibility);
        }
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.note_tokens(call.tokens.clone());
    }
}

/// The rest of a path from the crate on, where it is one of this crate's; `module` has written it.
fn from_the_crate(path: &Written, module: &Module) -> Option<Written> {
    let ups = path.iter().take_while(|name| *name == "super").count();
    if ups > 0 {
        let base = &module[..module.len().checked_sub(ups)?];
        return Some([base, &path[ups..]].concat());
    }
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([module.as_slice(), &path[1..]].concat()),
        _ => None,
    }
}

/// What is wrong with the rooms that one file names.
fn faults(file: &str, code: &str) -> Vec<String> {
    let module = module_of(Path::new(file));
    let Some(room) = module.first() else {
        return Vec::new();
    };
    let Some(own_floor) = floor(room) else {
        return vec![format!("{file}: `{room}` has no floor")];
    };
    let named = Paths::of(code, With::All)
        .iter()
        .filter_map(|path| from_the_crate(path, &module)?.first().cloned())
        .collect::<BTreeSet<_>>();
    let fault = |other: String| match floor(&other) {
        Some(floor) if floor <= own_floor => None,
        Some(floor) => Some(format!(
            "{file}: floor {own_floor} imports `{other}` from floor {floor}"
        )),
        None => Some(format!("{file}: `{other}` is no room")),
    };
    named.into_iter().filter_map(fault).collect()
}

/// Which file imports which, tests apart. A name that a file only passes on is its origin's.
struct Imports(BTreeMap<Module, BTreeSet<Module>>);

impl Imports {
    fn of(sources: &BTreeMap<Module, String>) -> Self {
        let passed_on: BTreeMap<&Module, BTreeMap<String, Written>> = sources
            .iter()
            .map(|(module, code)| (module, passed_on(code, module, sources)))
            .collect();
        let origin = |mut path: Written| {
            for _ in 0..HOPS_MAX {
                // The longest beginning of the path that is a file.
                let is_file = |len: &usize| sources.contains_key(&path[..*len]);
                let len = (0..=path.len()).rev().find(is_file).unwrap_or(0);
                let module: Module = path[..len].to_vec();
                let name = path.get(len);
                match name.and_then(|name| passed_on.get(&module)?.get(name)) {
                    Some(further) => path = [further.as_slice(), &path[len + 1..]].concat(),
                    None => return module,
                }
            }
            panic!("a name that is passed on without end: {path:?}");
        };
        let imports = sources.iter().map(|(module, code)| {
            let named = Paths::of(code, With::Nothing).into_iter();
            let imported = named
                .filter_map(|path| {
                    let is_passed_on = passed_on[module].contains_key(path.first()?);
                    let own = is_passed_on.then(|| [module.as_slice(), &path].concat());
                    to_a_file(&path, module, sources).or(own)
                })
                .map(origin)
                .filter(|other| other != module && !other.is_empty());
            (module.clone(), imported.collect::<BTreeSet<_>>())
        });
        Self(imports.collect())
    }

    /// Files that each can be reached from the others.
    fn circles(&self) -> BTreeSet<BTreeSet<&Module>> {
        let reached: BTreeMap<&Module, BTreeSet<&Module>> = self
            .0
            .keys()
            .map(|module| (module, self.reached_from(module)))
            .collect();
        let circle_of = |module: &Module| {
            let back = |other: &&&Module| reached[**other].contains(module);
            reached[module].iter().filter(back).copied().collect()
        };
        let circles = self.0.keys().map(circle_of);
        circles
            .filter(|circle: &BTreeSet<_>| !circle.is_empty())
            .collect()
    }

    fn reached_from(&self, module: &Module) -> BTreeSet<&Module> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&Module> = self.0[module].iter().collect();
        while let Some(module) = next.pop() {
            if reached.insert(module) {
                next.extend(&self.0[module]);
            }
        }
        reached
    }
}

/// As [`from_the_crate`], for a path that may also begin with a module below its own.
fn to_a_file(
    path: &Written,
    module: &Module,
    sources: &BTreeMap<Module, String>,
) -> Option<Written> {
    from_the_crate(path, module).or_else(|| {
        let below = [module.as_slice(), path].concat();
        sources
            .contains_key(below.get(..=module.len())?)
            .then_some(below)
    })
}

/// The names that a file makes its own by `pub use`, each with where it comes from.
fn passed_on(
    code: &str,
    module: &Module,
    sources: &BTreeMap<Module, String>,
) -> BTreeMap<String, Written> {
    let mut names = BTreeMap::new();
    for item in syn::parse_file(code).unwrap().items {
        let Item::Use(item) = item else { continue };
        if is_for_tests(&item.attrs) {
            continue;
        }
        let mut paths = Paths::default();
        paths.note_use(&Written::new(), &item.tree);
        for path in paths.found {
            let from = to_a_file(&path, module, sources);
            if let (Some(from), Some(name)) = (from, path.last()) {
                names.insert(name.clone(), from);
            }
        }
    }
    names
}

#[test]
fn lower_floors_never_import_upper_ones() {
    let files = files(&source());
    assert!(
        files.len() > FLOORS.len(),
        "the source is not where it was looked for"
    );
    let mut imports = 0;
    for file in &files {
        let code = fs::read_to_string(source().join(file)).unwrap();
        let found = faults(file.to_str().unwrap(), &code);
        assert!(found.is_empty(), "{found:#?}");
        imports += Paths::of(&code, With::All).len();
    }
    assert!(
        imports > files.len(),
        "hardly any import was seen: {imports}"
    );
}

#[test]
fn no_file_imports_itself_by_way_of_others() {
    let sources: BTreeMap<Module, String> = files(&source())
        .iter()
        .filter(|file| !is_test_file(file))
        .map(|file| {
            (
                module_of(file),
                fs::read_to_string(source().join(file)).unwrap(),
            )
        })
        .collect();
    let imports = Imports::of(&sources);
    let edges: usize = imports.0.values().map(BTreeSet::len).sum();
    assert!(edges > sources.len(), "hardly any import was seen: {edges}");
    let circle_of = |circle: &BTreeSet<&Module>| {
        let mut edges = String::new();
        for module in circle {
            let others = imports.0[*module].iter();
            for other in others.filter(|other| circle.contains(other)) {
                edges += &format!("{} imports {}\n", module.join("::"), other.join("::"));
            }
        }
        edges
    };
    let circles: Vec<String> = imports.circles().iter().map(circle_of).collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn no_file_is_too_long_to_read() {
    for file in files(&source()).iter().filter(|file| !is_test_file(file)) {
        let code = fs::read_to_string(source().join(file)).unwrap();
        let (code, _tests) = code
            .split_once("\n#[cfg(test)]\nmod tests")
            .unwrap_or((&code, ""));
        let is_code = |line: &&str| !line.is_empty() && !line.starts_with("//");
        let lines = code.lines().map(str::trim).filter(is_code).count();
        assert!(lines <= CODE_LINES_MAX, "{}: {lines} lines", file.display());
    }
}

#[test]
fn every_file_begins_with_what_it_owns() {
    for file in files(&source()) {
        let code = fs::read_to_string(source().join(&file)).unwrap();
        let begins_with_it = code.starts_with("//! ") || is_test_file(&file);
        assert!(begins_with_it, "{}", file.display());
    }
}

#[test]
fn every_room_stands_on_the_map() {
    let rooms: BTreeSet<String> = files(&source())
        .iter()
        .filter_map(|file| module_of(file).into_iter().next())
        .collect();
    let known: BTreeMap<String, u8> = FLOORS
        .iter()
        .map(|(room, floor)| ((*room).to_owned(), *floor))
        .collect();
    assert_eq!(rooms, known.keys().cloned().collect());

    let lib = fs::read_to_string(source().join("lib.rs")).unwrap();
    let row = |line: &str| {
        let (floor, room) = line.strip_prefix("//! | ")?.split_once(" | [`")?;
        let (room, purpose) = room.split_once("`] | ")?;
        assert!(purpose.len() > 2, "{line}");
        Some((room.to_owned(), floor.parse::<u8>().ok()?))
    };
    let map: BTreeMap<String, u8> = lib.lines().filter_map(row).collect();
    assert_eq!(map, known);
}

#[test]
fn the_detector_of_floors_detects() {
    let has_fault = |file: &str, code: &str| !faults(file, code).is_empty();
    for code in [
        "use crate::server::Server;",
        "use crate::{protocol::Code, server::{self, Server}};",
        "use crate::{\n    protocol::{Code, CodedError},\n    cli,\n};",
        "fn f() { let x = crate::cli::main(); }",
        "fn f(x: &crate :: config :: Configuration) {}",
        "use super::super::server::Server;",
        "pub(in crate::server) struct X;",
        "use crate::nowhere::X;",
        "fn f() { select! { x = crate::server::f() => {} } }",
        "#[cfg(test)] mod tests { use crate::cli::Cli; }",
        "#[cfg(test)] mod tests { use super::super::super::cli::Cli; }",
    ] {
        assert!(has_fault("broker/registry.rs", code), "{code}");
    }
    for code in [
        "use crate::{protocol::{self, server_event}, topic::Topic, identity::Identity};",
        "use crate::broker::State;",
        "use super::{Outbox, server::X};",
        "pub(crate) fn server() {}",
        "// use crate::server::X;",
        "const C: &str = \"crate::server::X\";",
        "use other::crate_::server::X;",
        "#[cfg(test)] mod tests { use super::super::server_side; }",
    ] {
        let found = faults("broker/registry.rs", code);
        assert!(found.is_empty(), "{code}: {found:?}");
    }
    assert!(
        has_fault("attic.rs", "use crate::protocol::X;"),
        "a room without a floor"
    );
    assert!(
        !has_fault("lib.rs", "pub mod cli; use crate::cli::X;"),
        "the map names all"
    );
}

#[test]
fn the_detector_of_circles_detects() {
    let circles = |files: &[(&str, &str)]| {
        let sources = files
            .iter()
            .map(|(file, code)| (module_of(Path::new(file)), (*code).to_owned()))
            .collect();
        Imports::of(&sources).circles().len()
    };
    let room = ("a.rs", "mod b; mod c; pub use b::B; pub use c::C;");
    assert_eq!(
        circles(&[
            room,
            ("a/b.rs", "use super::C;"),
            ("a/c.rs", "use super::B;")
        ]),
        1
    );
    assert_eq!(
        circles(&[room, ("a/b.rs", "use super::C;"), ("a/c.rs", "struct C;")]),
        0
    );
    assert_eq!(
        circles(&[room, ("a/b.rs", "use super::A;"), ("a/c.rs", "")]),
        0
    );
    let user = ("a.rs", "mod b; use b::B; struct A(B);");
    assert_eq!(circles(&[user, ("a/b.rs", "use super::A;")]), 1);
    let around = [("a.rs", "use crate::b::X;"), ("b.rs", "use crate::c::X;")];
    assert_eq!(
        circles(&[around[0], around[1], ("c.rs", "fn f() { crate::a::f() }")]),
        1
    );
    assert_eq!(
        circles(&[
            around[0],
            around[1],
            ("c.rs", "#[cfg(test)] use crate::a::X;")
        ]),
        0
    );
}
