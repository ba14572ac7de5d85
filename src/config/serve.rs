use std::{ffi::OsString, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, builder::BoolishValueParser};
use tracing::warn;

use super::descriptors;
use crate::{
    access::ClientLimits,
    broker::{self, OutboxLimits},
    identity::IdentitySource,
    policy::{Policy, PolicyError, PolicyFiles, TokenKeysFile},
    server::{ConnectionSettings, Settings},
    tls::{Credentials, ServerTlsFiles, TlsVersion},
};

/// Descriptors that the daemon keeps for all that is not a client: listeners, logs, files that it
/// reads, and a refusal to those over the limit.
const DESCRIPTORS_RESERVED: usize = 256;

/// Sockets beside the admitted ones: peers in handshake, about to be refused, or closing.
const SOCKETS_SPARE: usize = 1024;

/// What `tidings serve` was started with.
#[derive(Args, Clone, Debug)]
pub struct ServeFlags {
    /// Try it out: makes development certificates in `certs/` where there are none, listens with
    /// them, and prints three lines to paste into other terminals.
    #[arg(long, env = "TIDINGS_DEV", value_parser = BoolishValueParser::new())]
    pub dev: bool,

    /// Address and port to listen on. May be given several times; port 0 picks a free one. `[::]`
    /// takes IPv4 too, unless that has an address of its own with the same port.
    #[arg(
        long,
        env = "TIDINGS_LISTEN",
        value_name = "ADDR:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:4433",
        help_heading = "Listening"
    )]
    pub listen: Vec<SocketAddr>,

    /// Write the actual addresses here, one a line, once clients can connect.
    #[arg(
        long,
        env = "TIDINGS_READY_FILE",
        value_name = "FILE",
        help_heading = "Listening"
    )]
    pub ready_file: Option<PathBuf>,

    /// The authorities whose client certificates are let in (PEM).
    #[arg(
        long,
        env = "TIDINGS_SERVE_CA",
        value_name = "FILE",
        help_heading = "TLS and identity"
    )]
    pub ca: Option<PathBuf>,

    /// The server's certificate, followed by its chain (PEM).
    #[arg(
        long,
        env = "TIDINGS_SERVE_CERT",
        value_name = "FILE",
        help_heading = "TLS and identity"
    )]
    pub cert: Option<PathBuf>,

    /// The server's private key (PEM: PKCS#8, SEC1 or PKCS#1).
    #[arg(
        long,
        env = "TIDINGS_SERVE_KEY",
        value_name = "FILE",
        help_heading = "TLS and identity"
    )]
    pub key: Option<PathBuf>,

    /// Take the private key even if every user of this machine can read it.
    #[arg(
        long,
        env = "TIDINGS_ALLOW_LOOSE_KEY_PERMISSIONS",
        value_parser = BoolishValueParser::new(),
        help_heading = "TLS and identity"
    )]
    pub allow_loose_key_permissions: bool,

    /// The oldest TLS version that clients may speak.
    #[arg(
        long,
        env = "TIDINGS_TLS_MIN",
        value_name = "VERSION",
        default_value = "1.3",
        help_heading = "TLS and identity"
    )]
    pub tls_min: TlsMin,

    /// Bytes of content in one TLS record that is sent: for clients that cannot hold a whole one.
    #[arg(
        long,
        env = "TIDINGS_TLS_RECORD_BYTES_MAX",
        value_name = "BYTES",
        default_value_t = 16 * 1024,
        value_parser = clap::value_parser!(u16).range(512..=16 * 1024),
        help_heading = "TLS and identity"
    )]
    pub tls_record_bytes_max: u16,

    /// The one field of a client's certificate that names it.
    #[arg(
        long,
        env = "TIDINGS_IDENTITY_FROM",
        value_name = "FIELD",
        default_value = "cn",
        help_heading = "TLS and identity"
    )]
    pub identity_from: IdentityFrom,

    /// What the authorities have revoked (PEM or DER), with the certificates of intermediates that
    /// signed a list. May be given several times; then every certificate's issuer must have a list
    /// that is in date.
    #[arg(
        long,
        env = "TIDINGS_CRL",
        value_name = "FILE",
        value_delimiter = ',',
        help_heading = "Access"
    )]
    pub crl: Vec<PathBuf>,

    /// Who may publish and subscribe to what (TOML). Without it, every certificate of the
    /// authorities may do everything.
    #[arg(
        long,
        env = "TIDINGS_ACCESS",
        value_name = "FILE",
        help_heading = "Access"
    )]
    pub access: Option<PathBuf>,

    /// Ask for a token beside the certificate: the file that `tidings token` keeps.
    #[arg(
        long,
        env = "TIDINGS_TOKENS",
        value_name = "FILE",
        help_heading = "Access"
    )]
    pub tokens: Option<PathBuf>,

    /// Ask for a signed token (JWT: EdDSA, ES256, RS256): the keys to verify it with (JWKS).
    #[arg(
        long,
        env = "TIDINGS_TOKEN_KEYS",
        value_name = "FILE",
        help_heading = "Access"
    )]
    pub token_keys: Option<PathBuf>,

    /// Who must have issued a signed token (`iss`).
    #[arg(
        long,
        env = "TIDINGS_TOKEN_ISSUER",
        value_name = "NAME",
        requires = "token_keys",
        help_heading = "Access"
    )]
    pub token_issuer: Option<String>,

    /// Whom a signed token must be meant for (`aud`).
    #[arg(
        long,
        env = "TIDINGS_TOKEN_AUDIENCE",
        value_name = "NAME",
        requires = "token_keys",
        help_heading = "Access"
    )]
    pub token_audience: Option<String>,

    /// How often to look whether one of these files, or a certificate, has changed: what two looks
    /// in a row agree on is taken. SIGHUP takes it at once [0 = only on SIGHUP].
    #[arg(
        long,
        env = "TIDINGS_RELOAD_INTERVAL",
        value_name = "TIME",
        default_value = "60s",
        value_parser = parse_duration,
        help_heading = "Access"
    )]
    pub reload_interval: Duration,

    /// Clients at once; never above the limit of open files less 256 [0 = that limit alone].
    #[arg(
        long,
        env = "TIDINGS_MAX_CONNECTIONS",
        value_name = "N",
        default_value_t = 10_000,
        help_heading = "Limits"
    )]
    pub max_connections: usize,

    /// Clients at once with the same identity [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_CONNECTIONS_PER_IDENTITY",
        value_name = "N",
        default_value_t = 1024,
        help_heading = "Limits"
    )]
    pub max_connections_per_identity: usize,

    /// Clients at once from the same IP address (IPv6: the same /64) [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_CONNECTIONS_PER_ADDRESS",
        value_name = "N",
        default_value_t = 0,
        help_heading = "Limits"
    )]
    pub max_connections_per_address: usize,

    /// Connection attempts in a minute from the same IP address (IPv6: the same /64); more are
    /// closed unheard [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_ATTEMPTS_PER_ADDRESS",
        value_name = "N",
        default_value_t = 0,
        help_heading = "Limits"
    )]
    pub max_attempts_per_address: u32,

    /// TLS handshakes worked on at once; more wait their turn [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_HANDSHAKES",
        value_name = "N",
        default_value_t = 256,
        help_heading = "Limits"
    )]
    pub max_handshakes: usize,

    /// Subscriptions of one client [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_SUBSCRIPTIONS",
        value_name = "N",
        default_value_t = 1024,
        help_heading = "Limits"
    )]
    pub max_subscriptions: usize,

    /// Subscriptions of all clients with the same identity together [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_SUBSCRIPTIONS_PER_IDENTITY",
        value_name = "N",
        default_value_t = 65_536,
        help_heading = "Limits"
    )]
    pub max_subscriptions_per_identity: usize,

    /// Subscriptions of all clients [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_SUBSCRIPTIONS_TOTAL",
        value_name = "N",
        default_value_t = 1_000_000,
        help_heading = "Limits"
    )]
    pub max_subscriptions_total: usize,

    /// Shapes of the filters of one identity: numbers of levels and places of wildcards. So many
    /// filters of one client can match a message, and one without wildcards [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_FILTER_SHAPES_PER_IDENTITY",
        value_name = "N",
        default_value_t = 64,
        help_heading = "Limits"
    )]
    pub max_filter_shapes_per_identity: usize,

    /// Messages that one identity may publish in a second, over all its connections; a faster one is
    /// read more slowly [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_PUBLISH_MESSAGES_PER_SECOND",
        value_name = "N",
        default_value_t = 0,
        help_heading = "Limits"
    )]
    pub max_publish_messages_per_second: u32,

    /// Bytes of lines that one identity may publish in a second, likewise [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_PUBLISH_BYTES_PER_SECOND",
        value_name = "BYTES",
        default_value_t = 0,
        help_heading = "Limits"
    )]
    pub max_publish_bytes_per_second: u64,

    /// Errors of one identity in a minute; each more closes a connection with `too_many_errors`
    /// [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_ERRORS_PER_MINUTE",
        value_name = "N",
        default_value_t = 1000,
        help_heading = "Limits"
    )]
    pub max_errors_per_minute: u32,

    /// Bytes of one line of an authenticated client. Before authentication it is 4096 at most.
    #[arg(
        long,
        env = "TIDINGS_LINE_BYTES_MAX",
        value_name = "BYTES",
        default_value_t = 1024 * 1024,
        value_parser = clap::value_parser!(u32).range(1024..=64 * 1024 * 1024),
        help_heading = "Limits"
    )]
    pub line_bytes_max: u32,

    /// Bytes that may wait for one client; above, it is closed with `slow_consumer`.
    #[arg(
        long,
        env = "TIDINGS_OUTBOX_BYTES_MAX",
        value_name = "BYTES",
        default_value_t = 8 * 1024 * 1024,
        value_parser = clap::value_parser!(u32).range(64 * 1024..),
        help_heading = "Limits"
    )]
    pub outbox_bytes_max: u32,

    /// Bytes that may wait for one client for longer than --outbox-soft-time.
    #[arg(
        long,
        env = "TIDINGS_OUTBOX_BYTES_SOFT",
        value_name = "BYTES",
        default_value_t = 2 * 1024 * 1024,
        value_parser = clap::value_parser!(u32).range(16 * 1024..),
        help_heading = "Limits"
    )]
    pub outbox_bytes_soft: u32,

    /// See --outbox-bytes-soft.
    #[arg(
        long,
        env = "TIDINGS_OUTBOX_SOFT_TIME",
        value_name = "TIME",
        default_value = "10s",
        value_parser = parse_duration,
        help_heading = "Times"
    )]
    pub outbox_soft_time: Duration,

    /// Time for the TLS handshake, whole.
    #[arg(
        long,
        env = "TIDINGS_HANDSHAKE_TIMEOUT",
        value_name = "TIME",
        default_value = "5s",
        value_parser = parse_duration,
        help_heading = "Times"
    )]
    pub handshake_timeout: Duration,

    /// Time for `request_authentication` after TLS.
    #[arg(
        long,
        env = "TIDINGS_AUTHENTICATION_TIMEOUT",
        value_name = "TIME",
        default_value = "5s",
        value_parser = parse_duration,
        help_heading = "Times"
    )]
    pub authentication_timeout: Duration,

    /// Silence after which the server asks for a sign of life; after two unanswered it closes
    /// [0 = never asks].
    #[arg(
        long,
        env = "TIDINGS_PING_INTERVAL",
        value_name = "TIME",
        default_value = "30s",
        value_parser = parse_duration,
        help_heading = "Times"
    )]
    pub ping_interval: Duration,

    /// Time for clients to take what is queued for them when the server ends.
    #[arg(
        long,
        env = "TIDINGS_DRAIN",
        value_name = "TIME",
        default_value = "10s",
        value_parser = parse_duration,
        help_heading = "Times"
    )]
    pub drain: Duration,

    /// Tell clients of each other's coming and going.
    #[arg(
        long,
        env = "TIDINGS_PRESENCE",
        value_name = "BOOL",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_parser = BoolishValueParser::new(),
        help_heading = "Presence"
    )]
    pub presence: bool,

    /// What to log: a level (error, warn, info, debug, trace) or a filter such as
    /// `info,tidings::server=debug`.
    #[arg(
        long,
        env = "TIDINGS_LOG",
        value_name = "FILTER",
        default_value = "info",
        help_heading = "Log"
    )]
    pub log: String,

    /// How to log, on standard error.
    #[arg(
        long,
        env = "TIDINGS_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "human",
        help_heading = "Log"
    )]
    pub log_format: LogFormat,
}

/// `--tls-min`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TlsMin {
    /// TLS 1.2
    #[value(name = "1.2")]
    V1_2,
    /// TLS 1.3
    #[value(name = "1.3")]
    V1_3,
}

/// `--identity-from`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IdentityFrom {
    /// The common name
    Cn,
    /// The DNS subject alternative name
    SanDns,
    /// The URI subject alternative name (SPIFFE)
    SanUri,
    /// The e-mail subject alternative name
    SanEmail,
}

/// `--log-format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Human,
    /// One JSON object a line
    Json,
}

/// What was typed cannot be served with. One line each, with the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file of certificates, access rules or tokens cannot be used.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// Some of the three files are not named.
    #[error(
        "serve needs --ca, --cert and --key; to try tidings out, `tidings serve --dev` makes certificates of its own"
    )]
    NoCertificates,
    /// Signed tokens are to be taken from anyone, or for anyone.
    #[error(
        "--token-keys needs --token-issuer and --token-audience: without them, a token made for any other service would do"
    )]
    TokenKeysWithoutNames,
    /// The process may not open the files that a single client would need.
    #[error(
        "the limit of open files is {0}, and 256 are kept in reserve: raise it (`ulimit -n`, or LimitNOFILE= in the unit)"
    )]
    TooFewDescriptors(usize),
    /// The soft limit of the outbox is above the hard one.
    #[error("--outbox-bytes-soft ({soft}) is above --outbox-bytes-max ({hard})")]
    OutboxLimits {
        /// Bytes.
        soft: u32,
        /// Bytes.
        hard: u32,
    },
}

impl ServeFlags {
    /// Takes the certificates from the variables that `pub` and `sub` read too, where nothing else
    /// names any of them. With `--dev` they are the client's.
    pub fn or_shared_variables(&mut self, variable: impl Fn(&str) -> Option<OsString>) {
        if self.dev || self.ca.is_some() || self.cert.is_some() || self.key.is_some() {
            return;
        }
        for (file, name) in [
            (&mut self.ca, "TIDINGS_CA"),
            (&mut self.cert, "TIDINGS_CERT"),
            (&mut self.key, "TIDINGS_KEY"),
        ] {
            let value = variable(name).filter(|value| !value.is_empty());
            *file = value.map(PathBuf::from);
        }
    }

    /// Reads and checks everything that serving needs. Raises the limit of open files.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn resolve(&self) -> Result<(Settings, Policy), ConfigError> {
        let (Some(ca), Some(certificate), Some(key)) = (&self.ca, &self.cert, &self.key) else {
            return Err(ConfigError::NoCertificates);
        };
        let policy_files = self.policy_files(Credentials {
            ca: ca.clone(),
            certificate: certificate.clone(),
            key: key.clone(),
            allow_loose_key_permissions: self.allow_loose_key_permissions,
        })?;
        let policy = Policy::read(policy_files)?;
        let descriptors = descriptors::raise_limit();
        let connections = self.connections(descriptors)?;
        let settings = Settings {
            listen: self.listen.clone(),
            reload_interval: self.reload_interval,
            identity_source: self.identity_from.into(),
            broker: broker::Limits {
                connections,
                connections_per_identity: self.max_connections_per_identity,
                connections_per_address: self.max_connections_per_address,
                subscriptions_per_client: self.max_subscriptions,
                subscriptions_per_identity: self.max_subscriptions_per_identity,
                subscriptions_total: self.max_subscriptions_total,
                filter_shapes_per_identity: self.max_filter_shapes_per_identity,
                presence: self.presence,
            },
            outbox: self.outbox()?,
            connection: ConnectionSettings {
                handshake_timeout: self.handshake_timeout,
                authentication_timeout: self.authentication_timeout,
                ping_interval: self.ping_interval,
                line_bytes_max: self.line_bytes_max as usize,
                client_limits: ClientLimits {
                    publish_messages_per_second: Some(self.max_publish_messages_per_second),
                    publish_bytes_per_second: Some(self.max_publish_bytes_per_second),
                    errors_per_minute: Some(self.max_errors_per_minute),
                },
            },
            sockets_max: (connections + SOCKETS_SPARE)
                .max(connections * 2)
                .min(descriptors - DESCRIPTORS_RESERVED / 2),
            handshakes_max: self.max_handshakes,
            attempts_per_address_per_minute: self.max_attempts_per_address,
            drain: self.drain,
        };
        Ok((settings, policy))
    }

    fn policy_files(&self, credentials: Credentials) -> Result<PolicyFiles, ConfigError> {
        let is_named = |name: &&String| !name.is_empty();
        let named = |name: &Option<String>| {
            let name = name.as_ref().filter(is_named).cloned();
            name.ok_or(ConfigError::TokenKeysWithoutNames)
        };
        let token_keys = match &self.token_keys {
            Some(path) => Some(TokenKeysFile {
                path: path.clone(),
                issuer: named(&self.token_issuer)?,
                audience: named(&self.token_audience)?,
            }),
            None => None,
        };
        Ok(PolicyFiles {
            tls: ServerTlsFiles {
                credentials,
                oldest: self.tls_min.into(),
                record_bytes_max: self.tls_record_bytes_max.into(),
                crls: self.crl.clone(),
            },
            access: self.access.clone(),
            tokens: self.tokens.clone(),
            token_keys,
        })
    }

    /// As many clients as asked for, or as descriptors allow.
    fn connections(&self, descriptors: usize) -> Result<usize, ConfigError> {
        // More than any machine serves; keeps sums and queues far from overflow.
        const CONNECTIONS_MAX: usize = 10_000_000;
        let possible = descriptors
            .saturating_sub(DESCRIPTORS_RESERVED)
            .min(CONNECTIONS_MAX);
        if possible == 0 {
            return Err(ConfigError::TooFewDescriptors(descriptors));
        }
        match self.max_connections {
            0 => Ok(possible),
            asked if asked <= possible => Ok(asked),
            asked => {
                warn!(
                    asked,
                    possible,
                    descriptors,
                    "fewer connections than asked for: the limit of open files is too low"
                );
                Ok(possible)
            }
        }
    }

    fn outbox(&self) -> Result<OutboxLimits, ConfigError> {
        let (soft, hard) = (self.outbox_bytes_soft, self.outbox_bytes_max);
        if soft > hard {
            return Err(ConfigError::OutboxLimits { soft, hard });
        }
        Ok(OutboxLimits {
            hard_bytes: hard as usize,
            soft_bytes: soft as usize,
            soft_time: self.outbox_soft_time,
        })
    }
}

impl From<TlsMin> for TlsVersion {
    fn from(min: TlsMin) -> Self {
        match min {
            TlsMin::V1_2 => Self::V1_2,
            TlsMin::V1_3 => Self::V1_3,
        }
    }
}

impl From<IdentityFrom> for IdentitySource {
    fn from(from: IdentityFrom) -> Self {
        match from {
            IdentityFrom::Cn => Self::CommonName,
            IdentityFrom::SanDns => Self::SanDns,
            IdentityFrom::SanUri => Self::SanUri,
            IdentityFrom::SanEmail => Self::SanEmail,
        }
    }
}

/// `500ms`, `30s`, `5m`, `1h`, or a bare number of seconds.
fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: &[(&str, u64)] = &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = &text[digits.len()..];
    let millis = match unit {
        "" => Some(1000),
        unit => UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, millis)| *millis),
    };
    digits
        .parse::<u64>()
        .ok()
        .zip(millis)
        .and_then(|(number, millis)| number.checked_mul(millis))
        // A year: beyond it lie only mistakes.
        .filter(|millis| *millis <= 365 * 24 * 3_600_000)
        .map(Duration::from_millis)
        .ok_or_else(|| "a time is a number with ms, s, m or h, like 500ms or 30s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_times() {
        let millis = |text| parse_duration(text).map(|time| time.as_millis()).ok();
        assert_eq!(millis("500ms"), Some(500));
        assert_eq!(millis("30s"), Some(30_000));
        assert_eq!(millis("5m"), Some(300_000));
        assert_eq!(millis("1h"), Some(3_600_000));
        assert_eq!(millis("7"), Some(7_000));
        assert_eq!(millis("0"), Some(0));
        for text in ["", "s", "-1s", "1.5s", "1d", "99999999999h", "1 s"] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
