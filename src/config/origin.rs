//! Where the value of a setting came from.

use std::fmt;

/// Where the value of a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nothing sets it.
    Default,
    /// `--dev` implies it.
    Dev,
    /// The environment variable with this name.
    Environment(String),
    /// Its flag.
    Flag,
}

/// A setting as errors name it: by where its value came from, which is the place to correct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its flag, without the dashes.
    pub key: String,
    /// Where its value came from.
    pub origin: Origin,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, origin } = self;
        match origin {
            Origin::Default => write!(f, "the default of --{key}"),
            Origin::Dev => write!(f, "--{key} of --dev"),
            Origin::Environment(name) => f.write_str(name),
            Origin::Flag => write!(f, "--{key}"),
        }
    }
}
