//! What a client sends within a transfer, and what we answer to the hopeless.

use faros_tftpd::protocol::packet::{ERROR_TEXT_BYTES_MAX, ErrorCode, FromClient, error};

use crate::Target;

/// Feeds [`FromClient::parse`] and [`error`].
pub const TARGET: Target = Target { name: "tftp_packet", run, seeds, memory: (4096, 16) };

fn run(data: &[u8]) {
    match FromClient::parse(data) {
        FromClient::Ack(number) => assert_eq!(data[..4], [[0, 4], number.to_be_bytes()].concat()),
        FromClient::Error { code, text } => {
            assert_eq!(data[..4], [[0, 5], code.to_be_bytes()].concat());
            assert!(!text.contains(&0) && data[4..].starts_with(text));
        }
        FromClient::Stray => assert!(data.len() < 4 || !matches!(data[..2], [0, 4 | 5])),
    }
    let packet = error(ErrorCode::NotDefined, &String::from_utf8_lossy(data));
    assert!(packet.len() <= 5 + ERROR_TEXT_BYTES_MAX);
    let FromClient::Error { code: 0, text } = FromClient::parse(&packet) else {
        panic!("no ERROR: {packet:?}")
    };
    assert_eq!(text.len() + 5, packet.len(), "the text ends early");
    assert!(std::str::from_utf8(text).is_ok(), "a character was cut in two");
}

fn seeds() -> Vec<Vec<u8>> {
    [
        &b"\0\x04\x01\x02"[..],
        b"\0\x04\xff\xff\0\0",
        b"\0\x05\0\x08User aborted the transfer\0",
        b"\0\x05\0\0",
        b"\0\x03\0\x01x",
    ]
    .map(<[u8]>::to_vec)
    .into()
}
