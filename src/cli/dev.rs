//! The development setup of `serve --dev`: certificates, what they imply for the settings, and three
//! lines to paste. The commands that read the same folder find the names in it here.

use std::{
    env, fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::Context;
use tracing::warn;

use super::{exit::UsageError, stderr::print_message};
use crate::{
    config::{ConfigError, Configuration, Entry, Origin, Values},
    pki::{CertificateFolder, ServerNames, Validity, inspect::CertificateSummary},
    text::escaped,
};

/// The folder of the development certificates, unless TIDINGS_CERTS names another.
pub(super) const FOLDER: &str = "certs";

/// The clients in the lines to paste.
const SUBSCRIBER: &str = "alice";
const PUBLISHER: &str = "bob";

/// The folder of this run: the one that `certs`, `pub` and `sub` use as well.
fn folder() -> PathBuf {
    env::var_os("TIDINGS_CERTS")
        .filter(|folder| !folder.is_empty())
        .map_or_else(|| FOLDER.into(), PathBuf::from)
}

/// Creates the development certificates that are missing.
pub(super) fn certificates() -> anyhow::Result<CertificateFolder> {
    let folder = CertificateFolder::new(folder());
    let report = folder.init(Validity::default(), &ServerNames::default())?;
    for path in &report.made {
        print_message(format_args!("made {}", path.display()));
    }
    for name in [SUBSCRIBER, PUBLISHER] {
        check_has_key(&folder, name)?;
    }
    Ok(folder)
}

/// Sets what `--dev` implies: the certificates of the folder, where no others are named.
pub(super) fn fill(
    configuration: &mut Configuration,
    folder: &CertificateFolder,
) -> Result<(), ConfigError> {
    let entry = |key, path: PathBuf| Entry::new(key, path, Origin::Dev);
    // The list says nothing of the clients of another CA.
    let crl = Some(folder.crl()).filter(|crl| !configuration.is_set("ca") && crl.exists());
    configuration.fill([
        entry("ca", folder.ca()),
        entry("cert", folder.certificate("server")),
        entry("key", folder.key("server")),
    ])?;
    configuration.fill(crl.map(|crl| entry("crl", crl)))
}

/// Warns of addresses that the certificate does not cover: a client on another machine refuses it.
pub(super) fn warn_of_unreachable(values: &Values) {
    let Some(certificate) = &values.tls.cert else {
        return;
    };
    // A certificate that cannot be read ends the start soon, with an error of its own.
    let Ok(summaries) = CertificateSummary::read(certificate) else {
        return;
    };
    let Some(summary) = summaries.first() else {
        return;
    };
    for address in values
        .listening
        .listen
        .iter()
        .filter(|address| !reaches(summary, address.ip()))
    {
        warn!(
            %address,
            "clients that connect there will refuse the certificate {}, which does not name that address: remove it and its key, server.crt and server.key, then run `tidings certs init --dns NAME` or `--ip ADDRESS`",
            certificate.display()
        );
    }
}

/// Whether the certificate covers `address`. For the unspecified address, any name that other machines
/// can use will do.
fn reaches(certificate: &CertificateSummary, address: IpAddr) -> bool {
    if !address.is_unspecified() {
        return is_localhost(address) || certificate.names.ips.contains(&address);
    }
    certificate.names.dns.iter().any(|name| name != "localhost")
        || certificate.names.ips.iter().any(|ip| !ip.is_loopback())
}

/// Whether `localhost` leads to it. The rest of 127.0.0.0/8 is this machine's too, under no name.
fn is_localhost(address: IpAddr) -> bool {
    address == Ipv4Addr::LOCALHOST || address == Ipv6Addr::LOCALHOST
}

/// The error for a name without a certificate: lists the names that have one.
pub(super) fn no_certificate(missing: &Path, folder: &Path) -> UsageError {
    UsageError(format!(
        "there is no {}: {}",
        missing.display(),
        names_in(folder)
    ))
}

/// Lists the names that have a certificate in a folder.
pub(super) fn names_in(folder: &Path) -> String {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            return format!(
                "there is no folder {} ({error}): name it with --certs, or create it with `tidings certs init`",
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

/// The most names that an error lists.
const NAMES_MAX: usize = 20;

/// The lines to paste need the key. Elsewhere, a certificate without its key is no error: clients
/// keep their keys to themselves.
fn check_has_key(folder: &CertificateFolder, name: &str) -> Result<(), UsageError> {
    let (key, certificate) = (folder.key(name), folder.certificate(name));
    if key.exists() {
        return Ok(());
    }
    Err(UsageError(format!(
        "{} is there without {}, and {name} cannot connect without it: put the key back, or move the certificate away to have both created again",
        certificate.display(),
        key.display()
    )))
}

/// A subscriber, a publisher, and a client that is nothing but openssl.
///
/// All paths are absolute: the lines are pasted into terminals with another current folder.
pub(super) fn lines_to_paste(address: SocketAddr) -> anyhow::Result<String> {
    let folder = env::current_dir()
        .context("cannot find the current folder")?
        .join(folder());
    let program = env::current_exe().context("cannot find the path of this program")?;
    let (program, folder) = (quoted(&program), quoted(&folder));
    let ip = address.ip();
    let (server, name) = if ip.is_unspecified() || is_localhost(ip) {
        let server = format!("localhost:{}", address.port());
        (server, "-verify_hostname localhost".to_owned())
    } else {
        (address.to_string(), format!("-verify_ip {ip}"))
    };
    let mut lines = String::new();
    lines.push_str(&format!(
        "{program} sub --server {server} --certs {folder} --as {SUBSCRIBER} --verbose --topic 'hello/#'\n"
    ));
    lines.push_str(&format!(
        "{program} pub --server {server} --certs {folder} --as {PUBLISHER} --topic hello/world --message '\"good tidings\"'\n"
    ));
    lines.push_str(&format!(
        "{{ printf '%s\\n' '{}' '{}'; cat; }} | openssl s_client -quiet -noservername -verify_quiet -verify_return_error {name} -connect {server} -CAfile {folder}/ca.crt -cert {folder}/{PUBLISHER}.crt -key {folder}/{PUBLISHER}.key\n",
        r#"{"event":"request_authentication","id":"__"}"#,
        r##"{"event":"subscribe","id":"__","content":{"topic":"hello/#"}}"##,
    ));
    Ok(lines)
}

/// Quoted as one word of a shell.
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

    #[test]
    fn the_revocation_list_is_used_with_its_own_ca_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = CertificateFolder::new(temporary.path());
        fs::write(folder.crl(), "").unwrap();
        let crls = |flags: &[&str]| {
            let mut configuration = Configuration::of_flags(flags);
            fill(&mut configuration, &folder).unwrap();
            let values = configuration.values();
            assert_eq!(values.tls.key, Some(folder.key("server")));
            values.access.crl.clone()
        };
        assert_eq!(crls(&["--dev"]), [folder.crl()]);
        assert_eq!(crls(&["--dev", "--crl", "x"]), [PathBuf::from("x")]);
        assert!(crls(&["--dev", "--ca", "x"]).is_empty());
        fs::remove_file(folder.crl()).unwrap();
        assert!(crls(&["--dev"]).is_empty());
    }
}
