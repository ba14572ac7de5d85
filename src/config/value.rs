//! The types of values that are neither numbers nor paths.

use clap::{
    ValueEnum,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};

use crate::{identity::IdentitySource, tls::TlsVersion};

/// `--tls-min`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TlsMin {
    /// TLS 1.2
    #[value(name = "1.2")]
    V1_2,
    /// TLS 1.3
    #[value(name = "1.3")]
    V1_3,
}

impl From<TlsMin> for TlsVersion {
    fn from(min: TlsMin) -> Self {
        match min {
            TlsMin::V1_2 => Self::V1_2,
            TlsMin::V1_3 => Self::V1_3,
        }
    }
}

/// The values of `--identity-from`.
pub(super) fn identity_sources() -> impl TypedValueParser<Value = IdentitySource> {
    let value =
        |source: IdentitySource| PossibleValue::new(source.as_str()).help(format!("The {source}"));
    PossibleValuesParser::new(IdentitySource::ALL.map(value)).map(|name| {
        let source = IdentitySource::ALL
            .into_iter()
            .find(|source| source.as_str() == name);
        source.unwrap_or_default()
    })
}

/// `--log-format`
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Human,
    /// One JSON object per line
    Json,
}
