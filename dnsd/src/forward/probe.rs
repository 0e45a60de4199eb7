//! Looking whether an upstream lives: a cheap question, again and again until an answer comes.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until, timeout};

use super::upstream::{Failure, Upstream};

/// How long a probe may take: three round trips and the work of TLS on the slowest of links.
const PROBE_TIMEOUT: Duration = Duration::from_secs(4);
/// Probes of one upstream under way: enough for one each [`health::PROBE_DOWN`](super::health::PROBE_DOWN).
const PROBES_MAX: usize = 16;

/// Probes `upstream` and takes note of its silence. Ends with an answer, or with the upstream: it is held only while
/// a probe is under way.
pub(super) async fn until_answered(upstream: Weak<Upstream>) {
    let _end = Probing(upstream.clone());
    let mut probes = FuturesUnordered::new();
    let mut count = 0u32;
    loop {
        let next = {
            let Some(upstream) = upstream.upgrade() else { return };
            if probes.len() < PROBES_MAX {
                probes.push(once(upstream.clone(), count));
                count = count.saturating_add(1);
            }
            let (now, health) = (Instant::now(), upstream.vitals().health());
            let next = now + health.probe_interval(now);
            health.deadline().filter(|deadline| *deadline > now).map_or(next, |deadline| next.min(deadline))
        };
        let answered = loop {
            tokio::select! {
                Some(answered) = probes.next() => if answered { break true },
                () = sleep_until(next) => break false,
            }
        };
        if answered {
            return;
        }
        let Some(upstream) = upstream.upgrade() else { return };
        upstream.vitals().silent(Instant::now());
    }
}

/// Ends the probing, however it ends.
struct Probing(Weak<Upstream>);

impl Drop for Probing {
    fn drop(&mut self) {
        if let Some(upstream) = self.0.upgrade() {
            upstream.on_probed();
        }
    }
}

async fn once(upstream: Arc<Upstream>, count: u32) -> bool {
    match timeout(PROBE_TIMEOUT, upstream.ask_probe(count)).await {
        Ok(Ok(())) => true,
        Ok(Err(Failure::Down(cause))) => {
            upstream.vitals().failed(cause, Instant::now());
            false
        }
        Ok(Err(_)) | Err(_) => false,
    }
}
