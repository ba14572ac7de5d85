//! Random cases: rules as a file, clients, and what they try. A seed makes the same case every time.

use std::fmt;

use fastrand::Rng;

use crate::{broker::Action, model::Rule};

/// Identities; some must never get into a pattern, one looks like a placeholder.
const IDENTITIES: &[&str] = &[
    "a",
    "b",
    "ab",
    "dev-a",
    "dev-b",
    "x-y",
    "A",
    "a/b",
    "a+b",
    "a#",
    "$x",
    "a b",
    "b a",
    "*",
    "{client_id}",
    "ü",
];

const IDENTITY_PATTERNS: &[&str] = &[
    "*",
    "*",
    "*",
    "a",
    "b",
    "ab",
    "a*",
    "*b",
    "dev-*",
    "*-*",
    "*a*",
    "a*b",
    "**",
    "a/b",
    "$x",
    "*x*",
    "{client_id}",
    "nobody",
];

/// Levels of filters in rules that are the same for every client.
const PLAIN_LEVELS: &[&str] = &["a", "a", "b", "c", "+", "+"];

/// Levels of filters in other rules.
const TEMPLATE_LEVELS: &[&str] = &[
    "a",
    "a",
    "b",
    "c",
    "+",
    "+",
    "{identity}",
    "dev-{identity}",
    "{client_id}",
];

/// Levels of what clients ask for. `<id-0>` stands for the id of the first client.
const LEVELS: &[&str] = &[
    "a",
    "a",
    "a",
    "b",
    "b",
    "c",
    "dev-a",
    "ab",
    "<id-0>",
    "<id-1>",
    "{identity}",
    "$x",
    "other",
];

/// Bytes of a topic that leave room for the ids that are put into it.
const TOPIC_BYTES_MAX: usize = 300;

/// A file of rules, clients that come in order, and what they try then.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) rules: Vec<Rule>,
    pub(crate) clients: Vec<Visitor>,
    pub(crate) steps: Vec<Step>,
    /// How the file is laid out: a seed, or `None` for the plainest.
    layout: Option<u64>,
}

/// One who wants to be a client.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    pub(crate) identity: String,
    pub(crate) wants_presence: bool,
}

/// Something that one client tries.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) client: usize,
    pub(crate) action: Action,
    topic: String,
}

impl Step {
    /// A client tries something.
    pub(crate) fn new(client: usize, action: Action, topic: &str) -> Self {
        Self {
            client,
            action,
            topic: topic.to_owned(),
        }
    }

    /// The topic or filter, with the ids of clients in it.
    pub(crate) fn topic(&self, client_ids: &[String]) -> String {
        let mut topic = self.topic.clone();
        for (number, client_id) in client_ids.iter().enumerate() {
            topic = topic.replace(&format!("<id-{number}>"), client_id);
        }
        topic
    }
}

impl Case {
    /// A case written by hand.
    pub(crate) fn new(rules: Vec<Rule>, identities: &[&str], steps: Vec<Step>) -> Self {
        let visitor = |identity: &&str| Visitor {
            identity: (*identity).to_owned(),
            wants_presence: true,
        };
        Self {
            rules,
            clients: identities.iter().map(visitor).collect(),
            steps,
            layout: None,
        }
    }

    /// The case of a seed.
    pub(crate) fn random(seed: u64) -> Self {
        let rng = &mut Rng::with_seed(seed);
        let clients: Vec<Visitor> = (0..rng.usize(2..=3)).map(|_| visitor(rng)).collect();
        let rules: Vec<Rule> = (0..rng.usize(1..=4)).map(|_| rule(rng, &clients)).collect();
        let mut case = Self {
            rules,
            clients,
            steps: Vec::new(),
            layout: Some(rng.u64(..)),
        };
        for _ in 0..rng.usize(5..=11) {
            let step = case.step(rng);
            case.steps.push(step);
        }
        case
    }

    /// Most of what is tried has to do with the rules, or with what was subscribed to before.
    fn step(&self, rng: &mut Rng) -> Step {
        let client = rng.usize(..self.clients.len());
        let action = pick(rng, &[Action::Subscribe, Action::Publish]);
        let mut sources: Vec<String> = Vec::new();
        for rule in &self.rules {
            let lists = [&rule.publish, &rule.subscribe, &rule.deny_publish];
            let filters = lists.into_iter().chain([&rule.deny_subscribe]).flatten();
            let identity = &self.clients[client].identity;
            let own = format!("<id-{client}>");
            sources.extend(filters.map(|filter| {
                let filter = filter.replace("{client_id}", &own);
                match identity.contains(['+', '#', '/', ' ']) {
                    true => filter.replace("{identity}", "a"),
                    false => filter.replace("{identity}", identity),
                }
            }));
        }
        sources.extend(self.steps.iter().map(|step| step.topic.clone()));
        let source = match sources.as_slice() {
            [] => String::new(),
            sources => pick(rng, sources),
        };
        let topic = match (sources.is_empty() || rng.u8(..4) == 0, action) {
            (false, Action::Publish) => concrete(rng, &source),
            (false, Action::Subscribe) => varied(rng, &source),
            (true, Action::Publish) => levels(rng, LEVELS, 4, false),
            (true, Action::Subscribe) => {
                let with_wildcards = [LEVELS, &["+"; 5]].concat();
                levels(rng, &with_wildcards, 4, true)
            }
        };
        // Two long names in a row are no topic that a client can say.
        let topic = if topic.len() > TOPIC_BYTES_MAX {
            "a".to_owned()
        } else {
            topic
        };
        Step {
            client,
            action,
            topic,
        }
    }

    /// The rules as a file.
    pub(crate) fn file(&self) -> String {
        let rng = &mut Rng::with_seed(self.layout.unwrap_or_default());
        let is_plain = self.layout.is_none();
        let mut text = match is_plain || rng.bool() {
            true => with_headers(rng, is_plain, &self.rules),
            false => inline(rng, &self.rules),
        };
        if !is_plain && rng.u8(..4) == 0 {
            text = text.replace('\n', "\r\n");
        }
        text
    }

    /// Cases with one thing less, for the search of what a failure needs.
    pub(crate) fn smaller(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        for number in 0..self.steps.len() {
            let mut case = self.clone();
            case.steps.remove(number);
            smaller.push(case);
        }
        for number in 0..self.rules.len() {
            let mut case = self.clone();
            case.rules.remove(number);
            if !case.rules.is_empty() {
                smaller.push(case);
            }
            for list in 0..5 {
                for entry in 0..lists(&mut self.rules[number].clone())[list].len() {
                    let mut case = self.clone();
                    lists(&mut case.rules[number])[list].remove(entry);
                    if !case.rules[number].identity.is_empty() {
                        smaller.push(case);
                    }
                }
            }
        }
        if self.layout.is_some() {
            let mut case = self.clone();
            case.layout = None;
            smaller.push(case);
        }
        smaller
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.file())?;
        for (number, client) in self.clients.iter().enumerate() {
            writeln!(f, "client {number}: {client:?}")?;
        }
        for step in &self.steps {
            let Step {
                client,
                action,
                topic,
            } = step;
            writeln!(f, "client {client}: {action:?} {topic:?}")?;
        }
        Ok(())
    }
}

fn lists(rule: &mut Rule) -> [&mut Vec<String>; 5] {
    [
        &mut rule.identity,
        &mut rule.publish,
        &mut rule.subscribe,
        &mut rule.deny_publish,
        &mut rule.deny_subscribe,
    ]
}

fn pick<T: Clone>(rng: &mut Rng, from: &[T]) -> T {
    from[rng.usize(..from.len())].clone()
}

fn visitor(rng: &mut Rng) -> Visitor {
    // A name that is fine by itself, and too long where a filter holds it twice.
    let identity = match rng.u8(..50) {
        0 => "l".repeat(256),
        1..=25 => IDENTITIES[rng.usize(..5)].to_owned(),
        _ => pick(rng, IDENTITIES).to_owned(),
    };
    Visitor {
        identity,
        wants_presence: rng.u8(..5) > 0,
    }
}

fn rule(rng: &mut Rng, clients: &[Visitor]) -> Rule {
    let mut identity = vec![pick(rng, IDENTITY_PATTERNS).to_owned()];
    if rng.bool() {
        identity.push(pick(rng, clients).identity);
    }
    // The broker keeps what does not name the client, and so treats such rules apart.
    let from = pick(rng, &[PLAIN_LEVELS, TEMPLATE_LEVELS]);
    Rule {
        identity,
        publish: filters(rng, from, 3, false),
        subscribe: filters(rng, from, 4, false),
        deny_publish: filters(rng, from, 1, true),
        deny_subscribe: filters(rng, from, 2, true),
        presence: pick(rng, &[None, None, None, None, Some(true), Some(false)]),
    }
}

fn filters(rng: &mut Rng, from: &[&str], len_max: usize, is_deny: bool) -> Vec<String> {
    let mut filters = Vec::new();
    for _ in 0..rng.usize(..=len_max) {
        let filter = match rng.u8(..24) {
            0 if is_deny => "$x/#".to_owned(),
            0..=3 if !is_deny => "#".to_owned(),
            1 if from == TEMPLATE_LEVELS => "{identity}/{identity}".to_owned(),
            _ => levels(rng, from, 3, true),
        };
        if rng.u8(..4) == 0 {
            filters.extend(split(rng, &filter));
        } else {
            filters.push(filter);
        }
    }
    filters
}

/// Filters that only together match what `filter` does; now and then one of them is forgotten.
fn split(rng: &mut Rng, filter: &str) -> Vec<String> {
    let Some(start) = filter.strip_suffix('#') else {
        return vec![filter.to_owned()];
    };
    let mut parts = vec![format!("{start}+"), format!("{start}+/+/#")];
    if let Some(parent) = start.strip_suffix('/') {
        parts.push(parent.to_owned());
    }
    if rng.u8(..4) == 0 {
        parts.remove(rng.usize(..parts.len()));
    }
    parts
}

fn levels(rng: &mut Rng, from: &[&str], len_max: usize, may_end_in_hash: bool) -> String {
    let len = rng.usize(1..=len_max);
    let mut levels: Vec<&str> = (0..len).map(|_| pick(rng, from)).collect();
    if may_end_in_hash && rng.u8(..3) == 0 {
        levels[len - 1] = "#";
    }
    levels.join("/")
}

/// A topic that `filter` matches, or nearly.
fn concrete(rng: &mut Rng, filter: &str) -> String {
    let mut topic: Vec<&str> = Vec::new();
    for level in filter.split('/') {
        match level {
            "+" => topic.push(pick(rng, LEVELS)),
            "#" => topic.extend((0..rng.usize(..3)).map(|_| pick(rng, LEVELS))),
            level if rng.u8(..12) > 0 => topic.push(level),
            _ => topic.push(pick(rng, LEVELS)),
        }
    }
    if topic.is_empty() {
        topic.push("a");
    }
    topic.join("/")
}

/// A filter that is `filter`, or a bit narrower, or a bit wider.
fn varied(rng: &mut Rng, filter: &str) -> String {
    let mut levels: Vec<&str> = filter.split('/').collect();
    let at = rng.usize(..levels.len());
    let is_hash = levels[at] == "#";
    match rng.u8(..8) {
        0 if is_hash => {
            levels.truncate(at);
            levels.extend([pick(rng, LEVELS), "#"]);
        }
        1 if is_hash => levels[at] = "+",
        2 if is_hash && at > 0 => drop(levels.pop()),
        0 | 1 => levels[at] = pick(rng, LEVELS),
        2 => levels[at] = "+",
        3 => {
            levels.truncate(at);
            levels.push("#");
        }
        _ => {}
    }
    levels.join("/")
}

/// Each rule below a header of its own.
fn with_headers(rng: &mut Rng, is_plain: bool, rules: &[Rule]) -> String {
    let mut text = String::new();
    for rule in rules {
        let headers = match is_plain {
            true => &["[[rule]]\n"][..],
            false => &[
                "[[rule]]\n",
                "\n# a rule = { none }\n[[ rule ]] # [[rule]]\n",
                "  [[rule]]\n\n",
                "[[\"rule\"]]\n",
            ],
        };
        text.push_str(pick(rng, headers));
        for (key, value) in entries(rng, is_plain, rule) {
            let assignment = match (is_plain, rng.u8(..8)) {
                (false, 0) => format!("{key}={value} # {key} = []\n"),
                (false, 1) => format!("\t\"{key}\"\t=\t{value}\t\n\n"),
                _ => format!("{key} = {value}\n"),
            };
            text.push_str(&assignment);
        }
    }
    text
}

/// All rules as one value: mostly several on a line.
fn inline(rng: &mut Rng, rules: &[Rule]) -> String {
    let mut tables = Vec::new();
    for rule in rules {
        let entries = entries(rng, false, rule);
        let entries = entries.into_iter().map(|(key, value)| match rng.u8(..4) {
            0 => format!("\"{key}\"={value}"),
            _ => format!("{key} = {value}"),
        });
        tables.push(format!("{{ {} }}", entries.collect::<Vec<_>>().join(", ")));
    }
    let key = pick(rng, &["rule", "\"rule\"", "'rule'"]);
    let (between, end) = pick(
        rng,
        &[(",", ""), (", ", ""), (",\n\t", "\n"), (", # ]\n", ",\n")],
    );
    format!("{key} = [{}{end}]\n", tables.join(between))
}

fn entries(rng: &mut Rng, is_plain: bool, rule: &Rule) -> Vec<(&'static str, String)> {
    let lists = [
        ("identity", &rule.identity),
        ("publish", &rule.publish),
        ("subscribe", &rule.subscribe),
        ("deny_publish", &rule.deny_publish),
        ("deny_subscribe", &rule.deny_subscribe),
    ];
    let mut entries = Vec::new();
    for (key, list) in lists {
        if !list.is_empty() || (!is_plain && rng.bool()) {
            entries.push((key, list_text(rng, is_plain, list)));
        }
    }
    entries.extend(
        rule.presence
            .map(|presence| ("presence", presence.to_string())),
    );
    if !is_plain {
        rng.shuffle(&mut entries);
    }
    entries
}

fn list_text(rng: &mut Rng, is_plain: bool, list: &[String]) -> String {
    let strings: Vec<String> = list
        .iter()
        .map(|text| string(rng, is_plain, text))
        .collect();
    match (is_plain, rng.u8(..6)) {
        (false, 0) => {
            let lines = strings.iter().map(|text| format!("\n  {text}, # \"#\"]"));
            format!("[{}\n]", lines.collect::<String>())
        }
        (false, 1) => format!("[{}]", strings.join(",")),
        (false, 2) => format!("[  {}  ]", strings.join(" ,\t")),
        _ => format!("[{}]", strings.join(", ")),
    }
}

fn string(rng: &mut Rng, is_plain: bool, text: &str) -> String {
    assert!(!text.contains(['\'', '"', '\\']), "quotes in {text:?}");
    match (is_plain, rng.u8(..10)) {
        (false, 0) => format!("'{text}'"),
        (false, 1) => {
            let escaped = text.chars().map(|c| format!("\\u{:04x}", u32::from(c)));
            format!("\"{}\"", escaped.collect::<String>())
        }
        _ => format!("\"{text}\""),
    }
}
