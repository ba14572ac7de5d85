//! `tidings certs renew`

use std::{io::Write, path::Path};

use chrono::{DateTime, Utc};

use super::{
    folder::{FolderArgument, tell_serial},
    revoke::{tell_list, tell_revoked},
};
use crate::{
    cli::{dev::no_certificate, stderr::print_message},
    clock,
    pki::{
        CertificateFolder, IfRevoked, RenewReport, RevocationReason, RevocationTarget,
        inspect::CertificateSummary,
    },
    text::{day_and_time, harmless_path},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Renew {
    /// A name in the folder, such as alice. Without it, the revocation list is renewed.
    name: Option<String>,
    /// Revoke the old certificate as well.
    #[arg(long, requires = "name")]
    revoke: bool,
    /// Renew a certificate even if it is revoked. The client can connect again, with the new one.
    #[arg(long, requires = "name")]
    even_if_revoked: bool,
    #[command(flatten)]
    folder: FolderArgument,
}

impl Renew {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let folder = CertificateFolder::new(self.folder.dir);
        let Some(name) = &self.name else {
            let written = folder.renew_crl()?;
            let next_update = written.list.next_update;
            return tell_list(&folder, next_update, written.owner_lost.as_deref(), out);
        };
        if !folder.certificate(name).exists() {
            return Err(no_certificate(&folder.certificate(name), folder.path()).into());
        }
        let if_revoked = if self.even_if_revoked {
            IfRevoked::Renew
        } else {
            IfRevoked::Refuse
        };
        let report = folder.renew(name, if_revoked)?;
        // Before anything is printed: a closed stdout must not prevent it.
        let revoked = self.revoke.then(|| {
            let old = RevocationTarget::Certificate(report.old_certificate.clone());
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
        tell_serial(
            &CertificateSummary::read_first(&report.files.certificate)?,
            out,
        )?;
        if let Some(revoked) = revoked {
            return tell_revoked(&revoked?, &folder, out);
        }
        if let Some(text) = told_of_old(&report, folder.path(), clock::now()) {
            print_message(text);
        }
        Ok(())
    }
}

/// Whether the old certificate is still valid.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{ServerNames, Validity};

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
        let bob = RevocationTarget::Certificate(folder.certificate("bob"));
        folder.revoke(&bob, RevocationReason::default()).unwrap();
        let text = told("bob", IfRevoked::Renew);
        assert!(text.contains("stays revoked"), "{text}");
    }
}
