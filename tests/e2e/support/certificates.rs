use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use chrono::{TimeDelta, Utc};
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tempfile::TempDir;
use tidings::pki::{
    Authority, CertificateRequest, IssuedFiles, Revocation, RevocationList, RevocationReason,
    inspect::CertificateSummary,
};

/// The two files of one certificate.
pub(crate) type Files = IssuedFiles;

/// A CA of its own, a server's certificate for this machine, and clients as they are asked for: in
/// a folder as `tidings certs init` lays it out, gone with the test.
pub(crate) struct Certificates {
    folder: TempDir,
    pub(crate) authority: Authority,
    /// Two threads may ask for the same client.
    issuing: Mutex<()>,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let certificates = Self {
            folder: tempfile::tempdir().unwrap(),
            authority: Authority::generate("tests").unwrap(),
            issuing: Mutex::default(),
        };
        fs::write(certificates.ca(), certificates.authority.certificate_pem()).unwrap();
        certificates.issue("server", &Self::server_request());
        certificates
    }

    /// For `localhost` and `127.0.0.1`.
    pub(crate) fn server_request() -> CertificateRequest {
        let mut request = CertificateRequest::server("localhost");
        request.names.ips.push([127, 0, 0, 1].into());
        request
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder().join("ca.crt")
    }

    /// The files of `name`, made or not.
    pub(crate) fn files(&self, name: &str) -> Files {
        Files {
            certificate: self.folder().join(format!("{name}.crt")),
            key: self.folder().join(format!("{name}.key")),
        }
    }

    /// A certificate as asked, whatever the broker will think of it.
    pub(crate) fn issue(&self, name: &str, request: &CertificateRequest) -> Files {
        let files = self.files(name);
        self.authority
            .issue(request)
            .unwrap()
            .write(&files)
            .unwrap();
        files
    }

    /// The certificate of the client `name`, made when it is asked for first.
    pub(crate) fn client(&self, name: &str) -> Files {
        let _issuing = self.issuing.lock().unwrap();
        let files = self.files(name);
        if files.certificate.exists() {
            return files;
        }
        self.issue(name, &CertificateRequest::client(name))
    }

    /// The certificate of a client with this common name, whatever the broker will think of it.
    /// The files are named otherwise, as not every common name can name files.
    pub(crate) fn client_called(&self, file: &str, common_name: &str) -> Files {
        self.issue(file, &CertificateRequest::client(common_name))
    }

    /// The CA's revocation list; written by [`Self::revoke`] and [`Self::write_crl`].
    pub(crate) fn crl(&self) -> PathBuf {
        self.folder().join("ca.crl")
    }

    /// The list with these certificates on it and no others, current: in place at once, as a
    /// careful person would put it there.
    pub(crate) fn revoke(&self, names: &[&str]) -> PathBuf {
        let revoked: Vec<Files> = names.iter().map(|name| self.files(name)).collect();
        self.write_crl(&crl_of(&revoked, TimeDelta::days(1)))
    }

    /// Puts this in the place of the CA's list, signed.
    pub(crate) fn write_crl(&self, list: &RevocationList) -> PathBuf {
        let aside = self.folder().join("aside.crl");
        fs::write(&aside, self.authority.sign_crl(list).unwrap()).unwrap();
        fs::rename(&aside, self.crl()).unwrap();
        self.crl()
    }

    /// TLS of the client `name`.
    pub(crate) fn tls(&self, name: &str) -> Arc<ClientConfig> {
        tls_of(&self.ca(), Some(&self.client(name)))
    }
}

/// A list of these certificates, whoever issued them, that ends so long from now: to be signed by
/// any [`Authority`]. With a time below zero it has ended already.
pub(crate) fn crl_of(revoked: &[Files], ends_in: TimeDelta) -> RevocationList {
    let now = Utc::now();
    let revocation = |files: &Files| Revocation {
        serial: CertificateSummary::read(&files.certificate).unwrap()[0]
            .serial
            .parse()
            .unwrap(),
        since: now,
        reason: RevocationReason::KeyCompromise,
        invalid_since: None,
    };
    RevocationList {
        number: now.timestamp_millis().unsigned_abs(),
        this_update: now - TimeDelta::days(30),
        next_update: now + ends_in,
        revocations: revoked.iter().map(revocation).collect(),
    }
}

/// A client's TLS out of any files: unlike the library's, it takes what the broker must refuse.
pub(crate) fn tls_of(ca: &Path, files: Option<&Files>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(root.unwrap()).unwrap();
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match files {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let chain = CertificateDer::pem_file_iter(&files.certificate)
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.resumption = Resumption::disabled();
    Arc::new(config)
}
