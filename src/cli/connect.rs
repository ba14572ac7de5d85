//! The flags with which `pub` and `sub` connect to a broker.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::runtime;

use super::{dev, exit::UsageError};
use crate::{
    client::Options,
    config::duration,
    files::{TrackedFiles, remedy},
    tls::{Credentials, client_config},
};

/// Holds the token if no file does.
const TOKEN_VARIABLE: &str = "TIDINGS_TOKEN";

/// The broker, and the credentials of the client.
///
/// In a folder with a `certs/` that `tidings certs init` created, no flag is needed.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct Connect {
    /// The broker, as host:port; the host is the name in its certificate.
    #[arg(
        short,
        long,
        env = "TIDINGS_SERVER",
        value_name = "HOST:PORT",
        default_value = "localhost:4433"
    )]
    server: String,

    /// The folder with ca.crt, NAME.crt and NAME.key.
    #[arg(long, env = "TIDINGS_CERTS", value_name = "FOLDER", default_value = dev::FOLDER)]
    certs: PathBuf,

    /// The name of the certificate in that folder.
    #[arg(
        long = "as",
        env = "TIDINGS_AS",
        value_name = "NAME",
        default_value = "alice"
    )]
    name: String,

    /// The CA of the server certificate (PEM), instead of the folder's.
    #[arg(
        long,
        env = "TIDINGS_CA",
        value_name = "FILE",
        visible_aliases = ["cafile", "tlsca"]
    )]
    ca: Option<PathBuf>,

    /// The client's certificate (PEM), instead of the folder's.
    #[arg(
        long,
        env = "TIDINGS_CERT",
        value_name = "FILE",
        visible_alias = "tlscert"
    )]
    cert: Option<PathBuf>,

    /// The client's private key (PEM), instead of the folder's.
    #[arg(
        long,
        env = "TIDINGS_KEY",
        value_name = "FILE",
        visible_alias = "tlskey"
    )]
    key: Option<PathBuf>,

    /// A file with the token, if the broker requires one. Overrides the variable TIDINGS_TOKEN, which
    /// holds the token itself. There is no flag for the token: every user of this machine can see the
    /// arguments of a program.
    #[arg(long, env = "TIDINGS_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Accept a private key and a token file that every user of this machine can read.
    #[arg(
        long,
        env = "TIDINGS_ALLOW_LOOSE_KEY_PERMISSIONS",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    allow_loose_key_permissions: bool,

    /// How long to wait for the connection. A bare number is in seconds.
    #[arg(
        long,
        env = "TIDINGS_CONNECT_TIMEOUT",
        value_name = "TIME",
        default_value = "10s",
        value_parser = parse_connect_timeout
    )]
    connect_timeout: Duration,
}

impl Connect {
    /// Reads the files and gives the options of the connection.
    pub(super) fn options(&self) -> anyhow::Result<Options> {
        if self.cert.is_some() != self.key.is_some() {
            return Err(UsageError("--cert and --key go together".to_owned()).into());
        }
        let in_folder = |name: &str| self.certs.join(name);
        let own = in_folder(&format!("{}.crt", self.name));
        if self.cert.is_none() && !own.exists() {
            return Err(dev::no_certificate(&own, &self.certs).into());
        }
        let credentials = Credentials {
            ca: self.ca.clone().unwrap_or_else(|| in_folder("ca.crt")),
            certificate: self.cert.clone().unwrap_or(own),
            key: self
                .key
                .clone()
                .unwrap_or_else(|| in_folder(&format!("{}.key", self.name))),
            allow_loose_key_permissions: self.allow_loose_key_permissions,
        };
        let token = self.token(env::var_os(TOKEN_VARIABLE))?;
        let tls = client_config(&credentials)?;
        let options =
            Options::new(&self.server, Arc::new(tls)).connect_timeout(self.connect_timeout);
        Ok(match token {
            Some(token) => options.token(token),
            None => options,
        })
    }

    /// From the file, or else from the environment. No error contains the token.
    fn token(&self, in_environment: Option<OsString>) -> Result<Option<String>, UsageError> {
        if let Some(path) = &self.token_file {
            if looks_like_token(path) {
                let fault = "--token-file (TIDINGS_TOKEN_FILE) names a file, and was given what looks like the token itself: put that into a file, or into TIDINGS_TOKEN";
                return Err(UsageError(fault.to_owned()));
            }
            let fault = |reason: &str| UsageError(format!("{}: {reason}", path.display()));
            let token = self.read_token(path).map_err(|reason| fault(&reason))?;
            // Some editors put a byte order mark at the start of a file.
            let token = token.strip_prefix('\u{feff}').unwrap_or(&token);
            return match token.trim_end_matches(['\r', '\n']) {
                "" => Err(fault("there is no token in it")),
                token => Ok(Some(token.to_owned())),
            };
        }
        // An empty variable counts as not set, as for the flags.
        let token = in_environment.filter(|token| !token.is_empty());
        let token = token.map(OsString::into_string).transpose();
        token.map_err(|_| UsageError(format!("{TOKEN_VARIABLE} is not UTF-8")))
    }

    fn read_token(&self, path: &Path) -> Result<String, String> {
        let contents = TrackedFiles::default()
            .read(path)
            .map_err(|error| format!("cannot read the token: {error}{}", remedy(&error)))?;
        if contents.is_open_to_others() && !self.allow_loose_key_permissions {
            return Err(format!(
                "every user of this machine can get at the token (mode {:o}): chmod o= it, or give --allow-loose-key-permissions",
                contents.mode
            ));
        }
        String::from_utf8(contents.bytes).map_err(|_| "it is not UTF-8".to_owned())
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }
}

/// A message about a file repeats its name, which must be no secret: one of the book begins with
/// `tdg_`, a signed one with the `{"` of its header.
fn looks_like_token(path: &Path) -> bool {
    let name = path.as_os_str().as_encoded_bytes();
    !path.exists() && (name.starts_with(b"tdg_") || name.starts_with(b"eyJ"))
}

fn parse_connect_timeout(text: &str) -> Result<Duration, String> {
    let range = Duration::from_secs(1)..=Duration::from_secs(60 * 60);
    let timeout = Some(duration::parse(text)?).filter(|timeout| range.contains(timeout));
    timeout.ok_or_else(|| "it must be from 1s to 1h".to_owned())
}

/// Runs a client command: one thread is enough for one connection.
pub(super) fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let outcome = runtime.block_on(command);
    // A blocked read of standard input must not delay the exit.
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests {
    use std::{fs, fs::Permissions, os::unix::ffi::OsStringExt, os::unix::fs::PermissionsExt};

    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Typed {
        #[command(flatten)]
        connect: Connect,
    }

    /// A file with this in it, of this mode, and what is typed to use it.
    fn with_file(contents: &[u8], mode: u32) -> (tempfile::TempDir, Connect) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("alice.token");
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let typed = ["tidings", "--token-file", path.to_str().unwrap()];
        (folder, Typed::parse_from(typed).connect)
    }

    fn without_file() -> Connect {
        let mut connect = Typed::parse_from(["tidings"]).connect;
        connect.token_file = None;
        connect
    }

    #[test]
    fn a_token_comes_from_a_file_before_the_environment() {
        let variable = || Some(OsString::from("from-environment"));
        for contents in [
            "from-file",
            "from-file\n",
            "from-file\r\n",
            "\u{feff}from-file\n",
        ] {
            let (_folder, connect) = with_file(contents.as_bytes(), 0o600);
            for variable in [None, variable()] {
                assert_eq!(
                    connect.token(variable).unwrap().as_deref(),
                    Some("from-file")
                );
            }
        }
        let connect = without_file();
        let token = connect.token(variable()).unwrap();
        assert_eq!(token.as_deref(), Some("from-environment"));
        assert_eq!(connect.token(None).unwrap(), None);
        assert_eq!(connect.token(Some(OsString::new())).unwrap(), None);
    }

    #[test]
    fn a_token_that_others_can_get_at_is_not_taken() {
        for mode in [0o604, 0o602, 0o601, 0o644, 0o666] {
            let (_folder, mut connect) = with_file(b"secret", mode);
            let fault = connect.token(None).unwrap_err().to_string();
            assert!(fault.contains(&format!("mode {mode:o}")), "{fault}");
            assert!(!fault.contains("secret"), "{fault}");
            connect.allow_loose_key_permissions = true;
            assert!(connect.token(None).unwrap().is_some());
        }
        for mode in [0o400, 0o600, 0o640, 0o660] {
            let (_folder, connect) = with_file(b"secret", mode);
            assert!(connect.token(None).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn a_token_in_the_place_of_a_file_is_not_repeated() {
        for token in [
            "tdg_0123456789ab_secret",
            "eyJhbGciOiJFZERTQSJ9.secret.secret",
        ] {
            let typed = ["tidings", "--token-file", token];
            let fault = Typed::parse_from(typed).connect.token(None).unwrap_err();
            let fault = fault.to_string();
            assert!(fault.contains("the token itself"), "{fault}");
            assert!(!fault.contains("secret"), "{fault}");
        }
    }

    #[test]
    fn a_file_without_a_token_is_a_fault() {
        for contents in [&b""[..], b"\n", b"\r\n\n", b"secret\xff"] {
            let (_folder, connect) = with_file(contents, 0o600);
            let fault = connect.token(Some("other".into())).unwrap_err().to_string();
            assert!(fault.contains("alice.token: "), "{fault}");
            assert!(!fault.contains("secret"), "{fault}");
        }
        let (folder, connect) = with_file(b"secret", 0o600);
        drop(folder);
        assert!(connect.token(Some("other".into())).is_err(), "no file");
        let variable = OsString::from_vec(b"secret\xff".to_vec());
        let fault = without_file()
            .token(Some(variable))
            .unwrap_err()
            .to_string();
        assert_eq!(fault, "TIDINGS_TOKEN is not UTF-8");
    }
}
