//! Claims about headers: those of the protocol's own text, every split, every damage.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::*;

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = V2.to_vec();
    bytes.extend_from_slice(&[command, family]);
    bytes.extend_from_slice(&(rest.len() as u16).to_be_bytes());
    bytes.extend_from_slice(rest);
    bytes
}

/// Source and destination of a whole header, of which `consumed` octets are its own.
fn addresses(bytes: &[u8], consumed: usize) -> Option<(SocketAddr, SocketAddr)> {
    match read(bytes) {
        Progress::Complete { header, consumed: read } => {
            assert_eq!(read, consumed);
            header.source.zip(header.destination)
        }
        other => panic!("{other:?} of {bytes:02x?}"),
    }
}

fn refusal(bytes: &[u8]) -> Reason {
    match read(bytes) {
        Progress::Malformed(reason) => reason,
        other => panic!("{other:?} of {}", bytes.escape_ascii()),
    }
}

/// The verdict is the same for every beginning that is long enough for it.
fn same_however_split(bytes: &[u8]) -> Progress<Header<'_>> {
    let verdict = read(bytes);
    let mut reached = None;
    for length in 0..=bytes.len() {
        let so_far = read(&bytes[..length]);
        match reached {
            None if so_far == Progress::Incomplete => {}
            None => reached = Some(so_far),
            Some(before) => assert_eq!(so_far, before, "{length} of {}", bytes.escape_ascii()),
        }
    }
    assert_eq!(reached.unwrap_or(Progress::Incomplete), verdict);
    verdict
}

#[test]
fn lines_of_every_protocol_are_read_and_what_follows_is_left() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\nGET / HTTP/1.1\r\n";
    let expected = (socket("192.0.2.1:56324"), socket("198.51.100.7:443"));
    assert_eq!(addresses(line, 45), Some(expected));
    let line = b"PROXY TCP6 2001:DB8::1 ::ffff:192.0.2.1 0 65535\r\n";
    assert_eq!(addresses(line, 49), Some((socket("[2001:db8::1]:0"), socket("[::ffff:192.0.2.1]:65535"))));
    assert_eq!(addresses(b"PROXY UNKNOWN\r\n", 15), None);
    assert_eq!(addresses(b"PROXY UNKNOWN what\rever \xff it\n says\r\nx", 36), None);
    let longest =
        "PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535".to_owned() + &"x".repeat(48) + "\r\n";
    assert_eq!(longest.len(), 107);
    assert_eq!(addresses(longest.as_bytes(), 107), None);
}

#[test]
fn a_line_that_is_not_exact_is_refused() {
    for (line, reason) in [
        ("GET / HTTP/1.1\r\n", Reason::Absent),
        ("PROXI", Reason::Absent),
        ("proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n", Reason::Absent),
        ("PROXY  TCP4 1.2.3.4 1.2.3.4 1 1\r\n", Reason::Protocol),
        ("PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n", Reason::Protocol),
        ("PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n", Reason::Protocol),
        ("PROXY UNKNOWNS\r\n", Reason::Protocol),
        ("PROXY \r\n", Reason::Protocol),
        ("PROXY X", Reason::Protocol),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n", Reason::LineEnd),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\nGET / HTTP/1.1\r\n", Reason::LineEnd),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\r\r\n", Reason::LineEnd),
        ("PROXY TCP4 1.2.3.4\r1.2.3.4 1 1\r\n", Reason::LineEnd),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", Reason::Fields),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n", Reason::Fields),
        ("PROXY TCP4 1.2.3.4  1.2.3.4 1 1\r\n", Reason::Fields),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n", Reason::Fields),
        ("PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n", Reason::Address),
        ("PROXY TCP4 1.2.3 1.2.3.4 1 1\r\n", Reason::Address),
        ("PROXY TCP4 ::1 1.2.3.4 1 1\r\n", Reason::Address),
        ("PROXY TCP6 1.2.3.4 ::1 1 1\r\n", Reason::Address),
        ("PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n", Reason::Address),
        ("PROXY TCP6 [::1] ::1 1 1\r\n", Reason::Address),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n", Reason::Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 +1 1\r\n", Reason::Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n", Reason::Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 00 1\r\n", Reason::Port),
        ("PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n", Reason::Port),
    ] {
        assert_eq!(refusal(line.as_bytes()), reason, "{line:?}");
        same_however_split(line.as_bytes());
    }
    let endless = format!("PROXY TCP4 {}", "1".repeat(200));
    assert_eq!(refusal(endless.as_bytes()), Reason::LineTooLong);
    assert_eq!(read(&endless.as_bytes()[..106]), Progress::Incomplete);
    assert_eq!(refusal(&endless.as_bytes()[..107]), Reason::LineTooLong);
    let one_too_many = format!("PROXY UNKNOWN {}\r\n", "x".repeat(92));
    assert_eq!(one_too_many.len(), 108);
    assert_eq!(refusal(one_too_many.as_bytes()), Reason::LineTooLong);
}

#[test]
fn binary_headers_of_every_family_are_read() {
    let tcp4 = v2(0x21, 0x11, &[192, 0, 2, 1, 198, 51, 100, 7, 0xdc, 0x04, 0x01, 0xbb]);
    let expected = (socket("192.0.2.1:56324"), socket("198.51.100.7:443"));
    assert_eq!(addresses(&[&tcp4[..], b"tail"].concat(), 28), Some(expected));
    let mut block = [0; 36];
    block[15] = 1;
    block[31] = 2;
    block[33] = 3;
    block[35] = 4;
    assert_eq!(addresses(&v2(0x21, 0x21, &block), 52), Some((socket("[::1]:3"), socket("[::2]:4"))));
    assert_eq!(addresses(&v2(0x21, 0x31, &[b'/'; 216]), 232), None);
    assert_eq!(addresses(&v2(0x21, 0x00, b"whatever"), 24), None);
    // Nothing in a LOCAL header has a meaning, not even its family or what looks like a broken addition.
    for family in [0x00, 0x11, 0x12, 0x55, 0xff] {
        let local = v2(0x20, family, &[3, 0xff, 0xff]);
        let Progress::Complete { header, consumed: 19 } = read(&local) else { panic!("{family}") };
        assert_eq!((header.command, header.source), (Command::Local, None));
    }
}

#[test]
fn a_binary_header_that_is_not_exact_is_refused_at_once() {
    for (command, family, reason) in [
        (0x11, 0x11, Reason::Version),
        (0x31, 0x11, Reason::Version),
        (0x22, 0x11, Reason::Command),
        (0x2f, 0x11, Reason::Command),
        (0x21, 0x12, Reason::Datagram),
        (0x21, 0x22, Reason::Datagram),
        (0x21, 0x32, Reason::Datagram),
        (0x21, 0x10, Reason::Family),
        (0x21, 0x13, Reason::Family),
        (0x21, 0x41, Reason::Family),
        (0x21, 0x01, Reason::Family),
    ] {
        let whole = v2(command, family, &[0; 300]);
        assert_eq!(refusal(&whole), reason, "{command:02x} {family:02x}");
        assert_eq!(refusal(&whole[..14]), reason, "before the rest has come");
    }
    assert_eq!(refusal(&v2(0x21, 0x11, &[0; 11])), Reason::AddressesCut);
    assert_eq!(refusal(&v2(0x21, 0x21, &[0; 35])), Reason::AddressesCut);
    assert_eq!(refusal(&v2(0x21, 0x31, &[0; 215])), Reason::AddressesCut);
    assert_eq!(refusal(b"\r\n\r\n\0\r\nQUIX"), Reason::Absent);
}

#[test]
fn a_length_of_65535_is_refused_before_it_has_come() {
    for command in [0x20, 0x21] {
        let mut head = v2(command, 0x11, &[]);
        head[14..].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(refusal(&head), Reason::TooLong);
        head[14..].copy_from_slice(&((HEADER_LEN_MAX - 16) as u16).to_be_bytes());
        assert_eq!(read(&head), Progress::Incomplete);
        head[14..].copy_from_slice(&((HEADER_LEN_MAX - 15) as u16).to_be_bytes());
        assert_eq!(refusal(&head), Reason::TooLong);
    }
}

#[test]
fn additions_are_whole_and_their_checksum_right() {
    let (source, destination) = (socket("192.0.2.1:1"), socket("192.0.2.2:2"));
    let additions = [Tlv { kind: kind::UNIQUE_ID, value: b"42" }, Tlv { kind: kind::NOOP, value: &[] }];
    let mut bytes = Vec::new();
    write_v2_with(source, destination, &additions, true, &mut bytes).unwrap();
    let Progress::Complete { header, consumed } = same_however_split(&bytes) else { panic!("{bytes:02x?}") };
    assert_eq!(consumed, bytes.len());
    assert_eq!((header.source, header.destination), (Some(source), Some(destination)));
    assert_eq!(header.tlvs.take(2).collect::<Vec<_>>(), additions);
    // Each damaged octet shows, one way or another, apart from that which says that there is a checksum.
    for at in (0..bytes.len()).filter(|at| *at != consumed - 7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        assert!(!matches!(read(&damaged), Progress::Complete { .. }), "octet {at}");
    }
    let addresses = &bytes[16..28];
    let with = |additions: &[u8]| v2(0x21, 0x11, &[addresses, additions].concat());
    assert_eq!(refusal(&with(&[3, 0, 4, 0, 0, 0, 0])), Reason::Checksum);
    assert_eq!(refusal(&with(&[3, 0, 3, 0, 0, 0])), Reason::ChecksumForm);
    assert_eq!(refusal(&with(&[3, 0, 4, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0])), Reason::ChecksumForm);
    assert_eq!(refusal(&with(&[4, 0])), Reason::TlvCut);
    assert_eq!(refusal(&with(&[4, 0, 1])), Reason::TlvCut);
    assert_eq!(refusal(&with(&[4, 0xff, 0xff, 0])), Reason::TlvCut);
    let long = vec![0; HEADER_LEN_MAX];
    let mut untouched = Vec::new();
    let too_long =
        write_v2_with(source, destination, &[Tlv { kind: 0xe0, value: &long }], false, &mut untouched);
    assert_eq!((too_long, untouched.len()), (Err(Reason::TooLong), 0));
}

#[test]
fn the_checksum_is_that_of_the_standard() {
    // RFC 3720 appendix B.4: 32 octets of zeros have the CRC-32C aa 36 91 8a (in the order of the wire there).
    assert_eq!(crc32c::crc32c(&[0; 32]), 0x8a91_36aa);
    // A header whose checksum was computed apart, bit by bit.
    let mut bytes = v2(0x21, 0x11, &[10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 1, 187, 3, 0, 4, 0, 0, 0, 0]);
    let mut sum = !0_u32;
    for byte in &bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
        }
    }
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&(!sum).to_be_bytes());
    assert_eq!(addresses(&bytes, end), Some((socket("10.0.0.1:80"), socket("10.0.0.2:443"))));
}

#[test]
fn own_connections_say_so() {
    for version in [Version::V1, Version::V2] {
        let mut bytes = Vec::new();
        write_local(version, &mut bytes);
        let Progress::Complete { header, consumed } = same_however_split(&bytes) else { panic!() };
        assert_eq!((header.version, header.command, consumed), (version, Command::Local, bytes.len()));
        assert_eq!((header.source, header.destination), (None, None));
    }
}

#[test]
fn mapped_addresses_of_a_dual_listener_are_written_as_what_they_are() {
    let mut line = Vec::new();
    write_v1(socket("[::ffff:192.0.2.1]:1"), socket("[::ffff:192.0.2.2]:2"), &mut line);
    assert_eq!(line, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
    line.clear();
    write_v1(socket("[2001:db8::1]:1"), socket("192.0.2.2:2"), &mut line);
    assert_eq!(line, b"PROXY TCP6 2001:db8::1 ::ffff:192.0.2.2 1 2\r\n");
}

#[test]
fn every_reason_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
}

/// A generator that needs no seed from outside (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

#[test]
fn of_200_000_mutated_headers_each_gets_one_bounded_verdict() {
    let mut seeds = vec![
        b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 443\r\n".to_vec(),
        b"PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n".to_vec(),
        b"PROXY UNKNOWN\r\n".to_vec(),
        v2(0x20, 0x00, &[]),
        v2(0x21, 0x31, &[b'/'; 216]),
    ];
    let mut additions = Vec::new();
    let tlv = [Tlv { kind: kind::AUTHORITY, value: b"api.edge.example.com" }];
    write_v2_with(socket("[::1]:1"), socket("[::2]:2"), &tlv, true, &mut additions).unwrap();
    seeds.push(additions);
    let mut random = Random(1);
    let mut verdicts = [0_usize; 3];
    for _ in 0..200_000 {
        let mut bytes = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len());
            match random.below(5) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = random.next() as u8,
                2 => bytes.insert(at, random.next() as u8),
                3 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at + 1),
            }
        }
        match read(&bytes) {
            Progress::Complete { header, consumed } => {
                assert!(consumed <= bytes.len() && consumed <= HEADER_LEN_MAX);
                assert_eq!(header.source.is_some(), header.destination.is_some());
                assert!(header.tlvs.map(|tlv| 3 + tlv.value.len()).sum::<usize>() <= consumed);
                verdicts[0] += 1;
            }
            Progress::Incomplete => {
                assert!(bytes.len() < HEADER_LEN_MAX);
                verdicts[1] += 1;
            }
            Progress::Malformed(_) => verdicts[2] += 1,
        }
    }
    assert!(verdicts.iter().all(|count| *count > 1000), "{verdicts:?}");
}

fn any_socket() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(|(ip, port)| (ip, port).into()),
        any::<([u8; 16], u16)>().prop_map(|(ip, port)| (ip, port).into()),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_it_was_meant(source in any_socket(), destination in any_socket(), tail in any::<[u8; 4]>()) {
        let canonical = |socket: SocketAddr| (socket.ip().to_canonical(), socket.port());
        for write in [write_v1, write_v2] {
            let mut bytes = Vec::new();
            write(source, destination, &mut bytes);
            let length = bytes.len();
            bytes.extend_from_slice(&tail);
            let Progress::Complete { header, consumed } = same_however_split(&bytes) else { panic!() };
            prop_assert_eq!(consumed, length);
            prop_assert_eq!(header.command, Command::Proxy);
            prop_assert_eq!(header.source.map(canonical), Some(canonical(source)));
            prop_assert_eq!(header.destination.map(canonical), Some(canonical(destination)));
        }
    }

    #[test]
    fn whatever_comes_the_verdict_is_the_same_however_it_is_split(
        start in prop_oneof![Just(b"PROXY ".to_vec()), Just(b"PROXY TCP4 1.2.3.4 ".to_vec()), Just(v2(0x21, 0x11, &[])), Just(V2.to_vec()), Just(vec![])],
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        same_however_split(&[start, rest].concat());
    }
}
