//! From a request to its answer.

mod explain;
mod file;
mod ignition;
mod machines;
mod node;
mod quiet;
mod report;
mod script;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use faros_common::events::{Event, Events};
use faros_common::netlink::Neighbours;
use faros_common::site::Mac;
use faros_common::{clock, fault, tasks};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};

use crate::body::{Buffers, ReplyBody};
use crate::config::{Config, NodePlan};
use crate::leases::Leases;
use crate::metrics::{Answered, Counters};
use crate::protocol::head::Refusal;
use crate::protocol::identity::{Lease, Machine};
use crate::protocol::journey::Stage;
use crate::protocol::route::Route;
use crate::protocol::target::{Path, Query};
use crate::store::Store;

pub use script::again;

use machines::UnknownMachines;
use quiet::Quiet;

/// An answer.
pub type Reply = Response<ReplyBody>;

/// After how many seconds a client shall ask again for what is not ready.
pub const RETRY_AFTER_SECS: u32 = 5;

/// Everything that requests are answered from.
pub struct Service {
    /// The site, as it is now.
    pub config: ArcSwap<Config>,
    /// Where nodes are.
    pub store: Store,
    /// The event stream.
    pub events: Events,
    /// The metrics.
    pub counters: Arc<Counters>,
    /// Buffers of file transfers.
    pub buffers: Arc<Buffers>,
    neighbours: Option<Neighbours>,
    leases: Leases,
    unknown: UnknownMachines,
    quiet: Quiet,
    /// Where each node fetched its script last.
    seen_at: Mutex<HashMap<String, IpAddr>>,
}

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The client's address.
    pub address: IpAddr,
    /// Whether it is this bastion itself.
    pub local: bool,
}

impl Peer {
    /// The peer of a connection between these two addresses.
    pub fn of(config: &Config, remote: SocketAddr, local: SocketAddr) -> Self {
        let address = remote.ip().to_canonical();
        let own =
            address.is_loopback() || address == local.ip().to_canonical() || config.own.contains(&address);
        Self { address, local: own }
    }

    /// Whether it is served at all.
    pub fn is_served(&self, config: &Config) -> bool {
        let link_local = matches!(self.address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        self.local
            || link_local
            || config.prefixes.is_empty()
            || config.prefixes.iter().any(|prefix| prefix.contains(&self.address))
    }
}

impl Service {
    /// Puts a service together.
    pub fn new(
        config: Config,
        store: Store,
        events: Events,
        counters: Arc<Counters>,
        run_dir: &std::path::Path,
    ) -> Self {
        let neighbours = Neighbours::open(None).inspect_err(|error| {
            tracing::warn!(event = "neighbours_unavailable", %error, "cards behind addresses are not checked");
        });
        let service = Self {
            config: ArcSwap::from_pointee(config),
            store,
            events,
            counters,
            buffers: Arc::default(),
            neighbours: neighbours.ok(),
            leases: Leases::new(run_dir),
            unknown: UnknownMachines::default(),
            quiet: Quiet::default(),
            seen_at: Mutex::default(),
        };
        service.take_up_nodes();
        service
    }

    /// Takes a new configuration over; requests under way end with the one they began with.
    pub fn reload(&self, config: Config) {
        self.config.store(Arc::new(config));
        self.take_up_nodes();
    }

    fn take_up_nodes(&self) {
        for (name, stage) in self.store.take_up(&self.config.load(), clock::wall()) {
            let because =
                self.store.journey(&name).and_then(|journey| journey.held_because().map(str::to_owned));
            let event = if stage == Stage::Armed { "node_armed" } else { "node_held" };
            let event = Event::new(event).node(name).with("reason", "first_sight");
            self.events.emit(event.with_some("detail", because));
        }
    }

    /// Answers one request. A defect of ours costs this request alone.
    pub async fn answer(
        self: Arc<Self>,
        verdict: Result<(), Refusal>,
        request: Request<Incoming>,
        peer: Peer,
    ) -> Reply {
        if let Err(refusal) = verdict {
            return self.refuse_head(refusal);
        }
        let head_only = request.method() == Method::HEAD;
        let service = Arc::clone(&self);
        let answering = tasks::contain_async("request", async move {
            fault::point("ignition-http.request");
            service.dispatch(request, peer).await
        });
        let (route, mut reply) = answering.await.unwrap_or_else(|| {
            let text = "a defect in this server was contained; please report it\n";
            ("none", close(plain(StatusCode::INTERNAL_SERVER_ERROR, text)))
        });
        let status = reply.status().as_u16();
        self.counters.requests.get_or_create(&Answered { route, status }).inc();
        if head_only {
            let length = reply.body().length();
            reply
                .headers_mut()
                .entry(hyper::header::CONTENT_LENGTH)
                .or_insert_with(|| HeaderValue::from(length));
            *reply.body_mut() = ReplyBody::empty();
        }
        reply
    }

    fn refuse_head(&self, refusal: Refusal) -> Reply {
        self.counters.refuse(refusal.reason());
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
        self.counters.requests.get_or_create(&Answered { route: "none", status: status.as_u16() }).inc();
        let reply = close(plain(status, &format!("{refusal}\n")));
        if refusal == Refusal::Method {
            with(reply, ALLOW, HeaderValue::from_static("GET, HEAD"))
        } else {
            reply
        }
    }

    async fn dispatch(self: Arc<Self>, request: Request<Incoming>, peer: Peer) -> (&'static str, Reply) {
        let method = request.method().clone();
        if ![Method::GET, Method::HEAD, Method::POST].contains(&method) {
            return ("none", self.refuse_method("GET, HEAD"));
        }
        let Ok(path) = Path::parse(request.uri().path()) else {
            self.counters.refuse("path");
            return ("none", plain(StatusCode::BAD_REQUEST, "the path cannot name a file\n"));
        };
        let route = Route::of(&path);
        let name = route.name();
        if method == Method::POST && !matches!(route, Route::Report(_)) {
            return (name, close(self.refuse_method("GET, HEAD")));
        }
        let reply = match route {
            Route::Script(loader) => {
                let query = Query::parse(request.uri().query());
                let effect = if method == Method::GET { Effect::Real } else { Effect::None };
                self.script(loader, &query, peer, effect).await
            }
            Route::Ignition(node) => self.ignition(&node, &request, peer).await,
            Route::Report(node) => self.report(&node, request, peer).await,
            Route::Loader(loader) => self.loader(&loader, &request, peer).await,
            Route::File => self.file(&path.relative(), &request, peer).await,
        };
        (name, reply)
    }

    fn refuse_method(&self, allowed: &'static str) -> Reply {
        self.counters.refuse("method");
        let reply = plain(StatusCode::METHOD_NOT_ALLOWED, "this method is not served here\n");
        with(reply, ALLOW, HeaderValue::from_static(allowed))
    }

    /// Whose `peer`'s address is, where that decides whether it is the node.
    async fn lease(&self, config: &Config, known: &Known<'_>, peer: Peer, card: Option<Mac>) -> Lease {
        match (known.machine.addresses.is_empty(), config.dhcpd) {
            (false, _) => Lease::NotAsked,
            (true, true) => self.leases.holder(peer.address).await,
            // Somebody else's DHCP: the card itself is all there is to go by.
            (true, false) => card.map_or(Lease::None, |mac| Lease::Of { mac: Some(mac), node: None }),
        }
    }

    /// The node at `peer`, for the records: by its reserved address, or where it fetched its script last.
    fn node_at<'a>(&self, config: &'a Config, peer: Peer) -> Option<Known<'a>> {
        if let Some(index) = config.roster.by_address(peer.address) {
            return Some(Known::at(config, index));
        }
        let seen_at = self.seen_at.lock().unwrap_or_else(PoisonError::into_inner);
        let (name, _) = seen_at.iter().find(|(_, address)| **address == peer.address)?;
        Known::by_name(config, name)
    }

    /// Remembers where a node fetched its script.
    fn saw(&self, config: &Config, known: &Known<'_>, peer: Peer) {
        let mut seen_at = self.seen_at.lock().unwrap_or_else(PoisonError::into_inner);
        seen_at.retain(|name, address| *address != peer.address && config.roster.by_name(name).is_some());
        seen_at.insert(known.machine.name.clone(), peer.address);
    }

    /// Emits an event that `peer` can cause at will, unless it did so within the last second.
    fn emit_seldom(&self, peer: Peer, what: &[&str], event: Event) {
        if self.quiet.allows(peer.address, what, clock::now()) {
            self.events.emit(event);
        }
    }

    /// The card behind an address, as far as the kernel knows it.
    async fn card(self: &Arc<Self>, address: IpAddr) -> Option<Mac> {
        let service = Arc::clone(self);
        let lookup =
            tokio::task::spawn_blocking(move || service.neighbours.as_ref()?.card(address).ok().flatten());
        lookup.await.ok().flatten()
    }
}

/// Whether an answer changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    /// It does.
    Real,
    /// It is only looked at: HEAD, or a request from this bastion.
    None,
}

/// A node of the present configuration.
struct Known<'a> {
    machine: &'a Machine,
    plan: &'a NodePlan,
}

impl<'a> Known<'a> {
    fn by_name(config: &'a Config, name: &str) -> Option<Self> {
        config.roster.by_name(name).map(|index| Self::at(config, index))
    }

    fn at(config: &'a Config, index: usize) -> Self {
        Self { machine: &config.roster.machines[index], plan: &config.nodes[index] }
    }

    /// An event about this node.
    fn event(&self, id: &'static str, peer: Peer, card: Option<Mac>) -> Event {
        let event = Event::new(id).node(self.machine.name.as_str()).address(peer.address);
        match card.filter(|_| !peer.local).or_else(|| self.machine.macs.first().copied()) {
            Some(mac) => event.mac(mac),
            None => event,
        }
    }
}

/// A short text.
fn plain(status: StatusCode, text: &str) -> Reply {
    let mut reply = Response::new(ReplyBody::text(text.to_owned()));
    *reply.status_mut() = status;
    let reply = with(reply, CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    with(reply, CACHE_CONTROL, HeaderValue::from_static("no-store"))
}

/// 503: it may still come.
fn retry_later(text: &str) -> Reply {
    with(plain(StatusCode::SERVICE_UNAVAILABLE, text), RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECS))
}

fn with(mut reply: Reply, name: HeaderName, value: HeaderValue) -> Reply {
    reply.headers_mut().insert(name, value);
    reply
}

fn close(reply: Reply) -> Reply {
    with(reply, CONNECTION, HeaderValue::from_static("close"))
}

/// Runs what waits for the disk beside the tasks that must not.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => std::future::pending().await,
    }
}

/// The boot root and the Ignition files of `config`, to be taken along by [`blocking`] work.
fn root_and_seeds(config: &Config) -> (PathBuf, Vec<String>) {
    (config.root.clone(), config.seeds.keys().cloned().collect())
}
