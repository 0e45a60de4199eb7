//! Questions under way: who asks the same shares the answer, and their number is bounded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::question::OwnedQuestion;

/// Questions under way at a time; what comes beyond is failed at once (EDE 0). Each may hold a few sockets.
pub const IN_FLIGHT_MAX: usize = 1024;
/// Of those, how many may be nobody's: refreshing ahead of time must not crowd out who waits.
pub const BACKGROUND_MAX: usize = 128;

/// The table; cheap to clone.
pub struct Flights<T> {
    table: Arc<Mutex<HashMap<OwnedQuestion, watch::Receiver<Option<T>>>>>,
    max: usize,
}

impl<T> Clone for Flights<T> {
    fn clone(&self) -> Self {
        Self { table: self.table.clone(), max: self.max }
    }
}

/// What became of a question.
pub enum Boarding<T> {
    /// It is new: whoever gets this has to answer it.
    Started(Ticket<T>, watch::Receiver<Option<T>>),
    /// It is under way already.
    Joined(watch::Receiver<Option<T>>),
    /// There are too many.
    Full,
}

/// The duty to answer. Dropped without an answer, those who wait learn that there is none.
pub struct Ticket<T> {
    flights: Flights<T>,
    question: OwnedQuestion,
    answer: watch::Sender<Option<T>>,
}

impl<T: Clone> Flights<T> {
    /// An empty table of at most `max` questions.
    pub fn new(max: usize) -> Self {
        Self { table: Arc::default(), max }
    }

    /// Questions under way.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Joins who asks the same, or starts.
    pub fn board(&self, question: &OwnedQuestion) -> Boarding<T> {
        let mut table = self.lock();
        if let Some(answer) = table.get(question) {
            return Boarding::Joined(answer.clone());
        }
        if table.len() >= self.max {
            return Boarding::Full;
        }
        let (answer, waiting) = watch::channel(None);
        table.insert(question.clone(), waiting.clone());
        Boarding::Started(Ticket { flights: self.clone(), question: question.clone(), answer }, waiting)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<OwnedQuestion, watch::Receiver<Option<T>>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Ticket<T> {
    /// Tells the answer to all who wait.
    pub fn land(self, answer: T) {
        // Nobody may be waiting any more.
        _ = self.answer.send(Some(answer));
    }
}

impl<T> Drop for Ticket<T> {
    fn drop(&mut self) {
        self.flights.table.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.question);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::name::Name;

    fn question(text: &str) -> OwnedQuestion {
        OwnedQuestion::new(Name::parse(text).unwrap(), 1)
    }

    #[tokio::test]
    async fn the_same_question_is_joined_whatever_its_case() {
        let flights = Flights::new(8);
        let Boarding::Started(ticket, first) = flights.board(&question("www.example.")) else { panic!() };
        let Boarding::Joined(mut second) = flights.board(&question("WWW.example.")) else { panic!() };
        let mut other = question("www.example.");
        other.dnssec_ok = true;
        assert!(matches!(flights.board(&other), Boarding::Started(..)));
        drop(first);
        ticket.land(7);
        assert_eq!(*second.wait_for(Option::is_some).await.unwrap(), Some(7));
        assert!(flights.is_empty());
    }

    #[tokio::test]
    async fn a_ticket_lost_wakes_who_waits() {
        let flights = Flights::<u8>::new(8);
        let Boarding::Started(ticket, mut waiting) = flights.board(&question("www.example.")) else {
            panic!()
        };
        drop(ticket);
        assert!(waiting.wait_for(Option::is_some).await.is_err());
    }

    #[test]
    fn beyond_the_bound_nothing_starts() {
        let flights = Flights::<u8>::new(1);
        let started = flights.board(&question("a.example."));
        assert!(matches!(flights.board(&question("b.example.")), Boarding::Full));
        assert!(matches!(flights.board(&question("a.example.")), Boarding::Joined(_)));
        drop(started);
        assert!(matches!(flights.board(&question("b.example.")), Boarding::Started(..)));
    }
}
