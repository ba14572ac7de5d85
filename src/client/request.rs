//! What a handle asks the connection's task for.

use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use super::{ClientInfo, Error, Receipt, subscription::Delivery};
use crate::topic::{Topic, TopicFilter};

/// Where the answer to a request goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// What a handle asks for.
#[derive(Debug)]
pub(super) enum Request {
    Publish {
        topic: Topic<'static>,
        payload: Box<RawValue>,
        reply: Option<Reply<Receipt>>,
    },
    Subscribe {
        filters: Vec<TopicFilter>,
        deliveries: mpsc::Sender<Delivery>,
        reply: Reply<()>,
    },
    ListClients {
        reply: Reply<Vec<ClientInfo>>,
    },
    Close {
        reply: Reply<()>,
    },
}
