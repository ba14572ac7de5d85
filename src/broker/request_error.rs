//! Why the broker does not do what a client asks: an error, or a denial by the access rules.

use crate::{
    access::Denial,
    protocol::{Code, CodedError},
};

/// Why the broker does not do what a client asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It cannot be done.
    #[error(transparent)]
    Fault(CodedError),
    /// The access rules do not let this client do it.
    #[error("{} ({})", .0.reason, .0.code)]
    Denied(Denial),
}

impl RequestError {
    /// The code that the client is sent.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Fault(fault) => fault.code,
            Self::Denied(denial) => denial.code,
        }
    }
}

impl From<CodedError> for RequestError {
    fn from(fault: CodedError) -> Self {
        Self::Fault(fault)
    }
}

impl From<Denial> for RequestError {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<RegistryGone> for RequestError {
    fn from(gone: RegistryGone) -> Self {
        Self::Fault(gone.into())
    }
}

impl From<RequestError> for CodedError {
    fn from(refusal: RequestError) -> Self {
        match refusal {
            RequestError::Fault(fault) => fault,
            RequestError::Denied(denial) => denial.into(),
        }
    }
}

/// The registry actor has ended, which ends the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the registry has ended")]
pub struct RegistryGone;

impl From<RegistryGone> for CodedError {
    fn from(_: RegistryGone) -> Self {
        Self::new(Code::InternalError, "the server failed; its log says more")
    }
}

impl RequestError {
    /// A client that should be there is not: an error of the broker.
    pub(crate) fn lost_client() -> CodedError {
        CodedError::new(Code::InternalError, "the server has lost this client")
    }
}
