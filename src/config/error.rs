//! Why settings cannot be used.

use super::origin::Setting;

/// The settings contradict each other, or something is missing. One line, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value that its setting does not accept.
    #[error("{0}")]
    Value(String),
    /// A value for a setting that does not exist.
    #[error("{0}: there is no setting called {key}", key = .0.key)]
    UnknownKey(Setting),
    /// A certificate, its key or the CAs are not named.
    #[error(
        "serve needs --ca, --cert and --key; to try tidings out, `tidings serve --dev` creates its own certificates"
    )]
    NoCertificates,
    /// Signed tokens would be accepted from any issuer, or for any audience.
    #[error(
        "{0} needs --token-issuer and --token-audience: without them, a token for any other service would be accepted"
    )]
    TokenKeysWithoutNames(Setting),
    /// There is no token to which this could apply.
    #[error("{0} needs --token-keys: it applies to signed tokens")]
    TokenNameWithoutKeys(Setting),
    /// The process may not open the files that a single client would need.
    #[error(
        "the limit of open files is {0}, and 256 are kept in reserve: raise it (`ulimit -n`, or LimitNOFILE= in the unit)"
    )]
    TooFewDescriptors(usize),
    /// The soft limit of the outbox is above the hard one.
    #[error("{soft} ({soft_bytes}) is above {hard} ({hard_bytes})")]
    OutboxLimits {
        /// The soft limit.
        soft: Setting,
        /// Its value.
        soft_bytes: u32,
        /// The hard limit.
        hard: Setting,
        /// Its value.
        hard_bytes: u32,
    },
}
