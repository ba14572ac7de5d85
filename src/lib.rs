//! **tidings** is a publish/subscribe broker that speaks newline-delimited JSON over mutual TLS.
//!
//! This library is the broker and its Rust client; the `tidings` program is a command line around
//! them. The rooms of the house, lower floors never importing upper ones (a test holds that):
//!
//! | floor | room | what it is for |
//! |---|---|---|
//! | 0 | [`clock`] | the time of day |
//! | 1 | [`protocol`] | what is said on the wire |
//! | 1 | [`topic`] | topics, filters, and which matches which |
//! | 2 | [`security`] | TLS, identities, access rules, tokens, revocation, making certificates |
//! | 2 | [`client`] | the Rust client |
//! | 3 | [`broker`] | the registry, sessions, routes, outboxes |
//! | 4 | [`server`] | sockets, the life of a connection, shutdown |
//! | 5 | [`config`] | the settings of `serve`, and where each value came from |
//! | 6 | [`cli`] | the commands |
//!
//! `docs/architecture.md` tells the whole, with its invariants.

pub mod broker;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod protocol;
pub mod security;
pub mod server;
pub mod topic;
