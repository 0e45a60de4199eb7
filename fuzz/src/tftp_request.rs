//! Read requests and the options agreed on.

use faros_tftpd::protocol::options::{
    BLKSIZE_DEFAULT, BLKSIZE_MAX, BLKSIZE_MIN, WINDOWSIZE_MAX, agree, blksize_of_mtu,
};
use faros_tftpd::protocol::packet::{ERROR_TEXT_BYTES_MAX, error};
use faros_tftpd::protocol::request::{Mode, NAME_BYTES_MAX, OPTIONS_BYTES_MAX, parse};

use crate::Target;
use crate::input::Input;

/// Feeds [`parse`] and [`agree`].
pub const TARGET: Target = Target { name: "tftp_request", run, seeds, memory: (16 * 1024, 64) };

/// What an option can grow by when it is acknowledged: digits of 64 bits in place of a single one.
const GROWTH_MAX: usize = 20;

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let (mtu, ipv6) = (usize::from(input.u16()), input.flag());
    let size = input.u64();
    let packet = input.rest();
    let request = match parse(packet) {
        Ok(request) => request,
        Err(refused) => {
            if let Some((code, text)) = refused.answer() {
                assert!(error(code, text).len() <= 5 + ERROR_TEXT_BYTES_MAX && !text.is_empty());
            }
            return;
        }
    };
    assert!((1..=NAME_BYTES_MAX).contains(&request.name.len()) && !request.name.contains(&0));
    let blksize_max = blksize_of_mtu(mtu, ipv6);
    assert!((BLKSIZE_MIN..=BLKSIZE_MAX).contains(&blksize_max));
    let agreed = agree(&request.options, request.mode, size, blksize_max);
    assert!((BLKSIZE_MIN..=blksize_max.max(BLKSIZE_DEFAULT)).contains(&agreed.blksize));
    assert!((1..=WINDOWSIZE_MAX).contains(&agreed.windowsize));
    assert!(agreed.timeout.is_none_or(|timeout| (1..=255).contains(&timeout.as_secs())));
    if request.options.blksize.is_none() {
        assert_eq!(agreed.blksize, BLKSIZE_DEFAULT, "nobody asked for another");
    }
    let Some(option_ack) = agreed.option_ack else { return };
    assert_eq!(option_ack[..2], [0, 6]);
    assert!(option_ack.len() <= OPTIONS_BYTES_MAX + 5 * GROWTH_MAX, "the answer dwarfs the question");
    let mut words = option_ack[2..].split(|&byte| byte == 0);
    let mut seen = Vec::new();
    while let (Some(name), Some(value)) = (words.next(), words.next()) {
        assert!(packet.windows(name.len()).any(|part| part == name), "an option nobody asked for");
        let number: u64 = std::str::from_utf8(value).expect("digits").parse().expect("a number");
        let name = name.to_ascii_lowercase();
        match name.as_slice() {
            b"blksize" => assert_eq!(
                (number, number <= request.options.blksize.unwrap()),
                (agreed.blksize.into(), true)
            ),
            b"windowsize" => {
                assert_eq!(number, u64::from(agreed.windowsize));
                assert!(number <= request.options.windowsize.unwrap());
            }
            b"tsize" => assert_eq!((number, request.mode), (size, Mode::Octet)),
            b"timeout" => assert_eq!(Some(number), agreed.timeout.map(|timeout| timeout.as_secs())),
            b"rollover" => assert!(number <= 1),
            other => panic!("{:?} is no option of ours", String::from_utf8_lossy(other)),
        }
        assert!(!seen.contains(&name), "acknowledged twice");
        seen.push(name);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    [
        &b"\0\x01undionly.kpxe\0octet\0"[..],
        b"\0\x01snponly.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0",
        b"\0\x01grub/grub.cfg\0NeTaScIi\0BLKSIZE\x0065464\0timeout\x00255\0rollover\x001\0",
        b"\0\x01a\0octet\0blksize\x007\0windowsize\x0065536\0timeout\x000\0tsize\0-1\0x\0y\0blksize\x00512\0",
        b"\0\x02a\0octet\0",
        b"\0\x01a\0mail\0",
        b"\0\x04\0\x01",
    ]
    .map(|packet| [&b"\x05\xdc\0\0\0\0\0\0\x10\0\0"[..], packet].concat())
    .into()
}
