//! `serve --dev`: from nothing to a running broker and three lines to paste.

use std::{
    env, fs, io,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use anyhow::Context;
use tracing::warn;

use super::{exit::UsageError, say::say};
use crate::{
    pki::{CertificateFolder, ServerNames, Validity, inspect::CertificateSummary},
    text::escaped,
};

/// Where the development certificates are made.
pub(super) const FOLDER: &str = "certs";

/// Whose certificates the lines to paste use.
const SUBSCRIBER: &str = "alice";
const PUBLISHER: &str = "bob";

/// Makes what is missing of the development certificates.
pub(super) fn certificates() -> anyhow::Result<CertificateFolder> {
    let folder = CertificateFolder::new(FOLDER);
    let report = folder.init(Validity::default(), &ServerNames::default())?;
    for path in &report.made {
        say(format_args!("made {}", path.display()));
    }
    for name in [SUBSCRIBER, PUBLISHER] {
        check_has_key(&folder, name)?;
    }
    Ok(folder)
}

/// Clients that come from elsewhere need a name or address that the certificate has.
pub(super) fn warn_of_unreachable(listen: &[SocketAddr], certificate: &Path) {
    // A certificate that cannot be read ends the start, with its own words.
    let Ok(summaries) = CertificateSummary::read(certificate) else {
        return;
    };
    let Some(summary) = summaries.first() else {
        return;
    };
    for address in listen
        .iter()
        .filter(|address| !reaches(summary, address.ip()))
    {
        warn!(
            %address,
            "clients on other machines will refuse the certificate {}, which is for this machine alone: remove server.crt and server.key beside it, and run `tidings certs init --dns NAME` or `--ip ADDRESS`",
            certificate.display()
        );
    }
}

/// Whether a client that connects to `address` can find what it expects in the certificate. For all
/// addresses at once that is any name but this machine's.
fn reaches(certificate: &CertificateSummary, address: IpAddr) -> bool {
    if !address.is_unspecified() {
        return address.is_loopback() || certificate.ips.contains(&address);
    }
    certificate.dns.iter().any(|name| name != "localhost")
        || certificate.ips.iter().any(|ip| !ip.is_loopback())
}

/// For a name that was typed, in words.
pub(super) fn no_certificate(missing: &Path, folder: &Path) -> UsageError {
    UsageError(format!(
        "there is no {}: {}",
        missing.display(),
        names_in(folder)
    ))
}

/// Which names a folder has certificates of, in words.
pub(super) fn names_in(folder: &Path) -> String {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            return format!(
                "there is no folder {} to look in ({error}): give it with --certs, or make one with `tidings certs init`",
                folder.display()
            );
        }
    };
    let name = |entry: io::Result<fs::DirEntry>| {
        let path = entry.ok()?.path();
        let is_certificate = path.extension().is_some_and(|extension| extension == "crt");
        let name = path.file_stem()?.to_str().map(escaped);
        name.filter(|_| is_certificate)
    };
    let mut names: Vec<String> = entries.filter_map(name).collect();
    if names.is_empty() {
        return format!("{} holds no certificates", folder.display());
    }
    names.sort_unstable();
    let others = names.len().saturating_sub(NAMES_MAX);
    names.truncate(NAMES_MAX);
    let more = match others {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    format!("{} holds {}{more}", folder.display(), names.join(", "))
}

/// Names that an error lists.
const NAMES_MAX: usize = 20;

/// The lines to paste would not work without. A client's key may well be elsewhere otherwise.
fn check_has_key(folder: &CertificateFolder, name: &str) -> Result<(), UsageError> {
    let (key, certificate) = (folder.key(name), folder.certificate(name));
    if key.exists() {
        return Ok(());
    }
    Err(UsageError(format!(
        "{} is there without {}, and {name} cannot connect without it: put the key back, or move the certificate away, and both are made anew",
        certificate.display(),
        key.display()
    )))
}

/// A subscriber, a publisher, and a client that is nothing but openssl.
///
/// Whole paths throughout: the lines are pasted into terminals that stand somewhere else.
pub(super) fn lines_to_paste(address: SocketAddr) -> anyhow::Result<String> {
    let folder = env::current_dir()
        .context("cannot tell the current folder")?
        .join(FOLDER);
    let program = env::current_exe().context("cannot tell where this program is")?;
    let (program, folder) = (quoted(&program), quoted(&folder));
    let server = format!("localhost:{}", address.port());
    let mut lines = String::new();
    lines.push_str(&format!(
        "{program} sub --server {server} --certs {folder} --as {SUBSCRIBER} --verbose --topic 'hello/#'\n"
    ));
    lines.push_str(&format!(
        "{program} pub --server {server} --certs {folder} --as {PUBLISHER} --topic hello/world --message '\"good tidings\"'\n"
    ));
    lines.push_str(&format!(
        "{{ printf '%s\\n' '{}' '{}'; cat; }} | openssl s_client -quiet -noservername -verify_quiet -verify_return_error -verify_hostname localhost -connect {server} -CAfile {folder}/ca.crt -cert {folder}/{PUBLISHER}.crt -key {folder}/{PUBLISHER}.key\n",
        r#"{"event":"request_authentication","id":"__"}"#,
        r##"{"event":"subscribe","id":"__","content":{"topic":"hello/#"}}"##,
    ));
    Ok(lines)
}

/// As one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(is_plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_without_its_key_is_told_with_the_remedy() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = CertificateFolder::new(temporary.path());
        folder
            .init(Validity::default(), &ServerNames::default())
            .unwrap();
        assert!(check_has_key(&folder, PUBLISHER).is_ok());
        fs::remove_file(folder.key(PUBLISHER)).unwrap();
        let fault = check_has_key(&folder, PUBLISHER).unwrap_err().to_string();
        assert!(fault.contains("bob.crt is there without "), "{fault}");
        assert!(fault.contains("put the key back"), "{fault}");
    }
}
