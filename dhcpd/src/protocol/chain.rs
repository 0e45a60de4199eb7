//! The chain-loop breaker: notices a machine that is handed the same loader over and over.
//!
//! A machine that loads its loader three times within a minute is not booting: either the loader is iPXE and
//! was not recognised, so that it loads itself for ever, or it fails and returns to the firmware at once.
//! Then another answer is tried (see [`super::boot::decide`]) and an event tells people why.

use std::collections::HashMap;
use std::time::Duration;

use super::boot::Chain;
use super::message::Hardware;
use super::time::Time;

/// How far back requests count.
pub const WINDOW: Duration = Duration::from_secs(60);

/// The request for the same loader within [`WINDOW`] that counts as a loop.
pub const LOOP_AT: usize = 3;

/// Machines remembered at once; beyond, the one heard of longest ago is forgotten.
pub const MACHINES_MAX: usize = 1024;

/// Who was handed which loader when.
#[derive(Debug, Default)]
pub struct ChainLoops {
    machines: HashMap<Hardware, Trail>,
}

#[derive(Debug)]
struct Trail {
    loader: String,
    times: [Time; LOOP_AT - 1],
    count: usize,
}

impl Trail {
    fn recent(&self, now: Time) -> usize {
        self.times[..self.count].iter().filter(|&&time| now.since(time) < WINDOW).count()
    }
}

impl ChainLoops {
    /// Whether being handed `loader` now would close a loop.
    pub fn judge(&self, hardware: Hardware, loader: &str, now: Time) -> Chain {
        let looping = self
            .machines
            .get(&hardware)
            .is_some_and(|trail| trail.loader == loader && trail.recent(now) + 1 >= LOOP_AT);
        if looping { Chain::Looping } else { Chain::Sound }
    }

    /// Records that `hardware` was handed `loader` (or what stood in for it).
    pub fn record(&mut self, hardware: Hardware, loader: &str, now: Time) {
        if !self.machines.contains_key(&hardware) && self.machines.len() >= MACHINES_MAX {
            self.forget_some(now);
        }
        let fresh = || Trail { loader: loader.to_owned(), times: [now; LOOP_AT - 1], count: 0 };
        let trail = self.machines.entry(hardware).or_insert_with(fresh);
        if trail.loader != loader {
            *trail = fresh();
        }
        trail.times.rotate_right(1);
        trail.times[0] = now;
        trail.count = (trail.count + 1).min(trail.times.len());
    }

    fn forget_some(&mut self, now: Time) {
        self.machines.retain(|_, trail| trail.recent(now) > 0);
        if self.machines.len() >= MACHINES_MAX {
            let oldest =
                self.machines.iter().min_by_key(|(_, trail)| trail.times[0]).map(|(&hardware, _)| hardware);
            if let Some(oldest) = oldest {
                self.machines.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(number: u16) -> Hardware {
        let [high, low] = number.to_be_bytes();
        Hardware::new(1, &[2, 0, 0, 0, high, low])
    }

    #[test]
    fn the_third_request_within_a_minute_is_a_loop_and_a_slow_one_is_not() {
        let mut loops = ChainLoops::default();
        for at in [0, 20_000] {
            assert_eq!(loops.judge(machine(1), "a", Time(at)), Chain::Sound);
            loops.record(machine(1), "a", Time(at));
        }
        assert_eq!(loops.judge(machine(1), "a", Time(59_000)), Chain::Looping);
        assert_eq!(loops.judge(machine(1), "b", Time(59_000)), Chain::Sound, "another loader");
        assert_eq!(loops.judge(machine(2), "a", Time(59_000)), Chain::Sound, "another machine");
        assert_eq!(loops.judge(machine(1), "a", Time(60_001)), Chain::Sound, "the first is forgotten");
    }

    #[test]
    fn a_flood_of_machines_does_not_grow_the_table() {
        let mut loops = ChainLoops::default();
        for number in 0..5000 {
            loops.record(machine(number), "a", Time(u64::from(number)));
        }
        assert_eq!(loops.machines.len(), MACHINES_MAX);
        assert!(loops.machines.contains_key(&machine(4999)));
    }
}
