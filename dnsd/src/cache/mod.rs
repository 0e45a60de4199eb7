//! Answers of upstream servers, kept as they go over the wire.
//!
//! A hit copies the octets of an answer behind the question and makes its TTLs as old as they are; nothing is
//! allocated, parsed or encoded. Names are spread over shards, each under a lock that is held for the copy alone.
//!
//! | What | Rule | Source |
//! |---|---|---|
//! | TTL | at most [`TTL_MAX`]; 0 is passed on and not kept; with the highest bit set it is a large one | RFC 2181 section 8, RFC 8767 section 4 |
//! | "No such name" | kept for the name, whatever the type, at most [`NEGATIVE_TTL_MAX`] | RFC 2308 section 5 |
//! | "No such data" | kept for name and type, likewise | RFC 2308 section 5 |
//! | Negative, without SOA | passed on and not kept | RFC 2308 section 5 |
//! | Expired | given out with TTL [`STALE_TTL`] when the caller allows it or asking has just failed | RFC 8767 |
//! | Failed | not asked again for 1 s, doubling up to 30 s, per question | RFC 9520 |
//! | About to expire | after two hits, one caller is told to refresh it in the last tenth of its life | |
//! | Pinned | kept for ever, given out however stale | |
//!
//! Deviation: the denial of a name is not taken for a denial of the names below it (RFC 8020). Servers that deny
//! empty non-terminals are still about, and behind a forwarder nobody has proven the denial.
//!
//! Memory is bounded, with the tables counted; what has to go when it is full is the matter of the `room` module.
//! The [`persist`] module keeps a copy on disk.

mod entry;
mod failure;
mod hit;
pub mod persist;
mod queue;
mod room;
mod shard;
mod slots;
mod stats;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;

use crate::protocol::body::Body;
use crate::protocol::code::kind;
use crate::protocol::name::{LowerName, Name, hash};
pub use crate::protocol::time::Now;

use entry::{Entry, Sort};
pub use hit::{Failure, Hit, Key, NotStored};
use persist::Bell;
use shard::{Shard, Terms};
pub use stats::{Evictions, Stats};

/// The longest time that an answer is kept as fresh, in seconds: a day. Longer TTLs are cut.
pub const TTL_MAX: u32 = 86_400;
/// The longest time that a denial is kept as fresh, in seconds: an hour. Longer TTLs are cut.
pub const NEGATIVE_TTL_MAX: u32 = 3600;
/// The TTL of records in a stale answer, in seconds (RFC 8767 section 4).
pub const STALE_TTL: u32 = 30;
/// How long after its expiry an answer may be given out, unless [`Cache::set_stale`] says otherwise: three days.
pub const STALE_DEFAULT: Duration = Duration::from_secs(3 * 86_400);
/// The types that are pinned under a pinned name. Others would let any client fill the cache with pinned entries.
pub const PINNED_KINDS: [u16; 3] = [kind::A, kind::AAAA, kind::HTTPS];
/// The least memory of a cache, in bytes. A smaller bound is raised to it.
pub const BYTES_MIN: usize = 64 * 1024;
/// The memory that makes a shard worth its lock, in bytes.
const SHARD_BYTES: usize = 512 * 1024;
const SHARDS_MAX: usize = 64;

/// What is taken out of the cache on demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flush {
    /// Everything under one name.
    Name(Name),
    /// Everything under a name and below it.
    Subtree(Name),
    /// Everything.
    All,
}

/// One entry, described for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// The type; 0 stands for all: the name does not exist.
    pub kind: u16,
    /// DO.
    pub dnssec_ok: bool,
    /// CD.
    pub checking_disabled: bool,
    /// The response code.
    pub rcode: u16,
    /// For how long it is still fresh, in seconds; negative: for how long it has been expired.
    pub ttl: i64,
    /// Whether it is pinned.
    pub pinned: bool,
    /// How often it was given out since it was stored.
    pub hits: u8,
}

/// The cache; shared by all threads.
#[derive(Debug)]
pub struct Cache {
    shards: Box<[Lane]>,
    seed: u64,
    stale_ms: AtomicI64,
    /// Counts up when remembered failures are of no interest any more.
    epoch: AtomicU32,
    /// Pinned names in lower case.
    pins: RwLock<HashSet<Box<[u8]>>>,
    /// The copy on disk has entries that were taken out on demand.
    flushed: AtomicBool,
    bell: Bell,
}

/// A shard on cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Lane(Mutex<Shard>);

impl Cache {
    /// An empty cache of at most `bytes_max` bytes, at least [`BYTES_MIN`]. `seed` is random and secret.
    pub fn new(bytes_max: usize, seed: u64) -> Self {
        let bytes_max = bytes_max.max(BYTES_MIN);
        let wanted = (bytes_max / SHARD_BYTES).clamp(1, SHARDS_MAX);
        // A power of two, rounded down.
        let count = 1 << wanted.ilog2();
        let shards = (0..count).map(|_| Lane(Mutex::new(Shard::new(bytes_max / count)))).collect();
        Self {
            shards,
            seed,
            stale_ms: AtomicI64::new(millis(STALE_DEFAULT)),
            epoch: AtomicU32::new(0),
            pins: RwLock::default(),
            flushed: AtomicBool::new(false),
            bell: Bell::default(),
        }
    }

    /// Looks a question up and writes what there is to the front of `out`.
    ///
    /// `allow_stale`: asking is out of the question now, or has taken too long. An expired answer is given out
    /// then, and also when asking for it has failed a short while ago.
    pub fn answer(&self, key: &Key<'_>, now: Now, allow_stale: bool, out: &mut [u8]) -> Hit {
        let name = key.name.as_wire();
        let hash = hash(name, self.seed);
        let terms = Terms { allow_stale, ..self.terms(now) };
        self.shard(hash).answer(hash, name, Sort::of(key), terms, out)
    }

    /// Keeps what an upstream server has answered, instead of what was kept before. A remembered failure is over.
    ///
    /// # Errors
    /// Why it is not kept. The body can be given to the client in any case.
    pub fn insert(&self, key: &Key<'_>, body: &Body, now: Now) -> Result<(), NotStored> {
        let terms = self.terms(now);
        let mut kept = entry::keep(key, body, terms.now_ms)?;
        let name = key.name.as_wire();
        let pin = self.is_pinned(name, kept.entry.sort);
        let hash = hash(name, self.seed);
        let mut shard = self.shard(hash);
        if kept.expired && !pin {
            // What was there before is known to be past.
            shard.remove_unpinned(hash, name, Sort::of(key), terms);
            shard.remove_denials_of_name(hash, name, |_| true);
            return Err(NotStored::TtlZero);
        }
        if kept.entry.sort.kind == entry::WHOLE_NAME {
            shard.remove_unpinned(hash, name, Sort::of(key), terms);
        } else {
            shard.remove_denials_of_name(hash, name, |_| true);
        }
        kept.entry.unsaved = true;
        let stored = shard.insert(hash, kept.entry, pin, terms);
        drop(shard);
        if pin && stored {
            self.bell.ring();
        }
        if stored { Ok(()) } else { Err(NotStored::TooLarge) }
    }

    /// Remembers that a question could not be answered: for a second, and longer after each further failure.
    pub fn insert_failure(&self, key: &Key<'_>, failure: Failure, now: Now) {
        let name = key.name.as_wire();
        let hash = hash(name, self.seed);
        self.shard(hash).fail(hash, name, Sort::of(key), failure, self.terms(now));
    }

    /// Forgets all failures, for example when an upstream server is back.
    pub fn forget_failures(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }

    /// For how long the answer to a question stays fresh; `None`: there is none, or it has expired.
    pub fn remaining(&self, key: &Key<'_>, now: Now) -> Option<Duration> {
        let (name, sort) = (key.name.as_wire(), Sort::of(key));
        let (hash, now_ms) = (hash(name, self.seed), mono(now));
        let shard = self.shard(hash);
        let left = [sort, sort.whole_name()].into_iter().filter_map(|sort| {
            let answer = shard.get(hash, name, sort)?.answer?;
            u64::try_from(answer.expires_ms - now_ms).ok().filter(|left| *left > 0)
        });
        left.max().map(Duration::from_millis)
    }

    /// Everything there is under a name.
    pub fn describe(&self, name: &LowerName, now: Now) -> Vec<Description> {
        let hash = hash(name.as_wire(), self.seed);
        let now_ms = mono(now);
        self.shard(hash)
            .under(name.as_wire())
            .filter_map(|(entry, pinned)| {
                let answer = entry.answer?;
                Some(Description {
                    kind: entry.sort.kind,
                    dnssec_ok: entry.sort.variant & 1 != 0,
                    checking_disabled: entry.sort.variant & 2 != 0,
                    rcode: answer.rcode,
                    ttl: (answer.expires_ms - now_ms).div_euclid(1000),
                    pinned,
                    hits: entry.hits,
                })
            })
            .collect()
    }

    /// Takes entries out, pinned ones too; how many.
    pub fn flush(&self, flush: &Flush) -> usize {
        let lower = |name: &Name| LowerName::of(name.as_wire());
        let every = |which: &dyn Fn(&Entry) -> bool| -> usize {
            self.shards.iter().map(|lane| lane.lock().flush(which)).sum()
        };
        let count = match flush {
            Flush::Name(name) => {
                let name = lower(name);
                let mut shard = self.shard(hash(name.as_wire(), self.seed));
                shard.flush(|entry| entry.name() == name.as_wire())
            }
            Flush::Subtree(apex) => {
                let apex = lower(apex);
                every(&|entry| is_within(entry.name(), apex.as_wire()))
            }
            Flush::All => every(&|_| true),
        };
        // Gone here, gone on disk: the copy is to be made anew.
        self.flushed.store(true, Ordering::Relaxed);
        self.bell.ring();
        count
    }

    /// Pins these names and no others. To be called before the copy on disk is read.
    pub fn set_pins<'n>(&self, names: impl IntoIterator<Item = &'n Name>) {
        let names: HashSet<Box<[u8]>> =
            names.into_iter().map(|name| LowerName::of(name.as_wire()).as_wire().into()).collect();
        // First for what comes in from now on, then for what is there.
        self.pins.write().unwrap_or_else(PoisonError::into_inner).clone_from(&names);
        for lane in &self.shards {
            lane.lock().pin(|entry| is_pinned(&names, entry.name(), entry.sort));
        }
    }

    /// Sets how long after its expiry an answer may be given out; pinned ones always may.
    pub fn set_stale(&self, stale: Duration) {
        self.stale_ms.store(millis(stale), Ordering::Relaxed);
    }

    /// Sets the bound of the memory, in bytes, at least [`BYTES_MIN`]. What is too much goes at once.
    pub fn set_bytes_max(&self, bytes_max: usize, now: Now) {
        let share = bytes_max.max(BYTES_MIN) / self.shards.len();
        for lane in &self.shards {
            lane.lock().set_bytes_max(share, self.terms(now));
        }
    }

    /// What there is and what was done.
    pub fn stats(&self) -> Stats {
        self.shards.iter().map(|lane| lane.lock().stats()).fold(Stats::default(), |sum, stats| sum + stats)
    }

    fn terms(&self, now: Now) -> Terms {
        Terms {
            now_ms: mono(now),
            stale_ms: self.stale_ms.load(Ordering::Relaxed),
            epoch: self.epoch.load(Ordering::Relaxed),
            allow_stale: false,
        }
    }

    fn is_pinned(&self, name: &[u8], sort: Sort) -> bool {
        is_pinned(&self.pins.read().unwrap_or_else(PoisonError::into_inner), name, sort)
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        self.shards[hash as usize & (self.shards.len() - 1)].lock()
    }
}

impl Lane {
    fn lock(&self) -> MutexGuard<'_, Shard> {
        self.0.lock().unwrap_or_else(|poisoned| {
            // A panic may have left it half changed; what it held can be asked for again.
            let mut shard = poisoned.into_inner();
            shard.clear();
            self.0.clear_poison();
            shard
        })
    }
}

fn is_pinned(pins: &HashSet<Box<[u8]>>, name: &[u8], sort: Sort) -> bool {
    PINNED_KINDS.contains(&sort.kind) && pins.contains(name)
}

/// Whether a name in lower-case wire form is `apex` or below it.
fn is_within(name: &[u8], apex: &[u8]) -> bool {
    let mut rest = name;
    while rest.len() > apex.len() {
        rest = rest.get(usize::from(rest[0]) + 1..).unwrap_or_default();
    }
    rest == apex
}

fn mono(now: Now) -> i64 {
    i64::try_from(now.mono_millis).unwrap_or(i64::MAX)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
