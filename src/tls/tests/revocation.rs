//! Revoked clients: at the handshake, and when a reload verifies clients again.

use super::*;

#[test]
fn a_revoked_client_is_refused_and_no_other() {
    let authority = authority();
    let side = server_of(&authority);
    let (alice, bob) = (client_of(&authority, "a"), client_of(&authority, "b"));
    let pem = list_of(&authority, &[&alice], TimeDelta::days(1));
    let der = CertificateRevocationListDer::from_pem_slice(pem.as_bytes()).unwrap();
    let before = read_server(&side.credentials(), &[]).unwrap();
    // Twice the same list is no fault.
    for crl in [pem.as_bytes(), &der, pem.repeat(2).as_bytes()] {
        let crls = [side.with("ca.crl", crl)];
        let server = read_server(&side.credentials(), &crls).unwrap();
        assert!(handshake(&bob.credentials(), &server).is_ok());
        let (reason, code) = refusal(&alice, &server);
        assert!(reason.contains("revoked"), "{reason}");
        assert_eq!(code, Some(Code::CertificateRevoked));
        assert_eq!(server.clients.revoked_count(), 1);
        let again = |side: &Side| {
            let (before, now) = (&before.clients, SystemTime::now());
            server.clients.reverify(before, &chain_of(side), now)
        };
        assert_eq!(again(&alice), Err(ClientCertificateError::Revoked));
        assert_eq!(again(&bob), Ok(()));
    }
    let server = read_server(&side.credentials(), &[]).unwrap();
    assert!(handshake(&alice.credentials(), &server).is_ok());
}

/// Who is in already is judged by less work, and to the same end.
#[test]
fn judging_again_comes_to_what_judging_anew_comes_to() {
    let (authority, other) = (authority(), Authority::generate("x").unwrap());
    let side = server_of(&authority);
    let alice = client_of(&authority, "alice");
    let before = read_server(&side.credentials(), &[]).unwrap();
    let day = TimeDelta::days(1);
    let lists = [
        list_of(&authority, &[], day),
        list_of(&authority, &[&alice], day),
        list_of(&other, &[&alice], day),
    ];
    let listed = lists.iter().enumerate();
    let mut crls: Vec<Vec<PathBuf>> = listed
        .map(|(number, list)| vec![side.with(&format!("{number}.crl"), list)])
        .collect();
    crls.push(Vec::new());
    let mut verdicts = Vec::new();
    let both = authority.certificate_pem().to_owned() + other.certificate_pem();
    for root in [&both, authority.certificate_pem(), other.certificate_pem()] {
        side.with("ca.crt", root);
        for crls in &crls {
            let Ok(after) = read_server(&side.credentials(), crls) else {
                continue;
            };
            let (chain, now) = (chain_of(&alice), SystemTime::now());
            let anew = after.clients.verify(&chain, now);
            let again = after.clients.reverify(&before.clients, &chain, now);
            assert_eq!(anew, again);
            verdicts.push(again.is_ok());
        }
    }
    let good = verdicts.iter().filter(|is_ok| **is_ok).count();
    assert_eq!((good, verdicts.len()), (4, 9));
}

#[test]
fn every_ca_of_the_chain_needs_its_own_list_and_may_be_on_one() {
    let root = Authority::generate_root("root", 1, Validity::days(30)).unwrap();
    let intermediate = root.intermediate("intermediate").unwrap();
    let server = server_of(&root);
    let client = Side::new(&intermediate, &CertificateRequest::client("alice"), &root);
    let middle = client.with("middle.crt", intermediate.certificate_pem());
    let middle_serial = || {
        let mut summaries = CertificateSummary::read(&middle).unwrap();
        iter::once(summaries.remove(0).serial)
    };
    let day = TimeDelta::days(1);
    let of_root = |serials: Vec<String>| {
        let list = list_of_serials(&root, serials.into_iter(), day);
        server.with("root.crl", list)
    };
    // Beside its list the certificate of its issuer, whom clients alone bring along.
    let of_intermediate = server.with(
        "intermediate.crl",
        intermediate.certificate_pem().to_owned()
            + &list_of(&intermediate, &[], TimeDelta::hours(1)),
    );
    let read = |crls: &[PathBuf]| read_server(&server.credentials(), crls).unwrap();

    let both = read(&[of_root(Vec::new()), of_intermediate.clone()]);
    assert!(handshake(&client.credentials(), &both).is_ok());
    let in_two_hours = SystemTime::now() + Duration::from_secs(7_200);
    assert!(both.expiries.iter().any(|one| one.end < in_two_hours));

    // The lists end in the order in which they are read: at the door that is the fault then.
    let judged = both.clients.verify(&chain_of(&client), in_two_hours);
    let Err(ClientCertificateError::StaleCrl(reason)) = judged else {
        panic!("{judged:?}");
    };
    assert!(
        reason.contains("has expired: its successor was due"),
        "{reason}"
    );

    let (reason, code) = refusal(&client, &read(&[of_root(Vec::new())]));
    assert!(reason.contains("no revocation list is for"), "{reason}");
    assert_eq!(code, None);

    let revoked = of_root(middle_serial().collect());
    let (_, code) = refusal(&client, &read(&[revoked, of_intermediate]));
    assert_eq!(code, Some(Code::CertificateRevoked));
}

/// Scoped lists are for some certificates only: whether they are for this one is for the verifier
/// to say.
#[test]
fn a_list_for_some_clears_nobody() {
    let authority = authority();
    let side = server_of(&authority);
    let (alice, bob) = (client_of(&authority, "a"), client_of(&authority, "b"));
    let mut params = CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 1, 1),
        next_update: date_time_ymd(2125, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let key = KeyPair::from_pem(&authority.key_pem()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(authority.certificate_pem(), key).unwrap();
    let mut cleared = |point: Option<CrlIssuingDistributionPoint>| {
        params.issuing_distribution_point = point;
        let list = params.signed_by(&issuer).unwrap();
        let crls = [side.with("ca.crl", list.pem().unwrap())];
        let server = read_server(&side.credentials(), &crls).unwrap();
        let now = SystemTime::now();
        [&alice, &bob].map(|client| {
            let chain = chain_of(client);
            let anew = server.clients.verify(&chain, now);
            let again = server.clients.reverify(&server.clients, &chain, now);
            assert_eq!(anew, again);
            again.is_ok()
        })
    };
    assert_eq!(cleared(None), [true, true]);
    let point = CrlIssuingDistributionPoint {
        distribution_point: CrlDistributionPoint {
            uris: vec!["http://example.org/some.crl".to_owned()],
        },
        scope: Some(CrlScope::CaCertsOnly),
    };
    assert_eq!(cleared(Some(point)), [false, false]);
}

/// What has ended is held against newcomers alone; what stands on it, against everyone.
#[test]
fn a_list_that_ended_in_force_is_kept_and_hides_no_other() {
    let root = Authority::generate_root("root", 1, Validity::days(30)).unwrap();
    let middle = root.intermediate("middle").unwrap();
    let side = server_of(&root);
    let client = |name| Side::new(&middle, &CertificateRequest::client(name), &root);
    let (alice, bob) = (client("alice"), client("bob"));
    let of_root = side.with("root.crl", list_of(&root, &[], TimeDelta::days(-1)));
    let put = |revoked: &[&Side]| {
        let list = list_of(&middle, revoked, TimeDelta::days(1));
        side.with("middle.crl", middle.certificate_pem().to_owned() + &list)
    };
    let files = ServerTlsFiles {
        credentials: side.credentials(),
        oldest: TlsVersion::V1_3,
        record_bytes_max: 16 * 1024,
        crls: vec![of_root.clone(), put(&[])],
    };
    let sources = &mut TrackedFiles::default();
    assert!(files.clients(None, sources).is_err());
    // As if it had been in date when it was read.
    let authorities = trusted_cas(&side.credentials(), sources).unwrap();
    let now = SystemTime::now();
    let then = now - DAY * 2;
    let lists =
        RevocationLists::read(&files.crls, &authorities, &provider(), sources, then, None).unwrap();
    let before = ClientVerifier::new(authorities, Some(lists), &provider()).unwrap();
    put(&[&alice]);
    let after = files.clients(Some(&before), sources).unwrap();
    let again = |side: &Side| after.reverify(&before, &chain_of(side), now);
    assert_eq!(again(&alice), Err(ClientCertificateError::Revoked));
    assert_eq!(again(&bob), Ok(()));
    let anew = after.verify(&chain_of(&bob), now);
    assert!(
        matches!(anew, Err(ClientCertificateError::StaleCrl(_))),
        "{anew:?}"
    );
    // Another list that has ended is not the one in force.
    side.with("root.crl", list_of(&root, &[], TimeDelta::hours(-1)));
    assert!(files.clients(Some(&after), sources).is_err());
}
