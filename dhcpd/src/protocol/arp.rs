//! ARP over Ethernet (RFC 826), as far as probing needs it (RFC 5227).

use std::net::Ipv4Addr;

use faros_common::site::Mac;

/// Bytes of an ARP message for Ethernet and IPv4.
pub const ARP_BYTES: usize = 28;

const PREFIX: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// A probe: "who has `target`?", asked without an address of one's own, so that no cache learns anything
/// (RFC 5227 section 2.1.1).
pub fn probe(sender: Mac, target: Ipv4Addr) -> [u8; ARP_BYTES] {
    let mut bytes = [0; ARP_BYTES];
    bytes[..6].copy_from_slice(&PREFIX);
    bytes[7] = 1;
    bytes[8..14].copy_from_slice(&sender.0);
    bytes[24..28].copy_from_slice(&target.octets());
    bytes
}

/// Who says that it has which address: the sender of any ARP message with an address.
pub fn claimed(bytes: &[u8]) -> Option<(Ipv4Addr, Mac)> {
    let message: &[u8; ARP_BYTES] = bytes.get(..ARP_BYTES)?.try_into().ok()?;
    if message[..6] != PREFIX || message[6] != 0 || !matches!(message[7], 1 | 2) {
        return None;
    }
    let mac = Mac([message[8], message[9], message[10], message[11], message[12], message[13]]);
    let address = Ipv4Addr::new(message[14], message[15], message[16], message[17]);
    (!address.is_unspecified()).then_some((address, mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_claims_nothing_and_an_answer_does() {
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let target = Ipv4Addr::new(192, 168, 8, 130);
        let mut message = probe(mac, target);
        assert_eq!(claimed(&message), None);
        message[7] = 2;
        message[14..18].copy_from_slice(&target.octets());
        assert_eq!(claimed(&message), Some((target, mac)));
        assert_eq!(claimed(&message[..27]), None);
        message[7] = 3;
        assert_eq!(claimed(&message), None);
    }
}
