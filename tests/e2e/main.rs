//! The real binary over real TLS, as its users meet it.
//!
//! Every test starts its own broker on a port of its own, with certificates made for it, and waits
//! for what it wants to see: a line, an end, an exit. Nothing waits for time to pass, and whatever
//! does not come within a deadline fails the test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed unwrap is what a test is for, also in the harness"
)]
#![allow(
    clippy::disallowed_types,
    reason = "the deadlines are for other processes, which follow the real clock"
)]
#![allow(
    clippy::print_stderr,
    reason = "a test that fails shows the broker's log"
)]

mod support;

mod access;
mod audit;
mod authorities;
mod cli;
mod cli_input;
mod cli_pub_sub;
mod cli_settings;
mod clock;
mod delivery;
mod dev;
mod documents;
mod endings;
mod events;
mod hostile;
mod limits;
mod presence;
mod python;
mod refusals;
mod reload;
mod revocation;
mod s_client;
mod slow;
mod systemd;
mod tokens;
mod words;
