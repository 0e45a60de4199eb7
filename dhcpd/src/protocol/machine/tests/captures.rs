//! Requests of real clients from captures, and golden replies to them.
//!
//! `FAROS_GOLDEN=write cargo test` writes the golden files anew; look at the difference before keeping it.

use std::fmt::Write as _;
use std::path::PathBuf;

use dhcproto::Decodable;

use super::*;
use crate::config::Known;
use faros_common::site::{Mac, OwnerKind};

const CAPTURES: [&str; 5] = [
    "ipxe-bios-virtio",
    "ipxe-bios-with-ra",
    "ovmf-httpboot-arch16-then-ipxe-efi",
    "ovmf-pxe-arch7-then-ipxe-efi",
    "perfdhcp-vs-dnsmasq",
];

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// The payloads to UDP port 67 in a capture of Ethernet frames.
pub(super) fn payloads(capture: &str) -> Vec<Vec<u8>> {
    let bytes = std::fs::read(data(&format!("{capture}.pcap"))).unwrap();
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
    assert_eq!(number(0), 0xa1b2_c3d4, "{capture}: classic pcap, little-endian");
    assert_eq!(number(20), 1, "{capture}: Ethernet");
    let mut payloads = Vec::new();
    let mut at = 24;
    while at < bytes.len() {
        let length = number(at + 8);
        let frame = &bytes[at + 16..at + 16 + length];
        at += 16 + length;
        let is_udp = frame[12..14] == [8, 0] && frame[23] == 17;
        let udp = 14 + usize::from(frame[14] & 15) * 4;
        if is_udp && frame[udp + 2..udp + 4] == [0, 67] {
            payloads.push(frame[udp + 8..].to_vec());
        }
    }
    payloads
}

/// Every request in every capture.
pub(super) fn requests() -> Vec<Vec<u8>> {
    CAPTURES.iter().flat_map(|capture| payloads(capture)).filter(|bytes| bytes[0] == 1).collect()
}

/// The site of the captures: 10.77.0.0/24, with the BIOS machine as a node.
fn site() -> Config {
    let server = Ipv4Addr::new(10, 77, 0, 1);
    let mut config = Config::for_tests();
    config.server = server;
    config.listen = vec![server];
    config.prefix = "10.77.0.0/24".parse().unwrap();
    config.pool = Some(faros_common::site::Ipv4Range {
        first: Ipv4Addr::new(10, 77, 0, 100),
        last: Ipv4Addr::new(10, 77, 0, 199),
    });
    config.router = Some(server);
    config.resolvers = vec![server];
    config.clocks = vec![server];
    config.boot = crate::config::BootServers { tftp: Some(server), http: Some((server, 8080)) };
    config.set_known(vec![Known {
        name: "nb1".into(),
        kind: OwnerKind::Node,
        macs: vec![Mac([0x52, 0x54, 0, 0x4e, 0x42, 1])],
        uuid: None,
        address: Some(Ipv4Addr::new(10, 77, 0, 11)),
        options: Vec::new(),
    }]);
    config
}

/// Reads a captured request as if the client had heard our replies: the addresses of the server that it
/// talked to then become the one that we offered.
fn retold(request: &[u8], offered: Ipv4Addr) -> Vec<u8> {
    let mut bytes = request.to_vec();
    let mut at = 240;
    while bytes[at] != 255 {
        let length = usize::from(bytes[at + 1]);
        if bytes[at] == 50 {
            bytes[at + 2..at + 6].copy_from_slice(&offered.octets());
        }
        at += 2 + length;
    }
    bytes
}

fn render(text: &mut String, seen: &Seen) {
    let address = |at: usize| Ipv4Addr::from(<[u8; 4]>::try_from(&seen.bytes[at..at + 4]).unwrap());
    let file: Vec<u8> = seen.bytes[108..236].iter().copied().take_while(|&byte| byte != 0).collect();
    writeln!(text, "{:?} to {:?}, {} bytes", seen.kind, seen.to, seen.bytes.len()).unwrap();
    writeln!(text, "  yiaddr {} siaddr {} giaddr {}", address(16), address(20), address(24)).unwrap();
    writeln!(text, "  file {:?}", String::from_utf8_lossy(&file)).unwrap();
    for (code, value) in Options::frame(&seen.bytes[240..], &[], &[]).unwrap().iter() {
        let printable = value.len() > 4 && value.iter().all(|byte| (0x20..0x7f).contains(byte));
        match printable {
            true => writeln!(text, "  {code:>3} {:?}", String::from_utf8_lossy(value)).unwrap(),
            false => writeln!(text, "  {code:>3} {value:?}").unwrap(),
        }
    }
}

#[test]
fn every_captured_client_gets_its_golden_replies() {
    for capture in CAPTURES {
        let mut bench = Bench::with(site());
        let mut offered = Ipv4Addr::UNSPECIFIED;
        let mut text = String::new();
        for request in payloads(capture).iter().filter(|bytes| bytes[0] == 1).take(6) {
            let seen = match bench.bytes(&retold(request, offered)) {
                Ok(seen) => seen,
                Err(reason) => panic!("{capture}: {reason:?}"),
            };
            offered = seen.yiaddr;
            render(&mut text, &seen);
            bench.after(Duration::from_millis(700));
        }
        let golden = data(&format!("{capture}.golden"));
        if std::env::var("FAROS_GOLDEN").is_ok_and(|value| value == "write") {
            std::fs::write(&golden, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap();
        assert_eq!(text, expected, "{capture}");
    }
}

#[test]
fn every_captured_request_frames_like_another_decoder_reads_it() {
    for bytes in requests() {
        let ours = Options::frame(&bytes[240..], &[], &[]).unwrap();
        let theirs = dhcproto::v4::Message::decode(&mut dhcproto::Decoder::new(&bytes)).unwrap();
        let theirs: Vec<u8> = theirs.opts().iter().map(|(code, _)| u8::from(*code)).collect();
        for (code, _) in ours.iter() {
            assert!(theirs.contains(&code), "option {code}");
        }
    }
}

#[test]
fn every_reply_reads_the_same_in_another_decoder() {
    let mut bench = Bench::with(site());
    for request in requests() {
        let Ok(seen) = bench.bytes(&request) else { continue };
        let theirs = dhcproto::v4::Message::decode(&mut dhcproto::Decoder::new(&seen.bytes)).unwrap();
        assert_eq!(theirs.yiaddr(), seen.yiaddr);
        let ours = Options::frame(&seen.bytes[240..], &[], &[]).unwrap();
        for (code, _) in ours.iter() {
            let known = theirs.opts().get(dhcproto::v4::OptionCode::from(code));
            assert!(known.is_some(), "option {code} of a {:?} does not decode", seen.kind);
        }
    }
}
