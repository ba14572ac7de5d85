//! What the subcommands of `tidings token` share: the file of tokens, and warnings about it.

use std::{io::Write, path::PathBuf};

use crate::{
    cli::stderr::owner_lost,
    text::harmless_path,
    tokens::{Changed, TokenFile},
};

#[derive(Debug, clap::Args)]
pub(crate) struct FileArgument {
    /// The file of tokens, as `tidings serve --tokens` reads it.
    #[arg(long, env = "TIDINGS_TOKENS", value_name = "FILE")]
    pub(super) tokens: PathBuf,
}

pub(super) fn warn_of_writers(file: &TokenFile, stderr: &mut impl Write) -> anyhow::Result<()> {
    if file.is_writable_by_others() {
        let path = harmless_path(file.path());
        writeln!(
            stderr,
            "tidings: warning: every user of this machine can write to {path}, and so decide who gets in: run `chmod o-w {path}`"
        )?;
    }
    Ok(())
}

pub(super) fn warn_of_owner<T>(
    file: &TokenFile,
    changed: &Changed<T>,
    stderr: &mut impl Write,
) -> anyhow::Result<()> {
    if let Some(error) = &changed.owner_lost {
        writeln!(stderr, "tidings: {}", owner_lost(file.path(), error))?;
    }
    Ok(())
}
