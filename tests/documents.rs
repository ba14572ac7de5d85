//! What the documents say of flags and of each other's places is so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed unwrap is what a test is for, also in its helpers"
)]

use std::{
    collections::{BTreeSet, HashSet},
    fs, iter,
    path::{Path, PathBuf},
    process::Command,
};

use clap::CommandFactory;
use regex_syntax::hir::{Class, HirKind};
use tidings::{cli::Cli, identity::Identity};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A flag of `tidings serve` as it is told by `--help`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Flag {
    long: String,
    environment: String,
    /// `None` where it has none, or where it is a switch.
    default: Option<String>,
}

fn serve_flags() -> Vec<Flag> {
    let cli = Cli::command();
    let serve = cli.find_subcommand("serve").unwrap();
    serve
        .get_arguments()
        .map(|flag| {
            let long = flag
                .get_long()
                .expect("every flag of serve has a long form")
                .to_owned();
            let environment = flag
                .get_env()
                .unwrap_or_else(|| panic!("--{long} has no variable"));
            let default = flag
                .get_default_values()
                .first()
                .filter(|_| flag.get_action().takes_values());
            Flag {
                environment: environment.to_str().unwrap().to_owned(),
                default: default.map(|default| default.to_str().unwrap().to_owned()),
                long,
            }
        })
        .collect()
}

/// The binary says no more and no less than what the tests below look for in the documents.
#[test]
fn help_tells_every_flag() {
    let output = Command::new(env!("CARGO_BIN_EXE_tidings"))
        .args(["serve", "--help"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    let told: BTreeSet<&str> = help
        .lines()
        .filter_map(|line| {
            line.trim_start()
                .split_once("--")
                .filter(|(short, _)| short.len() <= 4)
        })
        .filter(|(short, _)| short.is_empty() || short.ends_with(", "))
        .map(|(_, long)| {
            long.split(|c: char| !c.is_alphanumeric() && c != '-')
                .next()
                .unwrap()
        })
        .collect();
    let flags = serve_flags();
    let known: BTreeSet<&str> = flags
        .iter()
        .map(|flag| flag.long.as_str())
        .chain(["help"])
        .collect();
    assert_eq!(told, known);
    for flag in flags {
        assert!(
            help.contains(&format!("[env: {}", flag.environment)),
            "{flag:?}"
        );
        if let Some(default) = flag.default {
            assert!(
                help.contains(&format!("[default: {default}]")),
                "--{} {default}",
                flag.long
            );
        }
    }
}

/// What `flag` lacks in a document that has a table row for every flag.
fn missing<'a>(document: &str, flag: &'a Flag) -> Vec<&'a str> {
    let quoted = |text: &str| format!("`{text}`");
    // `--listen` and `--listen ADDR:PORT` are both the flag, `--listener` is not.
    let names = [format!("`--{}`", flag.long), format!("`--{} ", flag.long)];
    let rows: Vec<&str> = document
        .lines()
        .filter(|line| line.starts_with('|') && names.iter().any(|name| line.contains(name)))
        .collect();
    if rows.is_empty() {
        return vec!["a row"];
    }
    let stands = |text: &str| rows.iter().any(|row| row.contains(&quoted(text)));
    let mut missing = Vec::new();
    if !stands(&flag.environment) {
        missing.push("its variable");
    }
    if flag
        .default
        .as_deref()
        .is_some_and(|default| !stands(default))
    {
        missing.push("its default");
    }
    missing
}

#[test]
fn operations_tells_every_flag_with_its_default_and_variable() {
    let document = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    for flag in serve_flags() {
        let missing = missing(&document, &flag);
        assert!(
            missing.is_empty(),
            "docs/operations.md lacks {missing:?} of {flag:?}"
        );
    }
    // Nor does it tell of variables that nobody reads.
    let known: BTreeSet<String> = Cli::command()
        .get_subcommands()
        .flat_map(|command| command.get_arguments())
        .filter_map(|flag| Some(flag.get_env()?.to_str()?.to_owned()))
        .collect();
    let words =
        document.split(|c: char| !c.is_ascii_uppercase() && !c.is_ascii_digit() && c != '_');
    for variable in words.filter(|word| word.starts_with("TIDINGS_") && *word != "TIDINGS_") {
        assert!(known.contains(variable), "{variable} is read by nobody");
    }
}

/// Every document that people read as a page.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md"), root().join("certs/README.md")];
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// The lines of a document that are text: no blocks of code.
fn prose(document: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    document.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_block ^= is_fence;
        !is_fence && !in_block
    })
}

/// Targets of `[text](target)` and `[text]: target`.
fn links(document: &str) -> Vec<&str> {
    let mut links = Vec::new();
    for line in prose(document) {
        let inline = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        links.extend(inline);
        let reference = line
            .strip_prefix('[')
            .and_then(|rest| rest.split_once("]: "));
        links.extend(reference.map(|(_, target)| target.trim()));
    }
    links
}

/// The places within a document that a link can name, as code hosts make them.
fn anchors(document: &str) -> BTreeSet<String> {
    let heading = |line: &str| {
        Some(
            line.trim_start_matches('#')
                .strip_prefix(' ')?
                .trim()
                .to_lowercase(),
        )
    };
    let slug = |heading: String| -> String {
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    let mut places = BTreeSet::new();
    let headings = prose(document).filter(|line| line.starts_with('#'));
    for place in headings.filter_map(heading).map(slug) {
        // Of headings that are the same, the second has `-1` added, the third `-2`.
        let numbered = (1..).map(|number| format!("{place}-{number}"));
        let free = iter::once(place.clone())
            .chain(numbered)
            .find(|place| !places.contains(place));
        places.extend(free);
    }
    places
}

/// What is wrong with one link that stands in the document at `path`.
fn fault(path: &Path, document: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = match link.split_once('#') {
        Some((file, anchor)) => (file, Some(anchor)),
        None => (link, None),
    };
    let target = path.parent().unwrap().join(file);
    if !file.is_empty() && !target.exists() {
        return Some(format!("{}: no file is at {link}", path.display()));
    }
    let anchor = anchor?;
    let text = if file.is_empty() {
        document.to_owned()
    } else {
        fs::read_to_string(target).ok()?
    };
    (!anchors(&text).contains(anchor))
        .then(|| format!("{}: no heading is at {link}", path.display()))
}

#[test]
fn every_link_leads_somewhere() {
    let faults: Vec<String> = documents()
        .iter()
        .flat_map(|path| {
            let document = fs::read_to_string(path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            links(&document)
                .into_iter()
                .filter_map(|link| fault(path, &document, link))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_reader_of_the_documents_sees_what_is_wrong() {
    let flag = |default: Option<&str>| Flag {
        long: "listen".to_owned(),
        environment: "TIDINGS_LISTEN".to_owned(),
        default: default.map(str::to_owned),
    };
    let row = "| `--listen ADDR:PORT` | `TIDINGS_LISTEN` | `127.0.0.1:4433` | where |";
    let none: [&str; 0] = [];
    assert_eq!(missing(row, &flag(Some("127.0.0.1:4433"))), none);
    assert_eq!(missing(row, &flag(None)), none);
    assert_eq!(missing(row, &flag(Some("0"))), ["its default"]);
    assert_eq!(missing("| `--listen` | x |", &flag(None)), ["its variable"]);
    assert_eq!(missing("| `--listener` | x |", &flag(None)), ["a row"]);
    assert_eq!(
        missing("`--listen` `TIDINGS_LISTEN`", &flag(None)),
        ["a row"]
    );

    let document = "# A `b` c, d\n# A b c d\n[x](#a-b-c-d-1) [y](#a-b-c-d-2)\n```\n[z](none.md)\n```\n[w]: none.md\n";
    assert_eq!(links(document), ["#a-b-c-d-1", "#a-b-c-d-2", "none.md"]);
    let path = root().join("docs/sample.md");
    let faults: Vec<_> = links(document)
        .into_iter()
        .filter_map(|link| fault(&path, document, link))
        .collect();
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert_eq!(fault(&path, document, "../Cargo.toml"), None);
    assert_eq!(fault(&path, document, "https://example.com/none.md"), None);
}

/// The commands of ours that a text names within its sentences, as `tidings …` in backticks.
fn named_commands(text: &str) -> Vec<String> {
    let text: Vec<&str> = prose(text)
        .map(|line| line.trim_start_matches(['#', ' ']))
        .collect();
    let text = text.join(" ");
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|code| code.starts_with("tidings "))
        .map(str::to_owned)
        .collect()
}

/// The first word of a command of ours that is no subcommand or flag, where it should be one.
fn unknown_word(command: &str) -> Option<&str> {
    let mut cli = Cli::command();
    cli.build();
    let mut at = &cli;
    for word in command.split_whitespace().skip(1) {
        let flag = word.split('=').next().unwrap_or(word);
        if flag.starts_with('-') {
            let is_known = at.get_arguments().any(|known| {
                let longs = known.get_long_and_visible_aliases().unwrap_or_default();
                let short = known.get_short().map(|short| format!("-{short}"));
                short.as_deref() == Some(flag)
                    || longs.iter().any(|long| format!("--{long}") == flag)
            });
            if !is_known {
                return Some(word);
            }
        } else if let Some(below) = at.find_subcommand(word) {
            at = below;
        } else if at.has_subcommands() && word != "…" {
            return Some(word);
        }
    }
    None
}

#[test]
fn every_command_that_a_sentence_names_is_there() {
    let packaging = fs::read_dir(root().join("packaging"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut named = 0;
    for path in documents().into_iter().chain(packaging) {
        let text = fs::read_to_string(&path).unwrap();
        for command in named_commands(&text) {
            let unknown = unknown_word(&command);
            assert_eq!(unknown, None, "{}: {command}", path.display());
            named += 1;
        }
    }
    assert!(named > 0);

    assert_eq!(
        named_commands("# a `tidings\n# pub` `x` b"),
        ["tidings pub"]
    );
    for (command, unknown) in [
        ("tidings certs renew NAME --revoke", None),
        ("tidings sub -t '#' -v", None),
        ("tidings publish", Some("publish")),
        ("tidings certs issues", Some("issues")),
        ("tidings sub --topics", Some("--topics")),
        ("tidings serve -x", Some("-x")),
    ] {
        assert_eq!(unknown_word(command), unknown, "{command}");
    }
}

/// The sources of the program, with texts that go on in the next line in one piece.
fn sources() -> String {
    let mut text = String::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let mut goes_on = false;
            for line in fs::read_to_string(path).unwrap().lines() {
                let line = if goes_on { line.trim_start() } else { line };
                goes_on = line.ends_with('\\');
                text.push_str(line.trim_end_matches('\\'));
                if !goes_on {
                    text.push('\n');
                }
            }
        }
    }
    text
}

/// What is quoted of a message in a cell of a table: the pieces between `…` that are sentences.
fn quoted_pieces(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .flat_map(|quoted| quoted.split('…'))
        .map(|piece| piece.trim_matches([' ', ':']))
        .filter(|piece| piece.contains(' '))
}

/// An operator searches the document for what the log says.
#[test]
fn messages_that_operations_quotes_are_those_of_the_program() {
    const OF_OTHERS: [&str; 3] = [
        "Permission denied",
        "Address already in use",
        "Cannot assign requested address",
    ];
    let document = fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let sources = sources();
    let (mut section, mut quoted) = ("", 0);
    for line in document.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            section = heading;
        }
        let column = match section {
            "The log" => 1,
            "Troubleshooting" => 2,
            _ => continue,
        };
        let cell = line.split('|').nth(column).unwrap_or_default();
        for piece in quoted_pieces(cell).filter(|piece| !OF_OTHERS.contains(piece)) {
            assert!(sources.contains(piece), "no message has {piece:?}: {line}");
            quoted += 1;
        }
    }
    assert!(quoted > 50, "{quoted}");
}

/// The rule for characters, as `docs/security.md` states it, against the code, for every character.
#[test]
fn identities_hold_what_the_document_says() {
    let text = fs::read_to_string(root().join("docs/security.md")).unwrap();
    let stated = text
        .lines()
        .find(|line| line.starts_with(r"[\p{"))
        .expect("the class of characters stands alone on its line");
    let HirKind::Class(Class::Unicode(class)) = regex_syntax::parse(stated).unwrap().into_kind()
    else {
        panic!("{stated} is no class of characters");
    };
    let refused: HashSet<char> = class
        .iter()
        .flat_map(|range| range.start()..=range.end())
        .filter(|c| *c != ' ')
        .collect();
    for c in '\0'..=char::MAX {
        let name = format!("a{c}b");
        assert_eq!(
            Identity::parse(&name).is_err(),
            refused.contains(&c),
            "{c:?}"
        );
    }
}
