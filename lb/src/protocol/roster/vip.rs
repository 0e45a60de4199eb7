//! Whether this bastion is fit to hold the VIP.

use std::time::{Duration, Instant};

/// What a front end has to offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Its name.
    pub frontend: String,
    /// Whether it listens on the VIP (or on every address).
    pub on_vip: bool,
    /// Whether it is the front end of the cluster's API.
    pub is_api: bool,
    /// Servers that get connections and have passed their checks ([`super::Tier::is_healthy`]).
    pub servers: usize,
}

/// The offer has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferChange {
    /// Whether it stands now.
    pub offered: bool,
    /// Why.
    pub reason: String,
}

/// The offer to hold the VIP: it stands while the API has a healthy server; without an API front end on the
/// VIP, while any front end there has one; without any front end there, always, since nothing here speaks
/// against it.
///
/// Changes are made only when what asks for them has lasted: a VIP that moves breaks every connection through
/// it.
#[derive(Clone, Debug)]
pub struct Offer {
    offered: bool,
    reason: String,
    /// Since when the front ends ask for the contrary.
    contrary_since: Option<Instant>,
}

impl Offer {
    /// How long a healthy server must have been there.
    pub const OFFER_AFTER: Duration = Duration::from_secs(2);
    /// How long there must have been none. Checks have taken their own time before.
    pub const WITHDRAW_AFTER: Duration = Duration::from_secs(5);

    /// At start: as it was before (`remembered`), so that a restart does not move the VIP, and else withdrawn
    /// until there is a healthy server.
    pub fn new(remembered: Option<bool>) -> Self {
        let offered = remembered.unwrap_or(false);
        Self {
            offered,
            reason: match remembered {
                Some(_) => "as before the restart; servers are not checked yet",
                None => "servers are not checked yet",
            }
            .to_owned(),
            contrary_since: None,
        }
    }

    /// What all front ends have now; to be told at every change, and at [`Offer::deadline`].
    pub fn observe(&mut self, fronts: &[Serving], now: Instant) -> Option<OfferChange> {
        let (fit, reason) = judge(fronts);
        if fit == self.offered {
            self.contrary_since = None;
            self.reason = reason;
            return None;
        }
        let since = *self.contrary_since.get_or_insert(now);
        if now < since + self.patience() {
            return None;
        }
        self.offered = fit;
        self.contrary_since = None;
        self.reason.clone_from(&reason);
        Some(OfferChange { offered: fit, reason })
    }

    /// When the offer changes if nothing else does.
    pub fn deadline(&self) -> Option<Instant> {
        self.contrary_since.map(|since| since + self.patience())
    }

    /// Whether it stands.
    pub fn is_offered(&self) -> bool {
        self.offered
    }

    /// Why.
    pub fn because(&self) -> &str {
        &self.reason
    }

    fn patience(&self) -> Duration {
        if self.offered { Self::WITHDRAW_AFTER } else { Self::OFFER_AFTER }
    }
}

fn judge(fronts: &[Serving]) -> (bool, String) {
    let on_vip = || fronts.iter().filter(|front| front.on_vip);
    let api = on_vip().find(|front| front.is_api);
    match api {
        Some(Serving { frontend, servers: 0, .. }) => {
            (false, format!("front end {frontend} has no healthy server"))
        }
        Some(Serving { frontend, servers, .. }) => {
            (true, format!("front end {frontend} has {servers} healthy server{}", plural(*servers)))
        }
        None if on_vip().next().is_none() => (true, "no front end listens on the VIP".to_owned()),
        None => match on_vip().find(|front| front.servers > 0) {
            Some(Serving { frontend, servers, .. }) => {
                (true, format!("front end {frontend} has {servers} healthy server{}", plural(*servers)))
            }
            None => (false, "no front end on the VIP has a healthy server".to_owned()),
        },
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
