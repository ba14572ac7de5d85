//! Access rules, each with a second telling in plain code.

use std::sync::Arc;

use crate::{access::AccessRules, broker::test_support, identity::Identity};

/// Rules, and in words too plain to be wrong what they come to for the clients of these tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// Everyone may do everything.
    Open,
    /// All but one are let in.
    WithoutIdentity0,
    /// Only what is below `a` can be subscribed to.
    BelowA,
    /// One neither sees nor is seen.
    HiddenIdentity1,
    /// From one, `a/b` is withheld.
    WithheldFromIdentity2,
}

impl Rules {
    pub(super) const ALL: &[Self] = &[
        Self::Open,
        Self::WithoutIdentity0,
        Self::BelowA,
        Self::HiddenIdentity1,
        Self::WithheldFromIdentity2,
    ];

    pub(super) fn parse(self) -> Arc<AccessRules> {
        let rule = |identities: &str, rights: &str| {
            format!("[[rule]]\nidentity = [{identities}]\n{rights}\n")
        };
        let everyone = rule(
            r#""*""#,
            r##"publish = ["#"]
subscribe = ["#"]"##,
        );
        let text = match self {
            Self::Open => everyone,
            Self::WithoutIdentity0 => rule(
                r#""identity-1", "identity-2", "identity-3""#,
                r##"subscribe = ["#"]"##,
            ),
            Self::BelowA => rule(r#""*""#, r##"subscribe = ["a/#"]"##),
            Self::HiddenIdentity1 => everyone + &rule(r#""identity-1""#, "presence = false"),
            Self::WithheldFromIdentity2 => {
                everyone + &rule(r#""identity-2""#, r#"deny_subscribe = ["a/b"]"#)
            }
        };
        test_support::rules(&text)
    }

    pub(super) fn admit(self, who: &Identity) -> bool {
        !(self == Self::WithoutIdentity0 && who.as_str() == "identity-0")
    }

    pub(super) fn show(self, who: &Identity) -> bool {
        self.admit(who) && !(self == Self::HiddenIdentity1 && who.as_str() == "identity-1")
    }

    /// For a topic, whether it may be received; for a filter, whether it may be subscribed to.
    pub(super) fn allow(self, who: &Identity, text: &str) -> bool {
        let is_below_a = text == "a" || text.starts_with("a/");
        let is_withheld = who.as_str() == "identity-2" && text == "a/b";
        self.admit(who)
            && (self != Self::BelowA || is_below_a)
            && !(self == Self::WithheldFromIdentity2 && is_withheld)
    }
}
