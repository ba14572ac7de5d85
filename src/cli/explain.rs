//! `tidings explain`: shows what the access rules allow.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, de::IntoDeserializer};

use super::exit::{Exit, SilentExit, UsageError};
use crate::{
    access::{AccessRules, Action, Explanation},
    files::{TrackedFiles, Unreadable},
    identity::Identity,
    protocol::ClientId,
    topic::{Topic, TopicFilter},
};

/// `tidings explain`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 allowed, 1 denied, 64 bad usage, or a file that cannot be used.\n\nExamples:\n  \
    tidings explain --access access.toml --identity sensor-7 publish plant/sensor-7/heat\n  \
    tidings explain --access access.toml --identity dashboard subscribe 'plant/#'"
)]
pub(super) struct Explain {
    /// The file of access rules.
    #[arg(long, env = "TIDINGS_ACCESS", value_name = "FILE")]
    access: PathBuf,
    /// The identity of the client.
    #[arg(long, value_name = "NAME")]
    identity: String,
    /// The value of `{client_id}` in a rule [default: a new id].
    #[arg(long, value_name = "UUID", value_parser = client_id)]
    client_id: Option<ClientId>,
    /// The action.
    action: ActionArgument,
    /// The topic to publish to, or the filter to subscribe to.
    topic: String,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ActionArgument {
    Publish,
    Subscribe,
}

impl Explain {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let explanation = self.explanation()?;
        let written = writeln!(io::stdout().lock(), "{explanation}");
        // A denial stays a failure even if stdout is closed.
        if explanation.allowed {
            Ok(written?)
        } else {
            Err(SilentExit(Exit::Failure).into())
        }
    }

    fn explanation(&self) -> anyhow::Result<Explanation> {
        let rules = read(&self.access)?;
        let identity = Identity::parse(&self.identity)
            .map_err(|fault| UsageError(format!("no identity: {:?}: {fault}", self.identity)))?;
        let action = self.action()?;
        Ok(rules.explain(&identity, self.client_id, &action))
    }

    fn action(&self) -> Result<Action, UsageError> {
        let topic = &self.topic;
        match self.action {
            ActionArgument::Publish => Topic::parse(topic.clone())
                .map(Action::Publish)
                .map_err(|fault| UsageError(format!("{topic:?}: {fault}"))),
            ActionArgument::Subscribe => TopicFilter::parse(topic)
                .map(Action::Subscribe)
                .map_err(|fault| UsageError(format!("{topic:?}: {fault}"))),
        }
    }
}

fn read(path: &Path) -> anyhow::Result<AccessRules> {
    let contents = TrackedFiles::default()
        .read(path)
        .map_err(|fault| UsageError(Unreadable(path, &fault).to_string()))?;
    Ok(AccessRules::parse(path, &contents.bytes)?)
}

fn client_id(text: &str) -> Result<ClientId, serde::de::value::Error> {
    ClientId::deserialize(text.into_deserializer())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    const RULES: &str = r#"
[[rule]]
identity = ["alice"]
publish = ["plant/{client_id}/#"]
"#;

    const CLIENT_ID: &str = "0190a5c0-0000-7000-8000-000000000000";

    /// The outcome with `RULES`, or with another text, for what is typed after the file.
    fn outcome(rules: &str, typed: &[&str]) -> anyhow::Result<Explanation> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.toml");
        std::fs::write(&path, rules).unwrap();
        let line = ["tidings", "explain", "--access", path.to_str().unwrap()];
        let cli = Cli::try_parse_from(line.iter().chain(typed))?;
        let crate::cli::Command::Explain(command) = cli.command else {
            panic!("not the command");
        };
        command.explanation()
    }

    #[test]
    fn the_client_id_is_filled_in() {
        let topic = format!("plant/{CLIENT_ID}/heat");
        let typed = ["--identity", "alice", "publish", &topic];
        let explanation = outcome(RULES, &typed).unwrap();
        assert!(!explanation.allowed);
        assert!(explanation.to_string().contains("new one"), "{explanation}");
        let typed = [&["--client-id", CLIENT_ID], &typed[..]].concat();
        let explanation = outcome(RULES, &typed).unwrap();
        assert!(explanation.allowed, "{explanation}");
        assert!(
            !explanation.to_string().contains("new one"),
            "{explanation}"
        );
    }

    #[test]
    fn what_is_typed_wrongly_is_told() {
        for (rules, typed, expected) in [
            (
                "nonsense",
                ["--identity", "a", "publish", "a"],
                "access.toml:1: ",
            ),
            (RULES, ["--identity", "a\nb", "publish", "a"], r#""a\nb""#),
            (
                RULES,
                ["--identity", "a", "publish", "a/#"],
                r#""a/#": not a topic"#,
            ),
            (
                RULES,
                ["--identity", "a", "subscribe", "a//b"],
                r#""a//b": not a topic filter"#,
            ),
            (
                RULES,
                ["--client-id=x", "--identity=a", "publish", "a"],
                "--client-id",
            ),
            (RULES, ["--identity", "a", "destroy", "a"], "destroy"),
        ] {
            let fault = outcome(rules, &typed).unwrap_err();
            assert!(fault.to_string().contains(expected), "{fault}");
        }
    }
}
