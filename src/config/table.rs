//! The table of settings: one field is one row.
//!
//! A row's attributes are its flag, its variable and its default; its documentation is its help
//! text. The key of a setting is its flag without the dashes. Whatever needs to know the settings
//! asks [`table`]: the look-up of variables, the warning about unknown ones, `--help`, and the test
//! that every setting is documented.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Command, builder::BoolishValueParser, value_parser};

use super::duration::parse_up_to_a_year;
use super::value::{LogFormat, TlsMin, identity_sources};
use crate::identity::IdentitySource;

/// Settings that fall back to a variable of `pub` and `sub`, as in version 0.1, before `serve` had
/// variables of its own.
pub(super) const CLIENT_VARIABLES: [(&str, &str); 3] = [
    ("ca", "TIDINGS_CA"),
    ("cert", "TIDINGS_CERT"),
    ("key", "TIDINGS_KEY"),
];

/// The rows as clap knows them: `serve` with its flags and nothing else.
pub(super) fn table() -> Command {
    Values::augment_args(Command::new("serve"))
}

/// The value of every setting of `tidings serve`.
#[derive(Args, Clone, Debug)]
pub struct Values {
    /// Try tidings out: create development certificates in `certs/` where they are missing, serve
    /// with them, and print three lines to paste into other terminals.
    #[arg(long, env = "TIDINGS_DEV", value_parser = BoolishValueParser::new())]
    pub dev: bool,

    /// Where to listen.
    #[command(flatten)]
    pub listening: Listening,
    /// TLS, and what identifies a client.
    #[command(flatten)]
    pub tls: Tls,
    /// The files that decide which clients may do what.
    #[command(flatten)]
    pub access: Access,
    /// Numbers and sizes.
    #[command(flatten)]
    pub limits: Limits,
    /// Time-outs and intervals.
    #[command(flatten)]
    pub times: Times,

    /// Tell clients when other clients connect and disconnect.
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

    /// The log.
    #[command(flatten)]
    pub logging: Logging,
}

/// Where to listen.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Listening")]
pub struct Listening {
    /// Address and port to listen on. May be given several times. Port 0 picks a free port. `[::]`
    /// accepts IPv4 too, unless an IPv4 address is given with the same port.
    #[arg(
        long,
        env = "TIDINGS_LISTEN",
        value_name = "ADDR:PORT",
        value_delimiter = ',',
        default_value = "127.0.0.1:4433"
    )]
    pub listen: Vec<SocketAddr>,

    /// Write the actual addresses to this file, one per line, once clients can connect.
    #[arg(long, env = "TIDINGS_READY_FILE", value_name = "FILE")]
    pub ready_file: Option<PathBuf>,
}

/// TLS, and what identifies a client.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS and identity")]
pub struct Tls {
    /// The CAs whose client certificates are accepted (PEM).
    #[arg(long, env = "TIDINGS_SERVE_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// The broker's certificate, followed by its chain (PEM).
    #[arg(long, env = "TIDINGS_SERVE_CERT", value_name = "FILE")]
    pub cert: Option<PathBuf>,

    /// The broker's private key (PEM: PKCS#8, SEC1 or PKCS#1).
    #[arg(long, env = "TIDINGS_SERVE_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,

    /// Accept a private key that every user of this machine can read.
    #[arg(
        long,
        env = "TIDINGS_ALLOW_LOOSE_KEY_PERMISSIONS",
        value_parser = BoolishValueParser::new()
    )]
    pub allow_loose_key_permissions: bool,

    /// The oldest TLS version that clients may use.
    #[arg(
        long,
        env = "TIDINGS_TLS_MIN",
        value_name = "VERSION",
        default_value = "1.3"
    )]
    pub tls_min: TlsMin,

    /// The most bytes of content in one TLS record sent, for clients that cannot hold a full record.
    #[arg(
        long,
        env = "TIDINGS_TLS_RECORD_BYTES_MAX",
        value_name = "BYTES",
        default_value_t = 16 * 1024,
        value_parser = value_parser!(u16).range(512..=16 * 1024)
    )]
    pub tls_record_bytes_max: u16,

    /// The field of a client's certificate that holds its identity.
    #[arg(
        long,
        env = "TIDINGS_IDENTITY_FROM",
        value_name = "FIELD",
        default_value = IdentitySource::default().as_str(),
        value_parser = identity_sources()
    )]
    pub identity_from: IdentitySource,
}

/// The files that decide which clients may do what.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Access")]
pub struct Access {
    /// Revocation lists of the CAs (PEM or DER), with the certificates of intermediates that signed
    /// a list. May be given several times. With any list, each CA that issued a certificate in a
    /// client's chain must have a current list.
    #[arg(long, env = "TIDINGS_CRL", value_name = "FILE", value_delimiter = ',')]
    pub crl: Vec<PathBuf>,

    /// Access rules: which client may publish and subscribe to what (TOML). Without them, every
    /// client with a certificate of the CAs may do everything.
    #[arg(long, env = "TIDINGS_ACCESS", value_name = "FILE")]
    pub access: Option<PathBuf>,

    /// Require a token beside the certificate: the file that `tidings token` maintains.
    #[arg(long, env = "TIDINGS_TOKENS", value_name = "FILE")]
    pub tokens: Option<PathBuf>,

    /// Require a signed token (JWT: EdDSA, ES256, RS256): the keys that verify it (JWKS).
    #[arg(long, env = "TIDINGS_TOKEN_KEYS", value_name = "FILE")]
    pub token_keys: Option<PathBuf>,

    /// The issuer that a signed token must name (`iss`).
    #[arg(long, env = "TIDINGS_TOKEN_ISSUER", value_name = "NAME")]
    pub token_issuer: Option<String>,

    /// The audience that a signed token must name (`aud`).
    #[arg(long, env = "TIDINGS_TOKEN_AUDIENCE", value_name = "NAME")]
    pub token_audience: Option<String>,

    /// How often to check these files and the certificates for changes. A change takes effect when
    /// two checks in a row find the same content, or at once on SIGHUP [0 = only on SIGHUP].
    #[arg(
        long,
        env = "TIDINGS_RELOAD_INTERVAL",
        value_name = "TIME",
        default_value = "60s",
        value_parser = parse_up_to_a_year
    )]
    pub reload_interval: Duration,
}

/// Numbers and sizes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Clients at once. Never more than the limit of open files less 256 [0 = that limit alone].
    #[arg(
        long,
        env = "TIDINGS_MAX_CONNECTIONS",
        value_name = "N",
        default_value_t = 10_000
    )]
    pub max_connections: usize,

    /// Clients at once with the same identity [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_CONNECTIONS_PER_IDENTITY",
        value_name = "N",
        default_value_t = 1024
    )]
    pub max_connections_per_identity: usize,

    /// Clients at once from the same IP address (IPv6: the same /64) [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_CONNECTIONS_PER_ADDRESS",
        value_name = "N",
        default_value_t = 0
    )]
    pub max_connections_per_address: usize,

    /// Connection attempts per minute from the same IP address (IPv6: the same /64). Further ones
    /// are closed before TLS [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_ATTEMPTS_PER_ADDRESS",
        value_name = "N",
        default_value_t = 0
    )]
    pub max_attempts_per_address: u32,

    /// TLS handshakes in progress at once. Further ones wait [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_HANDSHAKES",
        value_name = "N",
        default_value_t = 256
    )]
    pub max_handshakes: usize,

    /// Subscriptions of one client [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_SUBSCRIPTIONS",
        value_name = "N",
        default_value_t = 1024
    )]
    pub max_subscriptions: usize,

    /// Subscriptions of all clients with the same identity together [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_SUBSCRIPTIONS_PER_IDENTITY",
        value_name = "N",
        default_value_t = 65_536
    )]
    pub max_subscriptions_per_identity: usize,

    /// Subscriptions of all clients [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_SUBSCRIPTIONS_TOTAL",
        value_name = "N",
        default_value_t = 1_000_000
    )]
    pub max_subscriptions_total: usize,

    /// Different shapes among the filters of one identity. A shape is the number of levels and the
    /// places of the wildcards. One message can match as many filters of a client, and one filter
    /// without wildcards [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_FILTER_SHAPES_PER_IDENTITY",
        value_name = "N",
        default_value_t = 64
    )]
    pub max_filter_shapes_per_identity: usize,

    /// Messages that one identity may publish per second, over all its connections. The broker reads
    /// a faster client more slowly [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_PUBLISH_MESSAGES_PER_SECOND",
        value_name = "N",
        default_value_t = 0
    )]
    pub max_publish_messages_per_second: u32,

    /// Bytes of lines that one identity may publish per second, over all its connections
    /// [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_PUBLISH_BYTES_PER_SECOND",
        value_name = "BYTES",
        default_value_t = 0
    )]
    pub max_publish_bytes_per_second: u64,

    /// Errors per minute of one identity. Each further error closes its connection with
    /// `too_many_errors` [0 = no limit].
    #[arg(
        long,
        env = "TIDINGS_MAX_ERRORS_PER_MINUTE",
        value_name = "N",
        default_value_t = 1000
    )]
    pub max_errors_per_minute: u32,

    /// Bytes of one line of an authenticated client. Before authentication, at most 4096.
    #[arg(
        long,
        env = "TIDINGS_LINE_BYTES_MAX",
        value_name = "BYTES",
        default_value_t = 1024 * 1024,
        value_parser = value_parser!(u32).range(1024..=64 * 1024 * 1024)
    )]
    pub line_bytes_max: u32,

    /// Bytes that may wait for one client. Above that, the client is closed with `slow_consumer`.
    #[arg(
        long,
        env = "TIDINGS_OUTBOX_BYTES_MAX",
        value_name = "BYTES",
        default_value_t = 8 * 1024 * 1024,
        value_parser = value_parser!(u32).range(64 * 1024..)
    )]
    pub outbox_bytes_max: u32,

    /// Bytes that may wait for one client for longer than --outbox-soft-time.
    #[arg(
        long,
        env = "TIDINGS_OUTBOX_BYTES_SOFT",
        value_name = "BYTES",
        default_value_t = 2 * 1024 * 1024,
        value_parser = value_parser!(u32).range(16 * 1024..)
    )]
    pub outbox_bytes_soft: u32,
}

/// Time-outs and intervals.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Times")]
pub struct Times {
    /// How long more than --outbox-bytes-soft may wait for one client.
    #[arg(
        long,
        env = "TIDINGS_OUTBOX_SOFT_TIME",
        value_name = "TIME",
        default_value = "10s",
        value_parser = parse_up_to_a_year
    )]
    pub outbox_soft_time: Duration,

    /// Time for the whole TLS handshake.
    #[arg(
        long,
        env = "TIDINGS_HANDSHAKE_TIMEOUT",
        value_name = "TIME",
        default_value = "5s",
        value_parser = parse_up_to_a_year
    )]
    pub handshake_timeout: Duration,

    /// Time between the TLS handshake and `request_authentication`.
    #[arg(
        long,
        env = "TIDINGS_AUTHENTICATION_TIMEOUT",
        value_name = "TIME",
        default_value = "5s",
        value_parser = parse_up_to_a_year
    )]
    pub authentication_timeout: Duration,

    /// Silence after which the broker sends a ping. It closes a client that leaves two unanswered
    /// [0 = no pings].
    #[arg(
        long,
        env = "TIDINGS_PING_INTERVAL",
        value_name = "TIME",
        default_value = "30s",
        value_parser = parse_up_to_a_year
    )]
    pub ping_interval: Duration,

    /// Time for clients to receive what is queued for them when the broker shuts down.
    #[arg(
        long,
        env = "TIDINGS_DRAIN",
        value_name = "TIME",
        default_value = "10s",
        value_parser = parse_up_to_a_year
    )]
    pub drain: Duration,
}

/// The log.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Log")]
pub struct Logging {
    /// What to log: a level (error, warn, info, debug, trace) or a filter such as
    /// `info,tidings::server=debug`.
    #[arg(
        long,
        env = "TIDINGS_LOG",
        value_name = "FILTER",
        default_value = "info"
    )]
    pub log: String,

    /// The format of the log on standard error.
    #[arg(
        long,
        env = "TIDINGS_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "human"
    )]
    pub log_format: LogFormat,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file is to name a setting as the flag does, and a variable is found by the same rule.
    #[test]
    fn flag_and_variable_of_a_row_follow_from_its_key() {
        for row in table().get_arguments() {
            let key = row.get_id().as_str().replace('_', "-");
            assert_eq!(row.get_long(), Some(key.as_str()));
            // These belonged to `pub` and `sub` first.
            let prefix = match key.as_str() {
                "ca" | "cert" | "key" => "TIDINGS_SERVE",
                _ => "TIDINGS",
            };
            let name = key.replace('-', "_").to_uppercase();
            let variable = row.get_env().and_then(|name| name.to_str());
            assert_eq!(variable, Some(format!("{prefix}_{name}").as_str()));
        }
    }
}
