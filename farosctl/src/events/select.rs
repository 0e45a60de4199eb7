//! Which events are shown.

use std::time::SystemTime;

use crate::events::event::Event;
use crate::machine::Machine;
use crate::output::time;

/// Where the stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    /// With the oldest that daemons keep.
    Beginning,
    /// After this number.
    Seq(u64),
    /// At this time.
    Time(SystemTime),
}

impl Since {
    /// Reads a number, a time, or an age such as `10m`.
    pub(crate) fn parse(text: &str, now: SystemTime) -> Result<Self, String> {
        if let Ok(seq) = text.parse() {
            return Ok(Self::Seq(seq));
        }
        if let Some(time) = time::parse(text).or_else(|| humantime::parse_rfc3339_weak(text).ok()) {
            return Ok(Self::Time(time));
        }
        match humantime::parse_duration(text) {
            Ok(age) => Ok(Self::Time(
                now.checked_sub(age).unwrap_or(SystemTime::UNIX_EPOCH).max(SystemTime::UNIX_EPOCH),
            )),
            Err(_) => Err(format!(
                "--since {text:?} is neither an event's number nor a time nor an age; write 1769860800000001, \
                 2026-01-31T12:00:00Z or 10m"
            )),
        }
    }

    /// The number that a daemon is asked for.
    pub(crate) fn seq(self) -> u64 {
        match self {
            Self::Seq(seq) => seq,
            Self::Beginning | Self::Time(_) => 0,
        }
    }
}

/// What an event must be to be shown.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) since: Since,
    pub(crate) machine: Option<Machine>,
    /// Any of these ids; empty: any at all.
    pub(crate) ids: Vec<String>,
}

impl Selection {
    pub(crate) fn admits(&self, event: &Event) -> bool {
        // That something is missing concerns every selection.
        if event.id == "events_missed" {
            return true;
        }
        let in_time = match self.since {
            Since::Time(since) => event.time.is_none_or(|time| time >= since),
            Since::Beginning | Since::Seq(_) => true,
        };
        in_time
            && self.machine.as_ref().is_none_or(|machine| machine.concerns(event))
            && (self.ids.is_empty() || self.ids.contains(&event.id))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn since_is_a_number_a_time_or_an_age() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        assert_eq!(Since::parse("17", now), Ok(Since::Seq(17)));
        assert_eq!(Since::parse("10m", now), Ok(Since::Time(now - Duration::from_secs(600))));
        let noon = Since::Time(SystemTime::UNIX_EPOCH + Duration::from_secs(43_200));
        assert_eq!(Since::parse("1970-01-01T12:00:00Z", now), Ok(noon));
        assert_eq!(Since::parse("1970-01-01 12:00:00", now), Ok(noon));
        assert_eq!(Since::parse("100y", now), Ok(Since::Time(SystemTime::UNIX_EPOCH)));
        assert!(Since::parse("yesterday", now).is_err());
    }

    #[test]
    fn every_condition_must_hold() {
        let event = |id: &str, node: &str| {
            let line = format!(
                r#"{{"seq":1,"time":"1970-01-01T00:16:40Z","daemon":"dhcpd","event":"{id}","node":"{node}"}}"#
            );
            Event::parse(&line).unwrap()
        };
        let selection = Selection {
            since: Since::Time(SystemTime::UNIX_EPOCH + Duration::from_secs(1000)),
            machine: Some(Machine::named("cp1")),
            ids: vec!["lease_granted".to_owned()],
        };
        assert!(selection.admits(&event("lease_granted", "cp1")));
        assert!(!selection.admits(&event("lease_granted", "cp2")));
        assert!(!selection.admits(&event("lease_renewed", "cp1")));
        let late =
            Selection { since: Since::Time(SystemTime::UNIX_EPOCH + Duration::from_secs(1001)), ..selection };
        assert!(!late.admits(&event("lease_granted", "cp1")));
        assert!(late.admits(&event("events_missed", "")));
    }
}
