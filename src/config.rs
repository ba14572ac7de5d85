//! From what was typed to what it means.
//!
//! [`ServeFlags`] is the command line and the environment as typed; [`ServeFlags::resolve`] checks
//! all of it and hands on a [`server::Settings`] in which nothing is left to check.
//!
//! [`server::Settings`]: crate::server::Settings

mod descriptors;
mod serve;

pub use serve::{ConfigError, IdentityFrom, LogFormat, ServeFlags, TlsMin};
