//! `tidings certs show`

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use chrono::{DateTime, Utc};
use memchr::memmem;

use super::folder::{FolderArgument, find};
use crate::{
    clock, files,
    identity::{IdentityError, IdentitySource},
    pki::inspect::{CertificateSummary, CrlSummary},
    text::{day_and_time, escaped, harmless_path},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// A name in the folder, such as alice, server, ca or ca.crl, or a file.
    #[arg(value_name = "NAME|FILE")]
    certificate: PathBuf,
    #[command(flatten)]
    folder: FolderArgument,
}

impl Show {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let path = find(&self.certificate, &self.folder.dir)?;
        let now = clock::now();
        let blocks: Vec<_> = if is_list(&path) {
            let lists = CrlSummary::read(&path)?;
            let issuers = CertificateSummary::read_beside_crls(&path)?;
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
}

/// By the name of the file, or by its content.
fn is_list(path: &Path) -> bool {
    const HEADING: &[u8] = b"-----BEGIN X509 CRL-----";
    // An error is reported when the file is read again to be shown.
    path.extension().is_some_and(|extension| extension == "crl")
        || files::read(path).is_ok_and(|file| memmem::find(&file.bytes, HEADING).is_some())
}

/// One key and value for each line. All text out of the certificate is escaped.
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
    rows.extend(summary.names.dns.iter().map(|name| ("dns", escaped(name))));
    rows.extend(summary.names.ips.iter().map(|ip| ("ip", ip.to_string())));
    rows.extend(summary.names.uris.iter().map(|uri| ("uri", escaped(uri))));
    rows.extend(
        summary
            .names
            .emails
            .iter()
            .map(|email| ("email", escaped(email))),
    );
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
        rows.extend(IdentitySource::ALL.map(|source| {
            let key = format!("identity {}", source.as_str());
            (key, identity(summary, source))
        }));
    } else if !summary.is_ca {
        let why = "none: not for clients, as it has no clientAuth".to_owned();
        rows.push(("identity".to_owned(), why));
    }
    rows.retain(|(_, value)| !value.is_empty());
    rows
}

/// What `show` prints of a revocation list.
fn list_rows(path: &Path, list: &CrlSummary, now: DateTime<Utc>) -> Vec<(String, String)> {
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
mod tests;
