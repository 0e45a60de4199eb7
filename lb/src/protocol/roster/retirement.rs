//! When the bootstrap machine retires for good.
//!
//! ```text
//!            a majority is up for 5 min and the bootstrap machine down for 2 min,
//!            or the whole control plane is up for 30 min
//!   Serving ────────────────────────────────────────────────────────────────────► Retired
//!      ▲                                                                             │
//!      │ the bootstrap machine is up (again)                                         │ the operator
//!      └──────────────────────────────────── Recalled ◄──────────────────────────────┘
//! ```
//!
//! While the control plane serves, a backup gets nothing anyway. It retires for the day on which the whole
//! control plane is down: a bootstrap machine that comes back then would answer with the state of the day of
//! installation. Stretches are unbroken ones: an API server that restarts, as they do in an installation,
//! makes a majority begin anew where it was needed for one.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Where the bootstrap machine is in its life; to be remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It serves while no control-plane node does.
    #[default]
    Serving,
    /// It does not serve any more, whatever its checks say.
    Retired,
    /// As `Serving`, by the word of the operator: it does not retire before it has been up.
    Recalled,
}

/// Who is up, of those behind a front end with a bootstrap machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attendance {
    /// Control-plane nodes in the site file.
    pub configured: usize,
    /// Those that are up ([`crate::protocol::health::Condition::Up`]).
    pub up: usize,
    /// The bootstrap machine: whether its checks are good; `None`: not checked yet, or not checked
    /// (maintenance).
    pub bootstrap_up: Option<bool>,
}

/// The phase has changed and is to be remembered before it is acted upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetirementChange {
    /// The new phase.
    pub phase: Phase,
    /// Why.
    pub reason: String,
}

/// The retirement of the bootstrap machine from one front end.
#[derive(Clone, Debug)]
pub struct Retirement {
    phase: Phase,
    attendance: Option<Attendance>,
    majority_since: Option<Instant>,
    all_since: Option<Instant>,
    absent_since: Option<Instant>,
}

impl Retirement {
    /// How long a majority of the control plane must have been up.
    pub const MAJORITY: Duration = Duration::from_secs(5 * 60);
    /// And how long the bootstrap machine down.
    pub const ABSENT: Duration = Duration::from_secs(2 * 60);
    /// With all of the control plane up for so long, it retires although it is still there.
    pub const ALL: Duration = Duration::from_secs(30 * 60);

    /// In the phase that was remembered.
    pub fn new(phase: Phase) -> Self {
        Self { phase, attendance: None, majority_since: None, all_since: None, absent_since: None }
    }

    /// The phase.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Whether the bootstrap machine is out.
    pub fn is_retired(&self) -> bool {
        self.phase == Phase::Retired
    }

    /// Who is up now; to be told at every change, and at [`Retirement::deadline`].
    pub fn observe(&mut self, attendance: Attendance, now: Instant) -> Option<RetirementChange> {
        self.attendance = Some(attendance);
        let Attendance { configured, up, bootstrap_up } = attendance;
        keep(&mut self.majority_since, configured > 0 && up > configured / 2, now);
        keep(&mut self.all_since, configured > 0 && up >= configured, now);
        keep(&mut self.absent_since, bootstrap_up == Some(false), now);
        match self.phase {
            Phase::Retired => None,
            Phase::Recalled if bootstrap_up == Some(true) => {
                // What the control plane did before does not count for the new installation.
                self.majority_since = self.majority_since.map(|_| now);
                self.all_since = self.all_since.map(|_| now);
                self.change(Phase::Serving, "it is up as the operator expected".to_owned())
            }
            Phase::Recalled => None,
            Phase::Serving => {
                let reason = self.reason(attendance, now)?;
                self.change(Phase::Retired, reason)
            }
        }
    }

    /// When it retires if nothing changes; `None`: it does not.
    pub fn deadline(&self) -> Option<Instant> {
        if self.phase != Phase::Serving {
            return None;
        }
        let replaced = self.majority_since.zip(self.absent_since);
        let replaced =
            replaced.map(|(majority, absent)| (majority + Self::MAJORITY).max(absent + Self::ABSENT));
        let settled = self.all_since.map(|since| since + Self::ALL);
        [replaced, settled].into_iter().flatten().min()
    }

    /// The operator wants it back, or wants it out now.
    pub fn operator(&mut self, retired: bool) -> Option<RetirementChange> {
        match (retired, self.phase) {
            (true, Phase::Retired) | (false, Phase::Serving | Phase::Recalled) => None,
            (true, _) => self.change(Phase::Retired, "retired by the operator".to_owned()),
            (false, Phase::Retired) => self.change(Phase::Recalled, "recalled by the operator".to_owned()),
        }
    }

    /// What status says.
    pub fn because(&self, now: Instant) -> String {
        match (self.phase, self.deadline()) {
            (Phase::Retired, _) => "retired: the control plane serves without it".to_owned(),
            (Phase::Recalled, _) => "recalled by the operator: stays until it has been up".to_owned(),
            (Phase::Serving, Some(deadline)) => {
                let left = deadline.saturating_duration_since(now).as_secs_f64().ceil();
                format!("retires in {left} s if the control plane stays up")
            }
            (Phase::Serving, None) => match self.attendance {
                Some(Attendance { configured, up, .. }) if up <= configured / 2 => {
                    format!("stays: {up} of {configured} control-plane nodes are up")
                }
                _ => "stays: it is still up, and not all of the control plane is".to_owned(),
            },
        }
    }

    fn reason(&self, attendance: Attendance, now: Instant) -> Option<String> {
        let lasted = |since: Option<Instant>, time| since.is_some_and(|since| now >= since + time);
        let Attendance { configured, up, .. } = attendance;
        if lasted(self.majority_since, Self::MAJORITY) && lasted(self.absent_since, Self::ABSENT) {
            let (minutes, absent) = (Self::MAJORITY.as_secs() / 60, Self::ABSENT.as_secs() / 60);
            return Some(format!(
                "most of the control plane ({up} of {configured}) has been up for {minutes} min, \
                 and the bootstrap machine down for {absent} min"
            ));
        }
        lasted(self.all_since, Self::ALL).then(|| {
            format!(
                "all of the control plane ({configured}) has been up for {} min",
                Self::ALL.as_secs() / 60
            )
        })
    }

    fn change(&mut self, phase: Phase, reason: String) -> Option<RetirementChange> {
        self.phase = phase;
        Some(RetirementChange { phase, reason })
    }
}

/// Keeps the beginning of a stretch in which `holds`.
fn keep(since: &mut Option<Instant>, holds: bool, now: Instant) {
    *since = holds.then(|| since.unwrap_or(now));
}
