//! From errors to exit codes, and how an error is printed.

use std::{
    fmt, io,
    panic::{self, AssertUnwindSafe},
    process::ExitCode,
};

use super::stderr::print_message;
use crate::{
    access::AccessError,
    client,
    config::ConfigError,
    pki::{IssueError, inspect::InspectError},
    policy::PolicyError,
    protocol::Code,
    server::ServerError,
    tls::TlsError,
    tokens::TokenFileError,
};

/// The exit code of a command that did not succeed. The numbers are those of `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It failed.
    Failure = 1,
    /// Bad usage or configuration. Trying again changes nothing.
    Usage = 64,
    /// The broker cannot listen on an address. It may be free later.
    Unavailable = 69,
    /// A bug in tidings.
    Software = 70,
}

/// A failure that was reported already. Only its exit code is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct SilentExit(pub(super) Exit);

impl fmt::Display for SilentExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}", self.0 as u8)
    }
}

impl std::error::Error for SilentExit {}

/// A usage error that clap cannot detect.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct UsageError(pub(super) String);

/// Runs a command and gives its exit code. A panic is reported by its hook.
pub(super) fn of(command: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    panic::catch_unwind(AssertUnwindSafe(command))
        .map_or_else(|_| ExitCode::from(Exit::Software as u8), code)
}

/// Prints an error in one line and gives its exit code.
pub(super) fn code(outcome: anyhow::Result<()>) -> ExitCode {
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    if let Some(told) = error.downcast_ref::<SilentExit>() {
        return ExitCode::from(told.0 as u8);
    }
    if is_broken_pipe(&error) {
        // `tidings sub | head` ends when head does.
        return ExitCode::SUCCESS;
    }
    let hint = error.downcast_ref().map_or("", hint);
    print_message(format_args!("{error:#}{hint}"));
    ExitCode::from(exit_of(&error) as u8)
}

/// Prints an error or the help of clap, whose own exit code for bad usage would be 2.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    if error.use_stderr() {
        // An error while printing is ignored: standard error is closed.
        ExitCode::from(Exit::Usage as u8)
    } else {
        code(printed.map_err(anyhow::Error::from))
    }
}

fn exit_of(error: &anyhow::Error) -> Exit {
    if let Some(error) = error.downcast_ref::<ServerError>() {
        return match error {
            ServerError::Bind { .. } => Exit::Unavailable,
            ServerError::CoreTaskEnded(_) => Exit::Software,
        };
    }
    if let Some(error) = error.downcast_ref::<client::Error>() {
        return match error {
            client::Error::Address(_) | client::Error::Topic(_) | client::Error::Filter(_) => {
                Exit::Usage
            }
            _ => Exit::Failure,
        };
    }
    let is_usage = error.is::<ConfigError>()
        || error.is::<PolicyError>()
        || error.is::<TlsError>()
        || error.is::<AccessError>()
        || error.is::<TokenFileError>()
        || error.is::<IssueError>()
        || error.is::<InspectError>()
        || error.is::<UsageError>();
    if is_usage { Exit::Usage } else { Exit::Failure }
}

/// The flag or variable that may mend an error, which the library does not know.
pub(super) fn hint(error: &client::Error) -> &'static str {
    match error {
        client::Error::Refused(fault) if fault.code == Code::TokenMissing.as_str() => {
            " (give it in TIDINGS_TOKEN, or in a file with --token-file)"
        }
        client::Error::Connect { cause, .. } if is_of_unknown_ca(cause) => {
            " (give the CA that signed it with --ca)"
        }
        _ => "",
    }
}

fn is_of_unknown_ca(cause: &io::Error) -> bool {
    use rustls::{CertificateError, Error};
    let tls = cause.get_ref().and_then(|inner| inner.downcast_ref());
    matches!(
        tls,
        Some(Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature
        ))
    )
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::server_event::ErrorBody;

    #[test]
    fn a_missing_token_is_told_with_where_to_put_it() {
        let hint_for = |code| {
            let fault = ErrorBody::new(code, "a sentence").into();
            hint(&client::Error::Refused(fault))
        };
        let told = hint_for(Code::TokenMissing);
        assert!(
            told.contains("TIDINGS_TOKEN") && told.contains("--token-file"),
            "{told}"
        );
        assert_eq!(hint_for(Code::TokenInvalid), "");
        assert_eq!(hint(&client::Error::Ended), "");
    }

    #[test]
    fn a_panic_ends_with_the_code_for_our_faults() {
        assert_eq!(of(|| panic!("on purpose")), ExitCode::from(70));
        assert_eq!(of(|| Ok(())), ExitCode::SUCCESS);
    }

    #[test]
    fn what_was_typed_wrongly_is_told_apart_from_what_failed() {
        let inspected = crate::pki::inspect::CertificateSummary::read("/nowhere".as_ref());
        assert_eq!(exit_of(&inspected.unwrap_err().into()), Exit::Usage);
        assert_eq!(exit_of(&UsageError(String::new()).into()), Exit::Usage);
        assert_eq!(exit_of(&anyhow::anyhow!("")), Exit::Failure);
    }
}
