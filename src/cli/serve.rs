use std::{
    collections::HashSet,
    env,
    ffi::{OsStr, OsString},
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::Path,
};

use anyhow::Context;
use clap::CommandFactory;
use tokio::runtime;
use tracing::{info, warn};

use super::{Cli, dev, log, say::say};
use crate::{
    config::ServeFlags,
    files::AtomicFile,
    policy::Policy,
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
        flags.or_shared_variables(|name| env::var_os(name));
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
            if let Some(certificate) = &flags.cert {
                dev::warn_of_unreachable(&flags.listen, certificate);
            }
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
        say("paste these lines into other terminals");
        let lines = dev::lines_to_paste(*address)?;
        // The broker serves on, whether anyone reads the lines or not.
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

/// A misspelled variable is a setting that is not in force. It is no fault: others can set variables
/// that begin like ours.
fn warn_of_unknown_variables() {
    let known = known_variables(&Cli::command());
    let ours = env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"TIDINGS_"));
    let unknown =
        ours.filter(|(name, value)| !known.contains(name) && !is_of_kubernetes(name, value));
    for (name, _) in unknown {
        warn!(
            ?name,
            "unknown environment variable, which sets nothing: is it misspelled?"
        );
    }
}

/// What Kubernetes sets for services called tidings or tidings-SOMETHING: `TIDINGS_SERVICE_HOST`,
/// `TIDINGS_PORT_4433_TCP_ADDR` and the like. Its `TIDINGS_PORT` is a URL: a number there is meant as
/// the port to listen on.
fn is_of_kubernetes(name: &OsStr, value: &OsStr) -> bool {
    let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
        return false;
    };
    let is_port = |(_, port): (&str, &str)| port.starts_with(|c: char| c.is_ascii_digit());
    name.ends_with("_PORT") && value.contains("://")
        || name.contains("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || name.split_once("_PORT_").is_some_and(is_port)
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
    AtomicFile::create(path, READY_FILE_MODE)
        .and_then(|mut aside| {
            aside.write(&lines)?;
            aside.move_to(path)
        })
        .with_context(|| format!("cannot write the ready file {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_variables_of_kubernetes_from_misspelled_ones() {
        let is_of_kubernetes =
            |name: &str, value: &str| is_of_kubernetes(name.as_ref(), value.as_ref());
        assert!(is_of_kubernetes("TIDINGS_PORT", "tcp://10.0.0.1:4433"));
        assert!(!is_of_kubernetes("TIDINGS_PORT", "4433"));
        for name in [
            "TIDINGS_PORT_4433_TCP",
            "TIDINGS_PORT_4433_TCP_ADDR",
            "TIDINGS_SERVICE_HOST",
            "TIDINGS_SERVICE_PORT",
            "TIDINGS_SERVICE_PORT_TLS",
            "TIDINGS_METRICS_SERVICE_HOST",
            "TIDINGS_METRICS_PORT_9100_TCP_PROTO",
        ] {
            assert!(is_of_kubernetes(name, "4433"), "{name}");
        }
        for name in [
            "TIDINGS_LISTN",
            "TIDINGS_PORTS",
            "TIDINGS_PORT_FILE",
            "TIDINGS_SERVICE",
        ] {
            assert!(!is_of_kubernetes(name, "4433"), "{name}");
        }
    }
}
