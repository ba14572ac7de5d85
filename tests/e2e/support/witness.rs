use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{Broker, publish_ref, subscribe};

/// Two clients that mind their own business: one counts aloud, the other listens. Nothing that
/// happens to others may cost them a number or their connection.
pub(crate) struct Witness {
    stop: Arc<AtomicBool>,
    counting: JoinHandle<Counted>,
}

/// What a witness saw.
#[derive(Debug)]
pub(crate) struct Counted {
    pub(crate) messages: u64,
    /// The longest time from a number said to the same number heard.
    pub(crate) longest: Duration,
}

impl Witness {
    /// Starts to count, and has counted to one.
    pub(crate) fn start(broker: &Broker) -> Self {
        let mut speaker = broker.deaf_client("witness-speaker");
        let mut listener = broker.deaf_client("witness-listener");
        listener.send(&subscribe("witness/count"));
        listener.expect("subscribed");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let counting = thread::spawn(move || {
            let mut counted = Counted {
                messages: 0,
                longest: Duration::ZERO,
            };
            while counted.messages == 0 || !stopped.load(Ordering::Relaxed) {
                let number = counted.messages.to_string();
                let said = Instant::now();
                speaker.send(&publish_ref("witness/count", &number, &number));
                let mut heard = listener.next();
                while heard.event() == "ping" {
                    listener.send(r#"{"event":"pong","id":"__"}"#);
                    heard = listener.next();
                }
                assert_eq!(heard.raw_payload(), number);
                counted.longest = counted.longest.max(said.elapsed());
                let published = speaker.expect("published");
                assert_eq!(published.content()["receivers"], 1);
                counted.messages += 1;
            }
            assert!(listener.fence().is_empty());
            counted
        });
        Self { stop, counting }
    }

    /// Stops, and fails where anything was missing.
    pub(crate) fn finish(self) -> Counted {
        self.stop.store(true, Ordering::Relaxed);
        match self.counting.join() {
            Ok(counted) => counted,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
