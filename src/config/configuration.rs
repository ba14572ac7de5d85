//! The values of all settings, each with its origin.
//!
//! clap parses flags and variables: a flag takes precedence over a variable. [`Configuration::fill`]
//! gives values to settings that have neither: those that `--dev` implies, and those of the variables
//! that `serve` shares with `pub` and `sub`. A configuration file would come in here too: as entries,
//! with an origin of its own that names the line.

use std::{collections::BTreeMap, ffi::OsString};

use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches,
    error::{ContextKind, ContextValue},
    parser::ValueSource,
};

use super::{
    error::ConfigError,
    origin::{Origin, Setting},
    table::{CLIENT_VARIABLES, Values, table},
};

/// A value that is yet to be parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it sets.
    pub setting: Setting,
    /// As text.
    pub value: OsString,
}

impl Entry {
    /// A value for the setting with this key.
    pub fn new(key: &str, value: impl Into<OsString>, origin: Origin) -> Self {
        let key = key.to_owned();
        Self {
            setting: Setting { key, origin },
            value: value.into(),
        }
    }
}

/// The value of every setting, and where each came from.
#[derive(Clone, Debug)]
pub struct Configuration {
    values: Values,
    /// By key. A setting that is missing here has its default.
    origins: BTreeMap<String, Origin>,
}

impl Configuration {
    /// The values.
    #[must_use]
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// A setting with the origin of its value.
    #[must_use]
    pub fn setting(&self, key: &str) -> Setting {
        debug_assert!(has_row(key), "{key} is not a setting");
        let origin = self.origins.get(key).cloned();
        Setting {
            key: key.to_owned(),
            origin: origin.unwrap_or(Origin::Default),
        }
    }

    /// Whether anything but its default has set it.
    #[must_use]
    pub fn is_set(&self, key: &str) -> bool {
        debug_assert!(has_row(key), "{key} is not a setting");
        self.origins.contains_key(key)
    }

    /// Sets what nothing has set so far: of several entries for a setting, the first counts.
    ///
    /// # Errors
    ///
    /// A value that its setting does not accept, or a key that no setting has.
    pub fn fill(&mut self, entries: impl IntoIterator<Item = Entry>) -> Result<(), ConfigError> {
        for Entry { setting, value } in entries {
            if !has_row(&setting.key) {
                return Err(ConfigError::UnknownKey(setting));
            }
            if self.is_set(&setting.key) {
                continue;
            }
            let mut argument = OsString::from(format!("--{}=", setting.key));
            argument.push(value);
            self.set(argument)
                .map_err(|error| not_accepted(error, &setting))?;
            self.origins.insert(setting.key, setting.origin);
        }
        Ok(())
    }

    /// Takes the certificates from the variables of `pub` and `sub`, unless something names a
    /// certificate or key for the broker, or `--dev` is given: then these are a client's.
    ///
    /// # Errors
    ///
    /// See [`fill`](Self::fill).
    pub fn fill_from_client_variables(
        &mut self,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<(), ConfigError> {
        if self.values.dev || self.is_set("cert") || self.is_set("key") {
            return Ok(());
        }
        let entry = |(key, name): (&str, &str)| {
            let value = variable(name).filter(|value| !value.is_empty())?;
            let origin = Origin::Environment(name.to_owned());
            Some(Entry::new(key, value, origin))
        };
        self.fill(CLIENT_VARIABLES.into_iter().filter_map(entry))
    }

    fn set(&mut self, argument: OsString) -> Result<(), clap::Error> {
        let matches = table_of_one().try_get_matches_from([argument])?;
        self.values.update_from_arg_matches(&matches)
    }
}

fn has_row(key: &str) -> bool {
    table()
        .get_arguments()
        .any(|row| row.get_long() == Some(key))
}

/// The table with no variables and no defaults: parsing `--key=value` gives that value alone.
fn table_of_one() -> Command {
    let bare = |row: Arg| {
        let row = row.env(None).default_value(None::<&str>);
        // Switches, too, have a value here.
        let takes_value = row.get_action().takes_values();
        if takes_value {
            row
        } else {
            row.action(ArgAction::Set)
        }
    };
    table().no_binary_name(true).mut_args(bare)
}

/// In one line. clap's further lines show the usage of flags.
fn not_accepted(mut error: clap::Error, setting: &Setting) -> ConfigError {
    let name = ContextValue::String(setting.to_string());
    error.insert(ContextKind::InvalidArg, name);
    let text = error.to_string();
    let lines = text.lines().map(str::trim);
    let fault: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    ConfigError::Value(fault.join(" ").trim_start_matches("error: ").to_owned())
}

/// Of what flags and variables have set, by key.
fn origins(matches: &ArgMatches) -> BTreeMap<String, Origin> {
    let origin = |row: &Arg| {
        let origin = match matches.value_source(row.get_id().as_str())? {
            ValueSource::CommandLine => Origin::Flag,
            ValueSource::EnvVariable => {
                Origin::Environment(row.get_env()?.to_string_lossy().into_owned())
            }
            _ => return None,
        };
        Some((row.get_long()?.to_owned(), origin))
    };
    table().get_arguments().filter_map(origin).collect()
}

impl FromArgMatches for Configuration {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            values: Values::from_arg_matches(matches)?,
            origins: origins(matches),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.origins.extend(origins(matches));
        self.values.update_from_arg_matches(matches)
    }
}

impl Args for Configuration {
    fn augment_args(command: Command) -> Command {
        Values::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Values::augment_args_for_update(command)
    }
}

#[cfg(test)]
impl Configuration {
    /// With these flags, whatever the environment holds.
    pub(crate) fn of_flags(flags: &[&str]) -> Self {
        let table = table().no_binary_name(true).mut_args(|row| row.env(None));
        Self::from_arg_matches(&table.get_matches_from(flags)).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, time::Duration};

    use super::*;

    /// As if these variables held the values of these settings.
    fn entries<const N: usize>(values: [(&str, &str, &str); N]) -> [Entry; N] {
        values
            .map(|(name, key, value)| Entry::new(key, value, Origin::Environment(name.to_owned())))
    }

    #[test]
    fn an_entry_sets_what_nothing_has_set() {
        let mut configuration = Configuration::of_flags(&["--drain", "1s"]);
        configuration
            .fill(entries([
                ("A", "drain", "2s"),
                ("B", "max-handshakes", "3"),
                ("C", "max-handshakes", "4"),
                ("D", "allow-loose-key-permissions", "true"),
                ("E", "listen", "127.0.0.1:1,127.0.0.1:2"),
            ]))
            .unwrap();
        let values = configuration.values();
        assert_eq!(values.times.drain, Duration::from_secs(1));
        assert_eq!(values.limits.max_handshakes, 3);
        assert!(values.tls.allow_loose_key_permissions);
        assert_eq!(values.listening.listen.len(), 2);
        assert_eq!(values.limits.max_subscriptions, 1024, "still its default");
        for (key, name) in [
            ("drain", "--drain"),
            ("max-handshakes", "B"),
            ("max-subscriptions", "the default of --max-subscriptions"),
        ] {
            assert_eq!(configuration.setting(key).to_string(), name);
        }
    }

    #[test]
    fn a_bad_entry_is_reported_in_one_line_with_its_origin() {
        for (key, value, told) in [
            ("listen", "nowhere", "invalid value 'nowhere' for 'HERE'"),
            ("tls-min", "1.1", "[possible values: 1.2, 1.3]"),
            ("presence", "perhaps", "for 'HERE'"),
            ("ca", "", "a value is required for 'HERE'"),
            (
                "lissten",
                "127.0.0.1:0",
                "HERE: there is no setting called lissten",
            ),
            ("ca=x", "y", "HERE: there is no setting called ca=x"),
            ("help", "", "HERE: there is no setting called help"),
        ] {
            let mut configuration = Configuration::of_flags(&[]);
            let entry = entries([("HERE", key, value)]);
            let fault = configuration.fill(entry).unwrap_err().to_string();
            assert!(fault.contains(told), "{fault}");
            assert!(
                !fault.contains('\n') && !fault.contains("error:"),
                "{fault}"
            );
        }
    }

    /// The certificate and key that are taken from the variables of a client.
    fn shared(flags: &[&str]) -> [Option<String>; 3] {
        let mut configuration = Configuration::of_flags(flags);
        let variable = |name: &str| Some(format!("of {name}").into());
        configuration.fill_from_client_variables(variable).unwrap();
        let tls = &configuration.values.tls;
        let text = |path: &Path| path.display().to_string();
        [&tls.ca, &tls.cert, &tls.key].map(|path| path.as_deref().map(text))
    }

    #[test]
    fn variables_of_a_client_stand_in_where_no_certificate_is_named() {
        let some = |text: &str| Some(text.to_owned());
        let (ca, cert, key) = (
            some("of TIDINGS_CA"),
            some("of TIDINGS_CERT"),
            some("of TIDINGS_KEY"),
        );
        assert_eq!(shared(&[]), [ca, cert.clone(), key.clone()]);
        assert_eq!(shared(&["--ca", "x"]), [some("x"), cert, key]);
        assert_eq!(shared(&["--cert", "x"]), [None, some("x"), None]);
        assert_eq!(shared(&["--key", "x"]), [None, None, some("x")]);
        assert_eq!(shared(&["--dev"]), [None, None, None]);
    }

    #[test]
    fn a_variable_that_is_empty_is_not_set() {
        let mut configuration = Configuration::of_flags(&[]);
        let variable = |_: &str| Some(OsString::new());
        configuration.fill_from_client_variables(variable).unwrap();
        assert!(!configuration.is_set("ca"));
    }
}
