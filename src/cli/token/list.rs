//! `tidings token list`

use std::io::Write;

use chrono::{DateTime, Utc};

use super::file::{FileArgument, warn_of_writers};
use crate::{
    text::{day_and_time, escaped},
    tokens::{TokenEntry, TokenFile},
};

#[derive(Debug, clap::Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(super) file: FileArgument,
}

impl List {
    pub(super) fn run(
        self,
        now: DateTime<Utc>,
        out: &mut impl Write,
        stderr: &mut impl Write,
    ) -> anyhow::Result<()> {
        let file = TokenFile::new(self.file.tokens);
        let book = file.read()?;
        let heading = ["ID", "IDENTITY", "CREATED", "EXPIRES", "STATE"].map(str::to_owned);
        let rows = book.entries().iter().map(|entry| row(entry, now));
        let rows: Vec<_> = std::iter::once(heading).chain(rows).collect();
        let width = |column: usize| {
            let widths = rows.iter().map(|row| row[column].chars().count());
            widths.max().unwrap_or_default()
        };
        let widths = [0, 1, 2, 3].map(width);
        for row in &rows {
            for (text, width) in row.iter().zip(widths) {
                write!(out, "{text:width$}  ")?;
            }
            writeln!(out, "{}", row[4])?;
        }
        warn_of_writers(&file, stderr)
    }
}

fn row(entry: &TokenEntry, now: DateTime<Utc>) -> [String; 5] {
    let state = if entry.is_expired(now) {
        "expired"
    } else {
        "valid"
    };
    [
        entry.id.clone(),
        escaped(entry.identity.as_str()),
        day_and_time(entry.created),
        entry.expires.map_or("never".to_owned(), day_and_time),
        state.to_owned(),
    ]
}
