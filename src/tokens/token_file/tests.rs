//! Changes to the token store on disk.

use std::{
    fs::Permissions,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    thread,
};

use tempfile::TempDir;

use super::*;

fn folder() -> (TempDir, TokenFile) {
    let folder = tempfile::tempdir().unwrap();
    let file = TokenFile::new(folder.path().join("tokens.toml"));
    (folder, file)
}

fn issue(file: &TokenFile) -> Result<NewToken, TokenFileError> {
    let identity = Identity::parse("alice").unwrap();
    let changed = file.issue(identity, Utc::now(), None)?;
    assert!(changed.owner_lost.is_none());
    Ok(changed.outcome)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn names(folder: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(folder.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn makes_a_file_that_others_cannot_read() {
    let (folder, file) = folder();
    let token = issue(&file).unwrap();
    assert_eq!(mode(file.path()) & 0o137, 0);
    assert_eq!(file.read().unwrap().entries()[0].id, token.id());
    let text = fs::read_to_string(file.path()).unwrap();
    assert!(!text.contains(&token.secret()[17..]), "{text}");
    assert_eq!(names(&folder), ["tokens.toml"]);
}

#[test]
fn keeps_mode_and_owner_of_a_file() {
    let (_folder, file) = folder();
    issue(&file).unwrap();
    // Held open, so that its number is not given to another file.
    let first = File::open(file.path()).unwrap();
    let before = first.metadata().unwrap();
    for wanted in [0o600, 0o644, 0o660] {
        fs::set_permissions(file.path(), Permissions::from_mode(wanted)).unwrap();
        let token = issue(&file).unwrap();
        assert_eq!(mode(file.path()), wanted);
        assert!(file.revoke(token.id()).unwrap().is_some());
        assert_eq!(mode(file.path()), wanted);
    }
    let after = fs::metadata(file.path()).unwrap();
    assert_eq!((before.uid(), before.gid()), (after.uid(), after.gid()));
    assert_ne!(before.ino(), after.ino(), "moved into place");
}

#[test]
fn writes_where_a_link_points() {
    let (folder, file) = folder();
    fs::create_dir(folder.path().join("deep")).unwrap();
    let real = TokenFile::new(folder.path().join("deep/real"));
    issue(&real).unwrap();
    symlink("deep/real", file.path()).unwrap();
    let token = issue(&file).unwrap();
    assert!(file.path().is_symlink());
    assert_eq!(real.read().unwrap().entries().len(), 2);
    assert!(file.revoke(token.id()).unwrap().is_some());
    assert!(file.path().is_symlink());
    assert_eq!(real.read().unwrap().entries().len(), 1);

    fs::remove_file(real.path()).unwrap();
    assert!(issue(&file).is_err(), "a link to nothing");
    assert_eq!(names(&folder), ["deep", "tokens.toml"]);
}

#[test]
fn leaves_a_broken_file_as_it_is() {
    let (folder, file) = folder();
    fs::write(file.path(), "").unwrap();
    assert!(issue(&file).is_err());
    assert!(file.revoke("0123456789ab").is_err());
    assert_eq!(fs::read(file.path()).unwrap(), b"");
    assert_eq!(names(&folder), ["tokens.toml"]);
}

#[test]
fn revokes_only_what_is_there() {
    let (_folder, file) = folder();
    assert!(file.revoke("0123456789ab").is_err(), "no file");
    assert!(file.read().is_err());
    let token = issue(&file).unwrap();
    let before = fs::metadata(file.path()).unwrap().ino();
    assert!(file.revoke("0123456789ab").unwrap().is_none());
    assert_eq!(fs::metadata(file.path()).unwrap().ino(), before);
    let revoked = file.revoke(token.id()).unwrap().unwrap();
    assert_eq!(revoked.outcome.id, token.id());
    assert!(file.read().unwrap().entries().is_empty());
}

#[test]
fn many_at_once_lose_nothing() {
    let (folder, file) = folder();
    let per_thread = 8;
    let ids = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let tokens = (0..per_thread).map(|_| issue(&file).unwrap());
                    tokens.map(|token| token.id().to_owned()).collect()
                })
            })
            .collect();
        let ids = threads.into_iter().map(|thread| thread.join().unwrap());
        ids.collect::<Vec<Vec<String>>>().concat()
    });
    let store = file.read().unwrap();
    assert_eq!(store.entries().len(), 4 * per_thread);
    for id in ids {
        assert!(store.entries().iter().any(|entry| entry.id == id), "{id}");
    }
    assert_eq!(names(&folder), ["tokens.toml"]);
}

#[test]
fn takes_out_all_that_have_expired_and_no_other() {
    let (_folder, file) = folder();
    let now = Utc::now();
    let minute = chrono::TimeDelta::minutes(1);
    let make = |expires| {
        let identity = Identity::parse("alice").unwrap();
        let changed = file.issue(identity, now - minute, expires).unwrap();
        changed.outcome.id().to_owned()
    };
    let [over, good, endless, over_too] =
        [Some(now), Some(now + minute), None, Some(now - minute)].map(make);
    let expired = file.revoke_expired(now).unwrap().unwrap().outcome;
    let ids = |entries: &[TokenEntry]| entries.iter().map(|e| e.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&expired), [over, over_too]);
    assert_eq!(ids(file.read().unwrap().entries()), [good.clone(), endless]);
    assert!(file.revoke_expired(now).unwrap().is_none());
    assert!(file.revoke(&good).unwrap().is_some());
}

#[test]
fn tells_when_everyone_can_write() {
    let (_folder, file) = folder();
    assert!(!file.is_writable_by_others(), "no file");
    issue(&file).unwrap();
    for (mode, expected) in [(0o640, false), (0o664, false), (0o646, true)] {
        fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
        assert_eq!(file.is_writable_by_others(), expected, "{mode:o}");
    }
}

#[test]
fn names_the_file_in_its_faults() {
    let file = TokenFile::new("/nowhere/tokens.toml");
    for shown in [
        issue(&file).unwrap_err().to_string(),
        file.read().unwrap_err().to_string(),
    ] {
        assert!(
            shown.starts_with("/nowhere/tokens.toml: cannot "),
            "{shown}"
        );
    }
}
