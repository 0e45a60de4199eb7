//! Signed messages, dynamic updates, and zone transfers: who may have them, and what they get.

use std::sync::Arc;

use super::client::Client;
use super::decide::{Asked, Decision, Ede};
use super::{Engine, Ledger, Source, now};
use crate::protocol::body::Written;
use crate::protocol::code::{ede, opcode, rcode};
use crate::protocol::message::{HEADER_BYTES, Query};
use crate::protocol::name::{LowerName, Name};
use crate::update::transfer::Transfer;
use crate::update::tsig::Refused;

/// Where the number of additional records stands in a header.
const ADDITIONALS_AT: usize = 10;

impl Engine {
    /// The reply to an update, or to a question that is signed.
    pub(super) async fn answer_signed(
        self: &Arc<Self>,
        query: &Query<'_>,
        request: &[u8],
        client: &Client,
        ledger: &Ledger,
    ) -> Option<Vec<u8>> {
        if query.opcode == opcode::UPDATE {
            let (reply, outcome) = self.updater.handle(query, request, client.address, now()).await;
            self.counters.updated(outcome.name());
            book(&reply, ledger);
            return Some(reply);
        }
        let mut verified = match self.updater.verify(query, request, now()) {
            Ok(verified) => verified?,
            Err(refused) => return Some(self.refused_signature(query, request, client, ledger, &refused)),
        };
        let unsigned = without_signature(request, query.tsig_at?)?;
        // Boxed, as this is the way back into what called it.
        let mut reply = Box::pin(self.answer_into(&unsigned, client, ledger)).await?;
        verified.sign(&mut reply, now().wall_secs);
        Some(reply)
    }

    /// Begins the zone transfer that `request` asks for.
    ///
    /// # Errors
    /// The refusal that is the answer.
    pub fn transfer(self: &Arc<Self>, request: &[u8], client: &Client) -> Result<Transfer, Vec<u8>> {
        let ledger = &self.shared;
        let query = Query::parse(request).map_err(|_| Vec::new())?;
        let refuse = |code, why| self.error(&query, request, client, ledger, code, why);
        let verified = match self.updater.verify(&query, request, now()) {
            Ok(verified) => verified,
            Err(refused) => {
                return Err(self.refused_signature(&query, request, client, ledger, &refused));
            }
        };
        let policy = self.policy.load();
        if !policy.transfer.grants(client.address.ip(), verified.as_ref()) {
            let mut reply =
                refuse(rcode::REFUSED, Some((ede::PROHIBITED, "this client may not transfer zones")));
            if let Some(mut verified) = verified {
                verified.sign(&mut reply, now().wall_secs);
            }
            return Err(reply);
        }
        let zone = Name::from_wire(query.question.name)
            .ok()
            .and_then(|origin| self.zones.load().zone(&origin).cloned());
        let Some(zone) = zone else {
            let mut reply = refuse(rcode::NOTAUTH, Some((ede::NOT_AUTHORITATIVE, "no such zone here")));
            if let Some(mut verified) = verified {
                verified.sign(&mut reply, now().wall_secs);
            }
            return Err(reply);
        };
        ledger.tally.answered(rcode::NOERROR, Source::Zone);
        self.counters.transfers.inc();
        Ok(Transfer::new(zone, &query, request, false, verified))
    }

    fn refused_signature(
        self: &Arc<Self>,
        query: &Query<'_>,
        request: &[u8],
        client: &Client,
        ledger: &Ledger,
        refused: &Refused,
    ) -> Vec<u8> {
        self.counters.updated(refused.name());
        let mut reply = self.error(query, request, client, ledger, refused.rcode(), None);
        refused.sign(&mut reply, now().wall_secs);
        reply
    }

    fn error(
        self: &Arc<Self>,
        query: &Query<'_>,
        request: &[u8],
        client: &Client,
        ledger: &Ledger,
        code: u16,
        why: Ede,
    ) -> Vec<u8> {
        let name = LowerName::of(query.question.name);
        let view = self.view();
        let of_site = view.policy.access.is_of_site(client.address.ip());
        let asked = Asked::new(query, request, client, &name, of_site);
        self.with_scratch(|out| {
            match view.conclude(&asked, Ok(Written::empty(code)), Source::Policy, why, ledger, out) {
                Decision::Reply(len) => out[..len].to_vec(),
                _ => Vec::new(),
            }
        })
    }
}

/// `request` as it was before it was signed; the signature is its last record.
fn without_signature(request: &[u8], tsig_at: usize) -> Option<Vec<u8>> {
    let mut unsigned = request.get(..tsig_at)?.to_vec();
    let counts = unsigned.get_mut(ADDITIONALS_AT..HEADER_BYTES)?.first_chunk_mut::<2>()?;
    *counts = u16::from_be_bytes(*counts).checked_sub(1)?.to_be_bytes();
    Some(unsigned)
}

fn book(reply: &[u8], ledger: &Ledger) {
    if let Some(flags) = reply.get(3) {
        ledger.tally.answered(u16::from(flags & 0x0f), Source::Policy);
    }
}
