//! Whose a dynamic address is, as dhcpd knows it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use faros_common::admin::client;
use faros_common::clock;
use faros_common::site::Mac;
use serde_json::Value;
use tokio::sync::Mutex;

use crate::protocol::identity::Lease;

/// For how long an answer of dhcpd is good.
pub const FRESH: Duration = Duration::from_secs(1);
/// How long dhcpd may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The leases at this bastion.
#[derive(Debug)]
pub struct Leases {
    socket: PathBuf,
    known: Mutex<Option<(Instant, HashMap<IpAddr, Lease>)>>,
}

impl Leases {
    /// The leases of the dhcpd whose admin socket is below `run_dir`.
    pub fn new(run_dir: &Path) -> Self {
        Self { socket: client::socket_path(run_dir, "dhcpd"), known: Mutex::default() }
    }

    /// Who has `address`.
    pub async fn holder(&self, address: IpAddr) -> Lease {
        // Held while asking: those who come meanwhile wait for the same answer.
        let mut known = self.known.lock().await;
        let now = clock::now();
        if known.as_ref().is_none_or(|(at, _)| now.duration_since(*at) >= FRESH) {
            let answer = tokio::time::timeout(PATIENCE, client::get(&self.socket, "/leases")).await;
            *known = match answer {
                Ok(Ok(value)) => Some((now, holders(&value))),
                Ok(Err(error)) => {
                    tracing::debug!(event = "dhcpd_unavailable", %error, "leases are not known");
                    None
                }
                Err(_) => None,
            };
        }
        match &*known {
            None => Lease::Unavailable,
            Some((_, holders)) => holders.get(&address).cloned().unwrap_or(Lease::None),
        }
    }
}

/// The clients by address, of leases that are in force: an array, or an object with the array `leases`.
fn holders(value: &Value) -> HashMap<IpAddr, Lease> {
    let leases = value.get("leases").unwrap_or(value).as_array().map(Vec::as_slice).unwrap_or_default();
    let held = leases.iter().filter(|lease| {
        let state = lease.get("state").and_then(Value::as_str);
        state == Some("active")
    });
    held.filter_map(|lease| {
        let text = |key| lease.get(key).and_then(Value::as_str);
        let mac = text("mac").and_then(|mac| mac.parse::<Mac>().ok());
        Some((text("address")?.parse().ok()?, Lease::Of { mac, node: text("node").map(str::to_owned) }))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_leases_in_force_count() {
        let lease = |last: u8, state: &str, node: Option<&str>| {
            let address = format!("192.0.2.{last}");
            json!({ "address": address, "mac": "02:00:00:00:00:01", "state": state, "node": node })
        };
        let leases = [
            lease(1, "active", None),
            lease(2, "ended", None),
            lease(3, "offered", None),
            lease(4, "active", Some("cp1")),
        ];
        let held = holders(&json!({ "leases": leases, "more": 1 }));
        let mac: Option<Mac> = "02:00:00:00:00:01".parse().ok();
        let expected = [
            (IpAddr::from([192, 0, 2, 1]), Lease::Of { mac, node: None }),
            (IpAddr::from([192, 0, 2, 4]), Lease::Of { mac, node: Some("cp1".to_owned()) }),
        ];
        assert_eq!(held, HashMap::from(expected));
        assert!(holders(&json!("x")).is_empty());
        assert!(holders(&json!({ "leases": [{ "address": "x", "state": "active" }] })).is_empty());
    }

    #[tokio::test]
    async fn without_dhcpd_nothing_is_decided() {
        let directory = tempfile::tempdir().unwrap();
        let leases = Leases::new(directory.path());
        assert_eq!(leases.holder(IpAddr::from([192, 0, 2, 1])).await, Lease::Unavailable);
    }
}
