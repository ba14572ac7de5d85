use std::{fs, path::Path};

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    file::FileArgument,
    list::List,
    new::{New, lifetime},
    revoke::Revoke,
};
use crate::{
    cli::exit::UsageError,
    identity::Identity,
    tokens::{TokenFile, TokenPolicy},
};

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
    let (mut out, mut stderr) = (Vec::new(), Vec::new());
    let command = New {
        file: file(path),
        identity: identity.to_owned(),
        expires: expires.map(|text| lifetime(text).unwrap()),
        out: None,
    };
    command.run(now(), &mut out, &mut stderr).unwrap();
    (
        String::from_utf8(out).unwrap(),
        String::from_utf8(stderr).unwrap(),
    )
}

fn listed(path: &Path, now: DateTime<Utc>) -> Vec<String> {
    let mut out = Vec::new();
    let command = List { file: file(path) };
    command.run(now, &mut out, &mut Vec::new()).unwrap();
    let text = String::from_utf8(out).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn revoked(path: &Path, id: &str) -> Result<String, String> {
    let mut stderr = Vec::new();
    let command = Revoke {
        file: file(path),
        id: Some(id.to_owned()).filter(|id| id != "--expired"),
        expired: id == "--expired",
    };
    let outcome = command
        .run(now() + TimeDelta::hours(1), &mut stderr)
        .map_err(|error| error.to_string());
    outcome.map(|()| String::from_utf8(stderr).unwrap())
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
    let (printed, stderr) = make(&path, "alice", Some("90d"));
    let token = printed.strip_suffix('\n').unwrap();
    assert_eq!(token.len(), 81, "{token}");
    let id = &token[4..16];
    assert!(
        stderr.contains(&format!(
            "token {id} for alice, expires 2026-05-01T12:00:00Z"
        )),
        "{stderr}"
    );
    assert!(
        stderr.contains("not shown again") && stderr.contains("SIGHUP"),
        "{stderr}"
    );
    assert!(!stderr.contains(&token[17..]), "{stderr}");
    let (_, stderr) = make(&path, "alice", None);
    assert!(stderr.contains("it does not expire"), "{stderr}");

    let policy = TokenPolicy::new(Some(TokenFile::new(&path).read().unwrap()), None);
    let alice = Identity::parse("alice").unwrap();
    let proof = policy.verify(Some(token), &alice, now()).unwrap().unwrap();
    assert_eq!(proof.token_id(), id);
}

#[test]
fn makes_none_for_what_is_no_identity() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.toml");
    let command = New {
        file: file(&path),
        identity: "a\nb".to_owned(),
        expires: None,
        out: None,
    };
    let outcome = command.run(now(), &mut Vec::new(), &mut Vec::new());
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
    let stderr = revoked(&path, id).unwrap();
    assert!(
        stderr.starts_with(&format!("tidings: revoked {id} of alice\n")),
        "{stderr}"
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
    let stderr = revoked(&path, "--expired").unwrap();
    assert_eq!(
        stderr,
        format!("tidings: revoked {} of alice\n", &over[4..16])
    );
    let left = listed(&path, now());
    assert!(
        left.len() == 2 && left[1].starts_with(&good[4..16]),
        "{left:?}"
    );
    let stderr = revoked(&path, "--expired").unwrap();
    assert_eq!(stderr, "tidings: no token has expired\n");
}

#[test]
fn writes_a_token_to_a_new_file_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (
        folder.path().join("tokens.toml"),
        folder.path().join("a.token"),
    );
    let command = |tokens: &Path| New {
        file: file(tokens),
        identity: "alice".to_owned(),
        expires: None,
        out: Some(out.clone()),
    };
    let make = |tokens: &Path| {
        let mut printed = Vec::new();
        let outcome = command(tokens).run(now(), &mut printed, &mut Vec::new());
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
    let (_, stderr) = make(&path, "alice", None);
    assert!(!stderr.contains("warning"), "{stderr}");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let (_, stderr) = make(&path, "alice", None);
    assert!(stderr.contains("chmod o-w "), "{stderr}");
}
