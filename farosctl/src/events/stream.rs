//! Reading the daemons' streams: what they remember, and what comes.
//!
//! When following, one task per daemon reads its stream and begins again whenever the stream ends: after the
//! last number it saw, or with the first event of the new process where the daemon was restarted. The tasks end when the
//! [`Follower`] is dropped.

use std::collections::BTreeMap;
use std::time::Duration;

use faros_common::admin::client::{self, ClientError};
use faros_common::tasks;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::daemons::Daemons;
use crate::events::event::Event;

/// How long to wait before a stream that ended is asked for again.
const RETRY_FIRST: Duration = Duration::from_millis(200);
/// The wait doubles up to this.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Events of different daemons that arrive within this time are put in order of their own times.
const GATHER_TIME: Duration = Duration::from_millis(50);
/// Events read ahead of the one who prints; a slow reader slows the reading down, and the daemon keeps
/// what is not yet read.
const AHEAD_MAX: usize = 1024;

/// What each daemon remembers after number `since`, in its order.
pub(crate) async fn past(
    daemons: &Daemons,
    names: &[String],
    since: u64,
) -> Vec<(String, Result<Vec<Event>, ClientError>)> {
    let path = format!("/events?since={since}");
    let asked: Vec<_> = names
        .iter()
        .map(|name| {
            let (daemons, daemon, path) = (daemons.clone(), name.clone(), path.clone());
            (name.clone(), tasks::spawn("events", async move { daemons.get_text(&daemon, &path).await }))
        })
        .collect();
    let mut past = Vec::with_capacity(asked.len());
    for (name, task) in asked {
        let answer = task.await.ok().flatten().unwrap_or(Err(ClientError::TimedOut));
        past.push((name, answer.map(|text| text.lines().filter_map(Event::parse).collect())));
    }
    past
}

/// Merges streams by time. An event without a time (one that only says what is missing) stays before the
/// one it came before.
pub(crate) fn sort_by_time(events: &mut [Event]) {
    let mut next: BTreeMap<String, _> = BTreeMap::new();
    for event in events.iter_mut().rev() {
        match event.time {
            Some(time) => {
                next.insert(event.daemon.clone(), time);
            }
            None => event.time = next.get(&event.daemon).copied(),
        }
    }
    events.sort_by_key(|event| event.time);
}

/// Streams that are being followed.
pub(crate) struct Follower {
    receiver: mpsc::Receiver<Arrival>,
    tasks: Vec<JoinHandle<Option<()>>>,
}

/// What arrived together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<Event>,
    pub(crate) notes: Vec<String>,
}

enum Arrival {
    Event(Box<Event>),
    Note(String),
}

impl Follower {
    /// Follows each daemon after the number beside its name.
    pub(crate) fn start(daemons: &Daemons, newest: BTreeMap<String, u64>) -> Self {
        let (sender, receiver) = mpsc::channel(AHEAD_MAX);
        let tasks = newest
            .into_iter()
            .map(|(name, since)| {
                tasks::spawn("follow events", follow_one(daemons.clone(), name, since, sender.clone()))
            })
            .collect();
        Self { receiver, tasks }
    }

    /// Waits for something to arrive, and for what arrives along with it.
    pub(crate) async fn next(&mut self) -> Batch {
        let mut batch = Batch::default();
        match self.receiver.recv().await {
            Some(arrival) => batch.take(arrival),
            // All tasks are gone, which only happens when they all panicked: nothing will ever come.
            None => std::future::pending().await,
        }
        tokio::time::sleep(GATHER_TIME).await;
        while let Ok(arrival) = self.receiver.try_recv() {
            batch.take(arrival);
        }
        sort_by_time(&mut batch.events);
        batch
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Batch {
    fn take(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Event(event) => self.events.push(*event),
            Arrival::Note(text) => self.notes.push(text),
        }
    }
}

/// Reads one daemon's stream for ever; ends when nobody listens any more.
async fn follow_one(daemons: Daemons, name: String, mut since: u64, sender: mpsc::Sender<Arrival>) {
    let socket = daemons.socket(&name);
    let mut wait = RETRY_FIRST;
    let mut connected = true;
    let mut process = process_of(&daemons, &name).await;
    loop {
        let now = process_of(&daemons, &name).await;
        if now.is_some() {
            // Another process counts anew; should the clock have stepped back meanwhile, even from further below.
            if process.is_some() && process != now {
                since = 0;
            }
            process = now;
        }
        let path = format!("/events?follow=1&since={since}");
        if let Ok(mut lines) = client::follow(&socket, &path).await {
            if !connected && sender.send(Arrival::Note(format!("{name} is back"))).await.is_err() {
                return;
            }
            connected = true;
            wait = RETRY_FIRST;
            while let Ok(Some(line)) = lines.next().await {
                let Some(event) = Event::parse(&line) else { continue };
                // Without a number it tells of a gap; with one, each comes once.
                if event.seq != 0 && event.seq <= since {
                    continue;
                }
                since = since.max(event.seq);
                if sender.send(Arrival::Event(Box::new(event))).await.is_err() {
                    return;
                }
            }
        }
        if connected {
            connected = false;
            let text = format!("{name} does not answer; its events follow when it is back");
            if sender.send(Arrival::Note(text)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
}

/// What tells one process of a daemon from the next; `None` while it does not answer.
async fn process_of(daemons: &Daemons, name: &str) -> Option<String> {
    let status = daemons.get(name, "/status").await.ok()?;
    Some(format!("{} {}", status.get("pid").unwrap_or_default(), status.get("started").unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_merge_by_time_and_gaps_stay_in_place() {
        let lines = [
            r#"{"daemon":"a","event":"events_missed","count":3}"#,
            r#"{"seq":2,"time":"2026-01-31T12:00:02.000000Z","daemon":"a","event":"x"}"#,
            r#"{"seq":9,"time":"2026-01-31T12:00:01.000000Z","daemon":"b","event":"y"}"#,
            r#"{"seq":10,"time":"2026-01-31T12:00:03.000000Z","daemon":"b","event":"z"}"#,
        ];
        let mut events: Vec<Event> = lines.iter().filter_map(|line| Event::parse(line)).collect();
        sort_by_time(&mut events);
        let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(ids, ["y", "events_missed", "x", "z"]);
    }
}
