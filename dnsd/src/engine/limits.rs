//! What keeps strangers from using this server against others: over UDP nobody vouches for a sender's address.
//!
//! Clients of the site, those that came over a connection, and those that have shown one of our cookies are not
//! limited. The others get a reply that is no more than [`AMPLIFICATION_MAX`] times as long as the request, and only
//! so many of them; beyond, now and then, a word that a real client can act on: "come over TCP" (TC), or "here is
//! your cookie" (BADCOOKIE, RFC 7873 section 5.2.3).

use std::net::IpAddr;

use super::client::{Client, Transport};
use crate::protocol::code::rcode;
use crate::protocol::cookie::{self, Cookies};
use crate::protocol::edns::Edns;
use crate::protocol::rate::{self, RateLimiter};
use crate::protocol::time::Now;

/// How many times longer than the request a reply to an unverified stranger may be.
pub(super) const AMPLIFICATION_MAX: usize = 5;

/// Cookies and response rates.
pub struct Limits {
    cookies: Cookies,
    rate: RateLimiter,
}

/// What becomes of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It goes out.
    Send,
    /// It goes out without records, with TC set.
    Truncate,
    /// The client gets a cookie instead, to come again with.
    Cookie,
    /// Nothing goes out.
    Drop,
}

impl Limits {
    /// Cookies are made with `cookies`, and replies counted by `rate`.
    pub fn new(cookies: Cookies, rate: RateLimiter) -> Self {
        Self { cookies, rate }
    }

    /// Whether the client may be somebody else than it says.
    pub fn is_unverified(&self, client: &Client, edns: Option<&Edns<'_>>, now: Now) -> bool {
        client.transport == Transport::Udp && {
            let cookie = edns.and_then(|edns| edns.cookie.as_ref());
            self.cookies.verdict(cookie, client.address.ip(), now.wall_secs) != cookie::Verdict::Valid
        }
    }

    /// The cookie for the reply, where the request has one.
    pub fn cookie(&self, client: IpAddr, edns: &Edns<'_>, now: Now) -> Option<[u8; 24]> {
        edns.cookie.as_ref().map(|cookie| self.cookies.reply(cookie, client, now.wall_secs))
    }

    /// What becomes of a reply with `code` about `name`, in lower case, to an unverified stranger.
    pub fn fate(&self, client: IpAddr, code: u16, name: &[u8], has_cookie: bool, now: Now) -> Fate {
        let kind = match code {
            rcode::NOERROR => rate::Kind::Answer,
            rcode::NXDOMAIN => rate::Kind::NxDomain,
            _ => rate::Kind::Error,
        };
        match self.rate.check(client, kind, name, now) {
            rate::Verdict::Send => Fate::Send,
            rate::Verdict::Slip if has_cookie => Fate::Cookie,
            rate::Verdict::Slip => Fate::Truncate,
            rate::Verdict::Drop => Fate::Drop,
        }
    }
}
