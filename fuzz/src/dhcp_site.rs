//! The site as dhcpd sees it, and packets of clients on it.

use std::net::Ipv4Addr;
use std::sync::{Arc, OnceLock};

use faros_dhcpd::config::Config;
use faros_dhcpd::protocol::message::MAGIC_COOKIE;
use faros_dhcpd::protocol::options::Options;

use crate::site::site;

pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(192, 168, 8, 1);
pub(crate) const RELAY: Ipv4Addr = Ipv4Addr::new(192, 168, 8, 5);
pub(crate) const RESERVED: Ipv4Addr = Ipv4Addr::new(192, 168, 8, 11);

pub(crate) const DISCOVER: u8 = 1;
pub(crate) const OFFER: u8 = 2;
pub(crate) const REQUEST: u8 = 3;
pub(crate) const DECLINE: u8 = 4;
pub(crate) const ACK: u8 = 5;
pub(crate) const NAK: u8 = 6;
pub(crate) const RELEASE: u8 = 7;
pub(crate) const INFORM: u8 = 8;

/// dhcpd's part of the site.
pub(crate) fn config() -> &'static Arc<Config> {
    static CONFIG: OnceLock<Arc<Config>> = OnceLock::new();
    CONFIG.get_or_init(|| {
        let config = Config::of_site(site());
        Arc::new(config.unwrap_or_else(|findings| panic!("the site serves DHCP: {findings:?}")))
    })
}

/// A client's message under construction.
#[derive(Clone)]
pub(crate) struct Packet(pub(crate) Vec<u8>);

impl Packet {
    pub(crate) fn new(kind: u8, card: [u8; 6]) -> Self {
        let mut bytes = vec![0; 240];
        bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
        bytes[4..8].copy_from_slice(&[0xab, card[3], card[4], card[5]]);
        bytes[28..34].copy_from_slice(&card);
        bytes[236..].copy_from_slice(&MAGIC_COOKIE);
        Self(bytes).option(53, &[kind])
    }

    pub(crate) fn option(mut self, code: u8, value: &[u8]) -> Self {
        for part in value.chunks(255) {
            self.0.extend([code, part.len() as u8]);
            self.0.extend_from_slice(part);
        }
        if value.is_empty() {
            self.0.extend([code, 0]);
        }
        self
    }

    pub(crate) fn wants(self, address: Ipv4Addr) -> Self {
        self.option(50, &address.octets())
    }

    pub(crate) fn server(self) -> Self {
        self.option(54, &SERVER.octets())
    }

    pub(crate) fn ciaddr(mut self, address: Ipv4Addr) -> Self {
        self.0[12..16].copy_from_slice(&address.octets());
        self
    }

    pub(crate) fn relayed(mut self) -> Self {
        self.0[24..28].copy_from_slice(&RELAY.octets());
        self
    }

    pub(crate) fn broadcast(mut self) -> Self {
        self.0[10] = 0x80;
        self
    }

    pub(crate) fn uuid(self, last: u8) -> Self {
        let mut value = [0x4e; 17];
        (value[0], value[16]) = (0, last);
        self.option(97, &value)
    }
}

/// All options of a reply.
pub(crate) fn options_of(reply: &[u8]) -> Options<'_> {
    Options::frame(&reply[240..], &reply[108..236], &reply[44..108]).expect("what we send can be framed")
}

pub(crate) fn yiaddr(reply: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(reply[16], reply[17], reply[18], reply[19])
}

pub(crate) fn kind(reply: &[u8]) -> u8 {
    let [kind] = options_of(reply).fixed::<1>(53).expect("a reply has a message type");
    kind
}
