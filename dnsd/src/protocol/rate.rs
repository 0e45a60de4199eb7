//! Response rate limiting: what keeps a forger of source addresses from turning this server against them.
//!
//! Replies are counted by the prefix of the client they go to, and by what they say. Who gets more of the same than a
//! resolver can want gets nothing, except that every so often a reply without records goes out with TC set: a real
//! client comes back over TCP, where it cannot be an imitation. Clients that have proved their address, by a cookie or by
//! TCP, do not come here.
//!
//! Each account is one time in one word: when it will have been paid off. A reply moves it on by the interval that the
//! limit allows; it is over the limit while it is further ahead than one second's worth. The table never grows. A full set
//! gives up the account that is nearest to being paid off, so that those who flood are remembered longest.

mod table;

use std::net::IpAddr;

use super::name;
use super::time::Now;
use table::Table;

/// Accounts per limiter unless said otherwise: 512 KiB.
pub const ACCOUNTS_DEFAULT: usize = 1 << 16;

/// What a reply says, as far as the limits care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Records, or that there are none of this type. Counted by name.
    Answer,
    /// A referral to other servers. Counted by name.
    Referral,
    /// The name does not exist. Counted by prefix alone, as every such name is another one.
    NxDomain,
    /// An error: REFUSED, SERVFAIL, FORMERR and the like. Counted by prefix alone.
    Error,
}

/// How many replies per second a prefix gets; 0 stands for any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Answers, and referrals, about one name.
    pub answers_per_sec: u16,
    /// Words that a name does not exist.
    pub nxdomains_per_sec: u16,
    /// Errors.
    pub errors_per_sec: u16,
    /// All replies together: bounds what wildcards, where each name is another, could give.
    pub all_per_sec: u16,
    /// Every so many limited replies one goes out with TC; 0: none, 1: all.
    pub slip: u8,
    /// How long a flood is remembered at most after its end, in seconds.
    pub window_secs: u16,
    /// The bits of an IPv4 address that make a client.
    pub ipv4_bits: u8,
    /// The bits of an IPv6 address that make a client.
    pub ipv6_bits: u8,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            answers_per_sec: 20,
            nxdomains_per_sec: 20,
            errors_per_sec: 20,
            all_per_sec: 200,
            slip: 2,
            window_secs: 15,
            ipv4_bits: 24,
            ipv6_bits: 56,
        }
    }
}

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes out.
    Send,
    /// It goes out without records and with TC set ([`reply::truncated`](super::reply::truncated)).
    Slip,
    /// It does not go out.
    Drop,
}

/// The accounts of all clients; shared by all threads without locks.
pub struct RateLimiter {
    limits: Limits,
    table: Table,
    seed: u64,
}

impl RateLimiter {
    /// `accounts` is rounded up to a power of two; each takes eight octets. `seed` is random.
    pub fn new(limits: Limits, accounts: usize, seed: u64) -> Self {
        Self { limits, table: Table::new(accounts), seed }
    }

    /// Counts a reply about `name`, in lower case and wire form, and says what becomes of it.
    pub fn check(&self, client: IpAddr, kind: Kind, name: &[u8], now: Now) -> Verdict {
        let prefix = self.prefix(client);
        let (per_sec, name) = match kind {
            Kind::Answer | Kind::Referral => (self.limits.answers_per_sec, name),
            Kind::NxDomain => (self.limits.nxdomains_per_sec, &[][..]),
            Kind::Error => (self.limits.errors_per_sec, &[][..]),
        };
        // Both are charged, so that neither can be saved up by exceeding the other.
        let own = self.charge(name::hash(name, prefix ^ (kind as u64 + 1)), per_sec, now);
        let all = self.charge(name::hash(&[], prefix), self.limits.all_per_sec, now);
        match own.or(all) {
            None => Verdict::Send,
            Some(nth) if self.limits.slip > 0 && nth % self.limits.slip == 0 => Verdict::Slip,
            Some(_) => Verdict::Drop,
        }
    }

    /// A hash of the client's prefix.
    fn prefix(&self, client: IpAddr) -> u64 {
        match client.to_canonical() {
            IpAddr::V4(address) => {
                let kept = u32::MAX.checked_shl(32 - u32::from(self.limits.ipv4_bits.min(32))).unwrap_or(0);
                name::hash(&(address.to_bits() & kept).to_be_bytes(), self.seed)
            }
            IpAddr::V6(address) => {
                let kept =
                    u128::MAX.checked_shl(128 - u32::from(self.limits.ipv6_bits.min(128))).unwrap_or(0);
                name::hash(&(address.to_bits() & kept).to_be_bytes(), self.seed)
            }
        }
    }

    /// Charges an account. `None`: within its limit; else how many replies were limited since the last slip.
    fn charge(&self, account: u64, per_sec: u16, now: Now) -> Option<u8> {
        if per_sec == 0 {
            return None;
        }
        self.table.charge(account, per_sec, self.limits, now.mono_millis)
    }
}

#[cfg(test)]
mod tests;
