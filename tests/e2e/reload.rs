//! Taking changed files while clients are here: each group whole or not at all, and nobody else
//! notices.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    sync::Arc,
    thread,
};

use crate::support::{
    Broker, Certificates, Client, End, PolicyFolder, WITNESS_RULE, Witness, list_of, publish,
    publish_ref, reloads_in, subscribe, tls_of,
};

const WIDE: &str = r##"
[[rule]]
identity = ["alice", "bob"]
publish = ["a/#"]
subscribe = ["a/#", "b/#"]
"##;

const NARROW: &str = r##"
[[rule]]
identity = ["alice"]
publish = ["a/x"]
subscribe = ["b/#"]
"##;

fn rules(text: &str) -> String {
    format!("{WITNESS_RULE}{text}")
}

#[test]
fn withdrawn_rights_end_what_stands_on_them_and_nothing_else() {
    let folder = PolicyFolder::with_rules(&rules(WIDE));
    let broker = Broker::with_rules(&folder, &[]);
    let witness = Witness::start(&broker);
    let mut alice = broker.deaf_client("alice");
    let mut bob = broker.deaf_client("bob");
    for filter in ["a/#", "b/#"] {
        alice.send(&subscribe(filter));
        alice.expect("subscribed");
    }
    alice.send(&publish_ref("a/y", "1", "before"));
    alice.expect("message");
    alice.expect("published");

    folder.put("access.toml", rules(NARROW));
    let told = broker.reload();
    assert_eq!(told["event"], "reloaded", "{told}");
    assert_eq!(
        (&told["denied"], &told["subscriptions_closed"]),
        (&1.into(), &1.into())
    );

    let goodbye = bob.last_line();
    assert_eq!(goodbye.event(), "connection_closing");
    assert_eq!(goodbye.text_of("code"), "permission_withdrawn");
    let closed = alice.expect("subscription_closed");
    assert_eq!(closed.text_of("topic"), "a/#");
    assert_eq!(closed.text_of("code"), "permission_withdrawn");
    alice.send(&publish_ref("a/y", "2", "after"));
    assert_eq!(alice.expect("error").text_of("code"), "publish_denied");
    alice.send(&publish_ref("a/x", "3", "still"));
    assert_eq!(alice.expect("published").content()["receivers"], 0);
    let mut again = broker.dial("bob").unwrap();
    assert_eq!(again.last_line().text_of("code"), "identity_denied");
    assert!(witness.finish().messages > 0);
    broker.audit("subscription_closed", "alice");
    broker.audit("permission_withdrawn", "bob");

    // And given again, without anyone connecting anew.
    folder.put("access.toml", rules(WIDE));
    broker.reload();
    alice.send(&subscribe("a/#"));
    alice.expect("subscribed");
}

#[test]
fn a_denied_topic_is_withheld_from_the_next_message_on() {
    let wide = "[[rule]]\nidentity = [\"*\"]\npublish = [\"#\"]\nsubscribe = [\"#\"]\n";
    let folder = PolicyFolder::with_rules(wide);
    let broker = Broker::with_rules(&folder, &[]);
    let mut reader = broker.deaf_client("reader");
    reader.send(&subscribe("a/#"));
    reader.expect("subscribed");
    let mut publisher = broker.deaf_client("publisher");
    let mut publish = |reference: &str, receivers: u64| {
        publisher.send(&publish_ref("a/secret", "1", reference));
        let published = publisher.expect("published");
        assert_eq!(published.content()["receivers"], receivers, "{reference}");
    };
    publish("open", 1);
    reader.expect("message");
    let denied =
        format!("{wide}[[rule]]\nidentity = [\"reader\"]\ndeny_subscribe = [\"a/secret\"]\n");
    folder.put("access.toml", denied);
    assert_eq!(broker.reload()["subscriptions_closed"], 0);
    publish("denied", 0);
    assert!(reader.fence().is_empty());
    folder.put("access.toml", wide);
    broker.reload();
    publish("open again", 1);
    reader.expect("message");
}

#[test]
fn whom_the_rules_hide_or_show_goes_and_comes_for_the_others() {
    let shown = "[[rule]]\nidentity = [\"*\"]\npublish = [\"#\"]\n";
    let hidden = format!("{shown}[[rule]]\nidentity = [\"ghost\"]\npresence = false\n");
    let folder = PolicyFolder::with_rules(shown);
    let broker = Broker::with_rules(&folder, &[]);
    let mut watcher = broker.client("watcher");
    let mut ghost = broker.client("ghost");
    watcher.expect("client_authenticated");
    folder.put("access.toml", hidden);
    broker.reload();
    let gone = watcher.expect("client_disconnected");
    assert_eq!(gone.text_of("reason"), "permission_withdrawn");
    let other = broker.client("other");
    watcher.expect("client_authenticated");
    assert!(ghost.fence().is_empty());
    folder.put("access.toml", shown);
    broker.reload();
    let back = watcher.expect("client_authenticated");
    assert_eq!(back.text_of("client_id"), ghost.id());
    other.reset();
    assert_eq!(list_of(&[ghost.next()]), ["client_disconnected"]);
}

#[test]
fn a_fault_in_a_file_keeps_what_it_said_before() {
    let folder = PolicyFolder::with_rules(&rules(WIDE));
    folder.put("tokens.toml", "version = 1\n");
    let certificates = Arc::new(Certificates::new());
    certificates.revoke(&[]);
    let crl = certificates.crl().to_str().unwrap().to_owned();
    let access = folder.argument("access.toml");
    let broker = Broker::with_certificates(
        &certificates,
        &["--log-format", "json", "--access", &access, "--crl", &crl],
    );
    let mut alice = broker.deaf_client("alice");
    let good_crl = fs::read(certificates.crl()).unwrap();
    let good_rules = rules(WIDE);
    let (half, _) = good_rules.split_at(good_rules.len() - 5);
    let ca = fs::read(certificates.ca()).unwrap();
    type Break<'a> = (&'a str, Box<dyn Fn() + 'a>);
    let breaks: Vec<Break<'_>> = vec![
        (
            "ca.crl",
            Box::new(|| fs::write(certificates.crl(), "garbage").unwrap()),
        ),
        (
            "ca.crl",
            Box::new(|| fs::write(certificates.crl(), &good_crl[..good_crl.len() / 2]).unwrap()),
        ),
        (
            "ca.crl",
            Box::new(|| fs::write(certificates.crl(), "").unwrap()),
        ),
        (
            "ca.crl",
            Box::new(|| fs::remove_file(certificates.crl()).unwrap()),
        ),
        ("access.toml", Box::new(|| folder.put("access.toml", half))),
        ("access.toml", Box::new(|| folder.put("access.toml", ""))),
        (
            "ca.crt",
            Box::new(|| fs::write(certificates.ca(), "").unwrap()),
        ),
    ];
    for (file, breaks) in breaks {
        breaks();
        let told = broker.reload();
        assert_eq!(told["event"], "reload_refused", "{told}");
        assert_eq!(told["level"], "ERROR");
        let reason = told["reason"].as_str().unwrap();
        assert!(reason.contains(file) && !reason.contains('\n'), "{reason}");
        let kept = match file {
            "access.toml" => "--access",
            _ => "--ca, --crl",
        };
        assert_eq!(told["kept"], kept);
        alice.send(&publish_ref("a/y", "1", "r"));
        alice.expect("published");
        fs::write(certificates.crl(), &good_crl).unwrap();
        fs::write(certificates.ca(), &ca).unwrap();
        folder.put("access.toml", &good_rules);
        let mut bob = broker.deaf_client("bob");
        bob.send(&subscribe("a/#"));
        bob.expect("subscribed");
    }
    assert_eq!(broker.reload()["event"], "reloaded");
}

#[test]
fn a_fault_in_one_group_keeps_no_other_from_being_tightened() {
    let folder = PolicyFolder::with_rules(&rules(WIDE));
    let certificates = Arc::new(Certificates::new());
    let crl = certificates.revoke(&[]).to_str().unwrap().to_owned();
    let access = folder.argument("access.toml");
    let broker = Broker::with_certificates(
        &certificates,
        &["--log-format", "json", "--access", &access, "--crl", &crl],
    );
    let refused = |number: usize| {
        broker.log().wait_until("a refusal", |lines| {
            let reloads = reloads_in(lines).into_iter();
            let mut refused = reloads.filter(|line| line["event"] == "reload_refused");
            refused.nth(number)
        })
    };
    let mut alice = broker.deaf_client("alice");
    let mut bob = broker.deaf_client("bob");
    // The rules are broken, as is the pair of the broker's own; a revocation is not.
    folder.put("access.toml", "[[rule]");
    fs::copy(
        certificates.client("bob").certificate,
        certificates.files("server").certificate,
    )
    .unwrap();
    certificates.revoke(&["bob"]);
    let told = broker.reload();
    assert_eq!(
        (&told["event"], &told["changed"]),
        (&"reloaded".into(), &crl.as_str().into())
    );
    assert_eq!(bob.last_line().text_of("code"), "certificate_revoked");
    assert_eq!(
        [refused(0), refused(1)].map(|line| line["kept"].clone()),
        ["--cert, --key", "--access"]
    );
    alice.send(&publish_ref("a/y", "1", "r"));
    alice.expect("published");

    // The list is broken; what the rules take away is taken.
    fs::write(&crl, "garbage").unwrap();
    folder.put("access.toml", rules(NARROW));
    let told = broker.reload();
    assert_eq!(told["event"], "reloaded");
    assert_eq!(refused(3)["kept"], "--ca, --crl");
    alice.send(&publish_ref("a/y", "2", "r"));
    assert_eq!(alice.expect("error").text_of("code"), "publish_denied");
}

#[test]
fn an_emptied_token_file_keeps_the_tokens_in_force() {
    let folder = PolicyFolder::new();
    let token = crate::tokens::new_token(&folder, "alice", &[]);
    let tokens = folder.argument("tokens.toml");
    let broker = Broker::with(&["--log-format", "json", "--tokens", &tokens]);
    let mut alice = crate::tokens::client_with(&broker, "alice", &token);
    fs::write(folder.path("tokens.toml"), "").unwrap();
    let told = broker.reload();
    assert_eq!(told["event"], "reload_refused", "{told}");
    assert!(
        told["reason"].as_str().unwrap().contains("tokens.toml"),
        "{told}"
    );
    assert!(alice.fence().is_empty());
    crate::tokens::client_with(&broker, "alice", &token);
}

#[test]
fn rules_that_anyone_could_change_are_not_taken() {
    let folder = PolicyFolder::with_rules(&rules(WIDE));
    let broker = Broker::with_rules(&folder, &[]);
    folder.put("access.toml", rules(NARROW));
    let loose = fs::Permissions::from_mode(0o666);
    fs::set_permissions(folder.path("access.toml"), loose).unwrap();
    let told = broker.reload();
    assert_eq!(told["event"], "reload_refused", "{told}");
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains("chmod o-w"), "{reason}");
    broker.client("bob");
}

#[test]
fn lists_and_authorities_that_anyone_could_change_are_not_taken() {
    let certificates = Arc::new(Certificates::new());
    let crl = certificates.revoke(&[]);
    let flags = ["--log-format", "json", "--crl", crl.to_str().unwrap()];
    let broker = Broker::with_certificates(&certificates, &flags);
    let mut alice = broker.deaf_client("alice");
    certificates.revoke(&["alice"]);
    for (path, mode) in [(crl, 0o646), (certificates.ca(), 0o666)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let told = broker.reload();
        assert_eq!(
            (&told["event"], &told["kept"]),
            (&"reload_refused".into(), &"--ca, --crl".into())
        );
        let reason = told["reason"].as_str().unwrap();
        let remedy = format!("chmod o-w {}", path.display());
        assert!(reason.contains(&remedy), "{reason}");
        assert!(alice.fence().is_empty());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    broker.reload();
    assert_eq!(alice.last_line().text_of("code"), "certificate_revoked");
}

#[test]
fn a_file_that_changes_is_taken_without_being_asked_for() {
    let folder = PolicyFolder::new();
    // As volumes of secrets are laid out: the name that is configured is a link through a link.
    for (generation, text) in [("1", rules(WIDE)), ("2", rules(NARROW))] {
        fs::create_dir(folder.path(generation)).unwrap();
        fs::write(folder.path(generation).join("access.toml"), text).unwrap();
    }
    symlink("1", folder.path("current")).unwrap();
    symlink("current/access.toml", folder.path("access.toml")).unwrap();
    let broker = Broker::with_rules(&folder, &["--reload-interval", "20ms"]);
    let mut alice = broker.deaf_client("alice");
    alice.send(&subscribe("a/#"));
    alice.expect("subscribed");
    symlink("2", folder.path("next")).unwrap();
    fs::rename(folder.path("next"), folder.path("current")).unwrap();
    alice.expect("subscription_closed");
    // A broken file is told of once, not at every look.
    folder.put("2/access.toml", "[[rule]");
    let refused = broker.log().wait_until("a refusal", |lines| {
        reloads_in(lines)
            .into_iter()
            .find(|line| line["event"] == "reload_refused")
    });
    assert_eq!(refused["asked_by"], "changed files");
    folder.put("2/access.toml", rules(WIDE));
    broker.log().wait_until("the next reload", |lines| {
        reloads_in(lines)
            .into_iter()
            .filter(|line| line["event"] == "reloaded")
            .nth(1)
    });
    assert_eq!(broker.reloads().len(), 3, "{:#?}", broker.reloads());
}

#[test]
fn a_reload_without_changes_says_so_and_changes_nothing() {
    let folder = PolicyFolder::with_rules(&rules(WIDE));
    let broker = Broker::with_rules(&folder, &[]);
    let mut alice = broker.client("alice");
    let told = broker.reload();
    assert_eq!(told["event"], "reloaded");
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("no file has changed"),
        "{told}"
    );
    assert!(alice.fence().is_empty());
}

#[test]
fn newcomers_meet_the_renewed_certificate_of_the_server_and_the_others_stay() {
    let certificates = Arc::new(Certificates::new());
    let broker = Broker::with_certificates(&certificates, &["--log-format", "json"]);
    let mut alice = broker.deaf_client("alice");
    // A CA of its own: who trusts only that is let down by the old certificate.
    let other = Certificates::new();
    let alice_of_other = other.client("alice");
    let only_new = tls_of(&other.ca(), Some(&alice_of_other));
    assert!(Client::dial(broker.address, &only_new).is_err());
    // Half of an exchange: the key does not belong to the certificate.
    let (old, new) = (certificates.files("server"), other.files("server"));
    fs::copy(&new.certificate, &old.certificate).unwrap();
    assert_eq!(broker.reload()["event"], "reload_refused");
    fs::copy(&new.key, &old.key).unwrap();
    let both = [certificates.ca(), other.ca()].map(|ca| fs::read_to_string(ca).unwrap());
    fs::write(certificates.ca(), both.concat()).unwrap();
    assert_eq!(broker.reload()["event"], "reloaded");
    let mut newcomer = Client::dial(broker.address, &only_new).unwrap();
    newcomer.take_greeting();
    assert!(alice.fence().is_empty());

    // An authority that is taken out takes those with it that it vouches for.
    fs::write(certificates.ca(), &both[1]).unwrap();
    broker.reload();
    assert_eq!(alice.last_line().text_of("code"), "permission_withdrawn");
    newcomer.send(crate::support::AUTHENTICATE);
    newcomer.expect("authentication_accepted");
}

/// A hundred pairs of which each counts for itself, while the rules change a hundred times.
#[test]
fn heavy_acceptance_5_a_hundred_reloads_cost_nobody_anything() {
    const CLIENTS: usize = 100;
    const RELOADS: usize = 100;
    let text = |number: usize| {
        rules(&format!(
            "# {number}\n[[rule]]\nidentity = [\"client-*\"]\npublish = [\"load/#\"]\nsubscribe = [\"load/#\"]\ndeny_publish = [\"unused/{number}\"]\n"
        ))
    };
    let folder = PolicyFolder::with_rules(&text(0));
    let broker = Broker::with_rules(&folder, &[]);
    let mut clients: Vec<Client> = (0..CLIENTS)
        .map(|number| {
            let mut client = broker.deaf_client(&format!("client-{number}"));
            client.send(&subscribe(&format!("load/{number}")));
            client.expect("subscribed");
            client
        })
        .collect();
    broker.reload();
    let files_before = broker.open_files();
    let done = std::sync::atomic::AtomicBool::new(false);
    let done = &done;
    thread::scope(|scope| {
        // Each thread has a share of the clients, which publish each to the next one.
        let shares = clients.chunks_mut(10).enumerate();
        let counting: Vec<_> = shares
            .map(|(share, clients)| {
                scope.spawn(move || {
                    let mut round = 0;
                    while round == 0 || !done.load(std::sync::atomic::Ordering::Relaxed) {
                        for at in 0..clients.len() {
                            let to = (at + 1) % clients.len();
                            let topic = format!("load/{}", share * 10 + to);
                            let payload = round.to_string();
                            clients[at].send(&publish_ref(&topic, &payload, &payload));
                            let published = clients[at].expect("published");
                            assert_eq!(published.content()["receivers"], 1);
                            assert_eq!(clients[to].expect("message").raw_payload(), payload);
                        }
                        round += 1;
                    }
                    round
                })
            })
            .collect();
        for number in 1..=RELOADS {
            folder.put("access.toml", text(number));
            let told = broker.reload();
            assert_eq!(told["event"], "reloaded", "{told}");
            assert_eq!(told["clients"], CLIENTS);
            assert_eq!(
                (&told["denied"], &told["subscriptions_closed"]),
                (&0.into(), &0.into())
            );
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        for share in counting {
            assert!(share.join().unwrap() > 0);
        }
    });
    for client in &mut clients {
        assert!(client.fence().is_empty());
    }
    assert_eq!(broker.open_files(), files_before);
    let trail = broker.audit_trail();
    assert_eq!(trail.len(), RELOADS + 1, "nothing but reloads: {trail:#?}");
}

#[test]
fn who_forfeits_its_place_is_not_sent_what_was_queued() {
    const MESSAGES: usize = 1000;
    let folder = PolicyFolder::with_rules(&rules(WIDE));
    let broker = Broker::with_rules(&folder, &[]);
    let mut bob = broker.deaf_client("bob");
    bob.send(&subscribe("a/#"));
    bob.expect("subscribed");
    // More than sockets hold, and less than would close it as too slow.
    let mut alice = broker.deaf_client("alice");
    let payload = format!("\"{}\"", "x".repeat(7000));
    for _ in 1..MESSAGES {
        alice.send(&publish("a/x", &payload));
    }
    alice.send(&publish_ref("a/x", &payload, "last"));
    assert_eq!(alice.expect("published").content()["receivers"], 1);
    folder.put("access.toml", rules(NARROW));
    broker.reload();
    let (lines, end) = bob.rest();
    let (last, messages) = lines.split_last().expect("a last line");
    assert_eq!(last.text_of("code"), "permission_withdrawn");
    assert_eq!(end, End::CloseNotify);
    assert!(messages.len() < MESSAGES, "all that was queued came");
}
