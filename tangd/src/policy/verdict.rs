//! What is decided about a recovery, by which rule, and why.

use std::fmt;

use serde::Serialize;

/// The rule that decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Whoever asks is on the LAN, and nothing holds anybody back.
    Open,
    /// It asks from a node's reserved address.
    Reservation,
    /// It asks from an address that dhcpd has leased to a node.
    Lease,
    /// An operator let it through.
    Approved,
    /// It is not on the LAN.
    Lan,
    /// Only nodes are answered, and it is none.
    KnownNodes,
    /// Only nodes are answered, and whether it is one cannot be found out now.
    Leases,
    /// An operator has locked the node, or everything.
    Locked,
    /// The site file denies it to the node.
    Denied,
    /// It waits for an operator.
    Hold,
    /// It is not the time.
    Window,
    /// What time it is cannot be believed.
    Clock,
    /// It has had its share for now.
    Rate,
}

impl Rule {
    /// Every rule, for the metric that counts by them.
    pub const ALL: [Self; 13] = [
        Self::Open,
        Self::Reservation,
        Self::Lease,
        Self::Approved,
        Self::Lan,
        Self::KnownNodes,
        Self::Leases,
        Self::Locked,
        Self::Denied,
        Self::Hold,
        Self::Window,
        Self::Clock,
        Self::Rate,
    ];

    /// The name in events, metrics, the audit log and `explain`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Reservation => "reservation",
            Self::Lease => "lease",
            Self::Approved => "approved",
            Self::Lan => "lan",
            Self::KnownNodes => "known-nodes",
            Self::Leases => "leases",
            Self::Locked => "locked",
            Self::Denied => "denied",
            Self::Hold => "hold",
            Self::Window => "window",
            Self::Clock => "clock",
            Self::Rate => "rate",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What is decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key takes part in the exchange.
    Allow {
        /// What allows it.
        rule: Rule,
        /// Why, in a sentence without its full stop.
        reason: String,
    },
    /// It does not.
    Refuse {
        /// The status of the answer: 403, or 503 where asking again later may help.
        status: u16,
        /// In how many seconds (`Retry-After`); with 503 only.
        retry_after: Option<u32>,
        /// Why, in a sentence without its full stop.
        reason: String,
        /// What refuses it.
        rule: Rule,
    },
    /// It does not until an operator approves: 503, at once. The client asks again by itself.
    Hold {
        /// In how many seconds (`Retry-After`).
        retry_after: u32,
        /// Why, in a sentence without its full stop.
        reason: String,
        /// What holds it.
        rule: Rule,
    },
}

impl Verdict {
    pub(super) fn allow(rule: Rule, reason: impl Into<String>) -> Self {
        Self::Allow { rule, reason: reason.into() }
    }

    /// 403.
    pub(super) fn refuse(rule: Rule, reason: impl Into<String>) -> Self {
        Self::Refuse { status: 403, retry_after: None, reason: reason.into(), rule }
    }

    /// 503, with when to come back.
    pub(super) fn later(rule: Rule, retry_after: u32, reason: impl Into<String>) -> Self {
        Self::Refuse { status: 503, retry_after: Some(retry_after), reason: reason.into(), rule }
    }

    /// Whether the exchange takes place.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Allow { .. } => 200,
            Self::Refuse { status, .. } => *status,
            Self::Hold { .. } => 503,
        }
    }

    /// The value of `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Allow { .. } => None,
            Self::Refuse { retry_after, .. } => *retry_after,
            Self::Hold { retry_after, .. } => Some(*retry_after),
        }
    }

    /// What decided.
    #[must_use]
    pub fn rule(&self) -> Rule {
        match self {
            Self::Allow { rule, .. } | Self::Refuse { rule, .. } | Self::Hold { rule, .. } => *rule,
        }
    }

    /// Why, in a sentence without its full stop.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Allow { reason, .. } | Self::Refuse { reason, .. } | Self::Hold { reason, .. } => reason,
        }
    }
}
