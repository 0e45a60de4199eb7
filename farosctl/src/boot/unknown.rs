//! Machines that were seen and stand nowhere in the site file: most often a node whose MAC was typed wrong.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::SystemTime;

use faros_common::clock;
use faros_common::site::{Mac, Site};
use serde::Serialize;
use serde_json::Value;

use crate::daemons::{DHCPD, IGNITION_HTTP};
use crate::events::event::Event;
use crate::events::stream;
use crate::exit::{Exit, Failure, advice};
use crate::leases::{self, Lease};
use crate::machine::known_macs;
use crate::output::table::Table;
use crate::output::{Human, Paint, Tone, harmless, time};
use crate::session::Session;

/// So many wrong digits are a slip of the finger (or two digits crosswise); more are another machine.
const MISPRINT_DIGITS_MAX: u32 = 2;

#[derive(Serialize)]
struct Strangers {
    #[serde(skip)]
    now: SystemTime,
    machines: Vec<Stranger>,
}

#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Stranger {
    mac: String,
    address: Option<IpAddr>,
    /// What it calls itself.
    host_name: Option<String>,
    last_event: Option<String>,
    last_seen: Option<String>,
    /// A node whose MAC differs from this one by a digit or two.
    resembles: Option<String>,
    #[serde(skip)]
    seen: Option<SystemTime>,
}

pub(super) async fn run(session: &mut Session) -> Result<Exit, Failure> {
    let site = session.site()?;
    let wanted = session.daemons.list(Some(&site));
    let names: Vec<String> = wanted.iter().map(|daemon| daemon.name.clone()).collect();
    let mut exit = Exit::Done;
    let leases = match leases::fetch(&session.daemons).await {
        Ok(leases) => leases,
        Err(error) => {
            session.note(&advice(DHCPD, &error));
            exit = Exit::Degraded;
            Vec::new()
        }
    };
    let mut events = Vec::new();
    for (daemon, answer) in stream::past(&session.daemons, &names, 0).await {
        match answer {
            Ok(all) => events.extend(all),
            Err(error) => {
                if daemon != DHCPD {
                    session.note(&advice(&daemon, &error));
                }
                exit = Exit::Degraded;
            }
        }
    }
    stream::sort_by_time(&mut events);
    // Asked for a script, perhaps longer ago than events reach.
    let asked = session.daemons.get(IGNITION_HTTP, "/unknown").await.unwrap_or_default();
    let machines = strangers(&site, &leases, &asked, &events);
    session.show(&Strangers { now: clock::wall(), machines })?;
    Ok(exit)
}

/// Every card in leases, in what ignition-http remembers, and in events, that the site file does not name, the latest seen first.
fn strangers(site: &Site, leases: &[Lease], asked: &Value, events: &[Event]) -> Vec<Stranger> {
    let known = known_macs(site);
    let is_strange = |mac: &Mac| !known.contains(mac) && !site.dhcp.ignore.contains(mac);
    let mut found: BTreeMap<Mac, Stranger> = BTreeMap::new();
    for lease in leases {
        let Some(mac) = lease.mac.filter(is_strange) else { continue };
        let stranger = found.entry(mac).or_default();
        stranger.address = lease.address;
        stranger.host_name.clone_from(&lease.name);
        stranger.seen = lease.heard;
    }
    for machine in asked.get("machines").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| machine.get(key).and_then(Value::as_str);
        let Some(mac) = text("mac").and_then(|mac| mac.parse().ok()).filter(is_strange) else { continue };
        let stranger = found.entry(mac).or_default();
        stranger.address = stranger.address.or(text("address").and_then(|address| address.parse().ok()));
        stranger.last_event = Some("machine_unknown".to_owned());
        stranger.seen = text("last").and_then(time::parse).max(stranger.seen);
    }
    for event in events {
        // A machine may be known by its UUID while its card is new.
        let Some(mac) = event.mac.filter(is_strange).filter(|_| event.node.is_none()) else { continue };
        let stranger = found.entry(mac).or_default();
        stranger.address = event.address.or(stranger.address);
        stranger.last_event = Some(event.id.clone());
        stranger.seen = event.time.max(stranger.seen);
    }
    let mut machines: Vec<Stranger> = found
        .into_iter()
        .map(|(mac, stranger)| Stranger {
            mac: mac.to_string(),
            resembles: resembling(site, mac),
            last_seen: stranger.seen.map(faros_common::events::rfc3339),
            ..stranger
        })
        .collect();
    machines.sort_by_key(|machine| std::cmp::Reverse(machine.seen));
    machines
}

/// The node whose card is nearest to `mac`, if it could be a misprint of it.
fn resembling(site: &Site, mac: Mac) -> Option<String> {
    let distances = site.nodes.iter().flat_map(|node| {
        site.macs_of(node).into_iter().map(move |own| (differing_digits(own, mac), &node.name))
    });
    distances.filter(|(digits, _)| *digits <= MISPRINT_DIGITS_MAX).min().map(|(_, name)| name.clone())
}

fn differing_digits(a: Mac, b: Mac) -> u32 {
    a.0.iter().zip(b.0).map(|(a, b)| u32::from((a ^ b) & 0xf0 != 0) + u32::from((a ^ b) & 0x0f != 0)).sum()
}

impl Human for Strangers {
    fn human(&self, paint: Paint) -> String {
        if self.machines.is_empty() {
            return "every machine that was seen stands in the site file\n".to_owned();
        }
        let mut table = Table::new(["MAC", "ADDRESS", "CALLS ITSELF", "LAST EVENT", "SEEN", "LOOKS LIKE"]);
        for machine in &self.machines {
            table.row([
                machine.mac.as_str().into(),
                machine.address.map(|address| address.to_string()).unwrap_or_default().into(),
                machine.host_name.as_deref().unwrap_or_default().into(),
                machine.last_event.as_deref().unwrap_or_default().into(),
                machine.seen.map(|seen| time::ago(self.now, seen)).unwrap_or_default().into(),
                machine.resembles.as_ref().map(|node| format!("{node}?")).unwrap_or_default().into(),
            ]);
        }
        let mut text = table.render(paint);
        text += &format!(
            "\n{}\n",
            paint.tone(Tone::Faint, "To adopt one, put it into the site file and run farosctl reload:")
        );
        let name = self.machines[0].host_name.as_deref().map_or_else(|| "NAME".to_owned(), harmless);
        text + &format!(
            "[[node]]\nname = \"{name}\"\nrole = \"worker\"\nmac  = \"{}\"\n",
            self.machines[0].mac
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[test]
    fn strangers_are_listed_and_misprints_recognised() {
        let text = r#"
            version = 1
            [cluster]
            name = "edge"
            domain = "example.com"
            [lan]
            interface = "lan0"
            address = "192.168.8.1/24"
            [dhcp]
            ignore = ["52:54:00:00:00:99"]
            [[node]]
            name = "cp1"
            role = "control-plane"
            mac = "52:54:00:00:08:11"
            address = "192.168.8.11"
        "#;
        let site = faros_common::site::parse(text, Path::new("site.toml")).unwrap().site;
        let leases = leases::read_all(&json!([
            { "address": "192.168.8.11", "mac": "52:54:00:00:08:11" },
            { "address": "192.168.8.130", "mac": "52:54:00:aa:bb:cc", "host_name": "laptop", "heard": "1970-01-01T00:00:09Z" },
        ]));
        let event = |mac: &str, time: u8| {
            let line = format!(
                r#"{{"seq":1,"time":"1970-01-01T00:00:{time:02}Z","daemon":"dhcpd","event":"dhcp_unanswered","mac":"{mac}"}}"#
            );
            Event::parse(&line).unwrap()
        };
        let events =
            [event("52:54:00:00:08:12", 20), event("52:54:00:00:00:99", 30), event("52:54:00:00:08:11", 40)];
        let asked = json!({ "machines": [{ "mac": "52:54:00:cc:00:01", "address": "192.168.8.131" }, 7, { "mac": null }] });
        let found = strangers(&site, &leases, &asked, &events);
        let seen: Vec<_> =
            found.iter().map(|machine| (machine.mac.as_str(), machine.resembles.as_deref())).collect();
        assert_eq!(
            seen,
            [("52:54:00:00:08:12", Some("cp1")), ("52:54:00:aa:bb:cc", None), ("52:54:00:cc:00:01", None)]
        );
        assert_eq!(found[1].host_name.as_deref(), Some("laptop"));
    }
}
