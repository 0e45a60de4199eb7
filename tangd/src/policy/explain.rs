//! `GET /explain`: whether a machine would be let through, and which rule decides. Changes nothing.

use std::net::IpAddr;

use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::site::Mac;
use hyper::StatusCode;
use serde_json::json;

use super::identity::{Client, Machine, Standing};
use super::{Config, Moment, Policy, Verdict};

impl Policy {
    /// Answers `?node=`, `?mac=` and `?address=` with what a recovery of that machine would get now.
    pub async fn explain(&self, request: &AdminRequest) -> AdminResponse {
        let config = self.config.load_full();
        let mut because = Vec::new();
        let asked = match Asked::read(&config, request) {
            Ok(asked) => asked,
            Err(refusal) => return refusal,
        };
        let client = match asked.address {
            Some(address) => {
                let client = self.look_up(address.to_canonical()).await;
                because.extend(client.mac.map(|card| format!("the card {card} is behind {address}")));
                client
            }
            None => asked.presumed(&config, &mut because),
        };
        because.push(match (&client.node, &client.standing) {
            (Some(node), Standing::Reserved) => format!("{} is reserved for {node}", client.address),
            (Some(node), Standing::Leased) => format!("it has the lease of {node}"),
            (Some(node), Standing::Card) => format!("it has a card of {node}, and none of its addresses"),
            (_, Standing::Contradicted(why)) => why.clone(),
            (_, Standing::Bastion) => "it is this bastion itself".to_owned(),
            (_, Standing::Unclear) => "dhcpd does not say whose the address is".to_owned(),
            (Some(node), Standing::Unknown) => format!("it may be {node}"),
            (None, _) => "it is no node of the site file".to_owned(),
        });
        let verdict = self.gate().judge(&config.rules, &client, Moment::now());
        because.push(verdict.reason().to_owned());
        let would = match &verdict {
            Verdict::Allow { .. } => "recovers its key: the disk is unlocked".to_owned(),
            Verdict::Hold { .. } => "waits for an operator (503)".to_owned(),
            Verdict::Refuse { status, .. } => format!("is refused ({status}): the disk stays locked"),
        };
        AdminResponse::json(&json!({
            "would": would,
            "rule": verdict.rule().name(),
            "because": because,
            "status": verdict.status(),
            "node": client.node,
        }))
    }
}

/// The machine that the question is about.
struct Asked<'c> {
    machine: Option<&'c Machine>,
    address: Option<IpAddr>,
    mac: Option<Mac>,
}

impl<'c> Asked<'c> {
    fn read(config: &'c Config, request: &AdminRequest) -> Result<Self, AdminResponse> {
        let unreadable = |what: &str| {
            let message = format!("{what} cannot be read: write it as in the site file");
            AdminResponse::error(StatusCode::BAD_REQUEST, &message)
        };
        let mut asked = Self { machine: None, address: None, mac: None };
        if let Some(name) = request.query("node") {
            let machine = config.roster.by_name(name).ok_or_else(|| {
                AdminResponse::error(StatusCode::NOT_FOUND, &format!("there is no node {name}"))
            })?;
            asked.machine = Some(machine);
        }
        if let Some(text) = request.query("mac") {
            let mac = text.parse::<Mac>().map_err(|_| unreadable("mac"))?;
            asked.mac = Some(mac);
            asked.machine = asked.machine.or(config.roster.by_mac(mac));
        }
        if let Some(text) = request.query("address") {
            asked.address = Some(text.parse::<IpAddr>().map_err(|_| unreadable("address"))?);
        }
        asked.address =
            asked.address.or(asked.machine.and_then(|machine| machine.addresses.first().copied()));
        Ok(asked)
    }

    /// A client without an address: judged as if it had a lease, if it is a node.
    fn presumed(&self, config: &Config, because: &mut Vec<String>) -> Client {
        let lan = config.rules.served.first().map_or(IpAddr::from([0, 0, 0, 0]), ipnet::IpNet::addr);
        let stranger = Client::stranger(lan);
        let Some(machine) = self.machine else { return Client { mac: self.mac, ..stranger } };
        because.push(format!(
            "{} has no reserved address; with a lease of dhcpd it would be known",
            machine.name
        ));
        Client {
            mac: self.mac.or(machine.macs.first().copied()),
            node: Some(machine.name.clone()),
            standing: Standing::Leased,
            claims: vec![machine.name.clone()],
            ..stranger
        }
    }
}
