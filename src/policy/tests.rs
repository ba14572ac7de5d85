//! Groups of files change, break and are written slowly, each for itself.

use std::fs;

use chrono::Utc;
use tempfile::TempDir;

use super::*;
use crate::{
    identity::Identity,
    pki::{
        CertificateFolder, IfRevoked, RevocationReason, RevocationTarget, ServerNames, Validity,
    },
    tokens::TokenFile,
};

const ALL: [Group; 5] = [
    Group::Certificate,
    Group::Authorities,
    Group::Access,
    Group::Tokens,
    Group::TokenKeys,
];

struct Site {
    folder: TempDir,
    files: PolicyFiles,
}

impl Site {
    /// A folder with a file or two of every group.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let certificates = CertificateFolder::new(folder.path());
        certificates
            .init(Validity::default(), &ServerNames::default())
            .unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut files = PolicyFiles::of_certificates(&certificates);
        files.tls.crls.push(certificates.crl());
        files.access = Some(path("access.toml"));
        files.tokens = Some(path("tokens.toml"));
        files.token_keys = Some(TokenKeysFile {
            path: path("keys.json"),
            issuer: "issuer".to_owned(),
            audience: "tidings".to_owned(),
        });
        let site = Self { folder, files };
        site.change(Group::Access);
        site.change(Group::Tokens);
        site.change(Group::TokenKeys);
        site
    }

    fn policy(&self) -> Policy {
        Policy::read(self.files.clone()).unwrap()
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn file_of(group: Group) -> &'static str {
        match group {
            Group::Certificate => "server.crt",
            Group::Authorities => "ca.crl",
            Group::Access => "access.toml",
            Group::Tokens => "tokens.toml",
            Group::TokenKeys => "keys.json",
        }
    }

    /// Gives a group other content that is in order.
    fn change(&self, group: Group) {
        let certificates = CertificateFolder::new(self.folder.path());
        match group {
            Group::Certificate => {
                drop(certificates.renew("server", IfRevoked::Refuse).unwrap());
            }
            Group::Authorities => {
                let what = RevocationTarget::Certificate(certificates.certificate("alice"));
                let reason = RevocationReason::KeyCompromise;
                drop(certificates.revoke(&what, reason).unwrap());
            }
            Group::Access => {
                let text = format!("# {}\n[[rule]]\nidentity = [\"*\"]\n", Utc::now());
                self.put("access.toml", text);
            }
            Group::Tokens => {
                let file = TokenFile::new(self.folder.path().join("tokens.toml"));
                let identity = Identity::parse("alice").unwrap();
                drop(file.issue(identity, Utc::now(), None).unwrap());
            }
            Group::TokenKeys => {
                // The key of RFC 8037.
                let key = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
                self.put(
                    "keys.json",
                    format!(r#"{{"keys":[{{"kid":"{}",{key}}}]}}"#, Utc::now()),
                );
            }
        }
    }
}

fn changed(reading: &Reading, before: &Policy) -> Vec<String> {
    let policy = reading.policy.iter();
    let files = policy.flat_map(|policy| policy.changed_since(before));
    let names = files.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    names.collect()
}

#[test]
fn a_group_with_a_fault_stays_as_it_was_and_keeps_no_other() {
    for broken in ALL {
        let site = Site::new();
        let before = site.policy();
        for group in ALL {
            site.change(group);
        }
        site.put(Site::file_of(broken), "garbage");
        let reading = before.read_again(None);
        let [(group, fault)] = &reading.faults[..] else {
            panic!("{broken:?}: {:?}", reading.faults);
        };
        assert_eq!(*group, broken);
        assert!(fault.to_string().contains(Site::file_of(broken)), "{fault}");
        let changed = changed(&reading, &before);
        for group in ALL {
            let name = Site::file_of(group).to_owned();
            assert_eq!(changed.contains(&name), group != broken, "{changed:?}");
        }
        let after = reading.policy.unwrap();
        let revoked = after.tls.clients.revoked_count();
        assert_eq!(revoked, usize::from(broken != Group::Authorities));
        let tokens = after.tokens.token_count();
        assert_eq!(tokens, if broken == Group::Tokens { 1 } else { 2 });
        let same_rules = Arc::ptr_eq(&after.access, &before.access);
        assert_eq!(same_rules, broken == Group::Access);
        let same_clients = after.tls.clients.is(&before.tls.clients);
        assert_eq!(same_clients, broken == Group::Authorities);
    }
}

#[test]
fn what_nobody_asked_for_is_taken_when_two_looks_agree_on_it() {
    let site = Site::new();
    let before = site.policy();
    let look = |seen: &Seen| before.read_again(Some(seen));
    let rule = |name| format!("[[rule]]\nidentity = [\"{name}\"]\n");
    let (half, whole) = (rule("a"), rule("a") + &rule("b"));
    site.change(Group::Tokens);
    site.put("access.toml", &half);
    let first = look(&Seen::new());
    assert!(first.policy.is_none() && first.faults.is_empty());

    // What does not wait for anything is taken beside what does.
    site.put("access.toml", &whole);
    let second = look(&first.seen);
    assert_eq!(changed(&second, &before), ["tokens.toml"]);
    assert!(second.faults.is_empty());
    let before = second.policy.unwrap();
    let third = before.read_again(Some(&second.seen));
    assert_eq!(changed(&third, &before), ["access.toml"]);
    assert_eq!(third.policy.unwrap().access.rule_count(), 2);

    // A fault counts as little before it is seen twice, and whoever asks need not wait.
    site.put("access.toml", "[[rule]");
    let first = before.read_again(Some(&third.seen));
    assert!(first.faults.is_empty());
    assert_eq!(before.read_again(Some(&first.seen)).faults.len(), 1);
    assert_eq!(before.read_again(None).faults.len(), 1);
}
