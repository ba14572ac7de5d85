//! `tidings certs init`

use std::{io::Write, net::IpAddr, path::Path};

use super::folder::{DAYS_MAX, FolderArgument};
use crate::{
    cli::stderr::print_message,
    clock,
    pki::{
        CERTIFICATE_DAYS, CertificateFolder, ServerNames, Validity, inspect::CertificateSummary,
    },
    text::{day_and_time, harmless_path},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Init {
    #[command(flatten)]
    folder: FolderArgument,
    /// Add a DNS name to the server's certificate, beside localhost. May be given several times.
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// Add an IP address to the server's certificate, beside 127.0.0.1 and ::1. May be given several times.
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,
    /// Days for which the certificates of server and clients are valid.
    #[arg(long, value_name = "N", default_value_t = CERTIFICATE_DAYS,
        value_parser = clap::value_parser!(u32).range(1..=DAYS_MAX))]
    days: u32,
}

impl Init {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let folder = CertificateFolder::new(self.folder.dir);
        let names = ServerNames {
            dns: self.dns,
            ips: self.ip,
        };
        let report = folder.init(Validity::days(self.days), &names)?;
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
}

/// A certificate that was left may have expired, and nothing else reports that here.
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
    print_message(format!("warning: {warning}"));
}
