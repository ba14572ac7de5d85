use std::{
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use tokio::runtime;
use tracing::info;

use super::{dev, log};
use crate::{
    config::ServeFlags,
    server::{Server, Settings, Shutdown},
};

/// How long tasks that hang may hold up the end.
const RUNTIME_SHUTDOWN_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(1);

/// `tidings serve`
#[derive(Debug, clap::Args)]
#[command(
    max_term_width = 100,
    after_help = "Examples:\n  \
        tidings serve --dev\n  \
        tidings serve --listen 0.0.0.0:4433 --ca ca.crt --cert server.crt --key server.key\n\n\
        SIGTERM or SIGINT tell every client, flush what is queued and end; a second one ends at once."
)]
pub(super) struct Serve {
    #[command(flatten)]
    flags: ServeFlags,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let mut flags = self.flags;
        let log = log::start(&flags.log, flags.log_format)?;
        if flags.dev {
            let folder = dev::certificates()?;
            flags.ca.get_or_insert_with(|| folder.ca());
            flags
                .cert
                .get_or_insert_with(|| folder.certificate("server"));
            flags.key.get_or_insert_with(|| folder.key("server"));
        }
        let settings = flags.resolve()?;
        if let Some(ready_file) = &flags.ready_file {
            remove_stale(ready_file)?;
        }
        let runtime = runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("cannot start the runtime")?;
        let serving = serve(settings, flags.dev, flags.ready_file.as_deref());
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

async fn serve(settings: Settings, is_dev: bool, ready_file: Option<&Path>) -> anyhow::Result<()> {
    // First, so that whoever sees the ready file can end the server in order.
    let (shutdown, on_signals) = Shutdown::on_signals().context("cannot listen for signals")?;
    let server = Server::bind(settings)?;
    let addresses = server.addresses().to_vec();
    for address in &addresses {
        info!(%address, version = super::VERSION, "listening");
    }
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
        outcome = server.run(shutdown) => outcome?,
        () = on_signals => {}
    }
    if let Some(path) = ready_file {
        remove_stale(path)?;
    }
    Ok(())
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

/// Written aside and moved into place: who sees the file sees all of it.
fn write_ready_file(path: &Path, addresses: &[SocketAddr]) -> anyhow::Result<()> {
    let lines: String = addresses
        .iter()
        .map(|address| format!("{address}\n"))
        .collect();
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    fs::write(&aside, lines)
        .and_then(|()| fs::rename(&aside, path))
        .with_context(|| format!("cannot write the ready file {}", path.display()))
}
