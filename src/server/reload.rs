//! Reading the policy again while clients are here: when it is asked for, and when a file's content
//! has changed.
//!
//! Invariant: all or nothing. On any fault the old policy stays in force, and the log says why.

use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    sync::Notify,
    task::spawn_blocking,
    time::{Instant, Interval, MissedTickBehavior, interval_at, timeout},
};
use tracing::{error, warn};

use super::{audit, connection::Host, systemd};
use crate::{
    broker::RegistryGone,
    protocol::Timestamp,
    security::{Deadline, Policy},
};

/// How long reading all files may take: a file system that hangs is not to hold up the next reload.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How often it is looked at what ends.
const DEADLINE_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// How often the same is told of again.
const DEADLINE_WARNING_INTERVAL: Duration = Duration::from_secs(3600);

/// The request to read the policy again. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Reload(Arc<Notify>);

impl Reload {
    /// Asks for it. Asked several times before it is begun, it is done once.
    pub fn request(&self) {
        self.0.notify_one();
    }
}

/// Keeps a server's policy as its files have it: for ever, or until the registry has ended.
pub(super) async fn keep_current(host: Arc<Host>, requests: Reload) {
    let mut looks = looks(host.settings().reload_interval);
    // A fault that was told of, and lasts.
    let mut told: Option<String> = None;
    loop {
        let look = async {
            match &mut looks {
                Some(looks) => drop(looks.tick().await),
                None => std::future::pending().await,
            }
        };
        let is_asked = tokio::select! {
            () = requests.0.notified() => true,
            () = look => false,
        };
        let outcome = if is_asked {
            systemd::reloading();
            let outcome = exchange(&host, is_asked).await;
            systemd::reloaded();
            outcome
        } else {
            exchange(&host, is_asked).await
        };
        match outcome {
            Ok(()) => told = None,
            Err(Fault::Read(reason)) if is_asked || told.as_ref() != Some(&reason) => {
                audit::reload_refused(asked_by(is_asked), &reason);
                told = Some(reason);
            }
            // It may pass by itself, and is tried again at every look.
            Err(Fault::Read(_)) => {}
            Err(Fault::RegistryGone) => return,
        }
    }
}

/// When to look at the files unasked; `None` for never.
fn looks(interval: Duration) -> Option<Interval> {
    if interval.is_zero() {
        return None;
    }
    let mut looks = interval_at(Instant::now() + interval, interval);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Some(looks)
}

const fn asked_by(is_asked: bool) -> &'static str {
    if is_asked { "SIGHUP" } else { "changed files" }
}

/// Why there is no other policy in force.
enum Fault {
    /// The first fault of a file, with its place.
    Read(String),
    RegistryGone,
}

impl From<RegistryGone> for Fault {
    fn from(RegistryGone: RegistryGone) -> Self {
        Self::RegistryGone
    }
}

/// Reads all that has changed, checks it, and puts it in force at once: for newcomers, then for
/// those who are here.
async fn exchange(host: &Host, is_asked: bool) -> Result<(), Fault> {
    let old = host.policy();
    let Some(new) = read_aside(Arc::clone(&old)).await? else {
        if is_asked {
            audit::nothing_to_reload(asked_by(is_asked));
        }
        return Ok(());
    };
    let new = Arc::new(new);
    host.set_policy(Arc::clone(&new));
    let judged = host.registry().judge(Arc::clone(&new.access)).await?;
    let changed: Vec<_> = new.changed_since(&old).map(Path::to_string_lossy).collect();
    audit::reloaded(asked_by(is_asked), &changed.join(", "), &new, &judged);
    Ok(())
}

/// Reads the policy's files again, where that holds up nobody; `None` when nothing has changed.
async fn read_aside(policy: Arc<Policy>) -> Result<Option<Policy>, Fault> {
    let reading = spawn_blocking(move || policy.read_again());
    match timeout(READ_TIMEOUT, reading).await {
        Ok(Ok(read)) => read.map_err(|error| Fault::Read(error.to_string())),
        Ok(Err(error)) => Err(Fault::Read(format!("reading the files failed: {error}"))),
        Err(_) => Err(Fault::Read(format!(
            "reading the files takes longer than {} s: does a file system hang?",
            READ_TIMEOUT.as_secs()
        ))),
    }
}

/// Warns of what in the policy is about to end, and of what has ended: for ever.
pub(super) async fn watch_deadlines(host: Arc<Host>) {
    let mut told: HashMap<String, (Age, Instant)> = HashMap::new();
    loop {
        for deadline in &host.policy().tls.deadlines {
            let age = Age::of(deadline, SystemTime::now());
            let is_news = told
                .get(&deadline.what)
                .is_none_or(|(last, at)| *last != age || at.elapsed() >= DEADLINE_WARNING_INTERVAL);
            if is_news {
                age.tell(deadline);
                told.insert(deadline.what.clone(), (age, Instant::now()));
            }
        }
        tokio::time::sleep(DEADLINE_CHECK_INTERVAL).await;
    }
}

/// How something stands in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Age {
    /// Good for a while.
    Fresh,
    /// To be replaced.
    Aging,
    /// It has ended.
    Over,
}

impl Age {
    fn of(deadline: &Deadline, now: SystemTime) -> Self {
        if deadline.end <= now {
            Self::Over
        } else if deadline.renew_from <= now {
            Self::Aging
        } else {
            Self::Fresh
        }
    }

    fn tell(
        self,
        Deadline {
            what, file, end, ..
        }: &Deadline,
    ) {
        let (file, end) = (
            file.display().to_string(),
            Timestamp::from(*end).to_string(),
        );
        match self {
            Self::Fresh => {}
            Self::Aging => warn!(file, end, "{what} ends soon: put a newer one in its place"),
            Self::Over => error!(file, end, "{what} has ended: put a newer one in its place"),
        }
    }
}
