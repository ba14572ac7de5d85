//! What one message costs on its way, and what one subscription costs however many there are.
//!
//! `cargo bench --bench hot_path`, or with a part of a name behind `--`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark of what does not work is to end at once"
)]

use std::{
    hint::black_box,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::value::RawValue;
use tidings::{
    access::{AccessRules, Permissions},
    broker::{
        Admission, ClientHandle, Limits, Outbox, OutboxEntry, OutboxLimits, Registry, RoutingTable,
        Session,
    },
    identity::Identity,
    protocol::{
        ClientEvent, ClientId, Frame, LineBuffer, MessageTemplate, ServerId, Timestamp,
        client_event::{Publish, Subscribe, decode},
    },
    topic::{Topic, TopicFilter},
};

const SIZES: [usize; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// Bytes of the line that is decoded: what a sensor with a few values sends.
const LINE_BYTES: usize = 237;

/// A `publish` of exactly [`LINE_BYTES`], with `space` between its members.
fn publish_line(space: &str) -> String {
    let line = |filling: &str| {
        format!(
            r#"{{"event":"publish",{space}"id":"__",{space}"content":{{"topic":"plant/7/oven/temperature",{space}"payload":{{"celsius":181.5,"state":"heating","door":false,"at":1769860800123,"note":"{filling}"}},{space}"ref":"123456"}}}}"#
        )
    };
    let line = line(&"x".repeat(LINE_BYTES - line("").len()));
    assert_eq!(line.len(), LINE_BYTES);
    line
}

fn outbox() -> Arc<Outbox> {
    Arc::new(Outbox::new(OutboxLimits {
        hard_bytes: 8 << 20,
        soft_bytes: 2 << 20,
        soft_time: Duration::from_secs(10),
    }))
}

/// One who may do everything.
fn peer() -> Arc<ClientHandle> {
    Arc::new(ClientHandle::new(
        outbox(),
        permissions(&AccessRules::open()),
    ))
}

/// Of one sensor by these rules.
fn permissions(rules: &AccessRules) -> Arc<Permissions> {
    let identity = Identity::parse("sensor-7").unwrap();
    rules.permissions(&identity, ClientId::fresh()).unwrap()
}

/// Rules as a plant has them: two filters that allow and two that deny, of each kind.
const RULES: &str = r##"
[[rule]]
identity = ["sensor-*"]
publish = ["plant/{identity}/#", "plant/+/oven/#"]
subscribe = ["plant/{identity}/commands/#", "plant/+/oven/#"]

[[rule]]
identity = ["*"]
deny_publish = ["plant/audit/#", "plant/+/secret"]
deny_subscribe = ["plant/secret/#", "plant/+/secret"]
"##;

/// Filters as a large site has them. All are different.
#[derive(Clone, Copy)]
enum Kind {
    Exact,
    Wildcard,
}

impl Kind {
    const ALL: [(&'static str, Self); 2] = [("exact", Self::Exact), ("wildcard", Self::Wildcard)];

    fn filter(self, number: usize) -> TopicFilter {
        let (site, line, device) = (number / 1000, number / 10 % 100, number);
        TopicFilter::parse(&match self {
            Self::Exact => format!("site/{site}/line/{line}/device/{device}"),
            Self::Wildcard => format!("site/{site}/line/{line}/+/{device}"),
        })
        .unwrap()
    }

    fn topic(number: usize) -> Topic<'static> {
        let (site, line, device) = (number / 1000, number / 10 % 100, number);
        Topic::parse(format!("site/{site}/line/{line}/device/{device}")).unwrap()
    }

    /// A table with `size` subscriptions of clients with a few each.
    fn table(self, size: usize) -> RoutingTable {
        let peer = peer();
        let mut table = RoutingTable::default();
        let mut client_id = ClientId::fresh();
        for number in 0..size {
            if number % 4 == 0 {
                client_id = ClientId::fresh();
            }
            table.insert(&self.filter(number), client_id, Arc::clone(&peer));
        }
        table
    }
}

fn message(c: &mut Criterion) {
    let own_id = ClientId::fresh();
    let mut group = c.benchmark_group("decode_publish_237_bytes");
    group.throughput(Throughput::Bytes(LINE_BYTES as u64));
    for (name, space) in [("plain", ""), ("with_spaces", " ")] {
        let line = publish_line(space);
        group.bench_function(name, |b| {
            b.iter(|| {
                let event = decode(black_box(line.as_bytes()), own_id, |_| Ok(())).unwrap();
                assert!(matches!(event, ClientEvent::Publish(_)));
            });
        });
    }
    group.finish();

    let payload: Box<RawValue> = RawValue::from_string(format!(
        r#"{{"celsius":181.5,"note":"{}"}}"#,
        "x".repeat(100)
    ))
    .unwrap();
    let template = MessageTemplate::new(own_id, "sensor-7", "plant/7/oven/temperature");
    let now = Timestamp::now().to_string();
    let mut lines = LineBuffer::default();
    c.bench_function("message_template_write", |b| {
        b.iter(|| {
            lines.clear();
            template.write(black_box(&payload), &now, &mut lines);
            black_box(&lines);
        });
    });

    let outbox = outbox();
    let frame = Frame::from(lines);
    let mut taken: Vec<Frame> = Vec::with_capacity(1);
    c.bench_function("outbox_push_take", |b| {
        let mut cx = Context::from_waker(Waker::noop());
        b.iter(|| {
            assert!(outbox.push(OutboxEntry::Message(frame.clone())));
            assert!(outbox.poll_take(&mut cx, &mut taken).is_ready());
            outbox.written(frame.len());
            taken.clear();
        });
    });
}

fn tables(c: &mut Criterion) {
    for (kind_name, kind) in Kind::ALL {
        for size in SIZES {
            let table = kind.table(size);
            let topic = Kind::topic(size / 2);
            assert_eq!(table.route(&topic).recipients.len(), 1);
            if size != 10_000 {
                let id = format!("route_{kind_name}/{size}");
                c.bench_function(&id, |b| b.iter(|| table.route(black_box(&topic))));
            }
            let id = format!("subscribe_{kind_name}/{size}");
            let filters: Vec<TopicFilter> = (0..1000).map(|n| kind.filter(size + n)).collect();
            bench_subscribe(c, &id, &table, &filters);
        }
    }

    // The other extreme: everyone subscribes to the same topic.
    let filters = [TopicFilter::parse("news").unwrap()];
    let peer = peer();
    let mut table = RoutingTable::default();
    for _ in 0..100_000 {
        table.insert(&filters[0], ClientId::fresh(), Arc::clone(&peer));
    }
    bench_subscribe(c, "subscribe_same_topic/100000", &table, &filters);
}

/// What access rules cost. A message pays it only when its topic is not one of late, or something has
/// changed in between.
fn access(c: &mut Criterion) {
    let open = AccessRules::open();
    let ruled = AccessRules::parse("access.toml".as_ref(), RULES.as_bytes()).unwrap();
    let topic = Topic::parse("plant/7/oven/temperature").unwrap();
    let filter = TopicFilter::parse("plant/+/oven/#").unwrap();
    for (name, rules) in [("open", &open), ("ruled", &ruled)] {
        let permissions = permissions(rules);
        c.bench_function(&format!("may_publish/{name}"), |b| {
            b.iter(|| permissions.may_publish(black_box(&topic)).is_ok());
        });
        let mut table = RoutingTable::default();
        for _ in 0..100 {
            let peer = ClientHandle::new(outbox(), Arc::clone(&permissions));
            table.insert(&filter, ClientId::fresh(), Arc::new(peer));
        }
        assert_eq!(table.route(&topic).recipients.len(), 100);
        c.bench_function(&format!("route_to_100_subscribers/{name}"), |b| {
            b.iter(|| table.route(black_box(&topic)));
        });
    }
}

/// Receivers that each hold many filters which all match: what a hostile one can cost a publisher.
const RECEIVERS: usize = 16;

/// A different one for each number below 8192, on 14 levels; all match `a/a/…`.
fn overlapping(number: usize) -> TopicFilter {
    let level = |bit: usize| if (number >> bit) & 1 == 0 { "a" } else { "+" };
    let levels: Vec<&str> = (0..13).map(level).chain(["+"]).collect();
    TopicFilter::parse(&levels.join("/")).unwrap()
}

/// As many filters of one client as `--max-filter-shapes-per-identity` lets match, and as many as
/// `--max-subscriptions` would.
fn overlaps(c: &mut Criterion) {
    let topic = Topic::parse(vec!["a"; 14].join("/")).unwrap();
    for filters in [1, 64, 1024] {
        let mut table = RoutingTable::default();
        for _ in 0..RECEIVERS {
            let (client_id, peer) = (ClientId::fresh(), peer());
            for number in 0..filters {
                table.insert(&overlapping(number), client_id, Arc::clone(&peer));
            }
        }
        assert_eq!(table.route(&topic).recipients.len(), RECEIVERS);
        c.bench_function(&format!("route_to_16_overlapping/{filters}"), |b| {
            b.iter(|| table.route(black_box(&topic)));
        });
    }

    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for topics in [1, 2, 64] {
        let (mut publisher, receivers) = runtime.block_on(publisher_and_receivers());
        let topics: Vec<Topic<'_>> = (0..topics)
            .map(|number| Topic::parse("a/".repeat(13) + &number.to_string()).unwrap())
            .collect();
        let mut next = 0;
        let mut taken: Vec<Frame> = Vec::new();
        c.bench_function(&format!("publish_in_turn_to_16/{}", topics.len()), |b| {
            let mut cx = Context::from_waker(Waker::noop());
            b.iter(|| {
                next = (next + 1) % topics.len();
                let published = publisher.publish(Publish {
                    topic: topics[next].clone(),
                    payload: RawValue::TRUE,
                    reference: None,
                });
                published.unwrap();
                publisher.flush();
                for receiver in &receivers {
                    assert!(receiver.poll_take(&mut cx, &mut taken).is_ready());
                    receiver.written(taken[0].len());
                    taken.clear();
                }
            });
        });
    }
}

/// Each receiver holds as many filters that overlap as it may.
async fn publisher_and_receivers() -> (Session, Vec<Arc<Outbox>>) {
    let limits = Limits {
        connections: 0,
        connections_per_identity: 0,
        connections_per_address: 0,
        subscriptions_per_client: 0,
        subscriptions_per_identity: 0,
        subscriptions_total: 0,
        filter_shapes_per_identity: 0,
        presence: false,
    };
    let access = Arc::new(AccessRules::open());
    let (registry, actor) = Registry::new(ServerId::fresh(), limits, access, 64);
    tokio_util::task::TaskTracker::new().spawn(actor);
    let mut receivers = Vec::new();
    for _ in 0..RECEIVERS {
        let (mut receiver, outbox) = session(&registry).await;
        for number in 0..64 {
            let topic = overlapping(number);
            let reference = None;
            let subscribe = Subscribe { topic, reference };
            receiver.subscribe(subscribe).await.unwrap();
        }
        // It is to stay for as long as anything is measured.
        std::mem::forget(receiver);
        let mut cx = Context::from_waker(Waker::noop());
        let mut answers: Vec<Frame> = Vec::new();
        assert!(outbox.poll_take(&mut cx, &mut answers).is_ready());
        receivers.push(outbox);
    }
    (session(&registry).await.0, receivers)
}

async fn session(registry: &Registry) -> (Session, Arc<Outbox>) {
    let outbox = outbox();
    let identity = Identity::parse("sensor-7").unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let admission = Admission::request(registry, identity, address, Arc::clone(&outbox));
    let welcome = b"\n".to_vec().into();
    let admission = admission.await.unwrap();
    let session = admission.authenticate(false, None, welcome).await.unwrap();
    (session, outbox)
}

/// A subscription as the registry makes it: while `published` is in use, so that what changes is
/// copied, and the next generation shared.
fn bench_subscribe(c: &mut Criterion, id: &str, published: &RoutingTable, filters: &[TopicFilter]) {
    let peer = peer();
    let mut next = 0;
    c.bench_function(id, |b| {
        b.iter_batched(
            || {
                next += 1;
                let filter = &filters[next % filters.len()];
                (published.clone(), filter, ClientId::fresh())
            },
            |(mut table, filter, client_id)| {
                table.insert(filter, client_id, Arc::clone(&peer));
                let next_generation = Arc::new(table.clone());
                (table, next_generation)
            },
            BatchSize::SmallInput,
        );
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = message, access, overlaps, tables
}
criterion_main!(benches);
