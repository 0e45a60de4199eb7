//! The cache against a plain one that forgets nothing, step by step in virtual time.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Put { name: u8, kind: u16, variant: u8, what: What, ttl: u32 },
    Fail { name: u8, kind: u16, variant: u8 },
    Ask { name: u8, kind: u16, variant: u8, allow_stale: bool },
    Pass(u64),
    Flush(u8),
    Forget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Data,
    NoData,
    NoName,
}

#[derive(Clone, Debug)]
struct Known {
    id: u32,
    ttl: u32,
    stored: u64,
    rcode: u16,
    hits: u32,
    prefetch_told: bool,
    refresh_told: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    until: u64,
    backoff: u64,
}

#[derive(Debug, PartialEq, Eq)]
enum Told {
    Fresh { id: u32, ttl: u32, rcode: u16, prefetch: bool },
    Stale { id: u32, rcode: u16, refresh: bool },
    Failed,
    Miss,
}

type At = (u8, u16, u8);

/// What the rules say, without any bound of memory.
#[derive(Default)]
struct Model {
    now: u64,
    known: HashMap<At, Known>,
    failed: HashMap<At, Failed>,
}

const STALE: u64 = 3 * 86_400_000;

impl Known {
    fn expires(&self) -> u64 {
        self.stored + u64::from(self.ttl) * 1000
    }
}

impl Model {
    fn put(&mut self, at: At, what: What, ttl: u32, id: u32) {
        let (name, _, variant) = at;
        self.failed.remove(&at);
        let max = if what == What::Data { TTL_MAX } else { NEGATIVE_TTL_MAX };
        let ttl = ttl.min(max);
        if ttl == 0 {
            self.known.retain(|other, _| *other != at && (other.0, other.1) != (name, 0));
            return;
        }
        let rcode = if what == What::NoName { rcode::NXDOMAIN } else { rcode::NOERROR };
        let known =
            Known { id, ttl, stored: self.now, rcode, hits: 0, prefetch_told: false, refresh_told: None };
        if what == What::NoName {
            self.known.remove(&at);
            self.known.insert((name, 0, variant), known);
        } else {
            self.known.retain(|other, _| (other.0, other.1) != (name, 0));
            self.known.insert(at, known);
        }
    }

    fn fail(&mut self, at: At) {
        let backoff = match self.failed.get(&at) {
            Some(before) if self.now < before.until => before.backoff,
            Some(before) if self.now < before.until + 30_000 => (before.backoff * 2).min(30_000),
            _ => 1000,
        };
        self.failed.insert(at, Failed { until: self.now + backoff, backoff });
        if let Some(known) = self.known.get_mut(&at) {
            known.prefetch_told = false;
        }
    }

    fn ask(&mut self, at: At, allow_stale: bool) -> Told {
        let (now, whole) = (self.now, (at.0, 0, at.2));
        let failing = self.failed.get(&at).is_some_and(|failed| now < failed.until);
        for at in [at, whole] {
            let holds_back = failing && at != whole;
            if let Some(known) = self.known.get_mut(&at).filter(|known| now < known.expires()) {
                known.hits += 1;
                let prefetch = (known.expires() - now) * 10 <= u64::from(known.ttl) * 1000
                    && known.hits >= 2
                    && !known.prefetch_told
                    && !holds_back;
                known.prefetch_told |= prefetch;
                let ttl = known.ttl - ((now - known.stored) / 1000) as u32;
                return Told::Fresh { id: known.id, ttl, rcode: known.rcode, prefetch };
            }
        }
        if failing || allow_stale {
            for at in [at, whole] {
                if let Some(known) = self.known.get_mut(&at).filter(|known| now < known.expires() + STALE) {
                    known.hits += 1;
                    let rested = known.refresh_told.is_none_or(|told| now >= told + 1000);
                    let refresh = rested && !failing;
                    if refresh {
                        known.refresh_told = Some(now);
                    }
                    return Told::Stale { id: known.id, rcode: known.rcode, refresh };
                }
            }
        }
        if failing { Told::Failed } else { Told::Miss }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let name = || 0..12_u8;
    let kind = || prop_oneof![Just(kind::A), Just(kind::AAAA), Just(kind::TXT)];
    let variant = || prop_oneof![6 => Just(0_u8), 1 => 1..4_u8];
    let what = prop_oneof![3 => Just(What::Data), 1 => Just(What::NoData), 1 => Just(What::NoName)];
    let ttl = prop_oneof![Just(0), 1..10_u32, 10..5000_u32, any::<u32>()];
    let pass = prop_oneof![0..3000_u64, 0..100_000_u64, 0..4_000_000_u64, 0..200_000_000_u64];
    prop_oneof![
        6 => (name(), kind(), variant(), what, ttl)
            .prop_map(|(name, kind, variant, what, ttl)| Step::Put { name, kind, variant, what, ttl }),
        3 => (name(), kind(), variant()).prop_map(|(name, kind, variant)| Step::Fail { name, kind, variant }),
        16 => (name(), kind(), variant(), any::<bool>()).prop_map(|(name, kind, variant, allow_stale)| {
            Step::Ask { name, kind, variant, allow_stale }
        }),
        6 => pass.prop_map(Step::Pass),
        1 => name().prop_map(Step::Flush),
        1 => Just(Step::Forget),
    ]
}

/// Runs both.
fn run(cache: &Cache, steps: &[Step]) {
    let names: Vec<Name> =
        (0..12).map(|number| Name::parse(&format!("name-{number}.example.")).unwrap()).collect();
    let lower: Vec<LowerName> = names.iter().map(|name| LowerName::of(name.as_wire())).collect();
    let key = |name: u8, kind: u16, variant: u8| Key {
        name: &lower[usize::from(name)],
        kind,
        dnssec_ok: variant & 1 != 0,
        checking_disabled: variant & 2 != 0,
    };
    let mut model = Model::default();
    for (id, step) in (0..).zip(steps) {
        let now = Now { mono_millis: model.now, wall_secs: model.now / 1000 };
        match *step {
            Step::Put { name, kind, variant, what, ttl } => {
                let body = match what {
                    What::Data => positive(kind, ttl, id),
                    What::NoData => denial(rcode::NOERROR, ttl, id),
                    What::NoName => denial(rcode::NXDOMAIN, ttl, id),
                };
                let stored = cache.insert(&key(name, kind, variant), &body, now);
                assert_eq!(stored.is_ok(), ttl > 0);
                model.put((name, kind, variant), what, ttl, id);
            }
            Step::Fail { name, kind, variant } => {
                let failure = Failure { rcode: rcode::SERVFAIL, ede: None };
                cache.insert_failure(&key(name, kind, variant), failure, now);
                model.fail((name, kind, variant));
            }
            Step::Ask { name, kind, variant, allow_stale } => {
                let (hit, octets) = ask(cache, &key(name, kind, variant), now, allow_stale);
                let told = match hit {
                    Hit::Fresh { written, prefetch } => {
                        let (id, ttl) = read(&octets);
                        Told::Fresh { id, ttl, rcode: written.unwrap().rcode, prefetch }
                    }
                    Hit::Stale { written, refresh } => {
                        assert_eq!(read(&octets).1, STALE_TTL);
                        Told::Stale { id: read(&octets).0, rcode: written.unwrap().rcode, refresh }
                    }
                    Hit::Failed { .. } => Told::Failed,
                    Hit::Miss => Told::Miss,
                };
                let expected = model.ask((name, kind, variant), allow_stale);
                assert_eq!(told, expected, "step {id}: {step:?} at {}", model.now);
            }
            Step::Pass(millis) => model.now += millis,
            Step::Flush(name) => {
                cache.flush(&Flush::Name(names[usize::from(name)].clone()));
                model.known.retain(|at, _| at.0 != name);
                model.failed.retain(|at, _| at.0 != name);
            }
            Step::Forget => {
                cache.forget_failures();
                model.failed.clear();
            }
        }
        cache.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn it_does_what_the_rules_say(steps in prop::collection::vec(step(), 1..200)) {
        run(&Cache::new(1 << 20, 7), &steps);
    }

    /// Bodies of any size, in too little room: what comes back was put in last, and the bound holds throughout.
    #[test]
    fn too_little_room_makes_it_forget_and_never_lie(
        steps in prop::collection::vec((0..400_u16, 0..2000_usize, 0..4_u8), 1..2000)
    ) {
        let cache = Cache::new(BYTES_MIN, 7);
        let mut last = HashMap::new();
        for (id, (number, length, what)) in (0_u32..).zip(steps) {
            let name = name(&format!("n{number}.example."));
            let key = key(&name, kind::TXT);
            if what == 0 {
                let rdata = [&id.to_be_bytes()[..], &vec![7; length]].concat();
                let body = body(rcode::NOERROR, [&[record(kind::TXT, 60, &rdata)], &[], &[]]);
                cache.insert(&key, &body, at(0)).unwrap();
                last.insert(number, id);
            } else if let (Hit::Fresh { .. }, octets) = ask(&cache, &key, at(1), false) {
                prop_assert_eq!(Some(&read(&octets).0), last.get(&number));
            }
            let stats = cache.stats();
            prop_assert!(stats.bytes <= stats.bytes_max);
        }
        cache.check();
    }
}
