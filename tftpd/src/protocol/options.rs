//! Options of a read request and what is agreed on (RFC 2347, 2348, 2349, 7440).
//!
//! An option that is unknown, malformed or out of range is left out of the answer, which means to the
//! client that it was not asked for (RFC 2347). Of a repeated option the first counts.

use std::time::Duration;

use super::packet::{DATA_HEADER_BYTES, Opcode};
use super::request::{Mode, split_text};

/// The size of a block unless another is agreed on (RFC 1350 section 2), in octets.
pub const BLKSIZE_DEFAULT: u16 = 512;
/// The smallest block size (RFC 2348); a smaller request is not acknowledged.
pub const BLKSIZE_MIN: u16 = 8;
/// The largest block size (RFC 2348); a larger request is acknowledged with at most this.
pub const BLKSIZE_MAX: u16 = 65464;
/// The largest window. RFC 7440 allows 65535; clients that ask for more get this, because no receiver of
/// ours is known to hold more in its socket buffer, and one segmented send carries no more.
pub const WINDOWSIZE_MAX: u16 = 64;

/// The longest header of IPv4 (without options) and UDP, in octets.
const HEADERS_V4: usize = 20 + 8;
/// The same of IPv6.
const HEADERS_V6: usize = 40 + 8;

/// What a client asks for; values that no server could agree to are already gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Requested {
    /// `blksize`: octets per block, at least [`BLKSIZE_MIN`].
    pub blksize: Option<u64>,
    /// `tsize`: 0 in a read request, for the file's size.
    pub tsize: Option<u64>,
    /// `timeout`: seconds before a retransmission, 1 to 255.
    pub timeout: Option<u8>,
    /// `windowsize`: blocks per acknowledgement, at least 1.
    pub windowsize: Option<u64>,
    /// `rollover`: the number that follows block 65535, 0 or 1. Not from an RFC: some clients and servers
    /// use it to agree on what the RFCs leave open.
    pub rollover: Option<Rollover>,
    /// Known options in the order of the request, spelt as the client spells them.
    order: Vec<(Known, Vec<u8>)>,
}

/// What follows block number 65535.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rollover {
    /// 0, as nearly every client expects.
    #[default]
    Zero,
    /// 1, on request.
    One,
}

/// The options that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Known {
    Blksize,
    Tsize,
    Timeout,
    Windowsize,
    Rollover,
}

impl Known {
    fn named(name: &[u8]) -> Option<Self> {
        const NAMES: [(&[u8], Known); 5] = [
            (b"blksize", Known::Blksize),
            (b"tsize", Known::Tsize),
            (b"timeout", Known::Timeout),
            (b"windowsize", Known::Windowsize),
            (b"rollover", Known::Rollover),
        ];
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, option)| *option)
    }
}

impl Requested {
    /// Whether these are the options that curl always sends, in its order; no other known client does.
    fn is_of_curl(&self) -> bool {
        const CURL: [Known; 3] = [Known::Tsize, Known::Blksize, Known::Timeout];
        self.order.iter().map(|(option, _)| *option).eq(CURL)
    }
}

/// Reads the pairs of option and value that follow the mode. A pair without its end is not there.
pub(super) fn parse(mut rest: &[u8]) -> Requested {
    let mut requested = Requested::default();
    while let Some((name, after)) = split_text(rest) {
        let Some((value, after)) = split_text(after) else { break };
        rest = after;
        let Some(option) = Known::named(name) else { continue };
        if requested.order.iter().any(|(seen, _)| *seen == option) {
            continue;
        }
        // Noted also when its value is refused: a repetition does not count either.
        requested.order.push((option, name.to_vec()));
        let Some(number) = decimal(value) else { continue };
        match option {
            Known::Blksize => requested.blksize = (number >= u64::from(BLKSIZE_MIN)).then_some(number),
            Known::Tsize => requested.tsize = Some(number),
            Known::Timeout => requested.timeout = u8::try_from(number).ok().filter(|&seconds| seconds > 0),
            Known::Windowsize => requested.windowsize = (number > 0).then_some(number),
            Known::Rollover => {
                requested.rollover = match number {
                    0 => Some(Rollover::Zero),
                    1 => Some(Rollover::One),
                    _ => None,
                };
            }
        }
    }
    requested
}

/// A decimal number of digits alone that fits 64 bits.
fn decimal(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// The largest block whose packet crosses a link of `mtu` octets whole.
pub fn blksize_of_mtu(mtu: usize, ipv6: bool) -> u16 {
    let headers = if ipv6 { HEADERS_V6 } else { HEADERS_V4 };
    let room = mtu.saturating_sub(headers + DATA_HEADER_BYTES);
    u16::try_from(room).unwrap_or(u16::MAX).clamp(BLKSIZE_MIN, BLKSIZE_MAX)
}

/// What both ends will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Octets per block.
    pub blksize: u16,
    /// Blocks per acknowledgement.
    pub windowsize: u16,
    /// The interval of retransmissions, where the client set it.
    pub timeout: Option<Duration>,
    /// What follows block number 65535.
    pub rollover: Rollover,
    /// The OACK packet to send first; `None`: nothing was agreed on, block 1 comes first.
    pub option_ack: Option<Vec<u8>>,
}

/// Agrees on what `requested` says.
///
/// `size` is the file's, which only octet mode can tell before the transfer; `blksize_max` is what the way
/// to the client carries unfragmented ([`blksize_of_mtu`]).
///
/// Curl is not told the size of an empty file: it takes `tsize` 0 in an OACK for an error and gives up
/// (through 7.88 at least). Atftp, tftp-hpa, busybox and tftpy take it as it is meant.
pub fn agree(requested: &Requested, mode: Mode, size: u64, blksize_max: u16) -> Agreement {
    let mut agreed = Agreement {
        blksize: BLKSIZE_DEFAULT,
        windowsize: 1,
        timeout: None,
        rollover: Rollover::default(),
        option_ack: None,
    };
    let mut packet = (Opcode::OptionAck as u16).to_be_bytes().to_vec();
    for (option, spelling) in &requested.order {
        let value = match option {
            Known::Blksize => requested.blksize.map(|wanted| {
                agreed.blksize = clamp(wanted, blksize_max);
                u64::from(agreed.blksize)
            }),
            Known::Tsize => {
                let told = mode == Mode::Octet && !(size == 0 && requested.is_of_curl());
                requested.tsize.filter(|_| told).map(|_| size)
            }
            Known::Timeout => requested.timeout.map(|seconds| {
                agreed.timeout = Some(Duration::from_secs(seconds.into()));
                u64::from(seconds)
            }),
            Known::Windowsize => requested.windowsize.map(|wanted| {
                agreed.windowsize = clamp(wanted, WINDOWSIZE_MAX);
                u64::from(agreed.windowsize)
            }),
            Known::Rollover => requested.rollover.map(|rollover| {
                agreed.rollover = rollover;
                u64::from(rollover == Rollover::One)
            }),
        };
        if let Some(value) = value {
            packet.extend_from_slice(spelling);
            packet.push(0);
            packet.extend_from_slice(value.to_string().as_bytes());
            packet.push(0);
        }
    }
    if packet.len() > 2 {
        agreed.option_ack = Some(packet);
    }
    agreed
}

fn clamp(wanted: u64, most: u16) -> u16 {
    u16::try_from(wanted).unwrap_or(most).min(most)
}

#[cfg(test)]
mod tests;
