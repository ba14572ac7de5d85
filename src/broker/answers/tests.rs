//! Random mixtures of answers, against the one rule that they come in the order of the requests.

use std::{
    sync::{Mutex, PoisonError},
    task::Waker,
    time::Duration,
};

use proptest::{collection::vec, option, prelude::*};
use tokio::sync::oneshot;

use super::*;
use crate::broker::OutboxLimits;
use crate::protocol::{Code, CodedError};

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A line that is answered at once.
    Answer,
    /// A line whose answer comes later, and whether what it asks for is carried out.
    Ask { succeeds: bool },
    /// What was asked so many requests ago is decided.
    Decide(usize),
    /// The connection looks for answers.
    Poll,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Answer),
        3 => any::<bool>().prop_map(|succeeds| Step::Ask { succeeds }),
        4 => (0_usize..6).prop_map(Step::Decide),
        3 => Just(Step::Poll),
    ]
}

/// Answers, and when each of them was told.
struct World {
    outbox: Arc<Outbox>,
    answers: Answers,
    /// Of each request: whether its answer could be given, were it alone.
    ready: Vec<bool>,
    deciding: Vec<(usize, oneshot::Sender<()>)>,
    begun: Arc<Mutex<Vec<usize>>>,
    told: Vec<usize>,
}

fn frame(number: usize) -> Frame {
    format!("{number}\n").into_bytes().into()
}

impl World {
    fn new(soft_bytes: usize) -> Self {
        let outbox = Arc::new(Outbox::new(OutboxLimits {
            hard_bytes: usize::MAX,
            soft_bytes,
            soft_time: Duration::MAX,
        }));
        Self {
            answers: Answers::new(Arc::clone(&outbox)),
            outbox,
            ready: Vec::new(),
            deciding: Vec::new(),
            begun: Arc::default(),
            told: Vec::new(),
        }
    }

    fn ask(&mut self, succeeds: bool) {
        let number = self.ready.len();
        self.ready.push(false);
        let (decide, decided) = oneshot::channel();
        self.deciding.push((number, decide));
        let (outbox, begun) = (Arc::clone(&self.outbox), Arc::clone(&self.begun));
        let request = async move {
            begun
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(number);
            decided.await.unwrap();
            if succeeds {
                outbox.push(OutboxEntry::Answer(frame(number)));
                Ok(())
            } else {
                Err(CodedError::new(Code::NotSubscribed, number.to_string()).into())
            }
        };
        self.answers.push_pending(PendingAnswer::new(
            EventName::ListClients,
            None,
            FollowingLines::GoOn,
            request,
        ));
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Answer => {
                let number = self.ready.len();
                self.ready.push(true);
                self.answers.push(frame(number));
            }
            Step::Ask { succeeds } => self.ask(succeeds),
            Step::Decide(ago) if ago < self.deciding.len() => {
                let (number, decide) = self.deciding.remove(self.deciding.len() - 1 - ago);
                decide.send(()).unwrap();
                self.ready[number] = true;
            }
            Step::Decide(_) => {}
            Step::Poll => self.poll(),
        }
    }

    fn poll(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(result) = self.answers.poll_next(&mut cx) {
            if let Err(failed) = result {
                let RequestError::Fault(fault) = failed.error else {
                    panic!("{:?}", failed.error);
                };
                self.outbox
                    .push(OutboxEntry::Answer(frame(fault.reason.parse().unwrap())));
            }
        }
    }

    fn take(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut frames: Vec<Frame> = Vec::new();
        let _: Poll<_> = self.outbox.poll_take(&mut cx, &mut frames);
        for frame in frames {
            self.outbox.written(frame.len());
            let text = str::from_utf8(frame.as_ref()).unwrap();
            self.told
                .extend(text.lines().map(|line| line.parse::<usize>().unwrap()));
        }
    }

    /// How many answers could have been told, in order.
    fn due(&self) -> usize {
        self.ready.iter().take_while(|ready| **ready).count()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Nothing comes out of turn, nothing is held back for longer than it must be, and no request is
    /// begun before its turn.
    #[test]
    fn answers_come_in_the_order_of_the_requests(
        steps in vec(any_step(), 0..60),
        soft_bytes in option::of(0_usize..20),
    ) {
        let mut world = World::new(soft_bytes.unwrap_or(usize::MAX));
        for step in steps {
            world.step(step);
            let begun = world.begun.lock().unwrap().last().copied();
            if soft_bytes.is_none() {
                world.take();
                if matches!(step, Step::Poll) {
                    assert_eq!(world.told.len(), world.due());
                }
                assert!(begun.is_none_or(|begun| begun <= world.told.len()));
            }
            assert!(world.told.is_sorted());
        }
        // Each is decided, and the client reads all of it.
        for (number, decide) in world.deciding.drain(..) {
            decide.send(()).unwrap();
            world.ready[number] = true;
        }
        while world.told.len() < world.ready.len() {
            let before = world.told.len();
            world.poll();
            world.take();
            assert!(world.told.len() > before, "it stands still at {before}");
        }
        assert_eq!(world.told, (0..world.ready.len()).collect::<Vec<_>>());
        assert!(!world.answers.is_waiting());
    }
}

#[test]
fn nothing_is_added_to_what_a_client_does_not_read() {
    let mut world = World::new(2);
    world.step(Step::Answer);
    world.step(Step::Answer);
    for _ in 0..3 {
        world.step(Step::Ask { succeeds: true });
    }
    world.poll();
    assert_eq!(world.begun.lock().unwrap().len(), 0);
    world.take();
    world.poll();
    assert_eq!(world.begun.lock().unwrap().len(), 1);
}

#[test]
fn a_line_is_taken_while_there_is_room_for_its_answer() {
    let mut world = World::new(usize::MAX);
    assert!(world.answers.takes_requests());
    world.ask(true);
    world.answers.push(vec![b'x'; HELD_BYTES_MAX - 1].into());
    assert!(world.answers.takes_requests());
    world.answers.push(vec![b'x'].into());
    assert!(!world.answers.takes_requests(), "the bytes");
    let (_, decide) = world.deciding.remove(0);
    decide.send(()).unwrap();
    world.poll();
    assert!(world.answers.takes_requests());
    for _ in 0..ANSWERS_MAX {
        assert!(world.answers.takes_requests());
        world.ask(true);
    }
    assert!(!world.answers.takes_requests(), "the count");
}
