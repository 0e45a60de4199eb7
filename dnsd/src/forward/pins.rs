//! Names kept answerable: asked for ahead of their expiry, again and again while upstream is down, and at once
//! when it is back.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::protocol::code::kind;
use crate::protocol::name::Name;
use crate::site_zones::Source;

use super::{Forwarder, OwnedQuestion};

/// Pinned names are asked for again when three quarters of their time are over, but no more often than this.
const REFRESH_MIN: Duration = Duration::from_secs(5);
/// They are asked for at least this often.
const REFRESH_MAX: Duration = Duration::from_secs(3600);
/// The first wait after a failure; each further one doubles it.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// The greatest wait after a failure.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Types that are pinned.
const KINDS: [u16; 2] = [kind::A, kind::AAAA];

/// One pinned question.
#[derive(Clone, Debug)]
struct Pin {
    question: OwnedQuestion,
    due: Instant,
    failures: u32,
    /// It has not been looked at yet; the answer may be at hand since before a restart.
    is_new: bool,
}

impl Pin {
    fn new(name: &Name, kind: u16, now: Instant) -> Self {
        Self { question: OwnedQuestion::new(name.clone(), kind), due: now, failures: 0, is_new: true }
    }

    /// It was asked for; `fresh` is how long the answer may be kept.
    fn on_answer(&mut self, fresh: Option<Duration>, now: Instant) {
        self.failures = 0;
        self.due = now + fresh.map_or(REFRESH_MIN, |fresh| (fresh * 3 / 4).clamp(REFRESH_MIN, REFRESH_MAX));
    }

    fn on_failure(&mut self, now: Instant) {
        let wait = RETRY_MIN.saturating_mul(1 << self.failures.min(8));
        self.failures += 1;
        self.due = now + wait.min(RETRY_MAX);
    }
}

/// Keeps the pins of `forwarder` as long as it lives. One question at a time: nobody waits for these.
pub(super) async fn keep(forwarder: Weak<Forwarder>) {
    let Some(mut back) = forwarder.upgrade().map(|forwarder| forwarder.back.subscribe()) else { return };
    let mut pins: Vec<Pin> = Vec::new();
    loop {
        let Some(live) = forwarder.upgrade() else { return };
        back.borrow_and_update();
        adjust(&mut pins, &live.state.load().config.pins, Instant::now());
        while let Some(pin) =
            pins.iter_mut().min_by_key(|pin| pin.due).filter(|pin| pin.due <= Instant::now())
        {
            refresh(&live, pin).await;
        }
        drop(live);
        let due = pins.iter().map(|pin| pin.due).min();
        let idle = Instant::now() + REFRESH_MAX;
        tokio::select! {
            () = sleep_until(due.unwrap_or(idle)) => {}
            changed = back.changed() => {
                if changed.is_err() {
                    return;
                }
                // What failed is tried at once.
                let now = Instant::now();
                pins.iter_mut().filter(|pin| pin.failures > 0).for_each(|pin| pin.due = now);
            }
        }
    }
}

/// Makes `pins` those of `names`; what stays keeps its time.
fn adjust(pins: &mut Vec<Pin>, names: &[Name], now: Instant) {
    pins.retain(|pin| names.contains(&pin.question.name));
    for name in names {
        if !pins.iter().any(|pin| pin.question.name == *name) {
            pins.extend(KINDS.map(|kind| Pin::new(name, kind, now)));
        }
    }
}

async fn refresh(forwarder: &Arc<Forwarder>, pin: &mut Pin) {
    // Names of our own zones are always there.
    if forwarder.surroundings.owns(&pin.question.name) {
        return pin.on_answer(Some(REFRESH_MAX * 2), Instant::now());
    }
    if std::mem::take(&mut pin.is_new)
        && let Some(fresh) = forwarder.surroundings.remaining(&pin.question)
    {
        return pin.on_answer(Some(fresh), Instant::now());
    }
    let resolved = forwarder.resolve(&pin.question).await;
    let now = Instant::now();
    if resolved.source == Source::Failure {
        pin.on_failure(now);
    } else {
        let fresh = resolved.body.min_ttl().map(|secs| Duration::from_secs(secs.into()));
        pin.on_answer(fresh, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    #[test]
    fn a_pin_is_due_well_before_it_expires() {
        let now = Instant::now();
        let mut pin = Pin::new(&name("quay.io."), kind::A, now);
        for (fresh, due) in [(60, 45), (1, 5), (86_400, 3600)] {
            pin.on_answer(Some(Duration::from_secs(fresh)), now);
            assert_eq!(pin.due - now, Duration::from_secs(due));
        }
    }

    #[test]
    fn failures_are_retried_with_growing_patience() {
        let now = Instant::now();
        let mut pin = Pin::new(&name("quay.io."), kind::A, now);
        let waits: Vec<u64> = (0..7)
            .map(|_| {
                pin.on_failure(now);
                (pin.due - now).as_secs()
            })
            .collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        pin.on_answer(Some(Duration::from_secs(60)), now);
        assert_eq!(pin.failures, 0);
    }

    #[test]
    fn both_address_types_are_pinned_and_a_reload_keeps_what_stays() {
        let now = Instant::now();
        let mut pins = Vec::new();
        adjust(&mut pins, &[name("quay.io."), name("a.example.")], now);
        assert_eq!(pins.len(), 4);
        pins[0].on_answer(Some(Duration::from_secs(60)), now);
        adjust(&mut pins, &[name("QUAY.io."), name("b.example.")], now);
        assert_eq!(pins.len(), 4);
        assert!(pins[0].due > now);
        assert!(pins.iter().all(|pin| pin.question.name != name("a.example.")));
    }
}
