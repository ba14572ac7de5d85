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
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::value::RawValue;
use tidings::{
    broker::{Outbox, OutboxLimits, RoutingTable, Subscriber},
    protocol::{ClientEvent, ClientId, Frame, MessageTemplate, Timestamp, client_event::decode},
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
        let outbox = outbox();
        let mut table = RoutingTable::default();
        let mut client_id = ClientId::fresh();
        for number in 0..size {
            if number % 4 == 0 {
                client_id = ClientId::fresh();
            }
            let subscriber = Subscriber {
                client_id,
                outbox: Arc::clone(&outbox),
            };
            table.insert(&self.filter(number), subscriber);
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
    let mut lines = Vec::new();
    c.bench_function("message_template_write", |b| {
        b.iter(|| {
            lines.clear();
            template.write(black_box(&payload), &now, &mut lines);
            black_box(&lines);
        });
    });

    let outbox = outbox();
    let frame = Frame::from(lines.clone());
    let mut taken: Vec<Frame> = Vec::with_capacity(1);
    c.bench_function("outbox_push_take", |b| {
        let mut cx = Context::from_waker(Waker::noop());
        b.iter(|| {
            assert!(outbox.push(frame.clone()));
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
            assert_eq!(table.route(&topic).len(), 1);
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
    let outbox = outbox();
    let mut table = RoutingTable::default();
    for _ in 0..100_000 {
        let subscriber = Subscriber {
            client_id: ClientId::fresh(),
            outbox: Arc::clone(&outbox),
        };
        table.insert(&filters[0], subscriber);
    }
    bench_subscribe(c, "subscribe_same_topic/100000", &table, &filters);
}

/// A subscription as the registry makes it: while `published` is in use, so that what changes is
/// copied, and the next generation shared.
fn bench_subscribe(c: &mut Criterion, id: &str, published: &RoutingTable, filters: &[TopicFilter]) {
    let outbox = outbox();
    let mut next = 0;
    c.bench_function(id, |b| {
        b.iter_batched(
            || {
                next += 1;
                let filter = &filters[next % filters.len()];
                let subscriber = Subscriber {
                    client_id: ClientId::fresh(),
                    outbox: Arc::clone(&outbox),
                };
                (published.clone(), filter, subscriber)
            },
            |(mut table, filter, subscriber)| {
                table.insert(filter, subscriber);
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
    targets = message, tables
}
criterion_main!(benches);
