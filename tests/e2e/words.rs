//! What people are told when client and broker do not come together: what is wrong, and what to do.

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    sync::Arc,
    thread,
};

use crate::support::{
    Broker, Certificates, Client, Files, Process, openssl, run, s_client, serve, tls_of,
};

/// The reason in the log for the one connection so far.
fn refusal(broker: &Broker) -> String {
    broker.log().wait_for("TLS refused")
}

#[test]
fn what_speaks_something_else_than_tls_is_told_by_its_name() {
    for (opening, expected) in [
        (
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            "speaks plain HTTP: ",
        ),
        (
            b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04abcd",
            "speaks MQTT: ",
        ),
        (
            b"{\"event\":\"ping\",\"id\":\"__\"}\n",
            "speaks JSON without TLS: ",
        ),
        (
            b"PROXY TCP4 1.2.3.4 1.2.3.5 1 2\r\n",
            "sends the PROXY protocol",
        ),
        (b"\xff\xff\xff\xff\xff", "what came is no TLS: "),
    ] {
        let broker = Broker::start();
        let mut tcp = broker.tcp();
        tcp.write_all(opening).unwrap();
        let logged = refusal(&broker);
        assert!(logged.contains(expected), "{logged}");
        // It is answered as before, by an alert.
        let mut alert = [0; 7];
        tcp.read_exact(&mut alert).unwrap();
        assert_eq!(alert[0], 21, "{alert:?}");
    }
}

#[test]
fn an_identity_that_cannot_be_seen_is_refused_with_its_character_and_place() {
    let broker = Broker::start();
    for (index, (name, expected)) in [
        (" ", "character 1 of the name is a space at its start"),
        (
            "alice ",
            "character 6 of the name is a space at its start, at its end",
        ),
        (
            "alice\u{a0}",
            "character 6 of the name is U+00A0, which is invisible",
        ),
        ("a\u{2800}", "character 2 of the name is U+2800"),
        ("\u{600}a", "character 1 of the name is U+0600"),
        ("a\u{70f}", "character 2 of the name is U+070F"),
        ("a\u{13430}b", "character 2 of the name is U+13430"),
        ("a\u{1d173}", "character 2 of the name is U+1D173"),
        ("a\u{1bca0}", "character 2 of the name is U+1BCA0"),
    ]
    .into_iter()
    .enumerate()
    {
        let files = broker
            .certificates
            .client_called(&format!("c{index}"), name);
        let tls = tls_of(&broker.certificates.ca(), Some(&files));
        let refused = Client::dial(broker.address, &tls)
            .unwrap()
            .expect("connection_refused");
        assert_eq!(refused.text_of("code"), "identity_missing");
        let reason = refused.text_of("reason");
        assert!(reason.starts_with(expected), "{reason}");

        let mut issue = broker.cli("issuer", &["certs", "issue"]);
        issue
            .arg(name)
            .arg("--dir")
            .arg(broker.certificates.folder());
        assert_eq!(run(issue).code, Some(64), "{name:?}");
    }
}

/// A client's certificate for the key in `key`, made by openssl.
fn certify(certificates: &Certificates, key: &Path) -> Files {
    let folder = certificates.folder();
    let (request, ca_key) = (folder.join("made.csr"), folder.join("root.key"));
    let certificate = folder.join("made.crt");
    std::fs::write(&ca_key, certificates.authority.key_pem()).unwrap();
    std::fs::write(folder.join("made.ext"), "extendedKeyUsage=clientAuth\n").unwrap();
    let mut make = openssl();
    make.args(["req", "-new", "-subj", "/CN=made", "-key"])
        .arg(key)
        .arg("-out")
        .arg(&request);
    assert_eq!(run(make).code, Some(0));
    let mut sign = openssl();
    sign.args(["x509", "-req", "-days", "1", "-extfile"])
        .arg(folder.join("made.ext"))
        .arg("-CA")
        .arg(certificates.ca())
        .arg("-CAkey")
        .arg(&ca_key)
        .arg("-in")
        .arg(&request)
        .arg("-out")
        .arg(&certificate);
    assert_eq!(run(sign).code, Some(0));
    Files {
        certificate,
        key: key.to_owned(),
    }
}

/// A key as `openssl genpkey` makes it.
fn genpkey(file: &Path, arguments: &[&str]) {
    let mut make = openssl();
    make.arg("genpkey").args(arguments).arg("-out").arg(file);
    assert_eq!(run(make).code, Some(0), "{arguments:?}");
}

#[test]
fn a_client_with_odd_tls_is_told_what_to_change() {
    for (flags, expected) in [
        (
            &["-servername", "localhost:4433"][..],
            "(SNI) is no host name: it must be the name alone",
        ),
        (
            &["-tls1_2"],
            "offers no TLS above 1.2: update it, or allow that version with --tls-min 1.2",
        ),
        (
            &["-groups", "X448"],
            "offers no key exchange that is accepted here: update it",
        ),
        (
            &["-verify_return_error", "-verify_hostname", "other"],
            "the client refused, with alert ",
        ),
    ] {
        let broker = Broker::start();
        let alice = broker.certificates.client("alice");
        let mut command = s_client(broker.address, &broker.certificates.ca(), Some(&alice));
        command.arg("-quiet").args(flags);
        assert_ne!(run(command).code, Some(0), "{flags:?}");
        let logged = refusal(&broker);
        assert!(logged.contains(expected), "{logged}");
    }
}

#[test]
fn a_key_of_a_kind_that_is_not_taken_is_told_so_on_both_sides() {
    let broker = Broker::start();
    let key = broker.certificates.folder().join("made.key");
    genpkey(&key, &["-algorithm", "ed448"]);
    let files = certify(&broker.certificates, &key);
    let kinds =
        "(ECDSA on P-256, P-384 or P-521, Ed25519, and RSA of 2048 to 8192 bits are accepted)";

    let mut command = s_client(broker.address, &broker.certificates.ca(), Some(&files));
    command.arg("-quiet");
    // It is let in or not only after its own side of the handshake: so it must stay for that.
    let mut process = Process::spawn(command);
    let logged = refusal(&broker);
    assert!(
        logged.contains("or its key is of a kind that is not accepted here"),
        "{logged}"
    );
    assert!(logged.contains(kinds), "{logged}");
    process.wait();

    let outcome = run(broker.cli("made", &["pub", "-t", "a", "-m", "1"]));
    assert_eq!(outcome.code, Some(64), "{outcome:#?}");
    assert!(outcome.err_text().contains(kinds), "{outcome:#?}");
}

#[test]
fn an_encrypted_key_is_told_so_with_the_command_that_decrypts_it() {
    let broker = Broker::start();
    let certificates = &broker.certificates;
    let key = certificates.folder().join("made.key");
    let curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
    genpkey(&key, &curve);
    certify(certificates, &key);
    let expected = "is encrypted, and nobody is there to type its password: decrypt it with `openssl pkey -in ";
    let password = ["-aes256", "-passout", "pass:a"];
    for form in [&["pkey"][..], &["ec"]] {
        genpkey(&key, &curve);
        let aside = certificates.folder().join("aside.key");
        let mut encrypt = openssl();
        encrypt
            .args(form)
            .args(password)
            .arg("-in")
            .arg(&key)
            .arg("-out")
            .arg(&aside);
        assert_eq!(run(encrypt).code, Some(0), "{form:?}");
        std::fs::rename(&aside, &key).unwrap();

        let outcome = run(broker.cli("made", &["pub", "-t", "a", "-m", "1"]));
        assert_eq!(outcome.code, Some(64), "{outcome:#?}");
        assert!(outcome.err_text().contains(expected), "{outcome:#?}");
        let mut server = serve(certificates);
        server
            .env("TIDINGS_LISTEN", "127.0.0.1:0")
            .arg("--key")
            .arg(&key);
        let outcome = run(server);
        assert_eq!(outcome.code, Some(64), "{outcome:#?}");
    }
}

#[test]
fn a_wrong_host_name_is_told_with_the_right_ones() {
    let certificates = Arc::new(Certificates::new());
    let mut command = serve(&certificates);
    command.args(["--listen", "127.0.0.2:0"]);
    let broker = Broker::launch(command, &certificates);
    let outcome = run(broker.cli("a", &["pub", "-t", "a", "-m", "1"]));
    assert_eq!(outcome.code, Some(1), "{outcome:#?}");
    let expected = "the server's certificate is for localhost, 127.0.0.1, and not for 127.0.0.2: connect by a name that it has";
    assert!(outcome.err_text().contains(expected), "{outcome:#?}");
}

#[test]
fn a_port_that_is_not_the_brokers_is_told_so() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let web = thread::spawn(move || {
        let (mut tcp, _) = listener.accept().unwrap();
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        // Until the client has gone: unread bytes would take the answer back.
        drop(tcp.read_to_end(&mut Vec::new()));
    });
    let broker = Broker::start();
    let mut command = broker.cli("a", &["pub", "-t", "a", "-m", "1"]);
    command.env("TIDINGS_SERVER", &address);
    let outcome = run(command);
    web.join().unwrap();
    let expected = "what answers there speaks no TLS: is it the broker, and this its port?";
    assert!(outcome.err_text().contains(expected), "{outcome:#?}");
}
