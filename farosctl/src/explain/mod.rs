//! `farosctl explain`: what every daemon would answer a machine, what it did last, and where it stalls.

mod conclusion;
mod question;
mod trace;

use faros_common::clock;
use faros_common::site::{ClusterKind, OwnerKind, Role, Site};
use serde::Serialize;
use serde_json::Value;

pub(crate) use conclusion::Conclusion;
use conclusion::{Evidence, conclude};
use question::Answer;
use trace::Trace;

use crate::check::host::age_of;
use crate::daemons::{Daemons, IGNITION_HTTP, query_value};
use crate::events::event::Event;
use crate::events::stream;
use crate::exit::{Exit, Failure};
use crate::leases::{self, Lease};
use crate::machine::Machine;
use crate::node::state::NodeState;
use crate::output::{Human, Paint, Tone, harmless};
use crate::session::Session;

/// How many of the machine's events are shown.
const EVENTS_SHOWN: usize = 12;

/// Everything about one machine.
#[derive(Serialize)]
struct Explanation {
    machine: Machine,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Value>,
    leases: Vec<Lease>,
    conclusion: Conclusion,
    daemons: Vec<Answer>,
    events: Vec<Value>,
    #[serde(skip)]
    shown: Vec<Event>,
}

pub(crate) async fn run(session: &mut Session, argument: &str) -> Result<Exit, Failure> {
    let site = session.site_if_good();
    let wanted = session.daemons.list(site.as_ref());
    let names: Vec<String> = wanted.iter().map(|daemon| daemon.name.clone()).collect();
    if names.is_empty() {
        return Err(Failure::failed("there is no daemon to ask; see: farosctl status"));
    }
    let all_leases = leases::fetch(&session.daemons).await.unwrap_or_default();
    let Some(machine) = Machine::resolve(argument, site.as_ref(), &all_leases) else {
        return Err(Failure::failed(format!(
            "{} is neither a node nor known by a lease; name a node, a MAC, an address or a UUID (farosctl node list, \
             farosctl leases)",
            harmless(argument)
        )));
    };

    let (events, silent) = events_of(&session.daemons, &names, &machine).await;
    let daemons = question::ask(&session.daemons, &names, &machine, &events).await;
    let node = state_of(&session.daemons, &machine).await;
    let down: Vec<String> = wanted
        .into_iter()
        .filter(|daemon| daemon.wanted && silent.contains(&daemon.name))
        .map(|d| d.name)
        .collect();
    let conclusion = conclusion_of(site.as_ref(), &machine, node.as_ref(), &events, &down);

    let shown = events[events.len().saturating_sub(EVENTS_SHOWN)..].to_vec();
    let leases = all_leases.into_iter().filter(|lease| lease.concerns(&machine)).collect();
    let explanation = Explanation {
        events: shown.iter().map(|event| Value::Object(event.fields.clone())).collect(),
        state: node.map(|node| node.whole),
        machine,
        leases,
        conclusion,
        daemons,
        shown,
    };
    session.show(&explanation)?;
    Ok(if down.is_empty() { Exit::Done } else { Exit::Degraded })
}

/// The conclusion about `machine`, with what the site file and the files on this host add.
pub(crate) fn conclusion_of(
    site: Option<&Site>,
    machine: &Machine,
    node: Option<&NodeState>,
    events: &[Event],
    down: &[String],
) -> Conclusion {
    let now = clock::wall();
    let url =
        site.zip(machine.name.as_deref()).map(|(site, name)| format!("{}/ignition/{name}", site.base_url()));
    let trace = Trace::of(events);
    conclude(&Evidence {
        now,
        kind: machine.kind,
        macs: &machine.macs,
        trace: &trace,
        node,
        down,
        ignition_url: url.as_deref(),
        certificates_age: site.and_then(|site| {
            let node = site.node_by_name(machine.name.as_deref()?)?;
            if site.cluster.kind != ClusterKind::Openshift || node.role != Role::Bootstrap {
                return None;
            }
            let file = site.profiles.get(node.profile.as_ref()?)?.ignition_for(node.role)?;
            age_of(&site.http.root.join(file), now)
        }),
    })
}

/// The machine's events in order of time, and the daemons that did not tell theirs.
async fn events_of(daemons: &Daemons, names: &[String], machine: &Machine) -> (Vec<Event>, Vec<String>) {
    let (mut events, mut silent) = (Vec::new(), Vec::new());
    for (name, answer) in stream::past(daemons, names, 0).await {
        match answer {
            Ok(all) => events.extend(all.into_iter().filter(|event| machine.concerns(event))),
            Err(_) => silent.push(name),
        }
    }
    stream::sort_by_time(&mut events);
    (events, silent)
}

async fn state_of(daemons: &Daemons, machine: &Machine) -> Option<NodeState> {
    let name = machine.name.as_deref().filter(|_| machine.kind == Some(OwnerKind::Node))?;
    let path = format!("/nodes/{}", query_value(name));
    let answer = daemons.get(IGNITION_HTTP, &path).await.ok()?;
    Some(NodeState::read(&answer))
}

impl Human for Explanation {
    fn human(&self, paint: Paint) -> String {
        let mut text = format!("{}\n", self.heading(paint));
        for answer in &self.daemons {
            text.push('\n');
            text += &answer.human(paint);
        }
        if !self.shown.is_empty() {
            text += &format!("\n{}\n", paint.tone(Tone::Strong, "lately"));
        }
        for event in &self.shown {
            text += &format!("  {}\n", event.human(paint));
        }
        let conclusion = harmless(&self.conclusion.text);
        text += &format!(
            "\n{} {}\n",
            paint.tone(Tone::Strong, "=>"),
            paint.tone(self.conclusion.health.tone(), &conclusion)
        );
        text
    }
}

impl Explanation {
    fn heading(&self, paint: Paint) -> String {
        let machine = &self.machine;
        let kind = match machine.kind {
            Some(OwnerKind::Bastion) => "the bastion itself",
            Some(OwnerKind::Vip) => "the cluster's address",
            Some(OwnerKind::Node) => "node",
            Some(OwnerKind::Vm) => "guest",
            Some(OwnerKind::Host) => "host",
            Some(OwnerKind::Bmc) => "management controller",
            None => "not in the site file",
        };
        let mut parts = vec![kind.to_owned()];
        parts.extend(machine.macs.iter().map(ToString::to_string));
        parts.extend(machine.addresses.iter().map(ToString::to_string));
        let state = self.state.as_ref().map(NodeState::read).and_then(|node| node.stage);
        parts.extend(state.map(|stage| format!("state {}", stage.name())));
        format!("{}  {}", paint.tone(Tone::Strong, &harmless(&machine.label())), parts.join(", "))
    }
}
