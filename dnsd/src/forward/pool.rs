//! Several upstreams that know the same names: the best is asked first, others when it is late or fails.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use super::counters::Counters;
use super::health::Cause;
use super::question::OwnedQuestion;
use super::upstream::{Answer, Failure, Upstream};

/// Upstreams asked for one question; further ones wait for better times.
pub const ASKED_MAX: usize = 4;

/// The upstreams of one part of the name space.
pub struct Pool {
    upstreams: Vec<Arc<Upstream>>,
    counters: Counters,
}

impl Pool {
    /// A pool; without upstreams, everything fails at once.
    pub fn new(upstreams: Vec<Arc<Upstream>>, counters: Counters) -> Self {
        Self { upstreams, counters }
    }

    /// Its upstreams in the order of the site file.
    pub fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// Why no upstream can be asked, if all are down.
    pub fn down(&self) -> Option<Cause> {
        let mut cause = Cause::Network;
        for upstream in &self.upstreams {
            cause = upstream.vitals().down()?;
        }
        Some(cause)
    }

    /// Looks for life in all upstreams, where that is not under way.
    pub fn probe(&self) {
        self.upstreams.iter().for_each(Upstream::probe);
    }

    /// Asks until an upstream answers, all have failed, or `deadline`.
    ///
    /// # Errors
    /// The failure that says most.
    pub async fn ask(&self, question: &OwnedQuestion, deadline: Instant) -> Result<Answer, Failure> {
        let mut waiting = self.candidates().into_iter();
        let Some(first) = waiting.next() else {
            self.probe();
            return Err(Failure::Down(self.down().unwrap_or(Cause::Network)));
        };
        let mut hedge_at = Instant::now() + first.vitals().health().hedge_after();
        let mut running = FuturesUnordered::new();
        let ask = |upstream: Arc<Upstream>| async move { (upstream.ask(question).await, upstream) };
        running.push(ask(first));
        let mut worst = None;
        loop {
            let next = tokio::select! {
                Some((ended, _)) = running.next() => match ended {
                    Ok(answer) => return Ok(answer),
                    Err(failure) => {
                        worst = Some(weightier(worst, failure));
                        waiting.next()
                    }
                },
                () = sleep_until(hedge_at), if !waiting.as_slice().is_empty() => {
                    self.counters.hedged.inc();
                    let next = waiting.next();
                    // If it is the way out that is cut, the others are found dead at the same time as these.
                    waiting.as_slice().iter().for_each(Upstream::probe);
                    next
                },
                () = sleep_until(deadline) => {
                    for upstream in self.upstreams.iter().filter(|upstream| !upstream.vitals().health().is_sound()) {
                        upstream.vitals().timed_out();
                    }
                    return Err(weightier(worst, Failure::Late));
                }
            };
            if let Some(upstream) = next {
                hedge_at = Instant::now() + upstream.vitals().health().hedge_after();
                running.push(ask(upstream));
            } else if running.is_empty() {
                return Err(worst.unwrap_or(Failure::Late));
            }
        }
    }

    /// The upstreams that are up, the best first.
    fn candidates(&self) -> Vec<Arc<Upstream>> {
        let now = Instant::now();
        let mut up: Vec<_> = self
            .upstreams
            .iter()
            .filter(|upstream| upstream.vitals().down().is_none())
            .map(|upstream| (upstream.vitals().health().score(now), upstream.clone()))
            .collect();
        // Stable: among equals the order of the site file counts.
        up.sort_by_key(|(score, _)| *score);
        up.truncate(ASKED_MAX);
        up.into_iter().map(|(_, upstream)| upstream).collect()
    }
}

/// Of two failures the one that tells the client more.
fn weightier(known: Option<Failure>, new: Failure) -> Failure {
    let weight = |failure: &Failure| match failure {
        Failure::Refused { extended_error: Some(_), .. } => 5,
        Failure::Refused { .. } => 4,
        Failure::Malformed => 3,
        Failure::Late => 2,
        Failure::Down(_) => 1,
        Failure::Exhausted => 0,
    };
    match known {
        Some(known) if weight(&known) >= weight(&new) => known,
        _ => new,
    }
}
