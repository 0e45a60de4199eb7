//! What a machine tells.

use std::time::Duration;

use serde::Serialize;

use super::Mode;

/// How a server stands. Everything but `Up` gets no connections while others can have them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Not checked yet, nor remembered.
    Unknown,
    /// Its checks are good.
    Up,
    /// Its checks are bad.
    Down,
    /// Its checks are good, but it flapped.
    Held,
    /// Its checks are good, but connections to it fail.
    Ejected,
    /// The operator took it out; its connections go on.
    Drained,
    /// The operator took it out, checks and all.
    Maintenance,
}

impl Condition {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
            Self::Held => "held",
            Self::Ejected => "ejected",
            Self::Drained => "drained",
            Self::Maintenance => "maintenance",
        }
    }
}

/// A server stands differently from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// How it stood.
    pub from: Condition,
    /// How it stands.
    pub to: Condition,
    /// Why, as in "HTTP 500 from /readyz, 2 of 2".
    pub reason: String,
}

/// All that is worth showing of a server.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// How it stands.
    pub condition: Condition,
    /// For how long.
    pub age: Duration,
    /// Why, as in "HTTP 500 from /readyz, 2 of 2".
    pub reason: String,
    /// What the operator wants.
    pub mode: Mode,
    /// Its share in 256ths of its weight; below 256 while it starts slowly. 0: none.
    pub share: u32,
    /// How long it is still held or ejected, unless something else comes.
    pub remaining: Option<Duration>,
    /// How long ago its last check ended; `None`: none has yet.
    pub checked: Option<Duration>,
    /// What that one found; `None`: good, or no check yet.
    pub fault: Option<String>,
    /// Checks in a row that said the same.
    pub streak: u32,
    /// Checks so far.
    pub checks: u64,
    /// Bad ones among them.
    pub checks_failed: u64,
    /// How often it went down lately, as damping sees it.
    pub flaps: u32,
    /// Connections in a row that it did not take, as the planes told.
    pub connects_failed: u32,
}
