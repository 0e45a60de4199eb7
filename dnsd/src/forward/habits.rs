//! What an upstream was learned to do and not to do, so that each question need not find out again: EDNS,
//! letter case, cookies.

use std::time::Duration;

use tokio::time::Instant;

use super::query::{Extension, Form};
use super::random;

/// How long an upstream goes without EDNS after it stumbled over it; then it gets another chance.
pub const EDNS_MEMORY: Duration = Duration::from_secs(3600);
/// How long an upstream that does not echo letter case gets plain names.
pub const CASE_MEMORY: Duration = Duration::from_secs(3600);
/// Replies in a row with folded case that make it a habit. Fewer could be a forger's.
pub const CASE_STREAK: u32 = 3;

/// The habits of one upstream.
#[derive(Clone, Debug)]
pub struct Habits {
    no_edns: Option<Instant>,
    folded_in_row: u32,
    folds_case: Option<Instant>,
    client_cookie: [u8; 8],
    server_cookie: Vec<u8>,
}

impl Default for Habits {
    fn default() -> Self {
        Self::new()
    }
}

impl Habits {
    /// Of an upstream that nothing is known of.
    pub fn new() -> Self {
        Self {
            no_edns: None,
            folded_in_row: 0,
            folds_case: None,
            client_cookie: random::cookie(),
            server_cookie: Vec::new(),
        }
    }

    /// How to ask it over UDP now.
    pub fn form(&self, now: Instant) -> Form {
        let extension = if remembered(self.no_edns, EDNS_MEMORY, now) {
            Extension::None
        } else {
            Extension::Cookie { client: self.client_cookie, server: self.server_cookie.clone() }
        };
        Form { extension, mixed_case: !remembered(self.folds_case, CASE_MEMORY, now) }
    }

    /// How to ask it over a connection, which nobody can write into from aside.
    pub fn stream_form(&self, encrypted: bool, now: Instant) -> Form {
        let extension = match (remembered(self.no_edns, EDNS_MEMORY, now), encrypted) {
            (true, _) => Extension::None,
            (false, true) => Extension::Padding,
            (false, false) => Extension::Plain,
        };
        Form { extension, mixed_case: false }
    }

    /// It answered without EDNS what it had not answered with it.
    pub fn on_no_edns(&mut self, now: Instant) {
        self.no_edns = Some(now);
    }

    /// It echoed mixed letter case.
    pub fn on_case_echoed(&mut self) {
        self.folded_in_row = 0;
        self.folds_case = None;
    }

    /// A reply came whose question differed in letter case alone. True if that now counts as a habit.
    pub fn on_case_folded(&mut self, now: Instant) -> bool {
        self.folded_in_row += 1;
        let habit = self.folded_in_row >= CASE_STREAK;
        if habit {
            self.folds_case = Some(now);
            self.folded_in_row = 0;
        }
        habit
    }

    /// The cookie option of a reply, which begins with ours. True if the server part is new.
    pub fn on_cookie(&mut self, cookie: &[u8]) -> bool {
        let server = cookie.strip_prefix(&self.client_cookie).unwrap_or_default();
        // RFC 7873 section 4: 8 to 32 octets.
        if !(8..=32).contains(&server.len()) || server == self.server_cookie {
            return false;
        }
        self.server_cookie = server.to_vec();
        true
    }

    /// Whether the server sends cookies, so that a reply without one is suspect (RFC 7873 section 5.3).
    pub fn expects_cookie(&self) -> bool {
        !self.server_cookie.is_empty()
    }

    /// It stopped to send cookies, as a connection proved.
    pub fn on_no_cookie(&mut self) {
        self.server_cookie.clear();
    }

    /// Whether names go out in mixed case.
    pub fn mixes_case(&self, now: Instant) -> bool {
        !remembered(self.folds_case, CASE_MEMORY, now)
    }

    /// Whether queries go out with EDNS.
    pub fn uses_edns(&self, now: Instant) -> bool {
        !remembered(self.no_edns, EDNS_MEMORY, now)
    }
}

fn remembered(since: Option<Instant>, memory: Duration, now: Instant) -> bool {
    since.is_some_and(|at| now.saturating_duration_since(at) < memory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edns_is_given_up_and_tried_again_later() {
        let now = Instant::now();
        let mut habits = Habits::new();
        assert!(matches!(habits.form(now).extension, Extension::Cookie { .. }));
        habits.on_no_edns(now);
        assert_eq!(habits.form(now).extension, Extension::None);
        assert_eq!(habits.stream_form(true, now).extension, Extension::None);
        assert!(matches!(habits.form(now + EDNS_MEMORY).extension, Extension::Cookie { .. }));
    }

    #[test]
    fn one_folded_reply_is_no_habit_and_three_are() {
        let now = Instant::now();
        let mut habits = Habits::new();
        assert!(!habits.on_case_folded(now));
        assert!(!habits.on_case_folded(now));
        habits.on_case_echoed();
        assert!(!habits.on_case_folded(now));
        assert!(!habits.on_case_folded(now));
        assert!(habits.form(now).mixed_case);
        assert!(habits.on_case_folded(now));
        assert!(!habits.form(now).mixed_case);
        assert!(habits.form(now + CASE_MEMORY).mixed_case);
    }

    #[test]
    fn a_server_cookie_is_learned_once_and_only_behind_ours() {
        let mut habits = Habits::new();
        let ours = habits.client_cookie;
        assert!(!habits.on_cookie(&[&[0; 8][..], &[1; 16]].concat()) || ours == [0; 8]);
        assert!(!habits.on_cookie(&[&ours[..], &[1; 7]].concat()));
        assert!(!habits.on_cookie(&[&ours[..], &[1; 33]].concat()));
        assert!(habits.on_cookie(&[&ours[..], &[1; 16]].concat()));
        assert!(!habits.on_cookie(&[&ours[..], &[1; 16]].concat()));
        assert!(habits.expects_cookie());
        let Extension::Cookie { server, .. } = habits.form(Instant::now()).extension else {
            panic!("no cookie")
        };
        assert_eq!(server, [1; 16]);
    }
}
