//! The same source to the same server, by rendezvous hashing spread over a table.
//!
//! Sources fall into as many buckets as the table is long. For each bucket every server draws a lot, from a
//! hash of both and stretched by its weight, and the lowest lot has the bucket (weighted rendezvous). Lots of
//! one server do not depend on the others, hence, exactly:
//!
//! - when a server leaves, only its sources move, and they spread over the others by weight;
//! - when one comes or its weight changes, sources move to it or away from it only;
//! - whoever cannot reach the owner of its bucket goes, by the second-lowest lot, to the server that would
//!   own it without that one.
//!
//! A Maglev table of this size would be evener by some tenths of a percent, which the uneven spread of real
//! sources hides, but it moves sources of servers that neither came nor left.
//!
//! Hashes have fixed keys and the logarithm is made of exactly rounded operations, so that every restart,
//! build and bastion comes to the same table, whatever the order of the servers.

use std::f64::consts::LN_2;
use std::net::IpAddr;

use siphasher::sip::SipHasher13;

use super::draw::mix;

/// What a server's lots depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    seed: u64,
    weight: u32,
}

impl Rank {
    /// Of the server with this name, address and weight (0: no bucket). The port is left out, so that a
    /// client's connections to several ports of the same machines end at one machine.
    pub fn new(name: &str, address: IpAddr, weight: u32) -> Self {
        let mut bytes = Vec::with_capacity(name.len() + 17);
        bytes.extend_from_slice(name.as_bytes());
        // No name contains it, so no two pairs of name and address run together.
        bytes.push(0);
        match address.to_canonical() {
            IpAddr::V4(address) => bytes.extend_from_slice(&address.octets()),
            IpAddr::V6(address) => bytes.extend_from_slice(&address.octets()),
        }
        Self { seed: keyed(SERVER_KEY).hash(&bytes), weight }
    }

    /// Its lot for a bucket: from the exponential distribution, of which the lowest of several is theirs in
    /// proportion to their weights.
    fn lot(self, bucket: u64) -> Lot {
        Lot { value: exponential(mix(bucket ^ self.seed)) / f64::from(self.weight), seed: self.seed }
    }
}

/// Which server has which bucket.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceTable {
    owners: Box<[u32]>,
    ranks: Box<[Rank]>,
}

impl SourceTable {
    /// Buckets where nothing speaks for another number: a prime, so that no pattern in hashes meets one in
    /// the table. Three equal servers are even to within a percent or so, a hundred to within ten; 64 kB.
    pub const SIZE: usize = 16_381;

    /// The table of `size` buckets for these servers. Takes time in proportion to `size` times servers (3
    /// servers, usual size: below 2 ms).
    pub fn new(ranks: &[Rank], size: usize) -> Self {
        let ranks: Box<[Rank]> = ranks.into();
        let owners = (0..size as u64).map_while(|bucket| lowest(&ranks, bucket, |_| true));
        Self { owners: owners.map(|slot| slot as u32).collect(), ranks }
    }

    /// The owner of each bucket, as an index into the servers given; empty: nobody is there to own any.
    pub fn owners(&self) -> &[u32] {
        &self.owners
    }

    /// The server of a source: the owner of its bucket, or the first after it by lot that `accept` takes.
    pub fn pick(&self, source: IpAddr, accept: impl Fn(usize) -> bool) -> Option<usize> {
        if self.owners.is_empty() {
            return None;
        }
        let bucket = hash(source) % self.owners.len() as u64;
        let owner = self.owners[bucket as usize] as usize;
        if accept(owner) { Some(owner) } else { lowest(&self.ranks, bucket, accept) }
    }
}

/// Arbitrary, but for ever: another value would move every client at the next upgrade.
const SERVER_KEY: (u64, u64) = (0x6661_726F_732D_6C62, 0x7365_7276_6572_7300);
const SOURCE_KEY: (u64, u64) = (0x6661_726F_732D_6C62, 0x736F_7572_6365_7300);

fn keyed((first, second): (u64, u64)) -> SipHasher13 {
    SipHasher13::new_with_keys(first, second)
}

/// The hash of a source; an IPv4 address mapped into IPv6 is the IPv4 address.
fn hash(source: IpAddr) -> u64 {
    match source.to_canonical() {
        IpAddr::V4(address) => keyed(SOURCE_KEY).hash(&address.octets()),
        IpAddr::V6(address) => keyed(SOURCE_KEY).hash(&address.octets()),
    }
}

#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Lot {
    value: f64,
    seed: u64,
}

fn lowest(ranks: &[Rank], bucket: u64, accept: impl Fn(usize) -> bool) -> Option<usize> {
    let bucket = mix(bucket);
    let mut best: Option<(usize, Lot)> = None;
    for (slot, rank) in ranks.iter().enumerate() {
        if rank.weight == 0 || !accept(slot) {
            continue;
        }
        let lot = rank.lot(bucket);
        if best.is_none_or(|(_, least)| lot < least) {
            best = Some((slot, lot));
        }
    }
    best.map(|(slot, _)| slot)
}

/// An exponentially distributed number from 64 random bits: -ln(u).
fn exponential(random: u64) -> f64 {
    let uniform = ((random >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -ln(uniform)
}

/// The natural logarithm of a normal positive number to nine digits. Unlike the standard library's it is the
/// same on every platform.
fn ln(number: f64) -> f64 {
    const FRACTION: u64 = (1 << 52) - 1;
    const BIAS: i32 = 1023;
    let bits = number.to_bits();
    let exponent = (bits >> 52) as i32 - BIAS;
    let fraction = f64::from_bits((bits & FRACTION) | ((BIAS as u64) << 52));
    // ln x = 2 artanh((x - 1) / (x + 1)), whose series converges fast for x from 1 to 2.
    let s = (fraction - 1.0) / (fraction + 1.0);
    let square = s * s;
    let series = (0..9).rev().fold(0.0, |sum, term| sum * square + 1.0 / f64::from(2 * term + 1));
    f64::from(exponent) * LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_is_one() {
        for number in [f64::MIN_POSITIVE, 1e-9, 0.1, 0.5, 0.999_999, 1.0, 1.5, 1.999_999, 2.0, 1e9] {
            assert!((ln(number) - number.ln()).abs() < 1e-8, "{number}: {} for {}", ln(number), number.ln());
        }
    }

    /// Another bastion, and the version after this one, must agree: these values never change. They are from
    /// another implementation of SipHash-1-3, of the mixing and of the logarithm.
    #[test]
    fn hashes_are_for_ever() {
        assert_eq!(hash("192.168.8.77".parse().unwrap()), 2_772_626_577_383_283_896);
        assert_eq!(hash("::ffff:192.168.8.77".parse().unwrap()), 2_772_626_577_383_283_896);
        assert_eq!(hash("fd00::77".parse().unwrap()), 588_695_031_585_700_824);
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(
            Rank::new("worker-1", "192.168.8.21".parse().unwrap(), 1).seed,
            13_731_312_431_455_566_859
        );
        let ranks = [("a", 1), ("b", 2), ("c", 3)].map(|(name, weight)| Rank::new(name, address, weight));
        assert_eq!(
            SourceTable::new(&ranks, 23).owners(),
            [1, 1, 1, 2, 2, 2, 0, 2, 0, 2, 0, 1, 1, 0, 2, 0, 2, 0, 2, 2, 0, 1, 2]
        );
    }
}
