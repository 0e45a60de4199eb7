//! The frame around an answer, and whether the client may have it.

use super::client::{Client, Transport};
use super::decide::{Asked, Decision, DropReason, Ede};
use super::limits::{AMPLIFICATION_MAX, Fate};
use super::log::Note;
use super::{Ledger, Source, View};
use crate::protocol::body::{TooLong, Written};
use crate::protocol::code::rcode;
use crate::protocol::edns::{Edns, Opt, PADDING_BLOCK};
use crate::protocol::reply;

/// How long a connection stays open when it is idle, as clients are told it, in units of 100 ms.
const KEEPALIVE: u16 = 100;

impl View<'_> {
    /// Puts the frame around what `written` says is in `out` behind the question, as far as the client may have it.
    #[inline]
    pub(super) fn conclude(
        &self,
        asked: &Asked<'_>,
        written: Result<Written, TooLong>,
        source: Source,
        ede: Ede,
        ledger: &Ledger,
        out: &mut [u8],
    ) -> Decision {
        let Asked { query, request, client, .. } = *asked;
        let edns = query.edns.as_ref();
        let opt = edns.map(|edns| self.opt(client, edns, ede));
        let code = written.map_or(rcode::NOERROR, |written| written.rcode);
        let mut max = out.len();
        if client.transport == Transport::Udp {
            max = query.udp_size();
            if !asked.of_site && self.engine.limits.is_unverified(client, edns, self.now) {
                match self.limit(asked, code, ledger, out, opt.as_ref()) {
                    Some(decision) => return decision,
                    None => max = max.min(AMPLIFICATION_MAX * request.len()),
                }
            }
        }
        let len = reply::finish(query, request, out, written, opt.as_ref(), max, asked.of_site);
        self.book(asked, code, source, ledger, out, len)
    }

    /// Counts and logs a reply.
    #[inline]
    fn book(
        &self,
        asked: &Asked<'_>,
        code: u16,
        source: Source,
        ledger: &Ledger,
        out: &[u8],
        len: usize,
    ) -> Decision {
        const TRUNCATED: u8 = 0x02;
        if len == 0 {
            return Decision::Drop(DropReason::NoRoom);
        }
        if out[2] & TRUNCATED != 0 {
            self.engine.counters.truncated.inc();
        }
        ledger.tally.answered(code, source);
        if self.policy.query_log {
            let question = asked.query.question;
            ledger.ring.push(&Note {
                now: self.now,
                client: asked.client,
                name: question.name,
                kind: question.kind,
                rcode: code,
                source,
                waited: asked.waited,
            });
        }
        Decision::Reply(len)
    }

    /// What an unverified stranger gets instead of its reply; `None`: it gets it.
    #[cold]
    fn limit(
        &self,
        asked: &Asked<'_>,
        code: u16,
        ledger: &Ledger,
        out: &mut [u8],
        opt: Option<&Opt>,
    ) -> Option<Decision> {
        let Asked { query, request, client, .. } = *asked;
        let limits = &self.engine.limits;
        let has_cookie = query.edns.is_some_and(|edns| edns.cookie.is_some());
        let counters = &self.engine.counters;
        match limits.fate(client.address.ip(), code, asked.name.as_wire(), has_cookie, self.now) {
            Fate::Send => None,
            Fate::Drop => {
                counters.limited("dropped");
                Some(Decision::Drop(DropReason::Limited))
            }
            Fate::Truncate => {
                counters.limited("truncated");
                let len = reply::truncated(query, request, out, opt, query.udp_size(), asked.of_site);
                Some(self.book(asked, code, Source::Policy, ledger, out, len))
            }
            Fate::Cookie => {
                counters.limited("cookie");
                let code = rcode::BADCOOKIE;
                let len = reply::error(query, request, out, code, opt, query.udp_size(), asked.of_site);
                Some(self.book(asked, code, Source::Policy, ledger, out, len))
            }
        }
    }

    #[inline]
    fn opt(&self, client: &Client, edns: &Edns<'_>, ede: Ede) -> Opt {
        let is_connection = matches!(client.transport, Transport::Tcp | Transport::Tls);
        Opt {
            ede,
            cookie: self.engine.limits.cookie(client.address.ip(), edns, self.now),
            nsid: None,
            pad_to: client.transport.is_encrypted().then_some(PADDING_BLOCK),
            keepalive: (is_connection && edns.keepalive).then_some(KEEPALIVE),
        }
    }
}
