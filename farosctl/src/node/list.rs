//! What is known about nodes.

use std::collections::BTreeMap;
use std::time::SystemTime;

use faros_common::clock;
use faros_common::site::{OwnerKind, Role, Site};
use serde::Serialize;
use serde_json::Value;

use super::name_of;
use super::state::{self, NodeState, Stage};
use crate::daemons::{DHCPD, IGNITION_HTTP};
use crate::events::event::Event;
use crate::events::stream;
use crate::exit::{Exit, Failure, advice};
use crate::explain::{Conclusion, conclusion_of};
use crate::leases::{self, Lease, fields};
use crate::machine::Machine;
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, harmless, time};
use crate::session::Session;

/// One node as the site file, its leases, its state and its events show it.
#[derive(Serialize)]
struct NodeView {
    name: String,
    role: Role,
    state: Option<&'static str>,
    since: Option<String>,
    /// The address it has by DHCP, else the reserved one.
    address: Option<String>,
    macs: Vec<String>,
    /// Whether it has the address now.
    leased: bool,
    /// Its newest event.
    last_event: Option<LastEvent>,
    conclusion: Conclusion,
    #[serde(skip)]
    details: Details,
}

#[derive(Serialize)]
struct LastEvent {
    event: String,
    time: Option<String>,
    #[serde(skip)]
    at: Option<SystemTime>,
}

/// What only `node show` shows.
#[derive(Default)]
struct Details {
    state: Option<NodeState>,
    leases: Vec<Lease>,
    profile: Option<String>,
    disk: Option<String>,
    events: Vec<Event>,
}

/// What all daemons together say about nodes.
struct Known {
    site: Site,
    states: Vec<NodeState>,
    leases: Vec<Lease>,
    events: Vec<Event>,
    down: Vec<String>,
}

impl Known {
    async fn ask(session: &mut Session) -> Result<Self, Failure> {
        let site = session.site()?;
        let wanted = session.daemons.list(Some(&site));
        let names: Vec<String> = wanted.iter().map(|daemon| daemon.name.clone()).collect();
        let mut troubles = BTreeMap::new();
        let states = state::fetch(&session.daemons).await.unwrap_or_else(|error| {
            troubles.insert(IGNITION_HTTP.to_owned(), advice(IGNITION_HTTP, &error));
            Vec::new()
        });
        let leases = leases::fetch(&session.daemons).await.unwrap_or_else(|error| {
            troubles.insert(DHCPD.to_owned(), advice(DHCPD, &error));
            Vec::new()
        });
        let mut events = Vec::new();
        for (daemon, answer) in stream::past(&session.daemons, &names, 0).await {
            match answer {
                Ok(all) => events.extend(all),
                Err(error) => drop(troubles.entry(daemon.clone()).or_insert_with(|| advice(&daemon, &error))),
            }
        }
        stream::sort_by_time(&mut events);
        let down: Vec<String> = wanted
            .into_iter()
            .filter(|daemon| daemon.wanted && troubles.contains_key(&daemon.name))
            .map(|daemon| daemon.name)
            .collect();
        for name in &down {
            session.note(&troubles[name]);
        }
        Ok(Self { site, states, leases, events, down })
    }

    fn view(&self, name: &str) -> Option<NodeView> {
        let node = self.site.node_by_name(name)?;
        let machine = Machine::resolve(name, Some(&self.site), &self.leases)
            .unwrap_or_else(|| Machine { kind: Some(OwnerKind::Node), ..Machine::named(name) });
        let events: Vec<Event> =
            self.events.iter().filter(|event| machine.concerns(event)).cloned().collect();
        let state = self.states.iter().find(|state| state.name == name).cloned();
        let leases: Vec<Lease> =
            self.leases.iter().filter(|lease| lease.concerns(&machine)).cloned().collect();
        let lease = leases.iter().find(|lease| lease.is_active());
        let address = lease.and_then(|lease| lease.address).or(machine.addresses.first().copied());
        let conclusion = conclusion_of(Some(&self.site), &machine, state.as_ref(), &events, &self.down);
        Some(NodeView {
            name: name.to_owned(),
            role: node.role,
            state: state.as_ref().and_then(|state| state.stage).map(Stage::name),
            since: state.as_ref().and_then(|state| state.since).map(faros_common::events::rfc3339),
            address: address.map(|address| address.to_string()),
            macs: machine.macs.iter().map(ToString::to_string).collect(),
            leased: lease.is_some(),
            last_event: events.last().map(|event| LastEvent {
                event: event.id.clone(),
                time: event.text("time").map(str::to_owned),
                at: event.time,
            }),
            conclusion,
            details: Details {
                state,
                leases,
                profile: node.profile.clone(),
                disk: node.disk.clone(),
                events,
            },
        })
    }

    fn exit(&self) -> Exit {
        if self.down.is_empty() { Exit::Done } else { Exit::Degraded }
    }
}

#[derive(Serialize)]
struct NodeList {
    #[serde(skip)]
    now: SystemTime,
    nodes: Vec<NodeView>,
}

pub(super) async fn list(session: &mut Session) -> Result<Exit, Failure> {
    let known = Known::ask(session).await?;
    let nodes = known.site.nodes.iter().filter_map(|node| known.view(&node.name)).collect();
    session.show(&NodeList { now: clock::wall(), nodes })?;
    Ok(known.exit())
}

impl Human for NodeList {
    fn human(&self, paint: Paint) -> String {
        if self.nodes.is_empty() {
            return "the site file has no nodes\n".to_owned();
        }
        let mut table =
            Table::new(["NODE", "ROLE", "STATE", "SINCE", "ADDRESS", "LEASE", "LAST EVENT", "HOW IT FARES"]);
        for node in &self.nodes {
            let state = node.details.state.as_ref();
            let stage = state.and_then(|state| state.stage);
            let last = node.last_event.as_ref().map(|last| match last.at {
                Some(at) => format!("{} {}", last.event, time::ago(self.now, at)),
                None => last.event.clone(),
            });
            table.row([
                Cell::new(Tone::Strong, &node.name),
                node.role.name().into(),
                stage.map_or_else(|| Cell::from("?"), |stage| Cell::new(stage.tone(), stage.name())),
                state
                    .and_then(|state| state.since)
                    .map(|at| time::ago(self.now, at))
                    .unwrap_or_default()
                    .into(),
                node.address.as_deref().unwrap_or_default().into(),
                if node.leased { Cell::new(Tone::Good, "yes") } else { Cell::new(Tone::Faint, "no") },
                last.unwrap_or_default().into(),
                Cell::new(node.conclusion.health.tone(), node.conclusion.health.name()),
            ]);
        }
        table.render(paint)
    }
}

pub(super) async fn show(session: &mut Session, argument: &str) -> Result<Exit, Failure> {
    let known = Known::ask(session).await?;
    let name = name_of(Some(&known.site), argument)?;
    let Some(view) = known.view(&name) else {
        return Err(Failure::failed(format!(
            "{} is no node of the site file; see: farosctl node list",
            harmless(&name)
        )));
    };
    session.show(&NodeDetails {
        profile: view.details.profile.clone(),
        disk: view.details.disk.clone(),
        journey: view.details.state.as_ref().map(|state| state.whole.clone()),
        leases: view.details.leases.clone(),
        view,
    })?;
    Ok(known.exit())
}

#[derive(Serialize)]
struct NodeDetails {
    #[serde(flatten)]
    view: NodeView,
    profile: Option<String>,
    disk: Option<String>,
    journey: Option<Value>,
    leases: Vec<Lease>,
}

impl Human for NodeDetails {
    fn human(&self, paint: Paint) -> String {
        let view = &self.view;
        let mut text = String::new();
        let state = view.details.state.as_ref().and_then(|state| state.stage).map(Stage::name);
        let lines = [
            ("name", Some(view.name.clone())),
            ("role", Some(view.role.name().to_owned())),
            ("state", state.map(str::to_owned)),
            ("since", view.since.clone()),
            ("address", view.address.clone()),
            ("mac", Some(view.macs.join(", ")).filter(|macs| !macs.is_empty())),
            ("profile", self.profile.clone()),
            ("disk", self.disk.clone()),
        ];
        for (key, value) in lines {
            let value = value.as_deref().map_or_else(|| "-".to_owned(), harmless);
            text += &format!("{}  {value}\n", paint.tone(Tone::Strong, &format!("{key:<8}")));
        }
        for lease in &self.leases {
            text += &format!(
                "\n{}\n{}",
                paint.tone(Tone::Strong, "lease"),
                indent(&fields(&lease.value(), paint))
            );
        }
        if let Some(journey) = &self.journey {
            text += &format!("\n{}\n{}", paint.tone(Tone::Strong, "boot"), indent(&fields(journey, paint)));
        }
        const LAST: usize = 10;
        let events = &view.details.events;
        if !events.is_empty() {
            text += &format!("\n{}\n", paint.tone(Tone::Strong, "lately"));
        }
        for event in &events[events.len().saturating_sub(LAST)..] {
            text += &format!("  {}\n", event.human(paint));
        }
        let conclusion = paint.tone(view.conclusion.health.tone(), &harmless(&view.conclusion.text));
        text + &format!("\n{} {conclusion}\n", paint.tone(Tone::Strong, "=>"))
    }
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn known() -> Known {
        let text = r#"
            version = 1
            [cluster]
            name = "edge"
            domain = "example.com"
            [lan]
            interface = "lan0"
            address = "192.168.8.1/24"
            [[node]]
            name = "cp1"
            role = "control-plane"
            mac = "52:54:00:00:08:11"
            address = "192.168.8.11"
            [[node]]
            name = "w1"
            role = "worker"
            mac = "52:54:00:00:08:21"
            address = "192.168.8.21"
        "#;
        let site = faros_common::site::parse(text, Path::new("site.toml")).unwrap().site;
        let event = r#"{"seq":1,"time":"1970-01-01T00:59:00.000000Z","daemon":"ignition-http","event":"node_disk","node":"cp1"}"#;
        Known {
            site,
            states: state::read_all(
                &json!([{ "name": "cp1", "state": "disk", "since": "1970-01-01T00:59:00Z" }]),
            ),
            leases: leases::read_all(&json!([
                { "address": "192.168.8.11", "mac": "52:54:00:00:08:11", "node": "cp1", "state": "active" }
            ])),
            events: vec![Event::parse(event).unwrap()],
            down: Vec::new(),
        }
    }

    #[test]
    fn the_table_joins_site_state_lease_and_events() {
        let known = known();
        let nodes = ["cp1", "w1"].iter().filter_map(|name| known.view(name)).collect();
        let list = NodeList { now: SystemTime::UNIX_EPOCH + Duration::from_secs(3600), nodes };
        assert_eq!(
            list.human(Paint::default()),
            "NODE  ROLE           STATE  SINCE      ADDRESS       LEASE  LAST EVENT           HOW IT FARES\n\
             cp1   control-plane  disk   1 min ago  192.168.8.11  yes    node_disk 1 min ago  fine\n\
             w1    worker         ?      -          192.168.8.21  no     -                    silent\n"
        );
    }
}
