//! The flags with which `pub` and `sub` reach a broker.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::runtime;

use super::{dev, exit::UsageError};
use crate::{
    client::Options,
    security::{Credentials, client_config},
};

/// Where, and as whom.
///
/// In a folder with a `certs/` as `tidings certs init` makes it, no flag is needed.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connect {
    /// The broker, as host:port; the host is the name in its certificate.
    #[arg(
        short,
        long,
        env = "TIDINGS_SERVER",
        value_name = "HOST:PORT",
        default_value = "localhost:4433"
    )]
    server: String,

    /// The folder with ca.crt, NAME.crt and NAME.key.
    #[arg(long, env = "TIDINGS_CERTS", value_name = "FOLDER", default_value = dev::FOLDER)]
    certs: PathBuf,

    /// Whose certificate in that folder to use.
    #[arg(
        long = "as",
        env = "TIDINGS_AS",
        value_name = "NAME",
        default_value = "alice"
    )]
    name: String,

    /// The authority of the server's certificate (PEM), instead of the folder's.
    #[arg(
        long,
        env = "TIDINGS_CA",
        value_name = "FILE",
        visible_aliases = ["cafile", "tlsca"]
    )]
    ca: Option<PathBuf>,

    /// The own certificate (PEM), instead of the folder's.
    #[arg(
        long,
        env = "TIDINGS_CERT",
        value_name = "FILE",
        visible_alias = "tlscert"
    )]
    cert: Option<PathBuf>,

    /// The own private key (PEM), instead of the folder's.
    #[arg(
        long,
        env = "TIDINGS_KEY",
        value_name = "FILE",
        visible_alias = "tlskey"
    )]
    key: Option<PathBuf>,

    /// Take the private key even if every user of this machine can read it.
    #[arg(
        long,
        env = "TIDINGS_ALLOW_LOOSE_KEY_PERMISSIONS",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    allow_loose_key_permissions: bool,

    /// Seconds to wait for the connection.
    #[arg(
        long,
        env = "TIDINGS_CONNECT_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    connect_timeout: u64,
}

impl Connect {
    /// Reads the files and gives the options of the connection.
    pub(super) fn options(&self) -> anyhow::Result<Options> {
        if self.cert.is_some() != self.key.is_some() {
            return Err(UsageError("--cert and --key go together".to_owned()).into());
        }
        let in_folder = |name: &str| self.certs.join(name);
        let credentials = Credentials {
            ca: self.ca.clone().unwrap_or_else(|| in_folder("ca.crt")),
            certificate: self
                .cert
                .clone()
                .unwrap_or_else(|| in_folder(&format!("{}.crt", self.name))),
            key: self
                .key
                .clone()
                .unwrap_or_else(|| in_folder(&format!("{}.key", self.name))),
            allow_loose_key_permissions: self.allow_loose_key_permissions,
        };
        let tls = client_config(&credentials)?;
        Ok(Options::new(&self.server, Arc::new(tls))
            .connect_timeout(Duration::from_secs(self.connect_timeout)))
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }
}

/// Runs a client command: one thread is enough for one connection.
pub(super) fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(command);
    // A read of standard input that blocks must not hold up the end.
    runtime.shutdown_background();
    outcome
}
