//! `tidings certs`: make certificates and look at them.

use std::{
    io::{self, Write},
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::bail;
use chrono::{DateTime, SecondsFormat, Utc};

use crate::security::{
    IdentityError, IdentitySource,
    inspect::{CertificateSummary, escaped},
    issue::{CERTIFICATE_DAYS, CertificateFolder, CertificateRequest, Purpose, Validity},
};

/// Days for which a certificate can be asked: ten years, a little less than a new CA has.
const DAYS_MAX: i64 = 3_650;

/// Make certificates and look at them.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum CertsCommand {
    /// Make a CA, a server certificate for this machine, and the clients alice and bob.
    ///
    /// Makes only what is missing and never overwrites a file. For development: who can read
    /// ca.key can become anyone.
    #[command(after_help = "Examples:\n  \
        tidings certs init\n  \
        tidings certs init --dir /srv/broker/certs --days 90")]
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
    /// Show what a certificate says, how long it is good, and which identity it gives.
    ///
    /// Shows what is written in the file; it does not check who signed it.
    #[command(after_help = "Examples:\n  \
        tidings certs show alice\n  \
        tidings certs show /etc/tidings/server.crt")]
    Show(ShowArguments),
}

#[derive(Debug, clap::Args)]
pub(crate) struct InitArguments {
    #[command(flatten)]
    folder: FolderArgument,
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
pub(crate) struct ShowArguments {
    /// A name in the folder, such as alice, server or ca; or a PEM file.
    #[arg(value_name = "NAME|FILE")]
    certificate: PathBuf,
    #[command(flatten)]
    folder: FolderArgument,
}

#[derive(Debug, clap::Args)]
struct FolderArgument {
    /// The folder of the certificates.
    #[arg(long, value_name = "FOLDER", default_value = "certs")]
    dir: PathBuf,
}

/// Does what the command says. What was made or found goes to stdout, the rest to stderr.
pub(crate) fn run(command: CertsCommand) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match command {
        CertsCommand::Init(arguments) => init(&arguments, &mut out),
        CertsCommand::Issue(arguments) => issue(arguments, &mut out),
        CertsCommand::Show(arguments) => show(&arguments, &mut out),
    }
}

fn init(arguments: &InitArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let folder = CertificateFolder::new(&arguments.folder.dir);
    let report = folder.init(Validity::days(arguments.days))?;
    for path in &report.left {
        writeln!(out, "left {}", path.display())?;
    }
    for path in &report.made {
        writeln!(out, "made {}", path.display())?;
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
        Ok(Some(summary)) if summary.not_after < Utc::now() => format!(
            "{} ended on {}: remove it and its key, and run this again",
            path.display(),
            day_and_time(summary.not_after)
        ),
        Ok(_) => return,
        Err(fault) => fault.to_string(),
    };
    // With stderr gone there is nobody left to warn.
    let _ = writeln!(io::stderr(), "warning: {warning}");
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
    writeln!(out, "made {}", files.key.display())?;
    writeln!(out, "made {}", files.certificate.display())?;
    Ok(())
}

fn show(arguments: &ShowArguments, out: &mut impl Write) -> anyhow::Result<()> {
    let path = find(&arguments.certificate, &arguments.folder.dir)?;
    for (index, summary) in CertificateSummary::read(&path)?.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        for (key, value) in rows(&path, summary, Utc::now()) {
            writeln!(out, "{:<24}{value}", format!("{key}:"))?;
        }
    }
    Ok(())
}

/// A bare word is looked up in the folder first; whatever else is there is a file.
fn find(wanted: &Path, dir: &Path) -> anyhow::Result<PathBuf> {
    let in_folder = wanted
        .to_str()
        .filter(|name| !name.contains('/'))
        .map(|name| CertificateFolder::new(dir).certificate(name));
    if let Some(path) = in_folder.as_ref().filter(|path| path.exists()) {
        return Ok(path.clone());
    }
    if let (Some(in_folder), false) = (in_folder, wanted.exists()) {
        bail!(
            "there is neither {} nor a file {}: give a certificate's name or its file",
            in_folder.display(),
            wanted.display()
        );
    }
    Ok(wanted.to_owned())
}

/// What `show` prints: a key and a value for each line, every stranger's text escaped.
fn rows(path: &Path, summary: &CertificateSummary, now: DateTime<Utc>) -> Vec<(String, String)> {
    let mut rows = vec![
        ("file", path.display().to_string()),
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
    let days = |count: i64| match count {
        1 => "1 day".to_owned(),
        count => format!("{count} days"),
    };
    if now < summary.not_before {
        return "not valid yet".to_owned();
    }
    match summary.not_after.signed_duration_since(now) {
        left if left < chrono::TimeDelta::zero() => {
            format!("expired {} ago", days(-left.num_days()))
        }
        left => format!("valid, {} left", days(left.num_days())),
    }
}

fn day_and_time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::security::issue::{Authority, IssuedFiles};

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
    fn show_finds_a_name_before_a_file() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = CertificateFolder::new(temporary.path());
        folder.init(Validity::default()).unwrap();
        let found = |wanted: &Path| find(wanted, temporary.path());
        assert_eq!(found(Path::new("ca")).unwrap(), folder.ca());
        let file = folder.certificate("alice");
        assert_eq!(found(&file).unwrap(), file);
        let fault = found(Path::new("nobody")).unwrap_err();
        assert!(fault.to_string().contains("nobody.crt"), "{fault}");
    }
}
