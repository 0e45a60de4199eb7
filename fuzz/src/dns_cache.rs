//! A cache that is told anything, in too little room: it keeps its bound, gives out what was put in last, and what
//! it gives out is a message. Records on disk that nobody wrote make no other difference than being refused.

use std::collections::HashMap;
use std::time::Duration;

use faros_dnsd::cache::persist;
use faros_dnsd::cache::{
    BYTES_MIN, Cache, Failure, Flush, Hit, Key, NotStored, Now, PINNED_KINDS, STALE_TTL, TTL_MAX,
};
use faros_dnsd::protocol::body::Body;
use faros_dnsd::protocol::code::{kind, rcode};
use faros_dnsd::protocol::name::{LowerName, Name};

use crate::Target;
use crate::input::Input;

/// Feeds [`Cache`] and [`persist::load_from`].
pub const TARGET: Target = Target { name: "dns_cache", run, seeds, memory: (4 << 20, 1024) };

/// The names that are asked for; more of them have numbers.
const NAMES: [&str; 6] = [".", "example.", "a.example.", "b.a.example.", "registry.test.", "x\\.y.example."];
const KINDS: [u16; 6] = [kind::A, kind::AAAA, kind::TXT, kind::HTTPS, kind::ANY, 0];
const OUT_BYTES: usize = 2048;

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    if input.below(4) == 0 {
        return file(input.rest());
    }
    let mut world = World::new();
    while !input.is_empty() {
        world.step(&mut input);
        let stats = world.cache.stats();
        assert!(stats.bytes <= stats.bytes_max, "{} bytes, {} at most", stats.bytes, stats.bytes_max);
        assert!(stats.pinned <= stats.entries);
    }
}

type Asked = (Vec<u8>, u16, bool, bool);

struct World {
    cache: Cache,
    now: Now,
    /// The octets last put in under a name, type and flags, with their TTLs at 0.
    last: HashMap<Asked, Vec<u8>>,
    /// What was last denied as a whole.
    denied: HashMap<(Vec<u8>, bool, bool), Vec<u8>>,
}

impl World {
    fn new() -> Self {
        let cache = Cache::new(BYTES_MIN, 7);
        cache.set_pins([&Name::parse("registry.test.").expect("a name")]);
        Self { cache, now: start(), last: HashMap::new(), denied: HashMap::new() }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let name = name(input);
        let (dnssec_ok, checking_disabled) = (input.flag(), input.flag());
        let key = Key {
            name: &name,
            kind: KINDS[usize::from(input.below(KINDS.len() as u8))],
            dnssec_ok,
            checking_disabled,
        };
        match input.below(12) {
            0..4 => self.put(&key, input),
            4..8 => self.ask(&key, input),
            8 => {
                let failure = Failure { rcode: rcode::SERVFAIL, ede: None };
                self.cache.insert_failure(&key, failure, self.now);
            }
            9 => {
                let millis = u64::from(input.u32()) >> (input.byte() % 32);
                self.now.mono_millis += millis;
                self.now.wall_secs += millis / 1000;
            }
            10 => {
                let name = Name::from_wire(name.as_wire()).expect("a name");
                self.cache.flush(&match input.below(8) {
                    0 => Flush::All,
                    1..4 => Flush::Subtree(name),
                    _ => Flush::Name(name),
                });
            }
            _ => match input.below(4) {
                0 => self.cache.forget_failures(),
                1 => self.cache.set_stale(Duration::from_secs(input.u32().into())),
                2 => self.cache.set_bytes_max(input.u32() as usize >> 13, self.now),
                _ => drop(self.cache.remaining(&key, self.now)),
            },
        }
    }

    fn put(&mut self, key: &Key<'_>, input: &mut Input<'_>) {
        let body = body(input);
        let kept = self.cache.insert(key, &body, self.now);
        let name = key.name.as_wire();
        // Of a pinned name the last answer stays, to be given out when nobody can tell any more.
        if kept == Err(NotStored::TtlZero) && !name.starts_with(b"\x08registry") {
            self.last.remove(&(name.to_vec(), key.kind, key.dnssec_ok, key.checking_disabled));
            self.denied.retain(|(denied, ..), _| denied != name);
        }
        if kept.is_err() {
            return;
        }
        let mut octets = body.bytes.to_vec();
        zero_ttls(&mut octets, &body);
        let Key { name, kind, dnssec_ok, checking_disabled } = *key;
        let name = name.as_wire().to_vec();
        if body.rcode == rcode::NXDOMAIN && body.answers == 0 {
            self.denied.insert((name, dnssec_ok, checking_disabled), octets);
        } else {
            self.last.insert((name, kind, dnssec_ok, checking_disabled), octets);
        }
    }

    fn ask(&mut self, key: &Key<'_>, input: &mut Input<'_>) {
        let mut out = [0xee; OUT_BYTES];
        let room = OUT_BYTES - usize::from(input.byte()) * 8;
        let allow_stale = input.flag();
        let hit = self.cache.answer(key, self.now, allow_stale, &mut out[..room]);
        assert!(out[room..].iter().all(|byte| *byte == 0xee), "written beyond the room");
        let (written, stale) = match hit {
            Hit::Fresh { written: Ok(written), .. } => (written, false),
            Hit::Stale { written: Ok(written), .. } => (written, true),
            Hit::Fresh { .. } | Hit::Stale { .. } | Hit::Failed { .. } | Hit::Miss => return,
        };
        assert!(!written.authoritative, "a cache is no authority");
        assert!(matches!(written.rcode, rcode::NOERROR | rcode::NXDOMAIN));
        let mut octets = out[..written.len].to_vec();
        for at in ttl_fields(&octets, written.answers + written.authorities + written.additionals) {
            let ttl = u32::from_be_bytes(octets[at..at + 4].try_into().expect("four octets"));
            assert!(if stale { ttl == STALE_TTL } else { ttl <= TTL_MAX }, "a TTL of {ttl}");
            octets[at..at + 4].fill(0);
        }
        let Key { name, kind, dnssec_ok, checking_disabled } = *key;
        let name = name.as_wire().to_vec();
        let denied = self.denied.get(&(name.clone(), dnssec_ok, checking_disabled));
        let last = self.last.get(&(name, kind, dnssec_ok, checking_disabled));
        // The additional section may be missing.
        let known = |put: Option<&Vec<u8>>| put.is_some_and(|put| put.starts_with(&octets));
        assert!(known(denied) || known(last), "never put in: {octets:02x?}");
    }
}

/// A file that somebody else wrote, or damaged: what is loaded from it can be given out.
fn file(content: &[u8]) {
    let cache = Cache::new(BYTES_MIN, 9);
    let loaded = persist::load_from(&cache, &*sealed(content), start());
    let stats = cache.stats();
    assert_eq!(stats.entries, loaded.entries);
    assert!(stats.bytes <= stats.bytes_max);
    for text in NAMES {
        let name = LowerName::of(Name::parse(text).expect("a name").as_wire());
        for kind in PINNED_KINDS {
            let key = Key { name: &name, kind, dnssec_ok: false, checking_disabled: false };
            let mut out = [0; OUT_BYTES];
            let hit = cache.answer(&key, start(), true, &mut out);
            if let Hit::Fresh { written: Ok(written), .. } | Hit::Stale { written: Ok(written), .. } = hit {
                let records = written.answers + written.authorities + written.additionals;
                assert_eq!(ttl_fields(&out[..written.len], records).len(), usize::from(records));
            }
        }
    }
}

/// The content as it is, or else as records with right checksums: each begins with its length.
fn sealed(content: &[u8]) -> Vec<u8> {
    let mut input = Input::new(content);
    if input.flag() {
        return input.rest().to_vec();
    }
    let salt = 0x5a17_5a17_u32.to_le_bytes();
    let mut header = [&b"farosdns\x01\x00\x00\x00"[..], &salt].concat();
    header.extend(crc32c::crc32c(&header).to_le_bytes());
    header.extend([0; 4]);
    let mut file = header.repeat(2);
    while !input.is_empty() {
        let payload = input.short();
        let length = (payload.len() as u32).to_le_bytes();
        let crc = crc32c::crc32c(&[&salt[..], &length, payload].concat()).to_le_bytes();
        file.extend([&salt[..], &length, &crc, payload].concat());
    }
    file
}

fn start() -> Now {
    Now { mono_millis: 1_000_000, wall_secs: 1_800_000_000 }
}

fn name(input: &mut Input<'_>) -> LowerName {
    let text = match input.below(8) {
        number @ 0..6 => NAMES[usize::from(number)].to_owned(),
        _ => format!("n{}.example.", input.u16()),
    };
    LowerName::of(Name::parse(&text).expect("a name").as_wire())
}

/// A body of well-formed records; where the fuzzer says so, its parts do not fit together.
fn body(input: &mut Input<'_>) -> Body {
    let counts = [input.below(4), input.below(3), input.below(3)];
    let (mut bytes, mut ttls, mut additional_at) = (Vec::new(), Vec::new(), 0);
    for (section, count) in counts.into_iter().enumerate() {
        if section == 2 {
            additional_at = bytes.len() as u32;
        }
        for _ in 0..count {
            let kind = match input.below(8) {
                number @ 0..5 => KINDS[usize::from(number)],
                5 => kind::CNAME,
                _ => kind::SOA,
            };
            bytes.extend([0xc0, 12]);
            bytes.extend(kind.to_be_bytes());
            bytes.extend([0, 1]);
            ttls.push(bytes.len() as u16);
            let ttl = input.u32() >> (input.byte() % 32);
            bytes.extend(ttl.to_be_bytes());
            let rdata = input.short();
            bytes.extend((rdata.len() as u16).to_be_bytes());
            bytes.extend_from_slice(rdata);
        }
    }
    let mut body = Body {
        rcode: [rcode::NOERROR, rcode::NOERROR, rcode::NXDOMAIN, rcode::SERVFAIL]
            [usize::from(input.below(4))],
        authoritative: input.flag(),
        authentic: input.flag(),
        answers: counts[0].into(),
        authorities: counts[1].into(),
        additionals: counts[2].into(),
        bytes: bytes.into(),
        additional_at,
        ttls: ttls.into(),
    };
    match input.below(32) {
        0 => body.additional_at = input.u16().into(),
        1 => body.ttls.iter_mut().for_each(|at| *at = input.u16()),
        2 => body.ttls = Box::default(),
        3 => body.authorities = input.u16(),
        _ => return body,
    }
    // What does not fit together may be refused or not; what was put in under it is not compared.
    body.rcode = rcode::SERVFAIL;
    body
}

fn zero_ttls(octets: &mut [u8], body: &Body) {
    for at in &body.ttls {
        octets[usize::from(*at)..usize::from(*at) + 4].fill(0);
    }
}

/// The offsets of the TTL fields of so many records, read as a client reads them.
fn ttl_fields(octets: &[u8], records: u16) -> Vec<usize> {
    let mut at = 0;
    let fields = (0..records).map(|_| {
        loop {
            match octets[at] {
                0 => break at += 1,
                0xc0.. => break at += 2,
                length => at += usize::from(length) + 1,
            }
        }
        let ttl = at + 4;
        at += 10 + usize::from(u16::from_be_bytes([octets[at + 8], octets[at + 9]]));
        ttl
    });
    let fields = fields.collect();
    assert_eq!(at, octets.len(), "the records fill the body");
    fields
}

fn seeds() -> Vec<Vec<u8>> {
    // One record of type A in the answer section: counts, kind, TTL and its shift, RDATA, rcode, flags, no damage.
    let answer = |ttl: u8| [&[1, 0, 0, 0, 0, 0, 0, ttl, 0, 4, 192, 0, 2, 1, 0, 0, 0, 9][..]].concat();
    let denial = [&[0, 1, 0, 6, 0, 0, 0, 60, 0, 22][..], &[0; 21], &[60, 2, 0, 0, 9]].concat();
    let step = |name: u8, what: u8, rest: &[u8]| [&[name, 0, 0, 0, what][..], rest].concat();
    let ask = |name: u8, stale: u8| step(name, 4, &[0, stale]);
    let pass = |millis: u16| step(0, 9, &[&[0, 0][..], &millis.to_be_bytes(), &[0]].concat());
    let record = |name: &[u8], stored: u64, lifetime: u64| {
        let mut record = vec![1, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 16, 0, 0, 0];
        record.extend(stored.to_le_bytes());
        record.extend((stored + lifetime).to_le_bytes());
        record.push(name.len() as u8);
        record.extend_from_slice(name);
        record.extend([1, 0, 6, 0, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
        [&[record.len() as u8][..], &record].concat()
    };
    let stored = start().wall_secs;
    vec![
        [vec![1], step(2, 0, &answer(60)), ask(2, 0), pass(61_000), ask(2, 0), ask(2, 1)].concat(),
        [vec![1], step(4, 0, &answer(1)), step(4, 8, &[]), ask(4, 0), pass(9000), ask(4, 1)].concat(),
        [vec![1], step(2, 0, &denial), ask(2, 0), step(2, 10, &[1]), ask(2, 0)].concat(),
        [vec![1], step(3, 8, &[]), ask(3, 0), step(3, 11, &[0]), ask(3, 0)].concat(),
        [vec![0, 0], record(b"\x01a\x07example\x00", stored, 60), record(b"\x00", stored - 90, 60)].concat(),
        [vec![0, 0], record(b"\x08registry\x04test\x00", 9, 60)].concat(),
        [vec![0, 1], b"farosdns".to_vec()].concat(),
    ]
}
