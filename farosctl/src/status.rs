//! `farosctl status` and `version`: which daemons are up and how they fare.

use std::time::Duration;

use faros_common::admin::client::ClientError;
use serde::Serialize;
use serde_json::Value;

use crate::exit::{Exit, Failure, advice};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, harmless, time};
use crate::session::Session;

/// Figures shown per daemon in the table; `-o json` has all.
const FIGURES_MAX: usize = 6;

/// How the site's daemons fare.
#[derive(Serialize)]
struct SiteStatus {
    /// Whether all that should run does so, on the present site file.
    healthy: bool,
    site_file: SiteFile,
    daemons: Vec<DaemonStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum SiteFile {
    Good,
    Refused,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct DaemonStatus {
    daemon: String,
    /// Whether the site file wants it here.
    wanted: bool,
    up: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The daemon's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Value>,
}

pub(crate) async fn run(session: &mut Session) -> Result<Exit, Failure> {
    let site = session.site_if_good();
    let wanted = session.daemons.list(site.as_ref());
    if wanted.is_empty() {
        return Err(Failure::failed(
            "no daemon is enabled in the site file and none has a socket; see --site and --run-dir",
        ));
    }
    let names: Vec<String> = wanted.iter().map(|daemon| daemon.name.clone()).collect();
    let answers = session.daemons.get_each(&names, "/status").await;
    let daemons: Vec<DaemonStatus> = wanted
        .iter()
        .zip(answers)
        .map(|(daemon, (_, answer))| DaemonStatus::of(&daemon.name, daemon.wanted, answer))
        .collect();
    let site_file = if site.is_some() { SiteFile::Good } else { SiteFile::Refused };
    let healthy = site.is_some() && daemons.iter().all(DaemonStatus::is_well);
    session.show(&SiteStatus { healthy, site_file, daemons })?;
    Ok(if healthy { Exit::Done } else { Exit::Degraded })
}

impl DaemonStatus {
    fn of(daemon: &str, wanted: bool, answer: Result<Value, ClientError>) -> Self {
        let (status, error) = match answer {
            Ok(status) => (Some(status), None),
            Err(error) => (None, Some(advice(daemon, &error))),
        };
        Self { daemon: daemon.to_owned(), wanted, up: status.is_some(), error, status }
    }

    /// One that is not wanted may be down, and a stale socket does no harm.
    fn is_well(&self) -> bool {
        (self.up || !self.wanted) && self.refused_reload().is_none() && self.handicaps().is_empty()
    }

    /// Why it serves less than it should, by its own account.
    fn handicaps(&self) -> Vec<String> {
        let Some(service) = self.field("service") else { return Vec::new() };
        let said = |key: &str| service.get(key).and_then(Value::as_str);
        let mut handicaps = Vec::new();
        if said("storage").is_some_and(|storage| storage != "healthy") {
            handicaps.push("leases cannot be written, so no new ones are given; see to the disk".to_owned());
        }
        if let Some(link) = said("link").filter(|link| *link != "up") {
            let interface = said("interface").unwrap_or("its interface");
            handicaps
                .push(format!("{interface} is {link}, so nothing arrives; see to the cable or the bridge"));
        }
        if let Some(failure) = said("journal_failure") {
            handicaps.push(format!("its state cannot be written: {failure}"));
        }
        let problems =
            service.get("problems").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        handicaps.extend(problems.iter().filter_map(Value::as_str).map(str::to_owned));
        handicaps
    }

    fn field(&self, name: &str) -> Option<&Value> {
        self.status.as_ref()?.get(name)
    }

    fn refused_reload(&self) -> Option<&str> {
        let reload = self.field("last_reload")?;
        (reload.get("state")?.as_str()? == "refused")
            .then(|| reload.get("reason").and_then(Value::as_str).unwrap_or("no reason given"))
    }

    fn state(&self) -> Cell {
        match (self.up, self.wanted) {
            (true, true) => Cell::new(Tone::Good, "up"),
            (true, false) => Cell::new(Tone::Warning, "up, not wanted"),
            (false, true) => Cell::new(Tone::Bad, "down"),
            (false, false) => Cell::new(Tone::Faint, "down, not wanted"),
        }
    }

    fn reload(&self) -> Cell {
        match self.field("last_reload").and_then(|reload| reload.get("state")).and_then(Value::as_str) {
            Some("refused") => Cell::new(Tone::Bad, "refused"),
            Some(state) => state.into(),
            None => "".into(),
        }
    }
}

impl Human for SiteStatus {
    fn human(&self, paint: Paint) -> String {
        let mut table = Table::new(["DAEMON", "STATE", "VERSION", "UP", "RELOAD", "FIGURES"]);
        for daemon in &self.daemons {
            let text = |name: &str| daemon.field(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let uptime = daemon.field("uptime_secs").and_then(Value::as_u64);
            table.row([
                daemon.daemon.as_str().into(),
                daemon.state(),
                text("version").into(),
                uptime.map(|secs| time::span(Duration::from_secs(secs))).unwrap_or_default().into(),
                daemon.reload(),
                daemon.field("service").map(figures).unwrap_or_default().into(),
            ]);
        }
        let mut text = table.render(paint);
        for trouble in self.troubles() {
            text.push('\n');
            for line in trouble.lines() {
                text += &format!("{}\n", paint.tone(Tone::Bad, &harmless(line)));
            }
        }
        text
    }
}

impl SiteStatus {
    fn troubles(&self) -> Vec<String> {
        let mut troubles = Vec::new();
        for daemon in &self.daemons {
            troubles.extend(daemon.error.clone().filter(|_| daemon.wanted));
            if let Some(reason) = daemon.refused_reload() {
                troubles.push(format!(
                    "{} runs on the old site file, because it refused the new one:\n{reason}",
                    daemon.daemon
                ));
            }
            let panics = daemon.field("panics").and_then(Value::as_u64).unwrap_or(0);
            if panics > 0 {
                troubles.push(format!(
                    "{} has contained {panics} of its own defects; please report them: journalctl -u faros-{}",
                    daemon.daemon, daemon.daemon
                ));
            }
            let handicaps = daemon.handicaps();
            troubles.extend(handicaps.into_iter().map(|handicap| format!("{}: {handicap}", daemon.daemon)));
        }
        troubles
    }
}

/// What operators look for first; a list counts by its length.
const FIGURES: [&str; 10] = [
    "leases",
    "pool.active",
    "pool.free",
    "unanswered",
    "transfers",
    "requests",
    "sent_files",
    "nodes",
    "unknown",
    "connections",
];

/// The usual figures of a daemon's own status: `leases=3`; of a daemon without them its first few numbers.
fn figures(service: &Value) -> String {
    let usual = FIGURES.iter().filter_map(|name| {
        let value = name.split('.').try_fold(service, |value, key| value.get(key))?;
        match value {
            Value::Number(number) => Some(format!("{name}={number}")),
            Value::Array(list) => Some(format!("{name}={}", list.len())),
            _ => None,
        }
    });
    let mut figures: Vec<String> = usual.collect();
    if figures.is_empty() {
        let all = service.as_object().into_iter().flatten().filter(|(_, value)| value.is_number());
        figures.extend(all.map(|(key, number)| format!("{key}={number}")));
    }
    figures.truncate(FIGURES_MAX);
    figures.join(" ")
}

/// What runs in which version.
#[derive(Serialize)]
struct Versions {
    farosctl: &'static str,
    daemons: Vec<Version>,
}

#[derive(Serialize)]
struct Version {
    daemon: String,
    version: Option<String>,
}

/// Of daemons that are down nothing is said: they have no version until they start.
pub(crate) async fn version(session: &mut Session) -> Result<Exit, Failure> {
    let names = session.daemons.names(None);
    let answers = session.daemons.get_each(&names, "/status").await;
    let daemons = answers
        .into_iter()
        .filter_map(|(daemon, answer)| {
            let version = answer.ok()?.get("version").and_then(Value::as_str).map(str::to_owned);
            Some(Version { daemon: daemon.to_owned(), version })
        })
        .collect();
    session.show(&Versions { farosctl: env!("CARGO_PKG_VERSION"), daemons })?;
    Ok(Exit::Done)
}

impl Human for Versions {
    fn human(&self, _: Paint) -> String {
        let mut text = format!("farosctl {}\n", self.farosctl);
        for daemon in &self.daemons {
            let version = daemon.version.as_deref().unwrap_or("of unknown version");
            text += &format!("{} {}\n", harmless(&daemon.daemon), harmless(version));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;

    fn up(daemon: &str, last_reload: &Value) -> DaemonStatus {
        let status = json!({
            "daemon": daemon, "version": "0.1.0", "uptime_secs": 3700, "last_reload": last_reload, "panics": 0,
            "service": { "pool": { "active": 3, "free": 120, "size": 123 }, "unanswered": [1], "link": "up" },
        });
        DaemonStatus::of(daemon, true, Ok(status))
    }

    fn down(daemon: &str, wanted: bool) -> DaemonStatus {
        let source = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        DaemonStatus::of(
            daemon,
            wanted,
            Err(ClientError::Connect { socket: PathBuf::from("/run/x.sock"), source }),
        )
    }

    #[test]
    fn the_table_shows_who_is_down_and_what_to_do() {
        let status = SiteStatus {
            healthy: false,
            site_file: SiteFile::Good,
            daemons: vec![up("dhcpd", &Value::Null), down("tftpd", true), down("stale", false)],
        };
        assert_eq!(
            status.human(Paint::default()),
            "DAEMON  STATE             VERSION  UP        FIGURES\n\
             dhcpd   up                0.1.0    1 h 1 min  pool.active=3 pool.free=120 unanswered=1\n\
             tftpd   down              -        -         -\n\
             stale   down, not wanted  -        -         -\n\
             \n\
             tftpd does not answer at /run/x.sock (connection refused); start it with: systemctl start faros-tftpd\n"
                .replace("UP        FIG", "UP         FIG")
                .replace("-        -         -", "-        -          -")
        );
    }

    #[test]
    fn a_refused_reload_is_not_well() {
        let refused = up("dhcpd", &json!({ "state": "refused", "reason": "site.toml:3:1: error: lan: odd" }));
        assert!(!refused.is_well());
        assert!(up("dhcpd", &json!({ "state": "taken" })).is_well());
        for handicap in [
            json!({ "link": "missing" }),
            json!({ "storage": "failed" }),
            json!({ "journal_failure": "EIO" }),
            json!({ "problems": ["the keys are sealed"] }),
        ] {
            let status = DaemonStatus::of("dhcpd", true, Ok(json!({ "service": handicap })));
            assert!(!status.is_well() && status.handicaps().len() == 1, "{status:?}");
        }
        assert!(!down("dhcpd", true).is_well());
        assert!(down("dhcpd", false).is_well());
        let status = SiteStatus { healthy: false, site_file: SiteFile::Good, daemons: vec![refused] };
        let text = status.human(Paint::default());
        assert!(text.contains("runs on the old site file") && text.contains("site.toml:3:1"), "{text}");
    }
}
