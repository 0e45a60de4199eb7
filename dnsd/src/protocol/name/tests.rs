//! Names between text, wire and order.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

#[test]
fn text_and_wire_are_the_same_name() {
    assert_eq!(name("api.Example.").as_wire(), b"\x03api\x07Example\x00");
    assert_eq!(name("api.example").to_string(), "api.example.");
    assert_eq!(name(".").as_wire(), [0]);
    assert_eq!(Name::root().to_string(), ".");
    assert_eq!(Name::from_wire(b"\x03api\x00").unwrap(), name("API"));
}

#[test]
fn escapes_are_read_and_written() {
    let odd = name(r"a\.b\\\032\000\255x.c");
    assert_eq!(odd.as_wire(), b"\x08a.b\\ \x00\xffx\x01c\x00");
    assert_eq!(odd.to_string(), r"a\.b\\\032\000\255x.c.");
    assert_eq!(odd.label_count(), 2);
}

#[test]
fn texts_that_are_no_names_are_refused() {
    for (text, error) in [
        ("", NameError::Empty),
        ("a..b", NameError::LabelEmpty),
        (".a", NameError::LabelEmpty),
        ("..", NameError::LabelEmpty),
        (r"a\", NameError::Escape),
        (r"a\25", NameError::Escape),
        (r"a\256", NameError::Escape),
        (r"a\2x5", NameError::Escape),
        ("bücher.example", NameError::NotAscii),
        (r"\ü", NameError::Escape),
    ] {
        assert_eq!(Name::parse(text), Err(error), "{text:?}");
    }
    assert!(Name::parse(&"a".repeat(63)).is_ok());
    assert_eq!(Name::parse(&"a".repeat(64)), Err(NameError::LabelTooLong));
    assert!(Name::parse(&"a.".repeat(127)).is_ok());
    assert_eq!(Name::parse(&"a.".repeat(128)), Err(NameError::TooLong));
    assert_eq!(Name::parse(&"a.".repeat(1_000_000)), Err(NameError::TooLong));
}

#[test]
fn octets_that_are_no_names_are_refused() {
    for (wire, error) in [
        (&[][..], NameError::Truncated),
        (b"\x01a", NameError::Truncated),
        (b"\x05a\x00", NameError::Truncated),
        (b"\x01a\x00\x00", NameError::Trailing),
        (b"\xc0\x00", NameError::LabelType),
        (b"\x40a\x00", NameError::LabelType),
    ] {
        assert_eq!(Name::from_wire(wire), Err(error), "{wire:?}");
    }
    let long = [&b"\x01a".repeat(128)[..], &[0]].concat();
    assert_eq!(Name::from_wire(&long), Err(NameError::TooLong));
    assert!(Name::from_wire(&long[2..]).is_ok());
}

#[test]
fn below_means_at_a_label() {
    assert!(name("a.b.example").is_within(&name("B.example")));
    assert!(name("b.example").is_within(&name("b.example")));
    assert!(name("b.example").is_within(&Name::root()));
    assert!(!name("ab.example").is_within(&name("b.example")));
    assert!(!name("example").is_within(&name("b.example")));
    // The octets of a label can look like the labels of the apex.
    assert!(!Name::from_wire(b"\x04\x01b\x01c\x00").unwrap().is_within(&name("c")));
}

#[test]
fn case_makes_no_difference() {
    let (one, other) = (name("API.example"), name("api.EXAMPLE"));
    assert_eq!(one, other);
    assert_eq!(HashSet::from([one.clone(), other.clone()]).len(), 1);
    assert_eq!(one.lower().as_wire(), LowerName::of(other.as_wire()).as_wire());
    assert_ne!(name("a.b"), Name::from_wire(b"\x03a.b\x00").unwrap());
}

// RFC 4034 section 6.1.
#[test]
fn the_order_is_the_canonical_one() {
    let sorted = [
        "example",
        "a.example",
        "yljkjljk.a.example",
        "Z.a.example",
        "zABC.a.EXAMPLE",
        "z.example",
        r"\001.z.example",
        "*.z.example",
        r"\200.z.example",
    ]
    .map(name);
    let mut shuffled = sorted.clone();
    shuffled.reverse();
    shuffled.sort();
    assert_eq!(shuffled, sorted);
    assert!(Name::root() < sorted[0]);
}

#[test]
fn parents_and_children() {
    let api = name("api.example");
    assert_eq!(api.parent(), Some(name("example")));
    assert_eq!(Name::root().parent(), None);
    assert_eq!(name("example").prepend(b"api").unwrap(), api);
    assert!(api.prepend(b"*").unwrap().is_wildcard());
    assert!(!name("*x.example").is_wildcard() && !name("x.*.example").is_wildcard());
    assert_eq!(api.prepend(b""), Err(NameError::LabelEmpty));
    assert_eq!(api.prepend(&[b'a'; 64]), Err(NameError::LabelTooLong));
    assert_eq!(name(&"a.".repeat(127)).prepend(b"a"), Err(NameError::TooLong));
}

#[test]
fn a_lower_name_knows_its_labels() {
    let lower = LowerName::of(b"\x03WwW\x07Example\x00trailing");
    assert_eq!(lower.as_wire(), b"\x03www\x07example\x00");
    assert_eq!((lower.label_count(), lower.offset(1), lower.suffix(2)), (2, 4, &[0][..]));
    assert_eq!((lower.suffix(1), lower.label(0)), (&b"\x07example\x00"[..], &b"www"[..]));
    let most = [&b"\x01A".repeat(127)[..], &[0]].concat();
    let lower = LowerName::of(&most);
    assert_eq!((lower.label_count(), lower.as_wire().len(), lower.suffix(127)), (127, 255, &[0][..]));
}

#[test]
fn hashes_depend_on_every_octet_and_on_the_seed() {
    let wires: Vec<Vec<u8>> = (1..40usize)
        .flat_map(|len| {
            (0..len).map(move |at| {
                let mut wire = vec![b'a'; len];
                wire[at] = b'b';
                wire
            })
        })
        .collect();
    for seed in [0, 1, u64::MAX] {
        let hashes: HashSet<u64> = wires.iter().map(|wire| hash(wire, seed)).collect();
        assert_eq!(hashes.len(), wires.len());
        // Tables use the lowest bits, and the highest as tags.
        for bits in [0, 48] {
            let parts: HashSet<u64> = hashes.iter().map(|hash| hash >> bits & 0xffff).collect();
            assert!(parts.len() > hashes.len() * 97 / 100, "{} of {}", parts.len(), hashes.len());
        }
    }
    assert_ne!(hash(b"\x03www\x00", 1), hash(b"\x03www\x00", 2));
}

/// Labels of any octets; together no longer than a name.
fn labels() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=31), 0..8)
}

fn of_labels(labels: &[Vec<u8>]) -> Name {
    labels.iter().rev().fold(Name::root(), |name, label| name.prepend(label).unwrap())
}

proptest! {
    #[test]
    fn what_is_written_reads_the_same(labels in labels()) {
        let name = of_labels(&labels);
        let again = Name::parse(&name.to_string()).unwrap();
        prop_assert_eq!(again.as_wire(), name.as_wire());
        prop_assert_eq!(name.labels().map(<[u8]>::to_vec).collect::<Vec<_>>(), labels);
    }

    #[test]
    fn hickory_agrees_on_order_and_equality(a in labels(), b in labels()) {
        use hickory_proto::rr::Name as Theirs;
        let theirs = |labels: &[Vec<u8>]| Theirs::from_labels(labels.iter().map(Vec::as_slice)).unwrap();
        prop_assert_eq!(of_labels(&a).cmp(&of_labels(&b)), theirs(&a).cmp(&theirs(&b)));
        prop_assert_eq!(of_labels(&a) == of_labels(&b), theirs(&a) == theirs(&b));
    }

    #[test]
    fn random_octets_are_a_name_or_none(wire in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(name) = Name::from_wire(&wire) {
            prop_assert_eq!(name.as_wire(), &wire[..]);
        }
        let lower = LowerName::of(&wire);
        prop_assert!(lower.as_wire().len() <= wire.len() + 1 && lower.as_wire().ends_with(&[0]));
    }

    #[test]
    fn random_text_is_a_name_or_none(text in "[a-c.\\\\0-9 ü]{0,40}") {
        if let Ok(name) = Name::parse(&text) {
            prop_assert_eq!(Name::parse(&name.to_string()), Ok(name));
        }
    }
}
