//! Whose revocation lists count, and for whom.

use rcgen::{CustomExtension, KeyUsagePurpose, PKCS_ED25519, RevokedCertParams};

use x509_parser::prelude::{FromDer, X509Certificate};

use super::*;

fn day() -> TimeDelta {
    TimeDelta::days(1)
}

/// A client of `issuer`, to whom the server shows a certificate of `trusted`.
fn client_for(issuer: &Authority, name: &str, trusted: &Authority) -> Side {
    Side::new(issuer, &CertificateRequest::client(name), trusted)
}

/// In or not, at the door and inside alike; and the same for those who are in already.
fn is_let_in(client: &Side, server: &ServerTls) -> bool {
    let is_in = handshake(&client.credentials(), server).is_ok();
    let (chain, now) = (chain_of(client), SystemTime::now());
    let judged = server.clients.verify(&chain, now);
    assert_eq!(judged.is_ok(), is_in, "{judged:?}");
    let again = server.clients.reverify(&server.clients, &chain, now);
    assert_eq!(judged, again);
    is_in
}

/// The authorities of a broker, by their PEM.
fn trust(side: &Side, authorities: &[&Authority]) {
    let all: String = authorities
        .iter()
        .map(|one| one.certificate_pem())
        .collect();
    side.with("ca.crt", all);
}

#[test]
fn a_ca_with_a_new_key_has_a_list_of_its_own() {
    let (old, new) = (authority(), authority());
    let side = server_of(&old);
    trust(&side, &[&old, &new]);
    let (of_old, revoked_by_old) = (client_of(&old, "a"), client_of(&old, "b"));
    let (of_new, revoked_by_new) = (client_for(&new, "c", &old), client_for(&new, "d", &old));
    // To each its own: what the other CA calls by the same number is nothing to this one.
    let list_of_old = list_of(&old, &[&revoked_by_old, &of_new], day());
    let list_of_new = list_of(&new, &[&revoked_by_new, &of_old], day());
    let [one, other] = [
        side.with("old.crl", &list_of_old),
        side.with("new.crl", &list_of_new),
    ];
    let both = side.with("both.crl", list_of_new + &list_of_old);
    for crls in [
        vec![one.clone(), other.clone()],
        vec![other.clone(), one.clone()],
        vec![both],
    ] {
        let server = read_server(&side.credentials(), &crls).unwrap();
        assert!(is_let_in(&of_old, &server) && is_let_in(&of_new, &server));
        for revoked in [&revoked_by_old, &revoked_by_new] {
            assert_eq!(refusal(revoked, &server).1, Some(Code::CertificateRevoked));
            assert!(!is_let_in(revoked, &server));
        }
        assert_eq!(server.clients.revoked_count(), 4);
    }
    // With the list of one, the other's clients are not known to be good.
    let server = read_server(&side.credentials(), &[one]).unwrap();
    assert!(is_let_in(&of_old, &server) && !is_let_in(&of_new, &server));
    let (reason, code) = refusal(&of_new, &server);
    assert!(reason.contains("no revocation list is for"), "{reason}");
    assert_eq!(code, None);
}

/// The certificate of the new key, signed with the old one, bears the same name twice in one chain.
#[test]
fn a_new_key_that_the_old_one_vouches_for_is_judged_by_both_lists() {
    let old = Authority::generate_root("test CA", 1, Validity::days(30)).unwrap();
    let new = authority();
    let side = server_of(&old);
    let client = client_for(&new, "alice", &old);
    let key = KeyPair::from_pem(&new.key_pem()).unwrap();
    let from_old = Issuer::from_ca_cert_pem(
        old.certificate_pem(),
        KeyPair::from_pem(&old.key_pem()).unwrap(),
    )
    .unwrap();
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "test CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.serial_number = Some(SerialNumber::from(5));
    let cross = params.signed_by(&key, &from_old).unwrap().pem();
    let own = fs::read_to_string(client.credentials().certificate).unwrap();
    client.with("own.crt", own + &cross);
    let of_new =
        |revoked: &[&Side]| side.with("new.crl", cross.clone() + &list_of(&new, revoked, day()));
    let of_old = |serials: &[&str]| {
        let serials = serials.iter().map(|serial| (*serial).to_owned());
        side.with("old.crl", list_of_serials(&old, serials, day()))
    };
    let read = |crls: &[PathBuf]| read_server(&side.credentials(), crls).unwrap();
    assert!(is_let_in(&client, &read(&[of_new(&[]), of_old(&[])])));
    assert!(!is_let_in(
        &client,
        &read(&[of_new(&[&client]), of_old(&[])])
    ));
    assert!(!is_let_in(&client, &read(&[of_new(&[]), of_old(&["05"])])));
}

#[test]
fn a_list_that_its_ca_did_not_sign_is_refused_by_file_and_number() {
    let (authority, namesake) = (authority(), authority());
    let side = server_of(&authority);
    let alice = client_of(&authority, "alice");
    let good = list_of(&authority, &[], day());
    let forged = list_of(&namesake, &[&alice], day());
    let der = CertificateRevocationListDer::from_pem_slice(
        list_of(&authority, &[&alice], day()).as_bytes(),
    )
    .unwrap();
    let mut flipped = der.to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    // In the serial number of a certificate, which nothing else would notice.
    let mut renumbered = der.to_vec();
    let serial: Vec<u8> = {
        let chain = chain_of(&alice);
        let (_, own) = X509Certificate::from_der(&chain[0]).unwrap();
        own.raw_serial().to_vec()
    };
    let at = renumbered
        .windows(serial.len())
        .position(|at| at == serial)
        .unwrap();
    renumbered[at + 8] ^= 1;
    let second = good.clone() + &forged;
    for (contents, number) in [
        (forged.as_bytes(), 1),
        (&flipped, 1),
        (&renumbered, 1),
        (second.as_bytes(), 2),
    ] {
        let crls = [side.with("ca.crl", contents)];
        let fault = read_server(&side.credentials(), &crls).unwrap_err();
        assert_eq!(fault.path(), crls[0]);
        let text = fault.to_string();
        assert!(
            text.starts_with(&format!("revocation list {number} in ")),
            "{text}"
        );
        assert!(
            text.contains("signed by another key") && !text.contains('\n'),
            "{text}"
        );
    }
    // With both in `--ca`, each list is of somebody.
    trust(&side, &[&authority, &namesake]);
    let crls = [side.with("ca.crl", second)];
    assert!(is_let_in(
        &alice,
        &read_server(&side.credentials(), &crls).unwrap()
    ));
}

#[test]
fn a_list_of_an_intermediate_counts_with_a_certificate_that_an_authority_vouches_for() {
    let root = Authority::generate_root("root", 2, Validity::days(30)).unwrap();
    let (middle, namesake) = (
        root.intermediate("m").unwrap(),
        root.intermediate("m").unwrap(),
    );
    let lowest = middle.intermediate("lowest").unwrap();
    let stranger = Authority::generate_root("r", 1, Validity::days(30)).unwrap();
    let side = server_of(&root);
    let (alice, bob) = (
        client_for(&middle, "alice", &root),
        client_for(&namesake, "bob", &root),
    );
    let carol = client_for(&lowest, "carol", &root);
    let of_root = side.with("root.crl", list_of(&root, &[], day()));
    let read = |text: String| {
        read_server(
            &side.credentials(),
            &[of_root.clone(), side.with("middle.crl", text)],
        )
    };
    let list = |of: &Authority, revoked: &[&Side]| list_of(of, revoked, day());
    let certificate = |of: &Authority| of.certificate_pem().to_owned();

    let server = read(certificate(&middle) + &list(&middle, &[])).unwrap();
    assert!(is_let_in(&alice, &server) && !is_let_in(&bob, &server) && !is_let_in(&carol, &server));
    // Two of one name, and one below them whose certificate comes first.
    let all = certificate(&lowest)
        + &certificate(&middle)
        + &certificate(&namesake)
        + &list(&lowest, &[])
        + &list(&namesake, &[&alice])
        + &list(&middle, &[&bob]);
    let server = read(all).unwrap();
    assert!(is_let_in(&alice, &server) && is_let_in(&bob, &server) && is_let_in(&carol, &server));

    let below_stranger = stranger.intermediate("m").unwrap();
    for (text, expected) in [
        (list(&middle, &[]), "no CA of that name"),
        (
            certificate(&middle) + &list(&namesake, &[&alice]),
            "signed by another key",
        ),
        (
            certificate(&below_stranger) + &list(&below_stranger, &[]),
            "is of no CA that one in",
        ),
        (
            certificate(&lowest) + &list(&lowest, &[]),
            "is of no CA that one in",
        ),
        (
            fs::read_to_string(alice.credentials().certificate).unwrap(),
            "is of no CA that one in",
        ),
    ] {
        let fault = read(text).unwrap_err().to_string();
        assert!(fault.contains(expected), "{expected}: {fault}");
        assert!(
            fault.contains("middle.crl") && fault.contains("ca.crt"),
            "{fault}"
        );
    }
}

/// A CA made by hand, with these key usages.
fn issuer_with(usages: &[KeyUsagePurpose]) -> (String, Issuer<'static, KeyPair>) {
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "by hand");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = usages.to_vec();
    let certificate = params.self_signed(&key).unwrap().pem();
    (certificate, Issuer::new(params, key))
}

fn list_params() -> CertificateRevocationListParams {
    CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 1, 1),
        next_update: date_time_ymd(2125, 1, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    }
}

#[test]
fn a_ca_that_may_not_sign_lists_has_none() {
    let side = server_of(&authority());
    let list = {
        let (certificate, issuer) = issuer_with(&[KeyUsagePurpose::CrlSign]);
        side.with("ca.crt", certificate);
        list_params().signed_by(&issuer).unwrap().pem().unwrap()
    };
    let crls = [side.with("ca.crl", &list)];
    read_server(&side.credentials(), &crls).unwrap();
    let (certificate, issuer) = issuer_with(&[KeyUsagePurpose::KeyCertSign]);
    side.with("ca.crt", certificate);
    // rcgen does not make such lists: the key is given another certificate's rights.
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "by hand");
    let issuer = Issuer::new(params, issuer.key());
    side.with(
        "ca.crl",
        list_params().signed_by(&issuer).unwrap().pem().unwrap(),
    );
    let fault = read_server(&side.credentials(), &crls)
        .unwrap_err()
        .to_string();
    assert!(fault.contains("no cRLSign among its key usages"), "{fault}");
}

#[test]
fn the_stale_list_of_a_ca_that_has_ended_troubles_nobody() {
    let authority = authority();
    let ended = Validity {
        not_before: Utc::now() - TimeDelta::days(9),
        not_after: Utc::now() - day(),
    };
    let old = Authority::generate_root("old CA", 0, ended).unwrap();
    let side = server_of(&authority);
    trust(&side, &[&authority, &old]);
    let stale = list_of(&old, &[], -day());
    let crls = [side.with("ca.crl", list_of(&authority, &[], day()) + &stale)];
    let server = read_server(&side.credentials(), &crls).unwrap();
    assert!(is_let_in(&client_of(&authority, "alice"), &server));
    assert!(!is_let_in(&client_for(&old, "bob", &authority), &server));
    // With nothing but that list, lists are asked all the same.
    let crls = [side.with("ca.crl", stale)];
    let server = read_server(&side.credentials(), &crls).unwrap();
    assert!(!is_let_in(&client_of(&authority, "alice"), &server));
}

/// What a list for some certificates says counts for those that name it, and for those that name
/// none; whoever is on any list of its CA is revoked.
#[test]
fn a_list_for_some_is_one_for_those_that_name_it() {
    let (certificate, issuer) =
        issuer_with(&[KeyUsagePurpose::CrlSign, KeyUsagePurpose::KeyCertSign]);
    let side = server_of(&authority());
    side.with("ca.crt", certificate);
    let uri = |name: &str| format!("http://example.org/{name}.crl");
    let list = |name: &str, scope, revoked: &[u64]| {
        let mut params = list_params();
        params.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
            distribution_point: CrlDistributionPoint {
                uris: vec![uri(name)],
            },
            scope,
        });
        params.revoked_certs = revoked
            .iter()
            .map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from(*serial),
                revocation_time: date_time_ymd(2025, 1, 1),
                reason_code: None,
                invalidity_date: None,
            })
            .collect();
        params.signed_by(&issuer).unwrap().pem().unwrap()
    };
    let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let client = |serial: u64, points: &[&str], garbled: bool| {
        let mut params = CertificateParams::default();
        params.serial_number = Some(SerialNumber::from(serial));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.crl_distribution_points = points
            .iter()
            .map(|name| CrlDistributionPoint {
                uris: vec![uri(name)],
            })
            .collect();
        if garbled {
            let id = &[2, 5, 29, 31];
            let extension = CustomExtension::from_oid_content(id, vec![0x30, 0x02, 0x30, 0x05]);
            params.custom_extensions.push(extension);
        }
        vec![params.signed_by(&key, &issuer).unwrap().der().clone()]
    };
    let users = || list("a", Some(CrlScope::UserCertsOnly), &[7]);
    let verdicts = |text: String| {
        let crls = [side.with("ca.crl", text)];
        let server = read_server(&side.credentials(), &crls).unwrap();
        let judge = |serial, points: &[&str], garbled| {
            let (chain, now) = (client(serial, points, garbled), SystemTime::now());
            let judged = server.clients.verify(&chain, now);
            assert_eq!(
                judged,
                server.clients.reverify(&server.clients, &chain, now)
            );
            judged.is_ok()
        };
        [
            judge(1, &["a"], false),
            judge(1, &["b"], false),
            judge(1, &["b", "a"], false),
            judge(1, &[], false),
            judge(1, &[], true),
            judge(7, &["a"], false),
            judge(8, &["a"], false),
        ]
    };
    assert_eq!(
        verdicts(users()),
        [true, false, true, true, false, false, true]
    );
    let all = users() + &list("b", None, &[8]);
    assert_eq!(verdicts(all), [true, true, true, true, false, false, false]);
    let for_cas = list("a", Some(CrlScope::CaCertsOnly), &[]);
    assert_eq!(verdicts(for_cas), [false; 7]);
}
