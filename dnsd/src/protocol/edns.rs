//! The OPT record of EDNS (RFC 6891): what a request asks for in it, and what a reply says in its own.

mod opt;

use super::code::option;
use super::message::Malformed;

pub(super) use opt::Asked;
pub use opt::Opt;

/// The longest reply over UDP, whatever the client offers: with IPv6 and UDP headers it fits the least MTU of IPv6,
/// 1280 octets, and so is never cut into fragments (RFC 8200 section 5, RFC 9715).
pub const UDP_SIZE_MAX: usize = 1232;
/// The longest reply over UDP to a client without EDNS, and the least that any offer means (RFC 6891 section 6.2.3).
pub const UDP_SIZE_PLAIN: usize = 512;
/// The block size to which replies on encrypted transports are padded (RFC 8467 section 4.1).
pub const PADDING_BLOCK: u16 = 468;
/// The OPT record without options: root owner, type, size, extended code, version, flags, length.
pub const OPT_BYTES: usize = 11;

/// The version of EDNS spoken here.
const VERSION: u8 = 0;
/// The flag by which a client accepts DNSSEC records (RFC 3225).
const DNSSEC_OK: u8 = 0x80;
/// Code and length in front of each option.
const OPTION_HEAD: usize = 4;
/// Client and server cookie as replies carry them (RFC 9018 section 3).
const COOKIE_BYTES: usize = 24;

/// The OPT record of a request.
#[derive(Clone, Copy, Debug)]
pub struct Edns<'a> {
    /// The reply size that the client offers for UDP, as sent; see [`Query::udp_size`](super::message::Query::udp_size).
    pub udp_size: u16,
    /// The version: 0, as requests with others are refused.
    pub version: u8,
    /// The client wants DNSSEC records (RFC 3225).
    pub dnssec_ok: bool,
    /// The cookie, if there is one: the first (RFC 7873 section 5.2).
    pub cookie: Option<CookieOption<'a>>,
    /// The client padded, and so wants padding (RFC 7830 section 4).
    pub padding: bool,
    /// The client asks who answers (RFC 5001).
    pub nsid: bool,
    /// The client asks how long a TCP connection may idle (RFC 7828).
    pub keepalive: bool,
    /// All options as sent; proven to end where the record ends.
    pub options: &'a [u8],
}

impl<'a> Edns<'a> {
    /// Reads class, TTL and data of an OPT record. The options of a version other than 0 are not looked at.
    pub(super) fn parse(udp_size: u16, ttl: [u8; 4], options: &'a [u8]) -> Result<Self, Malformed> {
        let [_, version, flags, _] = ttl;
        let mut edns = Self {
            udp_size,
            version,
            dnssec_ok: flags & DNSSEC_OK != 0,
            cookie: None,
            padding: false,
            nsid: false,
            keepalive: false,
            options,
        };
        if version == VERSION && !options.is_empty() {
            edns.read_options()?;
        }
        Ok(edns)
    }

    /// The options one by one: code and content.
    pub fn options(&self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut rest = self.options;
        std::iter::from_fn(move || split_option(&mut rest).ok().flatten())
    }

    /// Goes through all options once; unknown ones are passed over (RFC 6891 section 6.1.2).
    fn read_options(&mut self) -> Result<(), Malformed> {
        let mut rest = self.options;
        while let Some((code, content)) = split_option(&mut rest)? {
            match code {
                option::COOKIE if self.cookie.is_none() => self.cookie = Some(CookieOption::parse(content)?),
                option::PADDING => self.padding = true,
                option::NSID => self.nsid = true,
                option::TCP_KEEPALIVE => self.keepalive = true,
                option::CLIENT_SUBNET => check_client_subnet(content)?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// A cookie as a client sends it (RFC 7873 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CookieOption<'a> {
    /// The client's own part, which the reply repeats.
    pub client: [u8; 8],
    server: &'a [u8],
}

impl<'a> CookieOption<'a> {
    const SERVER_BYTES_MIN: usize = 8;
    const SERVER_BYTES_MAX: usize = 32;

    /// The server's part, as this or some other server once made it: none, or 8 to 32 octets.
    pub fn server(&self) -> &'a [u8] {
        self.server
    }

    /// Reads the content of the option: 8 octets, or 16 to 40; all else is a format error (RFC 7873 section 5.2.2).
    pub(super) fn parse(content: &'a [u8]) -> Result<Self, Malformed> {
        let (client, server) = content.split_first_chunk().ok_or(Malformed::Cookie)?;
        match server.len() {
            0 | Self::SERVER_BYTES_MIN..=Self::SERVER_BYTES_MAX => Ok(Self { client: *client, server }),
            _ => Err(Malformed::Cookie),
        }
    }
}

/// Takes the next option off the front; `None` at the end.
fn split_option<'a>(rest: &mut &'a [u8]) -> Result<Option<(u16, &'a [u8])>, Malformed> {
    if rest.is_empty() {
        return Ok(None);
    }
    let ([a, b, c, d], tail) = rest.split_first_chunk().ok_or(Malformed::OptionLength)?;
    let length = usize::from(u16::from_be_bytes([*c, *d]));
    let (content, tail) = tail.split_at_checked(length).ok_or(Malformed::OptionLength)?;
    *rest = tail;
    Ok(Some((u16::from_be_bytes([*a, *b]), content)))
}

/// Client subnets are not used, but malformed ones are told (RFC 7871 section 6): scope 0 in a request, no prefix
/// longer than its family's addresses, exactly as many octets as the prefix needs, and no bits beyond it.
fn check_client_subnet(content: &[u8]) -> Result<(), Malformed> {
    let ([a, b, source, scope], address) = content.split_first_chunk().ok_or(Malformed::ClientSubnet)?;
    let bits_max = match u16::from_be_bytes([*a, *b]) {
        0 => 0,
        1 => 32,
        2 => 128,
        // A family that is unknown here has a form that is unknown here.
        _ => return Ok(()),
    };
    let bits = usize::from(*source);
    let spare = address.len() * 8 - bits.min(address.len() * 8);
    let stray = address.last().is_some_and(|last| u32::from(*last).trailing_zeros() < spare as u32);
    if *scope != 0 || bits > bits_max || address.len() != bits.div_ceil(8) || stray {
        return Err(Malformed::ClientSubnet);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
