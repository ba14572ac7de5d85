//! `tidings certs revoke`, and the messages about a revocation list that was written.

use std::{io::Write, path::PathBuf};

use chrono::{DateTime, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::folder::{FolderArgument, find};
use crate::{
    cli::{
        exit::UsageError,
        stderr::{self, print_message},
    },
    pki::{
        CertificateFolder, RevocationReason, RevocationTarget, RevokeReport, Serial,
        inspect::CertificateSummary,
    },
    text::{day_and_time, harmless_path},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Revoke {
    /// A name in the folder, such as alice, or a PEM file.
    #[arg(
        value_name = "NAME|FILE",
        required_unless_present = "serial",
        conflicts_with = "serial"
    )]
    certificate: Option<PathBuf>,
    /// The certificate's serial number in hexadecimal, if its file is gone. Not checked against the
    /// certificates that were issued.
    #[arg(long, value_name = "HEX")]
    serial: Option<Serial>,
    /// The reason.
    #[arg(long, value_name = "REASON", default_value = RevocationReason::default().as_str(),
        value_parser = reasons())]
    reason: RevocationReason,
    #[command(flatten)]
    folder: FolderArgument,
}

/// By their names in RFC 5280.
fn reasons() -> impl TypedValueParser<Value = RevocationReason> {
    PossibleValuesParser::new(RevocationReason::OF_CERTIFICATES.map(RevocationReason::as_str))
        .map(|name| RevocationReason::from_name(&name).unwrap_or_default())
}

impl Revoke {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let Self {
            certificate,
            serial,
            reason,
            folder,
        } = self;
        let what = match (certificate, serial) {
            (_, Some(serial)) => RevocationTarget::Serial(serial),
            (Some(wanted), None) => RevocationTarget::Certificate(find(&wanted, &folder.dir)?),
            (None, None) => {
                let fault = "give a certificate's name, its file, or --serial";
                return Err(UsageError(fault.to_owned()).into());
            }
        };
        let folder = CertificateFolder::new(folder.dir);
        let report = folder.revoke(&what, reason)?;
        tell_revoked(&report, &folder, out)?;
        if let RevocationTarget::Certificate(path) = &what {
            warn_of_servers(&CertificateSummary::read_first(path)?);
        }
        Ok(())
    }
}

/// Revoking a server's certificate has less effect than it seems to.
fn warn_of_servers(certificate: &CertificateSummary) {
    if certificate.is_for_servers() {
        print_message(format!(
            "warning: it is for servers, and clients look at no list: until {} they take whoever has its key; `tidings certs issue NAME --server` makes another for it",
            day_and_time(certificate.not_after)
        ));
    }
}

pub(super) fn tell_revoked(
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

/// What was written, how long it is valid, and when a broker uses it.
pub(super) fn tell_list(
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
    print_message(format!(
        "a server that runs with --crl {} takes it within its --reload-interval, or at once on SIGHUP",
        list.display()
    ));
    if let Some(reason) = owner_lost {
        print_message(stderr::owner_lost(&list, reason));
    }
    Ok(())
}
