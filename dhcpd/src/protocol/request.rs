//! What a client says about itself, each option interpreted when it is asked for.
//!
//! An option whose value cannot be what it should be counts as absent, except for those that decide what a
//! message means (message type, addresses): with these broken the message is not answered.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use dhcproto::v4::MessageType;

use super::message::{FLAG_BROADCAST, Hardware, Malformed, Message};
use super::options::Options;
use crate::code;
use crate::uuid::Uuid;

/// The smallest message that every client must accept (RFC 2132 section 9.10), IP and UDP headers included.
pub const MESSAGE_BYTES_MIN: u16 = 576;

/// The largest message ever sent: one Ethernet frame, whatever a client says it can take.
pub const MESSAGE_BYTES_MAX: u16 = 1500;

/// IP and UDP headers.
const HEADERS_BYTES: usize = 28;

/// A message from a client, with what its options say.
#[derive(Clone, Debug)]
pub struct Request<'p> {
    /// The fixed fields and framed options.
    pub message: Message<'p>,
}

impl<'p> Request<'p> {
    /// Reads a packet.
    ///
    /// # Errors
    /// As [`Message::read`].
    pub fn read(bytes: &'p [u8]) -> Result<Self, Malformed> {
        Message::read(bytes).map(|message| Self { message })
    }

    /// A request that nobody sent, as `explain` asks for it: a DISCOVER of `hardware` with these options.
    pub fn imagined(hardware: Hardware, options: Options<'p>) -> Self {
        let mut chaddr = [0; 16];
        chaddr[..hardware.address().len()].copy_from_slice(hardware.address());
        let message = Message {
            hardware,
            chaddr,
            hops: 0,
            xid: [0; 4],
            secs: 0,
            flags: FLAG_BROADCAST,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            giaddr: Ipv4Addr::UNSPECIFIED,
            options,
        };
        Self { message }
    }

    fn options(&self) -> &Options<'p> {
        &self.message.options
    }

    /// Option 53; `None` if it is missing or not one byte.
    pub fn message_type(&self) -> Option<MessageType> {
        self.options().fixed::<1>(code::MESSAGE_TYPE).map(|[kind]| MessageType::from(kind))
    }

    /// An address option: `Err` if it is there and not four bytes.
    fn address_option(&self, code: u8) -> Result<Option<Ipv4Addr>, u8> {
        match self.options().get(code) {
            None => Ok(None),
            Some(value) => match <[u8; 4]>::try_from(value.as_ref()) {
                Ok(bytes) => Ok(Some(Ipv4Addr::from(bytes)).filter(|address| !address.is_unspecified())),
                Err(_) => Err(code),
            },
        }
    }

    /// Option 50, the address that the client wants.
    ///
    /// # Errors
    /// The code of the option, if it is there and not an address.
    pub fn requested_address(&self) -> Result<Option<Ipv4Addr>, u8> {
        self.address_option(code::REQUESTED_ADDRESS)
    }

    /// Option 54, the server that is meant.
    ///
    /// # Errors
    /// The code of the option, if it is there and not an address.
    pub fn server_identifier(&self) -> Result<Option<Ipv4Addr>, u8> {
        self.address_option(code::SERVER_IDENTIFIER)
    }

    /// Option 61; `None` if it is shorter than the two bytes of RFC 2132 section 9.14.
    pub fn client_identifier(&self) -> Option<Cow<'p, [u8]>> {
        self.options().get(code::CLIENT_IDENTIFIER).filter(|id| id.len() >= 2 && id.len() <= 255)
    }

    /// Option 97, where it names a machine.
    pub fn uuid(&self) -> Option<Uuid> {
        Uuid::of_option(&self.options().get(code::CLIENT_MACHINE_ID)?)
    }

    /// Option 55: what the client wants to be told, in its order.
    pub fn parameter_list(&self) -> Option<Cow<'p, [u8]>> {
        self.options().get(code::PARAMETER_LIST).filter(|list| !list.is_empty())
    }

    /// Whether option 55 names `code`.
    pub fn asks_for(&self, code: u8) -> bool {
        self.parameter_list().is_some_and(|list| list.contains(&code))
    }

    /// The most bytes a UDP payload to this client may have: option 57, at least [`MESSAGE_BYTES_MIN`] and
    /// at most [`MESSAGE_BYTES_MAX`], less the headers.
    pub fn payload_max(&self) -> usize {
        let stated =
            self.options().fixed(code::MAX_MESSAGE_SIZE).map_or(MESSAGE_BYTES_MIN, u16::from_be_bytes);
        usize::from(stated.clamp(MESSAGE_BYTES_MIN, MESSAGE_BYTES_MAX)) - HEADERS_BYTES
    }

    /// Option 51, the lease time the client would like, in seconds.
    pub fn lease_secs(&self) -> Option<u32> {
        self.options().fixed(code::LEASE_TIME).map(u32::from_be_bytes)
    }

    /// Option 60 as text.
    pub fn vendor_class(&self) -> Option<String> {
        let value = self.options().get(code::VENDOR_CLASS)?;
        Some(String::from_utf8_lossy(&value).trim_end_matches('\0').to_owned())
    }

    /// Option 93: every architecture the client can boot (RFC 4578 section 2.1), in its order.
    pub fn architectures(&self) -> Vec<u16> {
        let value = self.options().get(code::CLIENT_ARCHITECTURE).unwrap_or_default();
        value.as_chunks().0.iter().map(|&pair| u16::from_be_bytes(pair)).collect()
    }

    /// Whether iPXE is asking: option 175, or option 77 saying `iPXE`, either bare as iPXE sends it or with
    /// the length bytes of RFC 3004.
    pub fn is_ipxe(&self) -> bool {
        self.options().has(code::ETHERBOOT)
            || self.options().get(code::USER_CLASS).is_some_and(|value| names_ipxe(&value))
    }

    /// Whether option 55 asks for what only iPXE asks for: what is left to see of an iPXE whose own options
    /// a relay took away.
    pub fn asks_like_ipxe(&self) -> bool {
        self.asks_for(code::ETHERBOOT)
    }

    /// Whether the client can do with two messages instead of four (RFC 4039). The option must be empty.
    pub fn rapid_commit(&self) -> bool {
        self.options().get(code::RAPID_COMMIT).is_some_and(|value| value.is_empty())
    }

    /// The name that the client gives itself (option 81, else 12), its first label reduced to what a host
    /// name may hold; `None` if nothing is left.
    pub fn host_name(&self) -> Option<String> {
        let fqdn = self.fqdn().and_then(|fqdn| fqdn.name);
        let raw = match &fqdn {
            Some(name) => Cow::Borrowed(name.as_bytes()),
            None => self.options().get(code::HOST_NAME)?,
        };
        sanitised(&raw)
    }

    /// Option 81 (RFC 4702); `None` if it is shorter than its fixed part.
    pub fn fqdn(&self) -> Option<Fqdn> {
        let value = self.options().get(code::CLIENT_FQDN)?;
        let [flags, _, _, ref name @ ..] = *value else { return None };
        let wire = flags & Fqdn::WIRE != 0;
        let name = if wire { first_label(name) } else { name };
        let name = std::str::from_utf8(name).ok().map(str::to_owned).filter(|name| !name.is_empty());
        Some(Fqdn { flags, name })
    }

    /// Option 82 as it stands in the packet, every instance, ready to be echoed byte for byte.
    pub fn relay_agent(&self) -> Vec<&'p [u8]> {
        self.options().instances(code::RELAY_AGENT).collect()
    }

    /// A sub-option of option 82.
    pub fn relay_sub_option(&self, sub: u8) -> Option<Vec<u8>> {
        let whole = self.options().get(code::RELAY_AGENT)?;
        let mut rest = whole.as_ref();
        while let [number, length, ref value @ ..] = *rest {
            let (value, after) = value.split_at_checked(usize::from(length))?;
            if number == sub {
                return Some(value.to_vec());
            }
            rest = after;
        }
        None
    }

    /// An address in a sub-option of option 82.
    pub fn relay_address(&self, sub: u8) -> Option<Ipv4Addr> {
        <[u8; 4]>::try_from(self.relay_sub_option(sub)?).ok().map(Ipv4Addr::from)
    }
}

/// Sub-option 5 of option 82: the subnet to serve, where it is not giaddr's (RFC 3527).
pub const RELAY_LINK_SELECTION: u8 = 5;

/// Sub-option 11 of option 82: the server identifier to show to the client (RFC 5107).
pub const RELAY_SERVER_OVERRIDE: u8 = 11;

/// What a client says in option 81.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fqdn {
    /// The flags N, E, O and S.
    pub flags: u8,
    /// The name, or its first label in the wire form.
    pub name: Option<String>,
}

impl Fqdn {
    /// S: the server updates the A record.
    pub const SERVER: u8 = 1;
    /// O: the server did otherwise than the client asked.
    pub const OVERRIDE: u8 = 2;
    /// E: names are in wire form.
    pub const WIRE: u8 = 4;
    /// N: no updates by the server.
    pub const NONE: u8 = 8;
}

fn names_ipxe(value: &[u8]) -> bool {
    if value.starts_with(b"iPXE") {
        return true;
    }
    let mut rest = value;
    while let [length, ref class @ ..] = *rest {
        let Some((class, after)) = class.split_at_checked(usize::from(length)) else { return false };
        if class == b"iPXE" {
            return true;
        }
        rest = after;
    }
    false
}

fn first_label(wire: &[u8]) -> &[u8] {
    match *wire {
        [length @ 1..=63, ref rest @ ..] => rest.get(..usize::from(length)).unwrap_or_default(),
        _ => &[],
    }
}

/// The first label of a name in letters, digits and hyphens (RFC 1123 section 2.1); everything from the
/// first other byte on is a reason to refuse the whole name, except a trailing NUL and the rest of a domain.
pub fn sanitised(raw: &[u8]) -> Option<String> {
    let raw = raw.strip_suffix(&[0]).unwrap_or(raw);
    let label = raw.split(|&byte| byte == b'.').next()?;
    let sound = (1..=63).contains(&label.len())
        && label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
        && !label.starts_with(b"-")
        && !label.ends_with(b"-");
    let rest_sound =
        raw.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    (sound && rest_sound).then(|| String::from_utf8_lossy(label).to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(area: &[u8]) -> Request<'_> {
        Request::imagined(
            Hardware::new(1, &[0x52, 0x54, 0, 0, 8, 0x11]),
            Options::frame(area, &[], &[]).unwrap(),
        )
    }

    #[test]
    fn ipxe_is_recognised_in_both_encodings_and_by_its_own_option() {
        assert!(request(&[77, 4, b'i', b'P', b'X', b'E']).is_ipxe(), "bare");
        assert!(request(&[77, 5, 4, b'i', b'P', b'X', b'E']).is_ipxe(), "RFC 3004");
        assert!(request(&[77, 8, 2, b'a', b'b', 4, b'i', b'P', b'X', b'E']).is_ipxe(), "second instance");
        assert!(request(&[175, 3, 177, 1, 0]).is_ipxe());
        assert!(!request(&[77, 6, 5, b'o', b't', b'h', b'e', b'r']).is_ipxe());
        assert!(!request(&[77, 2, 9, b'i']).is_ipxe(), "length past the end");
        assert!(!request(&[77, 0]).is_ipxe());
    }

    #[test]
    fn d15_architectures_are_all_read_and_an_odd_byte_is_ignored() {
        assert_eq!(request(&[93, 4, 0, 7, 0, 16]).architectures(), [7, 16]);
        assert_eq!(request(&[93, 3, 0, 7, 9]).architectures(), [7]);
        assert_eq!(request(&[93, 1, 0]).architectures(), [0u16; 0]);
    }

    #[test]
    fn d45_message_size_is_clamped() {
        assert_eq!(request(&[]).payload_max(), 548);
        assert_eq!(request(&[57, 2, 0, 0]).payload_max(), 548);
        assert_eq!(request(&[57, 2, 2, 0x3f]).payload_max(), 548);
        assert_eq!(request(&[57, 2, 5, 0xc0]).payload_max(), 1444);
        assert_eq!(request(&[57, 2, 0xff, 0]).payload_max(), 1472);
        assert_eq!(request(&[57, 1, 9]).payload_max(), 548, "broken length");
    }

    #[test]
    fn d13_broken_addresses_are_errors_and_broken_hints_are_absent() {
        assert_eq!(request(&[50, 0]).requested_address(), Err(50));
        assert_eq!(request(&[54, 3, 1, 2, 3]).server_identifier(), Err(54));
        assert_eq!(request(&[53, 0]).message_type(), None);
        assert_eq!(request(&[61, 1, 1]).client_identifier(), None);
        assert_eq!(request(&[51, 2, 0, 0]).lease_secs(), None, "D14");
        assert!(!request(&[80, 5, 1, 2, 3, 4, 5]).rapid_commit(), "D16");
        assert_eq!(request(&[81, 2, 0, 0]).fqdn(), None, "D18");
    }

    #[test]
    fn d28_host_names_are_reduced_or_refused() {
        assert_eq!(sanitised(b"Node-1"), Some("node-1".into()));
        assert_eq!(sanitised(b"cp1.edge.example.com"), Some("cp1".into()));
        assert_eq!(sanitised(b"cp1\0"), Some("cp1".into()));
        for bad in [
            &b""[..],
            b"-a",
            b"a-",
            b"a/b",
            b"..",
            b"$(reboot)",
            b"a\0b",
            b"a;b",
            "ä".as_bytes(),
            &[b'a'; 64],
        ] {
            assert_eq!(sanitised(bad), None, "{bad:?}");
        }
        assert_eq!(request(&[81, 7, 4, 0, 0, 3, b'c', b'p', b'1']).host_name(), Some("cp1".into()));
        assert_eq!(request(&[81, 4, 4, 0, 0, 0xc0, 12, 1, b'x']).host_name(), Some("x".into()));
        assert_eq!(request(&[81, 6, 0, 0, 0, b'c', b'p', b'1']).host_name(), Some("cp1".into()));
    }

    #[test]
    fn d33_looped_relay_options_end() {
        assert_eq!(request(&[82, 0]).relay_sub_option(5), None);
        assert_eq!(request(&[82, 4, 1, 200, 0, 0]).relay_sub_option(5), None);
        assert_eq!(request(&[82, 6, 5, 4, 10, 0, 0, 1]).relay_address(5), Some(Ipv4Addr::new(10, 0, 0, 1)));
    }
}
