//! `tidings certs`: create, revoke, renew and show certificates. One file for each subcommand;
//! `folder` has what they share.

mod folder;
mod init;
mod issue;
mod renew;
mod revoke;
mod show;

use std::io;

const EXIT_CODES: &str = "Exit code: 0 done, 64 bad usage, or a file that cannot be used.";

/// Create, revoke, renew and show certificates.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXIT_CODES)]
pub(crate) enum CertsCommand {
    /// Create a CA, a server certificate for this machine, and the clients alice and bob.
    ///
    /// Also creates ca.crl, the CA's revocation list, which is empty at first.
    ///
    /// Creates only what is missing and never overwrites a file. For development: everyone who can
    /// read ca.key can impersonate every client.
    #[command(after_help = "Examples:\n  \
        tidings certs init\n  \
        tidings certs init --certs /srv/broker/certs --days 90\n  \
        tidings certs init --dns broker.example.org --ip 192.0.2.7")]
    Init(init::Init),
    /// Create a key and a certificate, signed by the CA of the folder.
    ///
    /// Writes NAME.key and NAME.crt beside ca.crt. NAME is also the common name, which is the
    /// client's identity unless the broker runs with another --identity-from.
    #[command(after_help = "Examples:\n  \
        tidings certs issue carol\n  \
        tidings certs issue sensor-7 --uri spiffe://example.org/sensor-7 --days 30\n  \
        tidings certs issue broker --server --dns broker.example.org --ip 192.0.2.7")]
    Issue(issue::Issue),
    /// Revoke a certificate: add it to the CA's revocation list, ca.crl.
    ///
    /// A broker that runs with the list as its --crl rejects the certificate, and disconnects clients
    /// that use it, once it reads the new list: at once on SIGHUP, otherwise within --reload-interval.
    /// Revocation is final. Issue a certificate for another name, or one for the same name with
    /// `tidings certs renew NAME --even-if-revoked`. Clients do not read the list: they still trust a
    /// server certificate that is on it.
    #[command(after_help = "Examples:\n  \
        tidings certs revoke carol --reason keyCompromise\n  \
        tidings certs revoke /srv/old/sensor-7.crt\n  \
        tidings certs revoke --serial 4F0A6B21C5D8E93377A1B2C3D4E5F607")]
    Revoke(revoke::Revoke),
    /// Renew a certificate, or, without NAME, the revocation list.
    ///
    /// With NAME: creates a new key, and a certificate with the same content that is valid for as long
    /// as the old one was. They replace NAME.key and NAME.crt. The old files are kept as NAME.old.key
    /// and NAME.old.crt; files of an earlier renewal are replaced if they have expired or are revoked.
    /// The old certificate stays valid until it expires, so that there is time to install the new
    /// one. `tidings certs revoke NAME.old`, or --revoke, ends it earlier. A revoked certificate is
    /// not renewed without --even-if-revoked.
    ///
    /// Without NAME: signs ca.crl again, with the same entries. A broker accepts no list that has
    /// expired.
    #[command(after_help = "Examples:\n  \
        tidings certs renew\n  \
        tidings certs renew alice\n  \
        tidings certs renew sensor-7 --revoke")]
    Renew(renew::Renew),
    /// Show the content of a certificate or revocation list, and how long it is valid.
    ///
    /// For a certificate, also the identity that it gives. Shows what is written in the file, and does
    /// not check the signature.
    #[command(after_help = "Examples:\n  \
        tidings certs show alice\n  \
        tidings certs show ca.crl\n  \
        tidings certs show /etc/tidings/server.crt")]
    Show(show::Show),
}

/// Runs a subcommand. What it creates or finds goes to stdout, messages to stderr.
pub(crate) fn run(command: CertsCommand) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match command {
        CertsCommand::Init(command) => command.run(&mut out),
        CertsCommand::Issue(command) => command.run(&mut out),
        CertsCommand::Revoke(command) => command.run(&mut out),
        CertsCommand::Renew(command) => command.run(&mut out),
        CertsCommand::Show(command) => command.run(&mut out),
    }
}
