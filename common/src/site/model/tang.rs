//! Disk unlocking.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// Disk unlocking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Tang {
    /// Whether the daemon runs here.
    pub enable: bool,
    /// Who does it instead.
    pub external: Option<IpAddr>,
    /// Where it listens; [`Tang::port`] of the LAN address unless set.
    pub listen: Vec<SocketAddr>,
    /// Its port.
    pub port: u16,
    /// The directory of JWK files.
    pub keys: PathBuf,
    /// Whom it answers.
    pub policy: TangPolicy,
    /// How many keys a node may recover in a minute; none: as many as it likes.
    pub rate: Option<u32>,
    /// When keys are recovered; empty: always.
    pub windows: Vec<TangWindow>,
    /// Whether a recovery waits for approval where the node says nothing else.
    pub hold: bool,
    /// How old a signing key may grow; none: keys change only when somebody asks for it.
    pub rotate: Option<Duration>,
    /// Whether the keys are encrypted at rest.
    pub sealed: bool,
    /// What can open them, in the order of the file.
    pub slots: Vec<TangSlot>,
    /// How many of [`Tang::slots`] it takes; at least one, at most all of them.
    pub threshold: usize,
    /// Where HTTPS listens; empty: nowhere.
    pub tls_listen: Vec<SocketAddr>,
    /// The certificate chain for HTTPS (PEM).
    pub certificate: PathBuf,
    /// The private key that belongs to it (PEM).
    pub certificate_key: PathBuf,
}

/// Whom tangd answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TangPolicy {
    /// Everybody on the LAN.
    Open,
    /// Addresses of nodes only.
    KnownNodes,
}

/// How a node's disk is unlocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TangAccess {
    /// At once.
    Allow,
    /// Once an operator has let it through.
    Hold,
    /// Never.
    Deny,
}

/// What can open sealed keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum TangSlot {
    /// A passphrase that an operator types.
    Passphrase,
    /// Another Tang server.
    Tang {
        /// Its URL, without a final slash.
        url: String,
        /// The thumbprint of one of its signing keys.
        thumbprint: String,
        /// The certificates (PEM) of the authorities that vouch for it; none: those that this host trusts.
        ca: Option<PathBuf>,
    },
    /// This host's TPM.
    Tpm2 {
        /// The platform registers that must be as they were, in ascending order.
        pcrs: Vec<u8>,
    },
}

impl TangSlot {
    /// The kind as the site file calls it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Passphrase => "passphrase",
            Self::Tang { .. } => "tang",
            Self::Tpm2 { .. } => "tpm2",
        }
    }
}

/// The kinds of [`TangSlot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TangSlotKind {
    Passphrase,
    Tang,
    Tpm2,
}

/// A time of every week, in UTC.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TangWindow {
    /// On which days it begins, Monday first.
    pub days: [bool; 7],
    /// The minute of the day at which it begins, below 1440.
    pub from: u16,
    /// For how many minutes it is open, 1 to 1440; it may run into the next day.
    pub minutes: u16,
}

/// Minutes of a day.
const DAY_MINUTES: u32 = 24 * 60;
/// Minutes of a week.
const WEEK_MINUTES: u32 = 7 * DAY_MINUTES;

impl TangWindow {
    /// Whether it is open in the minute `minute` of a week that begins on Monday at 00:00 UTC.
    pub fn is_open(&self, minute: u32) -> bool {
        self.opens().any(|opens| {
            let into = (minute % WEEK_MINUTES + WEEK_MINUTES - opens) % WEEK_MINUTES;
            into < u32::from(self.minutes)
        })
    }

    /// How many minutes after `minute` of the week it opens next; 0 in the very minute in which it opens.
    pub fn opens_in(&self, minute: u32) -> u32 {
        let waits = self.opens().map(|opens| (opens + WEEK_MINUTES - minute % WEEK_MINUTES) % WEEK_MINUTES);
        waits.min().unwrap_or(WEEK_MINUTES)
    }

    /// The minutes of the week in which it opens.
    fn opens(&self) -> impl Iterator<Item = u32> {
        let from = u32::from(self.from);
        let days = self.days;
        (0u32..).zip(days).filter(|(_, on)| *on).map(move |(day, _)| day * DAY_MINUTES + from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: u32, hour: u32, minute: u32) -> u32 {
        day * DAY_MINUTES + hour * 60 + minute
    }

    #[test]
    fn a_window_is_open_from_its_first_minute_to_before_its_end() {
        let weekdays = [true, true, true, true, true, false, false];
        let window = TangWindow { days: weekdays, from: 6 * 60, minutes: 14 * 60 };
        assert!(!window.is_open(at(0, 5, 59)) && window.is_open(at(0, 6, 0)));
        assert!(window.is_open(at(4, 19, 59)) && !window.is_open(at(4, 20, 0)));
        assert!(!window.is_open(at(5, 12, 0)));
        assert_eq!(window.opens_in(at(4, 20, 0)), 2 * DAY_MINUTES + 10 * 60);
        assert_eq!(window.opens_in(at(4, 6, 0)), 0);
    }

    #[test]
    fn a_window_of_sunday_night_ends_on_monday() {
        let mut days = [false; 7];
        days[6] = true;
        let window = TangWindow { days, from: 22 * 60, minutes: 6 * 60 };
        assert!(window.is_open(at(6, 22, 0)) && window.is_open(at(6, 23, 59)));
        assert!(window.is_open(at(0, 0, 0)) && window.is_open(at(0, 3, 59)));
        assert!(!window.is_open(at(0, 4, 0)) && !window.is_open(at(6, 21, 59)));
        assert!(window.is_open(at(7, 0, 0)), "weeks repeat");
    }
}
