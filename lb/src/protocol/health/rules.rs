//! What a machine is told.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How a server is checked. Durations of zero for the intervals are taken for [`Rules::INTERVAL_MIN`], counts
/// of 0 for 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// From one check to the next.
    pub interval: Duration,
    /// The same while a result is not settled: after the first bad one of a server that is up, after the
    /// first good one of one that is down, and while connections fail.
    pub fast_interval: Duration,
    /// How long a check may take; it is the checker who keeps it.
    pub timeout: Duration,
    /// Good checks in a row until up.
    pub rise: u32,
    /// Bad checks in a row until down.
    pub fall: u32,
    /// How long a server that has come up takes to its full share; zero: at once.
    pub slow_start: Duration,
}

impl Rules {
    /// No two checks of a server follow faster.
    pub const INTERVAL_MIN: Duration = Duration::from_millis(100);
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it should be.
    Good,
    /// Not so, and why, as in "HTTP 500 from /readyz"; longer reasons than [`Outcome::REASON_CHARS_MAX`] are
    /// cut.
    Bad(String),
}

impl Outcome {
    /// Reasons may quote what a server sent: what they take of memory and of status is bounded.
    pub const REASON_CHARS_MAX: usize = 200;
}

/// What the operator wants of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// What the checks say.
    #[default]
    Enabled,
    /// No new connections; those it has go on. Checks go on, too.
    Drained,
    /// Neither connections nor checks.
    Maintenance,
}

impl Mode {
    /// As it is typed and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Drained => "drained",
            Self::Maintenance => "maintenance",
        }
    }
}

/// What outlives a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// Whether it was up; `None`: never known. Counts until the first check.
    pub up: Option<bool>,
    /// What the operator wanted.
    pub mode: Mode,
}
