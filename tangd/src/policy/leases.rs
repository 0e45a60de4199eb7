//! Whose a dynamic address is, as dhcpd knows it.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use faros_common::admin::client::{self, ClientError};
use faros_common::clock;
use faros_common::site::Mac;
use hyper::StatusCode;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::identity::Lease;

/// How long dhcpd may take. It answers from memory; whoever waits for a disk must not wait for it.
pub(super) const PATIENCE: Duration = Duration::from_millis(50);
/// For how long a dhcpd that did not answer is not asked again: many clients must not each wait for it in vain.
pub(super) const AWAY: Duration = Duration::from_secs(1);
/// Questions to dhcpd under way at once; the others wait, and are answered by its silence in the end.
const QUESTIONS_MAX: usize = 16;

/// The leases at this bastion.
#[derive(Debug)]
pub struct Leases {
    socket: PathBuf,
    questions: Semaphore,
    away_since: Mutex<Option<Instant>>,
}

impl Leases {
    /// The leases of the dhcpd whose admin socket is below `run_dir`.
    #[must_use]
    pub fn new(run_dir: &Path) -> Self {
        let socket = client::socket_path(run_dir, "dhcpd");
        Self { socket, questions: Semaphore::new(QUESTIONS_MAX), away_since: Mutex::default() }
    }

    /// Who has `address`.
    pub async fn holder(&self, address: IpAddr) -> Lease {
        if self.is_away() {
            return Lease::Unavailable;
        }
        match tokio::time::timeout(PATIENCE, self.ask(address)).await {
            Ok(Ok(value)) => lease(&value),
            Ok(Err(ClientError::Refused(StatusCode::NOT_FOUND, _))) => Lease::None,
            Ok(Err(error)) => self.away(&error.to_string()),
            Err(_) => self.away("it does not answer in time"),
        }
    }

    async fn ask(&self, address: IpAddr) -> Result<Value, ClientError> {
        let _question = self.questions.acquire().await.map_err(|_| ClientError::TimedOut)?;
        client::get(&self.socket, &format!("/leases/{address}")).await
    }

    fn away(&self, error: &str) -> Lease {
        tracing::debug!(event = "dhcpd_unavailable", error, "leases are not known");
        *self.away_since.lock().unwrap_or_else(PoisonError::into_inner) = Some(clock::now());
        Lease::Unavailable
    }

    fn is_away(&self) -> bool {
        let away = self.away_since.lock().unwrap_or_else(PoisonError::into_inner);
        away.is_some_and(|since| clock::now().saturating_duration_since(since) < AWAY)
    }
}

/// The lease as dhcpd describes it, if it is in force.
fn lease(value: &Value) -> Lease {
    let text = |key| value.get(key).and_then(Value::as_str).map(str::to_owned);
    if text("state").as_deref() != Some("active") {
        return Lease::None;
    }
    let mac = text("mac").and_then(|mac| mac.parse::<Mac>().ok());
    Lease::Of { mac, node: text("node"), name: text("name").or_else(|| text("host_name")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_a_lease_in_force_counts() {
        let value = |state: &str| json!({ "address": "192.0.2.7", "state": state, "mac": "02:00:00:00:00:01", "node": "w1", "name": "w1" });
        let held = Lease::Of {
            mac: "02:00:00:00:00:01".parse().ok(),
            node: Some("w1".to_owned()),
            name: Some("w1".to_owned()),
        };
        assert_eq!(lease(&value("active")), held);
        for state in ["offered", "ended", "quarantined"] {
            assert_eq!(lease(&value(state)), Lease::None);
        }
        assert_eq!(lease(&json!([])), Lease::None);
    }

    #[tokio::test]
    async fn without_dhcpd_nothing_is_known_and_nobody_waits() {
        let directory = tempfile::tempdir().unwrap();
        let leases = Leases::new(directory.path());
        assert_eq!(leases.holder(IpAddr::from([192, 0, 2, 1])).await, Lease::Unavailable);
        assert!(leases.is_away());
    }

    #[tokio::test]
    async fn a_dhcpd_that_hangs_costs_its_patience_once() {
        let directory = tempfile::tempdir().unwrap();
        let _silent = tokio::net::UnixListener::bind(directory.path().join("dhcpd.sock")).unwrap();
        let leases = Leases::new(directory.path());
        assert_eq!(leases.holder(IpAddr::from([192, 0, 2, 1])).await, Lease::Unavailable);
        assert!(leases.is_away(), "the next client is not made to wait");
    }
}
