//! What arrives at the well-known port: read requests, and everything that is none (RFC 1350 section 5, RFC 2347).

use std::fmt;

use super::options::{self, Requested};
use super::packet::{ErrorCode, Opcode};

/// The longest packet that is read as a request, in octets. RFC 2347 allows 512; longer ones are read so that
/// their sender gets an answer, but options beyond octet 512 are not negotiated ([`OPTIONS_BYTES_MAX`]).
/// What is beyond this limit is cut off and fails as an unterminated request.
pub const REQUEST_BYTES_MAX: usize = 2048;

/// Where negotiation ends: "the maximum size of a request packet is 512 octets" (RFC 2347). Options that end
/// beyond are treated as unknown ones: not acknowledged.
pub const OPTIONS_BYTES_MAX: usize = 512;

/// The longest file name in octets. A longer one is refused.
pub const NAME_BYTES_MAX: usize = 512;

/// How the file's octets travel (RFC 1350 section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// As they are.
    Octet,
    /// As text: every line ends in CR LF (RFC 764).
    Netascii,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Octet => "octet",
            Self::Netascii => "netascii",
        })
    }
}

/// A well-formed read request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReadRequest {
    /// The name as sent, without its final zero; at least one octet, no more than [`NAME_BYTES_MAX`].
    pub name: Vec<u8>,
    /// The transfer mode.
    pub mode: Mode,
    /// What the client would like.
    pub options: Requested,
}

/// Why a packet at the well-known port is no request that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// Fewer octets than an opcode and a name need.
    TooShort,
    /// An opcode that RFC 1350 and 2347 do not know.
    UnknownOpcode,
    /// DATA, ACK, ERROR or OACK, which belong to a transfer's own port.
    Stray,
    /// A write request: nothing here can be written.
    Write,
    /// The name has no end.
    NameUnterminated,
    /// The name is empty.
    NameEmpty,
    /// The name is longer than [`NAME_BYTES_MAX`].
    NameTooLong,
    /// There is no mode.
    ModeMissing,
    /// The mode is `mail` (obsolete since RFC 1123 section 4.2.2.1) or unknown.
    ModeUnknown,
}

impl RequestError {
    /// The name by which it is counted.
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::UnknownOpcode => "unknown_opcode",
            Self::Stray => "stray",
            Self::Write => "write_refused",
            Self::NameUnterminated => "name_unterminated",
            Self::NameEmpty => "name_empty",
            Self::NameTooLong => "name_too_long",
            Self::ModeMissing => "mode_missing",
            Self::ModeUnknown => "mode_unknown",
        }
    }

    /// What the sender is told; `None`: nothing, because it did not ask, or asked what no client asks, and
    /// an answer could make two servers talk to each other for ever.
    pub fn answer(self) -> Option<(ErrorCode, &'static str)> {
        Some(match self {
            Self::TooShort | Self::UnknownOpcode | Self::Stray => return None,
            Self::Write => (ErrorCode::AccessViolation, "this server is read-only"),
            Self::NameUnterminated => {
                (ErrorCode::IllegalOperation, "the file name has no terminating zero octet")
            }
            Self::NameEmpty => (ErrorCode::IllegalOperation, "the file name is empty"),
            Self::NameTooLong => (ErrorCode::IllegalOperation, "the file name is longer than 512 octets"),
            Self::ModeMissing => (ErrorCode::IllegalOperation, "the transfer mode is missing: use octet"),
            Self::ModeUnknown => {
                (ErrorCode::IllegalOperation, "unknown transfer mode: use octet or netascii")
            }
        })
    }
}

/// Reads a packet that arrived at the well-known port.
///
/// # Errors
/// What it is instead; [`RequestError::answer`] says what to tell the sender.
pub fn parse(packet: &[u8]) -> Result<ReadRequest, RequestError> {
    let [high, low, rest @ ..] = packet else { return Err(RequestError::TooShort) };
    let opcode = Opcode::from_wire(u16::from_be_bytes([*high, *low])).ok_or(RequestError::UnknownOpcode)?;
    match opcode {
        _ if rest.len() < 2 => return Err(RequestError::TooShort),
        Opcode::ReadRequest => {}
        Opcode::WriteRequest => return Err(RequestError::Write),
        Opcode::Data | Opcode::Ack | Opcode::Error | Opcode::OptionAck => return Err(RequestError::Stray),
    }
    let (name, rest) = split_text(rest).ok_or(RequestError::NameUnterminated)?;
    if name.is_empty() {
        return Err(RequestError::NameEmpty);
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(RequestError::NameTooLong);
    }
    let (mode, rest) = split_text(rest).ok_or(RequestError::ModeMissing)?;
    let mode = match mode {
        mode if mode.eq_ignore_ascii_case(b"octet") => Mode::Octet,
        mode if mode.eq_ignore_ascii_case(b"netascii") => Mode::Netascii,
        [] => return Err(RequestError::ModeMissing),
        _ => return Err(RequestError::ModeUnknown),
    };
    // The name may be as long as the whole of an RFC 2347 request; then no option is within the limit.
    let negotiable = OPTIONS_BYTES_MAX.saturating_sub(packet.len() - rest.len()).min(rest.len());
    Ok(ReadRequest { name: name.to_vec(), mode, options: options::parse(&rest[..negotiable]) })
}

/// Splits at the first zero octet.
pub(super) fn split_text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn error_of(packet: &[u8]) -> RequestError {
        parse(packet).unwrap_err()
    }

    #[test]
    fn t01_one_to_three_octets_are_dropped() {
        for packet in [&b""[..], b"\0", b"\0\x01", b"\0\x01a", b"\0\x02\0", b"\xff\xff"] {
            assert_eq!(error_of(packet).answer(), None, "{packet:?}");
        }
    }

    #[test]
    fn t02_unknown_opcodes_are_dropped() {
        for opcode in [0u16, 7, 8, 255, 256, 65535] {
            let packet = [&opcode.to_be_bytes()[..], b"a\0octet\0"].concat();
            assert_eq!(error_of(&packet), RequestError::UnknownOpcode);
        }
    }

    #[test]
    fn t03_to_t06_broken_requests_are_answered_with_error_4() {
        for (packet, expected) in [
            (&b"\0\x01undionly.kpxe"[..], RequestError::NameUnterminated),
            (b"\0\x01undionly.kpxe\0", RequestError::ModeMissing),
            (b"\0\x01undionly.kpxe\0octet", RequestError::ModeMissing),
            (b"\0\x01undionly.kpxe\0\0", RequestError::ModeMissing),
            (b"\0\x01\0octet\0", RequestError::NameEmpty),
            (b"\0\x01a\0MAIL\0", RequestError::ModeUnknown),
            (b"\0\x01a\0binary\0", RequestError::ModeUnknown),
        ] {
            assert_eq!(error_of(packet), expected);
            assert_eq!(expected.answer().unwrap().0, ErrorCode::IllegalOperation);
        }
    }

    #[test]
    fn t07_modes_are_read_in_any_case() {
        assert_eq!(parse(b"\0\x01a\0NeTaScIi\0").unwrap().mode, Mode::Netascii);
        assert_eq!(parse(b"\0\x01a\0OCTET\0").unwrap().mode, Mode::Octet);
    }

    #[test]
    fn t08_an_overlong_name_is_refused() {
        let packet = [b"\0\x01", &[b'a'; 1400][..], b"\0octet\0"].concat();
        assert_eq!(error_of(&packet), RequestError::NameTooLong);
    }

    #[test]
    fn t09_a_utf_16_name_ends_at_its_first_zero() {
        assert_eq!(error_of(b"\0\x01a\0b\0\0\0o\0c\0t\0e\0t\0\0\0"), RequestError::ModeUnknown);
    }

    #[test]
    fn t20_every_write_is_refused_as_access_violation() {
        for packet in [&b"\0\x02a\0octet\0"[..], b"\0\x02garbage", b"\0\x02\0\0"] {
            assert_eq!(error_of(packet).answer().unwrap().0, ErrorCode::AccessViolation);
        }
    }

    #[test]
    fn t21_packets_of_a_transfer_are_dropped_here() {
        for packet in
            [&b"\0\x03\0\x01data"[..], b"\0\x04\0\x01", b"\0\x05\0\x01text\0", b"\0\x06tsize\x000\0"]
        {
            assert_eq!(error_of(packet), RequestError::Stray);
            assert_eq!(error_of(packet).answer(), None);
        }
    }

    #[test]
    fn t28_options_beyond_512_octets_are_not_negotiated() {
        let padding = [b"padding\0", &[b'x'; 480][..], b"\0"].concat();
        let packet = [b"\0\x01a\0octet\0tsize\x000\0", &padding[..], b"blksize\x001024\0"].concat();
        let request = parse(&packet).unwrap();
        assert!(request.options.tsize.is_some());
        assert_eq!(request.options.blksize, None);
    }

    #[test]
    fn ovmfs_first_request_is_read() {
        let request =
            parse(b"\0\x01snponly.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0").unwrap();
        assert_eq!(request.name, b"snponly.efi");
        assert_eq!((request.options.blksize, request.options.windowsize), (Some(1468), Some(4)));
        assert_eq!(request.options.tsize, Some(0));
    }

    proptest! {
        #[test]
        fn any_packet_can_be_read(packet in proptest::collection::vec(any::<u8>(), 0..700)) {
            let _ = parse(&packet);
        }

        #[test]
        fn a_mutated_request_never_yields_an_impossible_name(
            at in 0usize..70, byte in any::<u8>(), cut in 0usize..80,
        ) {
            let mut packet =
                b"\0\x01boot/grub/grub.cfg\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0timeout\x003\0".to_vec();
            packet.truncate(cut.max(2));
            let index = at % packet.len();
            packet[index] = byte;
            if let Ok(request) = parse(&packet) {
                prop_assert!(!request.name.is_empty() && request.name.len() <= NAME_BYTES_MAX);
                prop_assert!(!request.name.contains(&0));
            }
        }
    }
}
