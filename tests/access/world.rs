//! Who is here, who has subscribed to what, and so who hears of what: the model of the broker.

use std::collections::BTreeSet;

use crate::model::{Answer, Rights, Rule, matches};

/// Something that one client is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Event {
    Subscribed(String),
    Published {
        topic: String,
        receivers: usize,
    },
    Message {
        topic: String,
        payload: String,
        sender: String,
        publisher: String,
    },
    Came {
        client_id: String,
        identity: String,
    },
    Went {
        client_id: String,
        identity: String,
    },
}

/// What each client is told in one step, sorted. Empty for those who are not here.
pub(crate) type Told = Vec<Vec<Event>>;

/// Every client in the order of their coming; `None` who is not here.
#[derive(Debug, Default)]
pub(crate) struct World {
    clients: Vec<Option<Client>>,
    withheld: u64,
}

#[derive(Debug)]
struct Client {
    client_id: String,
    identity: String,
    rights: Rights,
    /// Whether it asked to hear of others.
    wants_presence: bool,
    filters: BTreeSet<String>,
}

impl World {
    /// The next client comes, and is refused or let in. `rules`: `None` where there is no file.
    pub(crate) fn connect(
        &mut self,
        identity: &str,
        client_id: &str,
        wants_presence: bool,
        rules: Option<&[Rule]>,
    ) -> (Answer, Told) {
        let rights = match rules {
            Some(rules) => Rights::of(identity, client_id, rules),
            None => Ok(Rights::of_everybody()),
        };
        let came = Event::Came {
            client_id: client_id.to_owned(),
            identity: identity.to_owned(),
        };
        let (answer, mut told, client) = match rights {
            Err(refusal) => (refusal, self.nothing_told(), None),
            Ok(rights) => {
                let client = Client {
                    client_id: client_id.to_owned(),
                    identity: identity.to_owned(),
                    rights,
                    wants_presence,
                    filters: BTreeSet::new(),
                };
                (Answer::Ok, self.tell_of(&client, &came), Some(client))
            }
        };
        self.clients.push(client);
        told.push(Vec::new());
        (answer, told)
    }

    /// A client that is here goes.
    pub(crate) fn disconnect(&mut self, number: usize) -> Told {
        let client = self.clients[number].take().unwrap();
        let went = Event::Went {
            client_id: client.client_id.clone(),
            identity: client.identity.clone(),
        };
        self.tell_of(&client, &went)
    }

    pub(crate) fn subscribe(&mut self, number: usize, filter: &str) -> (Answer, Told) {
        let mut told = self.nothing_told();
        let client = self.clients[number].as_mut().unwrap();
        let answer = client.rights.may_subscribe(filter);
        if answer == Answer::Ok {
            client.filters.insert(filter.to_owned());
            told[number].push(Event::Subscribed(filter.to_owned()));
        }
        (answer, told)
    }

    pub(crate) fn publish(&mut self, number: usize, topic: &str, payload: &str) -> (Answer, Told) {
        let mut told = self.nothing_told();
        let publisher = self.clients[number].as_ref().unwrap();
        let answer = publisher.rights.may_publish(topic);
        if answer != Answer::Ok {
            return (answer, told);
        }
        let mut receivers = 0;
        for (client, told) in self.clients.iter().zip(&mut told) {
            let Some(client) = client else { continue };
            let is_subscribed = client.filters.iter().any(|filter| matches(filter, topic));
            if is_subscribed && !client.rights.may_receive(topic) {
                self.withheld += 1;
            } else if is_subscribed {
                receivers += 1;
                told.push(Event::Message {
                    topic: topic.to_owned(),
                    payload: payload.to_owned(),
                    sender: publisher.identity.clone(),
                    publisher: publisher.client_id.clone(),
                });
            }
        }
        told[number].push(Event::Published {
            topic: topic.to_owned(),
            receivers,
        });
        told[number].sort();
        (answer, told)
    }

    pub(crate) fn is_here(&self, number: usize) -> bool {
        self.clients[number].is_some()
    }

    /// How often a message did not reach one who subscribed to its topic.
    pub(crate) fn withheld(&self) -> u64 {
        self.withheld
    }

    fn tell_of(&self, subject: &Client, event: &Event) -> Told {
        let mut told = self.nothing_told();
        for (client, told) in self.clients.iter().zip(&mut told) {
            let Some(client) = client else { continue };
            let hears = client.wants_presence && client.rights.presence;
            if hears && subject.rights.presence {
                told.push(event.clone());
            }
        }
        told
    }

    fn nothing_told(&self) -> Told {
        vec![Vec::new(); self.clients.len()]
    }
}
