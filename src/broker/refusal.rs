use super::RegistryGone;
use crate::{
    protocol::{Code, CodedError},
    security::access::Denial,
};

/// Why the broker does not do what a client asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be done.
    #[error(transparent)]
    Fault(CodedError),
    /// The access rules do not let this client do it.
    #[error("{} ({})", .0.reason, .0.code)]
    Denied(Denial),
}

impl Refusal {
    /// The stable word.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Fault(fault) => fault.code,
            Self::Denied(denial) => denial.code,
        }
    }
}

impl From<CodedError> for Refusal {
    fn from(fault: CodedError) -> Self {
        Self::Fault(fault)
    }
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<RegistryGone> for Refusal {
    fn from(gone: RegistryGone) -> Self {
        Self::Fault(gone.into())
    }
}

impl From<Refusal> for CodedError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Fault(fault) => fault,
            Refusal::Denied(denial) => denial.into(),
        }
    }
}
