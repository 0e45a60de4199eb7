//! Another daemon of this bastion, followed over its admin socket: its present state once, then every change.
//!
//! ```text
//! connect ─► newest event's number ─► state ─► events from that number on ─┬─► state again: when due, after
//!    ▲                                                                     │   missed events, after a burst
//!    └───── backoff ◄───── the connection ends, or the daemon does ◄───────┘
//! ```
//!
//! The follower is one task; cancelling it loses nothing but what it would have learnt.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use faros_common::admin::client::{self, ClientError, Lines};
use faros_common::clock;
use serde_json::Value;
use tokio::time::{sleep_until, timeout};
use tracing::{debug, info};

/// How soon after an end the daemon is asked again, at first; twice as long each time.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
/// The longest time between two attempts: so soon names appear after the daemon does.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// How often the whole state is read without any need, in case an event was left out.
const REFRESH: Duration = Duration::from_secs(30);
/// A daemon limits its events about strangers; with so many events within a second some may have been left out, and
/// the state is read.
const BURST_EVENTS: u32 = 30;
/// How soon after a burst began the state is read, and how often while it goes on.
const BURST_REFRESH: Duration = Duration::from_millis(100);
/// For so long a burst goes on at least: what is left out is left out until the second is over.
const BURST_TIME: Duration = Duration::from_millis(1200);
/// While a burst goes on, reading the state takes at most one in so many moments.
const BURST_SHARE: u32 = 10;
/// Events that come together are taken together: so long the next one may take.
const TOGETHER: Duration = Duration::from_millis(2);
/// Events that are taken together at most, so that a stream without end does not keep changes back.
const TOGETHER_MAX: usize = 512;

/// What is followed, and what becomes of it.
pub trait Subject: Send {
    /// Whom it is about, for logs.
    const DAEMON: &'static str;
    /// The verb that tells the whole state.
    const STATE: &'static str;

    /// The whole state, as the daemon tells it.
    ///
    /// # Errors
    /// It is not what it should be.
    fn on_state(&mut self, state: &Value, now: Instant) -> Result<(), String>;

    /// One event. True: the state has to be read to know what it means.
    fn on_event(&mut self, event: &Value, now: Instant) -> bool;

    /// When something changes by itself.
    fn deadline(&self) -> Option<Instant>;

    /// That time has come.
    fn on_timeout(&mut self, now: Instant);

    /// Puts what has changed since the last call into effect.
    fn apply(&mut self) -> impl Future<Output = ()> + Send;

    /// The daemon answers, or does not any more.
    fn connected(&mut self, connected: bool);
}

/// Follows the daemon behind `socket` for ever.
pub async fn follow<S: Subject>(socket: PathBuf, mut subject: S) {
    let mut backoff = BACKOFF_MIN;
    let mut known = false;
    loop {
        let mut reached = false;
        let end = session(&socket, &mut subject, &mut reached).await;
        if reached {
            backoff = BACKOFF_MIN;
            known = true;
        }
        if known {
            info!(event = "peer_lost", daemon = S::DAEMON, reason = end, "a daemon is not there any more");
            known = false;
        } else {
            debug!(daemon = S::DAEMON, reason = end, "a daemon is not there");
        }
        subject.connected(false);
        let again = clock::now() + backoff;
        backoff = (backoff * 2).min(BACKOFF_MAX);
        // What ends by itself ends also while nobody tells us anything.
        while let Some(deadline) = subject.deadline().filter(|deadline| *deadline < again) {
            sleep_until(deadline.into()).await;
            subject.on_timeout(clock::now());
            subject.apply().await;
        }
        sleep_until(again.into()).await;
    }
}

/// One connection, to its end; says why it ended.
async fn session<S: Subject>(socket: &Path, subject: &mut S, reached: &mut bool) -> String {
    match converse(socket, subject, reached).await {
        Ok(()) => "the daemon has ended the conversation".to_owned(),
        Err(error) => error,
    }
}

async fn converse<S: Subject>(socket: &Path, subject: &mut S, reached: &mut bool) -> Result<(), String> {
    let text = |error: ClientError| error.to_string();
    // Numbered before the state is read: an event in between is heard twice, which does no harm.
    let newest = newest(&client::get_text(socket, "/events").await.map_err(text)?);
    read_state(socket, subject).await?;
    *reached = true;
    subject.connected(true);
    info!(event = "peer_found", daemon = S::DAEMON, "a daemon is followed");
    let path = format!("/events?follow=1&since={newest}");
    let mut lines = client::follow(socket, &path).await.map_err(text)?;
    let mut rhythm = Rhythm::new(clock::now());
    loop {
        let due = subject.deadline().map_or(rhythm.refresh, |deadline| deadline.min(rhythm.refresh));
        let first = tokio::select! {
            line = lines.next() => Some(line.map_err(text)?),
            () = sleep_until(due.into()) => None,
        };
        let now = clock::now();
        match first {
            None => subject.on_timeout(now),
            Some(None) => return Ok(()),
            Some(Some(line)) => {
                if !take(line, &mut lines, subject, &mut rhythm, now).await? {
                    subject.apply().await;
                    return Ok(());
                }
            }
        }
        if rhythm.refresh <= clock::now() {
            // The stream goes on meanwhile: what it brings is newer than what is read here, or the same.
            let began = clock::now();
            read_state(socket, subject).await?;
            rhythm.refreshed(began, clock::now());
        } else {
            subject.apply().await;
        }
    }
}

/// Takes a line and those that have come with it; false at the end of the stream.
async fn take<S: Subject>(
    line: String,
    lines: &mut Lines,
    subject: &mut S,
    rhythm: &mut Rhythm,
    now: Instant,
) -> Result<bool, String> {
    let mut next = Some(line);
    for _ in 0..TOGETHER_MAX {
        let Some(line) = next.take() else { break };
        if let Ok(event) = serde_json::from_str::<Value>(&line) {
            let missed = event.get("event").and_then(Value::as_str) == Some("events_missed");
            let unclear = subject.on_event(&event, now);
            rhythm.heard(now, missed || unclear);
        }
        match timeout(TOGETHER, lines.next()).await {
            Ok(Ok(Some(line))) => next = Some(line),
            Ok(Ok(None)) => return Ok(false),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => {}
        }
    }
    if let Some(line) = next
        && let Ok(event) = serde_json::from_str::<Value>(&line)
    {
        let unclear = subject.on_event(&event, now);
        rhythm.heard(now, unclear);
    }
    Ok(true)
}

async fn read_state<S: Subject>(socket: &Path, subject: &mut S) -> Result<(), String> {
    let state = client::get(socket, S::STATE).await.map_err(|error| error.to_string())?;
    subject.on_state(&state, clock::now())?;
    subject.apply().await;
    Ok(())
}

/// The number of the last event in an answer of `/events`; 0 where there is none.
fn newest(text: &str) -> u64 {
    let number = |line: &str| serde_json::from_str::<Value>(line).ok()?.get("seq")?.as_u64();
    text.lines().rev().find_map(number).unwrap_or(0)
}

/// When the whole state is read again.
#[derive(Debug)]
struct Rhythm {
    refresh: Instant,
    /// Until when a burst lasts at least.
    calm: Instant,
    /// The second in which events are counted.
    window: Instant,
    events: u32,
    pause: Duration,
}

impl Rhythm {
    fn new(now: Instant) -> Self {
        Self { refresh: now + REFRESH, calm: now, window: now, events: 0, pause: BURST_REFRESH }
    }

    fn refreshed(&mut self, began: Instant, now: Instant) {
        self.pause = BURST_REFRESH.max(now.saturating_duration_since(began) * BURST_SHARE);
        // Once more when the burst is over, too.
        self.refresh = now + if now < self.calm { self.pause } else { REFRESH };
    }

    fn heard(&mut self, now: Instant, unclear: bool) {
        if now.saturating_duration_since(self.window) >= Duration::from_secs(1) {
            (self.window, self.events) = (now, 0);
        }
        self.events += 1;
        if unclear {
            self.refresh = now;
        } else if self.events >= BURST_EVENTS {
            self.calm = now + BURST_TIME;
            self.refresh = self.refresh.min(now + self.pause);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_event_is_the_last_line_with_a_number() {
        assert_eq!(newest(""), 0);
        assert_eq!(
            newest("{\"seq\":7}\n{\"seq\":9,\"event\":\"x\"}\n{\"event\":\"events_missed\"}\ngarbage\n"),
            9
        );
    }

    #[test]
    fn a_burst_makes_the_state_be_read_soon_and_missed_events_at_once() {
        let start = clock::now();
        let mut rhythm = Rhythm::new(start);
        for _ in 0..BURST_EVENTS - 1 {
            rhythm.heard(start, false);
        }
        assert_eq!(rhythm.refresh, start + REFRESH);
        rhythm.heard(start, false);
        assert_eq!(rhythm.refresh, start + BURST_REFRESH);
        // It goes on until the second is over, however little is heard; slowly, where reading takes long.
        let first = start + BURST_REFRESH;
        rhythm.refreshed(first, first + Duration::from_millis(20));
        assert_eq!(rhythm.refresh, first + Duration::from_millis(220));
        let last = start + BURST_TIME + Duration::from_millis(1);
        rhythm.refreshed(last, last);
        assert_eq!(rhythm.refresh, last + REFRESH);
        let later = start + Duration::from_secs(5);
        rhythm.heard(later, false);
        assert_eq!(rhythm.refresh, last + REFRESH);
        rhythm.heard(later, true);
        assert_eq!(rhythm.refresh, later);
    }
}
