//! The packets that follow a request: DATA, ACK, ERROR and OACK (RFC 1350 section 5, RFC 2347).

use std::fmt;

/// Octets before the data of a DATA packet: opcode and block number.
pub const DATA_HEADER_BYTES: usize = 4;

/// The longest text of an ERROR that is sent, in octets; what is beyond is cut. Small enough for any
/// firmware's buffer.
pub const ERROR_TEXT_BYTES_MAX: usize = 400;

/// What a packet is (RFC 1350 section 5; 6 from RFC 2347).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[expect(missing_docs, reason = "the names of the RFC")]
pub enum Opcode {
    ReadRequest = 1,
    WriteRequest = 2,
    Data = 3,
    Ack = 4,
    Error = 5,
    OptionAck = 6,
}

impl Opcode {
    /// The opcode with this number.
    pub fn from_wire(number: u16) -> Option<Self> {
        Some(match number {
            1 => Self::ReadRequest,
            2 => Self::WriteRequest,
            3 => Self::Data,
            4 => Self::Ack,
            5 => Self::Error,
            6 => Self::OptionAck,
            _ => return None,
        })
    }
}

/// Why a request or transfer is refused (RFC 1350 appendix, 8 from RFC 2347).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
#[expect(missing_docs, reason = "the names of the RFC")]
pub enum ErrorCode {
    NotDefined = 0,
    FileNotFound = 1,
    AccessViolation = 2,
    DiskFull = 3,
    IllegalOperation = 4,
    UnknownTransferId = 5,
    FileExists = 6,
    NoSuchUser = 7,
    OptionsRefused = 8,
}

/// Writes an ERROR packet (RFC 1350 figure 5-4). Zero octets in `text` would end it early: they become spaces.
pub fn error(code: ErrorCode, text: &str) -> Vec<u8> {
    let mut end = text.len().min(ERROR_TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut packet = Vec::with_capacity(5 + end);
    packet.extend_from_slice(&(Opcode::Error as u16).to_be_bytes());
    packet.extend_from_slice(&(code as u16).to_be_bytes());
    packet.extend(text[..end].bytes().map(|byte| if byte == 0 { b' ' } else { byte }));
    packet.push(0);
    packet
}

/// The header of DATA block `number` (RFC 1350 figure 5-2).
pub fn data_header(number: u16) -> [u8; DATA_HEADER_BYTES] {
    let [high, low] = number.to_be_bytes();
    [0, Opcode::Data as u8, high, low]
}

/// What a client may send within a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FromClient<'a> {
    /// It has every block up to this one.
    Ack(u16),
    /// It gives up. The text is what it says, as far as it is there.
    Error {
        /// The code as sent: clients invent some.
        code: u16,
        /// The text without its final zero.
        text: &'a [u8],
    },
    /// Anything else: nothing that a reading client has to say.
    Stray,
}

impl<'a> FromClient<'a> {
    /// Reads a packet. What follows an ACK's block number is ignored, as some firmware pads.
    pub fn parse(packet: &'a [u8]) -> Self {
        let [high, low, a, b, rest @ ..] = packet else { return Self::Stray };
        let value = u16::from_be_bytes([*a, *b]);
        match Opcode::from_wire(u16::from_be_bytes([*high, *low])) {
            Some(Opcode::Ack) => Self::Ack(value),
            Some(Opcode::Error) => {
                let end = rest.iter().position(|&byte| byte == 0).unwrap_or(rest.len());
                Self::Error { code: value, text: &rest[..end] }
            }
            _ => Self::Stray,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotDefined => "not defined",
            Self::FileNotFound => "file not found",
            Self::AccessViolation => "access violation",
            Self::DiskFull => "disk full",
            Self::IllegalOperation => "illegal operation",
            Self::UnknownTransferId => "unknown transfer id",
            Self::FileExists => "file exists",
            Self::NoSuchUser => "no such user",
            Self::OptionsRefused => "options refused",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn error_is_laid_out_as_in_rfc_1350() {
        assert_eq!(error(ErrorCode::FileNotFound, "no"), b"\0\x05\0\x01no\0");
    }

    #[test]
    fn error_text_is_bounded_and_never_ends_early() {
        let long = error(ErrorCode::NotDefined, &"ä\0".repeat(5000));
        assert!(long.len() <= 5 + ERROR_TEXT_BYTES_MAX);
        assert_eq!(long.iter().skip(4).position(|&byte| byte == 0), Some(long.len() - 5));
    }

    #[test]
    fn what_a_client_sends_is_read() {
        assert_eq!(FromClient::parse(&[0, 4, 1, 2]), FromClient::Ack(0x0102));
        assert_eq!(FromClient::parse(&[0, 4, 1, 2, 0, 0, 0]), FromClient::Ack(0x0102));
        assert_eq!(
            FromClient::parse(b"\0\x05\0\x08abort\0tail"),
            FromClient::Error { code: 8, text: b"abort" }
        );
        assert_eq!(FromClient::parse(b"\0\x05\0\0unended"), FromClient::Error { code: 0, text: b"unended" });
        for stray in [&[][..], &[0, 4, 1], &[0, 3, 0, 1], &[0, 1, 0, 1], &[9, 9, 9, 9]] {
            assert_eq!(FromClient::parse(stray), FromClient::Stray, "{stray:?}");
        }
    }

    proptest! {
        #[test]
        fn any_packet_can_be_read(packet in proptest::collection::vec(any::<u8>(), 0..64)) {
            FromClient::parse(&packet);
        }
    }
}
