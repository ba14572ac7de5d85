//! The access rules, through the real broker in process, against a model too simple to be wrong.
//!
//! A random case that fails is made as small as it can be, and shown with its seed, the file of the
//! rules, the clients and what they tried.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed unwrap is what a test is for, also in its helpers"
)]

mod broker;
mod by_hand;
mod cases;
mod model;
mod world;

use std::{
    collections::BTreeMap,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
};

use broker::{Action, Broker, Rules};
use cases::Case;
use model::{Answer, Rights, Rule};
use tokio::runtime::Runtime;
use world::{Told, World};

const CASES: u64 = 10_000;

/// Cases without a file of rules.
const OPEN_CASES: u64 = 1_000;

/// Cases in which the program is asked. Each question starts a process.
const PROGRAM_CASES: u64 = 300;

/// The id of one who is not a client.
const NO_ID: &str = "00000000-0000-0000-0000-000000000000";

/// How often each thing was seen.
type Seen = BTreeMap<String, u64>;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

/// Plays a case, and says where broker and model part.
async fn play(
    broker: &mut Broker,
    case: &Case,
    rules: Option<&[Rule]>,
    seen: &mut Seen,
) -> Result<(), String> {
    let mut world = World::default();
    let mut client_ids = Vec::new();
    for client in &case.clients {
        let (identity, wants) = (client.identity.as_str(), client.wants_presence);
        let (answer, client_id, told) = broker.connect(identity, wants).await;
        let client_id = client_id.unwrap_or_else(|| NO_ID.to_owned());
        let expected = world.connect(identity, &client_id, wants, rules);
        client_ids.push(client_id);
        judge(
            &format!("{identity:?} connects"),
            expected,
            (answer, told),
            seen,
        )?;
    }
    for (number, step) in case.steps.iter().enumerate() {
        let (client, topic) = (step.client, step.topic(&client_ids));
        if !world.is_here(client) {
            continue;
        }
        let payload = number.to_string();
        let (expected, actual) = match step.action {
            Action::Subscribe => (
                world.subscribe(client, &topic),
                broker.subscribe(client, &topic).await,
            ),
            Action::Publish => (
                world.publish(client, &topic, &payload),
                broker.publish(client, &topic, &payload),
            ),
        };
        let what = format!("{:?} {topic:?} by client {client}", step.action);
        judge(&what, expected, actual, seen)?;
    }
    for client in 0..case.clients.len() {
        if world.is_here(client) {
            let expected = (Answer::Ok, world.disconnect(client));
            let actual = (Answer::Ok, broker.disconnect(client).await);
            judge(&format!("client {client} goes"), expected, actual, seen)?;
        }
    }
    *seen.entry("withheld".to_owned()).or_default() += world.withheld();
    Ok(())
}

fn judge(
    what: &str,
    expected: (Answer, Told),
    actual: (Answer, Told),
    seen: &mut Seen,
) -> Result<(), String> {
    if expected != actual {
        return Err(format!(
            "{what}\n  by the model:  {expected:?}\n  by the broker: {actual:?}"
        ));
    }
    *seen.entry(format!("{:?}", expected.0)).or_default() += 1;
    *seen.entry("told".to_owned()).or_default() += expected.1.concat().len() as u64;
    Ok(())
}

/// Asks beforehand all that the case will try, also for those who will not be let in.
fn explain(case: &Case, allowed: impl Fn(&str, Action, &str) -> bool) -> Result<(), String> {
    let client_ids: Vec<String> = case.clients.iter().map(|_| NO_ID.to_owned()).collect();
    for step in &case.steps {
        let identity = &case.clients[step.client].identity;
        let topic = step.topic(&client_ids);
        let expected = Rights::of(identity, NO_ID, &case.rules).is_ok_and(|rights| {
            Answer::Ok
                == match step.action {
                    Action::Publish => rights.may_publish(&topic),
                    Action::Subscribe => rights.may_subscribe(&topic),
                }
        });
        if allowed(identity, step.action, &topic) != expected {
            return Err(format!(
                "{:?} {topic:?} by {identity:?}: by the model {expected}",
                step.action
            ));
        }
    }
    Ok(())
}

/// Plays the case of every seed, each in a broker of its own.
fn play_all(runtime: &Runtime, seeds: u64, with_rules: bool) -> Seen {
    let mut seen = Seen::new();
    check_all(seeds, |case| {
        let file = with_rules.then(|| case.file());
        let model = with_rules.then_some(case.rules.as_slice());
        let rules = Rules::parse(file.as_deref());
        let script = async |mut broker: Broker| play(&mut broker, case, model, &mut seen).await;
        runtime.block_on(broker::run(&rules, script))
    });
    seen
}

/// Has `check` judge the case of every seed; of one that fails, shows the least that fails too.
fn check_all(seeds: u64, mut check: impl FnMut(&Case) -> Result<(), String>) {
    let mut judged = |case: &Case| {
        let caught = catch_unwind(AssertUnwindSafe(|| check(case)));
        caught.unwrap_or_else(|_| Err("a panic, which stands above".to_owned()))
    };
    for seed in 0..seeds {
        let mut case = Case::random(seed);
        let Err(mut fault) = judged(&case) else {
            continue;
        };
        while let Some((smaller, its_fault)) = case
            .smaller()
            .into_iter()
            .find_map(|case| judged(&case).err().map(|fault| (case, fault)))
        {
            (case, fault) = (smaller, its_fault);
        }
        panic!("seed {seed}, made smaller:\n{case}\n{fault}");
    }
}

/// No kind of outcome is so seldom that it goes untested.
fn assert_seen_often(seen: &Seen, what: &[&str], at_least: u64) {
    for what in what {
        let times = seen.get(*what).copied().unwrap_or_default();
        assert!(times >= at_least, "{what} was seen {times} times: {seen:?}");
    }
}

#[test]
fn the_broker_does_what_the_rules_say() {
    let seen = play_all(&runtime(), CASES, true);
    println!("{seen:?}");
    let answers = ["Ok", "IdentityDenied", "PublishDenied", "SubscribeDenied"];
    assert_seen_often(&seen, &answers, CASES / 10);
    assert_seen_often(&seen, &["ReservedTopic", "withheld"], CASES / 100);
    assert_seen_often(&seen, &["told"], CASES);
}

#[test]
fn without_a_file_everybody_may_do_everything() {
    let seen = play_all(&runtime(), OPEN_CASES, false);
    println!("{seen:?}");
    assert_seen_often(&seen, &["Ok", "told"], OPEN_CASES);
    assert_eq!(seen.get("PublishDenied"), None);
}

#[test]
fn explain_says_what_the_broker_does() {
    check_all(CASES, |case| {
        let rules = Rules::parse(Some(&case.file()));
        explain(case, |identity, action, topic| {
            rules.explain(identity, NO_ID, action, topic)
        })
    });
}

#[test]
fn the_program_explains_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.toml");
    check_all(PROGRAM_CASES, |case| {
        fs::write(&file, case.file()).unwrap();
        explain(case, |identity, action, topic| {
            broker::explain_by_program(&file, identity, NO_ID, action, topic)
        })
    });
}
