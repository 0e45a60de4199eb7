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
    /// The transaction that was recorded last.
    xid: [u8; 4],
    /// Whether a DISCOVER came since: what follows is another boot, whatever its transaction. There is firmware
    /// that makes its transaction number from its card, the same for ever.
    discovered: bool,
}

impl Trail {
    /// How many boots before that of `xid` were recorded within the window.
    fn recent(&self, xid: [u8; 4], now: Time) -> usize {
        let repeated = usize::from(self.is_repeated(xid));
        self.times[..self.count].iter().skip(repeated).filter(|&&time| now.since(time) < WINDOW).count()
    }

    /// Whether `xid` is what was recorded last: the client did not hear the ACK and asks again.
    fn is_repeated(&self, xid: [u8; 4]) -> bool {
        self.xid == xid && !self.discovered
    }
}

impl ChainLoops {
    /// `hardware` looks for a server: what it is handed next is another boot.
    pub fn on_discover(&mut self, hardware: Hardware) {
        if let Some(trail) = self.machines.get_mut(&hardware) {
            trail.discovered = true;
        }
    }

    /// Whether being handed `loader` now, in transaction `xid`, would close a loop. Cards without an address
    /// (RFC 4390) cannot be told apart and never loop.
    pub fn judge(&self, hardware: Hardware, loader: &str, xid: [u8; 4], now: Time) -> Chain {
        let looping = self
            .machines
            .get(&hardware)
            .is_some_and(|trail| trail.loader == loader && trail.recent(xid, now) + 1 >= LOOP_AT);
        if looping { Chain::Looping } else { Chain::Sound }
    }

    /// Records that `hardware` was handed `loader` (or what stood in for it); a repeated request is one request.
    pub fn record(&mut self, hardware: Hardware, loader: &str, xid: [u8; 4], now: Time) {
        if hardware.address().is_empty() {
            return;
        }
        if !self.machines.contains_key(&hardware) && self.machines.len() >= MACHINES_MAX {
            self.forget_some(now);
        }
        let fresh = || Trail {
            loader: loader.to_owned(),
            times: [now; LOOP_AT - 1],
            count: 0,
            xid,
            discovered: true,
        };
        let trail = self.machines.entry(hardware).or_insert_with(fresh);
        if trail.loader != loader {
            *trail = fresh();
        }
        if trail.is_repeated(xid) {
            return;
        }
        (trail.xid, trail.discovered) = (xid, false);
        trail.times.rotate_right(1);
        trail.times[0] = now;
        trail.count = (trail.count + 1).min(trail.times.len());
    }

    fn forget_some(&mut self, now: Time) {
        self.machines.retain(|_, trail| now.since(trail.times[0]) < WINDOW);
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
            assert_eq!(loops.judge(machine(1), "a", boot(at as u8), Time(at)), Chain::Sound);
            loops.record(machine(1), "a", boot(at as u8), Time(at));
        }
        assert_eq!(loops.judge(machine(1), "a", boot(9), Time(59_000)), Chain::Looping);
        assert_eq!(loops.judge(machine(1), "b", boot(9), Time(59_000)), Chain::Sound, "another loader");
        assert_eq!(loops.judge(machine(2), "a", boot(9), Time(59_000)), Chain::Sound, "another machine");
        assert_eq!(
            loops.judge(machine(1), "a", boot(9), Time(60_001)),
            Chain::Sound,
            "the first is forgotten"
        );
    }

    fn boot(number: u8) -> [u8; 4] {
        [number; 4]
    }

    #[test]
    fn a_repeated_request_is_one_request_until_the_machine_discovers_again() {
        let mut loops = ChainLoops::default();
        for at in [0, 4, 12] {
            assert_eq!(loops.judge(machine(1), "a", boot(1), Time(at)), Chain::Sound);
            loops.record(machine(1), "a", boot(1), Time(at));
        }
        loops.on_discover(machine(1));
        loops.record(machine(1), "a", boot(1), Time(20));
        assert_eq!(
            loops.judge(machine(1), "a", boot(1), Time(24)),
            Chain::Sound,
            "the second boot, repeated"
        );
        loops.on_discover(machine(1));
        assert_eq!(
            loops.judge(machine(1), "a", boot(1), Time(30)),
            Chain::Looping,
            "the same transaction again"
        );
    }

    #[test]
    fn cards_without_an_address_are_never_taken_for_one_that_loops() {
        let (mut loops, nobody) = (ChainLoops::default(), Hardware::new(32, &[]));
        (0..5).for_each(|number| loops.record(nobody, "a", boot(number), Time(0)));
        assert_eq!(loops.judge(nobody, "a", boot(9), Time(0)), Chain::Sound);
    }

    #[test]
    fn a_flood_of_machines_does_not_grow_the_table() {
        let mut loops = ChainLoops::default();
        for number in 0..5000 {
            loops.record(machine(number), "a", boot(1), Time(u64::from(number)));
        }
        assert_eq!(loops.machines.len(), MACHINES_MAX);
        assert!(loops.machines.contains_key(&machine(4999)));
    }
}
