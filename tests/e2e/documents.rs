//! Every command of every document, run as it stands there.
//!
//! The blocks of one document are run in their order in one shell, in a new folder of a [`Machine`]
//! of their own. Comments in the document that no reader sees say what a block needs ([`Mark`]).

mod block;
mod machine;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use block::{Block, Mark, Reason, blocks};
use machine::Machine;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The documents with commands. Each has a test below.
const DOCUMENTS: [&str; 7] = [
    "README.md",
    "certs/README.md",
    "docs/operations.md",
    "docs/performance.md",
    "docs/security.md",
    ".github/CONTRIBUTING.md",
    "fuzz/README.md",
];

fn blocks_of(document: &str) -> Vec<Block> {
    let text = fs::read_to_string(Path::new(ROOT).join(document)).unwrap();
    blocks(&text).unwrap_or_else(|error| panic!("{document}: {error}"))
}

/// Runs what `document` tells its reader to run.
///
/// # Panics
///
/// With the place, when a command fails, or an output is another than the document says.
fn follow(document: &str) {
    let mut machine = Machine::new();
    let mut awaited = Vec::new();
    for (block, id) in blocks_of(document).iter().zip(0..) {
        let place = format!("{document}:{}", block.line);
        if block.mark == Mark::Given {
            // What the reader is said to have next can end what is still at work.
            wait_for_all(&machine, &mut awaited);
        }
        match &block.mark {
            Mark::NotRun(_) => {}
            Mark::SavedAs(file) => machine.store(file, &block.text),
            Mark::Stays { ready, then } => {
                machine.spawn(id, &block.text);
                machine.wait_for(id, ready);
                awaited.extend(then.clone().map(|then| (id, then)));
            }
            Mark::Fails(text) => {
                let (code, lines) = machine.run_apart(id, &block.text);
                let said = lines.iter().any(|line| line.contains(text));
                assert!(code != 0 && said, "{place}: exit code {code}, {lines:#?}");
            }
            Mark::None | Mark::Given if block.is_shell() => machine.run(id, &place, &block.text),
            Mark::None | Mark::Given => {
                for (command, wanted) in block.transcript().into_iter().flatten() {
                    let (_, lines) = machine.run_apart(id, command);
                    assert_eq!(lines, wanted, "{place}: {command}");
                }
            }
        }
    }
    wait_for_all(&machine, &mut awaited);
}

/// Waits for what terminals are said to show in the end.
fn wait_for_all(machine: &Machine, awaited: &mut Vec<(usize, String)>) {
    for (id, text) in awaited.drain(..) {
        machine.wait_for(id, &text);
    }
}

#[test]
fn commands_of_the_readme_run_as_written() {
    follow("README.md");
}

#[test]
fn commands_about_certificates_run_as_written() {
    follow("certs/README.md");
}

#[test]
fn commands_about_operations_run_as_written() {
    follow("docs/operations.md");
}

#[test]
fn commands_about_security_run_as_written() {
    follow("docs/security.md");
}

#[test]
fn commands_for_contributors_run_as_written() {
    follow(".github/CONTRIBUTING.md");
    follow("fuzz/README.md");
    follow("docs/performance.md");
}

/// Every Markdown file of the repository, by its path from the root.
fn markdown() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders: Vec<PathBuf> = ["", ".github", "certs", "docs", "fuzz"]
        .map(|folder| Path::new(ROOT).join(folder))
        .to_vec();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && folder.starts_with(Path::new(ROOT).join("docs")) {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.strip_prefix(ROOT).unwrap();
                found.insert(name.to_str().unwrap().to_owned());
            }
        }
    }
    found
}

#[test]
fn no_document_with_commands_is_left_out() {
    let with_commands: BTreeSet<String> = markdown()
        .into_iter()
        .filter(|document| {
            blocks_of(document)
                .iter()
                .any(|block| block.is_shell() || block.transcript().is_some())
        })
        .collect();
    assert_eq!(with_commands, DOCUMENTS.map(str::to_owned).into());
}

/// They are few, and each is of cargo, or of a script that is there.
#[test]
fn commands_that_are_not_run_name_files_that_are_there() {
    let mut not_run = 0;
    for document in DOCUMENTS {
        for block in blocks_of(document) {
            let Mark::NotRun(reason) = block.mark else {
                continue;
            };
            for line in block.text.lines() {
                let mut words = line.split_whitespace();
                let program = words.next().unwrap();
                let file = Path::new(ROOT).join(program);
                let known = match reason {
                    Reason::TakesMinutes => program == "cargo" || file.is_file(),
                    Reason::NeedsCluster => program == "kubectl",
                };
                assert!(known, "{document}:{}: {line}", block.line);
                not_run += 1;
            }
        }
    }
    assert_eq!(not_run, 13);
}
