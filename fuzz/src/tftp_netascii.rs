//! Text in blocks: a client that undoes the encoding has the file.

use faros_tftpd::protocol::netascii::{Cursor, encode};

use crate::Target;
use crate::input::Input;

/// Feeds [`encode`].
pub const TARGET: Target = Target { name: "tftp_netascii", run, seeds, memory: (128 * 1024, 64) };

fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let blksize = 8 + usize::from(input.byte());
    let text = input.rest();
    let (mut cursor, mut wire) = (Cursor::default(), Vec::new());
    loop {
        let from = cursor.offset as usize;
        let source = &text[from..text.len().min(from + blksize)];
        let mut block = vec![0xaa; blksize];
        let (written, next) = encode(cursor, source, &mut block);
        let mut repeated = vec![0x55; blksize];
        assert_eq!(encode(cursor, source, &mut repeated), (written, next));
        assert_eq!(block[..written], repeated[..written], "a block sent again is another block");
        wire.extend_from_slice(&block[..written]);
        assert!(wire.len() <= 2 * text.len());
        if written < blksize {
            break;
        }
        cursor = next;
    }
    assert_eq!(decode(&wire), text);
}

fn decode(wire: &[u8]) -> Vec<u8> {
    let (mut text, mut octets) = (Vec::new(), wire.iter());
    while let Some(&octet) = octets.next() {
        text.push(match octet {
            b'\r' => match octets.next() {
                Some(b'\n') => b'\n',
                Some(0) => b'\r',
                other => panic!("CR followed by {other:?}"),
            },
            b'\n' => panic!("a bare LF"),
            other => other,
        });
    }
    text
}

fn seeds() -> Vec<Vec<u8>> {
    [&b"\0abcdefg\nhijk\r\nlm\r"[..], b"\0\n\n\n\n\n\n\n\n\n", b"\x04\r\0\r\0", b"\xff"]
        .map(<[u8]>::to_vec)
        .into()
}
