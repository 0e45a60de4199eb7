use proptest::prelude::*;

use super::*;

#[test]
fn attributes_are_padded_and_nested() {
    let mut builder = Builder::new();
    builder.u8(1, 7);
    builder.nest(2, |inner| inner.text(3, "ab"));
    let bytes = builder.build().unwrap();
    let expected: &[&[u8]] = &[&[5, 0, 1, 0, 7, 0, 0, 0], &[12, 0, 2, 0x80], &[7, 0, 3, 0, b'a', b'b', 0, 0]];
    assert_eq!(bytes, expected.concat(), "on a machine that is not little-endian this would differ");
}

#[test]
fn an_attribute_beyond_its_room_is_an_error_and_the_last() {
    let mut attributes = Attributes::new(&[9, 0, 1, 0, 1, 2, 3, 4]);
    assert!(attributes.next().unwrap().is_err());
    assert!(attributes.next().is_none());
    for length in 0..4u8 {
        assert!(Attributes::new(&[length, 0, 1, 0]).next().unwrap().is_err(), "{length}");
    }
    assert!(Attributes::new(&[0, 0, 1]).fields().is_err());
}

#[test]
fn a_number_of_another_length_is_an_error() {
    let attribute = Attribute { kind: 1, payload: &[1, 2, 3] };
    assert!(attribute.u32_be().is_err() && attribute.u16_be().is_err() && attribute.u8().is_err());
    assert!(attribute.address().is_err());
}

#[test]
fn an_attribute_of_64_kib_is_too_long() {
    let mut builder = Builder::new();
    builder.bytes(1, &[0; 65531]);
    assert!(builder.clone().build().is_some());
    builder.bytes(1, &[0; 65532]);
    assert!(builder.build().is_none());
}

#[test]
fn a_nul_ends_a_text() {
    let mut builder = Builder::new();
    builder.text(1, "one\0two");
    let bytes = builder.build().unwrap();
    assert_eq!(Attributes::new(&bytes).next().unwrap().unwrap().payload, b"one\0");
}

proptest! {
    #[test]
    fn what_is_written_is_read(parts in prop::collection::vec((0u16..0x3fff, prop::collection::vec(any::<u8>(), 0..40)), 0..20)) {
        let mut builder = Builder::new();
        builder.nest(9, |inner| parts.iter().for_each(|(kind, payload)| inner.bytes(*kind, payload)));
        let bytes = builder.build().unwrap();
        let outer = Attributes::new(&bytes).next().unwrap().unwrap();
        let read: Vec<_> = outer.nested().map(|part| part.map(|part| (part.kind, part.payload.to_vec())).unwrap()).collect();
        prop_assert_eq!(read, parts);
    }

    #[test]
    fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for attribute in Attributes::new(&bytes).flatten() {
            let _ = (attribute.u8(), attribute.u16_be(), attribute.u32(), attribute.u64_be());
            let _ = (attribute.text(), attribute.address(), attribute.nested().fields().is_ok());
        }
    }
}
