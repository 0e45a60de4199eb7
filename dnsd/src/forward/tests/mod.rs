//! The forwarder against upstream servers that lie, sleep and die, over real sockets on loopback.

mod dead;
mod liar;
mod lies;
mod sharing;
mod signed;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faros_common::events::Events;

use super::surroundings::Own;
use super::*;
use liar::{Act, Asked, Liar};

use crate::forward::record::{Reply, Rr};
use crate::protocol::code::class;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

fn ask(text: &str) -> OwnedQuestion {
    OwnedQuestion::new(name(text), kind::A)
}

fn rr(owner: &str, kind: u16, rdata: &[u8]) -> Rr {
    Rr { owner: name(owner), kind, class: class::IN, ttl: 300, rdata: rdata.into() }
}

/// Zones and cache that remember what was done to them.
#[derive(Default)]
struct Around {
    ours: Mutex<HashMap<Name, Own>>,
    stored: Mutex<Vec<(OwnedQuestion, Body)>>,
    failures: Mutex<Vec<(OwnedQuestion, Ede)>>,
    pins: Mutex<Vec<Name>>,
    forgotten: Mutex<u32>,
}

impl Surroundings for Around {
    fn owns(&self, name: &Name) -> bool {
        self.ours.lock().unwrap().contains_key(name)
    }

    fn answer(&self, question: &OwnedQuestion) -> Option<Own> {
        self.ours.lock().unwrap().get(&question.name).cloned()
    }

    fn store(&self, question: &OwnedQuestion, body: &Body) {
        self.stored.lock().unwrap().push((question.clone(), body.clone()));
    }

    fn store_failure(&self, question: &OwnedQuestion, _rcode: u16, ede: Ede) {
        self.failures.lock().unwrap().push((question.clone(), ede));
    }

    fn remaining(&self, question: &OwnedQuestion) -> Option<Duration> {
        (question.name == name("fresh.example.")).then_some(Duration::from_secs(600))
    }

    fn set_pins(&self, names: &[Name]) {
        *self.pins.lock().unwrap() = names.to_vec();
    }

    fn forget_failures(&self) {
        *self.forgotten.lock().unwrap() += 1;
    }
}

/// A forwarder and what is around it.
struct Site {
    forwarder: Arc<Forwarder>,
    around: Arc<Around>,
    counters: Counters,
    events: Events,
}

fn server(liar: &Liar) -> Server {
    Server { address: liar.address, tls_name: None }
}

fn to(liars: &[&Liar]) -> ForwardConfig {
    ForwardConfig { public: liars.iter().map(|liar| server(liar)).collect(), ..ForwardConfig::default() }
}

impl Site {
    fn new(config: ForwardConfig) -> Self {
        Self::trusting(config, Trust::of_roots(rustls::RootCertStore::empty()))
    }

    fn trusting(config: ForwardConfig, trust: Trust) -> Self {
        let (around, counters, events) =
            (Arc::new(Around::default()), Counters::default(), Events::new("dnsd"));
        let forwarder = Forwarder::new(Parts {
            config,
            trust,
            counters: counters.clone(),
            surroundings: around.clone(),
            events: events.clone(),
        });
        Self { forwarder, around, counters, events }
    }

    async fn resolve(&self, text: &str) -> Resolved {
        self.forwarder.resolve(&ask(text)).await
    }

    /// How often an event was told.
    fn told(&self, event: &str) -> usize {
        let (_, recorded) = self.events.after(0, usize::MAX);
        recorded.iter().filter(|recorded| recorded.json.contains(event)).count()
    }

    fn stored(&self) -> Vec<(OwnedQuestion, Body)> {
        self.around.stored.lock().unwrap().clone()
    }

    fn status(&self, upstream: usize, field: &str) -> Value {
        self.forwarder.status()["upstreams"][upstream][field].clone()
    }
}

/// The records of a body that answers `question`.
fn records(question: &OwnedQuestion, body: &Body) -> Reply {
    let mut message = vec![0, 0, 0x80, body.rcode as u8, 0, 1];
    message.extend_from_slice(&body.answers.to_be_bytes());
    message.extend_from_slice(&body.authorities.to_be_bytes());
    message.extend_from_slice(&body.additionals.to_be_bytes());
    message.extend_from_slice(question.name.as_wire());
    message.extend_from_slice(&question.kind.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message.extend_from_slice(&body.bytes);
    Reply::read(&message).unwrap()
}

/// Waits until `done`, for much longer than it takes.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..1000 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} does not come about");
}

fn assert_truth(text: &str, resolved: &Resolved) {
    let question = ask(text);
    let reply = records(&question, &resolved.body);
    assert_eq!(reply.answers, [rr(text, kind::A, &[9, 9, 9, 9])], "{resolved:?}");
    assert_eq!((resolved.source, resolved.ede), (Source::Upstream, None));
}
