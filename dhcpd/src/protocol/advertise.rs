//! IPv6 router advertisements (RFC 4861): iPXE waits twelve seconds for one before it goes on.
//!
//! This host advertises itself with a router lifetime of zero, "no default router", unless it does route
//! IPv6. Addresses are left to the clients (no M and O flags), since nobody serves DHCPv6 here.
//!
//! Deviation: solicitations are answered at once instead of after a random part of half a second (RFC 4861
//! section 6.2.6); the delay protects links with many routers, and a site has one.

use std::net::Ipv6Addr;
use std::time::Duration;

use faros_common::site::Mac;

use super::answer::wire_name;
use super::time::Time;
use crate::config::Advertisement;

/// Between unsolicited advertisements.
const INTERVAL: Duration = Duration::from_secs(200);

/// Between the first few, so that a node that is already up hears one soon.
const INTERVAL_FIRST: Duration = Duration::from_secs(16);

/// How many count as the first few.
const FIRST: u32 = 3;

/// Between advertisements to all nodes (MIN_DELAY_BETWEEN_RAS).
const MULTICAST_GAP: Duration = Duration::from_secs(3);

/// After an advertisement could not be sent.
const RETRY: Duration = Duration::from_millis(500);

/// How long this host stays a default router without being heard, where it is one.
const ROUTER_LIFETIME: Duration = Duration::from_secs(1800);

/// How long addresses in the prefix stay valid and preferred without being heard of.
const PREFIX_VALID: u32 = 86_400;
const PREFIX_PREFERRED: u32 = 14_400;

/// All nodes on the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

const TYPE_SOLICITATION: u8 = 133;
const TYPE_ADVERTISEMENT: u8 = 134;

/// When advertisements are due.
#[derive(Debug, Default)]
pub struct Advertiser {
    last_multicast: Option<Time>,
    due: Option<Time>,
    sent: u32,
}

impl Advertiser {
    /// The interface is there: advertise soon.
    pub fn start(&mut self, now: Time) {
        (self.due, self.sent) = (Some(now), 0);
    }

    /// The interface is gone.
    pub fn stop(&mut self) {
        *self = Self::default();
    }

    /// When [`Advertiser::on_timeout`] has something to do.
    pub fn deadline(&self) -> Option<Time> {
        self.due
    }

    /// Somebody at `source` solicits; where the answer goes, if one is due now.
    ///
    /// To all nodes as long as the last such answer is `MULTICAST_GAP` ago, which spares the client a
    /// neighbour solicitation; else to the client alone, or, where it has no address yet, when the gap is over.
    pub fn on_solicitation(&mut self, source: Ipv6Addr, now: Time) -> Option<Ipv6Addr> {
        match self.last_multicast.map(|last| last + MULTICAST_GAP).filter(|&free| free > now) {
            None => {
                self.multicast(now);
                Some(ALL_NODES)
            }
            Some(_) if source.is_unicast_link_local() => Some(source),
            Some(free) => {
                self.due = Some(self.due.map_or(free, |due| due.min(free)));
                None
            }
        }
    }

    /// Sends to all nodes, if that is due.
    pub fn on_timeout(&mut self, now: Time) -> Option<Ipv6Addr> {
        self.due.filter(|&due| due <= now)?;
        self.multicast(now);
        Some(ALL_NODES)
    }

    /// What should have gone to all nodes could not be sent, because the interface has no address yet.
    pub fn on_failed(&mut self, now: Time) {
        self.last_multicast = None;
        self.due = Some(now + RETRY);
    }

    fn multicast(&mut self, now: Time) {
        self.sent = self.sent.saturating_add(1);
        self.last_multicast = Some(now);
        self.due = Some(now + if self.sent <= FIRST { INTERVAL_FIRST } else { INTERVAL });
    }
}

/// Whether `bytes` is a router solicitation that deserves an answer (RFC 4861 section 6.1.1). The kernel has
/// checked the checksum.
pub fn is_solicitation(bytes: &[u8], hop_limit: u8, source: Ipv6Addr) -> bool {
    if hop_limit != 255 || bytes.len() < 8 || bytes[0] != TYPE_SOLICITATION || bytes[1] != 0 {
        return false;
    }
    let mut rest = &bytes[8..];
    while let [kind, units, ..] = *rest {
        let length = usize::from(units) * 8;
        let from_nowhere_with_card = source.is_unspecified() && kind == 1;
        if length == 0 || length > rest.len() || from_nowhere_with_card {
            return false;
        }
        rest = &rest[length..];
    }
    rest.is_empty() && (source.is_unspecified() || source.is_unicast_link_local())
}

/// The ICMPv6 message; the kernel fills in its checksum.
pub fn advertisement(advertisement: &Advertisement, card: Option<Mac>) -> Vec<u8> {
    let lifetime = if advertisement.router { ROUTER_LIFETIME.as_secs() as u16 } else { 0 };
    let mut bytes = vec![TYPE_ADVERTISEMENT, 0, 0, 0, 64, 0];
    bytes.extend(lifetime.to_be_bytes());
    bytes.extend([0; 8]);
    if let Some(mac) = card {
        bytes.extend([1, 1]);
        bytes.extend(mac.0);
    }
    if let Some(net) = advertisement.address {
        const ON_LINK_AND_AUTONOMOUS: u8 = 0xc0;
        // Only a /64 can be used for autonomous addresses (RFC 4862 section 5.5.3 with RFC 2464).
        let flags = if net.prefix_len() == 64 { ON_LINK_AND_AUTONOMOUS } else { 0x80 };
        bytes.extend([3, 4, net.prefix_len(), flags]);
        bytes.extend(PREFIX_VALID.to_be_bytes());
        bytes.extend(PREFIX_PREFERRED.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(net.network().octets());
    }
    if let Some(resolver) = advertisement.resolver {
        let lifetime = (3 * INTERVAL.as_secs()) as u32;
        bytes.extend([25, 3, 0, 0]);
        bytes.extend(lifetime.to_be_bytes());
        bytes.extend(resolver.octets());
        let mut search = wire_name(&advertisement.search);
        search.resize(search.len().next_multiple_of(8), 0);
        bytes.extend([31, (1 + search.len() / 8) as u8, 0, 0]);
        bytes.extend(lifetime.to_be_bytes());
        bytes.extend(search);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 7);

    #[test]
    fn a_solicitation_is_answered_at_once_and_multicast_stays_rare() {
        let mut advertiser = Advertiser::default();
        advertiser.start(Time(0));
        assert_eq!(advertiser.on_timeout(Time(0)), Some(ALL_NODES));
        assert_eq!(
            advertiser.on_solicitation(CLIENT, Time(100)),
            Some(CLIENT),
            "within the gap: to it alone"
        );
        assert_eq!(advertiser.on_solicitation(Ipv6Addr::UNSPECIFIED, Time(200)), None);
        assert_eq!(advertiser.deadline(), Some(Time(3000)), "when the gap is over");
        assert_eq!(advertiser.on_timeout(Time(2999)), None);
        assert_eq!(advertiser.on_timeout(Time(3000)), Some(ALL_NODES));
        assert_eq!(advertiser.on_solicitation(CLIENT, Time(9000)), Some(ALL_NODES));
    }

    #[test]
    fn unsolicited_ones_slow_down() {
        let mut advertiser = Advertiser::default();
        advertiser.start(Time(0));
        let mut times = Vec::new();
        while times.len() < 6 {
            let now = advertiser.deadline().unwrap();
            advertiser.on_timeout(now);
            times.push(now.0 / 1000);
        }
        assert_eq!(times, [0, 16, 32, 48, 248, 448]);
    }

    #[test]
    fn only_sound_solicitations_count() {
        let sound = [133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1];
        assert!(is_solicitation(&sound, 255, CLIENT));
        assert!(is_solicitation(&sound[..8], 255, Ipv6Addr::UNSPECIFIED));
        assert!(!is_solicitation(&sound, 64, CLIENT), "came through a router");
        assert!(!is_solicitation(&sound, 255, Ipv6Addr::UNSPECIFIED), "a card but no address");
        assert!(!is_solicitation(&sound[..12], 255, CLIENT), "option past the end");
        assert!(!is_solicitation(&[133, 0, 0, 0, 0, 0, 0, 0, 1, 0], 255, CLIENT), "option of length zero");
        assert!(!is_solicitation(&sound, 255, "2001:db8::1".parse().unwrap()));
    }

    #[test]
    fn an_advertisement_without_a_prefix_announces_nobody_as_router() {
        let plain =
            Advertisement { address: None, router: false, resolver: None, search: "edge.example.com".into() };
        let bytes = advertisement(&plain, Some(Mac([2, 0, 0, 0, 0, 1])));
        assert_eq!(bytes, [134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn a_prefix_and_a_resolver_are_announced_in_whole_units() {
        let full = Advertisement {
            address: Some("fd08::1/64".parse().unwrap()),
            router: true,
            resolver: Some("fd08::1".parse().unwrap()),
            search: "edge.example.com".into(),
        };
        let bytes = advertisement(&full, None);
        assert_eq!(bytes.len() % 8, 0);
        assert_eq!(&bytes[6..8], &1800u16.to_be_bytes());
        assert_eq!(&bytes[16..20], &[3, 4, 64, 0xc0]);
        assert_eq!(&bytes[32..48], &"fd08::".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(bytes[48], 25);
        assert_eq!(&bytes[72..74], &[31, 4]);
    }
}
