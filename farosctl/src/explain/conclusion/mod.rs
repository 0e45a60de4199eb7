//! Where a machine stalls and why: one line out of what daemons saw of it.

mod boot;
mod dhcp;

use std::time::{Duration, SystemTime};

use faros_common::site::{Mac, OwnerKind};
use serde::Serialize;

use super::trace::{Step, Trace, Trouble};
use crate::node::state::{NodeState, Stage};
use crate::output::{Tone, time};

/// How far back repetitions are counted.
const LOOP_TIME: Duration = Duration::from_secs(600);

/// Everything a conclusion is drawn from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence<'e> {
    pub(crate) now: SystemTime,
    /// What the site file says it is.
    pub(crate) kind: Option<OwnerKind>,
    pub(crate) macs: &'e [Mac],
    pub(crate) trace: &'e Trace,
    /// What ignition-http says of it.
    pub(crate) node: Option<&'e NodeState>,
    /// Daemons that should answer and do not.
    pub(crate) down: &'e [String],
    /// Where its Ignition is to be had.
    pub(crate) ignition_url: Option<&'e str>,
    /// How old the Ignition file with limited certificates is, for a node that gets one.
    pub(crate) certificates_age: Option<Duration>,
}

/// How a machine fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Health {
    /// It is where it should be.
    Fine,
    /// The next step is expected any moment.
    UnderWay,
    /// The next step is overdue or was refused.
    Stalled,
    /// Nothing was heard of it.
    Silent,
}

impl Health {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::UnderWay => "under way",
            Self::Stalled => "stalled",
            Self::Silent => "silent",
        }
    }

    pub(crate) fn tone(self) -> Tone {
        match self {
            Self::Fine => Tone::Good,
            Self::UnderWay => Tone::Warning,
            Self::Stalled | Self::Silent => Tone::Bad,
        }
    }
}

/// The one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Conclusion {
    pub(crate) health: Health,
    /// The last step that was taken: `none`, `dhcp`, `loader`, `script`, `kernel`, `ignition`, `installed`, `disk`.
    pub(crate) at: &'static str,
    pub(crate) text: String,
}

/// Draws it.
pub(crate) fn conclude(evidence: &Evidence<'_>) -> Conclusion {
    let trace = evidence.trace;
    if let Some(refused) = &trace.ignition_refused
        && trace.step.is_none_or(|(_, at)| refused.at >= at)
    {
        let text = format!("its Ignition was refused {}: {}", evidence.ago(refused.at), refused.reason);
        return stalled("kernel", text);
    }
    if let Some(refused) = &trace.report_refused
        && trace.step.is_none_or(|(_, at)| refused.at >= at)
    {
        let text = format!("its report was refused {}: {}", evidence.ago(refused.at), refused.reason);
        return stalled("ignition", text);
    }
    if let Some(conflict) = &trace.conflict
        && trace.step.is_none_or(|(_, at)| conflict.at >= at)
    {
        let text = format!(
            "it contradicts itself ({}), so it gets no installation: {}",
            evidence.ago(conflict.at),
            conflict.reason
        );
        return stalled("loader", text);
    }
    match evidence.step() {
        None => evidence.before_loader(),
        Some((Step::Loader, at)) => evidence.after_loader(at),
        Some((Step::Script, at)) => evidence.after_script(at),
        Some((Step::Kernel, at)) => evidence.after_kernel(at),
        Some((Step::Ignition, at)) => evidence.after_ignition(at),
        Some((Step::Installed, at)) => {
            let ago = evidence.ago(at);
            conclusion(
                Health::Fine,
                "installed",
                format!("installed {ago}; its next network boot goes to the disk"),
            )
        }
        Some((Step::Disk, at)) => evidence.after_disk(at),
    }
}

fn conclusion(health: Health, at: &'static str, text: impl Into<String>) -> Conclusion {
    Conclusion { health, at, text: text.into() }
}

fn stalled(at: &'static str, text: impl Into<String>) -> Conclusion {
    conclusion(Health::Stalled, at, text)
}

impl Evidence<'_> {
    /// The last step: from events, or from the node's state where events are forgotten already.
    fn step(&self) -> Option<(Step, SystemTime)> {
        let remembered = self.node.and_then(|node| {
            let step = match node.stage? {
                Stage::Held | Stage::Armed => return None,
                Stage::Loader => Step::Script,
                Stage::Kernel => Step::Kernel,
                Stage::Ignition => Step::Ignition,
                Stage::Installed => Step::Installed,
                Stage::Disk => Step::Disk,
            };
            Some((step, node.since?))
        });
        match (self.trace.step, remembered) {
            // The state is written down before its event is told; a loader's download changes no state.
            (Some(seen), Some(remembered)) if remembered.1 > seen.1 => Some(remembered),
            (None, remembered) => remembered,
            (seen, _) => seen,
        }
    }

    fn ago(&self, at: SystemTime) -> String {
        time::ago(self.now, at)
    }

    fn within(&self, at: SystemTime, limit: Duration) -> bool {
        self.now.duration_since(at).unwrap_or_default() < limit
    }

    fn is_down(&self, daemon: &str) -> bool {
        self.down.iter().any(|down| down == daemon)
    }

    /// What is wrong when a daemon that the next step needs does not run.
    fn needs(&self, daemon: &str, at: &'static str, what: &str) -> Option<Conclusion> {
        self.is_down(daemon).then(|| {
            stalled(
                at,
                format!(
                    "{what}, and {daemon} does not answer; start it with: systemctl start faros-{daemon}"
                ),
            )
        })
    }

    fn failure_since(&self, at: SystemTime) -> Option<&Trouble> {
        self.trace.file_failed.as_ref().filter(|failed| failed.at >= at)
    }

    fn file_failed(&self, at: &'static str, failed: &Trouble) -> Conclusion {
        let file = failed.what.as_deref().unwrap_or("a file");
        let text = format!(
            "{file} could not be sent {}: {}; see: farosctl boot loaders, farosctl check",
            self.ago(failed.at),
            failed.reason
        );
        stalled(at, text)
    }

    /// How many of `times` lie within [`LOOP_TIME`].
    fn recent(&self, times: &[SystemTime]) -> usize {
        times.iter().filter(|at| self.within(**at, LOOP_TIME)).count()
    }
}

#[cfg(test)]
mod tests;
