//! What clients notice when the world stops to answer.
//!
//! A server has answers that have expired by then. The world is not refused but silent, which is what the loss of a line
//! looks like. Then one client asks, one question after another: for all that has expired; for names that nobody has
//! asked for before; and for these again.

use std::time::Duration;

use crate::Error;
use crate::netns::Link;
use crate::process::Server;
use crate::stats::quantile;
use crate::work_dir::WorkDir;

use super::asker::{Asked, Patience};
use super::responders::{BRIEF, BRIEF_TTL};
use super::servers::{Contender, Kind, Role};
use super::zone::{self, Question};

/// Names whose answers have expired.
const EXPIRED: usize = 300;
/// Names that nobody has asked for.
const UNKNOWN: usize = 10;
/// How long the client waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// How long it goes on with names that have expired, or with unknown ones.
const LIMIT: Duration = Duration::from_secs(9);

/// What clients noticed; times in milliseconds.
#[derive(Clone, Debug)]
pub struct Outage {
    /// Names that had expired.
    pub expired: Times,
    /// Names that nobody had asked for.
    pub unknown: Times,
    /// The same once more.
    pub unknown_again: Times,
    /// Names of the site, before the outage and during it; of servers that have any in this role.
    pub site: Option<(Times, Times)>,
}

/// How long answers took.
#[derive(Clone, Debug)]
pub struct Times {
    /// Until the answer; of a question without one, until the client had enough.
    each_ms: Vec<f64>,
    /// How many were answered, with whatever code.
    answered: usize,
    /// How many were answered with records.
    with_records: usize,
}

impl Times {
    fn of(asked: &[Asked]) -> Self {
        Self {
            each_ms: asked.iter().map(|asked| asked.micros / 1e3).collect(),
            answered: asked.iter().filter(|asked| asked.rcode.is_some()).count(),
            with_records: asked.iter().filter(|asked| !asked.records.is_empty()).count(),
        }
    }

    /// The time that this share of all questions did not exceed.
    pub fn at(&self, share: f64) -> Option<f64> {
        quantile(&self.each_ms, share)
    }

    /// The share that got an answer, 0 to 1.
    pub fn answered(&self) -> f64 {
        self.answered as f64 / self.each_ms.len().max(1) as f64
    }

    /// The share whose answer has records, 0 to 1.
    pub fn with_records(&self) -> f64 {
        self.with_records as f64 / self.each_ms.len().max(1) as f64
    }
}

/// The names that expire soon.
pub fn brief_questions() -> Vec<Question> {
    (0..EXPIRED).map(|index| zone::world_question(&format!("{BRIEF}{index}.example.net"))).collect()
}

/// Takes the world away from a server, and asks it.
pub fn run(contender: &Contender, work: &WorkDir) -> Result<Outage, Error> {
    let (link, dir) = (Link::create()?, work.fresh("outage")?);
    let traffic = contender.traffic();
    let world = traffic.world(&link, &dir)?;
    let server = contender.start(&link, &dir, Role::Outage, false)?;
    let patience = Patience { each: PATIENCE, all: LIMIT };
    let ask = |questions: &[Question]| traffic.ask(&link, &dir, questions, patience);
    let has_site = contender.kind() == Kind::Faros;
    let site: Vec<Question> = (0..100).flat_map(|_| zone::site_questions()).collect();
    let before = if has_site { Some(Times::of(&ask(&site)?)) } else { None };
    std::thread::sleep(Duration::from_secs(u64::from(BRIEF_TTL)) + Duration::from_millis(1200));
    world.freeze()?;

    let expired = Times::of(&ask(&brief_questions())?);
    let unknown: Vec<Question> =
        (0..UNKNOWN).map(|index| zone::world_question(&format!("unknown{index}.example.net"))).collect();
    let (first, during) = std::thread::scope(|scope| {
        let meanwhile = std::thread::Builder::new().spawn_scoped(scope, || match has_site {
            true => ask(&site).map(Some),
            false => Ok(None),
        });
        let first = ask(&unknown);
        let during = meanwhile.map(|thread| thread.join().unwrap_or(Ok(None)));
        (first, during)
    });
    let (first, during) = (first?, during.map_err(Error::system("a thread"))??);
    let asked_already = unknown.get(..first.len()).unwrap_or(&unknown);
    let again = Times::of(&ask(asked_already)?);
    end(server, world);
    let site = before.zip(during.map(|during| Times::of(&during)));
    Ok(Outage { expired, unknown: Times::of(&first), unknown_again: again, site })
}

fn end(server: Server, world: Server) {
    server.stop();
    world.kill();
}
