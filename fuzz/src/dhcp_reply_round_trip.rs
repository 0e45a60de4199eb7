//! Replies of any content for any client: what goes in comes out again, or is named as left out.

use std::net::Ipv4Addr;

use dhcproto::v4::{Message, MessageType};
use dhcproto::{Decodable, Decoder};
use faros_dhcpd::protocol::frame::PAYLOAD_BYTES_MAX;
use faros_dhcpd::protocol::message::Hardware;
use faros_dhcpd::protocol::options::Options;
use faros_dhcpd::protocol::reply::{REPLY_BYTES_MIN, Reply};
use faros_dhcpd::protocol::request::Request;

use crate::Target;
use crate::dhcp_site::options_of;
use crate::input::Input;

/// Feeds [`Reply::encode`].
pub const TARGET: Target = Target { name: "dhcp_reply_round_trip", run, seeds, memory: (64 * 1024, 128) };

/// An input is the client's options, the boot file's name, and options for the reply.
fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let Ok(options) = Options::frame(input.long(), &[], &[]) else { return };
    let request = Request::imagined(Hardware::new(1, &[0x52, 0x54, 0, 0, 8, 0x11]), options);
    let mut reply = Reply::new(MessageType::Ack);
    reply.yiaddr = Ipv4Addr::from(input.u32());
    reply.file =
        std::str::from_utf8(input.short()).ok().map(str::to_owned).filter(|name| !name.contains('\0'));
    while !input.is_empty() {
        let code = input.byte();
        let value = input.long();
        // These are the encoder's own, and padding is no option.
        if !matches!(code, 0 | 52 | 53 | 82 | 255) {
            reply.option(code, value);
        }
    }
    let encoded = reply.encode(&request);
    let bytes = &encoded.bytes;
    let relay: usize = request.relay_agent().iter().map(|value| value.len() + 2).sum();
    let most = request.payload_max().max(300 + relay).min(PAYLOAD_BYTES_MAX);
    assert!((REPLY_BYTES_MIN..=most).contains(&bytes.len()), "{} bytes, {most} at most", bytes.len());
    assert_eq!(bytes[16..20], reply.yiaddr.octets());

    let sent = options_of(bytes);
    assert_eq!(sent.fixed::<1>(53), Some([5]), "an ACK that does not say so");
    for code in 1..255 {
        let given = reply.options.iter().find(|option| option.0 == code).map(|option| option.1.as_slice());
        match (code, given, sent.get(code)) {
            (52 | 53, _, _) => {}
            (82, _, None) if encoded.left_out.contains(&82) => {}
            (82, _, echoed) => {
                assert_eq!(echoed, request.message.options.get(82), "option 82 is not what it was");
            }
            (_, Some(given), Some(found)) => assert_eq!(found.as_ref(), given, "option {code}"),
            (_, Some(_), None) => {
                assert!(encoded.left_out.contains(&code), "option {code} is lost in silence");
            }
            (_, None, found) => assert_eq!(found, None, "option {code} came from nowhere"),
        }
    }
    let message = Message::decode(&mut Decoder::new(bytes)).expect("dhcproto can read it");
    assert_eq!(message.yiaddr(), reply.yiaddr);
}

fn seeds() -> Vec<Vec<u8>> {
    let seed = |client: &[u8], file: &str, options: &[(u8, usize)]| {
        let mut bytes = [&(client.len() as u16).to_be_bytes()[..], client, &[192, 168, 8, 130]].concat();
        bytes.push(file.len() as u8);
        bytes.extend(file.bytes());
        for (code, length) in options {
            bytes.push(*code);
            bytes.extend((*length as u16).to_be_bytes());
            bytes.extend(vec![*code; *length]);
        }
        bytes
    };
    vec![
        seed(&[55, 3, 1, 3, 6, 57, 2, 5, 0xdc], "undionly.kpxe", &[(1, 4), (3, 4), (6, 8), (54, 4), (51, 4)]),
        seed(
            &[55, 2, 204, 43],
            "snponly.efi",
            &[(200, 100), (201, 100), (202, 100), (203, 100), (43, 150), (206, 50)],
        ),
        seed(&[82, 4, 1, 2, 9, 9, 57, 2, 2, 64], "", &[(121, 600), (80, 0), (119, 255)]),
    ]
}
