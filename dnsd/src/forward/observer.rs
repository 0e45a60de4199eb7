//! Word of upstreams that go down and come back: an event, a line in the log, and what there is to do again.

use std::sync::Arc;
use std::time::Duration;

use faros_common::events::{Event, Events};
use tokio::sync::watch;
use tracing::{info, warn};

use super::health::Cause;
use super::surroundings::Surroundings;
use super::vitals::Observer;

/// Tells everybody whom it concerns.
pub(super) struct Announcer {
    pub(super) events: Events,
    pub(super) surroundings: Arc<dyn Surroundings>,
    pub(super) back: Arc<watch::Sender<u64>>,
}

impl Observer for Announcer {
    fn down(&self, upstream: &str, cause: Cause) {
        warn!(event = "upstream_down", upstream, cause = cause.name(), "upstream down");
        self.events.emit(Event::new("upstream_down").with("upstream", upstream).with("cause", cause.name()));
    }

    fn up(&self, upstream: &str, outage: Duration) {
        // What failed meanwhile is to be asked again at once.
        self.surroundings.forget_failures();
        self.back.send_modify(|count| *count += 1);
        let outage_secs = outage.as_secs_f64();
        info!(event = "upstream_up", upstream, outage_secs, "upstream answers again");
        self.events
            .emit(Event::new("upstream_up").with("upstream", upstream).with("outage_secs", outage_secs));
    }
}
