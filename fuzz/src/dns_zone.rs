//! Any records at all as a zone, and any questions to it: it is refused, or every answer is whole and the zone's own.

use faros_dnsd::protocol::code::{class, kind};
use faros_dnsd::protocol::message::Question;
use faros_dnsd::protocol::name::{LowerName, Name};
use faros_dnsd::zone::{Record, Snapshot, Zone, ZoneSource, render, text};
use hickory_proto::op::Message;

use crate::Target;
use crate::input::Input;

/// Feeds [`Zone::compile`], [`Snapshot::answer`], [`text::rdata`] and [`render::master_file`].
pub const TARGET: Target = Target { name: "dns_zone", run, seeds, memory: (4 << 20, 4096) };

const KINDS: [u16; 12] = [
    kind::A, kind::NS, kind::CNAME, kind::SOA, kind::PTR, kind::MX, kind::TXT, kind::AAAA, kind::SRV, kind::DNAME,
    kind::DS, 65_280,
];
const LABELS: [&str; 8] = ["a", "b", "*", "_sip", "ns", "x\\.y", "deep", "A"];
const VALUES: [&str; 12] = [
    "192.0.2.1", "ns", "a", "ns hostmaster 1 3600 600 86400 60", "b.a", "10 ns", "\"one\" two", "2001:db8::1",
    "0 5 53 ns", "b", "1 13 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", "\\# 2 0102",
];
const QUESTIONS: usize = 16;

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let origin = Name::parse("z.").expect("a name");
    let mut records = vec![
        record(&origin, "z.", kind::SOA, VALUES[3]).expect("a SOA"),
        record(&origin, "z.", kind::NS, "ns").expect("a NS"),
    ];
    let mut asked = vec![origin.clone()];
    for _ in 0..input.below(24) {
        let owner = some_name(&mut input);
        let at = usize::from(input.below(KINDS.len() as u8));
        let free = input.flag().then(|| String::from_utf8_lossy(input.short()).into_owned());
        let value = free.as_deref().unwrap_or(VALUES[at]);
        let Some(record) = record(&origin, &owner, KINDS[at], value) else { continue };
        asked.push(record.owner.clone());
        records.push(record);
    }
    let Ok(zone) = Zone::compile(&ZoneSource { origin, records }) else { return };
    for line in render::master_file(&zone).lines() {
        assert!(line.split(' ').count() >= 5, "{line}");
    }
    let snapshot = Snapshot::new(vec![zone.into()]);
    for _ in 0..QUESTIONS {
        let name = match input.flag() {
            true => asked[usize::from(input.below(asked.len() as u8))].clone(),
            false => Name::parse(&some_name(&mut input)).expect("made of labels"),
        };
        ask(&snapshot, &name, KINDS[usize::from(input.below(KINDS.len() as u8))]);
    }
}

fn ask(snapshot: &Snapshot, name: &Name, kind: u16) {
    let mut out = vec![0; 16 * 1024];
    let question = Question { name: name.as_wire(), kind, class: class::IN };
    let lower = LowerName::of(name.as_wire());
    let Some(answer) = snapshot.answer(&question, &lower, false, &mut out) else {
        panic!("{name} is in the zone");
    };
    let Ok(answered) = answer else { return };
    let written = answered.written;
    let mut message = vec![0, 0, 0x84, 0, 0, 1];
    for count in [written.answers, written.authorities, written.additionals] {
        message.extend(count.to_be_bytes());
    }
    message.extend(name.as_wire());
    message.extend(kind.to_be_bytes());
    message.extend([0, 1]);
    message.extend(&out[..written.len]);
    let read = Message::from_vec(&message).unwrap_or_else(|error| panic!("{name} {kind}: {error}: {message:02x?}"));
    let counts = [read.answers.len(), read.authorities.len(), read.additionals.len()];
    assert_eq!(counts, [written.answers, written.authorities, written.additionals].map(usize::from));
    // However small the room is, nothing is written behind it, and what fits is the same.
    let mut small = vec![0xee; written.len.saturating_sub(1)];
    if let Some(Ok(answered)) = snapshot.answer(&question, &lower, false, &mut small) {
        assert!(answered.written.additionals < written.additionals, "only additional records may be left out");
    }
}

fn some_name(input: &mut Input<'_>) -> String {
    let labels: Vec<&str> = (0..=input.below(3)).map(|_| LABELS[usize::from(input.below(LABELS.len() as u8))]).collect();
    format!("{}.z.", labels.join("."))
}

fn record(origin: &Name, owner: &str, kind: u16, value: &str) -> Option<Record> {
    Some(Record {
        owner: Name::parse(owner).ok()?,
        kind,
        ttl: 60,
        rdata: text::rdata(kind, value, origin).ok()?,
    })
}

fn seeds() -> Vec<Vec<u8>> {
    (0..6_u8).map(|seed| (0..160_u8).map(|at| at.wrapping_mul(37).wrapping_add(seed * 51) ^ at >> 3).collect()).collect()
}
