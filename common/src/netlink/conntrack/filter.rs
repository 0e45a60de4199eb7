//! Which connections are meant.

use std::net::IpAddr;

use super::flow::{Flow, Tuple};
use super::kind;
use crate::netlink::attribute::Builder;

/// What a tuple is to be like; what is `None` may be anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ends {
    /// Who sends.
    pub source: Option<IpAddr>,
    /// The sender's port.
    pub source_port: Option<u16>,
    /// Who receives.
    pub destination: Option<IpAddr>,
    /// The receiver's port.
    pub destination_port: Option<u16>,
}

impl Ends {
    /// Any tuple from there.
    pub fn from(source: IpAddr, port: u16) -> Self {
        Self { source: Some(source), source_port: Some(port), ..Self::default() }
    }

    /// Any tuple to there.
    pub fn to(destination: IpAddr, port: u16) -> Self {
        Self { destination: Some(destination), destination_port: Some(port), ..Self::default() }
    }

    fn matches(&self, tuple: &Tuple) -> bool {
        self.source.is_none_or(|source| source == tuple.source)
            && self.source_port.is_none_or(|port| port == tuple.source_port)
            && self.destination.is_none_or(|destination| destination == tuple.destination)
            && self.destination_port.is_none_or(|port| port == tuple.destination_port)
    }
}

/// What a connection is to be like; the default is any.
///
/// The connections to one server behind a translated address: `reply` from that server's address and port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The tuple of who opened it, before translation.
    pub original: Ends,
    /// The tuple of who answers.
    pub reply: Ends,
    /// The protocol above IP.
    pub protocol: Option<u8>,
    /// Value and mask of the mark.
    pub mark: Option<(u32, u32)>,
    /// Value and mask of the status ([`super::Status`]).
    pub status: Option<(u32, u32)>,
    /// The zone.
    pub zone: Option<u16>,
}

impl Filter {
    /// Whether the connection is meant.
    pub fn matches(&self, flow: &Flow) -> bool {
        let masked = |wanted: Option<(u32, u32)>, value: u32| {
            wanted.is_none_or(|(wanted, mask)| value & mask == wanted & mask)
        };
        self.original.matches(&flow.original)
            && self.reply.matches(&flow.reply)
            && self.protocol.is_none_or(|protocol| protocol == flow.original.protocol)
            && masked(self.mark, flow.mark)
            && masked(self.status, flow.status.0)
            && self.zone.is_none_or(|zone| zone == flow.zone)
    }

    /// What the kernel itself can sort out, so that it need not be sent.
    pub(super) fn encode(&self, into: &mut Builder) {
        if let Some((value, mask)) = self.mark {
            into.u32_be(kind::MARK, value & mask);
            into.u32_be(kind::MARK_MASK, mask);
        }
    }

    /// The family that the kernel is asked for; 0: both.
    pub(super) fn family(&self) -> u8 {
        const IPV4: u8 = 2;
        const IPV6: u8 = 10;
        let ends = [self.original, self.reply];
        let mut addresses = ends.iter().flat_map(|ends| [ends.source, ends.destination]).flatten();
        addresses.next().map_or(0, |address| if address.is_ipv4() { IPV4 } else { IPV6 })
    }
}
