//! Whether an upstream answers, and how fast: told what was sent and what came, and what time it is.
//!
//! ```text
//!          answer                      silence for `patience`, or a network error
//!   ┌───────────────┐    ┌────────────────────────────────────────────────────┐
//!   ▼               │    │                                                    ▼
//!   Up ── no answer within `hedge_after` ──► Up, suspected (probes run)        Down (probes run)
//!   ▲                                                                          │
//!   └──────────────────────────────── any answer ──────────────────────────────┘
//! ```
//!
//! A single name that takes its upstream long is no silence: probes with a cheap question tell the two apart. They
//! also measure the path, apart from what the upstream itself takes for a name that it has to ask for in turn: two
//! times are kept, and only that of the path says how long silence is to be borne.

use std::time::Duration;

use tokio::time::Instant;

/// How long an answer is waited for before another upstream is asked as well, while nothing is known of the first.
pub const HEDGE_UNKNOWN: Duration = Duration::from_millis(200);
/// The least such time: below it, jitter alone would double the traffic.
pub const HEDGE_MIN: Duration = Duration::from_millis(100);
/// The greatest such time.
pub const HEDGE_MAX: Duration = Duration::from_millis(300);

/// The same where the path itself is slow: satellites take 600 to 1200 ms for an answer.
pub const HEDGE_SLOW: Duration = Duration::from_millis(1000);

/// Silence after which an upstream is down, if its path is fast or not known. With a probe sent every
/// [`PROBE_SUSPECT`], at least three questions went unanswered by then.
pub const PATIENCE_MIN: Duration = Duration::from_millis(500);
/// The same for slow paths.
pub const PATIENCE_MAX: Duration = Duration::from_millis(1600);

/// The time between probes of an upstream that is suspected.
pub const PROBE_SUSPECT: Duration = Duration::from_millis(150);
/// The time between probes of an upstream that went down a short while ago.
pub const PROBE_DOWN: Duration = Duration::from_millis(250);
/// The time between probes of one that is down for longer than [`PROBE_EAGER`].
pub const PROBE_DOWN_LONG: Duration = Duration::from_millis(500);
/// How long probes are sent every [`PROBE_DOWN`].
pub const PROBE_EAGER: Duration = Duration::from_secs(60);

/// How long an upstream that refused a question comes after all others.
pub const REFUSAL_MEMORY: Duration = Duration::from_secs(30);

/// Why an upstream is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It does not answer.
    Silence,
    /// The network says that it cannot be reached.
    Network,
    /// It cannot prove its name, or breaks the rules of TLS.
    Tls,
}

impl Cause {
    /// The word in events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Network => "network",
            Self::Tls => "tls",
        }
    }
}

/// A change that operators are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It went down.
    Down(Cause),
    /// It answers again, after so long.
    Up(Duration),
}

/// What is known of one upstream.
#[derive(Clone, Debug)]
pub struct Health {
    down: Option<(Instant, Cause)>,
    /// Smoothed round trip time and its variation, as RFC 6298 section 2 has them.
    round_trip: Option<(Duration, Duration)>,
    /// The round trip time of the path alone.
    path: Option<Duration>,
    /// When the oldest question was sent that nothing came after.
    silent_since: Option<Instant>,
    /// A connection that came about has prolonged this silence; a second one does not.
    prolonged: bool,
    refused: Option<Instant>,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    /// Of an upstream that nothing is known of; it counts as up.
    pub const fn new() -> Self {
        Self { down: None, round_trip: None, path: None, silent_since: None, prolonged: false, refused: None }
    }

    /// A question was sent.
    pub fn on_sent(&mut self, now: Instant) {
        self.silent_since.get_or_insert(now);
    }

    /// An answer came, whatever it says; `round_trip` if it is known which sending it answers (Karn's algorithm).
    pub fn on_answer(&mut self, round_trip: Option<Duration>, now: Instant) -> Option<Change> {
        self.silent_since = None;
        self.prolonged = false;
        if let Some(sample) = round_trip {
            self.path = Some(self.path.map_or(sample, |path| path.min(sample)));
            self.round_trip = Some(match self.round_trip {
                None => (sample, sample / 2),
                Some((smoothed, variation)) => {
                    ((smoothed * 7 + sample) / 8, (variation * 3 + smoothed.abs_diff(sample)) / 4)
                }
            });
        }
        self.down.take().map(|(since, _)| Change::Up(now.saturating_duration_since(since)))
    }

    /// A probe was answered after so long.
    pub fn on_path(&mut self, sample: Duration) {
        self.path = Some(match self.path {
            Some(path) if sample > path => (path + sample) / 2,
            _ => sample,
        });
    }

    /// A sign of life that is no answer: a connection was made. It counts once: who accepts and never answers is
    /// as good as dead.
    pub fn on_connected(&mut self, now: Instant) {
        if self.silent_since.is_some() && !self.prolonged {
            self.silent_since = Some(now);
            self.prolonged = true;
        }
    }

    /// The network, or TLS, refused: no answer will come.
    pub fn on_error(&mut self, cause: Cause, now: Instant) -> Option<Change> {
        self.go_down(cause, now)
    }

    /// It answered that it will not answer such questions.
    pub fn on_refusal(&mut self, now: Instant) {
        self.refused = Some(now);
    }

    /// Time has passed without an answer.
    pub fn on_silence(&mut self, now: Instant) -> Option<Change> {
        let since = self.silent_since?;
        (now.saturating_duration_since(since) >= self.patience())
            .then(|| self.go_down(Cause::Silence, now))?
    }

    /// A question is late. Silence from before it, which nobody looked into, does not count.
    pub fn on_suspected(&mut self, now: Instant) {
        if self.down.is_none() {
            let earliest = now.checked_sub(self.hedge_after()).unwrap_or(now);
            self.silent_since = Some(self.silent_since.map_or(now, |since| since.max(earliest)));
        }
    }

    /// Why it is down, and since when.
    pub fn down(&self) -> Option<(Instant, Cause)> {
        self.down
    }

    /// The smoothed round trip time.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip.map(|(smoothed, _)| smoothed).or(self.path)
    }

    /// How long to wait for an answer before asking another upstream as well, and before sending once more.
    pub fn hedge_after(&self) -> Duration {
        let usual = self.round_trip.map_or(HEDGE_UNKNOWN, |(smoothed, variation)| {
            (smoothed + variation * 4).clamp(HEDGE_MIN, HEDGE_MAX)
        });
        self.path.map_or(usual, |path| usual.max((path * 5 / 4).min(HEDGE_SLOW)))
    }

    /// The silence after which it counts as down.
    pub fn patience(&self) -> Duration {
        self.path.map_or(PATIENCE_MIN, |path| (path * 3).clamp(PATIENCE_MIN, PATIENCE_MAX))
    }

    /// When to send the next probe, where one was sent at `now`.
    pub fn probe_interval(&self, now: Instant) -> Duration {
        match self.down {
            None => PROBE_SUSPECT,
            Some((since, _)) if now.saturating_duration_since(since) < PROBE_EAGER => PROBE_DOWN,
            Some(_) => PROBE_DOWN_LONG,
        }
    }

    /// When silence will take it down, unless something comes.
    pub fn deadline(&self) -> Option<Instant> {
        if self.down.is_some() { None } else { Some(self.silent_since? + self.patience()) }
    }

    /// Whether it needs no probes.
    pub fn is_sound(&self) -> bool {
        self.down.is_none() && self.silent_since.is_none()
    }

    /// The order in which upstreams are asked: the least first. Unknown ones come between fast and slow ones,
    /// silent ones after the others, those that refuse last.
    pub fn score(&self, now: Instant) -> (bool, Duration) {
        let refuses = self.refused.is_some_and(|at| now.saturating_duration_since(at) < REFUSAL_MEMORY);
        let silence = self.silent_since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        let usual = self.round_trip().unwrap_or(HEDGE_MIN);
        (refuses, if silence > self.hedge_after() { usual + silence } else { usual })
    }

    fn go_down(&mut self, cause: Cause, now: Instant) -> Option<Change> {
        if let Some((_, known)) = &mut self.down {
            *known = cause;
            return None;
        }
        self.down = Some((now, cause));
        Some(Change::Down(cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn silence_takes_it_down_once_and_an_answer_brings_it_up_once() {
        let start = Instant::now();
        let mut health = Health::new();
        health.on_sent(start);
        health.on_sent(start + ms(300));
        assert_eq!(health.on_silence(start + ms(499)), None);
        assert_eq!(health.on_silence(start + ms(500)), Some(Change::Down(Cause::Silence)));
        assert_eq!(health.on_silence(start + ms(900)), None);
        assert_eq!(health.on_error(Cause::Network, start + ms(950)), None);
        assert_eq!(health.on_answer(None, start + ms(1500)), Some(Change::Up(ms(1000))));
        assert_eq!(health.on_answer(None, start + ms(1501)), None);
        assert!(health.is_sound());
    }

    #[test]
    fn an_answer_to_anything_ends_the_silence() {
        let start = Instant::now();
        let mut health = Health::new();
        health.on_sent(start);
        health.on_answer(None, start + ms(490));
        assert_eq!(health.on_silence(start + ms(700)), None);
        health.on_sent(start + ms(700));
        assert_eq!(health.on_silence(start + ms(1199)), None);
        assert!(health.on_silence(start + ms(1200)).is_some());
    }

    #[test]
    fn silence_that_nobody_looked_into_does_not_count() {
        let start = Instant::now();
        let mut health = Health::new();
        health.on_sent(start);
        health.on_suspected(start + ms(60_000));
        assert_eq!(health.on_silence(start + ms(60_000)), None);
        assert!(health.on_silence(start + ms(60_400)).is_some());
    }

    #[test]
    fn who_accepts_connections_and_never_answers_goes_down() {
        let start = Instant::now();
        let mut health = Health::new();
        health.on_sent(start);
        health.on_connected(start + ms(400));
        assert_eq!(health.on_silence(start + ms(600)), None);
        health.on_connected(start + ms(800));
        assert!(health.on_silence(start + ms(900)).is_some());
    }

    #[test]
    fn a_network_error_takes_it_down_at_once() {
        let mut health = Health::new();
        assert_eq!(health.on_error(Cause::Network, Instant::now()), Some(Change::Down(Cause::Network)));
        assert_eq!(health.down().map(|(_, cause)| cause), Some(Cause::Network));
    }

    #[test]
    fn times_follow_the_link() {
        let now = Instant::now();
        let mut health = Health::new();
        assert_eq!((health.hedge_after(), health.patience()), (HEDGE_UNKNOWN, PATIENCE_MIN));
        for _ in 0..50 {
            health.on_answer(Some(ms(10)), now);
        }
        assert_eq!((health.hedge_after(), health.patience()), (HEDGE_MIN, PATIENCE_MIN));
        // The link becomes a satellite's. Its answers come after the query was sent again, so only probes tell.
        for _ in 0..8 {
            health.on_answer(None, now);
            health.on_path(ms(650));
        }
        assert!(health.hedge_after() > ms(780), "{:?}", health.hedge_after());
        assert_eq!(health.patience(), PATIENCE_MAX);
        health.on_path(ms(20));
        assert_eq!((health.hedge_after(), health.patience()), (HEDGE_MIN, PATIENCE_MIN));
    }

    #[test]
    fn slow_names_do_not_make_the_path_slow() {
        let now = Instant::now();
        let mut health = Health::new();
        for sample in [12, 800, 1500, 400, 900] {
            health.on_answer(Some(ms(sample)), now);
        }
        assert_eq!((health.hedge_after(), health.patience()), (HEDGE_MAX, PATIENCE_MIN));
    }

    #[test]
    fn the_fast_and_willing_come_first() {
        let now = Instant::now();
        let health = |millis: u64| {
            let mut health = Health::new();
            health.on_answer(Some(ms(millis)), now);
            health
        };
        let (fast, slow, unknown) = (health(5), health(250), Health::new());
        let mut refusing = health(1);
        refusing.on_refusal(now);
        let mut silent = health(5);
        silent.on_sent(now - ms(400));
        let mut all = [&refusing, &slow, &unknown, &silent, &fast];
        all.sort_by_key(|health| health.score(now));
        assert_eq!(all.map(|health| health.score(now).1), [ms(5), HEDGE_MIN, ms(250), ms(405), ms(1)]);
        assert!(!refusing.score(now + REFUSAL_MEMORY).0);
    }

    #[test]
    fn probes_slow_down_but_never_beyond_what_recovery_allows() {
        let now = Instant::now();
        let mut health = Health::new();
        health.on_sent(now);
        assert_eq!(health.probe_interval(now), PROBE_SUSPECT);
        health.on_error(Cause::Network, now);
        assert_eq!(health.probe_interval(now), PROBE_DOWN);
        assert_eq!(health.probe_interval(now + PROBE_EAGER), PROBE_DOWN_LONG);
    }
}
