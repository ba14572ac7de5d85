//! **tidings** is a publish/subscribe broker that speaks newline-delimited JSON over mutual TLS.
//!
//! This library is the broker and its Rust client; the `tidings` program is a command line around
//! them. The rooms of the house, lower floors never importing upper ones (a test holds that):
//!
//! | floor | room | what it is for |
//! |---|---|---|
//! | 0 | [`clock`] | the time of day |
//! | 0 | [`text`] | untrusted text made safe to show, moments and bytes written for people |
//! | 1 | [`protocol`] | what is said on the wire |
//! | 1 | [`topic`] | topics, filters, and which matches which |
//! | 1 | [`files`] | files that decide: read, compared, replaced |
//! | 1 | [`network`] | what limits of an address count |
//! | 1 | [`identity`] | the one name that a certificate proves |
//! | 2 | [`tls`] | TLS configurations, trust, revocation |
//! | 2 | [`access`] | who may do what |
//! | 2 | [`tokens`] | tokens, and the files that they are checked against |
//! | 2 | [`pki`] | making and renewing certificates |
//! | 3 | [`policy`] | all that a reload exchanges: TLS, access, tokens |
//! | 3 | [`client`] | the Rust client |
//! | 4 | [`broker`] | the registry, sessions, routes, outboxes |
//! | 5 | [`server`] | sockets, the life of a connection, shutdown |
//! | 6 | [`config`] | the settings of `serve`, and where each value came from |
//! | 7 | [`cli`] | the commands |
//!
//! `docs/architecture.md` tells the whole, with its invariants.
//!
//! With `default-features = false, features = ["client"]` it is the Rust client alone: `protocol`,
//! `topic`, `client`, and what of the rooms below them it needs.

#![cfg_attr(
    not(feature = "broker"),
    allow(
        dead_code,
        unused_imports,
        reason = "the lower rooms serve the broker as well as the client"
    )
)]

#[cfg(feature = "broker")]
pub mod access;
#[cfg(feature = "broker")]
pub mod broker;
#[cfg(feature = "broker")]
pub mod cli;
pub mod client;
pub mod clock;
#[cfg(feature = "broker")]
pub mod config;
pub mod files;
#[cfg(feature = "broker")]
pub mod identity;
#[cfg(feature = "broker")]
pub mod network;
#[cfg(feature = "broker")]
pub mod pki;
#[cfg(feature = "broker")]
pub mod policy;
pub mod protocol;
#[cfg(feature = "broker")]
pub mod server;
pub mod text;
pub mod tls;
#[cfg(feature = "broker")]
pub mod tokens;
pub mod topic;
