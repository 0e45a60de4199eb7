//! `farosctl leases`, `farosctl lease …`: who has which address.

use std::net::IpAddr;
use std::time::SystemTime;

use faros_common::admin::client::ClientError;
use faros_common::clock;
use faros_common::site::Mac;
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::cli::LeaseCommand;
use crate::daemons::{DHCPD, Daemons, query_value};
use crate::events::event::value_text;
use crate::exit::{Exit, Failure, advice};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, harmless, time};
use crate::session::Session;

/// A lease as dhcpd tells it; what is shown as JSON is dhcpd's own object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) address: Option<IpAddr>,
    pub(crate) mac: Option<Mac>,
    /// The node's name, or the name under which the site file or the machine itself knows it.
    pub(crate) name: Option<String>,
    /// `active`, `offered`, `ended`, `quarantined`.
    pub(crate) state: String,
    pub(crate) until: Option<SystemTime>,
    pub(crate) heard: Option<SystemTime>,
    whole: Value,
}

impl Serialize for Lease {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.whole.serialize(serializer)
    }
}

impl Lease {
    fn read(value: &Value) -> Self {
        let text = |keys: &[&str]| keys.iter().find_map(|key| value.get(key)?.as_str()).map(str::to_owned);
        let moment = |keys: &[&str]| text(keys).as_deref().and_then(time::parse);
        Self {
            address: text(&["address"]).and_then(|address| address.parse().ok()),
            mac: text(&["mac"]).and_then(|mac| mac.parse().ok()),
            name: text(&["node", "name", "host_name", "hostname"]).filter(|name| !name.is_empty()),
            state: text(&["state"]).unwrap_or_default(),
            until: moment(&["until", "expires", "ends"]),
            heard: moment(&["heard", "renewed", "since"]),
            whole: value.clone(),
        }
    }

    /// Everything that dhcpd says of it.
    pub(crate) fn value(&self) -> Value {
        self.whole.clone()
    }

    /// Whether the machine may use the address now.
    pub(crate) fn is_active(&self) -> bool {
        self.state == "active"
    }

    /// Whether the lease is of a machine with this identity.
    pub(crate) fn concerns(&self, machine: &crate::machine::Machine) -> bool {
        self.mac.is_some_and(|mac| machine.macs.contains(&mac))
            || self.address.is_some_and(|address| machine.addresses.contains(&address))
    }

    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name))
    }

    fn answers_to(&self, which: &str) -> bool {
        let mac = which.parse::<Mac>().ok();
        let address = which.parse::<IpAddr>().ok();
        (mac.is_some() && self.mac == mac)
            || (address.is_some() && self.address == address)
            || self.is_named(which)
    }
}

/// All leases that dhcpd keeps, by address.
pub(crate) async fn fetch(daemons: &Daemons) -> Result<Vec<Lease>, ClientError> {
    Ok(read_all(&daemons.get(DHCPD, "/leases").await?))
}

/// The leases in dhcpd's answer, by address.
pub(crate) fn read_all(answer: &Value) -> Vec<Lease> {
    let list = answer.get("leases").unwrap_or(answer).as_array();
    let mut leases: Vec<Lease> = list.into_iter().flatten().map(Lease::read).collect();
    leases.sort_by_key(|lease| lease.address);
    leases
}

pub(crate) async fn run(session: &mut Session, command: &LeaseCommand) -> Result<Exit, Failure> {
    match command {
        LeaseCommand::List => list(session).await,
        LeaseCommand::Show { which } => show(session, which).await,
        LeaseCommand::Release { which } => release(session, which).await,
    }
}

pub(crate) async fn list(session: &mut Session) -> Result<Exit, Failure> {
    let leases = all(session).await?;
    session.show(&LeaseList { now: clock::wall(), leases })?;
    Ok(Exit::Done)
}

async fn show(session: &mut Session, which: &str) -> Result<Exit, Failure> {
    let found = matching(session, which).await?;
    session.show(&Details(found))?;
    Ok(Exit::Done)
}

async fn release(session: &mut Session, which: &str) -> Result<Exit, Failure> {
    let found = matching(session, which).await?;
    let [Lease { address: Some(address), .. }] = found.as_slice() else {
        return Err(Failure::usage(format!(
            "{} has {} leases; name the address of the one to release",
            harmless(which),
            found.len()
        )));
    };
    let path = format!("/leases/{}/release", query_value(&address.to_string()));
    session.daemons.post(DHCPD, &path).await.map_err(|error| Failure::failed(advice(DHCPD, &error)))?;
    let text = format!("{address} is released\n");
    session.show(&Said { released: address.to_string(), text })?;
    Ok(Exit::Done)
}

async fn all(session: &mut Session) -> Result<Vec<Lease>, Failure> {
    fetch(&session.daemons).await.map_err(|error| Failure::failed(advice(DHCPD, &error)))
}

async fn matching(session: &mut Session, which: &str) -> Result<Vec<Lease>, Failure> {
    let found: Vec<Lease> = all(session).await?.into_iter().filter(|lease| lease.answers_to(which)).collect();
    if found.is_empty() {
        let which = harmless(which);
        return Err(Failure::failed(format!("there is no lease of {which}; farosctl leases lists them")));
    }
    Ok(found)
}

#[derive(Serialize)]
struct LeaseList {
    #[serde(skip)]
    now: SystemTime,
    leases: Vec<Lease>,
}

impl Human for LeaseList {
    fn human(&self, paint: Paint) -> String {
        if self.leases.is_empty() {
            return "no leases yet\n".to_owned();
        }
        let mut table = Table::new(["ADDRESS", "MAC", "NAME", "STATE", "ENDS", "HEARD"]);
        for lease in &self.leases {
            let tone = match lease.state.as_str() {
                "active" => Tone::Good,
                "quarantined" => Tone::Bad,
                _ => Tone::Faint,
            };
            table.row([
                lease.address.map(|address| address.to_string()).unwrap_or_default().into(),
                lease.mac.map(|mac| mac.to_string()).unwrap_or_default().into(),
                lease.name.as_deref().unwrap_or_default().into(),
                Cell::new(tone, &lease.state),
                lease.until.map(|until| time::until(self.now, until)).unwrap_or_default().into(),
                lease.heard.map(|heard| time::ago(self.now, heard)).unwrap_or_default().into(),
            ]);
        }
        table.render(paint)
    }
}

/// Every field that dhcpd tells about some leases.
#[derive(Serialize)]
struct Details(Vec<Lease>);

impl Human for Details {
    fn human(&self, paint: Paint) -> String {
        let mut text = String::new();
        for (index, lease) in self.0.iter().enumerate() {
            if index > 0 {
                text.push('\n');
            }
            text += &fields(&lease.whole, paint);
        }
        text
    }
}

/// An object as `key  value` lines, address and MAC first.
pub(crate) fn fields(object: &Value, paint: Paint) -> String {
    let Some(object) = object.as_object() else { return value_text(object) + "\n" };
    const FIRST: [&str; 3] = ["address", "mac", "node"];
    let width = object.keys().map(|key| key.chars().count()).max().unwrap_or(0);
    let first = FIRST.iter().filter_map(|key| object.get_key_value(*key));
    let rest = object.iter().filter(|(key, _)| !FIRST.contains(&key.as_str()));
    let mut text = String::new();
    for (key, value) in first.chain(rest).filter(|(_, value)| !value.is_null()) {
        let shown = match value {
            Value::String(text) => harmless(text),
            other => value_text(other),
        };
        text += &format!("{}  {shown}\n", paint.tone(Tone::Strong, &format!("{:<width$}", harmless(key))));
    }
    text
}

#[derive(Serialize)]
struct Said {
    released: String,
    #[serde(skip)]
    text: String,
}

impl Human for Said {
    fn human(&self, _: Paint) -> String {
        self.text.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    fn answer() -> Value {
        json!({ "leases": [
            { "address": "192.168.8.130", "mac": "52:54:00:aa:00:02", "state": "ended", "host_name": "laptop\u{7}",
              "until": "1970-01-01T00:10:00Z", "heard": "1970-01-01T00:00:00Z" },
            { "address": "192.168.8.11", "mac": "52:54:00:00:08:11", "node": "cp1", "state": "active",
              "until": "1970-01-01T01:16:40Z", "heard": "1970-01-01T00:16:30Z" },
        ] })
    }

    #[test]
    fn the_table_is_ordered_by_address() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let list = LeaseList { now, leases: read_all(&answer()) };
        assert_eq!(
            list.human(Paint::default()),
            "ADDRESS        MAC                NAME         STATE   ENDS       HEARD\n\
             192.168.8.11   52:54:00:00:08:11  cp1          active  in 1 h     10 s ago\n\
             192.168.8.130  52:54:00:aa:00:02  laptop\\u{7}  ended   6 min ago  16 min ago\n"
        );
    }

    #[test]
    fn a_lease_is_found_by_address_mac_and_name() {
        let leases = read_all(&answer());
        let found = |which: &str| leases.iter().filter(|lease| lease.answers_to(which)).count();
        assert_eq!(
            [found("192.168.8.11"), found("5254.0000.0811"), found("CP1"), found("cp"), found("")],
            [1, 1, 1, 0, 0]
        );
    }

    #[test]
    fn an_answer_of_another_shape_is_no_lease() {
        assert!(read_all(&json!({ "leases": 7 })).is_empty());
        assert!(read_all(&json!("x")).is_empty());
        assert_eq!(read_all(&json!([{}]))[0], Lease { whole: json!({}), ..Lease::default() });
    }
}
