//! What the model can be asked for, at random.

use proptest::{prelude::*, sample::Index, sample::select};

use crate::broker::state::tests::{FILTERS, REASONS, Rules};
use crate::{broker::Limits, protocol::CloseReason};

/// What is asked for. An [`Index`] picks one of those who are there.
#[derive(Clone, Debug)]
pub(in super::super) enum Step {
    Admit {
        identity: u8,
        address: u8,
    },
    /// One who no longer waits for the answer.
    AdmitAndLeave {
        identity: u8,
        address: u8,
    },
    Authenticate {
        who: Index,
        presence: bool,
    },
    Subscribe {
        who: Index,
        filter: &'static str,
    },
    Unsubscribe {
        who: Index,
        filter: &'static str,
    },
    ListClients {
        who: Index,
    },
    Reevaluate {
        rules: Rules,
    },
    Depart {
        who: Index,
        reason: CloseReason,
    },
    /// A departure of nobody, or of one who has gone.
    DepartUnknown {
        number: u8,
    },
    Drain,
}

pub(in super::super) fn any_step() -> impl Strategy<Value = Step> {
    let who = any::<Index>;
    prop_oneof![
        20 => (0_u8..4, 0_u8..3)
            .prop_map(|(identity, address)| Step::Admit { identity, address }),
        2 => (0_u8..4, 0_u8..3)
            .prop_map(|(identity, address)| Step::AdmitAndLeave { identity, address }),
        20 => (who(), prop_oneof![4 => Just(true), 1 => Just(false)])
            .prop_map(|(who, presence)| Step::Authenticate { who, presence }),
        20 => (who(), select(FILTERS)).prop_map(|(who, filter)| Step::Subscribe { who, filter }),
        10 => (who(), select(FILTERS))
            .prop_map(|(who, filter)| Step::Unsubscribe { who, filter }),
        6 => who().prop_map(|who| Step::ListClients { who }),
        4 => select(Rules::ALL).prop_map(|rules| Step::Reevaluate { rules }),
        12 => (who(), select(REASONS)).prop_map(|(who, reason)| Step::Depart { who, reason }),
        2 => any::<u8>().prop_map(|number| Step::DepartUnknown { number }),
    ]
}

pub(in super::super) fn any_limits() -> impl Strategy<Value = Limits> {
    (
        0_usize..12,
        0_usize..5,
        0_usize..6,
        (0_usize..5, 0_usize..8, 0_usize..16, 0_usize..5),
        prop_oneof![4 => Just(true), 1 => Just(false)],
    )
        .prop_map(
            |(connections, identity, address, subscriptions, presence)| Limits {
                connections,
                connections_per_identity: identity,
                connections_per_address: address,
                subscriptions_per_client: subscriptions.0,
                subscriptions_per_identity: subscriptions.1,
                subscriptions_total: subscriptions.2,
                filter_shapes_per_identity: subscriptions.3,
                presence,
            },
        )
}
