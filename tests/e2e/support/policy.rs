use std::{fs, path::PathBuf};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use super::Broker;

/// Lets everyone do everything: for the tests' own witnesses beside the rules under test.
pub(crate) const WITNESS_RULE: &str = r##"
[[rule]]
identity = ["witness-*"]
publish = ["witness/#"]
subscribe = ["witness/#"]
"##;

/// Files that a broker's policy is read from, changed as operators change them.
pub(crate) struct PolicyFolder(TempDir);

impl PolicyFolder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// One with access rules.
    pub(crate) fn with_rules(rules: &str) -> Self {
        let folder = Self::new();
        folder.put("access.toml", rules);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The path as an argument.
    pub(crate) fn argument(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Written aside and moved into place.
    pub(crate) fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let aside = self.path(&format!("{name}.new"));
        fs::write(&aside, content).unwrap();
        fs::rename(aside, self.path(name)).unwrap();
    }
}

impl Broker {
    /// A broker with these access rules, and a log in JSON.
    pub(crate) fn with_rules(folder: &PolicyFolder, flags: &[&str]) -> Self {
        let access = folder.argument("access.toml");
        let flags = [&["--log-format", "json", "--access", &access], flags].concat();
        Self::with(&flags)
    }

    /// SIGHUP, and the line of the audit trail that tells what came of it.
    pub(crate) fn reload(&self) -> Value {
        let before = self.reloads().len();
        self.signal(Signal::HUP);
        self.log().wait_until("the end of a reload", |lines| {
            reloads_in(lines).into_iter().nth(before)
        })
    }

    /// Every reload so far, refused ones included.
    pub(crate) fn reloads(&self) -> Vec<Value> {
        reloads_in(&self.log().all())
    }

    /// Waits for the line of the audit trail with this event about this identity.
    pub(crate) fn audit(&self, event: &str, identity: &str) -> Value {
        self.log().wait_until(
            &format!("{event} of {identity} in the audit trail"),
            |lines| {
                audit_in(lines)
                    .into_iter()
                    .find(|line| line["event"] == event && line["identity"] == identity)
            },
        )
    }

    /// The audit trail so far. Only of a broker that logs in JSON.
    pub(crate) fn audit_trail(&self) -> Vec<Value> {
        audit_in(&self.log().all())
    }
}

/// The lines of the audit trail among these, of a log in JSON.
pub(crate) fn audit_in(lines: &[String]) -> Vec<Value> {
    let lines = lines
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["target"] == "tidings::audit")
        .collect()
}

/// The reloads among these lines, refused ones included.
pub(crate) fn reloads_in(lines: &[String]) -> Vec<Value> {
    let is_reload = |line: &Value| line["event"] == "reloaded" || line["event"] == "reload_refused";
    audit_in(lines).into_iter().filter(is_reload).collect()
}

/// How often these lines, of a log in JSON, tell of `event`: as lines of their own, and as repeated
/// ones that were only counted.
pub(crate) fn told(lines: &[String], event: &str) -> (u64, u64) {
    let (mut written, mut counted) = (0, 0);
    for line in audit_in(lines) {
        if line["event"] == event {
            match line["repeated"].as_u64() {
                Some(times) => counted += times,
                None => written += 1,
            }
        }
    }
    (written, counted)
}
