//! What the suites stand on: brokers, certificates, clients that can misbehave, and the processes
//! that they all run in.

mod broker;
mod certificates;
mod client;
mod policy;
mod process;
mod tools;
mod witness;

use std::time::Duration;

pub(crate) use broker::{Broker, serve};
pub(crate) use certificates::{Certificates, Files, crl_of, tls_of};
pub(crate) use client::{Client, End, Line, list_of};
pub(crate) use policy::{PolicyFolder, WITNESS_RULE, audit_in, reloads_in, told};
pub(crate) use process::{Lines, Outcome, Process, run};
pub(crate) use tools::{complaints, openssl, s_client, tidings, tool};
pub(crate) use witness::Witness;

/// Longer than anything takes that works.
pub(crate) const DEADLINE: Duration = Duration::from_secs(15);

/// `request_authentication`
pub(crate) const AUTHENTICATE: &str = r#"{"event":"request_authentication","id":"__"}"#;

/// `disconnecting`
pub(crate) const DISCONNECT: &str = r#"{"event":"disconnecting","id":"__"}"#;

/// A line with `content` as it stands.
pub(crate) fn line(event: &str, content: &str) -> String {
    format!(r#"{{"event":"{event}","id":"__","content":{content}}}"#)
}

/// A `publish` without an answer. `payload` is JSON.
pub(crate) fn publish(topic: &str, payload: &str) -> String {
    line(
        "publish",
        &format!(r#"{{"topic":"{topic}","payload":{payload}}}"#),
    )
}

/// A `publish` that is answered.
pub(crate) fn publish_ref(topic: &str, payload: &str, reference: &str) -> String {
    line(
        "publish",
        &format!(r#"{{"topic":"{topic}","payload":{payload},"ref":"{reference}"}}"#),
    )
}

/// A `subscribe`.
pub(crate) fn subscribe(filter: &str) -> String {
    line("subscribe", &format!(r#"{{"topic":"{filter}"}}"#))
}
