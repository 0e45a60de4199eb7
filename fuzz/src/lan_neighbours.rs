//! ARP and router solicitations: what anybody on the LAN may say beside DHCP.

use std::net::Ipv6Addr;
use std::time::Duration;

use faros_common::site::Mac;
use faros_dhcpd::protocol::advertise::{Advertiser, is_solicitation};
use faros_dhcpd::protocol::arp::{claimed, probe};
use faros_dhcpd::protocol::time::Time;

use crate::Target;
use crate::input::Input;

/// Feeds [`claimed`], [`is_solicitation`] and [`Advertiser`].
pub const TARGET: Target = Target { name: "lan_neighbours", run, seeds, memory: (4096, 16) };

fn run(data: &[u8]) {
    if let Some((address, mac)) = claimed(data) {
        assert!(!address.is_unspecified());
        assert_eq!(claimed(&probe(mac, address)), None, "a probe claims something");
    }
    let mut input = Input::new(data);
    let (mut advertiser, mut now) = (Advertiser::default(), Time(1_000_000));
    advertiser.start(now);
    let mut last_multicast = None;
    while !input.is_empty() {
        let (how, hop_limit) = (input.byte(), input.byte());
        now = now + Duration::from_millis(input.u16().into());
        let source = match how & 3 {
            0 => Ipv6Addr::UNSPECIFIED,
            1 => Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, how.into()),
            _ => Ipv6Addr::new(0xfd08, 0, 0, 0, 0, 0, 0, how.into()),
        };
        let message = input.short();
        let hop_limit = if how & 4 != 0 { 255 } else { hop_limit };
        let mut sent = advertiser.on_timeout(now);
        if is_solicitation(message, hop_limit, source) {
            assert!(hop_limit == 255 && message.len() >= 8 && message.len().is_multiple_of(8));
            assert!(source.is_unspecified() || source.is_unicast_link_local(), "an answer beyond the link");
            if sent.is_none() {
                sent = advertiser.on_solicitation(source, now);
                assert!(sent.is_none_or(|to| to.is_multicast() || to == source));
            }
        }
        if sent.is_some_and(|to| to.is_multicast()) {
            assert_ne!(last_multicast.replace(now), Some(now), "twice at one moment");
        }
        assert!(advertiser.deadline().is_some_and(|deadline| deadline >= now), "nothing is due any more");
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let solicitation =
        [&[5, 255, 0, 10, 16][..], &[133, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1]].concat();
    let mut answer = probe(Mac([2, 0, 0, 0, 0, 1]), [192, 168, 8, 130].into()).to_vec();
    (answer[7], answer[14], answer[17]) = (2, 192, 9);
    vec![
        solicitation.clone(),
        solicitation.repeat(5),
        [&[4, 0, 0, 1, 8][..], &[133, 0, 0, 0, 0, 0, 0, 0]].concat(),
        answer,
    ]
}
