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
//! | 6 | [`config`] | from what was typed to what it means |
//! | 7 | [`cli`] | the commands |
//!
//! `docs/architecture.md` tells the whole, with its invariants.

pub mod access;
pub mod broker;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod files;
pub mod identity;
pub mod network;
pub mod pki;
pub mod policy;
pub mod protocol;
pub mod server;
pub mod text;
pub mod tls;
pub mod tokens;
pub mod topic;
