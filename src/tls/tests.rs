//! Handshakes in memory: what is agreed on, and who is refused.

use std::{
    fs, io, iter,
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use chrono::{TimeDelta, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CrlDistributionPoint,
    CrlIssuingDistributionPoint, CrlScope, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, SerialNumber, date_time_ymd,
};
use rustls::{
    ClientConfig, ClientConnection, NamedGroup, ProtocolVersion, ServerConnection,
    client::danger::ServerCertVerifier,
    pki_types::{
        CertificateDer, CertificateRevocationListDer, ServerName, UnixTime, pem::PemObject,
    },
    sign::{CertifiedKey, SingleCertAndKey},
};
use tempfile::TempDir;

use super::*;
use super::{
    client::TrustInServers,
    credentials::provider,
    crl::RevocationLists,
    reading::{read_certificates, read_key},
    roots::Authorities,
    trust::roots_of,
};
use crate::{
    files::TrackedFiles,
    pki::{
        Authority, CertificateRequest, IssuedFiles, Purpose, Revocation, RevocationList,
        RevocationReason, Validity, inspect::CertificateSummary,
    },
    protocol::Code,
};

mod lists;
mod words;

struct Side {
    folder: TempDir,
}

impl Side {
    /// The files of one side: its own certificate, and the authority that it trusts.
    fn new(issuer: &Authority, request: &CertificateRequest, trusted: &Authority) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("ca.crt"), trusted.certificate_pem()).unwrap();
        let files = IssuedFiles {
            certificate: folder.path().join("own.crt"),
            key: folder.path().join("own.key"),
        };
        issuer.issue(request).unwrap().write(&files).unwrap();
        Self { folder }
    }

    fn credentials(&self) -> Credentials {
        let file = |name: &str| self.folder.path().join(name);
        Credentials {
            ca: file("ca.crt"),
            certificate: file("own.crt"),
            key: file("own.key"),
            allow_loose_key_permissions: false,
        }
    }
}

fn authorities(side: &Credentials, sources: &mut TrackedFiles) -> Result<Authorities, TlsError> {
    Authorities::read(&side.ca, sources)
}

fn authority() -> Authority {
    Authority::generate("test CA").unwrap()
}

fn read_server(server: &Credentials, crls: &[PathBuf]) -> Result<ServerTls, TlsError> {
    let files = ServerTlsFiles {
        credentials: server.clone(),
        oldest: TlsVersion::V1_3,
        record_bytes_max: 16 * 1024,
        crls: crls.to_vec(),
    };
    let sources = &mut TrackedFiles::default();
    let clients = files.clients(None, sources)?;
    ServerTls::new(&files, files.own_certificate(sources)?, clients)
}

/// Passes bytes to and fro until both are done, or the server refuses.
///
/// The client is made without the checks of [`client_config`]: the server's are what counts.
fn handshake(client: &Credentials, server: &ServerTls) -> Result<ClientConnection, io::Error> {
    let sources = &mut TrackedFiles::default();
    let chain = read_certificates(&client.certificate, sources).unwrap();
    let key = read_key(&client.key, true, sources).unwrap();
    let key = provider().key_provider.load_private_key(key).unwrap();
    let pair = CertifiedKey::new(chain, key);
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(TlsVersion::V1_2.and_newer())
        .unwrap()
        .with_root_certificates(roots_of(&authorities(client, sources).unwrap().anchors))
        .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
    shake_hands(config, server)
}

fn shake_hands(client: ClientConfig, server: &ServerTls) -> Result<ClientConnection, io::Error> {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(Arc::clone(&server.config)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            // As the stream of the server hands it on.
            server
                .process_new_packets()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut &bytes[..]).unwrap();
        client.process_new_packets().unwrap();
    }
    Ok(client)
}

fn chain_of(side: &Side) -> Vec<CertificateDer<'static>> {
    read_certificates(
        &side.credentials().certificate,
        &mut TrackedFiles::default(),
    )
    .unwrap()
}

/// A list of `authority` with the certificates of these sides on it.
fn list_of(authority: &Authority, revoked: &[&Side], ends_in: TimeDelta) -> String {
    let serials = revoked.iter().map(|side| {
        let path = side.credentials().certificate;
        CertificateSummary::read(&path).unwrap().remove(0).serial
    });
    list_of_serials(authority, serials, ends_in)
}

fn list_of_serials(
    authority: &Authority,
    serials: impl Iterator<Item = String>,
    ends_in: TimeDelta,
) -> String {
    let now = Utc::now();
    let list = RevocationList {
        number: 7,
        this_update: now - TimeDelta::days(60),
        next_update: now + ends_in,
        revocations: serials
            .map(|serial| Revocation {
                serial: serial.parse().unwrap(),
                since: now,
                reason: RevocationReason::KeyCompromise,
                invalid_since: None,
            })
            .collect(),
    };
    authority.sign_crl(&list).unwrap()
}

impl Side {
    fn with(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, contents).unwrap();
        path
    }
}

fn server_of(authority: &Authority) -> Side {
    Side::new(
        authority,
        &CertificateRequest::server("localhost"),
        authority,
    )
}

fn client_of(authority: &Authority, name: &str) -> Side {
    Side::new(authority, &CertificateRequest::client(name), authority)
}

fn refusal(client: &Side, server: &ServerTls) -> (String, Option<Code>) {
    let error = handshake(&client.credentials(), server).unwrap_err();
    // Whoever is in already is judged likewise.
    let judged = server.clients.verify(&chain_of(client), SystemTime::now());
    let reason = tls_refusal(&error);
    match (refusal_code(&error), judged.unwrap_err()) {
        (Some(Code::CertificateRevoked), ClientCertificateError::Revoked)
        | (Some(Code::CertificateExpired), ClientCertificateError::Expired) => {}
        (None, ClientCertificateError::Other(text) | ClientCertificateError::StaleCrl(text)) => {
            assert_eq!(text, reason);
        }
        (code, judged) => panic!("{code:?} at the door, {judged:?} inside"),
    }
    (reason, refusal_code(&error))
}

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
    let authorities = authorities(&client.credentials(), &mut TrackedFiles::default());
    let roots = roots_of(&authorities.unwrap().anchors);
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
        assert!(reason.contains("fit together in more ways"), "{reason}");
    }
}

#[test]
fn what_is_no_tls_is_told_escaped() {
    let error = io::Error::other("a\nb\u{202e}");
    assert_eq!(tls_refusal(&error), r"a\nb\u{202e}");
    assert_eq!(refusal_code(&error), None);
}

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
        let authorities = authorities(&side.credentials(), &mut TrackedFiles::default());
        assert_eq!(authorities.is_ok(), expected);
    }
}

/// Made by openssl, good until 2126: a certificate without extensions that signed itself, and one
/// that it signed.
const V1_ROOT: &str = "\
-----BEGIN CERTIFICATE-----
MIIBEDCBtgIBATAKBggqhkjOPQQDAjATMREwDwYDVQQDDAhvbGQgcm9vdDAgFw0y
NjExMjMwMDE0MjFaGA8yMTI2MTAzMDAwMTQyMVowEzERMA8GA1UEAwwIb2xkIHJv
b3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQSf7bPs6RlTUodAmWm1LyvZqy5
VsTftECj82fB2BOmjWU+9lf5G9DddndOWIfoJNOuezaERxoAtBBgPLDQW8MSMAoG
CCqGSM49BAMCA0kAMEYCIQCPhQ1tRnYM8Xl57x7zL6CbZm7e4OS3NQdKftmpZ6EX
RgIhAKyuYeCuNgWMBkiCur13CJM+GHG1Jxxx0CjoA/rsb68J
-----END CERTIFICATE-----
";
const V1_ISSUED: &str = "\
-----BEGIN CERTIFICATE-----
MIIBCzCBsgIBAjAKBggqhkjOPQQDAjATMREwDwYDVQQDDAhvbGQgcm9vdDAgFw0y
NjExMjMwMDE0MjJaGA8yMTI2MTAzMDAwMTQyMlowDzENMAsGA1UEAwwEbGVhZjBZ
MBMGByqGSM49AgEGCCqGSM49AwEHA0IABBJ/ts+zpGVNSh0CZabUvK9mrLlWxN+0
QKPzZ8HYE6aNZT72V/kb0N12d05Yh+gk0657NoRHGgC0EGA8sNBbwxIwCgYIKoZI
zj0EAwIDSAAwRQIgBsQacgKEamLHFfH/+E1alDpeHDgTeWjOALofu8KpFkoCIQCt
VJuGdX8ps6JdOABLLgqT762VM1DsFpeDvAnV1DNJPA==
-----END CERTIFICATE-----
";

#[test]
fn a_root_of_version_1_is_taken_at_its_word() {
    let side = Side {
        folder: TempDir::new().unwrap(),
    };
    let taken = |pem: &str| {
        side.with("ca.crt", pem);
        authorities(&side.credentials(), &mut TrackedFiles::default()).is_ok()
    };
    assert!(taken(V1_ROOT));
    assert!(!taken(V1_ISSUED));
}

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
            ("the authority \"CN=root\"", file("ca.crt")),
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
    assert!(fault.to_string().contains("typed right"), "{fault}");
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

const DAY: Duration = Duration::from_secs(24 * 3_600);

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
    let authorities = authorities(&side.credentials(), &mut TrackedFiles::default());
    let servers = TrustInServers::new(authorities.unwrap().anchors, provider()).unwrap();
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
    let authorities = authorities(&side.credentials(), sources).unwrap();
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
