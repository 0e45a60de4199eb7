//! How long an answer takes, and therefore when it counts as lost (RFC 6298, as RFC 1123 section 4.2.3.2 asks for).

use std::time::Duration;

/// Before anything was measured.
const INITIAL: Duration = Duration::from_secs(1);
/// Never less: clients write to flash, and a retransmission too early costs more than one too late.
const SHORTEST: Duration = Duration::from_millis(200);
/// Never more.
const LONGEST: Duration = Duration::from_secs(4);

/// Smoothed round-trip time of one transfer.
#[derive(Clone, Debug, Default)]
pub(super) struct RoundTrip {
    smoothed: Option<Duration>,
    variation: Duration,
    shortest: Option<Duration>,
}

impl RoundTrip {
    /// Takes in a round trip of something that was sent once (Karn's rule is the caller's).
    pub(super) fn measured(&mut self, sample: Duration) {
        self.shortest = Some(self.shortest.map_or(sample, |shortest| shortest.min(sample)));
        match self.smoothed {
            None => {
                self.smoothed = Some(sample);
                self.variation = sample / 2;
            }
            Some(smoothed) => {
                self.variation = (self.variation * 3 + smoothed.abs_diff(sample)) / 4;
                self.smoothed = Some((smoothed * 7 + sample) / 8);
            }
        }
    }

    /// How long to wait for an answer.
    pub(super) fn timeout(&self) -> Duration {
        match self.smoothed {
            None => INITIAL,
            Some(smoothed) => (smoothed + 4 * self.variation).clamp(SHORTEST, LONGEST),
        }
    }

    /// What a round trip usually takes; nothing before the first one.
    pub(super) fn typical(&self) -> Duration {
        self.smoothed.unwrap_or_default()
    }

    /// The shortest round trip so far.
    pub(super) fn shortest(&self) -> Duration {
        self.shortest.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeout_follows_the_measured_times_within_its_bounds() {
        let mut rtt = RoundTrip::default();
        assert_eq!(rtt.timeout(), INITIAL);
        rtt.measured(Duration::from_micros(80));
        assert_eq!((rtt.timeout(), rtt.shortest()), (SHORTEST, Duration::from_micros(80)));
        for _ in 0..50 {
            rtt.measured(Duration::from_millis(600));
        }
        assert!((600..900).contains(&(rtt.timeout().as_millis())), "{:?}", rtt.timeout());
        rtt.measured(Duration::from_secs(60));
        assert_eq!(rtt.timeout(), LONGEST);
        assert_eq!(rtt.shortest(), Duration::from_micros(80));
    }
}
