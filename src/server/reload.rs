//! Reading the policy again while clients are here: when it is asked for, and when a file's content
//! has changed.
//!
//! Invariant: each group of files is taken whole or not at all. With a fault in it, it stays in force
//! as it was, and the log says why; that keeps no other group from being taken.

use std::{
    collections::{BTreeMap, HashMap},
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

use super::{audit, context::ServerContext, systemd};
use crate::{
    broker::RegistryGone,
    policy::{ChangedGroups, FileGroup, Policy, Reread},
    protocol::Timestamp,
    tls::Expiry,
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
pub(super) async fn keep_current(context: Arc<ServerContext>, requests: Reload) {
    let mut looks = looks(context.settings.reload_interval);
    let (mut seen, mut told) = (ChangedGroups::new(), Faults::new());
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
        if is_asked {
            systemd::reloading();
        }
        let last_seen = (!is_asked).then_some(seen);
        let (faults, now_seen) = match exchange(&context, last_seen).await {
            Ok(outcome) => outcome,
            Err(RegistryGone) => return,
        };
        // A fault may pass by itself, and is tried again at every look.
        for (group, reason) in &faults {
            if is_asked || told.get(group) != Some(reason) {
                audit::reload_refused(asked_by(is_asked), *group, reason);
            }
        }
        (told, seen) = (faults, now_seen);
        if is_asked {
            systemd::reloaded();
        }
    }
}

/// Why what is in force has stayed: of one group, or of all.
type Faults = BTreeMap<Option<FileGroup>, String>;

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

/// Reads all that has changed, checks it, and puts what is in order in force at once: for newcomers,
/// then for those who are here. Tells what is not, and what was seen.
///
/// What nobody asked for must be what the last look has seen.
async fn exchange(
    context: &ServerContext,
    last_seen: Option<ChangedGroups>,
) -> Result<(Faults, ChangedGroups), RegistryGone> {
    let (old, is_asked) = (context.policy(), last_seen.is_none());
    let Reread {
        policy,
        errors,
        changed: seen,
    } = match read_aside(Arc::clone(&old), last_seen).await {
        Ok(reading) => reading,
        Err(reason) => return Ok((Faults::from([(None, reason)]), ChangedGroups::new())),
    };
    if let Some(new) = policy.map(Arc::new) {
        context.set_policy(Arc::clone(&new));
        let judged = context.registry.reevaluate(Arc::clone(&new.access)).await?;
        let changed: Vec<_> = new.changed_since(&old).map(Path::to_string_lossy).collect();
        audit::reloaded(asked_by(is_asked), &changed.join(", "), &new, &judged);
    } else if is_asked && errors.is_empty() {
        audit::nothing_to_reload(asked_by(is_asked));
    }
    let told = errors
        .into_iter()
        .map(|(group, fault)| (Some(group), fault.to_string()));
    Ok((told.collect(), seen))
}

/// Reads the policy's files again, where that holds up nobody; else says why it cannot.
async fn read_aside(
    policy: Arc<Policy>,
    last_seen: Option<ChangedGroups>,
) -> Result<Reread, String> {
    let reading = spawn_blocking(move || policy.reread(last_seen.as_ref()));
    match timeout(READ_TIMEOUT, reading).await {
        Ok(Ok(reading)) => Ok(reading),
        Ok(Err(error)) => Err(format!("reading the files failed: {error}")),
        Err(_) => Err(format!(
            "reading the files takes longer than {} s: does a file system hang?",
            READ_TIMEOUT.as_secs()
        )),
    }
}

/// Warns of what in the policy is about to end, and of what has ended: for ever.
pub(super) async fn watch_expiries(context: Arc<ServerContext>) {
    let mut told: HashMap<String, (Age, Instant)> = HashMap::new();
    loop {
        for deadline in &context.policy().tls.expiries {
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
    fn of(deadline: &Expiry, now: SystemTime) -> Self {
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
        Expiry {
            what, file, end, ..
        }: &Expiry,
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
