//! What the subcommands of `tidings certs` share: the folder, and what is found in it.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use crate::{
    cli::{dev, exit::UsageError},
    pki::{CertificateFolder, inspect::CertificateSummary},
};

/// Days for which a certificate can be asked: ten years, a little less than a new CA has.
pub(super) const DAYS_MAX: i64 = 3_650;

#[derive(Debug, clap::Args)]
pub(crate) struct FolderArgument {
    /// The folder of the certificates.
    #[arg(
        long = "certs",
        visible_alias = "dir",
        env = "TIDINGS_CERTS",
        value_name = "FOLDER",
        default_value = dev::FOLDER
    )]
    pub(super) dir: PathBuf,
}

/// With the serial number, it can be revoked even if its file is gone.
pub(super) fn tell_serial(
    certificate: &CertificateSummary,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    Ok(writeln!(out, "serial {}", certificate.serial)?)
}

/// A word without a slash is looked up in the folder first. Anything else is a file.
pub(super) fn find(wanted: &Path, dir: &Path) -> Result<PathBuf, UsageError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{ServerNames, Validity};

    #[test]
    fn finds_a_name_before_a_file() {
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
}
