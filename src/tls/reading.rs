//! Reads files of certificates, keys and revocation lists.
//!
//! Owns which permissions such a file may have.

use std::path::Path;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{
    error::{Problem, TlsError},
    pem,
};
use crate::files::{Contents, TrackedFiles};

/// Reads a file that decides who is trusted, so not every user may write it.
pub(super) fn read(path: &Path, sources: &mut TrackedFiles) -> Result<Contents, TlsError> {
    let contents = open(path, sources)?;
    check_writers(path, &contents)?;
    Ok(contents)
}

pub(super) fn read_certificates(
    path: &Path,
    sources: &mut TrackedFiles,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    pem::certificates(&read(path, sources)?.bytes).map_err(|fault| TlsError::unusable(path, fault))
}

/// Reads a private key, which other users may not access unless `allow_loose_permissions`.
pub(super) fn read_key(
    path: &Path,
    allow_loose_permissions: bool,
    sources: &mut TrackedFiles,
) -> Result<PrivateKeyDer<'static>, TlsError> {
    let contents = open(path, sources)?;
    if contents.is_open_to_others() && !allow_loose_permissions {
        let problem = Problem::LoosePermissions(contents.mode & 0o777);
        return Err(TlsError::new(path, problem));
    }
    check_writers(path, &contents)?;
    pem::private_key(&contents.bytes).map_err(|fault| TlsError::unusable(path, fault))
}

fn open(path: &Path, sources: &mut TrackedFiles) -> Result<Contents, TlsError> {
    sources
        .read(path)
        .map_err(|error| TlsError::new(path, Problem::Read(error)))
}

fn check_writers(path: &Path, contents: &Contents) -> Result<(), TlsError> {
    if contents.is_writable_by_others() {
        return Err(TlsError::new(
            path,
            Problem::WritableByOthers(contents.mode),
        ));
    }
    Ok(())
}
