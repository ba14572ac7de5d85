//! What a client knows of its connection, of itself and of others.

use std::sync::Arc;

use super::Error;
use crate::protocol::ClientId;

/// How the connection is.
#[derive(Clone, Debug)]
pub(super) enum State {
    Connected {
        me: Me,
        line_bytes_max: usize,
    },
    /// Lost, and being made anew.
    Reconnecting(Arc<Error>),
    Ended(Arc<Error>),
}

/// Who this client is to the broker, on this connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// Given by the broker, anew with every connection.
    pub client_id: ClientId,
    /// What the certificate proves.
    pub identity: String,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// How many clients it was queued for.
    pub receivers: usize,
}

/// Another client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// Its id.
    pub client_id: ClientId,
    /// Its identity.
    pub identity: String,
    /// When it was authenticated, RFC 3339.
    pub since: String,
}
