//! Handshakes in memory, with certificates made for each test.

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
    anchors::root_store,
    client::ServerVerifier,
    credentials::provider,
    crl::RevocationLists,
    reading::{read_certificates, read_key},
    roots::TrustedCas,
};
use crate::{
    files::TrackedFiles,
    pki::{
        Authority, CertificateRequest, IssuedFiles, Purpose, Revocation, RevocationList,
        RevocationReason, Validity, inspect::CertificateSummary,
    },
    protocol::Code,
};

mod crls;
mod expiry;
mod files;
mod handshakes;
mod messages;
mod revocation;

const DAY: Duration = Duration::from_secs(24 * 3_600);

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

fn trusted_cas(side: &Credentials, sources: &mut TrackedFiles) -> Result<TrustedCas, TlsError> {
    TrustedCas::read(&side.ca, sources)
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
        .with_root_certificates(root_store(&trusted_cas(client, sources).unwrap().anchors))
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
