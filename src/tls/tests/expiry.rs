//! What ends by the passing of time: certificates, CAs, revocation lists.

use super::*;

#[test]
fn everything_that_ends_has_a_deadline() {
    let root = Authority::generate_root("root", 1, Validity::days(90)).unwrap();
    let intermediate = root.intermediate("middle").unwrap();
    let request = CertificateRequest::server("localhost");
    let side = Side::new(&intermediate, &request, &root);
    let crls = [side.with("root.crl", list_of(&root, &[], TimeDelta::days(1)))];
    let server = read_server(&side.credentials(), &crls).unwrap();
    let told: Vec<_> = server
        .expiries
        .iter()
        .map(|d| (d.what.as_str(), d.file.file_name()))
        .collect();
    let file = |name: &'static str| Some(name.as_ref());
    assert_eq!(
        told,
        [
            ("the server's certificate", file("own.crt")),
            (
                "the certificate \"CN=middle\" in the server's chain",
                file("own.crt")
            ),
            ("the CA \"CN=root\"", file("ca.crt")),
            ("the revocation list of \"CN=root\"", file("root.crl")),
        ]
    );
    let [own, ..] = &server.expiries[..] else {
        panic!("four");
    };
    let summary = CertificateSummary::read(&own.file).unwrap().remove(0);
    assert_eq!(
        own.end,
        SystemTime::from(summary.not_after) + Duration::from_secs(1)
    );
    assert!(
        server
            .expiries
            .iter()
            .all(|expiry| expiry.renew_from < expiry.end)
    );
}

#[test]
fn a_verdict_changes_when_the_first_of_the_chain_ends() {
    let root = Authority::generate_root("root", 1, Validity::days(30)).unwrap();
    let intermediate = root.intermediate("intermediate").unwrap();
    let mut request = CertificateRequest::client("alice");
    request.valid = Validity::days(1);
    let client = Side::new(&intermediate, &request, &root);
    let server = read_server(&server_of(&root).credentials(), &[]).unwrap();
    let chain = chain_of(&client);
    let judge = |now| server.clients.verify(&chain, now);
    let now = SystemTime::now();
    let end = server.clients.changes_at(&chain, now).unwrap();
    let moment = Duration::from_millis(1);
    assert_eq!(judge(end - moment), Ok(()));
    assert_eq!(judge(end), Err(ClientCertificateError::Expired));
    let later = server.clients.changes_at(&chain, end).unwrap();
    assert!(later > end + Duration::from_secs(28 * 24 * 3_600));
    assert_eq!(server.clients.changes_at(&chain, later), None);
}

/// Two authorities in one file, of which one ends in ten days.
fn two_authorities() -> (Authority, Authority, Side) {
    let (brief, lasting) = (
        Authority::generate_root("brief", 1, Validity::days(10)).unwrap(),
        authority(),
    );
    let side = server_of(&lasting);
    let both = [brief.certificate_pem(), lasting.certificate_pem()].concat();
    side.with("ca.crt", both);
    (brief, lasting, side)
}

const ENDED: &str = "the certificate is from a CA that has expired";

/// The certificates that they vouch for are good for longer.
#[test]
fn an_authority_vouches_until_it_ends_and_for_nobody_after_that() {
    let (brief, lasting, side) = two_authorities();
    let (alice, bob) = (client_of(&brief, "a"), client_of(&lasting, "b"));
    let crls = [&brief, &lasting].map(|authority| {
        let list = list_of(authority, &[], TimeDelta::days(30));
        let name = if std::ptr::eq(authority, &brief) {
            "brief.crl"
        } else {
            "lasting.crl"
        };
        side.with(name, list)
    });
    for crls in [&[][..], &crls] {
        let server = read_server(&side.credentials(), crls).unwrap();
        let (clients, now) = (&server.clients, SystemTime::now());
        let ended = || Err(ClientCertificateError::Other(ENDED.to_owned()));
        let end = clients.changes_at(&chain_of(&alice), now).unwrap();
        assert!(end > now + DAY * 9 && end < now + DAY * 11);
        // Back again too: a clock can be set.
        for at in [end, now, end] {
            let expected = if at == now { Ok(()) } else { ended() };
            for verdict in [
                clients.verify(&chain_of(&alice), at),
                clients.verify_validity(&chain_of(&alice), at),
            ] {
                assert_eq!(verdict, expected);
            }
            assert_eq!(clients.verify(&chain_of(&bob), at), Ok(()));
        }
        let shortly_before = end - Duration::from_millis(1);
        assert_eq!(clients.verify(&chain_of(&alice), shortly_before), Ok(()));
    }
}

#[test]
fn an_intermediate_vouches_until_it_ends() {
    let root = Authority::generate_root("root", 1, Validity::days(30)).unwrap();
    let now = SystemTime::now();
    let end = now + DAY * 10;
    let key = KeyPair::from_pem(&root.key_pem()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(root.certificate_pem(), key).unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_after = end.into();
    let key = KeyPair::generate().unwrap();
    let middle = params.signed_by(&key, &issuer).unwrap();
    let issuer = Issuer::new(params, key);
    let mut params = CertificateParams::default();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let own = params
        .signed_by(&KeyPair::generate().unwrap(), &issuer)
        .unwrap();
    let chain = [own.der().clone(), middle.der().clone()];
    let server = read_server(&server_of(&root).credentials(), &[]).unwrap();
    let change = server.clients.changes_at(&chain, now).unwrap();
    assert!(change > now + DAY * 9 && change < now + DAY * 11);
    assert_eq!(server.clients.verify(&chain, now), Ok(()));
    for verdict in [
        server.clients.verify(&chain, change),
        server.clients.verify_validity(&chain, change),
    ] {
        assert_eq!(verdict, Err(ClientCertificateError::Expired));
    }
}

#[test]
fn without_an_authority_in_date_nobody_starts_and_nobody_is_let_in() {
    let now = Utc::now();
    let over = Validity {
        not_before: now - TimeDelta::days(2),
        not_after: now - TimeDelta::seconds(2),
    };
    let ended = Authority::generate_root("ended", 1, over).unwrap();
    let lasting = authority();
    let side = server_of(&lasting);
    let files = ServerTlsFiles {
        credentials: side.credentials(),
        oldest: TlsVersion::V1_3,
        record_bytes_max: 16 * 1024,
        crls: Vec::new(),
    };
    let sources = &mut TrackedFiles::default();
    let in_force = files.clients(None, sources).unwrap();
    let ca = side.with("ca.crt", ended.certificate_pem());
    let fault = files.clients(None, sources).unwrap_err();
    assert_eq!(fault.path(), ca);
    assert!(fault.to_string().contains("has expired"), "{fault}");
    assert!(client_config(&side.credentials()).is_err());
    // Where one runs, that the good ones were taken out is taken.
    let after = files.clients(Some(&in_force), sources).unwrap();
    let (alice, bob) = (client_of(&ended, "a"), client_of(&lasting, "b"));
    let now = SystemTime::now();
    let ended = ClientCertificateError::Other(ENDED.to_owned());
    assert_eq!(after.verify(&chain_of(&alice), now), Err(ended));
    let gone = after.reverify(&in_force, &chain_of(&bob), now);
    assert!(
        matches!(gone, Err(ClientCertificateError::Other(_))),
        "{gone:?}"
    );
    assert_eq!(after.changes_at(&[], now), None);
}

#[test]
fn a_client_trusts_an_authority_of_servers_until_it_ends() {
    let (brief, lasting, side) = two_authorities();
    let authorities = trusted_cas(&side.credentials(), &mut TrackedFiles::default());
    let servers = ServerVerifier::new(authorities.unwrap().anchors, provider()).unwrap();
    let judge = |issuer: &Authority, at: SystemTime| {
        let server = Side::new(issuer, &CertificateRequest::server("localhost"), issuer);
        let chain = chain_of(&server);
        let (own, others) = chain.split_first().unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let at = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let at = UnixTime::since_unix_epoch(at);
        servers
            .verify_server_cert(own, others, &name, &[], at)
            .map(drop)
            .map_err(|error| error.to_string())
    };
    let now = SystemTime::now();
    assert_eq!(judge(&brief, now), Ok(()));
    assert_eq!(judge(&lasting, now + DAY * 11), Ok(()));
    let ended = judge(&brief, now + DAY * 11).unwrap_err();
    assert!(ended.contains(ENDED), "{ended}");
}
