//! `tidings serve`: from the configuration to a running broker, and to its end.

use std::{
    env, fs,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
};

use anyhow::Context;
use tokio::runtime;
use tracing::{info, warn};

use super::{descriptors, dev, environment, log, stderr::print_message};
use crate::{
    config::{Configuration, FewerConnections},
    files::AtomicFile,
    policy::Policy,
    server::{Reload, Server, Settings, Shutdown},
};

/// How long a task that hangs may delay the exit.
const RUNTIME_SHUTDOWN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

/// Addresses are no secret, whatever the umask.
const READY_FILE_MODE: u32 = 0o644;

/// `tidings serve`
#[derive(Debug, clap::Args)]
#[command(
    max_term_width = 100,
    after_help = "Examples:\n  \
        tidings serve --dev\n  \
        tidings serve --listen 0.0.0.0:4433 --ca ca.crt --cert server.crt --key server.key\n\n\
        SIGHUP reloads certificates, revocation lists, access rules and tokens.\n\
        SIGTERM or SIGINT notifies every client, sends what is queued and exits. A second one exits at once.\n\n\
        Exit codes: 0 shut down in order, 1 failed while running, 64 bad usage or configuration, 69 cannot listen on an address, 70 a bug in tidings."
)]
pub(super) struct Serve {
    #[command(flatten)]
    configuration: Configuration,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut configuration = self.configuration;
        let log = log::start(&configuration)?;
        environment::warn_of_unknown_variables();
        if configuration.values().dev {
            dev::fill(&mut configuration, &dev::certificates()?)?;
            dev::warn_of_unreachable(configuration.values());
        } else {
            configuration.fill_from_client_variables(|name| env::var_os(name))?;
        }
        let descriptors = descriptors::raise_limit();
        let resolved = configuration.resolve(descriptors)?;
        let policy = Policy::read(resolved.policy_files)?;
        if let Some(FewerConnections { asked, possible }) = resolved.fewer_connections {
            warn!(
                asked,
                possible,
                descriptors,
                "fewer connections than asked for: the limit of open files is too low"
            );
        }
        let ready_file = configuration.values().listening.ready_file.as_deref();
        if let Some(path) = ready_file {
            remove_stale(path)?;
        }
        let runtime = runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let is_dev = configuration.values().dev;
        let serving = serve(resolved.server, policy, is_dev, ready_file);
        let outcome = runtime.block_on(async {
            tokio::select! {
                outcome = serving => outcome,
                () = log.tell_losses() => Ok(()),
            }
        });
        runtime.shutdown_timeout(RUNTIME_SHUTDOWN_TIMEOUT);
        outcome
    }
}

async fn serve(
    settings: Settings,
    policy: Policy,
    is_dev: bool,
    ready_file: Option<&Path>,
) -> anyhow::Result<()> {
    // First, so that a signal shuts the broker down in order as soon as the ready file is there.
    let reload = Reload::default();
    let (shutdown, on_signals) =
        Shutdown::on_signals(reload.clone()).context("cannot listen for signals")?;
    let server = Server::bind(settings, policy)?;
    let addresses = server.addresses().to_vec();
    for address in &addresses {
        info!(%address, version = super::VERSION, "listening");
    }
    log_policy(server.policy());
    if let Some(path) = ready_file {
        write_ready_file(path, &addresses)?;
    }
    if let (true, Some(address)) = (is_dev, addresses.first()) {
        print_message("paste these lines into other terminals");
        let lines = dev::lines_to_paste(*address)?;
        // Nobody may be reading them. That is no reason to stop.
        if let Err(error) = io::stdout().lock().write_all(lines.as_bytes()) {
            warn!(%error, "cannot print the lines to paste");
        }
    }
    tokio::select! {
        outcome = server.run(shutdown, reload) => outcome?,
        () = on_signals => {}
    }
    if let Some(path) = ready_file {
        remove_stale(path)?;
    }
    Ok(())
}

/// Logs which rules and tokens are in force.
fn log_policy(policy: &Policy) {
    if policy.access.is_open() {
        info!(
            "no access rules: every certificate of the CA may publish and subscribe to everything (--access)"
        );
    } else {
        info!(
            rules = policy.access.rule_count(),
            "access rules are in force"
        );
    }
    if policy.tokens.is_required() {
        info!(
            tokens = policy.tokens.token_count(),
            "clients need a token beside their certificate"
        );
    }
}

/// Removes the ready file of an earlier run, so that its addresses are not taken for those of this one.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes the file under another name and renames it: a reader sees the whole file, and no symbolic
/// link is followed.
fn write_ready_file(path: &Path, addresses: &[SocketAddr]) -> anyhow::Result<()> {
    let lines: String = addresses
        .iter()
        .map(|address| format!("{address}\n"))
        .collect();
    AtomicFile::create(path, READY_FILE_MODE)
        .and_then(|mut aside| {
            aside.write(&lines)?;
            aside.move_to(path)
        })
        .with_context(|| format!("cannot write the ready file {}", path.display()))
}
