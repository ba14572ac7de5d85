//! Groups of files change, break and are written slowly, each independently of the others.

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

const ALL: [FileGroup; 5] = [
    FileGroup::Certificate,
    FileGroup::Authorities,
    FileGroup::Access,
    FileGroup::Tokens,
    FileGroup::TokenKeys,
];

struct Site {
    folder: TempDir,
    files: PolicyFiles,
}

impl Site {
    /// A folder with the files of every group.
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
        site.change(FileGroup::Access);
        site.change(FileGroup::Tokens);
        site.change(FileGroup::TokenKeys);
        site
    }

    fn policy(&self) -> Policy {
        Policy::read(self.files.clone()).unwrap()
    }

    fn put(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn file_of(group: FileGroup) -> &'static str {
        match group {
            FileGroup::Certificate => "server.crt",
            FileGroup::Authorities => "ca.crl",
            FileGroup::Access => "access.toml",
            FileGroup::Tokens => "tokens.toml",
            FileGroup::TokenKeys => "keys.json",
        }
    }

    /// Gives a group other valid content.
    fn change(&self, group: FileGroup) {
        let certificates = CertificateFolder::new(self.folder.path());
        match group {
            FileGroup::Certificate => {
                drop(certificates.renew("server", IfRevoked::Refuse).unwrap());
            }
            FileGroup::Authorities => {
                let what = RevocationTarget::Certificate(certificates.certificate("alice"));
                let reason = RevocationReason::KeyCompromise;
                drop(certificates.revoke(&what, reason).unwrap());
            }
            FileGroup::Access => {
                let text = format!("# {}\n[[rule]]\nidentity = [\"*\"]\n", Utc::now());
                self.put("access.toml", text);
            }
            FileGroup::Tokens => {
                let file = TokenFile::new(self.folder.path().join("tokens.toml"));
                let identity = Identity::parse("alice").unwrap();
                drop(file.issue(identity, Utc::now(), None).unwrap());
            }
            FileGroup::TokenKeys => {
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

fn changed(outcome: &Reread, before: &Policy) -> Vec<String> {
    let policy = outcome.policy.iter();
    let files = policy.flat_map(|policy| policy.changed_since(before));
    let names = files.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    names.collect()
}

#[test]
fn a_group_with_an_error_stays_as_it_was_and_holds_up_no_other() {
    for broken in ALL {
        let site = Site::new();
        let before = site.policy();
        for group in ALL {
            site.change(group);
        }
        site.put(Site::file_of(broken), "garbage");
        let outcome = before.reread(None);
        let [(group, fault)] = &outcome.errors[..] else {
            panic!("{broken:?}: {:?}", outcome.errors);
        };
        assert_eq!(*group, broken);
        assert!(fault.to_string().contains(Site::file_of(broken)), "{fault}");
        let changed = changed(&outcome, &before);
        for group in ALL {
            let name = Site::file_of(group).to_owned();
            assert_eq!(changed.contains(&name), group != broken, "{changed:?}");
        }
        let after = outcome.policy.unwrap();
        let revoked = after.tls.clients.revoked_count();
        assert_eq!(revoked, usize::from(broken != FileGroup::Authorities));
        let tokens = after.tokens.token_count();
        assert_eq!(tokens, if broken == FileGroup::Tokens { 1 } else { 2 });
        let same_rules = Arc::ptr_eq(&after.access, &before.access);
        assert_eq!(same_rules, broken == FileGroup::Access);
        let same_clients = after.tls.clients.is(&before.tls.clients);
        assert_eq!(same_clients, broken == FileGroup::Authorities);
    }
}

#[test]
fn without_a_request_a_change_applies_when_two_looks_agree_on_it() {
    let site = Site::new();
    let before = site.policy();
    let look = |last: &ChangedGroups| before.reread(Some(last));
    let rule = |name| format!("[[rule]]\nidentity = [\"{name}\"]\n");
    let (half, whole) = (rule("a"), rule("a") + &rule("b"));
    site.change(FileGroup::Tokens);
    site.put("access.toml", &half);
    let first = look(&ChangedGroups::new());
    assert!(first.policy.is_none() && first.errors.is_empty());

    // A group that is complete does not wait for one that is not.
    site.put("access.toml", &whole);
    let second = look(&first.changed);
    assert_eq!(changed(&second, &before), ["tokens.toml"]);
    assert!(second.errors.is_empty());
    let before = second.policy.unwrap();
    let third = before.reread(Some(&second.changed));
    assert_eq!(changed(&third, &before), ["access.toml"]);
    assert_eq!(third.policy.unwrap().access.rule_count(), 2);

    // An error, too, counts only when it was seen twice, or on request.
    site.put("access.toml", "[[rule]");
    let first = before.reread(Some(&third.changed));
    assert!(first.errors.is_empty());
    assert_eq!(before.reread(Some(&first.changed)).errors.len(), 1);
    assert_eq!(before.reread(None).errors.len(), 1);
}
