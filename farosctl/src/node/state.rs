//! Nodes as ignition-http knows them: how far each is on its way from being armed to its disk.

use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use faros_common::admin::client::ClientError;
use serde::Serialize;
use serde_json::Value;

use crate::daemons::{Daemons, IGNITION_HTTP};
use crate::output::{Tone, time};

/// The stages in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Stage {
    /// Not armed: network boots go to the disk
    Held,
    /// The next network boot installs
    Armed,
    /// It has fetched the installation's script
    Loader,
    /// It has fetched the kernel
    Kernel,
    /// It has asked for its Ignition
    Ignition,
    /// The installation has ended
    Installed,
    /// It has been sent to its disk since
    Disk,
}

impl Stage {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        <Self as ValueEnum>::from_str(name, true).ok()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Armed => "armed",
            Self::Loader => "loader",
            Self::Kernel => "kernel",
            Self::Ignition => "ignition",
            Self::Installed => "installed",
            Self::Disk => "disk",
        }
    }

    pub(crate) fn tone(self) -> Tone {
        match self {
            Self::Installed | Self::Disk => Tone::Good,
            Self::Armed | Self::Loader | Self::Kernel | Self::Ignition => Tone::Warning,
            Self::Held => Tone::Plain,
        }
    }
}

/// What ignition-http says of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NodeState {
    pub(crate) name: String,
    pub(crate) stage: Option<Stage>,
    /// When the stage was reached.
    pub(crate) since: Option<SystemTime>,
    /// The whole object.
    pub(crate) whole: Value,
}

impl NodeState {
    pub(crate) fn read(value: &Value) -> Self {
        let text = |keys: &[&str]| keys.iter().find_map(|key| value.get(*key)?.as_str());
        let stage = text(&["state", "stage"]);
        Self {
            name: text(&["name", "node"]).unwrap_or_default().to_owned(),
            stage: stage.and_then(Stage::parse),
            since: value
                .get("since")
                .and_then(moment)
                .or_else(|| value.get("times")?.get(stage?).and_then(moment)),
            whole: value.clone(),
        }
    }
}

/// A time as RFC 3339 text or in milliseconds since 1970.
fn moment(value: &Value) -> Option<SystemTime> {
    match value {
        Value::String(text) => time::parse(text),
        Value::Number(millis) => SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis.as_u64()?)),
        _ => None,
    }
}

/// All nodes that ignition-http knows.
pub(crate) async fn fetch(daemons: &Daemons) -> Result<Vec<NodeState>, ClientError> {
    Ok(read_all(&daemons.get(IGNITION_HTTP, "/nodes").await?))
}

pub(crate) fn read_all(answer: &Value) -> Vec<NodeState> {
    let list = answer.get("nodes").unwrap_or(answer).as_array();
    list.into_iter().flatten().map(NodeState::read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn states_are_read_with_their_time() {
        let nodes = read_all(&json!({ "nodes": [
            { "name": "cp1", "state": "kernel", "since": "1970-01-01T00:00:05Z" },
            { "name": "cp2", "state": "disk", "times": { "disk": 7000 } },
            { "name": "cp3", "state": "flying" },
        ] }));
        let at = |secs| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(secs));
        assert_eq!((nodes[0].stage, nodes[0].since), (Some(Stage::Kernel), at(5)));
        assert_eq!((nodes[1].stage, nodes[1].since), (Some(Stage::Disk), at(7)));
        assert_eq!((nodes[2].stage, nodes[2].since), (None, None));
    }

    #[test]
    fn stages_are_ordered_along_the_way() {
        for pair in Stage::value_variants().windows(2) {
            assert!(pair[0] < pair[1]);
        }
        for stage in Stage::value_variants() {
            assert_eq!(Stage::parse(stage.name()), Some(*stage));
        }
    }
}
