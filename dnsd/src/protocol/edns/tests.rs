//! What can be seen of OPT only from inside; the rest is tested with requests and replies.

use super::*;

const ASKED: Asked = Asked { dnssec_ok: true, nsid: true, padding: false };

#[test]
fn the_length_told_is_the_length_written() {
    let full = Opt {
        ede: Some((22, "no upstream server can be reached")),
        cookie: Some([1; 24]),
        nsid: Some(b"bastion"),
        pad_to: None,
        keepalive: Some(300),
    };
    for opt in [Opt::default(), Opt { nsid: None, ..full.clone() }, Opt { ede: None, ..full.clone() }, full] {
        let mut out = [0; 300];
        assert_eq!(opt.write(&mut out, 10, 0, ASKED, 300), 10 + opt.len(ASKED));
        assert_eq!(usize::from(u16::from_be_bytes([out[19], out[20]])), opt.len(ASKED) - OPT_BYTES);
    }
}

#[test]
fn less_room_means_fewer_options_and_never_none_at_all() {
    let opt = Opt { ede: Some((1, "text")), cookie: Some([1; 24]), nsid: Some(b"me"), ..Opt::default() };
    let mut last = opt.len(ASKED);
    for room in (0..last).rev() {
        let part = opt.within(room, ASKED);
        assert!(part.len(ASKED) <= room.max(OPT_BYTES));
        assert!(part.len(ASKED) <= last);
        last = part.len(ASKED);
    }
    assert_eq!(last, OPT_BYTES);
}

#[test]
fn the_extended_code_is_split() {
    let mut out = [0; 11];
    Opt::default().write(&mut out, 0, 0xabc, ASKED, 11);
    assert_eq!(out, [0, 0, 41, 4, 208, 0xab, 0, 0x80, 0, 0, 0]);
}
