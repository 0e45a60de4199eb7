//! `GET /explain`: what a client would get, and which rule decides it. Changes nothing.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::site::Mac;
use hyper::StatusCode;
use serde_json::json;

use super::script::again;
use super::{Known, Peer, Service};
use crate::protocol::identity::{Claim, Identity, Uuid};
use crate::protocol::journey::{Ending, Plan};
use crate::protocol::script::{Loader, render};

impl Service {
    pub(super) async fn explain(self: &Arc<Self>, request: &AdminRequest) -> AdminResponse {
        let config = self.config.load_full();
        let mut claim = Claim {
            mac: None,
            uuid: None,
            peer: Ipv4Addr::UNSPECIFIED.into(),
            neighbour: None,
            local: false,
        };
        let mut because = Vec::new();
        if let Some(name) = request.query("node") {
            let Some(known) = Known::by_name(&config, name) else {
                return AdminResponse::error(StatusCode::NOT_FOUND, &format!("there is no node {name}"));
            };
            claim.mac = known.machine.macs.first().copied();
            claim.uuid = known.machine.uuid;
            claim.peer = known.machine.addresses.first().copied().unwrap_or(claim.peer);
        }
        let unreadable = |what: &str| {
            let message = format!("{what} cannot be read: write it as in the site file");
            AdminResponse::error(StatusCode::BAD_REQUEST, &message)
        };
        if let Some(text) = request.query("mac") {
            let Ok(mac) = text.parse::<Mac>() else { return unreadable("mac") };
            claim.mac = Some(mac);
        }
        if let Some(text) = request.query("uuid") {
            let Some(uuid) = Uuid::parse(text) else { return unreadable("uuid") };
            claim.uuid = Some(uuid);
        }
        if let Some(text) = request.query("address") {
            let Ok(address) = text.parse::<IpAddr>() else { return unreadable("address") };
            claim.peer = address;
        }
        let with_address = claim.peer != IpAddr::from(Ipv4Addr::UNSPECIFIED);
        if with_address {
            claim.neighbour = self.card(claim.peer).await;
            because.extend(
                claim.neighbour.map(|card| format!("the kernel sees the card {card} at {}", claim.peer)),
            );
        }
        let identity = config.roster.identify(claim);
        let decision = self.decide(&config, &identity, claim);
        let rule = match &identity {
            Identity::Node { index, by, .. } => {
                let known = Known::at(&config, *index);
                because.push(format!("it is {}, by its {}", known.machine.name, by.name()));
                because.push(decision.because.clone());
                let peer = Peer { address: claim.peer, local: config.own.contains(&claim.peer) };
                if with_address && known.plan.plan().is_some_and(|plan| plan.seed) {
                    let seed = self.may_have_ignition(&config, &known, peer, claim.neighbour).await;
                    because.push(match seed {
                        Ok(()) => "its Ignition would be served".to_owned(),
                        Err(refused) => format!("its Ignition would be refused: {}", refused.text()),
                    });
                }
                if let Some(ending) = known.plan.plan().map(Plan::ending) {
                    let ending = match ending {
                        Ending::Report => "its report",
                        Ending::Ignition => "the first boot after its Ignition was fetched",
                        Ending::Files => "the first boot after all its files were fetched",
                    };
                    because.push(format!("its installation ends with {ending}"));
                }
                format!(
                    "stage {}",
                    self.store.journey(&known.machine.name).map_or("none", |j| j.stage().name())
                )
            }
            Identity::Unknown { .. } => {
                because.push(decision.because.clone());
                "not in the site file".to_owned()
            }
            Identity::Conflict { because: conflict } => {
                because.push(conflict.clone());
                "contradicting identities".to_owned()
            }
        };
        let would = match decision.action {
            "install" => "get the script that installs it",
            "wait" => "be told to wait and ask again",
            "unknown" => "be told that it is unknown, and go to its local disk",
            _ => "go to its local disk",
        };
        let script = render(Loader::Ipxe, &decision.script, &again(&config, Loader::Ipxe, claim));
        AdminResponse::json(&json!({ "would": would, "rule": rule, "because": because, "script": script }))
    }
}
