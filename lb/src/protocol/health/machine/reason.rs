//! Why a server stands as it does, in words for the operator.

use std::time::Instant;

use super::{Cause, Condition, Machine};
use crate::pool::ConnectFailure;

impl Machine {
    pub(super) fn reason_for(&self, from: Condition, to: Condition, cause: Cause, now: Instant) -> String {
        let left = |until: Option<Instant>| {
            until.map_or(0.0, |until| until.saturating_duration_since(now).as_secs_f64()).ceil()
        };
        match to {
            Condition::Drained => "drained by the operator".to_owned(),
            Condition::Maintenance => "put into maintenance by the operator".to_owned(),
            Condition::Unknown => "enabled by the operator, not checked since".to_owned(),
            Condition::Held => format!(
                "its checks are good, but it went down {} times lately: held for {} s",
                self.damping.flaps(now),
                left(self.damping.held_until(now))
            ),
            Condition::Ejected => {
                let what = match cause {
                    Cause::Connect(failure) => describe(failure),
                    Cause::Check | Cause::Operator | Cause::Time => "not accepted",
                };
                let left = left(self.ejection.until(now));
                format!("its checks are good, but connections are {what}: left out for {left} s")
            }
            Condition::Down => {
                let fault = self.fault.as_deref().unwrap_or("its check failed");
                format!("{fault}, {}", self.progress(self.rules.fall))
            }
            Condition::Up => match (cause, from) {
                (Cause::Operator, _) => "enabled by the operator, its checks are good".to_owned(),
                (Cause::Time, Condition::Held) => "it was held long enough, its checks are good".to_owned(),
                (_, Condition::Ejected) => "connections are tried again, its checks are good".to_owned(),
                _ => format!("check is good, {}", self.progress(self.rules.rise)),
            },
        }
    }

    /// How many checks it took, of how many usually.
    fn progress(&self, enough: u32) -> String {
        if self.streak < enough { "first check".to_owned() } else { format!("{enough} of {enough}") }
    }
}

fn describe(failure: ConnectFailure) -> &'static str {
    match failure {
        ConnectFailure::Refused => "refused",
        ConnectFailure::TimedOut => "not answered",
        ConnectFailure::Unreachable => "told that there is no way to it",
        ConnectFailure::Local => "not made here",
    }
}
