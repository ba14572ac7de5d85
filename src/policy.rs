//! The policy: everything that decides which clients are admitted and what they may do.
//!
//! Owns the files that the policy is read from, and which of them apply together or not at all. Knows
//! nothing about connected clients: the server reevaluates them.

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

/// The files of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFiles {
    /// Certificates, key, CAs and revocation lists.
    pub tls: ServerTlsFiles,
    /// Access rules; `None` lets every client do everything.
    pub access: Option<PathBuf>,
    /// The token store.
    pub tokens: Option<PathBuf>,
    /// The keys of signed tokens.
    pub token_keys: Option<TokenKeysFile>,
}

#[cfg(test)]
impl PolicyFiles {
    /// Only the certificates of a folder.
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

/// The file with the keys of signed tokens, and what such a token must claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKeysFile {
    /// A JSON Web Key Set (RFC 7517).
    pub path: PathBuf,
    /// The required `iss` of a token.
    pub issuer: String,
    /// The required `aud` of a token.
    pub audience: String,
}

/// Files that apply together or not at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileGroup {
    /// The server's certificate and key.
    Certificate,
    /// The CAs of clients, and their revocation lists.
    Authorities,
    /// The access rules.
    Access,
    /// The token store.
    Tokens,
    /// The keys of signed tokens.
    TokenKeys,
}

impl FileGroup {
    /// The flags that name the files.
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

/// The groups whose files differ from the policy in force, with what was found in them.
pub type ChangedGroups = BTreeMap<FileGroup, TrackedFiles>;

/// The policy as its files were read at one time. A part whose files have not changed is the same `Arc`
/// in the next policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// TLS, and which certificates it accepts.
    pub tls: Arc<ServerTls>,
    /// The access rules.
    pub access: Arc<AccessRules>,
    /// Which tokens are valid.
    pub tokens: Arc<TokenPolicy>,
    files: PolicyFiles,
    sources: BTreeMap<FileGroup, TrackedFiles>,
}

/// The result of reading the policy again.
#[derive(Debug)]
pub struct Reread {
    /// The new policy with all changes that are valid; `None` if there are none.
    pub policy: Option<Policy>,
    /// The groups with an error, which stay as they were, each with its first error.
    pub errors: Vec<(FileGroup, PolicyError)>,
    /// What was found, for the next call.
    pub changed: ChangedGroups,
}

/// A file of the policy that cannot be used. The message is one line with file, place, error and
/// remedy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// A file of TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The access file.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The token store, or the keys of signed tokens.
    #[error(transparent)]
    Tokens(#[from] TokenFileError),
    /// A file that every user of this machine can write to.
    #[error("{}", WritableByOthers(path, *mode))]
    WritableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file that cannot be read.
    #[error("{}", Unreadable(path, cause))]
    Read {
        /// The file.
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
    /// The first error.
    pub fn read(files: PolicyFiles) -> Result<Self, PolicyError> {
        let mut sources = BTreeMap::<FileGroup, TrackedFiles>::new();
        let clients = files
            .tls
            .clients(None, sources.entry(FileGroup::Authorities).or_default())?;
        let own =
            (files.tls).own_certificate(sources.entry(FileGroup::Certificate).or_default())?;
        let access = files.rules(sources.entry(FileGroup::Access).or_default())?;
        let store = files.store(sources.entry(FileGroup::Tokens).or_default())?;
        let signed = files.signed(sources.entry(FileGroup::TokenKeys).or_default())?;
        Ok(Self {
            tls: Arc::new(ServerTls::new(&files.tls, own, clients)?),
            access: Arc::new(access),
            tokens: Arc::new(TokenPolicy::new(store, signed)),
            files,
            sources,
        })
    }

    /// Reads and checks each group of files that has changed, and keeps the others and those with an
    /// error.
    ///
    /// `last` is what the previous call found. A group counts only if its files have not changed since
    /// then, because half of a file that is still being written can be valid. With `None`, the caller
    /// vouches that all files are complete.
    #[must_use]
    pub fn reread(&self, last: Option<&ChangedGroups>) -> Reread {
        let (mut new, mut is_new) = (self.clone(), false);
        let (mut errors, mut changed) = (Vec::new(), ChangedGroups::new());
        for (&group, in_force) in &self.sources {
            if in_force.reread() == *in_force {
                continue;
            }
            let mut sources = TrackedFiles::default();
            let outcome = new.with(group, &mut sources);
            changed.insert(group, sources.clone());
            if last.is_some_and(|last| last.get(&group) != Some(&sources)) {
                continue;
            }
            match outcome {
                Ok(with) => {
                    new = with;
                    new.sources.insert(group, sources);
                    is_new = true;
                }
                Err(error) => errors.push((group, error)),
            }
        }
        Reread {
            policy: is_new.then_some(new),
            errors,
            changed,
        }
    }

    /// The same policy with one group read again.
    fn with(&self, group: FileGroup, sources: &mut TrackedFiles) -> Result<Self, PolicyError> {
        let (mut new, files) = (self.clone(), &self.files);
        match group {
            FileGroup::Certificate => {
                let own = files.tls.own_certificate(sources)?;
                let tls = ServerTls::new(&files.tls, own, self.tls.clients.clone())?;
                new.tls = Arc::new(tls);
            }
            FileGroup::Authorities => {
                let clients = files.tls.clients(Some(&self.tls.clients), sources)?;
                let tls = ServerTls::new(&files.tls, self.tls.own.clone(), clients)?;
                new.tls = Arc::new(tls);
            }
            FileGroup::Access => new.access = Arc::new(files.rules(sources)?),
            FileGroup::Tokens => {
                new.tokens = Arc::new(self.tokens.with_store(files.store(sources)?))
            }
            FileGroup::TokenKeys => {
                new.tokens = Arc::new(self.tokens.with_signed(files.signed(sources)?));
            }
        }
        Ok(new)
    }

    /// The files whose content differs from `before`.
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
