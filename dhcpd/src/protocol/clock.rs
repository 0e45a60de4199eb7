//! The lease clock: what time means across restarts, reboots and wrong wall clocks.
//!
//! While a daemon runs, only monotonic time counts, so no step of the wall clock ends a lease. Across a
//! restart within one boot the time since boot bridges the gap. Across a reboot only wall time can; it is
//! believed as long as it did not run backwards or further than [`OUTAGE_MAX`]: a clock that starts in 1970
//! or jumps ten years must not end every lease at once. Leases then last longer by the outage, which is safe.

use std::time::Duration;

use super::time::Time;

/// The longest outage that wall time is believed to tell.
pub const OUTAGE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// Where the lease clock starts when there is no state: late enough that a day ago can be told.
const BEGINNING: Time = Time(7 * 24 * 3600 * 1000);

/// What the host's clocks say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The kernel's identity of this boot; empty where it is not to be had.
    pub boot_id: String,
    /// Since boot, suspended time included, in milliseconds.
    pub uptime_ms: u64,
    /// Since 1970, as far as the host knows, in milliseconds.
    pub wall_ms: u64,
}

/// A moment on all clocks, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The lease clock.
    pub time: Time,
    /// The host's clocks.
    pub reading: Reading,
}

/// How the gap since the last stamp was bridged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bridge {
    /// There was no state.
    First,
    /// By the time since boot.
    SameBoot(Duration),
    /// By wall time.
    Wall(Duration),
    /// Wall time could not be believed: no time has passed for leases.
    Stopped,
}

/// The lease clock of this process.
#[derive(Clone, Copy, Debug)]
pub struct LeaseClock {
    base: Time,
    base_uptime_ms: u64,
}

impl LeaseClock {
    /// Goes on where `last` stopped. `newest` is the latest moment in any lease, which cannot lie ahead.
    pub fn start(last: Option<&Stamp>, newest: Option<Time>, reading: &Reading) -> (Self, Bridge) {
        let (base, bridge) = match last {
            None => (BEGINNING, Bridge::First),
            Some(stamp) => {
                let bridge = bridge(&stamp.reading, reading);
                let gap = match bridge {
                    Bridge::SameBoot(gap) | Bridge::Wall(gap) => gap,
                    Bridge::First | Bridge::Stopped => Duration::ZERO,
                };
                (stamp.time + gap, bridge)
            }
        };
        let base = newest.map_or(base, |newest| newest.max(base));
        (Self { base, base_uptime_ms: reading.uptime_ms }, bridge)
    }

    /// The time when the host has been up for `uptime_ms`.
    pub fn at(&self, uptime_ms: u64) -> Time {
        Time(self.base.0 + uptime_ms.saturating_sub(self.base_uptime_ms))
    }
}

fn bridge(last: &Reading, now: &Reading) -> Bridge {
    if last.boot_id == now.boot_id && !now.boot_id.is_empty() && now.uptime_ms >= last.uptime_ms {
        return Bridge::SameBoot(Duration::from_millis(now.uptime_ms - last.uptime_ms));
    }
    match now.wall_ms.checked_sub(last.wall_ms).map(Duration::from_millis) {
        Some(gap) if gap <= OUTAGE_MAX => Bridge::Wall(gap),
        _ => Bridge::Stopped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR_MS: u64 = 365 * 24 * 3600 * 1000;

    fn reading(boot: &str, uptime_ms: u64, wall_ms: u64) -> Reading {
        Reading { boot_id: boot.into(), uptime_ms, wall_ms }
    }

    fn started(now: &Reading) -> Time {
        let last = Stamp { time: Time(5000), reading: reading("a", 1000, 50 * YEAR_MS) };
        LeaseClock::start(Some(&last), None, now).0.at(now.uptime_ms)
    }

    #[test]
    fn x29_x30_a_wall_clock_that_jumps_ends_no_lease_within_a_boot() {
        for wall in [0, 49 * YEAR_MS, 60 * YEAR_MS] {
            assert_eq!(started(&reading("a", 4000, wall)), Time(8000), "wall {wall}");
        }
    }

    #[test]
    fn an_outage_counts_by_wall_time_when_it_can_be_believed() {
        assert_eq!(started(&reading("b", 9, 50 * YEAR_MS + 60_000)), Time(65_000));
    }

    #[test]
    fn x30_x31_after_a_reboot_1970_and_ten_years_ahead_are_not_believed() {
        for wall in [0, 50 * YEAR_MS - 1, 60 * YEAR_MS] {
            assert_eq!(started(&reading("b", 9, wall)), Time(5000), "wall {wall}");
        }
    }

    #[test]
    fn the_clock_never_starts_before_what_it_said() {
        let now = reading("b", 9, 0);
        let (clock, bridge) = LeaseClock::start(None, Some(Time(u64::MAX / 2)), &now);
        assert_eq!((clock.at(10), bridge), (Time(u64::MAX / 2 + 1), Bridge::First));
    }
}
