//! Files of certificates, keys and revocation lists that cannot be used.

use super::*;

#[test]
fn a_list_of_another_ca_does_not_count() {
    let authority = authority();
    let side = server_of(&authority);
    let client = client_of(&authority, "alice");
    let with_list_of = |name| {
        let other = Authority::generate(name).unwrap();
        let crls = [side.with("ca.crl", list_of(&other, &[&client], TimeDelta::days(1)))];
        read_server(&side.credentials(), &crls)
    };
    let fault = with_list_of("test CA").unwrap_err().to_string();
    assert!(fault.contains("signed by another key"), "{fault}");
    let fault = with_list_of("another \u{202e}CA").unwrap_err();
    let text = fault.to_string();
    assert_eq!(fault.path(), side.folder.path().join("ca.crl"));
    assert!(
        text.contains(r#""CN=another \u{202e}CA""#) && text.contains("ca.crt"),
        "{text}"
    );
}

#[test]
fn what_is_no_ca_is_not_taken_for_an_authority() {
    let authority = authority();
    let side = server_of(&authority);
    let client = client_of(&authority, "mallory");
    let own = fs::read_to_string(client.credentials().certificate).unwrap();
    side.with("ca.crt", format!("{}{own}", authority.certificate_pem()));
    let fault = read_server(&side.credentials(), &[])
        .unwrap_err()
        .to_string();
    for expected in [
        "certificate 2 in ",
        "ca.crt",
        "\"CN=mallory\"",
        "is not a CA",
    ] {
        assert!(fault.contains(expected), "{fault}");
    }
    // A client is told likewise.
    assert!(client_config(&side.credentials()).is_err());

    // One that signed itself is none either, when it can say so.
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    for (is_ca, expected) in [
        (IsCa::NoCa, false),
        (IsCa::ExplicitNoCa, false),
        (IsCa::Ca(BasicConstraints::Unconstrained), true),
    ] {
        params.is_ca = is_ca;
        side.with("ca.crt", params.self_signed(&key).unwrap().pem());
        let authorities = trusted_cas(&side.credentials(), &mut TrackedFiles::default());
        assert_eq!(authorities.is_ok(), expected);
    }
}

#[test]
fn a_root_of_version_1_is_taken_at_its_word() {
    let side = Side {
        folder: TempDir::new().unwrap(),
    };
    let taken = |pem: &str| {
        side.with("ca.crt", pem);
        trusted_cas(&side.credentials(), &mut TrackedFiles::default()).is_ok()
    };
    assert!(taken(V1_ROOT));
    assert!(!taken(V1_ISSUED));
}

#[test]
fn a_file_that_was_cut_off_is_told_in_words() {
    let authority = authority();
    let side = server_of(&authority);
    for name in ["ca.crt", "own.crt", "own.key"] {
        let whole = fs::read_to_string(side.folder.path().join(name)).unwrap();
        let path = side.folder.path().join(name);
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let fault = read_server(&side.credentials(), &[]).unwrap_err();
        assert_eq!(fault.path(), path);
        assert!(
            fault.to_string().contains("line 1 is garbled or cut off: "),
            "{fault}"
        );
        fs::write(&path, whole).unwrap();
    }
    let crls = [side.folder.path().join("missing.crl")];
    let fault = read_server(&side.credentials(), &crls).unwrap_err();
    assert!(
        fault.to_string().contains("check that it exists"),
        "{fault}"
    );
}

#[test]
fn a_chain_that_no_peer_takes_is_refused() {
    let authority = authority();
    let side = server_of(&authority);
    let own = fs::read_to_string(side.credentials().certificate).unwrap();
    side.with("own.crt", own.repeat(20));
    assert!(read_server(&side.credentials(), &[]).is_ok());
    side.with("own.crt", own.repeat(300));
    let fault = read_server(&side.credentials(), &[])
        .unwrap_err()
        .to_string();
    assert!(
        fault.contains("own.crt") && fault.contains("64 KiB"),
        "{fault}"
    );
}

#[test]
fn a_list_that_is_not_fit_to_judge_by_is_refused_by_name() {
    let authority = authority();
    let side = server_of(&authority);
    let day = TimeDelta::days(1);
    let good = list_of(&authority, &[], day);
    let der = CertificateRevocationListDer::from_pem_slice(good.as_bytes()).unwrap();
    let stale = list_of(&authority, &[], -TimeDelta::seconds(1));
    let newer = list_of(&authority, &[&side], day);
    let (lines, key): (Vec<&str>, _) = (good.lines().collect(), authority.key_pem());
    let shortened = format!("{}\n{}\n{}\n", lines[0], lines[1], lines[lines.len() - 1]);
    let half_more = format!("{good}{}", &good[..good.len() / 2]);
    let two = format!("{good}{newer}");
    let cases: [(&[u8], &str); 11] = [
        (b"", "BEGIN X509 CRL line"),
        (b"garbage", "BEGIN X509 CRL line"),
        (key.as_bytes(), "\"PRIVATE KEY\""),
        (&good.as_bytes()[..good.len() / 2], "garbled or cut off"),
        (shortened.as_bytes(), "garbled or cut off"),
        (&der[..der.len() - 1], "garbled or cut off"),
        (&[&der[..], b"\n"].concat(), "something follows its end"),
        (half_more.as_bytes(), "garbled or cut off"),
        (stale.as_bytes(), "tidings certs renew"),
        (two.as_bytes(), "give the newest alone"),
        (&without_next_update(&der), "(nextUpdate)"),
    ];
    for (contents, expected) in cases {
        let crls = [side.with("ca.crl", contents)];
        let error = read_server(&side.credentials(), &crls).unwrap_err();
        assert_eq!(error.path(), crls[0], "{expected}");
        let text = error.to_string();
        assert!(text.contains(expected), "{expected}: {text}");
        assert!(text.contains("ca.crl") && !text.contains('\n'), "{text}");
    }
    let missing = side.folder.path().join("missing.crl");
    let error = read_server(&side.credentials(), &[missing]).unwrap_err();
    assert!(error.to_string().contains("missing.crl"), "{error}");
}

/// Cuts the second time out of a list, and takes it off the two lengths around it.
fn without_next_update(der: &[u8]) -> Vec<u8> {
    const TIME: &[u8] = &[0x17, 13];
    let second = (0..der.len())
        .filter(|at| der[*at..].starts_with(TIME))
        .nth(1)
        .unwrap();
    let mut der = der.to_vec();
    der.drain(second..second + 15);
    // The length of the whole is the one byte after 0x81, that of what is signed is one byte.
    assert_eq!((der[0], der[1], der[3]), (0x30, 0x81, 0x30));
    assert!(der[4] < 0x80);
    der[2] -= 15;
    der[4] -= 15;
    der
}

#[test]
fn names_the_file_and_the_remedy() {
    let authority = authority();
    let side = Side::new(
        &authority,
        &CertificateRequest::server("localhost"),
        &authority,
    );
    let mut credentials = side.credentials();
    fs::set_permissions(&credentials.key, fs::Permissions::from_mode(0o604)).unwrap();
    let error = read_server(&credentials, &[]).unwrap_err();
    assert_eq!(error.path(), credentials.key);
    assert!(error.to_string().contains("chmod o= "), "{error}");
    credentials.allow_loose_key_permissions = true;
    assert!(read_server(&credentials, &[]).is_ok());

    let other = Side::new(
        &authority,
        &CertificateRequest::server("localhost"),
        &authority,
    );
    credentials.key = other.credentials().key;
    let error = read_server(&credentials, &[]).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is not the key of the certificate"),
        "{error}"
    );
}
