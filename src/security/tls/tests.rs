//! Handshakes in memory: what is agreed on, and who is refused.

use std::{fs, os::unix::fs::PermissionsExt};

use rustls::{
    ClientConnection, Error, NamedGroup, ProtocolVersion, ServerConnection, pki_types::ServerName,
};
use tempfile::TempDir;

use super::*;
use crate::security::issue::{Authority, CertificateRequest, IssuedFiles, Purpose, Validity};

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

fn authority() -> Authority {
    Authority::generate("test CA").unwrap()
}

/// Passes bytes to and fro until both are done, or the server refuses.
///
/// The client is made without the checks of [`client_config`]: the server's are what counts.
fn handshake(client: &Credentials, server: &Credentials) -> Result<ClientConnection, Error> {
    let chain = read_certificates(&client.certificate).unwrap();
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(TlsVersion::V1_2.and_newer())
        .unwrap()
        .with_root_certificates(client.roots().unwrap())
        .with_client_auth_cert(chain, client.read_key().unwrap())
        .unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
    let config = server_config(server, TlsVersion::V1_3).unwrap();
    let mut server = ServerConnection::new(Arc::new(config)).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut &bytes[..]).unwrap();
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut &bytes[..]).unwrap();
        client.process_new_packets().unwrap();
    }
    Ok(client)
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
    let client = handshake(&client.credentials(), &server.credentials()).unwrap();
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
    let now = chrono::Utc::now();
    let day = chrono::TimeDelta::days(1);
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
    let cases = [
        (&other, client(), "UnknownIssuer"),
        (&authority, of_purpose(Purpose::Server), "InvalidPurpose"),
        (&authority, of_purpose(Purpose::Unstated), "Other"),
        (&authority, of_time(now - day, now - day / 2), "Expired"),
        (&authority, of_time(now + day, now + day * 2), "NotValidYet"),
    ];
    for (issuer, request, expected) in cases {
        let side = Side::new(issuer, &request, &authority);
        let outcome = handshake(&side.credentials(), &server.credentials());
        let Err(Error::InvalidCertificate(reason)) = outcome else {
            panic!("{expected}: {outcome:?}");
        };
        assert!(
            format!("{reason:?}").starts_with(expected),
            "{expected}: {reason:?}"
        );
    }
    let outcome = handshake(
        &Side::new(&authority, &of_purpose(Purpose::Both), &authority).credentials(),
        &server.credentials(),
    );
    assert!(outcome.is_ok(), "{outcome:?}");
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
    let error = server_config(&credentials, TlsVersion::V1_3).unwrap_err();
    assert_eq!(error.path(), credentials.key);
    assert!(error.to_string().contains("chmod o= "), "{error}");
    credentials.allow_loose_key_permissions = true;
    assert!(server_config(&credentials, TlsVersion::V1_3).is_ok());

    let other = Side::new(
        &authority,
        &CertificateRequest::server("localhost"),
        &authority,
    );
    credentials.key = other.credentials().key;
    let error = server_config(&credentials, TlsVersion::V1_3).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("is not the key of the certificate"),
        "{error}"
    );
}
