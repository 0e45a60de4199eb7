//! The OPT record of a reply.

use super::{COOKIE_BYTES, DNSSEC_OK, Edns, OPT_BYTES, OPTION_HEAD, UDP_SIZE_MAX, VERSION};
use crate::protocol::code::{kind, option};

/// What the OPT of a reply carries. There is one if the request had one (RFC 6891 section 7), with the extended
/// part of the response code and the request's DO flag; this is what comes on top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opt {
    /// An extended DNS error: info code, and a text for people (RFC 8914). The text goes first when space is short.
    pub ede: Option<(u16, &'static str)>,
    /// Client and server cookie (RFC 7873 section 5.2).
    pub cookie: Option<[u8; COOKIE_BYTES]>,
    /// Who answers; told only when asked (RFC 5001 section 2.1).
    pub nsid: Option<&'static [u8]>,
    /// Pad to a multiple of so many octets, [`PADDING_BLOCK`](super::PADDING_BLOCK); only for encrypted transports,
    /// and done only when the request has padding itself (RFC 7830 section 4).
    pub pad_to: Option<u16>,
    /// How long an idle TCP connection stays open, in units of 100 ms; only for TCP and TLS (RFC 7828 section 3.3.2).
    pub keepalive: Option<u16>,
}

/// What of the request decides about the OPT of its reply.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::protocol) struct Asked {
    pub(in crate::protocol) dnssec_ok: bool,
    pub(in crate::protocol) nsid: bool,
    pub(in crate::protocol) padding: bool,
}

impl From<&Edns<'_>> for Asked {
    fn from(edns: &Edns<'_>) -> Self {
        Self { dnssec_ok: edns.dnssec_ok, nsid: edns.nsid, padding: edns.padding }
    }
}

impl Opt {
    /// How many octets the record takes without padding.
    pub(in crate::protocol) fn len(&self, asked: Asked) -> usize {
        OPT_BYTES
            + self.ede.map_or(0, |(_, text)| OPTION_HEAD + 2 + text.len())
            + self.cookie.map_or(0, |_| OPTION_HEAD + COOKIE_BYTES)
            + self.nsid.filter(|_| asked.nsid).map_or(0, |id| OPTION_HEAD + id.len())
            + self.keepalive.map_or(0, |_| OPTION_HEAD + 2)
    }

    /// The part of it that is at most `room` octets long: without the text of the error, then without the identity,
    /// then with nothing but the cookie, then bare, even if that is still too long.
    #[cold]
    pub(in crate::protocol) fn within(&self, room: usize, asked: Asked) -> Self {
        let silent = Self { ede: self.ede.map(|(code, _)| (code, "")), pad_to: None, ..self.clone() };
        let unnamed = Self { nsid: None, ..silent.clone() };
        let cookie = Self { cookie: self.cookie, ..Self::default() };
        [silent, unnamed, cookie].into_iter().find(|opt| opt.len(asked) <= room).unwrap_or_default()
    }

    /// Writes the record at `out[at..]`, padded up to `max` at most. There must be room for [`len`](Self::len).
    /// Returns where the record ends.
    pub(in crate::protocol) fn write(
        &self,
        out: &mut [u8],
        at: usize,
        rcode: u16,
        asked: Asked,
        max: usize,
    ) -> usize {
        let flags = if asked.dnssec_ok { DNSSEC_OK } else { 0 };
        let [_, kind] = kind::OPT.to_be_bytes();
        let [size_high, size_low] = (UDP_SIZE_MAX as u16).to_be_bytes();
        let fixed = [0, 0, kind, size_high, size_low, (rcode >> 4) as u8, VERSION, flags, 0, 0, 0];
        out[at..at + OPT_BYTES].copy_from_slice(&fixed);
        let mut end = at + OPT_BYTES;
        if let Some(cookie) = &self.cookie {
            end = write_option(out, end, option::COOKIE, &[cookie]);
        }
        if let Some(id) = self.nsid.filter(|_| asked.nsid) {
            end = write_option(out, end, option::NSID, &[id]);
        }
        if let Some(timeout) = self.keepalive {
            end = write_option(out, end, option::TCP_KEEPALIVE, &[&timeout.to_be_bytes()]);
        }
        if let Some((code, text)) = self.ede {
            end = write_option(out, end, option::EXTENDED_ERROR, &[&code.to_be_bytes(), text.as_bytes()]);
        }
        if let Some(block) = self.pad_to.filter(|block| asked.padding && *block > 0) {
            end = pad(out, end, usize::from(block), max);
        }
        let data = ((end - at - OPT_BYTES) as u16).to_be_bytes();
        out[at + OPT_BYTES - 2..at + OPT_BYTES].copy_from_slice(&data);
        end
    }
}

fn write_option(out: &mut [u8], at: usize, code: u16, parts: &[&[u8]]) -> usize {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out[at..at + 2].copy_from_slice(&code.to_be_bytes());
    out[at + 2..at + OPTION_HEAD].copy_from_slice(&(length as u16).to_be_bytes());
    let mut end = at + OPTION_HEAD;
    for part in parts {
        out[end..end + part.len()].copy_from_slice(part);
        end += part.len();
    }
    end
}

/// Fills the message up to a multiple of `block`, or to `max` where that comes first (RFC 8467 section 4.1).
fn pad(out: &mut [u8], at: usize, block: usize, max: usize) -> usize {
    let head_end = at + OPTION_HEAD;
    let end = head_end.next_multiple_of(block).min(max);
    if head_end > end {
        return at;
    }
    out[at..at + 2].copy_from_slice(&option::PADDING.to_be_bytes());
    out[at + 2..head_end].copy_from_slice(&((end - head_end) as u16).to_be_bytes());
    out[head_end..end].fill(0);
    end
}
