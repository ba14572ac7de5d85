//! `tidings certs`: make certificates, take them back, renew them, and look at them.

use std::{
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use memchr::memmem;

use super::{
    dev::{self, no_certificate},
    exit::UsageError,
    say::say,
};
use crate::{
    clock, files,
    identity::{IdentityError, IdentitySource},
    pki::{
        CERTIFICATE_DAYS, CertificateFolder, CertificateRequest, IfRevoked, Purpose, RenewReport,
        RevocationReason, RevokeReport, Revoked, Serial, ServerNames, Validity,
        inspect::{CertificateSummary, ListSummary},
    },
    text::{day_and_time, escaped, harmless_path},
};

/// Days for which a certificate can be asked: ten years, a little less than a new CA has.
const DAYS_MAX: i64 = 3_650;

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
    Init(InitArguments),
    /// Make a key and a certificate, signed by the CA of the folder.
    ///
    /// Writes NAME.key and NAME.crt beside ca.crt. NAME is also the common name, which is the
    /// identity that a client gets unless the server runs with another --identity-from.
    #[command(after_help = "Examples:\n  \
        tidings certs issue carol\n  \
        tidings certs issue sensor-7 --uri spiffe://example.org/sensor-7 --days 30\n  \
        tidings certs issue broker --server --dns broker.example.org --ip 192.0.2.7")]
    Issue(IssueArguments),
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
    Revoke(RevokeArguments),
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
    Renew(RenewArguments),
    /// Show what a certificate or revocation list says, and how long it is good.
    ///
    /// Of a certificate also which identity it gives. Shows what is written in the file; it does
    /// not check who signed it.
    #[command(after_help = "Examples:\n  \
        tidings certs show alice\n  \
        tidings certs show ca.crl\n  \
        tidings certs show /etc/tidings/server.crt")]
    Show(ShowArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct InitArguments {
    #[command(flatten)]
    folder: FolderArgument,
    /// Add a DNS name to the server's certificate, beside localhost. Can be given again.
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// Add an IP address to the server's certificate, beside 127.0.0.1 and ::1. Can be given again.
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,
    /// Days for which the server's and the clients' certificates are good.
    #[arg(long, value_name = "N", default_value_t = CERTIFICATE_DAYS,
        value_parser = clap::value_parser!(u32).range(1..=DAYS_MAX))]
    days: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct IssueArguments {
    /// Names the files, and the client or server as the certificate's common name.
    name: String,
    #[command(flatten)]
    folder: FolderArgument,
    /// Make it for a server instead of a client. Without --dns and --ip, NAME is the name that
    /// clients reach it by.
    #[arg(long)]
    server: bool,
    /// Add a DNS name. Can be given again.
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// Add an IP address. Can be given again.
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,
    /// Add a URI. Can be given again, but --identity-from san-uri wants exactly one.
    #[arg(long, value_name = "URI")]
    uri: Vec<String>,
    /// Add an e-mail address. Can be given again, but --identity-from san-email wants exactly one.
    #[arg(long, value_name = "ADDRESS")]
    email: Vec<String>,
    /// Days for which it is good.
    #[arg(long, value_name = "N", default_value_t = CERTIFICATE_DAYS,
        value_parser = clap::value_parser!(u32).range(1..=DAYS_MAX))]
    days: u32,
}

#[derive(Debug, clap::Args)]
pub(crate) struct RevokeArguments {
    /// A name in the folder, such as alice; or a PEM file.
    #[arg(
        value_name = "NAME|FILE",
        required_unless_present = "serial",
        conflicts_with = "serial"
    )]
    certificate: Option<PathBuf>,
    /// The certificate's serial number in hexadecimal, when its file is gone. Whether there ever
    /// was one with it is not checked.
    #[arg(long, value_name = "HEX")]
    serial: Option<Serial>,
    /// Why.
    #[arg(long, value_name = "REASON", default_value = RevocationReason::default().as_str(),
        value_parser = reasons())]
    reason: RevocationReason,
    #[command(flatten)]
    folder: FolderArgument,
}

/// The words of RFC 5280.
fn reasons() -> impl TypedValueParser<Value = RevocationReason> {
    PossibleValuesParser::new(RevocationReason::OF_CERTIFICATES.map(RevocationReason::as_str))
        .map(|name| RevocationReason::from_name(&name).unwrap_or_default())
}

#[derive(Debug, clap::Args)]
pub(crate) struct RenewArguments {
    /// A name in the folder, such as alice. Without it the revocation list is renewed.
    name: Option<String>,
    /// Take the old certificate back as well.
    #[arg(long, requires = "name")]
    revoke: bool,
    /// Renew a certificate that is revoked too: its name is let in again, by the new one.
    #[arg(long, requires = "name")]
    even_if_revoked: bool,
    #[command(flatten)]
    folder: FolderArgument,
}

#[derive(Debug, clap::Args)]
pub(crate) struct ShowArguments {
    /// A name in the folder, such as alice, server, ca or ca.crl; or a file.
    #[arg(value_name = "NAME|FILE")]
    certificate: PathBuf,
    #[command(flatten)]
    folder: FolderArgument,
}

#[derive(Debug, clap::Args)]
struct FolderArgument {
    /// The folder of the certificates.
    #[arg(
        long = "certs",
        visible_alias = "dir",
        env = "TIDINGS_CERTS",
        value_name = "FOLDER",
        default_value = dev::FOLDER
    )]
    dir: PathBuf,
}

/// Does what the command says. What was made or found goes to stdout, the rest to stderr.
pub(crate) fn run(command: CertsCommand) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match command {
        CertsCommand::Init(arguments) => init(&arguments, &mut out),
        CertsCommand::Issue(arguments) => issue(arguments, &mut out),
        CertsCommand::Revoke(arguments) => revoke(arguments, &mut out),
        CertsCommand::Renew(arguments) => renew(&arguments, &mut out),
        CertsCommand::Show(arguments) => show(&arguments, &mut out),
    }
}

fn init(arguments: &InitArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let folder = CertificateFolder::new(&arguments.folder.dir);
    let names = ServerNames {
        dns: arguments.dns.clone(),
        ips: arguments.ip.clone(),
    };
    let report = folder.init(Validity::days(arguments.days), &names)?;
    for path in &report.left {
        writeln!(out, "left {}", harmless_path(path))?;
    }
    for path in &report.made {
        writeln!(out, "made {}", harmless_path(path))?;
    }
    for path in report
        .left
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "crt"))
    {
        warn_of_end(path);
    }
    Ok(())
}

/// What was left as it was may be of no use any more, and nothing else would say so here.
fn warn_of_end(path: &Path) {
    let warning = match CertificateSummary::read(path).map(|summaries| summaries.into_iter().next())
    {
        Ok(Some(summary)) if summary.not_after < clock::now() => format!(
            "{} ended on {}: remove it and its key, and run this again",
            path.display(),
            day_and_time(summary.not_after)
        ),
        Ok(_) => return,
        Err(fault) => fault.to_string(),
    };
    say(format!("warning: {warning}"));
}

fn issue(arguments: IssueArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let IssueArguments {
        name,
        folder,
        server,
        dns,
        ip,
        uri,
        email,
        days,
    } = arguments;
    let named = if server && dns.is_empty() && ip.is_empty() {
        CertificateRequest::server(&name)
    } else {
        let mut request = CertificateRequest::client(&name);
        if server {
            request.purpose = Purpose::Server;
        }
        request.dns = dns;
        request.ips = ip;
        request
    };
    let request = CertificateRequest {
        uris: uri,
        emails: email,
        valid: Validity::days(days),
        ..named
    };
    let files = CertificateFolder::new(folder.dir).issue(&name, &request)?;
    writeln!(out, "made {}", harmless_path(&files.key))?;
    writeln!(out, "made {}", harmless_path(&files.certificate))?;
    tell_serial(&first_of(&files.certificate)?, out)
}

/// By which it can be revoked when its file is gone.
fn tell_serial(certificate: &CertificateSummary, out: &mut impl Write) -> anyhow::Result<()> {
    Ok(writeln!(out, "serial {}", certificate.serial)?)
}

fn first_of(path: &Path) -> anyhow::Result<CertificateSummary> {
    // There is never none.
    Ok(CertificateSummary::read(path)?.swap_remove(0))
}

fn revoke(arguments: RevokeArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let RevokeArguments {
        certificate,
        serial,
        reason,
        folder,
    } = arguments;
    let what = match (certificate, serial) {
        (_, Some(serial)) => Revoked::Serial(serial),
        (Some(wanted), None) => Revoked::Certificate(find(&wanted, &folder.dir)?),
        (None, None) => {
            let fault = "give a certificate's name, its file, or --serial";
            return Err(UsageError(fault.to_owned()).into());
        }
    };
    let folder = CertificateFolder::new(folder.dir);
    let report = folder.revoke(&what, reason)?;
    tell_revoked(&report, &folder, out)?;
    if let Revoked::Certificate(path) = &what {
        warn_of_servers(&first_of(path)?);
    }
    Ok(())
}

/// A server's certificate on a list looks like more than it is.
fn warn_of_servers(certificate: &CertificateSummary) {
    if certificate.is_for_servers() {
        say(format!(
            "warning: it is for servers, and clients look at no list: until {} they take whoever has its key; `tidings certs issue NAME --server` makes another for it",
            day_and_time(certificate.not_after)
        ));
    }
}

fn tell_revoked(
    report: &RevokeReport,
    folder: &CertificateFolder,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (revocation, list) = (&report.revocation, folder.crl());
    let (serial, reason, list) = (&revocation.serial, revocation.reason, harmless_path(&list));
    if report.was_there {
        writeln!(
            out,
            "left {list}: {serial} is on it since {} ({reason})",
            day_and_time(revocation.since)
        )?;
        return Ok(());
    }
    writeln!(out, "revoked {serial} ({reason})")?;
    tell_list(
        folder,
        report.list.next_update,
        report.owner_lost.as_deref(),
        out,
    )
}

/// What was written, until when it serves, and what makes it count.
fn tell_list(
    folder: &CertificateFolder,
    next_update: DateTime<Utc>,
    owner_lost: Option<&str>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let list = folder.crl();
    writeln!(
        out,
        "made {}, good until {}",
        harmless_path(&list),
        day_and_time(next_update)
    )?;
    say(format!(
        "a server that runs with --crl {} takes it within its --reload-interval, or at once on SIGHUP",
        list.display()
    ));
    if let Some(reason) = owner_lost {
        say(format!(
            "warning: {} belongs to this user now, as its owner could not be kept ({reason}): can the server still read it?",
            list.display()
        ));
    }
    Ok(())
}

fn renew(arguments: &RenewArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let folder = CertificateFolder::new(&arguments.folder.dir);
    let Some(name) = &arguments.name else {
        let written = folder.renew_crl()?;
        let next_update = written.list.next_update;
        return tell_list(&folder, next_update, written.owner_lost.as_deref(), out);
    };
    if !folder.certificate(name).exists() {
        return Err(no_certificate(&folder.certificate(name), folder.path()).into());
    }
    let if_revoked = if arguments.even_if_revoked {
        IfRevoked::Renew
    } else {
        IfRevoked::Refuse
    };
    let report = folder.renew(name, if_revoked)?;
    // Before anything is told: a reader that is gone keeps nothing from being done.
    let revoked = arguments.revoke.then(|| {
        let old = Revoked::Certificate(report.old_certificate.clone());
        folder.revoke(&old, RevocationReason::Superseded)
    });
    for kept in report.old_key.iter().chain([&report.old_certificate]) {
        writeln!(out, "kept {}", harmless_path(kept))?;
    }
    writeln!(out, "made {}", harmless_path(&report.files.key))?;
    writeln!(
        out,
        "made {}, good until {}",
        harmless_path(&report.files.certificate),
        day_and_time(report.not_after)
    )?;
    tell_serial(&first_of(&report.files.certificate)?, out)?;
    if let Some(revoked) = revoked {
        return tell_revoked(&revoked?, &folder, out);
    }
    if let Some(text) = told_of_old(&report, folder.path(), clock::now()) {
        say(text);
    }
    Ok(())
}

/// What the old certificate is still good for.
fn told_of_old(report: &RenewReport, dir: &Path, now: DateTime<Utc>) -> Option<String> {
    match &report.old_revocation {
        Some(revocation) => Some(format!(
            "the old certificate stays revoked, as it is since {}",
            day_and_time(revocation.since)
        )),
        None if report.old_not_after > now => Some(format!(
            "the old certificate is not revoked, and good until {}: `tidings certs revoke {} --certs {}` ends it",
            day_and_time(report.old_not_after),
            report.old_certificate.display(),
            dir.display()
        )),
        None => None,
    }
}

fn show(arguments: &ShowArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let path = find(&arguments.certificate, &arguments.folder.dir)?;
    let now = clock::now();
    let blocks: Vec<_> = if is_list(&path) {
        let lists = ListSummary::read(&path)?;
        let issuers = CertificateSummary::read_beside_lists(&path)?;
        let lists = lists.iter().map(|list| list_rows(&path, list, now));
        let issuers = issuers.iter().map(|issuer| rows(&path, issuer, now));
        lists.chain(issuers).collect()
    } else {
        let certificates = CertificateSummary::read(&path)?;
        certificates
            .iter()
            .map(|certificate| rows(&path, certificate, now))
            .collect()
    };
    for (index, rows) in blocks.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        for (key, value) in rows {
            writeln!(out, "{:<24}{value}", format!("{key}:"))?;
        }
    }
    Ok(())
}

/// By its name, or by what it is when it says so.
fn is_list(path: &Path) -> bool {
    const HEADING: &[u8] = b"-----BEGIN X509 CRL-----";
    // What cannot be read is told by who reads it to show it.
    path.extension().is_some_and(|extension| extension == "crl")
        || files::read(path).is_ok_and(|file| memmem::find(&file.bytes, HEADING).is_some())
}

/// A bare word is looked up in the folder first; whatever else is there is a file.
fn find(wanted: &Path, dir: &Path) -> Result<PathBuf, UsageError> {
    let folder = CertificateFolder::new(dir);
    let in_folder = wanted
        .to_str()
        .filter(|name| !name.contains('/'))
        .map(|name| match folder.crl() {
            list if list.file_name() == Some(wanted.as_os_str()) => list,
            _ => folder.certificate(name),
        });
    match in_folder {
        Some(path) if path.exists() => Ok(path),
        Some(path) if !wanted.exists() => Err(UsageError(format!(
            "there is neither {} nor a file {}: {}",
            path.display(),
            wanted.display(),
            dev::names_in(dir)
        ))),
        _ => Ok(wanted.to_owned()),
    }
}

/// What `show` prints: a key and a value for each line, every stranger's text escaped.
fn rows(path: &Path, summary: &CertificateSummary, now: DateTime<Utc>) -> Vec<(String, String)> {
    let mut rows = vec![
        ("file", harmless_path(path)),
        ("subject", escaped(&summary.subject)),
        ("issuer", escaped(&summary.issuer)),
        ("serial", summary.serial.clone()),
        ("sha256 fingerprint", summary.sha256_fingerprint.clone()),
        ("not before", day_and_time(summary.not_before)),
        ("not after", day_and_time(summary.not_after)),
        ("state", state(summary, now)),
        ("ca", if summary.is_ca { "yes" } else { "no" }.to_owned()),
        ("key usage", summary.key_usages.join(", ")),
        ("extended key usage", summary.extended_key_usages.join(", ")),
    ];
    rows.extend(summary.dns.iter().map(|name| ("dns", escaped(name))));
    rows.extend(summary.ips.iter().map(|ip| ("ip", ip.to_string())));
    rows.extend(summary.uris.iter().map(|uri| ("uri", escaped(uri))));
    rows.extend(summary.emails.iter().map(|email| ("email", escaped(email))));
    rows.extend(
        summary
            .other_names
            .iter()
            .map(|name| ("other name", escaped(name))),
    );
    let mut rows: Vec<_> = rows
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    if summary.is_for_clients() {
        rows.extend(
            IDENTITY_SOURCES
                .map(|(flag, source)| (format!("identity {flag}"), identity(summary, source))),
        );
    } else if !summary.is_ca {
        let why = "none: not for clients, as it has no clientAuth".to_owned();
        rows.push(("identity".to_owned(), why));
    }
    rows.retain(|(_, value)| !value.is_empty());
    rows
}

/// What `show` prints of a revocation list.
fn list_rows(path: &Path, list: &ListSummary, now: DateTime<Utc>) -> Vec<(String, String)> {
    let state = match list.next_update {
        None => "never usable: it does not say when the next one is due".to_owned(),
        Some(next_update) => good_until(next_update, now),
    };
    let unsaid = || "not said".to_owned();
    let mut rows = vec![
        ("file", harmless_path(path)),
        ("issuer", escaped(&list.issuer)),
        ("crl number", list.number.clone().unwrap_or_else(unsaid)),
        ("this update", day_and_time(list.this_update)),
        (
            "next update",
            list.next_update.map_or_else(unsaid, day_and_time),
        ),
        ("state", state),
        ("revoked certificates", list.revocations.len().to_string()),
    ];
    rows.extend(list.revocations.iter().map(|revocation| {
        let (serial, since) = (&revocation.serial, day_and_time(revocation.since));
        let reason = revocation.reason.as_deref().unwrap_or("unspecified");
        ("revoked", format!("{serial} since {since} ({reason})"))
    }));
    rows.into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// The values of `--identity-from`.
const IDENTITY_SOURCES: [(&str, IdentitySource); 4] = [
    ("cn", IdentitySource::CommonName),
    ("san-dns", IdentitySource::SanDns),
    ("san-uri", IdentitySource::SanUri),
    ("san-email", IdentitySource::SanEmail),
];

fn identity(summary: &CertificateSummary, source: IdentitySource) -> String {
    match summary.identity(source) {
        Ok(identity) => escaped(identity.as_str()),
        Err(IdentityError::Missing(_)) => "none".to_owned(),
        Err(IdentityError::Ambiguous(_)) => "ambiguous".to_owned(),
        Err(fault) => format!("none: {fault}"),
    }
}

fn state(summary: &CertificateSummary, now: DateTime<Utc>) -> String {
    if now < summary.not_before {
        return "not valid yet".to_owned();
    }
    good_until(summary.not_after, now)
}

fn good_until(end: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let days = |count: i64| match count {
        1 => "1 day".to_owned(),
        count => format!("{count} days"),
    };
    match end.signed_duration_since(now) {
        left if left < chrono::TimeDelta::zero() => {
            format!("expired {} ago", days(-left.num_days()))
        }
        left => format!("valid, {} left", days(left.num_days())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use chrono::TimeDelta;

    use super::*;
    use crate::pki::{Authority, IssuedFiles};

    fn summary_of(request: &CertificateRequest) -> CertificateSummary {
        let folder = tempfile::tempdir().unwrap();
        let files = IssuedFiles {
            certificate: folder.path().join("some.crt"),
            key: folder.path().join("some.key"),
        };
        let authority = Authority::generate("root").unwrap();
        authority.issue(request).unwrap().write(&files).unwrap();
        CertificateSummary::read(&files.certificate)
            .unwrap()
            .remove(0)
    }

    fn shown(request: &CertificateRequest) -> Vec<(String, String)> {
        rows(Path::new("some.crt"), &summary_of(request), Utc::now())
    }

    fn value<'a>(rows: &'a [(String, String)], key: &str) -> Option<&'a str> {
        rows.iter()
            .find(|(found, _)| found == key)
            .map(|(_, value)| value.as_str())
    }

    #[test]
    fn show_tells_which_identity_each_field_gives() {
        let mut request = CertificateRequest::client("alice");
        request.uris = vec!["urn:a".to_owned(), "urn:b".to_owned()];
        request.emails = vec!["alice@example.org".to_owned()];
        let rows = shown(&request);
        assert_eq!(value(&rows, "identity cn"), Some("alice"));
        assert_eq!(value(&rows, "identity san-dns"), Some("none"));
        assert_eq!(value(&rows, "identity san-uri"), Some("ambiguous"));
        assert_eq!(
            value(&rows, "identity san-email"),
            Some("alice@example.org")
        );
    }

    #[test]
    fn show_gives_a_server_no_identity() {
        let rows = shown(&CertificateRequest::server("broker.example.org"));
        assert_eq!(value(&rows, "identity cn"), None);
        assert!(value(&rows, "identity").unwrap().starts_with("none"));
    }

    #[test]
    fn show_spells_out_what_a_stranger_wrote() {
        let rows = shown(&CertificateRequest::client("a\nca: yes\u{202e}\u{1b}[2J"));
        assert_eq!(
            value(&rows, "subject"),
            Some(r"CN=a\nca: yes\u{202e}\u{1b}[2J")
        );
        assert!(value(&rows, "identity cn").unwrap().starts_with("none: "));
        for (_, value) in rows {
            assert!(!value.contains(char::is_control), "{value:?}");
        }
    }

    #[test]
    fn show_tells_how_long_it_is_good() {
        let summary = summary_of(&CertificateRequest::client("alice"));
        let end = summary.not_after;
        for (now, expected) in [
            (summary.not_before - TimeDelta::seconds(1), "not valid yet"),
            (end - TimeDelta::days(30), "valid, 30 days left"),
            (end - TimeDelta::hours(36), "valid, 1 day left"),
            (end, "valid, 0 days left"),
            (end + TimeDelta::days(2), "expired 2 days ago"),
        ] {
            assert_eq!(state(&summary, now), expected);
        }
    }

    #[test]
    fn show_tells_what_is_on_a_list() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = CertificateFolder::new(temporary.path());
        folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap();
        let alice = Revoked::Certificate(folder.certificate("alice"));
        let report = folder
            .revoke(&alice, RevocationReason::KeyCompromise)
            .unwrap();
        let path = find(Path::new("ca.crl"), temporary.path()).unwrap();
        assert_eq!(path, folder.crl());
        assert!(is_list(&path));
        let lists = ListSummary::read(&path).unwrap();
        let rows = list_rows(&path, &lists[0], Utc::now());
        let certificate = CertificateSummary::read(&folder.certificate("alice")).unwrap();
        let entry = format!(
            "{} since {} (keyCompromise)",
            certificate[0].serial,
            day_and_time(report.revocation.since)
        );
        assert_eq!(value(&rows, "revoked"), Some(entry.as_str()));
        assert_eq!(value(&rows, "crl number"), Some("2"));
        assert_eq!(value(&rows, "state"), Some("valid, 396 days left"));
    }

    #[test]
    fn show_tells_who_stands_beside_a_list() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = CertificateFolder::new(temporary.path());
        folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap();
        let both =
            fs::read_to_string(folder.ca()).unwrap() + &fs::read_to_string(folder.crl()).unwrap();
        let certificate = temporary.path().join("both.crl");
        fs::write(&certificate, both).unwrap();
        let folder = FolderArgument {
            dir: temporary.path().to_owned(),
        };
        let mut out = Vec::new();
        show(
            &ShowArguments {
                certificate,
                folder,
            },
            &mut out,
        )
        .unwrap();
        let out = String::from_utf8(out).unwrap();
        for expected in ["crl number:", "sha256 fingerprint:"] {
            assert!(out.contains(expected), "{out}");
        }
    }

    #[test]
    fn show_finds_a_name_before_a_file() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = CertificateFolder::new(temporary.path());
        folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap();
        let found = |wanted: &Path| find(wanted, temporary.path());
        assert_eq!(found(Path::new("ca")).unwrap(), folder.ca());
        let file = folder.certificate("alice");
        assert_eq!(found(&file).unwrap(), file);
        let fault = found(Path::new("nobody")).unwrap_err();
        assert!(fault.to_string().contains("nobody.crt"), "{fault}");
        let fault = find(Path::new("ca.crl"), Path::new("nope")).unwrap_err();
        assert!(
            fault.to_string().contains("neither nope/ca.crl nor"),
            "{fault}"
        );
    }

    #[test]
    fn renewing_tells_the_truth_of_the_old_certificate() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = CertificateFolder::new(temporary.path());
        folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap();
        let told = |name: &str, if_revoked| {
            let report = folder.renew(name, if_revoked).unwrap();
            told_of_old(&report, folder.path(), Utc::now()).unwrap()
        };
        let text = told("alice", IfRevoked::Refuse);
        assert!(
            text.contains("is not revoked") && text.contains("alice.old.crt --certs "),
            "{text}"
        );
        let bob = Revoked::Certificate(folder.certificate("bob"));
        folder.revoke(&bob, RevocationReason::default()).unwrap();
        let text = told("bob", IfRevoked::Renew);
        assert!(text.contains("stays revoked"), "{text}");
    }
}
