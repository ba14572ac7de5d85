//! Tokens: a second proof beside the certificate, worth nothing without it and shown nowhere.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tidings::{identity::Identity, tokens::TokenFile};

use crate::support::{
    Broker, Client, Line, PolicyFolder, Process, Witness, line, list_of, publish_ref, run,
    subscribe, tidings,
};

/// A token out of `tidings token new`.
pub(crate) fn new_token(folder: &PolicyFolder, identity: &str, arguments: &[&str]) -> String {
    let outcome = run(token_command(
        folder,
        "new",
        &[&["--identity", identity], arguments].concat(),
    ));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let [token] = outcome.out.as_slice() else {
        panic!("the token alone: {outcome:?}");
    };
    token.clone()
}

fn token_command(folder: &PolicyFolder, verb: &str, arguments: &[&str]) -> Command {
    let mut command = tidings();
    command
        .args(["token", verb, "--tokens", &folder.argument("tokens.toml")])
        .args(arguments);
    command
}

fn broker_with(folder: &PolicyFolder) -> Broker {
    Broker::with(&[
        "--log-format",
        "json",
        "--tokens",
        &folder.argument("tokens.toml"),
    ])
}

fn request(token: &str) -> String {
    line(
        "request_authentication",
        &json!({"token": token, "ref": "t"}).to_string(),
    )
}

/// A client that a token lets in.
pub(crate) fn client_with(broker: &Broker, name: &str, token: &str) -> Client {
    let mut client = broker.greeted(name);
    client.send(&line(
        "request_authentication",
        &json!({"token": token, "presence": false}).to_string(),
    ));
    client.expect("authentication_accepted");
    client
}

/// The refusal of one who asks like this, and nothing after it.
fn refusal(broker: &Broker, name: &str, asked: &str) -> Line {
    let mut client = broker.greeted(name);
    client.send(asked);
    let refused = client.last_line();
    assert_eq!(
        refused.event(),
        "authentication_refused",
        "{}",
        refused.text
    );
    refused
}

fn id_of(token: &str) -> &str {
    token.split('_').nth(1).unwrap()
}

#[test]
fn a_token_is_asked_for_and_must_be_this_clients_own() {
    let folder = PolicyFolder::new();
    let token = new_token(&folder, "alice", &[]);
    let old = issue(&folder, "alice", Utc::now() - TimeDelta::days(1));
    let broker = broker_with(&folder);
    let mut alice = broker.dial("alice").unwrap();
    assert_eq!(alice.take_greeting().content()["token_required"], true);
    alice.send(&request(&token));
    assert_eq!(alice.expect("authentication_accepted").text_of("ref"), "t");

    let id = id_of(&token);
    let wrong = format!("tdg_{id}_{}", "0".repeat(64));
    let unknown = format!("tdg_{}_{}", "0".repeat(12), "0".repeat(64));
    let mut reasons = Vec::new();
    for (name, token, code) in [
        ("alice", wrong.as_str(), "token_invalid"),
        ("alice", &unknown, "token_invalid"),
        ("alice", "nonsense\u{202e}", "token_invalid"),
        ("alice", &old, "token_expired"),
        ("bob", &token, "token_identity_mismatch"),
    ] {
        let refused = refusal(&broker, name, &request(token));
        assert_eq!(refused.text_of("code"), code, "{}", refused.text);
        assert_eq!(refused.text_of("ref"), "t");
        assert_eq!(refused.content()["retryable"], false);
        broker.audit("authentication_refused", name);
        reasons.push(refused.text_of("reason").to_owned());
    }
    assert!(
        reasons[0] == reasons[1] && reasons[1] == reasons[2],
        "{reasons:?}"
    );
    let refused = refusal(&broker, "alice", crate::support::AUTHENTICATE);
    assert_eq!(refused.text_of("code"), "token_missing");
    // Of one who was not let in, nobody hears.
    assert!(alice.fence().is_empty());
}

/// A token with an end of any time.
fn issue(folder: &PolicyFolder, identity: &str, expires: DateTime<Utc>) -> String {
    let identity = Identity::parse(identity).unwrap();
    let file = TokenFile::new(folder.path("tokens.toml"));
    let issued = file.issue(identity, Utc::now(), Some(expires)).unwrap();
    issued.outcome.secret().to_owned()
}

#[test]
fn acceptance_4_no_token_is_ever_shown() {
    let folder = PolicyFolder::new();
    let token = new_token(&folder, "alice", &[]);
    let certificates = std::sync::Arc::new(crate::support::Certificates::new());
    let tokens = folder.argument("tokens.toml");
    let flags = [
        "--log",
        "trace",
        "--log-format",
        "json",
        "--tokens",
        &tokens,
    ];
    let broker = Broker::with_certificates(&certificates, &flags);
    // Used with another certificate, said twice, in the wrong place, and cut off.
    let refused = refusal(&broker, "bob", &request(&token));
    assert_eq!(refused.text_of("code"), "token_identity_mismatch");
    assert!(
        !refused.text.contains("alice"),
        "whose it is: {}",
        refused.text
    );
    let mut alice = broker.greeted("alice");
    for said in [
        line(
            "request_authentication",
            &format!(r#"{{"token":["{token}"]}}"#),
        ),
        line(
            "request_authentication",
            &format!(r#"{{"token":"{token}","token":"{token}"}}"#),
        ),
        format!(r#"{{"event":"request_authentication","id":"{token}","content":{{}}}}"#),
        format!(r#"{{"event":"request_authentication","content":{{"token":"{token}""#),
    ] {
        alice.send(&said);
        let error = alice.expect("error");
        assert!(!error.text.contains(&token), "{}", error.text);
    }
    alice.send(&request(&token));
    alice.expect("authentication_accepted");

    // The commands: by the environment and by a file, never in an argument.
    folder.put("token", format!("{token}\n"));
    fs::set_permissions(folder.path("token"), fs::Permissions::from_mode(0o600)).unwrap();
    let mut by_file = broker.cli("alice", &["sub", "-t", "news", "-C", "1"]);
    by_file.args(["--token-file", &folder.argument("token")]);
    let mut subscriber = Process::spawn(by_file);
    subscriber.err.wait_for("subscribed at");
    let arguments = fs::read(format!(
        "/proc/{}/cmdline",
        subscriber.pid().as_raw_nonzero()
    ))
    .unwrap();
    assert!(!String::from_utf8(arguments).unwrap().contains(&token));
    let mut by_environment = broker.cli("alice", &["pub", "-t", "news", "-m", "1"]);
    by_environment.env("TIDINGS_TOKEN", &token);
    let published = run(by_environment);
    assert_eq!(published.code, Some(0), "{published:?}");
    let heard = subscriber.wait();
    assert_eq!(
        (heard.code, heard.out.as_slice()),
        (Some(0), ["1".to_owned()].as_slice())
    );

    broker.reload();
    let secret = token.rsplit('_').next().unwrap();
    let shown = [broker.log().all(), published.err, heard.err].concat();
    let lines: Vec<_> = shown.iter().filter(|line| line.contains(secret)).collect();
    assert!(lines.is_empty(), "{lines:#?}");
    let file = fs::read_to_string(folder.path("tokens.toml")).unwrap();
    assert!(!file.contains(secret), "{file}");
}

#[test]
fn without_a_token_the_commands_say_where_to_put_one() {
    let folder = PolicyFolder::new();
    let token = new_token(&folder, "alice", &[]);
    let broker = broker_with(&folder);
    let outcome = run(broker.cli("alice", &["pub", "-t", "a", "-m", "1"]));
    assert_eq!(outcome.code, Some(1), "{outcome:?}");
    let told = outcome.err.join("\n");
    assert!(
        told.contains("token_missing") && told.contains("TIDINGS_TOKEN"),
        "{told}"
    );
    folder.put("loose", &token);
    fs::set_permissions(folder.path("loose"), fs::Permissions::from_mode(0o644)).unwrap();
    let mut loose = broker.cli("alice", &["pub", "-t", "a", "-m", "1"]);
    loose.args(["--token-file", &folder.argument("loose")]);
    let outcome = run(loose);
    assert_eq!(outcome.code, Some(64), "{outcome:?}");
    assert!(outcome.err.join("\n").contains("chmod"), "{outcome:?}");
}

#[test]
fn a_session_ends_with_its_token() {
    let folder = PolicyFolder::new();
    let lasting = new_token(&folder, "alice", &["--expires", "90d"]);
    let broker = broker_with(&folder);
    let mut alice = broker.greeted("alice");
    alice.send(&request(&lasting));
    alice.expect("authentication_accepted");
    let brief = issue(&folder, "brief", Utc::now() + TimeDelta::seconds(3));
    broker.reload();
    let mut brief = client_with(&broker, "brief", &brief);
    alice.expect("client_authenticated");
    assert_eq!(brief.last_line().text_of("code"), "token_expired");
    let gone = alice.expect("client_disconnected");
    assert_eq!(gone.text_of("reason"), "token_expired");
    broker.audit("token_expired", "brief");
}

#[test]
fn a_revoked_token_ends_its_session_and_no_other() {
    let folder = PolicyFolder::new();
    let [kept, revoked] = ["kept", "revoked"].map(|name| new_token(&folder, name, &[]));
    let broker = broker_with(&folder);
    let mut kept_client = client_with(&broker, "kept", &kept);
    let mut revoked_client = client_with(&broker, "revoked", &revoked);
    let listed = run(token_command(&folder, "list", &[]));
    assert_eq!(listed.out.len(), 3, "{listed:?}");
    let outcome = run(token_command(&folder, "revoke", &[id_of(&revoked)]));
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    // Made in the same go as the other is taken: both take effect at once.
    let added = new_token(&folder, "added", &[]);
    let told = broker.reload();
    assert_eq!(told["event"], "reloaded", "{told}");
    assert_eq!(
        revoked_client.last_line().text_of("code"),
        "permission_withdrawn"
    );
    broker.audit("permission_withdrawn", "revoked");
    assert!(kept_client.fence().is_empty());
    client_with(&broker, "added", &added);
    let refused = refusal(&broker, "revoked", &request(&revoked));
    assert_eq!(refused.text_of("code"), "token_invalid");
    let unknown = run(token_command(&folder, "revoke", &[id_of(&revoked)]));
    assert_eq!(unknown.code, Some(1), "{unknown:?}");
}

/// Keys and tokens as an identity provider makes them.
mod signed {
    use aws_lc_rs::{rand::SystemRandom, signature::Ed25519KeyPair};
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode, jwk::Jwk};

    use super::*;

    const FLAGS: [&str; 4] = [
        "--token-issuer",
        "https://issuer.example",
        "--token-audience",
        "plant",
    ];

    struct Issuer(EncodingKey);

    impl Issuer {
        fn new() -> Self {
            let key = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()).unwrap();
            Self(EncodingKey::from_ed_der(key.as_ref()))
        }

        fn keys(&self) -> String {
            let key = Jwk::from_encoding_key(&self.0, Algorithm::EdDSA).unwrap();
            let mut key = serde_json::to_value(key).unwrap();
            key["kid"] = "1".into();
            json!({"keys": [key]}).to_string()
        }

        fn token(&self, subject: &str, ends_in: TimeDelta, more: &serde_json::Value) -> String {
            let mut claims = json!({
                "iss": "https://issuer.example",
                "aud": "plant",
                "sub": subject,
                "exp": (Utc::now() + ends_in).timestamp(),
            });
            for (name, value) in more.as_object().unwrap() {
                claims[name] = value.clone();
            }
            let mut header = Header::new(Algorithm::EdDSA);
            header.kid = Some("1".to_owned());
            encode(&header, &claims, &self.0).unwrap()
        }
    }

    fn hour() -> TimeDelta {
        TimeDelta::hours(1)
    }

    fn broker_with_keys(folder: &PolicyFolder) -> Broker {
        let keys = folder.argument("keys.json");
        let flags = [&["--log-format", "json", "--token-keys", &keys], &FLAGS[..]].concat();
        Broker::with(&flags)
    }

    #[test]
    fn a_signed_token_lets_in_whom_it_names_until_it_ends() {
        let (folder, issuer, other) = (PolicyFolder::new(), Issuer::new(), Issuer::new());
        folder.put("keys.json", issuer.keys());
        let broker = broker_with_keys(&folder);
        let good = issuer.token("alice", hour(), &json!({}));
        client_with(&broker, "alice", &good);
        for (name, token, code) in [
            ("bob", good.clone(), "token_identity_mismatch"),
            (
                "alice",
                other.token("alice", hour(), &json!({})),
                "token_invalid",
            ),
            (
                "alice",
                issuer.token("alice", -hour(), &json!({})),
                "token_expired",
            ),
            (
                "alice",
                issuer.token("alice", hour(), &json!({"aud": "elsewhere"})),
                "token_invalid",
            ),
            (
                "alice",
                issuer.token("alice", hour(), &json!({"iss": "someone"})),
                "token_invalid",
            ),
            (
                "alice",
                issuer.token("alice", hour(), &json!({"tidings": {"deny": []}})),
                "token_invalid",
            ),
        ] {
            let refused = refusal(&broker, name, &request(&token));
            assert_eq!(refused.text_of("code"), code, "{}", refused.text);
        }
        let brief = issuer.token("brief", TimeDelta::seconds(3), &json!({}));
        let mut brief = client_with(&broker, "brief", &brief);
        assert_eq!(brief.last_line().text_of("code"), "token_expired");
    }

    #[test]
    fn its_claim_narrows_what_the_rules_allow_and_never_widens_it() {
        let (folder, issuer) = (PolicyFolder::new(), Issuer::new());
        folder.put("keys.json", issuer.keys());
        let rules = "[[rule]]\nidentity = [\"*\"]\npublish = [\"a/#\"]\nsubscribe = [\"a/#\"]\n";
        folder.put("access.toml", rules);
        let (keys, access) = (folder.argument("keys.json"), folder.argument("access.toml"));
        let flags = [
            "--log-format",
            "json",
            "--token-keys",
            &keys,
            "--access",
            &access,
        ];
        let broker = Broker::with(&[&flags[..], &FLAGS[..]].concat());
        let narrow = json!({"tidings": {"publish": ["a/x", "b"], "subscribe": ["a/+"]}});
        let token = issuer.token("alice", hour(), &narrow);
        let mut alice = client_with(&broker, "alice", &token);
        let assert_narrow = |alice: &mut Client| {
            for (topic, event) in [("a/x", "published"), ("a/y", "error"), ("b", "error")] {
                alice.send(&publish_ref(topic, "1", "r"));
                assert_eq!(alice.next().event(), event, "{topic}");
            }
            for (filter, event) in [("a/#", "error"), ("a/b/c", "error"), ("a/c", "subscribed")] {
                alice.send(&subscribe(filter));
                assert_eq!(alice.next().event(), event, "{filter}");
            }
        };
        assert_narrow(&mut alice);
        // It goes on narrowing what a reload allows.
        folder.put(
            "access.toml",
            format!("{rules}\n[[rule]]\nidentity = [\"alice\"]\npublish = [\"c\"]\n"),
        );
        broker.reload();
        assert_narrow(&mut alice);
        alice.send(&publish_ref("c", "1", "r"));
        assert_eq!(alice.expect("error").text_of("code"), "publish_denied");
    }

    #[test]
    fn a_key_that_is_withdrawn_ends_what_it_signed() {
        let (folder, issuer, next) = (PolicyFolder::new(), Issuer::new(), Issuer::new());
        folder.put("keys.json", issuer.keys());
        let broker = broker_with_keys(&folder);
        let mut alice = client_with(&broker, "alice", &issuer.token("alice", hour(), &json!({})));
        // Another key under the same name.
        folder.put("keys.json", next.keys());
        assert_eq!(broker.reload()["event"], "reloaded");
        assert_eq!(alice.last_line().text_of("code"), "permission_withdrawn");
        client_with(&broker, "alice", &next.token("alice", hour(), &json!({})));
        folder.put("keys.json", "{}");
        assert_eq!(broker.reload()["event"], "reload_refused");
        client_with(&broker, "alice", &next.token("alice", hour(), &json!({})));
    }

    #[test]
    fn keys_need_an_issuer_and_an_audience() {
        let folder = PolicyFolder::new();
        folder.put("keys.json", Issuer::new().keys());
        let certificates = crate::support::Certificates::new();
        let mut command = crate::support::serve(&certificates);
        command.args([
            "--listen",
            "127.0.0.1:0",
            "--token-keys",
            &folder.argument("keys.json"),
        ]);
        let outcome = run(command);
        assert_eq!(outcome.code, Some(64), "{outcome:?}");
        assert!(
            outcome.err.join("\n").contains("--token-issuer"),
            "{outcome:?}"
        );
    }
}

#[test]
fn where_no_tokens_are_configured_they_are_ignored() {
    let broker = Broker::start();
    let witness = Witness::start(&broker);
    let mut alice = broker.dial("alice").unwrap();
    assert_eq!(alice.take_greeting().content()["token_required"], false);
    alice.send(&request("whatever"));
    assert_eq!(list_of(&[alice.next()]), ["authentication_accepted"]);
    witness.finish();
}

#[test]
fn a_certificate_without_its_token_uses_up_nothing_of_its_owners() {
    let folder = PolicyFolder::new();
    let token = new_token(&folder, "owner", &[]);
    let tokens = folder.argument("tokens.toml");
    let broker = Broker::with(&["--tokens", &tokens, "--max-errors-per-minute", "5"]);
    for _ in 0..20 {
        let mut thief = broker.greeted("owner");
        for _ in 0..2 {
            thief.send("no JSON");
            thief.expect("error");
        }
    }
    let mut owner = client_with(&broker, "owner", &token);
    owner.send("a slip");
    owner.expect("error");
    assert_eq!(list_of(&owner.fence()), [""; 0]);
}

#[test]
fn only_a_token_that_is_printed_is_said_not_to_be_shown_again() {
    let folder = PolicyFolder::new();
    let told = |arguments: &[&str]| {
        let arguments = [&["--identity", "alice"], arguments].concat();
        let outcome = run(token_command(&folder, "new", &arguments));
        assert_eq!(outcome.code, Some(0), "{outcome:?}");
        outcome.err_text()
    };
    assert!(told(&[]).contains("it is not shown again"));
    let file = folder.argument("alice.token");
    let told = told(&["--out", &file]);
    assert!(!told.contains("shown again"), "{told}");
}
