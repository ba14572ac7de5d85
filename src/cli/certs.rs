//! `tidings certs`: make certificates, take them back, renew them, and look at them. One file for each
//! subcommand; `folder` is what they share.

mod folder;
mod init;
mod issue;
mod renew;
mod revoke;
mod show;

use std::io;

const EXIT_CODES: &str = "Exit code: 0 done, 64 typed wrongly, or a file that cannot be used.";

/// Make certificates, take them back, renew them, and look at them.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXIT_CODES)]
pub(crate) enum CertsCommand {
    /// Make a CA, a server certificate for this machine, and the clients alice and bob.
    ///
    /// With them comes ca.crl, the list of certificates that the CA has taken back: none as yet.
    ///
    /// Makes only what is missing and never overwrites a file. For development: who can read
    /// ca.key can become anyone.
    #[command(after_help = "Examples:\n  \
        tidings certs init\n  \
        tidings certs init --certs /srv/broker/certs --days 90\n  \
        tidings certs init --dns broker.example.org --ip 192.0.2.7")]
    Init(init::Init),
    /// Make a key and a certificate, signed by the CA of the folder.
    ///
    /// Writes NAME.key and NAME.crt beside ca.crt. NAME is also the common name, which is the
    /// identity that a client gets unless the server runs with another --identity-from.
    #[command(after_help = "Examples:\n  \
        tidings certs issue carol\n  \
        tidings certs issue sensor-7 --uri spiffe://example.org/sensor-7 --days 30\n  \
        tidings certs issue broker --server --dns broker.example.org --ip 192.0.2.7")]
    Issue(issue::Issue),
    /// Take a certificate back: put it on the CA's revocation list, ca.crl.
    ///
    /// Whoever is on the list of a server's --crl is not let in any more, and thrown out when the
    /// server takes the new list: at once on SIGHUP, else within --reload-interval. There is no
    /// way back: issue a certificate under another name, or, to let the same name in again, `tidings
    /// certs renew NAME --even-if-revoked`. Clients look at no list: a server's certificate that is
    /// on it is still a server's to them.
    #[command(after_help = "Examples:\n  \
        tidings certs revoke carol --reason keyCompromise\n  \
        tidings certs revoke /srv/old/sensor-7.crt\n  \
        tidings certs revoke --serial 4F0A6B21C5D8E93377A1B2C3D4E5F607")]
    Revoke(revoke::Revoke),
    /// Renew a certificate, or, without NAME, the revocation list.
    ///
    /// With NAME: makes a new key, and a certificate that says the same and is good for as long as
    /// the old one was. They take the place of NAME.key and NAME.crt; the old two are kept as
    /// NAME.old.key and NAME.old.crt, in place of those of an earlier renewal when these have expired
    /// or are revoked. The old certificate stays good until its end, so that there is time to bring
    /// the new one to where it is used; `tidings certs revoke NAME.old`, or --revoke, ends it. A name
    /// that is revoked gets no other certificate, unless by --even-if-revoked.
    ///
    /// Without NAME: signs ca.crl anew, all that is on it kept. A server takes no list that has
    /// expired.
    #[command(after_help = "Examples:\n  \
        tidings certs renew\n  \
        tidings certs renew alice\n  \
        tidings certs renew sensor-7 --revoke")]
    Renew(renew::Renew),
    /// Show what a certificate or revocation list says, and how long it is good.
    ///
    /// Of a certificate also which identity it gives. Shows what is written in the file; it does
    /// not check who signed it.
    #[command(after_help = "Examples:\n  \
        tidings certs show alice\n  \
        tidings certs show ca.crl\n  \
        tidings certs show /etc/tidings/server.crt")]
    Show(show::Show),
}

/// Does what the command says. What was made or found goes to stdout, the rest to stderr.
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
