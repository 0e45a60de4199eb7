//! What anybody can cause at will is not written down each time: or a stranger's flood would drown, and in the end
//! push out, what matters.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// So many entries of one address may come at once.
const BURST: u32 = 120;
/// After that, one in this time.
const REFILL: Duration = Duration::from_millis(500);
/// Addresses that are told apart; all others share one allowance.
const ADDRESSES_MAX: usize = 1024;

/// Allowances by address.
#[derive(Debug, Default)]
pub struct Restraint {
    known: HashMap<IpAddr, Allowance>,
    others: Option<Allowance>,
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    left: u32,
    refilled: Instant,
    suppressed: u64,
}

impl Restraint {
    /// Whether something from `address` is to be written down now: then with the number of those that were not since
    /// the last that was.
    pub fn admit(&mut self, address: IpAddr, now: Instant) -> Option<u64> {
        if self.known.len() >= ADDRESSES_MAX && !self.known.contains_key(&address) {
            // Whoever has a whole allowance again, and nothing to tell, needs no place.
            self.known.retain(|_, allowance| !allowance.is_whole(now));
        }
        let room = self.known.len() < ADDRESSES_MAX;
        let allowance = match self.known.get_mut(&address) {
            Some(known) => known,
            None if room => self.known.entry(address).or_insert(Allowance::new(now)),
            None => self.others.get_or_insert(Allowance::new(now)),
        };
        allowance.admit(now)
    }
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self { left: BURST, refilled: now, suppressed: 0 }
    }

    fn admit(&mut self, now: Instant) -> Option<u64> {
        self.refill(now);
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Some(std::mem::take(&mut self.suppressed))
            }
            None => {
                self.suppressed += 1;
                None
            }
        }
    }

    fn refill(&mut self, now: Instant) {
        let whole = now.saturating_duration_since(self.refilled).as_millis() / REFILL.as_millis();
        let whole = u32::try_from(whole).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(whole).min(BURST);
        self.refilled += REFILL * whole;
    }

    fn is_whole(&self, now: Instant) -> bool {
        self.suppressed == 0 && now.saturating_duration_since(self.refilled) >= REFILL * (BURST - self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(index: u32) -> IpAddr {
        IpAddr::from(index.to_be_bytes())
    }

    #[test]
    fn a_flood_is_told_of_once_it_lets_up() {
        let now = faros_common::clock::now();
        let mut restraint = Restraint::default();
        let told = (0..BURST + 50).filter(|_| restraint.admit(address(1), now).is_some()).count();
        assert_eq!(told, BURST as usize);
        assert_eq!(restraint.admit(address(2), now), Some(0), "others are not affected");
        assert_eq!(restraint.admit(address(1), now + REFILL), Some(50));
        assert_eq!(restraint.admit(address(1), now + REFILL), None);
    }

    #[test]
    fn many_addresses_take_bounded_room_and_give_it_back() {
        let now = faros_common::clock::now();
        let mut restraint = Restraint::default();
        for index in 0..5000 {
            restraint.admit(address(index), now);
        }
        assert_eq!(restraint.known.len(), ADDRESSES_MAX);
        assert_eq!(restraint.admit(address(9999), now), None, "the shared allowance is used up");
        assert_eq!(restraint.admit(address(9999), now + REFILL), Some(0));
        assert_eq!(restraint.known.len(), 1);
    }
}
