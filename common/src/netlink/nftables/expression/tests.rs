use proptest::prelude::*;

use super::*;
use crate::netlink::attribute::{Attributes, Builder};

fn encoded(expression: &Expression) -> Vec<u8> {
    let mut builder = Builder::new();
    expression.encode(&mut builder);
    builder.build().unwrap()
}

fn register() -> impl Strategy<Value = Register> {
    (0u8..16).prop_map(|word| Register::word(word).unwrap())
}

fn expression() -> impl Strategy<Value = Expression> {
    let value = || prop::collection::vec(any::<u8>(), 1..64);
    let span = || prop::option::of((register(), Just(None)));
    prop_oneof![
        register().prop_map(|into| Expression::Meta { key: MetaKey::Mark, into }),
        register().prop_map(|from| Expression::SetMeta { key: MetaKey::Trace, from }),
        (register(), any::<u32>(), any::<u32>()).prop_map(|(into, offset, length)| Expression::Payload {
            payload: Payload::new(PayloadBase::Transport, offset, length),
            into
        }),
        (register(), any::<Option<bool>>()).prop_map(|(from, checksum)| Expression::SetPayload {
            payload: Payload::IPV6_SOURCE,
            from,
            checksum: checksum.map(|pseudo_header| Checksum { offset: 10, pseudo_header }),
        }),
        (register(), value()).prop_map(|(register, with)| Expression::Compare {
            register,
            comparison: Comparison::GreaterOrEqual,
            with
        }),
        (register(), value()).prop_map(|(into, value)| Expression::Immediate { into, value }),
        (register(), value()).prop_map(|(register, mask)| Expression::Bitwise(Bitwise::mask(register, mask))),
        (register(), register(), 0u32..32, any::<bool>()).prop_map(|(from, into, bits, left)| {
            Expression::Bitwise(Bitwise::Shift { from, into, length: 4, left, bits })
        }),
        (register(), register()).prop_map(|(key, into)| Expression::Lookup(Lookup::map("m", key, into))),
        register().prop_map(|key| Expression::Lookup(Lookup::no_member("s", key))),
        register().prop_map(|key| Expression::Lookup(Lookup::verdict("v", key))),
        "[a-z]{1,20}".prop_map(|chain| Expression::Verdict(Verdict::Jump(chain))),
        any::<(u64, u64)>().prop_map(|(packets, octets)| Expression::Counter(Counters { packets, octets })),
        any::<(u64, u32, bool)>().prop_map(|(rate, burst, above)| Expression::Limit(Limit {
            rate,
            period: std::time::Duration::from_secs(60),
            burst,
            unit: LimitUnit::Octets,
            above
        })),
        (span(), span(), any::<(bool, bool)>()).prop_map(|(addresses, ports, (random, prefix))| {
            let flags = NatFlags { random, prefix, ..NatFlags::default() };
            Expression::Nat(Nat { kind: NatKind::Source, family: 10, addresses, ports, flags })
        }),
        span().prop_map(|ports| Expression::Redirect { flags: NatFlags::default(), ports }),
        any::<u8>().prop_map(|code| Expression::Reject(Reject::Icmp(code))),
        any::<(u16, u16, bool, bool)>().prop_map(|(first, count, bypass, fanout)| Expression::Queue {
            first,
            count,
            bypass,
            fanout
        }),
        (register(), span()).prop_map(|(key, value)| Expression::DynamicSet(DynamicSet {
            operation: DynamicOperation::Add,
            set: "s".into(),
            set_id: None,
            key,
            value: value.map(|(value, _)| value),
            timeout: None,
            expressions: vec![Expression::COUNTER, Expression::ConnectionLimit { count: 1, above: true }],
            inverted: true,
        })),
        Just(Expression::NoTrack),
        value().prop_map(|data| Expression::Unknown { name: "future".into(), data }),
    ]
}

#[test]
fn a_register_of_four_words_has_two_names() {
    for (number, word) in [(1, 0), (2, 4), (4, 12), (8, 0), (12, 4), (23, 15)] {
        assert_eq!(Register::from_number(number).unwrap().index(), word);
    }
    for number in [0, 5, 7, 24, u32::MAX] {
        assert!(Register::from_number(number).is_err(), "{number}");
    }
    assert_eq!(Register::R1.after(6), Register::word(2));
    assert_eq!(Register::R4.after(16), None);
}

#[test]
fn expressions_within_expressions_end() {
    let mut inner = Expression::COUNTER;
    for _ in 0..500 {
        inner = Expression::DynamicSet(DynamicSet {
            operation: DynamicOperation::Add,
            set: "s".into(),
            set_id: None,
            key: Register::R1,
            value: None,
            timeout: None,
            expressions: vec![inner],
            inverted: false,
        });
    }
    let Expression::DynamicSet(outer) = Expression::decode(Attributes::new(&encoded(&inner))).unwrap() else {
        panic!()
    };
    let Expression::DynamicSet(second) = &outer.expressions[0] else { panic!() };
    assert!(matches!(second.expressions[0], Expression::Unknown { .. }));
}

proptest! {
    #[test]
    fn an_expression_is_read_as_it_was_written(expression in expression()) {
        let bytes = encoded(&expression);
        prop_assert_eq!(Expression::decode(Attributes::new(&bytes)).unwrap(), expression);
    }

    #[test]
    fn a_damaged_expression_is_no_panic(expression in expression(), at: prop::sample::Index, value: u8, cut: prop::sample::Index) {
        let mut bytes = encoded(&expression);
        let at = at.index(bytes.len());
        bytes[at] = value;
        bytes.truncate(cut.index(bytes.len() + 1));
        let _ = Expression::decode(Attributes::new(&bytes));
    }
}
