//! What a client may have: the address for a DISCOVER, and yes, no or silence for a REQUEST
//! (RFC 2131 sections 4.3.1 and 4.3.2). Nothing is changed here, so `explain` asks the same questions.

use std::net::Ipv4Addr;

use super::identity::{UuidMoves, Who};
use super::leases::{Leases, Source, State};
use super::outcome::DropReason;
use super::time::Time;
use crate::config::Config;

/// Everything that a decision looks at.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The site.
    pub config: &'a Config,
    /// Who has what.
    pub leases: &'a Leases,
    /// UUIDs that count for nothing.
    pub moves: &'a UuidMoves,
    /// The time.
    pub now: Time,
}

/// The address that a client would be offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// The address.
    pub address: Ipv4Addr,
    /// Whether it is reserved for the client.
    pub reserved: bool,
    /// Where it comes from, if it is new to the client.
    pub source: Option<Source>,
    /// Which rule decided, for people.
    pub rule: String,
}

/// What a client is doing when it sends a REQUEST (RFC 2131 section 4.3.2, table 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// It takes the offer of this server.
    Selecting,
    /// It has started again and would like its old address.
    InitReboot,
    /// It extends its lease, asking its server (renewing) or anybody (rebinding).
    Extending,
}

/// What it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may have the address; the text says by which rule.
    Grant {
        /// Whether it is reserved for the client.
        reserved: bool,
        /// The rule, for people.
        rule: String,
    },
    /// It may not, and should start over; the text says why.
    Refuse(String),
    /// Nothing.
    Silence(DropReason),
}

impl View<'_> {
    /// The address for a client that asks for any, or would like `wish`.
    ///
    /// # Errors
    /// [`DropReason::PoolExhausted`].
    pub fn propose(&self, who: &Who<'_>, wish: Option<Ipv4Addr>) -> Result<Proposal, DropReason> {
        let mut busy = String::new();
        if let Some(reserved) = who.known.and_then(|known| known.address) {
            if !self.is_used_by_another(who, reserved) {
                let rule = format!("reservation: {}", who.because);
                return Ok(Proposal { address: reserved, reserved: true, source: None, rule });
            }
            busy = format!("its reserved address {reserved} is still leased to another client; meanwhile ");
        }
        let proposal = |address, source, rule: String| {
            Ok(Proposal { address, reserved: false, source, rule: format!("{busy}{rule}") })
        };
        if let Some((lease, how)) = who.lease(self.leases, self.config, self.moves, self.now)
            && lease.state != State::Quarantined
            && self.config.in_pool(lease.address)
        {
            return proposal(lease.address, None, format!("the address it has or had last, found {how}"));
        }
        if let Some(wish) = wish.filter(|&wish| self.config.in_pool(wish) && self.leases.at(wish).is_none()) {
            return proposal(
                wish,
                Some(Source::Fresh),
                "the pool address it asked for, which is free".to_owned(),
            );
        }
        let (address, source) = self.leases.next(self.now).ok_or(DropReason::PoolExhausted)?;
        let rule = match source {
            Source::Probed => "the next pool address, probed and found unused",
            Source::Fresh => "the next pool address",
            Source::Ended => "the pool address whose lease ended longest ago",
            Source::StaleOffer => "a pool address that was offered to somebody who did not take it",
            Source::Quarantine => "a pool address taken out of quarantine early, since nothing else is left",
        };
        proposal(address, Some(source), rule.to_owned())
    }

    /// Whether `who` may have `wanted`.
    pub fn judge(&self, who: &Who<'_>, wanted: Ipv4Addr, asking: Asking) -> Verdict {
        let own = who.lease(self.leases, self.config, self.moves, self.now).map(|(lease, _)| lease);
        let has_record = own.is_some_and(|lease| lease.state != State::Quarantined) || who.known.is_some();
        let refuse_if = |speak: bool, why: String| {
            if speak { Verdict::Refuse(why) } else { Verdict::Silence(DropReason::NoBinding) }
        };
        let speak = self.config.authoritative || has_record || asking == Asking::Selecting;

        if !self.config.prefix.contains(&wanted) {
            return refuse_if(speak, format!("{wanted} is not on this network"));
        }
        if let Some(reserved) = who.known.and_then(|known| known.address) {
            let busy = self.is_used_by_another(who, reserved);
            return match (wanted == reserved, busy) {
                (true, false) => {
                    Verdict::Grant { reserved: true, rule: format!("reservation: {}", who.because) }
                }
                (true, true) => Verdict::Refuse(format!("{reserved} is still leased to another client")),
                (false, true) => self.judge_dynamic(who, wanted, asking, speak),
                (false, false) => Verdict::Refuse(format!("{reserved} is reserved for this client")),
            };
        }
        self.judge_dynamic(who, wanted, asking, speak)
    }

    fn judge_dynamic(&self, who: &Who<'_>, wanted: Ipv4Addr, asking: Asking, speak: bool) -> Verdict {
        let refuse_if = |speak: bool, why: String| {
            if speak { Verdict::Refuse(why) } else { Verdict::Silence(DropReason::NoBinding) }
        };
        if let Some(owner) = self.config.reserved_for(wanted) {
            return Verdict::Refuse(format!("{wanted} is reserved for {}", owner.name));
        }
        if !self.config.in_pool(wanted) {
            return refuse_if(speak, format!("{wanted} is not in the pool"));
        }
        let grant = |rule: &str| Verdict::Grant { reserved: false, rule: rule.to_owned() };
        if let Some(lease) = self.leases.at(wanted) {
            if lease.state == State::Quarantined {
                return Verdict::Refuse(format!("{wanted} is in use by somebody else"));
            }
            if who.owns(lease, self.config, self.moves, self.now) {
                return grant("the lease that it has or had last");
            }
            return Verdict::Refuse(format!("{wanted} belongs to another client"));
        }
        let elsewhere = who
            .lease(self.leases, self.config, self.moves, self.now)
            .map(|(lease, _)| lease)
            .filter(|lease| lease.is_live(self.now) && self.config.in_pool(lease.address));
        if let Some(lease) = elsewhere {
            return Verdict::Refuse(format!("its lease is for {}", lease.address));
        }
        match asking {
            Asking::Selecting => grant("the offer had passed, but the address is still free"),
            Asking::Extending if self.config.authoritative => {
                grant("no record of it here, but the address is free and this server alone hands it out")
            }
            Asking::InitReboot | Asking::Extending => {
                refuse_if(speak, format!("nothing is known about {wanted} and this client"))
            }
        }
    }

    /// Whether somebody other than `who` lives on `address`.
    fn is_used_by_another(&self, who: &Who<'_>, address: Ipv4Addr) -> bool {
        self.leases.at(address).is_some_and(|lease| {
            lease.is_live(self.now) && !who.owns(lease, self.config, self.moves, self.now)
        })
    }
}
