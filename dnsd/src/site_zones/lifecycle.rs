//! When the bootstrap machine's names go, and when they come back: by what ignition-http knows of the nodes.
//!
//! ```text
//!             every control-plane node is installed, and nobody is being installed
//!   needed ─────────────────────────────────────────────────────────────────────────► retired
//!      ▲                                                                                  │
//!      └────────── a control-plane node or the bootstrap machine is armed again ──────────┘
//! ```
//!
//! What was decided last is kept in `bootstrap.json` in the state directory: a restart changes nothing, also while
//! ignition-http is away. Without any control-plane node, or without ignition-http, the names stay.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use faros_common::admin::client::socket_path;
use faros_common::events::{Event, Events};
use faros_common::tasks;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tracing::{error, info, warn};

use super::holder::Zones;
use super::peer::{self, Subject};

/// The name of the file that remembers the decision.
pub const FILE: &str = "bootstrap.json";

/// How far a node is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Its installation lies ahead or is under way.
    Installing,
    /// It is installed.
    Installed,
    /// Nothing is known of it, or it is held.
    Unknown,
}

impl Progress {
    /// The progress of a stage that ignition-http names.
    pub fn of_stage(stage: Option<&str>) -> Self {
        match stage {
            Some("armed" | "loader" | "kernel" | "ignition") => Self::Installing,
            Some("installed" | "disk") => Self::Installed,
            _ => Self::Unknown,
        }
    }
}

/// Whether the cluster needs its bootstrap machine, given how far the control plane's nodes and the bootstrap
/// machine are; `before` where that does not decide it.
pub fn needed(control_plane: &[Progress], bootstrap: &[Progress], before: bool) -> bool {
    let installing = |nodes: &[Progress]| nodes.contains(&Progress::Installing);
    if installing(control_plane) || installing(bootstrap) {
        return true;
    }
    let done = !control_plane.is_empty() && control_plane.iter().all(|node| *node == Progress::Installed);
    before && !done
}

/// What was decided last.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Memory {
    bootstrap: bool,
}

/// What was decided last by the state in `state_dir`; at first the machine is needed. A file that cannot be read is
/// reported, and counts as none.
pub fn remembered(state_dir: &Path) -> bool {
    let path = state_dir.join(FILE);
    let read =
        fs::read(&path).and_then(|text| serde_json::from_slice::<Memory>(&text).map_err(io::Error::other));
    match read {
        Ok(memory) => memory.bootstrap,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => {
            warn!(
                event = "bootstrap_state_unreadable", path = %path.display(), %error,
                "the bootstrap machine keeps its names until ignition-http tells that it may lose them"
            );
            true
        }
    }
}

fn remember(path: &Path, bootstrap: bool) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(&serde_json::to_vec(&Memory { bootstrap }).map_err(io::Error::other)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

/// Follows ignition-http, and gives and takes the bootstrap machine's names.
#[derive(Debug, Default)]
pub struct Lifecycle {
    connected: Mutex<bool>,
}

impl Lifecycle {
    /// Follows the ignition-http whose admin socket is below `run_dir`, for ever. `zones` were opened with what
    /// [`remembered`] said.
    pub async fn follow(
        self: Arc<Self>,
        zones: Arc<Zones>,
        events: Events,
        run_dir: &Path,
        state_dir: &Path,
    ) {
        let socket = socket_path(run_dir, "ignition-http");
        let follower = Follower {
            wanted: zones.bootstrap(),
            lifecycle: self,
            zones,
            events,
            path: state_dir.join(FILE),
        };
        peer::follow(socket, follower).await;
    }

    /// Our part of `GET /status`: whether ignition-http answers.
    pub fn status(&self) -> Value {
        json!({ "connected": *self.connected.lock().unwrap_or_else(PoisonError::into_inner) })
    }
}

struct Follower {
    lifecycle: Arc<Lifecycle>,
    zones: Arc<Zones>,
    events: Events,
    path: PathBuf,
    wanted: bool,
}

impl Subject for Follower {
    const DAEMON: &'static str = "ignition-http";
    const STATE: &'static str = "/nodes";

    fn on_state(&mut self, state: &Value, _now: Instant) -> Result<(), String> {
        let nodes = state.get("nodes").and_then(Value::as_array).ok_or("the answer has no list of nodes")?;
        let progress = |names: &[String]| -> Vec<Progress> {
            let of = |name: &String| {
                let node = nodes.iter().find(|node| node.get("name").and_then(Value::as_str) == Some(name));
                Progress::of_stage(node.and_then(|node| node.get("stage")?.as_str()))
            };
            names.iter().map(of).collect()
        };
        let settings = self.zones.settings();
        let (control_plane, bootstrap) = (progress(settings.control_plane()), progress(settings.bootstrap()));
        self.wanted = needed(&control_plane, &bootstrap, self.zones.bootstrap());
        Ok(())
    }

    fn on_event(&mut self, event: &Value, _now: Instant) -> bool {
        // What an event means for all nodes together is in the state.
        let id = event.get("event").and_then(Value::as_str).unwrap_or_default();
        id.starts_with("node_")
            || matches!(id, "script_served" | "kernel_served" | "ignition_served" | "reloaded")
    }

    fn deadline(&self) -> Option<Instant> {
        None
    }

    fn on_timeout(&mut self, _now: Instant) {}

    async fn apply(&mut self) {
        let needed = self.wanted;
        if self.zones.bootstrap() == needed {
            return;
        }
        let (zones, path) = (Arc::clone(&self.zones), self.path.clone());
        let applied = tokio::task::spawn_blocking(move || {
            tasks::contain("bootstrap names", || {
                // Names that come back must do so at once; names that go may do so once more after a restart.
                if let Err(error) = remember(&path, needed) {
                    warn!(
                        event = "bootstrap_state_not_saved", %error,
                        "a restart forgets whether the bootstrap machine has names; make room on the disk"
                    );
                }
                zones.set_bootstrap(needed)
            })
        });
        match applied.await {
            Ok(Some(Ok(()))) => {
                let (id, phrase) = if needed {
                    ("bootstrap_names_given", "the bootstrap machine has its names again")
                } else {
                    (
                        "bootstrap_names_gone",
                        "the control plane is installed: the bootstrap machine has no names any more",
                    )
                };
                info!(event = id, "{phrase}");
                for node in self.zones.settings().bootstrap() {
                    self.events.emit(Event::new(id).node(node.as_str()));
                }
            }
            Ok(Some(Err(fault))) => {
                error!(event = "bootstrap_names_refused", %fault, "the bootstrap machine's names clash with updates");
            }
            Ok(None) | Err(_) => {}
        }
    }

    fn connected(&mut self, connected: bool) {
        *self.lifecycle.connected.lock().unwrap_or_else(PoisonError::into_inner) = connected;
    }
}

#[cfg(test)]
mod tests {
    use super::Progress::{Installed, Installing, Unknown};
    use super::*;

    #[test]
    fn the_names_go_once_the_whole_control_plane_is_installed() {
        for (control_plane, bootstrap, before, after) in [
            (&[Installed, Installed, Installed][..], &[Unknown][..], true, false),
            (&[Installed, Installed, Installed], &[Installed], true, false),
            (&[Installed, Installed, Installed], &[], true, false),
            (&[Installed, Installed, Unknown], &[Installed], true, true),
            (&[Installed, Installing, Installed], &[Installed], true, true),
            // While it is being installed itself, it is needed.
            (&[Installed], &[Installing], true, true),
            // Nothing was ever installed by us: who knows.
            (&[Unknown, Unknown], &[Unknown], true, true),
            (&[], &[Unknown], true, true),
        ] {
            assert_eq!(needed(control_plane, bootstrap, before), after, "{control_plane:?} {bootstrap:?}");
        }
    }

    #[test]
    fn the_names_come_back_when_somebody_is_armed_again() {
        assert!(needed(&[Installed, Installing], &[Installed], false));
        assert!(needed(&[Installed, Installed], &[Installing], false));
        // A node added to the site file, not armed yet, brings nothing back; nor does one that is held.
        assert!(!needed(&[Installed, Unknown], &[Installed], false));
    }

    #[test]
    fn the_decision_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        assert!(remembered(directory.path()));
        remember(&directory.path().join(FILE), false).unwrap();
        assert!(!remembered(directory.path()));
        fs::write(directory.path().join(FILE), b"{").unwrap();
        assert!(remembered(directory.path()));
    }

    #[test]
    fn stages_are_ignition_https() {
        let stages = ["armed", "loader", "kernel", "ignition", "installed", "disk", "held", ""];
        let progress = stages.map(|stage| Progress::of_stage(Some(stage)));
        assert_eq!(
            progress,
            [Installing, Installing, Installing, Installing, Installed, Installed, Unknown, Unknown]
        );
        assert_eq!(Progress::of_stage(None), Unknown);
    }
}
