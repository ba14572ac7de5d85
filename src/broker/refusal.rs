use super::RegistryGone;
use crate::{
    access::Denial,
    protocol::{Code, Fault},
};

/// Why the broker does not do what a client asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It cannot be done.
    #[error(transparent)]
    Fault(Fault),
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

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
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

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Fault(fault) => fault,
            Refusal::Denied(denial) => denial.into(),
        }
    }
}
