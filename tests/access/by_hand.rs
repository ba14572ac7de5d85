//! Cases of which the outcome was worked out by hand, one for each subtle rule: they hold the model
//! to the words of the specification, and the broker to the model.

use crate::{
    Seen,
    broker::{self, Action, Broker, Rules},
    cases::{Case, Step},
    model::{Answer, Rights, Rule, matches},
    play, runtime,
};

/// Publishes what others are to receive. Rows that need it have a rule for it.
const PUBLISHER: &str = "publisher";

const CLIENT_ID: &str = "0197a3c4-0000-7000-8000-000000000001";

/// Levels of the longest topic.
const LEVELS_MAX: usize = 32;

struct Row {
    name: &'static str,
    /// Patterns, then `p:`, `s:`, `-p:`, `-s:` for the four lists, and `quiet` or `loud`.
    rules: &'static [&'static str],
    identity: &'static str,
    /// `sub`, `pub`, or `get` for what may reach it, a topic, and the answer in a word.
    /// None: the identity is denied.
    outcomes: &'static [&'static str],
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row { name: "an exact identity", rules: &["a p:x"], identity: "a", outcomes: &["pub x ok", "pub y no", "sub x no"] },
    Row { name: "no rule, no entry", rules: &["a p:#", "b* p:#"], identity: "ab", outcomes: &[] },
    Row { name: "identities are told apart by case", rules: &["A p:#"], identity: "a", outcomes: &[] },
    Row { name: "a star is any run", rules: &["s*r-*7 p:x"], identity: "sensor-7", outcomes: &["pub x ok"] },
    Row { name: "a star is no character too", rules: &["*a*b* p:x"], identity: "ab", outcomes: &["pub x ok"] },
    Row { name: "a pattern is for the whole identity", rules: &["sensor-* p:x"], identity: "my-sensor-7", outcomes: &[] },
    Row { name: "a star crosses slashes", rules: &["spiffe:*/x p:t"], identity: "spiffe://d/y/x", outcomes: &["pub t ok"] },
    Row { name: "one pattern of a list is enough", rules: &["a,b p:x"], identity: "b", outcomes: &["pub x ok"] },
    Row { name: "a rule may allow nothing", rules: &["*"], identity: "a", outcomes: &["pub x no", "sub x no", "sub # no"] },
    Row { name: "all rules that match apply together", rules: &["a p:x", "* p:y", "b p:z"], identity: "a", outcomes: &["pub x ok", "pub y ok", "pub z no"] },
    Row { name: "publish and subscribe are apart", rules: &["* p:x s:y"], identity: "a", outcomes: &["pub y no", "sub x no", "sub y ok"] },

    Row { name: "deny wins", rules: &["* p:# -p:a/#"], identity: "a", outcomes: &["pub a no", "pub a/b no", "pub b ok"] },
    Row { name: "deny wins over an earlier and narrower rule", rules: &["a p:x/y", "* -p:x/+"], identity: "a", outcomes: &["pub x/y no"] },
    Row { name: "deny wins over a later rule", rules: &["* -p:x", "a p:x"], identity: "a", outcomes: &["pub x no"] },
    Row { name: "a deny of subscribing denies no publishing", rules: &["* p:x -s:x"], identity: "a", outcomes: &["pub x ok"] },

    Row { name: "a hash matches its parent", rules: &["* p:a/# s:a/#"], identity: "x", outcomes: &["pub a ok", "pub a/b/c ok", "pub ab no", "sub a ok", "sub a/+ ok", "sub +/b no"] },
    Row { name: "a plus is one level", rules: &["* p:a/+ s:a/+"], identity: "x", outcomes: &["pub a no", "pub a/b ok", "pub a/b/c no", "sub a/b ok", "sub a/+ ok", "sub a/# no"] },
    Row { name: "a plus first is one level too", rules: &["* s:+/b"], identity: "x", outcomes: &["sub a/b ok", "sub +/b ok", "sub +/+ no", "sub b no", "sub # no"] },
    Row { name: "the hash of all covers all", rules: &["* s:#"], identity: "x", outcomes: &["sub # ok", "sub + ok", "sub +/a/# ok", "sub a ok"] },
    Row { name: "plus and hash is all", rules: &["* s:+/#"], identity: "x", outcomes: &["sub # ok", "sub + ok", "sub a ok"] },
    Row { name: "a hash below a word is not all", rules: &["* s:a/#"], identity: "x", outcomes: &["sub # no", "sub +/# no", "sub a/# ok", "sub a/b/# ok"] },

    Row { name: "a union covers what no part does", rules: &["* s:a,a/+/#"], identity: "x", outcomes: &["sub a/# ok", "sub a/+/# ok"] },
    Row { name: "a union across rules", rules: &["* s:a", "x s:a/+", "x* s:a/+/+/#"], identity: "x", outcomes: &["sub a/# ok"] },
    Row { name: "a union with a hole", rules: &["* s:a,a/+/+/#"], identity: "x", outcomes: &["sub a/# no", "sub a/+ no", "sub a/b/# no", "sub a/b/c ok"] },
    Row { name: "plus hash without the parent", rules: &["* s:a/+/#"], identity: "x", outcomes: &["sub a/# no", "sub a no", "sub a/+/# ok"] },
    Row { name: "levels by number cover no hash", rules: &["* s:+,+/+,+/+/+"], identity: "x", outcomes: &["sub # no", "sub +/+/+ ok", "sub +/a ok"] },
    Row { name: "words never cover a plus", rules: &["* s:a,b,c"], identity: "x", outcomes: &["sub + no", "sub a ok"] },
    Row { name: "a union in two dimensions", rules: &["* s:a/+,+/b"], identity: "x", outcomes: &["sub a/b ok", "sub a/+ ok", "sub +/b ok", "sub +/+ no"] },

    Row { name: "a deny is carved out at delivery", rules: &["* p:# s:# -s:a/secret/#"], identity: "x", outcomes: &["sub a/# ok", "get a ok", "get a/b ok", "get a/secret no", "get a/secret/b no"] },
    Row { name: "wholly denied", rules: &["* s:# -s:a/#"], identity: "x", outcomes: &["sub a no", "sub a/# no", "sub a/b/+ no", "sub +/b ok", "sub # ok"] },
    Row { name: "wholly denied by a union", rules: &["* s:# -s:a,a/+/#"], identity: "x", outcomes: &["sub a/# no", "sub a no", "sub a/b no"] },
    Row { name: "denied by all but one part of a union", rules: &["* s:# -s:a,a/+/+/#"], identity: "x", outcomes: &["sub a/# ok", "sub a/+ ok", "sub a/+/b no"] },
    Row { name: "all is denied", rules: &["* s:# -s:+/#"], identity: "x", outcomes: &["sub # no", "sub + no", "sub a no"] },
    Row { name: "the deny may be of another rule", rules: &["x s:#", "* -s:b"], identity: "x", outcomes: &["sub b no", "sub + ok"] },
    Row { name: "a deny does not make up for a missing allow", rules: &["* s:a/b -s:a/c"], identity: "x", outcomes: &["sub a/+ no", "sub a/b ok"] },
    Row { name: "two subscriptions, one message", rules: &["* p:# s:#"], identity: "x", outcomes: &["sub # ok", "sub a/+ ok", "get a/b ok"] },
    Row { name: "nothing comes unasked", rules: &["* p:# s:#"], identity: "x", outcomes: &["sub a ok", "get a/b no", "get a ok"] },

    Row { name: "topics of the server", rules: &["* p:# s:#"], identity: "x", outcomes: &["pub $SYS/a reserved", "pub $x reserved", "sub $SYS/# reserved", "sub $x reserved", "pub a/$x ok", "sub a/$x ok", "sub +/$x ok"] },
    Row { name: "a deny of the server's topics takes nothing else", rules: &["* p:# s:# -p:$SYS/# -s:$SYS/#"], identity: "x", outcomes: &["pub a ok", "sub # ok", "sub + ok", "pub $SYS reserved", "sub $SYS/# reserved"] },
    Row { name: "reserved comes before denied", rules: &["*"], identity: "x", outcomes: &["pub $a reserved", "sub $a/# reserved"] },

    Row { name: "the identity filled in", rules: &["* p:plant/{identity}/# s:dev-{identity}/+"], identity: "s7", outcomes: &["pub plant/s7 ok", "pub plant/s7/a ok", "pub plant/s8 no", "pub plant/{identity} no", "sub dev-s7/+ ok", "sub dev-s7/a ok", "sub dev-s8/a no"] },
    Row { name: "twice in a filter", rules: &["* p:{identity}/{identity}"], identity: "a", outcomes: &["pub a/a ok", "pub a/b no"] },
    Row { name: "twice in a level", rules: &["* p:{identity}-{identity}"], identity: "a", outcomes: &["pub a-a ok"] },
    Row { name: "the client's id filled in", rules: &["* p:c/{client_id} s:c/{client_id}/#"], identity: "a", outcomes: &["pub c/<id-0> ok", "pub c/<id-1> no", "sub c/<id-0> ok", "sub c/<id-0>/# ok", "sub c/+ no"] },
    Row { name: "filled in once", rules: &["* p:{identity}"], identity: "{client_id}", outcomes: &["pub {client_id} ok", "pub <id-0> no"] },
    Row { name: "both in one level", rules: &["* p:{client_id}.{identity}"], identity: "{client_id}", outcomes: &["pub <id-0>.{client_id} ok", "pub <id-0>.<id-0> no"] },
    Row { name: "a denied filter filled in", rules: &["* p:# -p:{identity}/#"], identity: "a", outcomes: &["pub a/b no", "pub b ok"] },
    Row { name: "a client's own braces stay", rules: &["* s:a/{identity}"], identity: "b", outcomes: &["sub a/{identity} no", "sub a/b ok"] },

    Row { name: "a slash does not get into a filter", rules: &["* p:{identity}/x"], identity: "a/b", outcomes: &[] },
    Row { name: "nor a plus", rules: &["* s:dev-{identity}"], identity: "a+", outcomes: &[] },
    Row { name: "nor a hash, not even into a deny", rules: &["* p:# -p:{identity}"], identity: "#", outcomes: &[] },
    Row { name: "nor a dollar", rules: &["* s:# -s:x/{identity}"], identity: "a$", outcomes: &[] },
    Row { name: "nor a space", rules: &["* p:{identity}"], identity: "a b", outcomes: &[] },
    Row { name: "nor what makes it too long", rules: &["* p:{identity}/{identity}"], identity: LONG, outcomes: &[] },
    Row { name: "512 bytes are not too long", rules: &["* p:{identity}{identity}"], identity: LONG, outcomes: &["pub x no"] },
    Row { name: "once is not too long", rules: &["* p:{identity},x"], identity: LONG, outcomes: &["pub x ok"] },
    Row { name: "a rule that does not match harms nobody", rules: &["b p:{identity}", "* p:x"], identity: "a/b", outcomes: &["pub x ok"] },
    Row { name: "one such rule among others is enough", rules: &["* p:x", "a* s:{identity}"], identity: "a/b", outcomes: &[] },
    Row { name: "a name is fine where it is not filled in", rules: &["spiffe://* p:x s:{client_id}"], identity: "spiffe://d/a+#$ b", outcomes: &["pub x ok", "sub <id-0> ok"] },
    Row { name: "other names are fine", rules: &["* p:{identity}"], identity: "ü*.{}", outcomes: &["pub ü*.{} ok", "pub ü.{} no"] },
];

/// As long as an identity can be.
const LONG: &str = "llllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllllll";

fn rule(text: &str) -> Rule {
    let list = |text: &str| text.split(',').map(str::to_owned).collect();
    let mut words = text.split(' ');
    let mut rule = Rule {
        identity: list(words.next().unwrap()),
        ..Rule::default()
    };
    for word in words {
        match word.split_once(':') {
            Some(("p", filters)) => rule.publish = list(filters),
            Some(("s", filters)) => rule.subscribe = list(filters),
            Some(("-p", filters)) => rule.deny_publish = list(filters),
            Some(("-s", filters)) => rule.deny_subscribe = list(filters),
            None if word == "quiet" => rule.presence = Some(false),
            None if word == "loud" => rule.presence = Some(true),
            _ => panic!("not a word of a rule: {word:?}"),
        }
    }
    rule
}

fn rules(row: &Row) -> Vec<Rule> {
    row.rules.iter().map(|text| rule(text)).collect()
}

/// What is asked, about which topic, and the answer in a word.
fn outcome(text: &str) -> (&str, &str, &str) {
    let mut words = text.split_whitespace();
    let mut word = || words.next().unwrap();
    (word(), word(), word())
}

#[test]
fn the_model_says_what_the_specification_does() {
    for row in ROWS {
        let rights = Rights::of(row.identity, CLIENT_ID, &rules(row));
        assert_eq!(rights.is_ok(), !row.outcomes.is_empty(), "{}", row.name);
        let Ok(rights) = rights else { continue };
        let mut subscribed: Vec<String> = Vec::new();
        for text in row.outcomes {
            let (asked, topic, expected) = outcome(text);
            let topic = topic.replace("<id-0>", CLIENT_ID).replace("<id-1>", "1");
            let answer = match asked {
                "pub" => rights.may_publish(&topic),
                "sub" => rights.may_subscribe(&topic),
                _ => {
                    let is_subscribed = subscribed.iter().any(|filter| matches(filter, &topic));
                    if is_subscribed && rights.may_receive(&topic) {
                        Answer::Ok
                    } else {
                        Answer::SubscribeDenied
                    }
                }
            };
            let word = match answer {
                Answer::Ok => "ok",
                Answer::ReservedTopic => "reserved",
                _ => "no",
            };
            assert_eq!(word, expected, "{}: {text}", row.name);
            if asked == "sub" && answer == Answer::Ok {
                subscribed.push(topic);
            }
        }
    }
}

/// The rows as cases, with one beside the client who publishes what it may get.
#[test]
fn the_broker_does_it_too() {
    let runtime = runtime();
    for row in ROWS {
        let mut rules = rules(row);
        rules.push(rule(&format!("{PUBLISHER} p:#")));
        let step = |text: &&str| match outcome(text) {
            ("pub", topic, _) => Step::new(0, Action::Publish, topic),
            ("sub", topic, _) => Step::new(0, Action::Subscribe, topic),
            (_, topic, _) => Step::new(1, Action::Publish, topic),
        };
        let steps = row.outcomes.iter().map(step).collect();
        let case = Case::new(rules, &[row.identity, PUBLISHER], steps);
        let rules = Rules::parse(Some(&case.file()));
        let played = runtime.block_on(broker::run(&rules, async |mut broker: Broker| {
            play(&mut broker, &case, Some(&case.rules), &mut Seen::new()).await
        }));
        if let Err(fault) = played {
            panic!("{}:\n{case}\n{fault}", row.name);
        }
    }
}

/// Who is `quiet` in any of its rules is not heard of, and hears nothing.
#[test]
fn quiet_wins_over_loud() {
    let texts = ["* loud", "q* quiet", "quite-loud loud"];
    let rules: Vec<Rule> = texts.iter().map(|text| rule(text)).collect();
    let case = Case::new(rules, &["a", "quiet", "b", "quite-loud"], Vec::new());
    let rules = Rules::parse(Some(&case.file()));
    runtime().block_on(broker::run(&rules, async |mut broker: Broker| {
        let mut told = Vec::new();
        for client in &case.clients {
            told.push(broker.connect(&client.identity, true).await.2);
        }
        for client in 0..case.clients.len() {
            told.push(broker.disconnect(client).await);
        }
        let counts = |told: Vec<Vec<_>>| told.iter().map(Vec::len).collect::<Vec<_>>();
        let told: Vec<Vec<usize>> = told.into_iter().map(counts).collect();
        let expected: [&[usize]; 8] = [
            &[0],
            &[0, 0],
            &[1, 0, 0],
            &[0, 0, 0, 0],
            &[0, 0, 1, 0],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0],
        ];
        assert_eq!(told, expected);
    }));
}

/// Too many topics for the model to try: filters of every length there is cover `#` together.
#[test]
fn filters_of_every_length_cover_all() {
    let filter = |levels: usize| vec!["+"; levels].join("/");
    let all: Vec<String> = (1..=LEVELS_MAX).map(filter).collect();
    for missing in [None, Some(0), Some(7), Some(LEVELS_MAX - 1)] {
        let mut subscribe = all.clone();
        if let Some(missing) = missing {
            subscribe.remove(missing);
        }
        let allowed = Rule {
            identity: vec!["*".to_owned()],
            subscribe: subscribe.clone(),
            ..Rule::default()
        };
        let denied = Rule {
            subscribe: vec!["#".to_owned()],
            deny_subscribe: subscribe,
            ..allowed.clone()
        };
        for (rule, is_allowed) in [(allowed, missing.is_none()), (denied, missing.is_some())] {
            let case = Case::new(vec![rule], &["a"], Vec::new());
            let rules = Rules::parse(Some(&case.file()));
            let answer = runtime().block_on(broker::run(&rules, async |mut broker: Broker| {
                broker.connect("a", true).await;
                broker.subscribe(0, "#").await.0
            }));
            let expected = match is_allowed {
                true => Answer::Ok,
                false => Answer::SubscribeDenied,
            };
            assert_eq!(answer, expected, "without {missing:?}");
        }
    }
}
