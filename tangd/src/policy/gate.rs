//! The decision about a recovery, apart from sockets, files and clocks: told who asks and what time it is.
//!
//! ```text
//!  not on the LAN ──────────────► 403 lan
//!  locked ──────────────────────► 403 locked
//!  no node (known-nodes) ───────► 403 known-nodes, or 503 leases while dhcpd is away
//!  denied by the site file ─────► 403 denied
//!  approved ────────┐
//!  held ────────────┼───────────► 503 hold, listed as waiting
//!  not the time ────┼───────────► 403 window, or 503 clock; listed as waiting
//!  too many ────────┴───────────► 503 rate
//!  else ────────────────────────► allowed: approved, reservation, lease or open
//! ```
//!
//! A lock is stronger than an approval; an approval opens what holds and what is shut, and neither makes a stranger a
//! node nor lifts the rate. Where address and card belong to two nodes, whatever keeps back either of them counts.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime};

use faros_common::site::{Published, Site, TangAccess, TangPolicy, TangWindow};
use ipnet::IpNet;

use super::calendar::{Season, season};
use super::identity::{Client, Standing};
use super::locks::Locks;
use super::rate::Rates;
use super::verdict::{Rule, Verdict};
use super::waiting::{Waiting, WaitingRoom};

/// What a held client is told (`Retry-After`), in seconds. clevis asks again by itself, at its own pace.
pub const HOLD_RETRY_SECS: u32 = 5;
/// What a client is told whose address cannot be judged while dhcpd or the time is away, in seconds.
const AWAY_RETRY_SECS: u32 = 5;
/// Approvals that are kept at once; the one that ends first makes room.
const APPROVALS_MAX: usize = 1024;

/// Our rules, as the site file has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Who is answered.
    pub policy: TangPolicy,
    /// The networks that are answered at all; empty: all, because the gateway opens us to the WAN.
    pub served: Vec<IpNet>,
    /// Recoveries of a node in a minute.
    pub rate: Option<u32>,
    /// When; empty: always.
    pub windows: Vec<TangWindow>,
    /// Whether recoveries wait for an operator.
    pub hold: bool,
    /// What single nodes have of their own.
    pub access: BTreeMap<String, TangAccess>,
}

impl Rules {
    /// The rules of `site`.
    #[must_use]
    pub fn of(site: &Site) -> Self {
        let to_wan = site.gateway.allow.contains(&Published::Tang);
        Self {
            policy: site.tang.policy,
            served: if to_wan { Vec::new() } else { site.site_prefixes() },
            rate: site.tang.rate,
            windows: site.tang.windows.clone(),
            hold: site.tang.hold,
            access: site.nodes.iter().filter_map(|node| Some((node.name.clone(), node.tang?))).collect(),
        }
    }

    fn access(&self, name: &str) -> TangAccess {
        let usual = if self.hold { TangAccess::Hold } else { TangAccess::Allow };
        self.access.get(name).copied().unwrap_or(usual)
    }

    /// Whether `address` is answered at all; link-local and loopback addresses cannot come from elsewhere.
    #[must_use]
    pub fn serve(&self, address: IpAddr) -> bool {
        let local = match address {
            IpAddr::V4(_) => false,
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        self.served.is_empty()
            || local
            || address.is_loopback()
            || self.served.iter().any(|net| net.contains(&address))
    }
}

/// A moment, on the clock that never steps and on the one that knows the date.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Since power-on.
    pub monotonic: Instant,
    /// The date, as far as the host knows it.
    pub wall: SystemTime,
}

impl Moment {
    /// Now.
    #[must_use]
    pub fn now() -> Self {
        Self { monotonic: faros_common::clock::now(), wall: faros_common::clock::wall() }
    }
}

/// What has happened so far, and decides on what comes.
#[derive(Debug, Default)]
pub struct Gate {
    pub(super) locks: Locks,
    approvals: BTreeMap<String, Instant>,
    waiting: WaitingRoom,
    rates: Rates,
}

impl Gate {
    /// A gate with these locks.
    #[must_use]
    pub fn new(locks: Locks) -> Self {
        Self { locks, ..Self::default() }
    }

    /// `client` asks for an exchange with the key `thumbprint`, and nothing else speaks against it.
    pub fn on_recovery(&mut self, rules: &Rules, client: &Client, thumbprint: &str, now: Moment) -> Verdict {
        let verdict = self.judge(rules, client, now);
        match &verdict {
            Verdict::Allow { .. } => {
                if let Some(rate) = rules.rate.filter(|_| client.standing != Standing::Bastion) {
                    self.rates.count(client, rate, now.monotonic);
                }
                self.waiting.leave(&client.subject());
            }
            Verdict::Refuse { rule: Rule::Rate | Rule::Lan | Rule::KnownNodes | Rule::Leases, .. } => {}
            Verdict::Refuse { rule: Rule::Locked | Rule::Denied, .. } => {
                self.waiting.leave(&client.subject());
            }
            Verdict::Refuse { rule, reason, .. } | Verdict::Hold { rule, reason, .. } => {
                let times = (now.monotonic, now.wall);
                self.waiting.enter(client, thumbprint, (*rule, reason), times);
            }
        }
        verdict
    }

    /// What [`Gate::on_recovery`] would decide. Changes nothing.
    #[must_use]
    pub fn judge(&self, rules: &Rules, client: &Client, now: Moment) -> Verdict {
        let address = client.address;
        let own = client.standing == Standing::Bastion;
        if !own && !rules.serve(address) {
            return Verdict::refuse(
                Rule::Lan,
                format!("{address} is not on the LAN, and nobody else is served"),
            );
        }
        if let Some(reason) = self.locks.reason(&client.claims, address) {
            return Verdict::refuse(Rule::Locked, reason);
        }
        if rules.policy == TangPolicy::KnownNodes
            && let Some(refusal) = stranger(client)
        {
            return refusal;
        }
        let subjects = subjects(client);
        if let Some(name) = subjects.iter().find(|name| rules.access(name) == TangAccess::Deny) {
            return Verdict::refuse(
                Rule::Denied,
                format!("the site file denies it to {name} (tang = \"deny\")"),
            );
        }
        let approved = !own && subjects.iter().all(|name| self.is_approved(name, now.monotonic));
        if !approved && let Some(verdict) = held_back(rules, &subjects, own, now) {
            return verdict;
        }
        if let Some(rate) = rules.rate.filter(|_| !own)
            && let Some(wait) = self.rates.wait(client, rate, now.monotonic)
        {
            let seconds = u32::try_from(wait.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).max(1);
            let reason = format!("{} has recovered {rate} keys within a minute", client.subject());
            return Verdict::later(Rule::Rate, seconds, reason);
        }
        allow(client, approved)
    }

    /// Lets `subject`, a node's name or an address, through until `until`. Whether it is waiting now.
    pub fn approve(&mut self, subject: &str, until: Instant, now: Instant) -> bool {
        self.approvals.retain(|_, end| *end > now);
        if self.approvals.len() >= APPROVALS_MAX && !self.approvals.contains_key(subject) {
            let first =
                self.approvals.iter().min_by_key(|(_, end)| **end).map(|(subject, _)| subject.clone());
            first.and_then(|subject| self.approvals.remove(&subject));
        }
        self.approvals.insert(subject.to_owned(), until);
        self.waiting.holds(subject, now)
    }

    /// Takes an approval back. Whether there was one.
    pub fn disapprove(&mut self, subject: &str) -> bool {
        self.approvals.remove(subject).is_some()
    }

    /// Takes all approvals back.
    pub(super) fn disapprove_all(&mut self) {
        self.approvals.clear();
    }

    /// Who is let through, and for how long still.
    #[must_use]
    pub fn approved(&self, now: Instant) -> Vec<(String, Duration)> {
        let left =
            self.approvals.iter().map(|(name, end)| (name.clone(), end.saturating_duration_since(now)));
        left.filter(|(_, left)| !left.is_zero()).collect()
    }

    pub(super) fn waiting(&mut self, now: Instant) -> Vec<Waiting> {
        self.waiting.list(now)
    }

    /// The site file has changed.
    pub(super) fn keep_nodes(&mut self, is_node: impl Fn(&str) -> bool) {
        self.rates.keep_nodes(is_node);
    }

    fn is_approved(&self, subject: &str, now: Instant) -> bool {
        self.approvals.get(subject).is_some_and(|end| *end > now)
    }
}

/// Every name that a client must answer for: all nodes that it may be, else its address.
fn subjects(client: &Client) -> Vec<String> {
    if client.claims.is_empty() { vec![client.subject()] } else { client.claims.clone() }
}

/// What keeps a client from being a node, where only nodes are answered.
fn stranger(client: &Client) -> Option<Verdict> {
    let address = client.address;
    match &client.standing {
        Standing::Reserved | Standing::Leased => None,
        Standing::Contradicted(because) => Some(Verdict::refuse(Rule::KnownNodes, because.clone())),
        Standing::Bastion => Some(Verdict::refuse(
            Rule::KnownNodes,
            format!("{address} is this bastion itself, and only nodes are served"),
        )),
        Standing::Card => {
            let node = client.node.as_deref().unwrap_or("a node");
            let reason =
                format!("{address} is neither reserved for {node}, whose card it has, nor leased to it");
            Some(Verdict::refuse(Rule::KnownNodes, reason))
        }
        Standing::Unknown => Some(Verdict::refuse(
            Rule::KnownNodes,
            format!("{address} is neither reserved for a node nor leased to one"),
        )),
        Standing::Unclear => Some(Verdict::later(
            Rule::Leases,
            AWAY_RETRY_SECS,
            format!("{address} is not reserved, and dhcpd does not say whose it is; is it running?"),
        )),
    }
}

/// What holds a client that nobody has approved.
fn held_back(rules: &Rules, subjects: &[String], own: bool, now: Moment) -> Option<Verdict> {
    if let Some(name) = subjects.iter().find(|name| !own && rules.access(name) == TangAccess::Hold) {
        let reason = format!("{name} waits for an operator: farosctl tang approve {name}");
        return Some(Verdict::Hold { retry_after: HOLD_RETRY_SECS, reason, rule: Rule::Hold });
    }
    match season(&rules.windows, now.wall) {
        Season::Open => None,
        Season::Shut { opens_in } => Some(Verdict::refuse(
            Rule::Window,
            format!("nothing is unlocked at this time; the next window opens in {}", span(opens_in)),
        )),
        Season::Unknown => Some(Verdict::later(
            Rule::Clock,
            AWAY_RETRY_SECS,
            "this bastion does not know what time it is, so no window is open; see to its clock",
        )),
    }
}

/// Minutes in words.
fn span(minutes: u32) -> String {
    humantime::format_duration(Duration::from_secs(u64::from(minutes) * 60)).to_string()
}

fn allow(client: &Client, approved: bool) -> Verdict {
    let (address, subject) = (client.address, client.subject());
    if approved {
        return Verdict::allow(Rule::Approved, format!("an operator has let {subject} through"));
    }
    match &client.standing {
        Standing::Reserved => {
            Verdict::allow(Rule::Reservation, format!("{address} is reserved for {subject}"))
        }
        Standing::Leased => Verdict::allow(Rule::Lease, format!("{address} is leased to {subject}")),
        Standing::Bastion => Verdict::allow(Rule::Open, format!("{address} is this bastion itself")),
        _ => Verdict::allow(Rule::Open, format!("{address} is on a network that is served")),
    }
}
