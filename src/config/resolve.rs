//! From the values of settings to what the broker runs with.
//!
//! [`Configuration::resolve`] checks what a single value cannot show: settings that need each other,
//! and limits that bound each other. It is pure. What it has to know of the process, it is given.

use super::{configuration::Configuration, error::ConfigError};
use crate::{
    access::ClientLimits,
    broker::{self, OutboxLimits},
    policy::{PolicyFiles, TokenKeysFile},
    server::{ConnectionSettings, Settings},
    tls::{Credentials, ServerTlsFiles},
};

/// File descriptors kept for everything but clients: listeners, logs, files to read, and refusing
/// clients over the limit.
const DESCRIPTORS_RESERVED: usize = 256;

/// Sockets beside those of clients: peers in handshake, about to be refused, or closing.
const SOCKETS_SPARE: usize = 1024;

/// More than any machine serves. Keeps sums and queues far from overflow.
const CONNECTIONS_MAX: usize = 10_000_000;

/// Settings in which nothing is left to check. The files that they name have not been read.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// Certificates, rules and tokens.
    pub policy_files: PolicyFiles,
    /// Everything else that the server needs.
    pub server: Settings,
    /// Set where the limit of open files does not allow as many connections as the settings.
    pub fewer_connections: Option<FewerConnections>,
}

/// The limit of open files does not allow as many connections as the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FewerConnections {
    /// By the settings.
    pub asked: usize,
    /// By the limit.
    pub possible: usize,
}

impl Configuration {
    /// Checks the values against each other, and against how many `descriptors` the process may open.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn resolve(&self, descriptors: usize) -> Result<Resolved, ConfigError> {
        let policy_files = self.policy_files()?;
        let outbox = self.outbox()?;
        let possible = possible_connections(descriptors)?;
        let asked = self.values().limits.max_connections;
        let connections = if asked == 0 {
            possible
        } else {
            asked.min(possible)
        };
        let sockets_max = (connections + SOCKETS_SPARE)
            .max(connections * 2)
            .min(descriptors - DESCRIPTORS_RESERVED / 2);
        Ok(Resolved {
            policy_files,
            server: self.server(connections, sockets_max, outbox),
            fewer_connections: (asked > possible).then_some(FewerConnections { asked, possible }),
        })
    }

    fn policy_files(&self) -> Result<PolicyFiles, ConfigError> {
        let (tls, access) = (&self.values().tls, &self.values().access);
        let (Some(ca), Some(certificate), Some(key)) = (&tls.ca, &tls.cert, &tls.key) else {
            return Err(ConfigError::NoCertificates);
        };
        Ok(PolicyFiles {
            tls: ServerTlsFiles {
                credentials: Credentials {
                    ca: ca.clone(),
                    certificate: certificate.clone(),
                    key: key.clone(),
                    allow_loose_key_permissions: tls.allow_loose_key_permissions,
                },
                oldest: tls.tls_min.into(),
                record_bytes_max: tls.tls_record_bytes_max.into(),
                crls: access.crl.clone(),
            },
            access: access.access.clone(),
            tokens: access.tokens.clone(),
            token_keys: self.token_keys()?,
        })
    }

    fn token_keys(&self) -> Result<Option<TokenKeysFile>, ConfigError> {
        let access = &self.values().access;
        let Some(path) = &access.token_keys else {
            let mut names = ["token-issuer", "token-audience"].into_iter();
            return match names.find(|name| self.is_set(name)) {
                Some(name) => Err(ConfigError::TokenNameWithoutKeys(self.setting(name))),
                None => Ok(None),
            };
        };
        // An empty name is how a script leaves it out.
        let named = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
        let names = named(&access.token_issuer).zip(named(&access.token_audience));
        let Some((issuer, audience)) = names else {
            let keys = self.setting("token-keys");
            return Err(ConfigError::TokenKeysWithoutNames(keys));
        };
        Ok(Some(TokenKeysFile {
            path: path.clone(),
            issuer,
            audience,
        }))
    }

    fn outbox(&self) -> Result<OutboxLimits, ConfigError> {
        let values = self.values();
        let soft_bytes = values.limits.outbox_bytes_soft;
        let hard_bytes = values.limits.outbox_bytes_max;
        if soft_bytes > hard_bytes {
            return Err(ConfigError::OutboxLimits {
                soft: self.setting("outbox-bytes-soft"),
                soft_bytes,
                hard: self.setting("outbox-bytes-max"),
                hard_bytes,
            });
        }
        Ok(OutboxLimits {
            hard_bytes: hard_bytes as usize,
            soft_bytes: soft_bytes as usize,
            soft_time: values.times.outbox_soft_time,
        })
    }

    fn server(&self, connections: usize, sockets_max: usize, outbox: OutboxLimits) -> Settings {
        let values = self.values();
        let (limits, times) = (&values.limits, &values.times);
        Settings {
            listen: values.listening.listen.clone(),
            reload_interval: values.access.reload_interval,
            identity_source: values.tls.identity_from,
            broker: broker::Limits {
                connections,
                connections_per_identity: limits.max_connections_per_identity,
                connections_per_address: limits.max_connections_per_address,
                subscriptions_per_client: limits.max_subscriptions,
                subscriptions_per_identity: limits.max_subscriptions_per_identity,
                subscriptions_total: limits.max_subscriptions_total,
                filter_shapes_per_identity: limits.max_filter_shapes_per_identity,
                presence: values.presence,
            },
            outbox,
            connection: ConnectionSettings {
                handshake_timeout: times.handshake_timeout,
                authentication_timeout: times.authentication_timeout,
                ping_interval: times.ping_interval,
                line_bytes_max: limits.line_bytes_max as usize,
                client_limits: ClientLimits {
                    publish_messages_per_second: Some(limits.max_publish_messages_per_second),
                    publish_bytes_per_second: Some(limits.max_publish_bytes_per_second),
                    errors_per_minute: Some(limits.max_errors_per_minute),
                },
            },
            sockets_max,
            handshakes_max: limits.max_handshakes,
            attempts_per_address_per_minute: limits.max_attempts_per_address,
            drain: times.drain,
        }
    }
}

/// As many clients as the descriptors allow: at least one.
fn possible_connections(descriptors: usize) -> Result<usize, ConfigError> {
    match descriptors.saturating_sub(DESCRIPTORS_RESERVED) {
        0 => Err(ConfigError::TooFewDescriptors(descriptors)),
        possible => Ok(possible.min(CONNECTIONS_MAX)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Entry, Origin};

    const CERTIFICATES: [&str; 3] = ["--ca=ca", "--cert=cert", "--key=key"];

    /// With certificates and these flags.
    fn with(flags: &[&str]) -> Configuration {
        Configuration::of_flags(&[&CERTIFICATES, flags].concat())
    }

    fn resolved(flags: &[&str], descriptors: usize) -> Resolved {
        with(flags).resolve(descriptors).unwrap()
    }

    fn fault(configuration: &Configuration) -> String {
        configuration.resolve(100_000).unwrap_err().to_string()
    }

    #[test]
    fn descriptors_bound_connections_and_sockets() {
        for (flag, descriptors, connections, sockets, fewer) in [
            ("--max-connections=10", 100_000, 10, 1034, None),
            ("--max-connections=5000", 100_000, 5000, 10_000, None),
            ("--max-connections=5000", 8000, 5000, 7872, None),
            ("--max-connections=0", 8000, 7744, 7872, None),
            ("--max-connections=10", 257, 1, 129, Some((10, 1))),
            (
                "--max-connections=0",
                usize::MAX,
                10_000_000,
                20_000_000,
                None,
            ),
        ] {
            let resolved = resolved(&[flag], descriptors);
            let server = &resolved.server;
            assert_eq!(
                (server.broker.connections, server.sockets_max),
                (connections, sockets)
            );
            let told = resolved.fewer_connections;
            assert_eq!(told.map(|fewer| (fewer.asked, fewer.possible)), fewer);
        }
        for descriptors in [0, 100, 256] {
            let fault = with(&[]).resolve(descriptors).unwrap_err();
            assert!(matches!(fault, ConfigError::TooFewDescriptors(told) if told == descriptors));
        }
    }

    #[test]
    fn each_of_the_three_files_is_needed() {
        for missing in 0..CERTIFICATES.len() {
            let mut flags = CERTIFICATES.to_vec();
            flags.remove(missing);
            let fault = Configuration::of_flags(&flags).resolve(100_000);
            assert!(matches!(fault, Err(ConfigError::NoCertificates)));
        }
    }

    #[test]
    fn keys_of_tokens_and_names_in_them_need_each_other() {
        let (keys, issuer, audience) = ("--token-keys=k", "--token-issuer=i", "--token-audience=a");
        for flags in [
            &[keys][..],
            &[keys, issuer],
            &[keys, audience],
            &[keys, issuer, "--token-audience="],
        ] {
            let fault = fault(&with(flags));
            assert!(fault.starts_with("--token-keys needs"), "{fault}");
        }
        for flag in [issuer, audience, "--token-issuer="] {
            let fault = fault(&with(&[flag]));
            assert!(fault.contains("needs --token-keys"), "{fault}");
        }
        let files = resolved(&[keys, issuer, audience], 1000).policy_files;
        assert_eq!(files.token_keys.unwrap().audience, "a");
        assert!(resolved(&[], 1000).policy_files.token_keys.is_none());
    }

    #[test]
    fn limits_that_contradict_each_other_are_told_with_their_origins() {
        let hard = "--outbox-bytes-max=65536";
        assert_eq!(
            fault(&with(&[hard])),
            "the default of --outbox-bytes-soft (2097152) is above --outbox-bytes-max (65536)"
        );
        let mut configuration = with(&[hard]);
        let origin = Origin::Environment("TIDINGS_OUTBOX_BYTES_SOFT".to_owned());
        let entry = Entry::new("outbox-bytes-soft", "65537", origin);
        configuration.fill([entry]).unwrap();
        let fault = fault(&configuration);
        assert!(
            fault.starts_with("TIDINGS_OUTBOX_BYTES_SOFT (65537) is above"),
            "{fault}"
        );
        assert!(
            with(&[hard, "--outbox-bytes-soft=65536"])
                .resolve(1000)
                .is_ok()
        );
    }
}
