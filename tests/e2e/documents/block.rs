//! The blocks of code in a document, and what the invisible comment above each of them says of it.

use std::fmt::{self, Display};

/// A fenced block; or a comment with what the reader is said to have done at that place.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) language: String,
    pub(super) text: String,
    /// Of its first line, for messages.
    pub(super) line: usize,
    pub(super) mark: Mark,
}

/// What the line above a block says, as `<!-- … -->`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// No comment: commands are run and succeed; all else is text.
    None,
    /// `not run: REASON`
    NotRun(Reason),
    /// `stays: TEXT`, or `stays: TEXT; then: TEXT`: it does not end by itself. It is ready when it
    /// shows the one text, and shows the other by the next `given:` or the end of the document.
    Stays { ready: String, then: Option<String> },
    /// `fails: TEXT`: its last command fails, and says so with this text.
    Fails(String),
    /// `saved as: FILE`: the prose says to store it there.
    SavedAs(String),
    /// `given:`, and then commands up to the end of the comment: what the reader has at this place.
    Given,
}

/// Why a block is not run. There are no other reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It compiles, or runs all tests.
    TakesMinutes,
    /// It needs a Kubernetes cluster.
    NeedsCluster,
}

impl Reason {
    const ALL: [Self; 2] = [Self::TakesMinutes, Self::NeedsCluster];
}

impl Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TakesMinutes => "takes minutes",
            Self::NeedsCluster => "needs a cluster",
        })
    }
}

impl Mark {
    fn parse(comment: &str) -> Option<Self> {
        let (kind, rest) = comment.split_once(':')?;
        let rest = rest.trim();
        Some(match kind {
            "not run" => Self::NotRun(
                Reason::ALL
                    .into_iter()
                    .find(|reason| reason.to_string() == rest)?,
            ),
            "stays" => {
                let (ready, then) = match rest.split_once("; then: ") {
                    Some((ready, then)) => (ready, Some(then.to_owned())),
                    None => (rest, None),
                };
                Self::Stays {
                    ready: ready.to_owned(),
                    then,
                }
            }
            "fails" => Self::Fails(rest.to_owned()),
            "saved as" => Self::SavedAs(rest.to_owned()),
            _ => return None,
        })
    }
}

/// All blocks of the Markdown `document`, in order.
///
/// # Errors
///
/// When the comment above a block is none that is known.
pub(super) fn blocks(document: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut above = "";
    let mut lines = document.lines().zip(1..);
    while let Some((first, line)) = lines.next() {
        let mut until = |end: &str| -> String {
            let inner = lines.by_ref().map(|(line, _)| line);
            inner
                .take_while(|line| line.trim_end() != end)
                .flat_map(|line| [line, "\n"])
                .collect()
        };
        if let Some(language) = first.strip_prefix("```") {
            let comment = above
                .strip_prefix("<!-- ")
                .and_then(|rest| rest.strip_suffix(" -->"));
            let mark = match comment {
                Some(comment) => Mark::parse(comment)
                    .ok_or_else(|| format!("line {line}: not a known comment: {comment}"))?,
                None => Mark::None,
            };
            blocks.push(Block {
                language: language.to_owned(),
                text: until("```"),
                line,
                mark,
            });
        } else if first == "<!-- given:" {
            blocks.push(Block {
                language: "sh".to_owned(),
                text: until("-->"),
                line,
                mark: Mark::Given,
            });
        }
        above = first;
    }
    Ok(blocks)
}

impl Block {
    pub(super) fn is_shell(&self) -> bool {
        matches!(self.language.as_str(), "sh" | "bash" | "console")
    }

    /// The commands behind `$ ` and the output that each is said to have, of a block that begins so.
    pub(super) fn transcript(&self) -> Option<Vec<(&str, Vec<&str>)>> {
        if !self.text.starts_with("$ ") {
            return None;
        }
        let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in self.text.lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push((command, Vec::new())),
                (None, Some((_, output))) => output.push(line),
                (None, None) => return None,
            }
        }
        for (_, output) in &mut commands {
            while output.last().is_some_and(|line| line.is_empty()) {
                output.pop();
            }
        }
        Some(commands)
    }
}

#[test]
fn the_reader_of_blocks_takes_them_with_their_marks() {
    let document = "<!-- stays: up; then: ran -->\n```sh\na\n```\n```json\n{}\n```\n<!-- given:\nb\nc\n-->\n<!-- saved as: f -->\n```toml\nd\n```\n```text\n$ e\nf\n\n$ g\n```\n";
    let blocks = blocks(document).unwrap();
    let texts: Vec<&str> = blocks.iter().map(|block| block.text.as_str()).collect();
    assert_eq!(texts, ["a\n", "{}\n", "b\nc\n", "d\n", "$ e\nf\n\n$ g\n"]);
    let stays = Mark::Stays {
        ready: "up".to_owned(),
        then: Some("ran".to_owned()),
    };
    let saved = Mark::SavedAs("f".to_owned());
    let marks: Vec<&Mark> = blocks.iter().map(|block| &block.mark).collect();
    assert_eq!(
        marks,
        [&stays, &Mark::None, &Mark::Given, &saved, &Mark::None]
    );
    assert_eq!(blocks[0].line, 2);
    assert_eq!(blocks[0].transcript(), None);
    assert_eq!(
        blocks[4].transcript().unwrap(),
        [("e", vec!["f"]), ("g", vec![])]
    );
}

#[test]
fn the_reader_of_blocks_refuses_reasons_and_comments_that_it_does_not_know() {
    for comment in ["not run: too hard", "perhaps"] {
        let error = blocks(&format!("text\n<!-- {comment} -->\n```sh\na\n```\n")).unwrap_err();
        assert_eq!(error, format!("line 3: not a known comment: {comment}"));
    }
}
