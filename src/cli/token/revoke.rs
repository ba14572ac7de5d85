//! `tidings token revoke`

use std::io::{self, Write};

use anyhow::bail;
use chrono::{DateTime, Utc};

use super::file::{FileArgument, warn_of_owner, warn_of_writers};
use crate::{
    cli::exit::UsageError,
    text::escaped,
    tokens::{TokenEntry, TokenFile, is_token_id},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    pub(super) file: FileArgument,
    /// The token's full id, as `tidings token list` shows it.
    #[arg(required_unless_present = "expired", conflicts_with = "expired")]
    pub(super) id: Option<String>,
    /// Remove all tokens that have expired.
    #[arg(long)]
    pub(super) expired: bool,
}

impl Revoke {
    pub(super) fn run(self, now: DateTime<Utc>, stderr: &mut impl Write) -> anyhow::Result<()> {
        let file = TokenFile::new(self.file.tokens);
        match &self.id {
            Some(id) => revoke_one(&file, id, stderr)?,
            None => revoke_expired(&file, now, stderr)?,
        }
        warn_of_writers(&file, stderr)
    }
}

fn revoke_one(file: &TokenFile, id: &str, stderr: &mut impl Write) -> anyhow::Result<()> {
    // The argument is not repeated: it may be the token itself.
    if !is_token_id(id) {
        let fault = "that is not the id of a token: an id is 12 characters out of 0-9 and a-f, in a token those after `tdg_`";
        return Err(UsageError(fault.to_owned()).into());
    }
    let Some(changed) = file.revoke(id)? else {
        bail!("there is no token {id} in {}", file.path().display());
    };
    tell_revoked(&changed.outcome, stderr)?;
    writeln!(
        stderr,
        "tidings: a running server closes its sessions within its reload interval, or on SIGHUP"
    )?;
    warn_of_owner(file, &changed, stderr)
}

fn revoke_expired(
    file: &TokenFile,
    now: DateTime<Utc>,
    stderr: &mut impl Write,
) -> anyhow::Result<()> {
    let Some(changed) = file.revoke_expired(now)? else {
        writeln!(stderr, "tidings: no token has expired")?;
        return Ok(());
    };
    for entry in &changed.outcome {
        tell_revoked(entry, stderr)?;
    }
    warn_of_owner(file, &changed, stderr)
}

fn tell_revoked(entry: &TokenEntry, stderr: &mut impl Write) -> io::Result<()> {
    let identity = escaped(entry.identity.as_str());
    writeln!(stderr, "tidings: revoked {} of {identity}", entry.id)
}
