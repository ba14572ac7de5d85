//! A registry for tests, which can be made to stand still.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Poll, Waker},
};

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::{
    access::AccessRules,
    broker::{Limits, Registry},
    protocol::ServerId,
};

/// A registry and its task. While it is held, whoever asks it for something waits.
pub(super) struct TestRegistry {
    pub(super) registry: Registry,
    pub(super) actor: JoinHandle<()>,
    gate: Arc<Mutex<Gate>>,
}

#[derive(Default)]
struct Gate {
    is_held: bool,
    waker: Option<Waker>,
}

impl TestRegistry {
    pub(super) fn start(limits: Limits) -> Self {
        let open = Arc::new(AccessRules::open());
        let (registry, actor) = Registry::new(ServerId::fresh(), limits, open, 16);
        let gate = Arc::<Mutex<Gate>>::default();
        let gate_of_actor = Arc::clone(&gate);
        let actor = TaskTracker::new().spawn(async move {
            let mut actor = pin!(actor);
            poll_fn(|cx| {
                let mut gate = gate_of_actor.lock().unwrap();
                gate.waker = Some(cx.waker().clone());
                if gate.is_held {
                    return Poll::Pending;
                }
                drop(gate);
                actor.as_mut().poll(cx)
            })
            .await;
        });
        Self {
            registry,
            actor,
            gate,
        }
    }

    /// Takes commands and does nothing with them, until it is [released](Self::release).
    pub(super) fn hold(&self) {
        self.gate.lock().unwrap().is_held = true;
    }

    pub(super) fn release(&self) {
        let mut gate = self.gate.lock().unwrap();
        gate.is_held = false;
        if let Some(waker) = gate.waker.take() {
            waker.wake();
        }
    }
}
