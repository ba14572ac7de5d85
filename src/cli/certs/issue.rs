//! `tidings certs issue`

use std::{io::Write, net::IpAddr};

use super::folder::{DAYS_MAX, FolderArgument, tell_serial};
use crate::{
    pki::{
        CERTIFICATE_DAYS, CertificateFolder, CertificateRequest, Purpose, Validity,
        inspect::CertificateSummary,
    },
    text::harmless_path,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Issue {
    /// The name of the files, and the common name of the certificate.
    name: String,
    #[command(flatten)]
    folder: FolderArgument,
    /// Create it for a server instead of a client. Without --dns and --ip, NAME is the name that
    /// clients connect to.
    #[arg(long)]
    server: bool,
    /// Add a DNS name. May be given several times.
    #[arg(long, value_name = "NAME")]
    dns: Vec<String>,
    /// Add an IP address. May be given several times.
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,
    /// Add a URI. May be given several times, but --identity-from san-uri wants exactly one.
    #[arg(long, value_name = "URI")]
    uri: Vec<String>,
    /// Add an e-mail address. May be given several times, but --identity-from san-email wants exactly one.
    #[arg(long, value_name = "ADDRESS")]
    email: Vec<String>,
    /// Days for which it is valid.
    #[arg(long, value_name = "N", default_value_t = CERTIFICATE_DAYS,
        value_parser = clap::value_parser!(u32).range(1..=DAYS_MAX))]
    days: u32,
}

impl Issue {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<()> {
        let Self {
            name,
            folder,
            server,
            dns,
            ip,
            uri,
            email,
            days,
        } = self;
        let mut request = if server && dns.is_empty() && ip.is_empty() {
            CertificateRequest::server(&name)
        } else {
            let mut request = CertificateRequest::client(&name);
            if server {
                request.purpose = Purpose::Server;
            }
            request.names.dns = dns;
            request.names.ips = ip;
            request
        };
        request.names.uris = uri;
        request.names.emails = email;
        request.valid = Validity::days(days);
        let files = CertificateFolder::new(folder.dir).issue(&name, &request)?;
        writeln!(out, "made {}", harmless_path(&files.key))?;
        writeln!(out, "made {}", harmless_path(&files.certificate))?;
        tell_serial(&CertificateSummary::read_first(&files.certificate)?, out)
    }
}
