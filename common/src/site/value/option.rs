//! DHCP options by number, as the bytes that go onto the wire.

use std::net::Ipv4Addr;

use super::name::domain_flaw;
use toml::de::DeTable;

use super::{Bounded, Flaw, Text, read_text};
use crate::site::DhcpOption;
use crate::site::read::{Findings, Input, List, Shape, Value, table};

/// A longer option would leave no room for the others in the 1500 bytes of a frame. Up to it, options beyond
/// 255 bytes are sent in parts (RFC 3396).
const OPTION_MAX: usize = 512;

/// Codes whose value is the daemon's to set: each with why.
const OURS: [(u8, &str); 14] = [
    (0, "padding"),
    (1, "the subnet mask follows from lan.address"),
    (50, "clients send it"),
    (51, "set dhcp.lease"),
    (52, "it says how the message itself is laid out"),
    (53, "the message type"),
    (54, "the server's address follows from lan.address"),
    (55, "clients send it"),
    (57, "clients send it"),
    (58, "it follows from dhcp.lease"),
    (59, "it follows from dhcp.lease"),
    (61, "clients send it"),
    (82, "relays send it"),
    (255, "the end mark"),
];

/// Options that carry domain names in their wire form: domain search (RFC 3397), BCMCS controllers (RFC 4280),
/// access network domain (RFC 5986) and SIP servers by name have other headers, so only the plain lists are here.
const NAME_LISTS: [u8; 2] = [119, 88];

table! {
    /// A DHCP option by number. Exactly one of the values beside `code`.
    RawOption {
        /// The option's number (RFC 2132 and the IANA registry). Those that the daemon sets itself are refused.
        "code" code: required Bounded<0, 255>;
        /// Text, without a final zero byte. For the domain search list (119) names separated by blanks or commas,
        /// sent in the form of RFC 3397.
        "text" text: optional Text;
        /// One IPv4 address.
        "ip" ip: optional Ipv4Addr;
        /// IPv4 addresses, one after the other.
        "ips" ips: optional List<Ipv4Addr>;
        /// A number of one byte.
        "u8" u8: optional Bounded<0, 255>;
        /// A number of two bytes.
        "u16" u16: optional Bounded<0, 65535>;
        /// A number of four bytes.
        "u32" u32: optional Bounded<0, 4294967295>;
        /// Bytes as hexadecimal digits; colons and blanks between them do not count.
        "hex" hex: optional Hex;
        /// One byte, 1 or 0.
        "bool" bool: optional bool;
    }
}

impl Value for DhcpOption {
    fn read(input: Input<'_>, found: &mut Findings) -> Option<Self> {
        let spot = input.spot.clone();
        let keys = input.value.as_table().map_or(0, DeTable::len);
        let has_code = input.value.get("code").is_some();
        let raw = RawOption::read(input, found)?;
        if has_code && keys != 2 {
            found
                .error(&spot, format!("{} values for one option", keys - 1))
                .help("exactly one of text, ip, ips, u8, u16, u32, hex, bool beside code");
            return None;
        }
        let code = raw.code.as_ref()?;
        let number: u8 = code.value.narrow()?;
        if let Some((_, why)) = OURS.iter().find(|(ours, _)| *ours == number) {
            found.error(&code.spot, format!("option {number} is not yours to set")).help(*why);
            return None;
        }
        let value = match raw.bytes(number) {
            Ok(value) => value?,
            Err(flaw) => {
                let finding = found.error(&spot, flaw.message);
                if let Some(help) = flaw.help {
                    finding.help(help);
                }
                return None;
            }
        };
        if value.len() > OPTION_MAX {
            found.error(&spot, format!("{} bytes, more than the {OPTION_MAX} of an option", value.len()));
            return None;
        }
        Some(Self { code: number, value })
    }

    fn shape() -> Shape {
        RawOption::shape()
    }
}

impl RawOption {
    /// The bytes for the wire; none where the value itself was refused already.
    fn bytes(&self, code: u8) -> Result<Option<Vec<u8>>, Flaw> {
        if let Some(text) = &self.text {
            let text = &text.value.0;
            return if NAME_LISTS.contains(&code) {
                names(text).map(Some)
            } else {
                Ok(Some(text.as_bytes().to_vec()))
            };
        }
        if let Some(ips) = &self.ips {
            if ips.is_empty() {
                return Err(
                    Flaw::new("no address in the list").help("an option of addresses has one at least")
                );
            }
            return Ok(Some(ips.iter().flat_map(|ip| ip.value.octets()).collect()));
        }
        // The bounds of each width make the cut exact.
        let number = |number: i64, width: usize| number.to_be_bytes()[8 - width..].to_vec();
        Ok(self
            .ip
            .as_ref()
            .map(|ip| ip.value.octets().to_vec())
            .or_else(|| self.u8.as_ref().map(|value| number(value.value.0, 1)))
            .or_else(|| self.u16.as_ref().map(|value| number(value.value.0, 2)))
            .or_else(|| self.u32.as_ref().map(|value| number(value.value.0, 4)))
            .or_else(|| self.hex.as_ref().map(|hex| hex.value.0.clone()))
            .or_else(|| self.bool.as_ref().map(|truth| vec![u8::from(truth.value)])))
    }
}

/// Domain names in wire form, uncompressed, one after the other (RFC 3397 section 2, RFC 1035 section 3.1).
fn names(text: &str) -> Result<Vec<u8>, Flaw> {
    let mut wire = Vec::new();
    for name in text.split([' ', ',']).filter(|name| !name.is_empty()) {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        domain_flaw(&name)?;
        for label in name.split('.') {
            wire.push(label.len() as u8); // at most 63, as proven above
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
    }
    if wire.is_empty() { Err(Flaw::new("no domain name in the text")) } else { Ok(wire) }
}

/// Bytes written as hexadecimal digits.
#[derive(Clone, Debug)]
pub(crate) struct Hex(Vec<u8>);

impl Value for Hex {
    fn read(input: Input<'_>, found: &mut Findings) -> Option<Self> {
        const FORM: &str = "even number of hexadecimal digits, such as 0104c0a80801";
        read_text(&input, FORM, found, |text| {
            let digits: Option<Vec<u8>> = text
                .chars()
                .filter(|c| !matches!(c, ':' | ' '))
                .map(|c| c.to_digit(16).map(|digit| digit as u8))
                .collect();
            match digits {
                Some(digits) if digits.len().is_multiple_of(2) && !digits.is_empty() => {
                    Ok(Self(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()))
                }
                _ => Err(Flaw::not(text, FORM)),
            }
        })
    }

    fn shape() -> Shape {
        Shape::Text { form: "even number of hexadecimal digits, such as 0104c0a80801" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_list_has_the_form_of_rfc_3397() {
        assert_eq!(names("a.bc, d.").unwrap(), b"\x01a\x02bc\0\x01d\0");
        assert!(names(" ").is_err());
        assert!(names("a..b").is_err());
    }
}
