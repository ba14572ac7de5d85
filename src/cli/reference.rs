//! `tidings events` and `tidings errors`: print the documents of the protocol.

use std::io::{self, Write};

use super::exit::UsageError;

const EVENTS: &str = include_str!("../../docs/events.md");
const CODES: &str = include_str!("../../docs/error_codes.md");

/// `tidings events`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tidings events\n  tidings events publish")]
pub(super) struct Events {
    /// The event to explain [default: all].
    name: Option<String>,
}

/// `tidings errors`
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tidings errors\n  tidings errors slow_consumer")]
pub(super) struct Errors {
    /// The code to explain [default: all].
    code: Option<String>,
}

impl Events {
    pub(super) fn run(self) -> anyhow::Result<()> {
        explain(EVENTS, self.name.as_deref(), "event", "tidings events")
    }
}

impl Errors {
    pub(super) fn run(self) -> anyhow::Result<()> {
        explain(CODES, self.code.as_deref(), "code", "tidings errors")
    }
}

fn explain(document: &str, name: Option<&str>, kind: &str, command: &str) -> anyhow::Result<()> {
    let text = match name {
        None => document.to_owned(),
        Some(name) => sections(document, name).ok_or_else(|| {
            let near = nearest(document, name).map_or_else(
                || format!("`{command}` explains all of them"),
                |near| format!("did you mean `{command} {near}`?"),
            );
            UsageError(format!("there is no {kind} {name:?}: {near}"))
        })?,
    };
    io::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

/// Every section whose heading is exactly `name` in code quotes: `ping` is said by both sides.
fn sections(document: &str, name: &str) -> Option<String> {
    let heading = format!("### `{name}`");
    let mut found = String::new();
    let mut inside = false;
    for line in document.lines() {
        if line.starts_with('#') {
            inside = line == heading;
        }
        if inside {
            found.push_str(line);
            found.push('\n');
        }
    }
    (!found.is_empty()).then_some(found)
}

/// The name in the document that is most like `name`, where one is like it at all.
fn nearest<'d>(document: &'d str, name: &str) -> Option<&'d str> {
    let headings = document.lines().filter_map(|line| {
        let quoted = line.strip_prefix("### `")?;
        quoted.strip_suffix('`')
    });
    let likeness = |known: &str| match known.contains(name) && name.len() >= NAME_PART_LEN_MIN {
        true => 1.0,
        false => strsim::jaro_winkler(known, name),
    };
    headings
        .map(|known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known)
}

/// As clap has it for flags.
const LIKENESS_MIN: f64 = 0.7;

/// Characters of a part of a name that say which name is meant.
const NAME_PART_LEN_MIN: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Code, EventName, ServerEvent};

    #[test]
    fn every_event_and_code_is_explained() {
        let names = EventName::ALL.iter().map(|name| name.as_str());
        for name in names.chain(ServerEvent::NAMES.iter().copied()) {
            assert!(sections(EVENTS, name).is_some(), "{name}");
        }
        for code in Code::ALL {
            assert!(sections(CODES, code.as_str()).is_some(), "{code}");
        }
        assert_eq!(sections(EVENTS, "nonsense"), None);
    }

    #[test]
    fn the_nearest_name_is_told() {
        for (typed, expected) in [
            ("slow", Some("slow_consumer")),
            ("slow_consumers", Some("slow_consumer")),
            ("publish_deny", Some("publish_denied")),
            ("xyzzy", None),
            ("", None),
        ] {
            assert_eq!(nearest(CODES, typed), expected, "{typed}");
        }
        assert_eq!(nearest(EVENTS, "subscirbe"), Some("subscribe"));
    }
}
