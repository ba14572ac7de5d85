//! The settings of `tidings serve`, from the values given to what the broker runs with.
//!
//! - `table` has one row for each setting: flag, variable, default and help.
//! - `configuration` holds the value of each setting, and where that value came from.
//! - `origin` names that place: an [`Origin`].
//! - `resolve` checks the values against each other. In what it gives, nothing is left to check.
//! - `duration` reads durations, for the other commands as well.
//! - `error` says why settings cannot be used.
//! - `value` has the types that a setting can have beside numbers and paths.
//!
//! Nothing here opens a file, logs, or changes the process.

mod configuration;
pub(crate) mod duration;
mod error;
mod origin;
mod resolve;
mod table;
mod value;

pub use configuration::{Configuration, Entry};
pub use error::ConfigError;
pub use origin::{Origin, Setting};
pub use resolve::{FewerConnections, Resolved};
pub use table::{Access, Limits, Listening, Logging, Times, Tls, Values};
pub use value::{LogFormat, TlsMin};
