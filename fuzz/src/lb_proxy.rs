//! PROXY headers: one verdict however they arrive, within bounds; what is read and written again says the same.

use std::net::SocketAddr;

use faros_lb::protocol::proxy::{
    Command, HEADER_LEN_MAX, Progress, Tlv, Version, kind, read, write_local, write_v1, write_v2,
    write_v2_with,
};

use crate::Target;

/// Feeds [`read`].
pub const TARGET: Target = Target { name: "lb_proxy", run, seeds, memory: (16 * 1024, 8) };

fn run(data: &[u8]) {
    let verdict = read(data);
    // Beginnings around the places where verdicts change, and some between.
    let lengths = (0..data.len().min(120)).chain((120..data.len()).step_by(61));
    let mut reached = None;
    for length in lengths.chain([data.len()]) {
        let so_far = read(&data[..length]);
        match reached {
            None if so_far == Progress::Incomplete => {}
            None => reached = Some(so_far),
            Some(before) => assert_eq!(so_far, before, "another verdict at {length}"),
        }
    }
    assert_eq!(reached.unwrap_or(Progress::Incomplete), verdict);
    match verdict {
        Progress::Incomplete => assert!(data.len() < HEADER_LEN_MAX, "it waits for ever"),
        Progress::Malformed(reason) => assert!(reason.to_string().len() < 100),
        Progress::Complete { header, consumed } => {
            assert!(consumed <= data.len() && consumed <= HEADER_LEN_MAX);
            if header.version == Version::V1 {
                assert!(consumed <= 107 && data[..consumed].ends_with(b"\r\n"));
            }
            assert_eq!(header.source.is_some(), header.destination.is_some());
            assert!(header.command == Command::Proxy || header.source.is_none());
            let additions: usize = header.tlvs.map(|tlv| 3 + tlv.value.len()).sum();
            assert!(additions <= consumed);
            if let (Some(source), Some(destination)) = (header.source, header.destination) {
                round_trip(source, destination);
            }
        }
    }
}

fn round_trip(source: SocketAddr, destination: SocketAddr) {
    let plain = |socket: SocketAddr| (socket.ip().to_canonical(), socket.port());
    for write in [write_v1, write_v2] {
        let mut written = Vec::new();
        write(source, destination, &mut written);
        let Progress::Complete { header, consumed } = read(&written) else { panic!("{written:02x?}") };
        assert_eq!(consumed, written.len());
        assert_eq!(header.source.map(plain), Some(plain(source)));
        assert_eq!(header.destination.map(plain), Some(plain(destination)));
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let written = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        write(&mut bytes);
        bytes
    };
    let v4 = |port| SocketAddr::from(([192, 0, 2, 1], port));
    let v6 = |port| SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port));
    let additions = [
        Tlv { kind: kind::ALPN, value: b"h2" },
        Tlv { kind: kind::AUTHORITY, value: b"api.edge.example.com" },
        Tlv { kind: kind::UNIQUE_ID, value: &[7; 16] },
        Tlv { kind: kind::SSL, value: &[1, 0, 0, 0, 0] },
    ];
    vec![
        written(&|out| write_v1(v4(56324), v4(443), out)),
        written(&|out| write_v1(v6(56324), v6(443), out)),
        written(&|out| write_v2(v4(56324), v4(443), out)),
        written(&|out| write_v2(v6(56324), v6(443), out)),
        written(&|out| write_v2_with(v4(1), v4(2), &additions, true, out).expect("short enough")),
        written(&|out| write_local(Version::V1, out)),
        written(&|out| write_local(Version::V2, out)),
        b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\nrest".to_vec(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff".to_vec(),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8".to_vec(),
    ]
}
