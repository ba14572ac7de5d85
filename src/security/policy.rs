//! All that decides who is let in and who may do what, read and checked as one.
//!
//! Owns which files that is made of, and that a change of them is taken whole or not at all.
//! Knows nothing of those who are here: the server has them judged anew.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use super::{
    ServerTls, ServerTlsFiles, Sources, TlsError, Unreadable,
    access::{AccessError, AccessRules},
    tokens::{SignedTokenKeys, TokenBook, TokenFileError, TokenPolicy},
};

/// Where the policy is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFiles {
    /// Certificates, key, authorities and what they revoked.
    pub tls: ServerTlsFiles,
    /// Access rules; `None` lets everyone do everything.
    pub access: Option<PathBuf>,
    /// The hashes of tokens.
    pub tokens: Option<PathBuf>,
    /// The keys of signed tokens.
    pub token_keys: Option<TokenKeysFile>,
}

#[cfg(test)]
impl PolicyFiles {
    /// With the certificates of a folder and nothing more.
    pub(crate) fn of_certificates(folder: &super::issue::CertificateFolder) -> Self {
        Self {
            tls: ServerTlsFiles {
                credentials: super::Credentials {
                    ca: folder.ca(),
                    certificate: folder.certificate("server"),
                    key: folder.key("server"),
                    allow_loose_key_permissions: false,
                },
                oldest: super::TlsVersion::default(),
                record_bytes_max: 16 * 1024,
                crls: Vec::new(),
            },
            access: None,
            tokens: None,
            token_keys: None,
        }
    }
}

/// Where the keys of signed tokens are, and what such a token must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKeysFile {
    /// A JSON Web Key Set (RFC 7517).
    pub path: PathBuf,
    /// Who must have issued the token: its `iss`.
    pub issuer: String,
    /// Whom it must be meant for: in its `aud`.
    pub audience: String,
}

/// What decides, as of one reading. Parts that did not change from one reading to the next are the
/// same parts, which pointers tell.
#[derive(Clone, Debug)]
pub struct Policy {
    /// TLS, and who is let through it.
    pub tls: Arc<ServerTls>,
    /// Who may do what.
    pub access: Arc<AccessRules>,
    /// What a client proves itself with beside its certificate.
    pub tokens: Arc<TokenPolicy>,
    files: PolicyFiles,
    tls_sources: Sources,
    access_sources: Sources,
    token_sources: Sources,
}

/// A file of the policy cannot be used. One line: the file, the place, the fault, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Of TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The access rules.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The tokens, or the keys of signed ones.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// Rules or tokens that anyone could change.
    #[error(
        "every user of this machine can write to {path} (mode {mode:04o}), and so decide who may do what: run `chmod o-w {path}`",
        path = path.display()
    )]
    WritableByOthers {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Any of them cannot be read.
    #[error("{}", Unreadable(path, cause))]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
}

impl Policy {
    /// Reads and checks everything.
    ///
    /// # Errors
    ///
    /// The first fault.
    pub fn read(files: PolicyFiles) -> Result<Self, PolicyError> {
        let (tls, tls_sources) = read_tls(&files.tls)?;
        let (access, access_sources) = read_access(files.access.as_deref())?;
        let (tokens, token_sources) = read_tokens(&files)?;
        Ok(Self {
            files,
            tls,
            access,
            tokens,
            tls_sources,
            access_sources,
            token_sources,
        })
    }

    /// Reads and checks what changed since this reading, and keeps the rest; `None` where all of it
    /// is as it was.
    ///
    /// # Errors
    ///
    /// The first fault. This policy is as it was.
    pub fn read_again(&self) -> Result<Option<Self>, PolicyError> {
        let (mut new, files) = (self.clone(), &self.files);
        let mut is_other = false;
        if self.is_tls_outdated() {
            (new.tls, new.tls_sources) = read_tls(&files.tls)?;
            is_other = true;
        }
        if is_changed(&self.access_sources) {
            (new.access, new.access_sources) = read_access(files.access.as_deref())?;
            is_other = true;
        }
        if is_changed(&self.token_sources) {
            (new.tokens, new.token_sources) = read_tokens(files)?;
            is_other = true;
        }
        Ok(is_other.then_some(new))
    }

    /// An authority that ends is left out from then on, though its file is the same.
    fn is_tls_outdated(&self) -> bool {
        let ends = self.tls.authorities_end;
        ends.is_some_and(|end| end <= SystemTime::now()) || is_changed(&self.tls_sources)
    }

    /// The files of this reading whose content is not what it was in `before`.
    pub fn changed_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a Path> {
        let parts = [
            (&self.tls_sources, &before.tls_sources),
            (&self.access_sources, &before.access_sources),
            (&self.token_sources, &before.token_sources),
        ];
        parts
            .into_iter()
            .flat_map(|(now, before)| now.changed_since(before))
    }
}

fn is_changed(sources: &Sources) -> bool {
    sources.look_again() != *sources
}

fn read_tls(files: &ServerTlsFiles) -> Result<(Arc<ServerTls>, Sources), PolicyError> {
    let mut sources = Sources::default();
    let tls = ServerTls::read(files, &mut sources)?;
    Ok((Arc::new(tls), sources))
}

fn read_access(file: Option<&Path>) -> Result<(Arc<AccessRules>, Sources), PolicyError> {
    let mut sources = Sources::default();
    let rules = match file {
        Some(path) => AccessRules::parse(path, &read(path, &mut sources)?)?,
        None => AccessRules::open(),
    };
    Ok((Arc::new(rules), sources))
}

fn read_tokens(files: &PolicyFiles) -> Result<(Arc<TokenPolicy>, Sources), PolicyError> {
    let mut sources = Sources::default();
    let book = match &files.tokens {
        Some(path) => Some(TokenBook::parse(path, &read(path, &mut sources)?)?),
        None => None,
    };
    let signed = match &files.token_keys {
        Some(TokenKeysFile {
            path,
            issuer,
            audience,
        }) => {
            let keys = read(path, &mut sources)?;
            Some(SignedTokenKeys::parse(path, &keys, issuer, audience)?)
        }
        None => None,
    };
    Ok((Arc::new(TokenPolicy::new(book, signed)), sources))
}

fn read(path: &Path, sources: &mut Sources) -> Result<Vec<u8>, PolicyError> {
    let contents = sources.read(path).map_err(|cause| PolicyError::Read {
        path: path.to_owned(),
        cause,
    })?;
    if contents.is_writable_by_others() {
        return Err(PolicyError::WritableByOthers {
            path: path.to_owned(),
            mode: contents.mode,
        });
    }
    Ok(contents.bytes)
}
