//! The daemons of the site and how they are asked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use faros_common::admin::client::{self, ClientError};
use faros_common::site::Site;
use faros_common::tasks;
use serde_json::Value;

/// How long a daemon may take over a question about its state. It answers from memory; a daemon that
/// cannot do so in this time is as good as down for whoever looks.
const ANSWER_TIME: Duration = Duration::from_secs(3);
/// How long a daemon may take over a change, which may have to reach the disk or wait for a reload.
const CHANGE_TIME: Duration = Duration::from_secs(15);
/// Socket files looked at in the run directory; further ones are ignored.
const SOCKETS_MAX: usize = 64;

pub(crate) const DHCPD: &str = "dhcpd";
pub(crate) const TFTPD: &str = "tftpd";
pub(crate) const IGNITION_HTTP: &str = "ignition-http";
pub(crate) const DNSD: &str = "dnsd";
pub(crate) const TANGD: &str = "tangd";
pub(crate) const LB: &str = "lb";

/// Whether a site file wants a daemon here.
type Enabled = fn(&Site) -> bool;

/// Every daemon that a site file can ask for, in the order in which a booting node meets them.
const KNOWN: &[(&str, Enabled)] = &[
    (DHCPD, |site| site.dhcp.enable),
    (TFTPD, |site| site.tftp.enable),
    (IGNITION_HTTP, |site| site.http.enable),
    (DNSD, |site| site.dns.enable),
    (TANGD, |site| site.tang.enable),
    (LB, |site| site.lb.enable),
];

/// A daemon that is or should be here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Daemon {
    pub(crate) name: String,
    /// Whether the site file wants it here.
    pub(crate) wanted: bool,
}

/// The daemons behind one run directory.
#[derive(Clone, Debug)]
pub(crate) struct Daemons {
    run_dir: PathBuf,
}

impl Daemons {
    pub(crate) fn new(run_dir: &Path) -> Self {
        Self { run_dir: run_dir.to_owned() }
    }

    pub(crate) fn socket(&self, daemon: &str) -> PathBuf {
        client::socket_path(&self.run_dir, daemon)
    }

    /// Those that `site` wants, and those that have a socket anyway. Without a site every socket counts
    /// as wanted, because nothing says otherwise.
    pub(crate) fn list(&self, site: Option<&Site>) -> Vec<Daemon> {
        let sockets = self.sockets();
        let mut list: Vec<Daemon> = KNOWN
            .iter()
            .map(|(name, enabled)| {
                let wanted = site.map_or_else(|| sockets.iter().any(|socket| socket == name), enabled);
                Daemon { name: (*name).to_owned(), wanted }
            })
            .filter(|daemon| daemon.wanted || sockets.contains(&daemon.name))
            .collect();
        let strangers = sockets.into_iter().filter(|name| KNOWN.iter().all(|(known, _)| known != name));
        list.extend(strangers.map(|name| Daemon { name, wanted: site.is_none() }));
        list
    }

    /// The names of [`Daemons::list`].
    pub(crate) fn names(&self, site: Option<&Site>) -> Vec<String> {
        self.list(site).into_iter().map(|daemon| daemon.name).collect()
    }

    /// Whether `name` is a daemon that could be here.
    pub(crate) fn is_known(&self, name: &str) -> bool {
        KNOWN.iter().any(|(known, _)| *known == name) || self.sockets().iter().any(|socket| socket == name)
    }

    fn sockets(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(&self.run_dir) else { return Vec::new() };
        let mut names: Vec<String> = entries
            .flatten()
            .filter_map(|entry| Some(entry.file_name().to_str()?.strip_suffix(".sock")?.to_owned()))
            .filter(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
            .take(SOCKETS_MAX)
            .collect();
        names.sort();
        names
    }

    /// `GET path_and_query` of one daemon.
    pub(crate) async fn get(&self, daemon: &str, path_and_query: &str) -> Result<Value, ClientError> {
        limited(ANSWER_TIME, client::get(&self.socket(daemon), path_and_query)).await
    }

    /// `GET path_and_query` of one daemon, as text.
    pub(crate) async fn get_text(&self, daemon: &str, path_and_query: &str) -> Result<String, ClientError> {
        limited(ANSWER_TIME, client::get_text(&self.socket(daemon), path_and_query)).await
    }

    /// `POST path_and_query` to one daemon.
    pub(crate) async fn post(&self, daemon: &str, path_and_query: &str) -> Result<Value, ClientError> {
        limited(CHANGE_TIME, client::post(&self.socket(daemon), path_and_query, Bytes::new())).await
    }

    /// `POST path_and_query` with a body to one daemon.
    pub(crate) async fn post_body(
        &self,
        daemon: &str,
        path_and_query: &str,
        body: Bytes,
    ) -> Result<Value, ClientError> {
        limited(CHANGE_TIME, client::post(&self.socket(daemon), path_and_query, body)).await
    }

    /// `GET path_and_query` of several at once, answers in the order of `daemons`.
    pub(crate) async fn get_each<'d>(
        &self,
        daemons: &'d [String],
        path_and_query: &str,
    ) -> Vec<(&'d str, Result<Value, ClientError>)> {
        let asked: Vec<_> = daemons
            .iter()
            .map(|name| {
                let (this, daemon, path) = (self.clone(), name.clone(), path_and_query.to_owned());
                (name.as_str(), tasks::spawn("ask", async move { this.get(&daemon, &path).await }))
            })
            .collect();
        let mut answers = Vec::with_capacity(asked.len());
        for (name, task) in asked {
            // A task that is gone has panicked; its answer is as missing as that of a silent daemon.
            answers.push((name, task.await.ok().flatten().unwrap_or(Err(ClientError::TimedOut))));
        }
        answers
    }
}

async fn limited<T>(
    time: Duration,
    answer: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(time, answer).await.unwrap_or(Err(ClientError::TimedOut))
}

/// `text` as a value in a query.
pub(crate) fn query_value(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_without_a_site_file_are_wanted() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["tftpd.sock", "zebra.sock", "UPPER.sock", "note.txt", ".sock"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let wanted = |name: &str| Daemon { name: name.to_owned(), wanted: true };
        assert_eq!(Daemons::new(dir.path()).list(None), [wanted("tftpd"), wanted("zebra")]);
        assert_eq!(Daemons::new(&dir.path().join("missing")).list(None), []);
    }

    #[test]
    fn values_survive_a_query() {
        let text = "a b&c=d/é:1%";
        let query = faros_common::admin::parse_query(&format!("x={}", query_value(text)));
        assert_eq!(query["x"], text);
    }
}
