use std::{
    collections::HashSet,
    env,
    ffi::OsString,
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
};

use anyhow::Context;
use clap::CommandFactory;
use tokio::runtime;
use tracing::{info, warn};

use super::{Cli, dev, log};
use crate::{
    config::ServeFlags,
    security::{Aside, Policy},
    server::{Reload, Server, Settings, Shutdown},
};

/// How long tasks that hang may hold up the end.
const RUNTIME_SHUTDOWN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

/// Addresses are no secret; the umask may think otherwise.
const READY_FILE_MODE: u32 = 0o644;

/// `tidings serve`
#[derive(Debug, clap::Args)]
#[command(
    max_term_width = 100,
    after_help = "Examples:\n  \
        tidings serve --dev\n  \
        tidings serve --listen 0.0.0.0:4433 --ca ca.crt --cert server.crt --key server.key\n\n\
        SIGHUP reads certificates, revocation lists, access rules and tokens again.\n\
        SIGTERM or SIGINT tell every client, flush what is queued and end; a second one ends at once.\n\n\
        Exit code: 0 ended in order, 1 it failed while running, 64 typed or configured wrongly, 69 an address cannot be listened on, 70 a fault of tidings."
)]
pub(super) struct Serve {
    #[command(flatten)]
    flags: ServeFlags,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut flags = self.flags;
        let log = log::start(&flags.log, flags.log_format)?;
        warn_of_unknown_variables();
        if flags.dev {
            let folder = dev::certificates()?;
            // The list is this authority's: of another's clients it says nothing.
            if flags.ca.is_none() && flags.crl.is_empty() && folder.crl().exists() {
                flags.crl.push(folder.crl());
            }
            flags.ca.get_or_insert_with(|| folder.ca());
            flags
                .cert
                .get_or_insert_with(|| folder.certificate("server"));
            flags.key.get_or_insert_with(|| folder.key("server"));
        }
        let (settings, policy) = flags.resolve()?;
        if let Some(ready_file) = &flags.ready_file {
            remove_stale(ready_file)?;
        }
        let runtime = runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let serving = serve(settings, policy, flags.dev, flags.ready_file.as_deref());
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
    // First, so that whoever sees the ready file can end the server in order.
    let reload = Reload::default();
    let (shutdown, on_signals) =
        Shutdown::on_signals(reload.clone()).context("cannot listen for signals")?;
    let server = Server::bind(settings, policy)?;
    let addresses = server.addresses().to_vec();
    for address in &addresses {
        info!(%address, version = super::VERSION, "listening");
    }
    tell_policy(server.policy());
    if let Some(path) = ready_file {
        write_ready_file(path, &addresses)?;
    }
    if let (true, Some(address)) = (is_dev, addresses.first()) {
        eprintln!("tidings: paste these lines into other terminals");
        io::stdout()
            .lock()
            .write_all(dev::lines_to_paste(*address)?.as_bytes())?;
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

/// A misspelled variable is a setting that is not in force. It is no fault: others set variables of
/// this kind too, as Kubernetes does for a service of this name.
fn warn_of_unknown_variables() {
    let known = known_variables(&Cli::command());
    let names = env::vars_os().map(|(name, _)| name);
    let ours = names.filter(|name| name.as_encoded_bytes().starts_with(b"TIDINGS_"));
    for name in ours.filter(|name| !known.contains(name)) {
        warn!(
            ?name,
            "unknown environment variable, which sets nothing: is it misspelled?"
        );
    }
}

/// Of a command and all below it.
fn known_variables(command: &clap::Command) -> HashSet<OsString> {
    let own = command.get_arguments().filter_map(clap::Arg::get_env);
    let mut known: HashSet<OsString> = own.map(OsString::from).collect();
    // The only one that is no flag: a secret does not stand in an argument.
    known.insert("TIDINGS_TOKEN".into());
    known.extend(command.get_subcommands().flat_map(known_variables));
    known
}

/// Says who is let in and who may do what, as far as that is not what one would expect.
fn tell_policy(policy: &Policy) {
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

/// Nobody may take an earlier run's addresses for this one's.
fn remove_stale(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Written aside and moved into place: who sees the file sees all of it, and no link that somebody
/// has put there is followed.
fn write_ready_file(path: &Path, addresses: &[SocketAddr]) -> anyhow::Result<()> {
    let lines: String = addresses
        .iter()
        .map(|address| format!("{address}\n"))
        .collect();
    Aside::create(path, READY_FILE_MODE)
        .and_then(|mut aside| {
            aside.write(&lines)?;
            aside.move_to(path)
        })
        .with_context(|| format!("cannot write the ready file {}", path.display()))
}
