//! A CA of the fuzzer's own, files of it for both sides, and signatures over whatever the fuzzer
//! makes up: past the signature is where most of the readers' work begins.
//!
//! The CA is the same in each run, made of a key that is no secret, so that an input that was
//! found once does the same in the next run.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use chrono::{DateTime, TimeZone, Utc};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SigningKey, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tempfile::TempDir;
use tidings::{
    pki::{
        Authority, CertificateFolder, CertificateRequest, RevocationList, ServerNames, Validity,
    },
    policy::{Policy, PolicyFiles},
    tls::{Credentials, ServerTls, ServerTlsFiles, TlsVersion},
};

use crate::oracle::check_message;

pub struct World {
    // Removes its files in the end.
    _folder: TempDir,
    pub certificates: CertificateFolder,
    pub authority: Authority,
    pub intermediate: Authority,
    key: KeyPair,
    /// The server's side with all of its files as they should be.
    pub tls: Arc<ServerTls>,
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

pub fn world() -> &'static World {
    &WORLD
}

/// As long as the CA is good, and so whenever an input is tried again.
pub fn valid() -> Validity {
    let year = |year| {
        Utc.with_ymd_and_hms(year, 1, 1, 0, 0, 0)
            .single()
            .expect("a date")
    };
    Validity {
        not_before: year(2021),
        not_after: year(2119),
    }
}

/// A moment in that time.
pub fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 31, 12, 0, 0)
        .single()
        .expect("a date")
}

/// PKCS#8 (RFC 8410) of an Ed25519 key that everybody knows.
pub fn ed25519_pkcs8() -> Vec<u8> {
    let key = [7; 32];
    [
        b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20",
        key.as_slice(),
    ]
    .concat()
}

impl World {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let certificates = CertificateFolder::new(folder.path());
        let key = key();
        let root = params("fuzz CA", 1);
        let root_pem = root.self_signed(&key).expect("a certificate").pem();
        // The same key again, so that what the fuzzer makes up can be signed for it as well.
        let intermediate = params("fuzz intermediate", 0)
            .signed_by(&key, &Issuer::from_params(&root, &key))
            .expect("a certificate")
            .pem();
        let write = |path: &Path, text: &str| write(path, text.as_bytes());
        write(&certificates.ca(), &root_pem);
        write(&certificates.key("ca"), &key.serialize_pem());
        // A list is taken only together with the certificate of who signed it.
        let with_root = format!("{intermediate}{root_pem}");
        write(&certificates.certificate("intermediate"), &with_root);
        let certificate_pem = intermediate;
        let authority = certificates.authority().expect("a CA");
        let intermediate = Authority::load(
            &certificates.certificate("intermediate"),
            &certificates.key("ca"),
        )
        .expect("a CA");
        certificates
            .init(valid(), &ServerNames::default())
            .expect("certificates");
        let list = RevocationList {
            number: 1,
            this_update: valid().not_before,
            next_update: valid().not_after,
            revocations: Vec::new(),
        };
        let list = intermediate.sign_crl(&list).expect("a list");
        write(
            &list_of_intermediate(&certificates),
            &format!("{list}{certificate_pem}"),
        );
        let tls = read_tls(files_in(&certificates)).expect("files that can be used");
        Self {
            _folder: folder,
            certificates,
            authority,
            intermediate,
            key,
            tls,
        }
    }

    /// Files that can be used.
    pub fn files(&self) -> ServerTlsFiles {
        files_in(&self.certificates)
    }

    /// A file with these contents, until the name is used again: each target has its own.
    pub fn file(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.certificates.path().join(name);
        write(&path, contents);
        path
    }

    /// What the fuzzer made up, a certificate's or a list's content, signed by the CA.
    pub fn sign(&self, content: &[u8]) -> Vec<u8> {
        const ED25519: &[u8] = &[0x30, 5, 6, 3, 0x2b, 0x65, 0x70];
        let signature = self.key.sign(content).expect("a signature");
        let signature = der(0x03, &[&[0], &signature]);
        der(0x30, &[content, ED25519, &signature])
    }

    /// Whether the CA has signed this certificate or list. Its signatures are the same each time.
    pub fn has_signed(&self, signed: &[u8]) -> bool {
        let parts = |whole| elements(inside(elements(whole).first().copied().unwrap_or_default()));
        let [content, _, signature] = parts(signed)[..] else {
            return false;
        };
        parts(&self.sign(content))[2] == signature
    }

    /// A client's certificate and those that lead to the CA.
    pub fn chain(&self, name: &str) -> Vec<CertificateDer<'static>> {
        let pem = fs::read(self.certificates.certificate(name)).expect("a certificate");
        CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .expect("PEM")
    }

    pub fn private_key(&self, name: &str) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(self.certificates.key(name)).expect("a key")
    }
}

/// As `serve` reads them.
pub fn read_tls(files: ServerTlsFiles) -> Result<Arc<ServerTls>, String> {
    let files = PolicyFiles {
        tls: files,
        access: None,
        tokens: None,
        token_keys: None,
    };
    match Policy::read(files) {
        Ok(policy) => Ok(policy.tls),
        Err(fault) => Err(check_message(&fault)),
    }
}

fn files_in(certificates: &CertificateFolder) -> ServerTlsFiles {
    ServerTlsFiles {
        credentials: Credentials {
            ca: certificates.ca(),
            certificate: certificates.certificate("server"),
            key: certificates.key("server"),
            allow_loose_key_permissions: false,
        },
        oldest: TlsVersion::V1_2,
        record_bytes_max: 16 * 1024,
        crls: vec![certificates.crl(), list_of_intermediate(certificates)],
    }
}

fn list_of_intermediate(certificates: &CertificateFolder) -> PathBuf {
    certificates.path().join("intermediate.crl")
}

fn write(path: &Path, contents: &[u8]) {
    fs::write(path, contents).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode");
}

fn key() -> KeyPair {
    KeyPair::try_from(ed25519_pkcs8()).expect("a key")
}

fn params(name: &str, intermediates: u8) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(intermediates));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2120, 1, 1);
    params.serial_number = Some(u64::from(intermediates + 1).into());
    params
}

/// For a client, good as long as the CA.
pub fn request(name: &str) -> CertificateRequest {
    let mut request = CertificateRequest::client(name);
    request.valid = valid();
    request
}

/// The contents of PEM blocks, one after the other.
pub fn contents_of(pem: &str) -> Vec<Vec<u8>> {
    let blocks = pem::parse_many(pem).expect("PEM");
    blocks.into_iter().map(pem::Pem::into_contents).collect()
}

/// What of a certificate or list is signed.
pub fn signed_part(whole: &[u8]) -> Vec<u8> {
    let parts = elements(inside(whole));
    parts.first().expect("a content").to_vec()
}

/// Of less than 16 MiB.
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut whole = vec![tag];
    let length = (content.len() as u32).to_be_bytes();
    match content.len() {
        0..0x80 => whole.push(length[3]),
        0x80..0x100 => whole.extend([0x81, length[3]]),
        0x100..0x1_0000 => whole.extend([0x82, length[2], length[3]]),
        _ => whole.extend([0x83, length[1], length[2], length[3]]),
    }
    whole.extend(content);
    whole
}

/// DER elements that stand one after the other. The last may be garbled.
pub fn elements(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut elements = Vec::new();
    while !bytes.is_empty() {
        let (heading, length) = heading(bytes).unwrap_or((0, bytes.len()));
        let (element, rest) = bytes.split_at(bytes.len().min(heading.saturating_add(length)));
        elements.push(element);
        bytes = rest;
    }
    elements
}

fn inside(element: &[u8]) -> &[u8] {
    heading(element)
        .and_then(|(heading, length)| element.get(heading..heading.checked_add(length)?))
        .unwrap_or_default()
}

/// How long a heading is, and the content that it tells of.
fn heading(element: &[u8]) -> Option<(usize, usize)> {
    let first = *element.get(1)?;
    if first < 0x80 {
        return Some((2, first.into()));
    }
    let bytes = usize::from(first & 0x7f);
    let length = element.get(2..2 + bytes)?;
    let length = length.iter().try_fold(0_usize, |length, byte| {
        length.checked_mul(256)?.checked_add(usize::from(*byte))
    })?;
    Some((2 + bytes, length))
}
