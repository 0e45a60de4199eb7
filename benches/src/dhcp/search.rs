//! The search for the highest rate that a server keeps up with: by steps until one rate is good and one is not,
//! then by halving between them.

/// What a server did at a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It kept up.
    Kept,
    /// It lost more than is allowed.
    Lost,
    /// The client sent less than it was told to: no higher rate can be reached with it.
    ClientLimit,
}

/// A search in progress: ask [`Search::next`] for a rate, tell what came of it with [`Search::on_point`].
#[derive(Clone, Debug)]
pub struct Search {
    next: Option<f64>,
    good: Option<f64>,
    bad: Option<f64>,
    step: f64,
    tolerance: f64,
    points_left: u32,
}

impl Search {
    /// Begins at the rate `first`, steps by the factor `step` (above 1), and ends when the good and the bad rate are
    /// closer than the factor `tolerance`, or after `points_max` points.
    pub fn new(first: f64, step: f64, tolerance: f64, points_max: u32) -> Self {
        Self { next: Some(first), good: None, bad: None, step, tolerance, points_left: points_max }
    }

    /// The rate to measure now, per second; `None` when the search is over.
    pub fn next(&self) -> Option<u32> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 1 to a million"
        )]
        self.next.map(|rate| rate.round().clamp(RATE_MIN, RATE_MAX) as u32)
    }

    /// Takes the verdict about the rate that [`Search::next`] named.
    pub fn on_point(&mut self, verdict: Verdict) {
        let Some(rate) = self.next else { return };
        self.points_left = self.points_left.saturating_sub(1);
        match verdict {
            Verdict::Kept => self.good = Some(rate),
            Verdict::Lost => self.bad = Some(rate),
            Verdict::ClientLimit => (self.good, self.bad) = (Some(rate), Some(rate)),
        }
        self.next = match (self.good, self.bad) {
            (Some(good), None) if rate < RATE_MAX => Some(good * self.step),
            (None, Some(bad)) if rate > RATE_MIN => Some(bad / self.step),
            (Some(good), Some(bad)) if bad / good > self.tolerance => Some((good * bad).sqrt()),
            _ => None,
        };
        if self.points_left == 0 {
            self.next = None;
        }
    }
}

/// Below this a server counts as not answering.
const RATE_MIN: f64 = 1.0;
/// No client that we know reaches this.
const RATE_MAX: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(mut search: Search, judge: impl Fn(f64) -> Verdict) -> (Option<f64>, Vec<u32>) {
        let (mut best, mut asked) = (None::<f64>, Vec::new());
        while let Some(rate) = search.next() {
            asked.push(rate);
            let verdict = judge(f64::from(rate));
            if verdict != Verdict::Lost {
                best = Some(best.unwrap_or_default().max(f64::from(rate)));
            }
            search.on_point(verdict);
        }
        (best, asked)
    }

    fn capacity(limit: f64) -> impl Fn(f64) -> Verdict {
        move |rate| if rate <= limit { Verdict::Kept } else { Verdict::Lost }
    }

    #[test]
    fn a_client_at_its_limit_ends_the_search() {
        let judge = |rate| if rate > 5000.0 { Verdict::ClientLimit } else { Verdict::Kept };
        assert_eq!(run(Search::new(4000.0, 1.5, 1.08, 20), judge).1, [4000, 6000]);
    }

    #[test]
    fn a_dead_server_ends_the_search() {
        let (best, asked) = run(Search::new(4000.0, 1.5, 1.08, 100), |_| Verdict::Lost);
        assert_eq!(best, None);
        assert_eq!(asked.last(), Some(&1));
    }

    #[test]
    fn points_are_bounded() {
        let (_, asked) = run(Search::new(10.0, 1.2, 1.01, 4), capacity(1e5));
        assert_eq!(asked.len(), 4);
    }

    proptest! {
        #[test]
        fn the_limit_is_found_within_the_tolerance(limit in 20.0..50_000.0_f64, first in 20.0..50_000.0_f64) {
            let (best, _) = run(Search::new(first, 1.5, 1.08, 100), capacity(limit));
            let best = best.unwrap();
            // Rates are whole numbers: half a unit either way.
            prop_assert!(best <= limit && best * 1.08 + 1.0 >= limit, "{best} for {limit}");
        }
    }
}
