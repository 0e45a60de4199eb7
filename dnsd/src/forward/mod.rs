//! Questions about the rest of the world, put to upstream servers.
//!
//! ```text
//! resolve ─► flights (one query for equal questions) ─► routes (longest conditional zone, or public)
//!                ▲                                         │
//!                │ prefetch, pins                          ▼
//!                │                                  pool (best first, hedged) ─► upstream ─► udp, or stream
//!                │                                         │                         │
//!             Resolved ◄── body ◄── filter ◄── validate ◄──┘                      vitals, habits, probes
//! ```
//!
//! # Transports
//!
//! hickory validates (DNSSEC) and finds the system's certificate authorities; the exchanges themselves are ours:
//!
//! - Its UDP client sends from unconnected sockets, so that "port unreachable" never comes back and a dead upstream
//!   costs a timeout; it neither counts what does not match nor goes over to TCP after too much of it; it resends
//!   with its own clock; it gives a query up at the first reply in other letter case; it knows no cookies.
//! - Its stream multiplexer pairs replies by their id alone, drops a reply whose records it cannot parse (the
//!   question then times out although it was answered), and hides the server name from the upstream, which then may
//!   present the wrong certificate.
//! - Its pool has no notion of a path that is known to be cut, and nothing that looks for its return.
//!
//! What stays the same is little: 150 lines of UDP, 200 of streams.
//!
//! # Tasks
//!
//! | Task | Lives | When it ends |
//! |---|---|---|
//! | `dns_question` | one per question under way, at most [`flights::IN_FLIGHT_MAX`] | with the answer, or [`BUDGET`]; a client that goes away does not end it |
//! | `dns_probe` | one per suspected or dead upstream | with an answer of that upstream, or with its last handle |
//! | `dns_upstream` | one per connection | see [`stream`] |
//! | `dns_pins` | one | with the forwarder |
//!
//! # Trust
//!
//! Replies are matched by address, port, id, letter case and cookie ([`query`]); what they say beyond the question is
//! dropped ([`filter`]); names of our own zones are never believed from upstream; public upstreams cannot place
//! private addresses ([`address`]).

pub mod address;
pub mod config;
pub mod counters;
pub mod filter;
pub mod flights;
pub mod habits;
pub mod health;
mod observer;
pub mod pins;
pub mod pool;
mod probe;
pub mod query;
pub mod question;
pub mod random;
pub mod record;
mod resolve;
pub mod routes;
pub mod stream;
pub mod surroundings;
#[cfg(test)]
mod tests;
pub mod trust;
pub mod udp;
pub mod upstream;
pub mod validate;
pub mod vitals;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use faros_common::events::Events;
use faros_common::tasks;
use hickory_proto::dnssec::TrustAnchors;
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use crate::protocol::body::Body;
use crate::protocol::code::{ede, kind, rcode};
use crate::protocol::name::Name;
use crate::site_zones::Source;

pub use config::{ForwardConfig, Server};
pub use counters::Counters;
pub use question::OwnedQuestion;
pub use surroundings::{Inside, Surroundings};
pub use trust::Trust;

use flights::{BACKGROUND_MAX, Boarding, Flights, IN_FLIGHT_MAX};
use health::Cause;
use pool::Pool;
use routes::Routes;
use stream::Tls;
use upstream::{Identity, Upstream};
use validate::Validator;
use vitals::{Observer, Vitals};

/// The time that a question may take, all of its chain together.
pub const BUDGET: Duration = Duration::from_millis(1900);

/// An extended error: code and text (RFC 8914).
pub type Ede = Option<(u16, &'static str)>;

/// What came of a question.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The answer, or an empty SERVFAIL.
    pub body: Arc<Body>,
    /// Why it is not what the client hoped for.
    pub ede: Ede,
    /// [`Source::Upstream`], [`Source::Failure`], or [`Source::Policy`] where private addresses were withheld.
    pub source: Source,
}

impl Resolved {
    fn failure(ede: (u16, &'static str)) -> Self {
        Self { body: Arc::new(Body::empty(rcode::SERVFAIL)), ede: Some(ede), source: Source::Failure }
    }
}

/// What a forwarder is made of.
pub struct Parts {
    /// The settings.
    pub config: ForwardConfig,
    /// Whom tls:// trusts.
    pub trust: Trust,
    /// The counters.
    pub counters: Counters,
    /// Zones and cache.
    pub surroundings: Arc<dyn Surroundings>,
    /// Where upstreams that go down and come back are told of.
    pub events: Events,
}

/// The forwarder; one for the daemon.
pub struct Forwarder {
    state: Arc<ArcSwap<State>>,
    validator: Validator,
    trust: Trust,
    counters: Counters,
    surroundings: Arc<dyn Surroundings>,
    observer: Arc<dyn Observer>,
    flights: Flights<Resolved>,
    /// Counts up when an upstream is back.
    back: Arc<watch::Sender<u64>>,
}

/// What a reload replaces.
struct State {
    config: ForwardConfig,
    routes: Routes,
}

impl Forwarder {
    /// A forwarder, at work. To be called inside of the runtime.
    pub fn new(parts: Parts) -> Arc<Self> {
        Self::with_anchors(parts, TrustAnchors::default())
    }

    /// The same with other keys of the root, or of some zone, to begin validation with.
    pub fn with_anchors(parts: Parts, anchors: TrustAnchors) -> Arc<Self> {
        let Parts { config, trust, counters, surroundings, events } = parts;
        let (back, _) = watch::channel(0);
        let back = Arc::new(back);
        let observer = observer::Announcer { events, surroundings: surroundings.clone(), back: back.clone() };
        let nowhere = Routes::new(Pool::new(Vec::new(), counters.clone()), []);
        let state = State { config: ForwardConfig::default(), routes: nowhere };
        let state = Arc::new(ArcSwap::from_pointee(state));
        let forwarder = Arc::new(Self {
            validator: Validator::new(state.clone(), Arc::new(anchors)),
            state,
            trust,
            counters,
            surroundings,
            observer: Arc::new(observer),
            flights: Flights::new(IN_FLIGHT_MAX),
            back,
        });
        forwarder.reload(config);
        tasks::spawn("dns_pins", pins::keep(Arc::downgrade(&forwarder)));
        forwarder
    }

    /// Takes new settings over. Questions under way end as they began; upstreams that stay keep what is known of them.
    pub fn reload(&self, config: ForwardConfig) {
        let old = self.state.load_full();
        let mut known: Vec<Arc<Upstream>> =
            old.routes.pools().flat_map(|(_, pool)| pool.upstreams().to_vec()).collect();
        let public = self.pool(&Name::root(), &config.public, &mut known);
        let conditional: Vec<(Name, Pool)> = config
            .conditional
            .iter()
            .map(|(zone, servers)| (zone.clone(), self.pool(zone, servers, &mut known)))
            .collect();
        if config.pins != old.config.pins {
            self.surroundings.set_pins(&config.pins);
        }
        self.state.store(Arc::new(State { config, routes: Routes::new(public, conditional) }));
        let kept = self.state.load();
        let labels: Vec<&str> = kept
            .routes
            .pools()
            .flat_map(|(_, pool)| pool.upstreams().iter().map(|upstream| upstream.vitals().label()))
            .collect();
        for gone in known.iter().filter(|upstream| !labels.contains(&upstream.vitals().label())) {
            self.counters.forget(gone.vitals().label());
        }
        // Pins are looked at anew.
        self.back.send_modify(|count| *count += 1);
    }

    /// Answers within [`BUDGET`]; at once where all upstreams that could know are down. Equal questions share one
    /// query. The cache is filled.
    pub async fn resolve(self: &Arc<Self>, question: &OwnedQuestion) -> Resolved {
        let state = self.state.load();
        let pool = state.routes.of(&question.name).pool;
        if let Some(cause) = pool.down() {
            pool.probe();
            self.counters.known_down.inc();
            return Resolved::failure(unreachable(cause));
        }
        drop(state);
        let deadline = Instant::now() + BUDGET;
        let mut answer = match self.flights.board(question) {
            Boarding::Joined(answer) => {
                self.counters.coalesced.inc();
                answer
            }
            Boarding::Started(ticket, answer) => {
                let (forwarder, question) = (self.clone(), question.clone());
                self.counters.in_flight.set(self.flights.len() as i64);
                tasks::spawn("dns_question", async move {
                    let resolved = forwarder.find(&question, deadline).await;
                    ticket.land(resolved);
                    forwarder.counters.in_flight.set(forwarder.flights.len() as i64);
                });
                answer
            }
            Boarding::Full => {
                self.counters.overload.inc();
                return Resolved::failure((ede::OTHER, "too many questions under way"));
            }
        };
        // A flight that was joined late ends by its own deadline, which is before this one.
        let landed = timeout_at(deadline + Duration::from_millis(50), answer.wait_for(Option::is_some)).await;
        match landed {
            Ok(Ok(resolved)) => resolved.clone().unwrap_or_else(late),
            _ => late(),
        }
    }

    /// Asks ahead of time; false if there is enough to do already. To be called inside of the runtime.
    pub fn prefetch(self: &Arc<Self>, question: OwnedQuestion) -> bool {
        if self.flights.len() >= BACKGROUND_MAX {
            return false;
        }
        self.counters.prefetched.inc();
        let forwarder = self.clone();
        tasks::spawn("dns_prefetch", async move { forwarder.resolve(&question).await });
        true
    }

    /// Whether the public upstreams are all known to be down.
    pub fn is_down(&self) -> bool {
        self.state.load().routes.root().down().is_some()
    }

    /// Whether all upstreams that could answer for `name` are known to be down.
    pub fn is_down_for(&self, name: &Name) -> bool {
        self.state.load().routes.of(name).pool.down().is_some()
    }

    /// Why nobody can be asked for `name` now, if that is so: what [`Forwarder::resolve`] would fail with at once.
    pub fn down_ede(&self, name: &Name) -> Ede {
        self.state.load().routes.of(name).pool.down().map(unreachable)
    }

    /// The upstreams and what is known of them.
    pub fn status(&self) -> Value {
        let state = self.state.load();
        let now = Instant::now();
        let upstreams: Vec<Value> = state
            .routes
            .pools()
            .flat_map(|(zone, pool)| {
                pool.upstreams().iter().map(move |upstream| describe(zone, upstream, now))
            })
            .collect();
        json!({ "upstreams": upstreams, "in_flight": self.flights.len(), "validate": state.config.validate })
    }

    fn pool(&self, zone: &Name, servers: &[Server], known: &mut Vec<Arc<Upstream>>) -> Pool {
        let upstreams = servers.iter().map(|server| self.upstream(zone, server, known)).collect();
        Pool::new(upstreams, self.counters.clone())
    }

    fn upstream(&self, zone: &Name, server: &Server, known: &mut Vec<Arc<Upstream>>) -> Arc<Upstream> {
        let probe = OwnedQuestion::new(zone.clone(), if zone.is_root() { kind::NS } else { kind::SOA });
        let identity = Identity { address: server.address, tls_name: server.tls_name.clone(), probe };
        if let Some(upstream) = known.iter().find(|upstream| *upstream.identity() == identity) {
            return upstream.clone();
        }
        let tls = server.tls_name.as_ref().map(|name| Tls {
            name: ServerName::try_from(name.clone()).expect("the settings prove that it is a name"),
            config: self.trust.client_config(),
        });
        let label = match &server.tls_name {
            Some(name) => format!("tls://{}#{name}", server.address),
            None => server.address.to_string(),
        };
        let vitals = Vitals::new(label, &self.counters, self.observer.clone());
        let upstream = Upstream::new(identity, tls, Arc::new(vitals));
        known.push(upstream.clone());
        upstream
    }
}

/// The extended error of an upstream that is down.
fn unreachable(cause: Cause) -> (u16, &'static str) {
    match cause {
        Cause::Silence => (ede::NO_REACHABLE_AUTHORITY, "no upstream server answers"),
        Cause::Network => (ede::NETWORK_ERROR, "no upstream server can be reached"),
        Cause::Tls => (ede::NETWORK_ERROR, "no upstream server proves its name"),
    }
}

fn late() -> Resolved {
    Resolved::failure((ede::NO_REACHABLE_AUTHORITY, "no upstream server answered in time"))
}

fn describe(zone: Option<&Name>, upstream: &Upstream, now: Instant) -> Value {
    let (vitals, habits) = (upstream.vitals(), upstream.habits());
    let (health, counters) = (vitals.health(), vitals.counters());
    json!({
        "upstream": vitals.label(),
        "zone": zone.map_or_else(|| ".".to_owned(), Name::to_string),
        "state": if vitals.down().is_some() { "down" } else { "up" },
        "cause": vitals.down().map(Cause::name),
        "down_secs": health.down().map(|(since, _)| now.saturating_duration_since(since).as_secs()),
        "round_trip_ms": health.round_trip().map(|time| time.as_micros() as f64 / 1000.0),
        "edns": habits.uses_edns(now),
        "mixed_case": habits.mixes_case(now),
        "cookies": habits.expects_cookie(),
        "queries": counters.queries.get(),
        "answers": counters.answers.get(),
        "timeouts": counters.timeouts.get(),
        "errors": counters.errors.get(),
        "refusals": counters.refusals.get(),
        "mismatches": counters.mismatches.get(),
        "truncated": counters.truncated.get(),
        "connections": counters.connections.get(),
    })
}
