//! What the director shows.

use std::net::IpAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use faros_common::clock;
use faros_common::site::Balance;
use serde_json::{Value, json};

use super::front::{FrontState, Member, Origin};
use super::observer::{CUTS, name};
use super::{Director, Planes};
use crate::pool::{Front, Server};
use crate::protocol::health::Mode;
use crate::protocol::roster::Tier;

/// A server as metrics see it.
pub struct ServerReading {
    /// The server.
    pub server: Arc<Server>,
    /// Whether it gets connections.
    pub serving: bool,
    /// Whether its checks are good.
    pub up: bool,
}

impl Director {
    /// All front ends with their servers.
    pub fn frontends(&self) -> Value {
        let state = self.lock();
        state.fronts.iter().map(|front| show(front, &*state.planes)).collect()
    }

    /// One of them.
    pub fn frontend(&self, name: &str) -> Option<Value> {
        let state = self.lock();
        let found = state.fronts.iter().find(|front| *front.config.name == *name);
        found.map(|front| show(front, &*state.planes))
    }

    /// Whether the VIP is offered.
    pub fn vip(&self) -> Value {
        let state = self.lock();
        json!({
            "address": state.config.vip,
            "offer": state.offer.is_offered(),
            "because": state.offer.because(),
        })
    }

    /// How the memory fares.
    pub fn store_status(&self) -> Value {
        let trouble = self.store_trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        json!({ "damage": self.damage, "trouble": trouble, "unsaved": self.lock().unsaved })
    }

    /// Why the kernel refused the latest change.
    pub fn kernel_trouble(&self) -> Option<String> {
        self.lock().kernel_trouble.clone()
    }

    /// Where everybody stands, for metrics.
    pub fn readings(&self) -> Vec<(Arc<Front>, bool, Vec<ServerReading>)> {
        let state = self.lock();
        let reading = |front: &FrontState| {
            let roster = front.front.roster.load();
            let serving =
                |member: &Member| roster.slots.iter().any(|slot| Arc::ptr_eq(&slot.server, &member.server));
            let servers = front.members.iter().map(|member| ServerReading {
                server: Arc::clone(&member.server),
                serving: serving(member),
                up: member.machine.remembered().up == Some(true),
            });
            (Arc::clone(&front.front), front.choice.kernel, servers.collect())
        };
        state.fronts.iter().map(reading).collect()
    }

    /// The address of the machine of that name.
    pub fn address_of(&self, machine: &str) -> Option<IpAddr> {
        let state = self.lock();
        state.config.machines.iter().find(|(name, _)| name == machine).map(|&(_, address)| address)
    }

    /// What a client at `source` would get, at every front end.
    pub fn explain(&self, source: IpAddr) -> Value {
        let state = self.lock();
        let fronts: Vec<Value> = state.fronts.iter().map(|front| explain(front, source)).collect();
        let served = fronts.iter().filter(|front| front["server"].is_string()).count();
        let because: Vec<String> = fronts
            .iter()
            .map(|front| {
                let text = |key: &str| front[key].as_str().unwrap_or_default().to_owned();
                format!("{}: {} ({})", text("frontend"), text("would"), text("because"))
            })
            .collect();
        json!({
            "would": format!("{source} would be served by {served} of {} front ends", fronts.len()),
            "rule": "each front end for itself",
            "because": because,
            "frontends": fronts,
        })
    }
}

fn show(state: &FrontState, planes: &dyn Planes) -> Value {
    let now = clock::now();
    let counters = &state.front.counters;
    let ended: serde_json::Map<String, Value> = CUTS
        .iter()
        .map(|&cut| (name(cut).to_owned(), counters.ended[cut as usize].load(Ordering::Relaxed).into()))
        .collect();
    json!({
        "name": &*state.config.name,
        "listen": state.config.listen,
        "balance": state.config.balance,
        "plane": plane(state),
        "because": state.choice.because,
        "admits": if state.config.settings.allow.is_empty() { json!("everybody") } else { json!(state.config.settings.allow) },
        "closed_because": state.config.closed_because,
        "serving": state.tier.map_or("no server is left: clients are reset at once", Tier::as_str),
        "bootstrap": state.retirement.as_ref().map(|retirement| json!({
            "phase": retirement.phase(),
            "because": retirement.because(now),
        })),
        "connections": {
            "active": counters.active.load(Ordering::Relaxed),
            "accepted": counters.accepted.load(Ordering::Relaxed),
            "sent": counters.sent.load(Ordering::Relaxed),
            "received": counters.received.load(Ordering::Relaxed),
            "retries": counters.retries.load(Ordering::Relaxed),
            "hedges": counters.hedges.load(Ordering::Relaxed),
            "ended": ended,
        },
        "servers": state.members.iter().map(|member| server(state, member, planes)).collect::<Vec<_>>(),
        "removed": state.removed.iter().map(|removed| &removed.name).collect::<Vec<_>>(),
    })
}

fn plane(state: &FrontState) -> &'static str {
    if state.choice.kernel { "kernel" } else { "user" }
}

fn server(state: &FrontState, member: &Member, planes: &dyn Planes) -> Value {
    let now = clock::now();
    let view = member.machine.view(now);
    let roster = state.front.roster.load();
    let slot = roster.slots.iter().find(|slot| Arc::ptr_eq(&slot.server, &member.server));
    let counters = &member.server.counters;
    // The kernel lists all connections of the host for this: worth it for a server that somebody waits for.
    let is_leaving = state.choice.kernel && view.mode != Mode::Enabled;
    let in_kernel = is_leaving.then(|| planes.kernel_connections(&member.server)).flatten().unwrap_or(0);
    let secs = |time: std::time::Duration| (time.as_secs_f64() * 1000.0).round() / 1000.0;
    json!({
        "name": &*member.server.name,
        "address": member.server.address,
        "state": view.condition.as_str(),
        "for_secs": secs(view.age),
        "reason": view.reason,
        "mode": view.mode.as_str(),
        "serving": slot.is_some(),
        "weight": member.weight,
        "share": slot.map_or(0, |slot| slot.weight),
        "backup": member.backup,
        "added": member.origin != Origin::Site,
        "persist": member.origin != Origin::Operator { persist: false },
        "remaining_secs": view.remaining.map(secs),
        "cut_in_secs": member.drained_by.map(|by| secs(by.saturating_duration_since(now))),
        "check": {
            "target": member.probe.target,
            "ago_secs": view.checked.map(secs),
            "fault": view.fault,
            "streak": view.streak,
            "done": view.checks,
            "failed": view.checks_failed,
            "flaps": view.flaps,
            "connects_failed": view.connects_failed,
        },
        "connections": {
            "active": counters.active.load(Ordering::Relaxed) as usize + in_kernel,
            "total": counters.total.load(Ordering::Relaxed),
            "failed": counters.failed.load(Ordering::Relaxed),
            "sent": counters.sent.load(Ordering::Relaxed),
            "received": counters.received.load(Ordering::Relaxed),
            "resets": counters.resets.load(Ordering::Relaxed),
        },
    })
}

fn explain(front: &FrontState, source: IpAddr) -> Value {
    let answer = |would: String, server: Option<String>, because: String| {
        json!({
            "frontend": &*front.config.name,
            "listen": front.config.listen,
            "plane": plane(front),
            "plane_because": front.choice.because,
            "would": would,
            "server": server,
            "because": because,
        })
    };
    if !front.config.admits(source) {
        let because = front.config.closed_because.unwrap_or("its allow does not name the address");
        return answer("be refused".to_owned(), None, because.to_owned());
    }
    let roster = front.front.roster.load();
    let serving = front.tier.map_or("no server is left", Tier::as_str);
    let Some(server) = roster.pick(source, 0, &[]) else {
        return answer("be reset at once".to_owned(), None, serving.to_owned());
    };
    let rule = match front.config.balance {
        Balance::Source => format!("by its address, among {} of the {serving}", roster.slots.len()),
        Balance::LeastConnections => format!("the fewest connections now, among the {serving}"),
        Balance::RandomTwo => {
            format!("the better of two at random, so another one next time, among the {serving}")
        }
        Balance::RoundRobin => format!("in turn, so another one next time, among the {serving}"),
    };
    answer(format!("reach {} ({})", server.name, server.address), Some(server.name.to_string()), rule)
}
