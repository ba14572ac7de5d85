//! `tidings token`: make, list and revoke the tokens that a server takes.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{anyhow, bail};
use chrono::{DateTime, TimeDelta, Utc};

use super::{exit::UsageError, say::Stderr};
use crate::{
    clock,
    identity::Identity,
    text::{day_and_time, escaped, harmless_path},
    tokens::{Changed, TokenEntry, TokenFile, is_token_id},
};

/// Days of the longest lifetime: a century. What is to outlast it needs no end.
const LIFETIME_DAYS_MAX: i64 = 36_500;

const EXIT_CODES: &str = "Exit code: 0 done, 1 there is no such token, or it cannot be handed over, \
                          64 typed wrongly, or a file that cannot be used.";

/// Make, list and revoke the tokens that a server takes.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXIT_CODES)]
pub(crate) enum TokenCommand {
    /// Make a token for one identity, and print it, or write it to a new file: this once.
    ///
    /// The file keeps its hash alone, and is made when it is not there. The token is good only
    /// together with a certificate of that identity.
    #[command(after_help = "Examples:\n  \
        tidings token new --tokens tokens.toml --identity sensor-7 --out sensor-7.token\n  \
        (umask 077; tidings token new --tokens tokens.toml --identity sensor-7 > sensor-7.token)\n  \
        tidings token new --tokens tokens.toml --identity alice --expires 90d")]
    New(NewArguments),
    /// List the tokens of the file: id, identity, when it was made, its end, and its state.
    #[command(after_help = "Example:\n  tidings token list --tokens tokens.toml")]
    List(FileArgument),
    /// Take a token out of the file. The server closes the sessions that it let in.
    #[command(after_help = "Examples:\n  \
        tidings token revoke --tokens tokens.toml 3f9c1a77b2e0\n  \
        tidings token revoke --tokens tokens.toml --expired")]
    Revoke(RevokeArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct FileArgument {
    /// The file of tokens, as `tidings serve --tokens` reads it.
    #[arg(long, env = "TIDINGS_TOKENS", value_name = "FILE")]
    tokens: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(crate) struct NewArguments {
    #[command(flatten)]
    file: FileArgument,
    /// The identity whose certificate the token goes with.
    #[arg(long, value_name = "NAME")]
    identity: String,
    /// How long it is good: a number with m, h, d or w, like 90d. Left out, it does not end.
    #[arg(long, value_name = "TIME", value_parser = lifetime)]
    expires: Option<TimeDelta>,
    /// Write the token to this file instead of printing it. It must not be there yet; its owner alone
    /// can read it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RevokeArguments {
    #[command(flatten)]
    file: FileArgument,
    /// The token's id, whole, as `tidings token list` shows it.
    #[arg(required_unless_present = "expired", conflicts_with = "expired")]
    id: Option<String>,
    /// Take out all tokens that have expired.
    #[arg(long)]
    expired: bool,
}

/// Does what the command says. A token or a table goes to stdout, the rest to stderr.
pub(crate) fn run(command: TokenCommand) -> anyhow::Result<()> {
    let (mut out, mut talk) = (io::stdout().lock(), Stderr);
    let now = clock::now();
    match command {
        TokenCommand::New(arguments) => new(arguments, now, &mut out, &mut talk),
        TokenCommand::List(arguments) => list(&arguments, now, &mut out, &mut talk),
        TokenCommand::Revoke(arguments) => revoke(&arguments, now, &mut talk),
    }
}

fn new(
    arguments: NewArguments,
    now: DateTime<Utc>,
    out: &mut impl Write,
    talk: &mut impl Write,
) -> anyhow::Result<()> {
    let identity = Identity::parse(&arguments.identity)
        .map_err(|error| UsageError(format!("--identity: {error}")))?;
    let expires = arguments.expires.map(|lifetime| now + lifetime);
    let file = TokenFile::new(arguments.file.tokens);
    // First, so that no token is made that would have no place.
    let mut place = arguments.out.as_deref().map(Place::create).transpose()?;
    let changed = file.issue(identity.clone(), now, expires)?;
    let token = &changed.outcome;
    // A reader that is gone is no success here: the token would be lost without a word.
    let written = match &mut place {
        Some(place) => place.write(token.secret()),
        None => writeln!(out, "{}", token.secret()).and_then(|()| out.flush()),
    };
    written
        .map_err(|error| anyhow!("cannot hand over the token, revoke {}: {error}", token.id()))?;
    let end = expires.map_or_else(
        || "it does not expire".to_owned(),
        |end| format!("expires {}", day_and_time(end)),
    );
    let identity = escaped(identity.as_str());
    writeln!(talk, "tidings: token {} for {identity}, {end}", token.id())?;
    let shown_once = match place {
        Some(_) => "",
        None => "it is not shown again; ",
    };
    writeln!(
        talk,
        "tidings: {shown_once}a running server takes it within its reload interval, or on SIGHUP"
    )?;
    warn_of_owner(&file, &changed, talk)?;
    warn_of_writers(&file, talk)
}

/// A new file for one token, readable by its owner alone; removed again when the token does not get
/// into it.
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

fn list(
    arguments: &FileArgument,
    now: DateTime<Utc>,
    out: &mut impl Write,
    talk: &mut impl Write,
) -> anyhow::Result<()> {
    let file = TokenFile::new(&arguments.tokens);
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
    warn_of_writers(&file, talk)
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

fn revoke(
    arguments: &RevokeArguments,
    now: DateTime<Utc>,
    talk: &mut impl Write,
) -> anyhow::Result<()> {
    let file = TokenFile::new(&arguments.file.tokens);
    match &arguments.id {
        Some(id) => revoke_one(&file, id, talk)?,
        None => revoke_expired(&file, now, talk)?,
    }
    warn_of_writers(&file, talk)
}

fn revoke_one(file: &TokenFile, id: &str, talk: &mut impl Write) -> anyhow::Result<()> {
    // What was typed is not repeated: it may be the token itself.
    if !is_token_id(id) {
        let fault = "that is not the id of a token: an id is 12 characters out of 0-9 and a-f, in a token those after `tdg_`";
        return Err(UsageError(fault.to_owned()).into());
    }
    let Some(changed) = file.revoke(id)? else {
        bail!("there is no token {id} in {}", file.path().display());
    };
    tell_revoked(&changed.outcome, talk)?;
    writeln!(
        talk,
        "tidings: a running server closes its sessions within its reload interval, or on SIGHUP"
    )?;
    warn_of_owner(file, &changed, talk)
}

fn revoke_expired(
    file: &TokenFile,
    now: DateTime<Utc>,
    talk: &mut impl Write,
) -> anyhow::Result<()> {
    let Some(changed) = file.revoke_expired(now)? else {
        writeln!(talk, "tidings: no token has expired")?;
        return Ok(());
    };
    for entry in &changed.outcome {
        tell_revoked(entry, talk)?;
    }
    warn_of_owner(file, &changed, talk)
}

fn tell_revoked(entry: &TokenEntry, talk: &mut impl Write) -> io::Result<()> {
    let identity = escaped(entry.identity.as_str());
    writeln!(talk, "tidings: revoked {} of {identity}", entry.id)
}

fn warn_of_writers(file: &TokenFile, talk: &mut impl Write) -> anyhow::Result<()> {
    if file.is_writable_by_others() {
        let path = harmless_path(file.path());
        writeln!(
            talk,
            "tidings: warning: every user of this machine can write to {path}, and so decide who gets in: run `chmod o-w {path}`"
        )?;
    }
    Ok(())
}

fn warn_of_owner<T>(
    file: &TokenFile,
    changed: &Changed<T>,
    talk: &mut impl Write,
) -> anyhow::Result<()> {
    if let Some(error) = &changed.owner_lost {
        writeln!(
            talk,
            "tidings: warning: {} belongs to this user now, as its owner could not be kept ({error}): can the server still read it?",
            harmless_path(file.path())
        )?;
    }
    Ok(())
}

/// Reads `30m`, `12h`, `90d`, `52w`.
fn lifetime(text: &str) -> Result<TimeDelta, String> {
    let form = || "write a number with m, h, d or w, like 90d".to_owned();
    let unit = text.chars().last().ok_or_else(form)?;
    let digits = &text[..text.len() - unit.len_utf8()];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(form());
    }
    let bounds = || format!("it must be from 1m to {LIFETIME_DAYS_MAX}d");
    let number: i64 = digits.parse().map_err(|_| bounds())?;
    let lifetime = match unit {
        'm' => TimeDelta::try_minutes(number),
        'h' => TimeDelta::try_hours(number),
        'd' => TimeDelta::try_days(number),
        'w' => TimeDelta::try_weeks(number),
        _ => return Err(form()),
    };
    lifetime
        .filter(|time| (TimeDelta::minutes(1)..=TimeDelta::days(LIFETIME_DAYS_MAX)).contains(time))
        .ok_or_else(bounds)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tokens::TokenPolicy;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_769_860_800, 0).unwrap()
    }

    fn file(path: &Path) -> FileArgument {
        FileArgument {
            tokens: path.to_owned(),
        }
    }

    /// What goes to stdout and to stderr.
    fn make(path: &Path, identity: &str, expires: Option<&str>) -> (String, String) {
        let (mut out, mut talk) = (Vec::new(), Vec::new());
        let arguments = NewArguments {
            file: file(path),
            identity: identity.to_owned(),
            expires: expires.map(|text| lifetime(text).unwrap()),
            out: None,
        };
        new(arguments, now(), &mut out, &mut talk).unwrap();
        (
            String::from_utf8(out).unwrap(),
            String::from_utf8(talk).unwrap(),
        )
    }

    fn listed(path: &Path, now: DateTime<Utc>) -> Vec<String> {
        let mut out = Vec::new();
        list(&file(path), now, &mut out, &mut Vec::new()).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    fn revoked(path: &Path, id: &str) -> Result<String, String> {
        let mut talk = Vec::new();
        let arguments = RevokeArguments {
            file: file(path),
            id: Some(id.to_owned()).filter(|id| id != "--expired"),
            expired: id == "--expired",
        };
        let outcome = revoke(&arguments, now() + TimeDelta::hours(1), &mut talk)
            .map_err(|error| error.to_string());
        outcome.map(|()| String::from_utf8(talk).unwrap())
    }

    #[test]
    fn reads_lifetimes() {
        for (text, minutes) in [
            ("1m", 1),
            ("30m", 30),
            ("12h", 720),
            ("90d", 129_600),
            ("52w", 524_160),
        ] {
            assert_eq!(lifetime(text), Ok(TimeDelta::minutes(minutes)), "{text}");
        }
        assert!(lifetime("36500d").is_ok());
        for text in [
            "",
            "d",
            "90",
            "90 d",
            "-1d",
            "+1d",
            "1.5d",
            "0d",
            "0m",
            "1y",
            "1s",
            "1dd",
            "１d",
            "1é",
            "36501d",
            "99999999999w",
            "9223372036854775807w",
            "99999999999999999999d",
        ] {
            assert!(lifetime(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn prints_the_token_alone_and_tells_the_rest_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let (printed, talk) = make(&path, "alice", Some("90d"));
        let token = printed.strip_suffix('\n').unwrap();
        assert_eq!(token.len(), 81, "{token}");
        let id = &token[4..16];
        assert!(
            talk.contains(&format!(
                "token {id} for alice, expires 2026-05-01T12:00:00Z"
            )),
            "{talk}"
        );
        assert!(
            talk.contains("not shown again") && talk.contains("SIGHUP"),
            "{talk}"
        );
        assert!(!talk.contains(&token[17..]), "{talk}");
        let (_, talk) = make(&path, "alice", None);
        assert!(talk.contains("it does not expire"), "{talk}");

        let policy = TokenPolicy::new(Some(TokenFile::new(&path).read().unwrap()), None);
        let alice = Identity::parse("alice").unwrap();
        let proof = policy.verify(Some(token), &alice, now()).unwrap().unwrap();
        assert_eq!(proof.token_id(), id);
    }

    #[test]
    fn makes_none_for_what_is_no_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let arguments = NewArguments {
            file: file(&path),
            identity: "a\nb".to_owned(),
            expires: None,
            out: None,
        };
        let outcome = new(arguments, now(), &mut Vec::new(), &mut Vec::new());
        assert!(outcome.unwrap_err().is::<UsageError>());
        assert!(!path.exists());
    }

    #[test]
    fn lists_every_token_and_its_state() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let (printed, _) = make(&path, "alice", Some("1h"));
        make(&path, "a \"b\"", None);
        let lines = listed(&path, now());
        assert_eq!(lines.len(), 3);
        assert_eq!(
            lines[0],
            "ID            IDENTITY  CREATED               EXPIRES               STATE"
        );
        let id = &printed[4..16];
        assert_eq!(
            lines[1],
            format!("{id}  alice     2026-01-31T12:00:00Z  2026-01-31T13:00:00Z  valid")
        );
        assert!(lines[2].contains("  a \\\"b\\\"  "), "{}", lines[2]);
        assert!(
            lines[2].ends_with("never                 valid"),
            "{}",
            lines[2]
        );
        let later = listed(&path, now() + TimeDelta::hours(1));
        assert!(later[1].ends_with("expired"), "{}", later[1]);
        assert!(later[2].ends_with("valid"), "{}", later[2]);
        assert!(lines.iter().all(|line| !line.contains(&printed[17..80])));
    }

    #[test]
    fn revokes_by_the_whole_id_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let (printed, _) = make(&path, "alice", Some("1m"));
        let (token, id) = (printed.trim(), &printed[4..16]);
        for wrong in ["", &id[..11], "tdg_", token, &id.to_uppercase()] {
            if wrong == id {
                continue;
            }
            let fault = revoked(&path, wrong).unwrap_err();
            assert!(fault.contains("not the id of a token"), "{fault}");
            assert!(!fault.contains(&token[17..]), "{fault}");
        }
        let other = if id == "0123456789ab" {
            "ba9876543210"
        } else {
            "0123456789ab"
        };
        let fault = revoked(&path, other).unwrap_err();
        assert!(
            fault.starts_with(&format!("there is no token {other} in ")),
            "{fault}"
        );
        // Also when it has expired, which it has: it was made for one minute in the past.
        let talk = revoked(&path, id).unwrap();
        assert!(
            talk.starts_with(&format!("tidings: revoked {id} of alice\n")),
            "{talk}"
        );
        assert_eq!(listed(&path, now()).len(), 1);
        assert!(revoked(&path, id).is_err());
    }

    #[test]
    fn takes_out_what_has_expired_and_says_which() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let (over, _) = make(&path, "alice", Some("1m"));
        let (good, _) = make(&path, "bob", None);
        let talk = revoked(&path, "--expired").unwrap();
        assert_eq!(
            talk,
            format!("tidings: revoked {} of alice\n", &over[4..16])
        );
        let left = listed(&path, now());
        assert!(
            left.len() == 2 && left[1].starts_with(&good[4..16]),
            "{left:?}"
        );
        let talk = revoked(&path, "--expired").unwrap();
        assert_eq!(talk, "tidings: no token has expired\n");
    }

    #[test]
    fn writes_a_token_to_a_new_file_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (path, out) = (
            folder.path().join("tokens.toml"),
            folder.path().join("a.token"),
        );
        let arguments = |tokens: &Path| NewArguments {
            file: file(tokens),
            identity: "alice".to_owned(),
            expires: None,
            out: Some(out.clone()),
        };
        let make = |tokens: &Path| {
            let mut printed = Vec::new();
            let outcome = new(arguments(tokens), now(), &mut printed, &mut Vec::new());
            assert_eq!(printed, b"");
            outcome
        };
        // No token, no file.
        assert!(make(Path::new("/nowhere/tokens.toml")).is_err());
        assert!(!out.exists());
        make(&path).unwrap();
        let written = fs::read_to_string(&out).unwrap();
        assert!(
            written.len() == 82 && written.starts_with("tdg_"),
            "{written}"
        );
        assert_eq!(
            fs::metadata(&out).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let fault = make(&path).unwrap_err();
        assert!(
            fault.is::<UsageError>() && fault.to_string().contains("not overwritten"),
            "{fault}"
        );
        assert_eq!(fs::read_to_string(&out).unwrap(), written);
        assert_eq!(listed(&path, now()).len(), 2, "and no token was made");
    }

    #[test]
    fn warns_of_a_file_that_everyone_can_write() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.toml");
        let (_, talk) = make(&path, "alice", None);
        assert!(!talk.contains("warning"), "{talk}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let (_, talk) = make(&path, "alice", None);
        assert!(talk.contains("chmod o-w "), "{talk}");
    }
}
