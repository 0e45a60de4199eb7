//! Replies as bytes: the client's own order of options, splitting, overload, padding, option 82 last.

use std::net::Ipv4Addr;

use dhcproto::v4::MessageType;

use super::frame::PAYLOAD_BYTES_MAX;
use super::message::{BOOTREPLY, FLAG_BROADCAST, HEADER_BYTES, MAGIC_COOKIE};
use super::request::Request;
use crate::code;

/// The least a reply has: what BOOTP promised (RFC 951, RFC 1542 section 2.1), and some ROMs still expect.
pub const REPLY_BYTES_MIN: usize = 300;

/// What the options of a reply take at least, option 82 not counted.
const OPTIONS_BYTES_MIN: usize = 60;

/// The longest name that fits `file` with its final NUL.
const FILE_NAME_MAX: usize = 127;

/// A reply before it becomes bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Option 53.
    pub kind: MessageType,
    /// The address granted, `0.0.0.0` for none.
    pub yiaddr: Ipv4Addr,
    /// The client's own address as it named it.
    pub ciaddr: Ipv4Addr,
    /// The server of the next stage.
    pub siaddr: Ipv4Addr,
    /// The boot file for the `file` field; left out of it if it is too long.
    pub file: Option<String>,
    /// Options in no particular order, without 53 and 82; of equal codes the first counts.
    pub options: Vec<(u8, Vec<u8>)>,
}

/// A reply as bytes, and what did not fit into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The UDP payload.
    pub bytes: Vec<u8>,
    /// Codes of options for which there was no room.
    pub left_out: Vec<u8>,
}

/// Options that come first, in this order, whatever the client's order is: without them a reply is nothing.
const FIRST: [u8; 9] = [
    code::MESSAGE_TYPE,
    code::SERVER_IDENTIFIER,
    code::LEASE_TIME,
    code::RENEWAL_TIME,
    code::REBINDING_TIME,
    code::SUBNET_MASK,
    code::CLIENT_IDENTIFIER,
    code::RAPID_COMMIT,
    code::VENDOR_CLASS,
];

impl Reply {
    /// A reply of `kind` with nothing in it.
    pub fn new(kind: MessageType) -> Self {
        Self {
            kind,
            yiaddr: Ipv4Addr::UNSPECIFIED,
            ciaddr: Ipv4Addr::UNSPECIFIED,
            siaddr: Ipv4Addr::UNSPECIFIED,
            file: None,
            options: Vec::with_capacity(20),
        }
    }

    /// Adds an option.
    pub fn option(&mut self, code: u8, value: impl Into<Vec<u8>>) {
        self.options.push((code, value.into()));
    }

    /// The bytes for the client that sent `request`: its transaction, its order of options, its largest
    /// message. What does not fit the options field goes to `file` and `sname` (option 52) where those are
    /// free, and what fits nowhere is left out, what the client did not ask for first. So is an option 82 beside
    /// which no reply fits into a frame.
    pub fn encode(&self, request: &Request<'_>) -> Encoded {
        let message = &request.message;
        let mut relay: Vec<u8> = request
            .relay_agent()
            .iter()
            .flat_map(|value| [&[code::RELAY_AGENT, value.len() as u8], *value].concat())
            .collect();
        let relay_too_long = HEADER_BYTES + relay.len() + OPTIONS_BYTES_MIN > PAYLOAD_BYTES_MAX;
        if relay_too_long {
            relay.clear();
        }
        let limit = request.payload_max().max(HEADER_BYTES + relay.len() + OPTIONS_BYTES_MIN);
        let room = limit - HEADER_BYTES - relay.len() - 1;
        let mut fields = self.lay_out(request, room);
        if relay_too_long {
            fields.left_out.push(code::RELAY_AGENT);
        }

        let mut bytes = vec![0; HEADER_BYTES];
        bytes[0] = BOOTREPLY;
        bytes[1] = message.hardware.kind;
        bytes[2] = message.hardware.address().len() as u8;
        bytes[4..8].copy_from_slice(&message.xid);
        let nak_by_relay = self.kind == MessageType::Nak && !message.giaddr.is_unspecified();
        let flags = if nak_by_relay { message.flags | FLAG_BROADCAST } else { message.flags };
        bytes[10..12].copy_from_slice(&flags.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.ciaddr.octets());
        bytes[16..20].copy_from_slice(&self.yiaddr.octets());
        bytes[20..24].copy_from_slice(&self.siaddr.octets());
        bytes[24..28].copy_from_slice(&message.giaddr.octets());
        bytes[28..44].copy_from_slice(&message.chaddr);
        bytes[44..44 + fields.sname.len()].copy_from_slice(&fields.sname);
        bytes[108..108 + fields.file.len()].copy_from_slice(&fields.file);
        bytes[236..240].copy_from_slice(&MAGIC_COOKIE);
        bytes.extend_from_slice(&fields.main);
        bytes.extend_from_slice(&relay);
        bytes.push(code::END);
        bytes.resize(bytes.len().max(REPLY_BYTES_MIN), code::PAD);
        Encoded { bytes, left_out: fields.left_out }
    }

    /// Options in the order in which they go out.
    fn ordered(&self, request: &Request<'_>) -> Vec<(u8, Vec<u8>)> {
        let mut wanted = FIRST.to_vec();
        wanted.extend_from_slice(&request.parameter_list().unwrap_or_default());
        let kind = (code::MESSAGE_TYPE, vec![u8::from(self.kind)]);
        let mut rest: Vec<&(u8, Vec<u8>)> = std::iter::once(&kind).chain(&self.options).collect();
        let mut seen = [false; 256];
        seen[usize::from(code::RELAY_AGENT)] = true;
        rest.retain(|option| !std::mem::replace(&mut seen[usize::from(option.0)], true));
        let mut rank = [u16::MAX; 256];
        for (place, &code) in wanted.iter().enumerate().rev() {
            rank[usize::from(code)] = place as u16;
        }
        rest.sort_by_key(|option| (rank[usize::from(option.0)], option.0));
        rest.into_iter().cloned().collect()
    }

    fn lay_out(&self, request: &Request<'_>, room: usize) -> Fields {
        let options = self.ordered(request);
        let file_name = self.file.as_ref().filter(|name| name.len() <= FILE_NAME_MAX);
        let whole: usize = options.iter().map(|(_, value)| encoded_len(value)).sum();
        if whole <= room {
            let mut main = Vec::with_capacity(whole);
            options.iter().for_each(|(code, value)| push(&mut main, *code, value));
            let file = file_name.map(|name| name.as_bytes().to_vec()).unwrap_or_default();
            return Fields { main, file, sname: Vec::new(), left_out: Vec::new() };
        }
        // The boot file also stands in option 67, so its field can be given up.
        let (mut main, mut file, mut sname, mut left_out) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (code, value) in &options {
            let len = encoded_len(value);
            if main.len() + len + 3 <= room {
                push(&mut main, *code, value);
            } else if value.len() <= 255 && file.len() + len < 128 {
                push(&mut file, *code, value);
            } else if value.len() <= 255 && sname.len() + len < 64 {
                push(&mut sname, *code, value);
            } else {
                left_out.push(*code);
            }
        }
        let overload = u8::from(!file.is_empty()) | u8::from(!sname.is_empty()) << 1;
        if overload != 0 {
            push(&mut main, code::OVERLOAD, &[overload]);
        }
        for field in [&mut file, &mut sname] {
            if !field.is_empty() {
                field.push(code::END);
            }
        }
        if file.is_empty() {
            file = file_name.map(|name| name.as_bytes().to_vec()).unwrap_or_default();
        }
        Fields { main, file, sname, left_out }
    }
}

struct Fields {
    main: Vec<u8>,
    file: Vec<u8>,
    sname: Vec<u8>,
    left_out: Vec<u8>,
}

fn encoded_len(value: &[u8]) -> usize {
    value.len() + 2 * value.len().div_ceil(255).max(1)
}

/// Appends an option, split by RFC 3396 where it is longer than 255 bytes.
fn push(field: &mut Vec<u8>, code: u8, value: &[u8]) {
    if value.is_empty() {
        field.extend([code, 0]);
    }
    for part in value.chunks(255) {
        field.extend([code, part.len() as u8]);
        field.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Hardware;
    use super::super::options::Options;
    use super::*;

    fn request(area: &[u8]) -> Request<'_> {
        let hardware = Hardware::new(1, &[0x52, 0x54, 0, 0, 8, 0x11]);
        Request::imagined(hardware, Options::frame(area, &[], &[]).unwrap())
    }

    fn framed(bytes: &[u8]) -> Options<'_> {
        Options::frame(&bytes[240..], &bytes[108..236], &bytes[44..108]).unwrap()
    }

    fn codes(bytes: &[u8]) -> Vec<u8> {
        framed(bytes).iter().map(|(code, _)| code).collect()
    }

    #[test]
    fn the_clients_order_is_kept_and_option_82_is_last_and_verbatim() {
        let area = [55, 3, 15, 6, 3, 82, 4, 1, 200, 9, 9, 12, 1, b'x'];
        let mut reply = Reply::new(MessageType::Offer);
        for code in [3, 6, 15, 54, 119] {
            reply.option(code, [1, 2, 3, 4]);
        }
        let encoded = reply.encode(&request(&area));
        assert_eq!(codes(&encoded.bytes), [53, 54, 15, 6, 3, 119, 82]);
        assert_eq!(framed(&encoded.bytes).get(82).as_deref(), Some(&[1, 200, 9, 9][..]));
    }

    #[test]
    fn an_option_82_that_leaves_no_room_is_left_out() {
        let pieces = |count: usize| [82, 200].into_iter().chain([7; 200]).collect::<Vec<u8>>().repeat(count);
        for (area, whole) in [(pieces(5), true), (pieces(6), false), (pieces(20), false)] {
            let encoded = Reply::new(MessageType::Ack).encode(&request(&area));
            assert!(encoded.bytes.len() <= PAYLOAD_BYTES_MAX, "{}", encoded.bytes.len());
            assert_eq!(framed(&encoded.bytes).has(82), whole);
            assert_eq!(encoded.left_out.contains(&82), !whole);
        }
    }

    #[test]
    fn short_replies_are_padded_to_what_bootp_promised() {
        let encoded = Reply::new(MessageType::Nak).encode(&request(&[]));
        assert_eq!(encoded.bytes.len(), REPLY_BYTES_MIN);
        assert_eq!(encoded.bytes[243], 255);
    }

    #[test]
    fn long_options_are_split_and_read_back_whole() {
        let mut reply = Reply::new(MessageType::Ack);
        let long: Vec<u8> = (0..600).map(|n| n as u8).collect();
        reply.option(121, long.clone());
        let encoded = reply.encode(&request(&[57, 2, 5, 0xc0]));
        assert_eq!(framed(&encoded.bytes).get(121).as_deref(), Some(&long[..]));
    }

    #[test]
    fn what_does_not_fit_overloads_the_free_fields_and_then_is_left_out() {
        let mut reply = Reply::new(MessageType::Ack);
        reply.file = Some("undionly.kpxe".into());
        for code in [200, 201, 202, 203, 204] {
            reply.option(code, vec![code; 100]);
        }
        reply.option(205, vec![5; 40]);
        reply.option(206, vec![6; 50]);
        reply.option(43, vec![3; 150]);
        let encoded = reply.encode(&request(&[55, 2, 204, 43]));
        let options = framed(&encoded.bytes);
        assert!(encoded.bytes.len() <= 548);
        assert!(options.has(204), "asked for: stays");
        assert!(options.has(43), "asked for: stays");
        assert_eq!(options.get(52).as_deref(), Some(&[3][..]));
        assert_eq!(encoded.left_out, [201, 202, 203]);
    }

    #[test]
    fn a_boot_file_stands_in_its_field_when_there_is_room() {
        let mut reply = Reply::new(MessageType::Ack);
        reply.file = Some("undionly.kpxe".into());
        let encoded = reply.encode(&request(&[]));
        assert!(encoded.bytes[108..].starts_with(b"undionly.kpxe\0"));
        reply.file = Some("x".repeat(128));
        assert_eq!(reply.encode(&request(&[])).bytes[108], 0);
    }

    proptest::proptest! {
        #[test]
        fn a_reply_never_exceeds_the_clients_limit_and_reads_back(
            sizes in proptest::collection::vec((1u8..=254, 0usize..400), 0..30),
            limit in 0u16..2000,
            asked in proptest::collection::vec(1u8..=254, 0..20),
        ) {
            let mut area = vec![57, 2];
            area.extend(limit.to_be_bytes());
            if !asked.is_empty() {
                area.extend([55, asked.len() as u8]);
                area.extend(&asked);
            }
            let request = request(&area);
            let mut reply = Reply::new(MessageType::Ack);
            for (code, size) in &sizes {
                if !matches!(*code, 52 | 53 | 82) {
                    reply.option(*code, vec![*code; *size]);
                }
            }
            let encoded = reply.encode(&request);
            proptest::prop_assert!(encoded.bytes.len() <= request.payload_max());
            let options = framed(&encoded.bytes);
            proptest::prop_assert!(options.has(53));
            for (code, value) in reply.options.iter().rev() {
                let first = reply.options.iter().find(|option| option.0 == *code).unwrap();
                if std::ptr::eq(&first.1, value) && !encoded.left_out.contains(code) {
                    let sent = options.get(*code).map(std::borrow::Cow::into_owned);
                    proptest::prop_assert_eq!(sent.as_ref(), Some(value));
                }
            }
        }
    }
}
