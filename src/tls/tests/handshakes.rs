//! Handshakes: what is agreed on, and which clients are refused.

use super::*;

#[test]
fn agrees_on_the_newest_with_a_post_quantum_exchange_and_offers_no_ticket() {
    let authority = authority();
    let server = Side::new(
        &authority,
        &CertificateRequest::server("localhost"),
        &authority,
    );
    let client = Side::new(&authority, &CertificateRequest::client("alice"), &authority);
    let server = read_server(&server.credentials(), &[]).unwrap();
    let client = handshake(&client.credentials(), &server).unwrap();
    assert_eq!(client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    let group = client.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, NamedGroup::X25519MLKEM768);
    assert_eq!(client.tls13_tickets_received(), 0);
}

#[test]
fn refuses_each_kind_of_wrong_client_with_a_reason_of_its_own() {
    let authority = authority();
    let other = Authority::generate("another CA").unwrap();
    let server = Side::new(
        &authority,
        &CertificateRequest::server("localhost"),
        &authority,
    );
    let client = || CertificateRequest::client("alice");
    let now = Utc::now();
    let day = TimeDelta::days(1);
    let of_purpose = |purpose| CertificateRequest {
        purpose,
        ..client()
    };
    let of_time = |not_before, not_after| CertificateRequest {
        valid: Validity {
            not_before,
            not_after,
        },
        ..client()
    };
    let namesake = Authority::generate("test CA").unwrap();
    let server = read_server(&server.credentials(), &[]).unwrap();
    let cases = [
        (&other, client(), "not from a CA that is trusted here"),
        (&namesake, client(), "not signed by the CA that it names"),
        (
            &authority,
            of_purpose(Purpose::Server),
            "not for client use",
        ),
        (&authority, of_purpose(Purpose::Unstated), "does not state"),
        (
            &authority,
            of_time(now - day, now - day / 2),
            "expired: it ended on 20",
        ),
        (
            &authority,
            of_time(now + day, now + day * 2),
            "not valid before 20",
        ),
    ];
    for (issuer, request, expected) in cases {
        let (reason, code) = refusal(&Side::new(issuer, &request, &authority), &server);
        assert!(reason.contains(expected), "{expected}: {reason}");
        assert_eq!(code.is_some(), reason.contains("expired"), "{reason}");
    }
    let both = Side::new(&authority, &of_purpose(Purpose::Both), &authority);
    let outcome = handshake(&both.credentials(), &server);
    assert!(outcome.is_ok(), "{outcome:?}");
}

#[test]
fn refuses_a_client_that_shows_nothing_and_one_that_shows_too_much() {
    let authority = authority();
    let server = read_server(&server_of(&authority).credentials(), &[]).unwrap();
    let client = client_of(&authority, "alice");
    let authorities = trusted_cas(&client.credentials(), &mut TrackedFiles::default());
    let roots = root_store(&authorities.unwrap().anchors);
    let nobody = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(TlsVersion::V1_3.and_newer())
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let error = shake_hands(nobody, &server).unwrap_err();
    let reason = tls_refusal(&error);
    let expected = "the client showed no certificate: it has none, or its key is of a kind";
    assert!(reason.starts_with(expected), "{reason}");
    assert!(server.clients.verify(&[], SystemTime::now()).is_err());

    let own = fs::read_to_string(client.credentials().certificate).unwrap();
    let lengthened = |others: usize| client.with("own.crt", own.repeat(1 + others));
    lengthened(8);
    assert!(handshake(&client.credentials(), &server).is_ok());
    for others in [9, 59] {
        lengthened(others);
        let (reason, _) = refusal(&client, &server);
        let expected = format!("a chain of {} certificates", others + 1);
        assert!(reason.contains(&expected), "{reason}");
    }
}

#[test]
fn what_is_no_tls_is_told_escaped() {
    let error = io::Error::other("a\nb\u{202e}");
    assert_eq!(tls_refusal(&error), r"a\nb\u{202e}");
    assert_eq!(refusal_code(&error), None);
}

/// A stranger brings CAs of its own making, and whoever looks how they fit together works for it.
#[test]
fn a_chain_that_fits_together_in_too_many_ways_is_not_tried() {
    let authority = authority();
    let server = read_server(&server_of(&authority).credentials(), &[]).unwrap();
    let client = client_of(&authority, "alice");
    let own = fs::read_to_string(client.credentials().certificate).unwrap();
    let bring = |namesakes: usize| {
        let pems: String = (0..namesakes)
            .map(|_| self::authority().certificate_pem().to_owned())
            .collect();
        client.with("own.crt", own.clone() + &pems);
    };
    bring(3);
    assert!(handshake(&client.credentials(), &server).is_ok());
    for namesakes in [4, 8] {
        bring(namesakes);
        let (reason, _) = refusal(&client, &server);
        assert!(reason.contains("fit together in too many ways"), "{reason}");
    }
}
