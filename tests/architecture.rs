//! Holds the floors of the house: a room imports from its own floor and those below, never from
//! above. `src/lib.rs` draws the same map for its readers.

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

/// The names of the modules that lead to a file, its own the last: none for `lib.rs`.
fn modules(file: &Path) -> Vec<String> {
    let text = |part: std::path::Component<'_>| part.as_os_str().to_str().unwrap().to_owned();
    let mut modules: Vec<String> = file.with_extension("").components().map(text).collect();
    if matches!(
        modules.last().map(String::as_str),
        Some("mod" | "lib" | "main")
    ) {
        modules.pop();
    }
    modules
}

/// Blanks out comments, documentation, strings and characters.
fn code_alone(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    let skip_to = |from: usize, end: &[char]| {
        let mut at = from;
        while at < bytes.len() && !bytes[at..].starts_with(end) {
            at += 1;
        }
        (at + end.len()).min(bytes.len())
    };
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(&['/', '/']) {
            at = skip_to(at, &['\n']) - 1;
            code.push(' ');
            at += 1;
            code.push('\n');
        } else if rest.starts_with(&['/', '*']) {
            let mut depth = 0;
            loop {
                if bytes[at..].starts_with(&['/', '*']) {
                    depth += 1;
                    at += 2;
                } else if bytes[at..].starts_with(&['*', '/']) {
                    depth -= 1;
                    at += 2;
                } else {
                    at += 1;
                }
                if depth == 0 || at >= bytes.len() {
                    break;
                }
            }
            code.push(' ');
        } else if let Some(hashes) = raw_string(rest, bytes[..at].last()) {
            let mut end = vec!['"'];
            end.extend(std::iter::repeat_n('#', hashes));
            at = skip_to(at + hashes + 2, &end);
            code.push_str("\"\"");
        } else if rest[0] == '"' {
            at += 1;
            while at < bytes.len() && bytes[at] != '"' {
                at += if bytes[at] == '\\' { 2 } else { 1 };
            }
            at += 1;
            code.push_str("\"\"");
        } else if rest[0] == '\'' && rest.get(1) == Some(&'\\') {
            at = skip_to(at + 3, &['\'']);
            code.push(' ');
        } else if rest[0] == '\'' && rest.get(2) == Some(&'\'') {
            at += 3;
            code.push(' ');
        } else {
            code.push(rest[0]);
            at += 1;
        }
    }
    code
}

/// How many `#` a raw string begins with, where one begins.
fn raw_string(rest: &[char], before: Option<&char>) -> Option<usize> {
    if rest[0] != 'r'
        || before.is_some_and(|c| c.is_alphanumeric() || *c == '_') && before != Some(&'b')
    {
        return None;
    }
    let hashes = rest[1..].iter().take_while(|c| **c == '#').count();
    (rest.get(1 + hashes) == Some(&'"')).then_some(hashes)
}

/// The rooms that a file's code names: by `crate::`, or by as many `super::` as lead out of its
/// own room.
fn references(text: &str, modules: &[String]) -> BTreeSet<String> {
    let code = code_alone(text);
    // Without white space, as `use crate::{` is often broken into lines.
    let dense: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let dense = dense
        .replace(" :: ", "::")
        .replace(":: ", "::")
        .replace(" ::", "::");
    let mut roots = vec!["crate::".to_owned()];
    if !modules.is_empty() {
        roots.push("super::".repeat(modules.len()));
    }
    let mut found = BTreeSet::new();
    for root in &roots {
        for (at, _) in dense.match_indices(root.as_str()) {
            let before = dense[..at].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                continue;
            }
            let names = first_names(&dense[at + root.len()..]);
            // Inside of a module in the file, fewer `super` lead out than it seems.
            let is_room = |name: &String| root == "crate::" || floor(name).is_some();
            found.extend(names.into_iter().filter(is_room));
        }
    }
    found
}

/// The first name of a path, or of each path of a group.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)];
    };
    let (mut names, mut depth, mut start) = (Vec::new(), 1, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 || (depth == 1 && c == ',') {
            names.push(name(&group[start..at]));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// What is wrong with the references of one file.
fn faults(file: &str, text: &str) -> Vec<String> {
    let modules = modules(Path::new(file));
    let Some(room) = modules.first() else {
        return Vec::new();
    };
    let Some(own_floor) = floor(room) else {
        return vec![format!("{file}: `{room}` has no floor")];
    };
    references(text, &modules)
        .into_iter()
        .filter_map(|other| match floor(&other) {
            Some(floor) if floor <= own_floor => None,
            Some(floor) => Some(format!(
                "{file}: floor {own_floor} imports `{other}` from floor {floor}"
            )),
            None => Some(format!("{file}: `{other}` is no room")),
        })
        .collect()
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
        let text = fs::read_to_string(source().join(file)).unwrap();
        let found = faults(file.to_str().unwrap(), &text);
        assert!(found.is_empty(), "{found:#?}");
        imports += references(&text, &modules(file)).len();
    }
    assert!(
        imports > files.len(),
        "hardly any import was seen: {imports}"
    );
}

#[test]
fn every_room_stands_on_the_map() {
    let rooms: BTreeSet<String> = files(&source())
        .iter()
        .filter_map(|file| modules(file).into_iter().next())
        .collect();
    let known: BTreeSet<String> = FLOORS.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(rooms, known);

    let lib = fs::read_to_string(source().join("lib.rs")).unwrap();
    let row = |line: &str| {
        let (floor, room) = line.strip_prefix("//! | ")?.split_once(" | [`")?;
        let (room, purpose) = room.split_once("`] | ")?;
        assert!(purpose.len() > 2, "{line}");
        Some((room.to_owned(), floor.parse::<u8>().ok()?))
    };
    let map: BTreeMap<String, u8> = lib.lines().filter_map(row).collect();
    let known: BTreeMap<String, u8> = FLOORS
        .iter()
        .map(|(room, floor)| ((*room).to_owned(), *floor))
        .collect();
    assert_eq!(map, known);
    for room in rooms {
        assert!(lib.contains(&format!("\npub mod {room};")), "{room}");
    }
}

#[test]
fn the_detector_detects() {
    let fault = |file: &str, text: &str| !faults(file, text).is_empty();
    for text in [
        "use crate::server::Server;",
        "use crate::{protocol::Code, server::{self, Server}};",
        "use crate::{\n    protocol::{Code, Fault},\n    cli,\n};",
        "fn f() { let x = crate::cli::main(); }",
        "fn f(x: &crate :: config :: ServeFlags) {}",
        "use super::super::server::Server;",
        "pub(in crate::server) struct X;",
        "use crate::nowhere::X;",
        "/* a */ use /* b */ crate::server::X;",
        "const C: char = '\"'; use crate::server::X; const D: char = '\"';",
        "const C: &str = \"\\\"\"; use crate::server::X;",
        "fn f<'a>(x: &'a str) -> &'a str { crate::server::x(x) }",
        "const C: &str = r#\"\"\"#; use crate::server::X;",
        "#[cfg(test)] mod tests { use crate::cli::Cli; }",
    ] {
        assert!(fault("broker/registry.rs", text), "{text}");
    }
    for text in [
        "use crate::{protocol::{self, server_event}, topic::Topic, identity::Identity};",
        "use crate::broker::State;",
        "use super::{Outbox, server::X};",
        "pub(crate) fn server() {}",
        "// use crate::server::X;",
        "//! use crate::server::X;",
        "/// [`X`](crate::server::X)\nstruct Y;",
        "/* use crate::server::X; /* and */ use crate::cli::X; */",
        "const C: &str = \"crate::server::X\";",
        "const C: &str = r##\"crate::server::X \"# crate::cli::X\"##;",
        "use mycrate::server::X;",
        "use other::crate_::server::X;",
        "#[cfg(test)] mod tests { use super::super::server_side; }",
    ] {
        let found = faults("broker/registry.rs", text);
        assert!(found.is_empty(), "{text}: {found:?}");
    }
    assert!(!fault("broker.rs", "use crate::tls::X;"));
    assert!(fault("broker.rs", "use super::server::X;"));
    assert!(fault(
        "tls/crl/list.rs",
        "use super::super::super::broker::X;"
    ));
    assert!(!fault("tls/crl/list.rs", "use super::super::broker::X;"));
    assert!(
        fault("attic.rs", "use crate::protocol::X;"),
        "a room without a floor"
    );
    assert!(
        !fault("lib.rs", "pub mod cli; use crate::cli::X;"),
        "the map itself names all"
    );
}
