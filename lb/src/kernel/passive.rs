//! What the counters of the rules say about servers that do not take connections.
//!
//! The rules count, for each server, connections given to it, SYN+ACKs that came back, and resets that came before the
//! handshake was over. Reading these few numbers costs the same at one connection a second and at thirty thousand,
//! which following each connection through the kernel's events would not.
//!
//! ```text
//!             given, not answered                     PATIENCE over
//!   quiet ───────────────────────────► waiting ─────────────────────► failed: timed out
//!     ▲  ◄────────────── answered ────────┘                               │
//!     │                                                                   │
//!     └──── answered: succeeded ◄──── failed: refused ◄── reset ──────────┘ (from every state)
//! ```

use std::time::{Duration, Instant};

use crate::pool::ConnectFailure;

/// A server that answers none of its new connections for so long is told as [`ConnectFailure::TimedOut`]. A kernel
/// answers a SYN by itself, so this is a matter of the network's round trip; a client sends its SYN again after a second.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);

/// What was counted of a server so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Connections given to it.
    pub(super) given: u64,
    /// SYN+ACKs that came back, with those sent again.
    pub(super) answered: u64,
    /// Resets before the handshake was over.
    pub(super) refused: u64,
}

/// What a reading says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It did not take a connection.
    Failed(ConnectFailure),
    /// It has taken one after it had failed.
    Succeeded,
}

/// One server, as its counters show it.
#[derive(Debug)]
pub(super) struct Watched {
    last: Counted,
    waiting_since: Option<Instant>,
    failed: bool,
}

impl Watched {
    /// Starts with what has been counted already: says nothing of the past.
    pub(super) fn start(counted: Counted) -> Self {
        Self { last: counted, waiting_since: None, failed: false }
    }

    /// A reading of the counters.
    pub(super) fn on_counted(&mut self, counted: Counted, now: Instant) -> Option<Seen> {
        let last = std::mem::replace(&mut self.last, counted);
        let rewound =
            counted.given < last.given || counted.answered < last.answered || counted.refused < last.refused;
        if rewound {
            // Somebody has emptied the rules; they begin anew.
            self.waiting_since = None;
            return None;
        }
        if counted.refused > last.refused {
            return self.fail(ConnectFailure::Refused);
        }
        if counted.answered > last.answered {
            self.waiting_since = None;
            return std::mem::take(&mut self.failed).then_some(Seen::Succeeded);
        }
        match self.waiting_since {
            Some(since) if now.saturating_duration_since(since) >= PATIENCE => {
                self.fail(ConnectFailure::TimedOut)
            }
            None if counted.given > last.given => {
                self.waiting_since = Some(now);
                None
            }
            _ => None,
        }
    }

    fn fail(&mut self, failure: ConnectFailure) -> Option<Seen> {
        self.failed = true;
        self.waiting_since = None;
        Some(Seen::Failed(failure))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    fn counted(given: u64, answered: u64, refused: u64) -> Counted {
        Counted { given, answered, refused }
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the beginning")]
    fn watched() -> (Watched, Instant) {
        (Watched::start(counted(10, 10, 0)), Instant::now())
    }

    #[test]
    fn a_server_that_answers_is_not_worth_a_word() {
        let (mut server, start) = watched();
        assert_eq!(server.on_counted(counted(11, 10, 0), start), None);
        assert_eq!(server.on_counted(counted(11, 11, 0), start + STEP), None);
        assert_eq!(server.on_counted(counted(11, 11, 0), start + 10 * STEP), None);
    }

    #[test]
    fn a_reset_is_told_at_once_and_each_time() {
        let (mut server, start) = watched();
        let refused = Some(Seen::Failed(ConnectFailure::Refused));
        assert_eq!(server.on_counted(counted(11, 10, 1), start), refused);
        assert_eq!(server.on_counted(counted(11, 10, 1), start + STEP), None);
        assert_eq!(server.on_counted(counted(12, 10, 2), start + 2 * STEP), refused);
    }

    #[test]
    fn silence_is_told_when_patience_is_over() {
        let (mut server, start) = watched();
        assert_eq!(server.on_counted(counted(11, 10, 0), start), None);
        assert_eq!(server.on_counted(counted(12, 10, 0), start + 2 * STEP), None);
        let told = server.on_counted(counted(13, 10, 0), start + PATIENCE);
        assert_eq!(told, Some(Seen::Failed(ConnectFailure::TimedOut)));
        assert_eq!(
            server.on_counted(counted(13, 10, 0), start + 2 * PATIENCE),
            None,
            "nothing new was given to it"
        );
    }

    #[test]
    fn an_answer_ends_the_waiting() {
        let (mut server, start) = watched();
        server.on_counted(counted(11, 10, 0), start);
        server.on_counted(counted(12, 11, 0), start + 2 * STEP);
        assert_eq!(server.on_counted(counted(12, 11, 0), start + 2 * PATIENCE), None);
    }

    #[test]
    fn the_first_answer_after_a_failure_is_told_once() {
        let (mut server, start) = watched();
        server.on_counted(counted(11, 10, 1), start);
        assert_eq!(server.on_counted(counted(12, 11, 1), start + STEP), Some(Seen::Succeeded));
        assert_eq!(server.on_counted(counted(13, 12, 1), start + 2 * STEP), None);
    }

    #[test]
    fn counters_that_begin_anew_blame_nobody() {
        let (mut server, start) = watched();
        server.on_counted(counted(11, 10, 0), start);
        assert_eq!(server.on_counted(counted(0, 0, 0), start + 2 * PATIENCE), None);
        assert_eq!(server.on_counted(counted(1, 0, 0), start + 3 * PATIENCE), None);
    }
}
