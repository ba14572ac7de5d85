//! All that decides who is let in and who may do what, read and checked as one.
//!
//! Owns which files that is made of, and which of them are taken together or not at all.
//! Knows nothing of those who are here: the server has them judged anew.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    access::{AccessError, AccessRules},
    files::{TrackedFiles, Unreadable, WritableByOthers},
    tls::{ServerTls, ServerTlsFiles, TlsError},
    tokens::{SignedTokenKeys, TokenFileError, TokenPolicy, TokenStore},
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
    pub(crate) fn of_certificates(folder: &crate::pki::CertificateFolder) -> Self {
        Self {
            tls: ServerTlsFiles {
                credentials: crate::tls::Credentials {
                    ca: folder.ca(),
                    certificate: folder.certificate("server"),
                    key: folder.key("server"),
                    allow_loose_key_permissions: false,
                },
                oldest: crate::tls::TlsVersion::default(),
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

/// Files that answer one question, and are taken together or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// What the server proves itself with.
    Certificate,
    /// Whose clients are let in, and which of them are revoked.
    Authorities,
    /// Who may do what.
    Access,
    /// Which tokens are taken.
    Tokens,
    /// Whose signed tokens are taken.
    TokenKeys,
}

impl Group {
    /// The flags that name its files.
    #[must_use]
    pub const fn flags(self) -> &'static str {
        match self {
            Self::Certificate => "--cert, --key",
            Self::Authorities => "--ca, --crl",
            Self::Access => "--access",
            Self::Tokens => "--tokens",
            Self::TokenKeys => "--token-keys",
        }
    }
}

/// What was in the files of each group that is not as it is in force.
pub type Seen = BTreeMap<Group, TrackedFiles>;

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
    sources: BTreeMap<Group, TrackedFiles>,
}

/// What came of reading again.
#[derive(Debug)]
pub struct Reading {
    /// With all that changed and is in order; `None` where nothing is.
    pub policy: Option<Policy>,
    /// The groups with a fault, which stay as they were, each with its first.
    pub faults: Vec<(Group, PolicyError)>,
    /// What was seen, for the next look.
    pub seen: Seen,
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
    /// A file that anyone could change.
    #[error("{}", WritableByOthers(path, *mode))]
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
        let mut sources = BTreeMap::<Group, TrackedFiles>::new();
        let clients = files
            .tls
            .clients(None, sources.entry(Group::Authorities).or_default())?;
        let own = (files.tls).own_certificate(sources.entry(Group::Certificate).or_default())?;
        let access = files.rules(sources.entry(Group::Access).or_default())?;
        let store = files.store(sources.entry(Group::Tokens).or_default())?;
        let signed = files.signed(sources.entry(Group::TokenKeys).or_default())?;
        Ok(Self {
            tls: Arc::new(ServerTls::new(&files.tls, own, clients)?),
            access: Arc::new(access),
            tokens: Arc::new(TokenPolicy::new(store, signed)),
            files,
            sources,
        })
    }

    /// Reads and checks each group of files that has changed since this reading, and keeps the
    /// others, and those with a fault.
    ///
    /// With what the last look has seen, only what is still the same is taken or at fault: half of a
    /// file that is being written can be good. Without, whoever asks says that they are whole.
    #[must_use]
    pub fn read_again(&self, last_seen: Option<&Seen>) -> Reading {
        let (mut new, mut is_other) = (self.clone(), false);
        let (mut faults, mut seen) = (Vec::new(), Seen::new());
        for (&group, in_force) in &self.sources {
            if in_force.reread() == *in_force {
                continue;
            }
            let mut sources = TrackedFiles::default();
            let outcome = new.with(group, &mut sources);
            seen.insert(group, sources.clone());
            if last_seen.is_some_and(|last| last.get(&group) != Some(&sources)) {
                continue;
            }
            match outcome {
                Ok(with) => {
                    new = with;
                    new.sources.insert(group, sources);
                    is_other = true;
                }
                Err(fault) => faults.push((group, fault)),
            }
        }
        Reading {
            policy: is_other.then_some(new),
            faults,
            seen,
        }
    }

    /// The same with one group read anew.
    fn with(&self, group: Group, sources: &mut TrackedFiles) -> Result<Self, PolicyError> {
        let (mut new, files) = (self.clone(), &self.files);
        match group {
            Group::Certificate => {
                let own = files.tls.own_certificate(sources)?;
                let tls = ServerTls::new(&files.tls, own, self.tls.clients.clone())?;
                new.tls = Arc::new(tls);
            }
            Group::Authorities => {
                let clients = files.tls.clients(Some(&self.tls.clients), sources)?;
                let tls = ServerTls::new(&files.tls, self.tls.own.clone(), clients)?;
                new.tls = Arc::new(tls);
            }
            Group::Access => new.access = Arc::new(files.rules(sources)?),
            Group::Tokens => new.tokens = Arc::new(self.tokens.with_store(files.store(sources)?)),
            Group::TokenKeys => {
                new.tokens = Arc::new(self.tokens.with_signed(files.signed(sources)?));
            }
        }
        Ok(new)
    }

    /// The files of this reading whose content is not what it was in `before`.
    pub fn changed_since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = &'a Path> {
        let groups = self.sources.iter().zip(&before.sources);
        groups.flat_map(|((_, now), (_, before))| now.changed_since(before))
    }
}

impl PolicyFiles {
    fn rules(&self, sources: &mut TrackedFiles) -> Result<AccessRules, PolicyError> {
        match &self.access {
            Some(path) => Ok(AccessRules::parse(path, &read(path, sources)?)?),
            None => Ok(AccessRules::open()),
        }
    }

    fn store(&self, sources: &mut TrackedFiles) -> Result<Option<TokenStore>, PolicyError> {
        match &self.tokens {
            Some(path) => Ok(Some(TokenStore::parse(path, &read(path, sources)?)?)),
            None => Ok(None),
        }
    }

    fn signed(&self, sources: &mut TrackedFiles) -> Result<Option<SignedTokenKeys>, PolicyError> {
        let Some(TokenKeysFile {
            path,
            issuer,
            audience,
        }) = &self.token_keys
        else {
            return Ok(None);
        };
        let keys = read(path, sources)?;
        Ok(Some(SignedTokenKeys::parse(path, &keys, issuer, audience)?))
    }
}

fn read(path: &Path, sources: &mut TrackedFiles) -> Result<Vec<u8>, PolicyError> {
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

#[cfg(test)]
mod tests;
