//! Opening a store: shares come in one by one, and whoever guesses has to wait. No clock, files or sockets of its own.

use std::time::{Duration, Instant};

use super::shamir::Share;

/// How long a share waits for the others that the threshold asks for. Then it is forgotten: two operators who open a store
/// together do so within minutes, and a server that was revoked shall not count for ever.
pub const SHARE_LIFE: Duration = Duration::from_secs(600);
/// Wrong passphrases in a row that cost nothing: operators mistype.
pub const FREE_ATTEMPTS: u32 = 5;
/// The longest wait between two attempts, reached by doubling from one second.
pub const WAIT_MAX: Duration = Duration::from_secs(300);

/// The shares that have come in so far.
#[derive(Default)]
pub(super) struct Assembly {
    shares: Vec<(Instant, Share)>,
}

impl Assembly {
    /// Takes a share; one of the same place replaces the older one.
    pub(super) fn add(&mut self, share: Share, now: Instant) {
        self.shares.retain(|(_, known)| known.x != share.x);
        self.shares.push((now, share));
        self.forget_old(now);
    }

    /// Those that still count.
    pub(super) fn shares(&mut self, now: Instant) -> Vec<&Share> {
        self.forget_old(now);
        self.shares.iter().map(|(_, share)| share).collect()
    }

    /// Whether the share of this place has come in.
    pub(super) fn holds(&mut self, place: u8, now: Instant) -> bool {
        self.shares(now).iter().any(|share| share.x == place)
    }

    pub(super) fn clear(&mut self) {
        self.shares.clear();
    }

    fn forget_old(&mut self, now: Instant) {
        self.shares.retain(|(came, _)| now.saturating_duration_since(*came) < SHARE_LIFE);
    }
}

/// Wrong passphrases in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attempts {
    wrong: u32,
    next: Option<Instant>,
}

impl Attempts {
    /// Whether another attempt may be made now; otherwise how long to wait.
    pub(super) fn allow(&self, now: Instant) -> Result<(), Duration> {
        match self.next.map(|next| next.saturating_duration_since(now)) {
            Some(wait) if !wait.is_zero() => Err(wait),
            _ => Ok(()),
        }
    }

    /// A wrong one: beyond the free ones each doubles the wait.
    pub(super) fn on_wrong(&mut self, now: Instant) {
        self.wrong = self.wrong.saturating_add(1);
        if let Some(beyond) = self.wrong.checked_sub(FREE_ATTEMPTS) {
            let wait = Duration::from_secs(1 << beyond.min(16)).min(WAIT_MAX);
            self.next = Some(now + wait);
        }
    }

    /// A right one.
    pub(super) fn on_right(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use faros_common::clock;
    use zeroize::Zeroizing;

    use super::*;

    fn share(x: u8, y: u8) -> Share {
        Share { x, y: Zeroizing::new([y; 32]) }
    }

    #[test]
    fn a_share_counts_once_and_not_for_ever() {
        let start = clock::now();
        let mut assembly = Assembly::default();
        assembly.add(share(1, 1), start);
        assembly.add(share(1, 2), start + SHARE_LIFE / 2);
        assert_eq!(assembly.shares(start + SHARE_LIFE / 2).len(), 1);
        assembly.add(share(2, 2), start + SHARE_LIFE);
        assert_eq!(assembly.shares(start + SHARE_LIFE).len(), 2);
        assert!(
            !assembly.holds(1, start + SHARE_LIFE * 3 / 2) && assembly.holds(2, start + SHARE_LIFE * 3 / 2)
        );
        assembly.clear();
        assert!(assembly.shares(start).is_empty());
    }

    #[test]
    fn guessing_gets_slower_and_a_right_passphrase_ends_that() {
        let mut now = clock::now();
        let mut attempts = Attempts::default();
        let mut waits = Vec::new();
        for _ in 0..20 {
            let wait = attempts.allow(now).err().unwrap_or_default();
            waits.push(wait);
            now += wait;
            assert!(attempts.allow(now).is_ok());
            attempts.on_wrong(now);
        }
        assert!(waits[..5].iter().all(Duration::is_zero), "{waits:?}");
        assert_eq!(waits[5..9], [1, 2, 4, 8].map(Duration::from_secs));
        assert_eq!(waits[19], WAIT_MAX);
        attempts.on_right();
        assert!(attempts.allow(now).is_ok());
    }
}
