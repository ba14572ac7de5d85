//! `tidings token new`

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::anyhow;
use chrono::{DateTime, TimeDelta, Utc};

use super::file::{FileArgument, warn_of_owner, warn_of_writers};
use crate::{
    cli::exit::UsageError,
    config::duration,
    identity::Identity,
    text::{day_and_time, escaped},
    tokens::TokenFile,
};

/// Days of the longest lifetime: a century.
const LIFETIME_DAYS_MAX: i64 = 36_500;

#[derive(Debug, clap::Args)]
pub(crate) struct New {
    #[command(flatten)]
    pub(super) file: FileArgument,
    /// The identity that the token belongs to.
    #[arg(long, value_name = "NAME")]
    pub(super) identity: String,
    /// How long it is valid: a number with m, h, d or w, like 90d. Without it, the token does not expire.
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    pub(super) expires: Option<TimeDelta>,
    /// Write the token to this file instead of printing it. The file must not exist yet. Only its owner
    /// can read it.
    #[arg(long, value_name = "FILE")]
    pub(super) out: Option<PathBuf>,
}

impl New {
    pub(super) fn run(
        self,
        now: DateTime<Utc>,
        out: &mut impl Write,
        stderr: &mut impl Write,
    ) -> anyhow::Result<()> {
        let identity = Identity::parse(&self.identity)
            .map_err(|error| UsageError(format!("--identity: {error}")))?;
        let expires = self.expires.map(|lifetime| now + lifetime);
        let file = TokenFile::new(self.file.tokens);
        // First, so that no token is created that cannot be written.
        let mut place = self.out.as_deref().map(Place::create).transpose()?;
        let changed = file.issue(identity.clone(), now, expires)?;
        let token = &changed.outcome;
        // A closed stdout is an error here: the token would be lost.
        let written = match &mut place {
            Some(place) => place.write(token.secret()),
            None => writeln!(out, "{}", token.secret()).and_then(|()| out.flush()),
        };
        written.map_err(|error| {
            anyhow!("cannot hand over the token, revoke {}: {error}", token.id())
        })?;
        let end = expires.map_or_else(
            || "it does not expire".to_owned(),
            |end| format!("expires {}", day_and_time(end)),
        );
        let identity = escaped(identity.as_str());
        writeln!(
            stderr,
            "tidings: token {} for {identity}, {end}",
            token.id()
        )?;
        let shown_once = match place {
            Some(_) => "",
            None => "it is not shown again; ",
        };
        writeln!(
            stderr,
            "tidings: {shown_once}a running server takes it within its reload interval, or on SIGHUP"
        )?;
        warn_of_owner(&file, &changed, stderr)?;
        warn_of_writers(&file, stderr)
    }
}

/// A new file for one token, which only its owner can read. It is removed again if the token is not
/// written.
struct Place<'a> {
    path: &'a Path,
    file: File,
    is_written: bool,
}

impl<'a> Place<'a> {
    fn create(path: &'a Path) -> Result<Self, UsageError> {
        let opened = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => UsageError(format!(
                "{} is there already, and is not overwritten: give another --out, or remove it",
                path.display()
            )),
            _ => UsageError(format!("cannot write {}: {error}", path.display())),
        })?;
        Ok(Self {
            path,
            file,
            is_written: false,
        })
    }

    fn write(&mut self, secret: &str) -> io::Result<()> {
        writeln!(self.file, "{secret}")?;
        self.file.sync_all()?;
        self.is_written = true;
        Ok(())
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if !self.is_written {
            // The fault that led here is the one to tell.
            let _ = fs::remove_file(self.path);
        }
    }
}

/// A bare number would be seconds, where whoever leaves the unit out means days.
pub(super) fn lifetime(text: &str) -> Result<TimeDelta, String> {
    if text.ends_with(|c: char| c.is_ascii_digit()) {
        return Err("give it a unit, like 90d".to_owned());
    }
    let lifetime = TimeDelta::from_std(duration::parse(text)?).ok();
    let range = TimeDelta::minutes(1)..=TimeDelta::days(LIFETIME_DAYS_MAX);
    lifetime
        .filter(|lifetime| range.contains(lifetime))
        .ok_or_else(|| format!("it must be from 1m to {LIFETIME_DAYS_MAX}d"))
}
