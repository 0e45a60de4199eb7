//! DHCP messages as the lab's light nodes speak them (RFC 2131, RFC 2132, RFC 4578).
//!
//! Written apart from the server's own codec on purpose: a mistake in the one does not hide in the other.

use std::net::Ipv4Addr;

use faros_common::site::Mac;

use crate::firmware::Firmware;

/// Who in a machine is speaking: each stage of a boot introduces itself differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaker {
    /// The network card's ROM or the UEFI firmware.
    Firmware(Firmware),
    /// iPXE, started by firmware of that kind.
    Ipxe(Firmware),
    /// The operating system, which names itself by a DUID (RFC 4361).
    System,
}

/// Who we are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    pub(super) mac: Mac,
    /// SMBIOS UUID in the byte order of its text form.
    pub(super) uuid: [u8; 16],
}

/// What a server told us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) kind: u8,
    pub(super) address: Ipv4Addr,
    pub(super) next_server: Ipv4Addr,
    pub(super) boot_file: String,
    options: Vec<(u8, Vec<u8>)>,
}

pub(super) const DISCOVER: u8 = 1;
pub(super) const OFFER: u8 = 2;
pub(super) const REQUEST: u8 = 3;
pub(super) const ACK: u8 = 5;
pub(super) const NAK: u8 = 6;

const COOKIE: [u8; 4] = [99, 130, 83, 99];
const FIXED_LEN: usize = 236;
const BROADCAST: u16 = 0x8000;

impl Reply {
    /// Reads a server's message of the exchange `xid`; `None` if it is none, or broken.
    pub(super) fn parse(bytes: &[u8], xid: u32) -> Option<Self> {
        let fixed = bytes.get(..FIXED_LEN)?;
        if fixed[0] != 2 || fixed[4..8] != xid.to_be_bytes() || bytes.get(FIXED_LEN..FIXED_LEN + 4)? != COOKIE
        {
            return None;
        }
        let options = read_options(&bytes[FIXED_LEN + 4..])?;
        let four = |at: usize| Ipv4Addr::new(fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]);
        let file = options.iter().find(|(code, _)| *code == 67).map_or(&fixed[108..236], |(_, value)| value);
        let end = file.iter().position(|&byte| byte == 0).unwrap_or(file.len());
        Some(Self {
            kind: *options.iter().find(|(code, _)| *code == 53)?.1.first()?,
            address: four(16),
            next_server: four(20),
            boot_file: String::from_utf8_lossy(&file[..end]).into_owned(),
            options,
        })
    }

    /// The option `code`.
    pub(super) fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(other, _)| *other == code).map(|(_, value)| value.as_slice())
    }

    /// An option that is an address.
    pub(super) fn address_option(&self, code: u8) -> Option<Ipv4Addr> {
        let bytes: [u8; 4] = self.option(code)?.get(..4)?.try_into().ok()?;
        Some(Ipv4Addr::from(bytes))
    }

    /// The length of the network's prefix.
    pub(super) fn prefix_len(&self) -> u32 {
        self.address_option(1).map_or(24, |mask| u32::from(mask).leading_ones())
    }
}

/// A DISCOVER, or the REQUEST that takes `offer` up.
pub(super) fn request(speaker: Speaker, identity: Identity, xid: u32, offer: Option<&Reply>) -> Vec<u8> {
    let mut message = vec![0; FIXED_LEN];
    message[0] = 1;
    message[1] = 1;
    message[2] = 6;
    message[4..8].copy_from_slice(&xid.to_be_bytes());
    // UEFI firmware cannot receive unicast before it has an address; BIOS ROMs and iPXE can.
    if matches!(speaker, Speaker::Firmware(Firmware::UefiPxe | Firmware::UefiHttp)) {
        message[10..12].copy_from_slice(&BROADCAST.to_be_bytes());
    }
    message[28..34].copy_from_slice(&identity.mac.0);
    message.extend(COOKIE);
    let mut put = |code: u8, value: &[u8]| {
        message.push(code);
        message.push(u8::try_from(value.len()).expect("every option here is short"));
        message.extend(value);
    };
    put(53, &[if offer.is_some() { REQUEST } else { DISCOVER }]);
    if let Some(offer) = offer {
        put(50, &offer.address.octets());
        if let Some(server) = offer.option(54) {
            put(54, server);
        }
    }
    put(57, &1472_u16.to_be_bytes());
    introduce(speaker, identity, &mut put);
    message.push(255);
    message.resize(message.len().max(300), 0);
    message
}

fn introduce(speaker: Speaker, identity: Identity, put: &mut impl FnMut(u8, &[u8])) {
    let (firmware, class, interface) = match speaker {
        Speaker::System => {
            // Interface number, then a DUID of link-layer form: nothing that the earlier stages have sent.
            let mut duid = vec![255, 0, 0, 0, 1, 0, 3, 0, 1];
            duid.extend(identity.mac.0);
            put(61, &duid);
            put(55, &[1, 3, 6, 12, 15, 42, 119]);
            return;
        }
        Speaker::Firmware(Firmware::UefiHttp) => (Firmware::UefiHttp, "HTTPClient", [1, 3, 0]),
        Speaker::Firmware(Firmware::UefiPxe) => (Firmware::UefiPxe, "PXEClient", [1, 3, 0]),
        Speaker::Firmware(Firmware::Bios) => (Firmware::Bios, "PXEClient", [1, 2, 1]),
        // After HTTP boot iPXE calls itself a PXE client of architecture 7 again.
        Speaker::Ipxe(Firmware::Bios) => (Firmware::Bios, "PXEClient", [1, 2, 1]),
        Speaker::Ipxe(_) => (Firmware::UefiPxe, "PXEClient", [1, 3, 16]),
    };
    let architecture = firmware.architecture();
    let version = u32::from(interface[1]) * 1000 + u32::from(interface[2]);
    put(60, format!("{class}:Arch:{architecture:05}:UNDI:{version:06}").as_bytes());
    put(93, &architecture.to_be_bytes());
    put(94, &interface);
    let mut uuid = vec![0];
    uuid.extend(mixed_endian(identity.uuid));
    put(97, &uuid);
    put(
        55,
        &[1, 3, 6, 7, 12, 15, 17, 43, 54, 60, 66, 67, 119, 128, 129, 130, 131, 132, 133, 134, 135, 175, 203],
    );
    if let Speaker::Ipxe(_) = speaker {
        // iPXE puts its name raw, without the length that RFC 3004 wants.
        put(77, b"iPXE");
        put(175, &[0xb1, 5, 1, 0x1a, 0xf4, 0x10, 0x00, 0xeb, 3, 1, 0, 0, 0x13, 1, 1, 0x17, 1, 1, 0x19, 1, 1]);
        let mut client = vec![1];
        client.extend(identity.mac.0);
        put(61, &client);
    }
}

/// The first three groups of a UUID are little-endian on the wire (RFC 4578 section 2.3, SMBIOS 7.2.1).
fn mixed_endian(mut uuid: [u8; 16]) -> [u8; 16] {
    uuid[0..4].reverse();
    uuid[4..6].reverse();
    uuid[6..8].reverse();
    uuid
}

fn read_options(mut bytes: &[u8]) -> Option<Vec<(u8, Vec<u8>)>> {
    let mut options: Vec<(u8, Vec<u8>)> = Vec::new();
    while let Some((&code, rest)) = bytes.split_first() {
        match code {
            0 => bytes = rest,
            255 => return Some(options),
            _ => {
                let (&len, rest) = rest.split_first()?;
                let value = rest.get(..usize::from(len))?;
                // A value that comes in parts is one value (RFC 3396).
                match options.iter_mut().find(|(other, _)| *other == code) {
                    Some((_, whole)) => whole.extend(value),
                    None => options.push((code, value.to_vec())),
                }
                bytes = &rest[usize::from(len)..];
            }
        }
    }
    Some(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { mac: Mac([0x52, 0x54, 0, 0, 8, 0x11]), uuid: *b"0123456789abcdef" };

    fn options_of(message: &[u8]) -> Vec<(u8, Vec<u8>)> {
        read_options(&message[FIXED_LEN + 4..]).unwrap()
    }

    #[test]
    fn every_stage_introduces_itself_differently() {
        let find = |message: &[u8], code: u8| options_of(message).into_iter().find(|(c, _)| *c == code);
        let bios = request(Speaker::Firmware(Firmware::Bios), IDENTITY, 7, None);
        assert_eq!(find(&bios, 60).unwrap().1, b"PXEClient:Arch:00000:UNDI:002001");
        assert_eq!(find(&bios, 61), None);
        let http = request(Speaker::Firmware(Firmware::UefiHttp), IDENTITY, 7, None);
        assert_eq!(find(&http, 60).unwrap().1, b"HTTPClient:Arch:00016:UNDI:003000");
        assert_eq!(http[10], 0x80, "UEFI asks for broadcast");
        let ipxe = request(Speaker::Ipxe(Firmware::UefiHttp), IDENTITY, 7, None);
        assert_eq!(find(&ipxe, 93).unwrap().1, [0, 7]);
        assert_eq!(find(&ipxe, 77).unwrap().1, b"iPXE");
        let system = request(Speaker::System, IDENTITY, 7, None);
        assert_eq!(find(&system, 61).unwrap().1[0], 255);
    }

    #[test]
    fn a_reply_is_read_and_a_broken_one_refused() {
        let mut reply = vec![0; FIXED_LEN];
        reply[0] = 2;
        reply[7] = 9;
        reply[16..20].copy_from_slice(&[192, 168, 8, 11]);
        reply[108..112].copy_from_slice(b"boot");
        reply.extend(COOKIE);
        reply.extend([53, 1, OFFER, 1, 4, 255, 255, 255, 0, 255]);
        let read = Reply::parse(&reply, 9).unwrap();
        assert_eq!((read.kind, read.boot_file.as_str(), read.prefix_len()), (OFFER, "boot", 24));
        assert!(Reply::parse(&reply, 8).is_none(), "another exchange");
        reply.truncate(FIXED_LEN + 8);
        assert!(Reply::parse(&reply, 9).is_none());
    }

    #[test]
    fn a_uuid_is_mixed_endian_on_the_wire() {
        assert_eq!(&mixed_endian(*b"0123456789abcdef"), b"3210547689abcdef");
    }
}
