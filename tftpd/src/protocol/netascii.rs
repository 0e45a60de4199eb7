//! Text on the wire: every line ends in CR LF, and a CR that ends none is CR NUL (RFC 1350 section 1, RFC 764).

/// Where an encoding stands. A block that has to be sent again is encoded again from the cursor it began at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The next octet of the file.
    pub offset: u64,
    /// The second octet of a pair that did not fit into the block before.
    pending: Option<u8>,
}

/// Encodes from `source`, which begins at `cursor.offset` of the file, to the end of `block` or of `source`.
///
/// Returns how many octets of `block` were written, and where the next block begins. `source` need never be
/// longer than `block`: no octet of a file becomes less than one on the wire.
pub fn encode(cursor: Cursor, source: &[u8], block: &mut [u8]) -> (usize, Cursor) {
    let (mut written, mut read) = (0, 0);
    let mut pending = cursor.pending;
    while written < block.len() {
        block[written] = match pending.take() {
            Some(second) => second,
            None => {
                let Some(&octet) = source.get(read) else { break };
                read += 1;
                match octet {
                    b'\n' => {
                        pending = Some(b'\n');
                        b'\r'
                    }
                    b'\r' => {
                        pending = Some(0);
                        b'\r'
                    }
                    other => other,
                }
            }
        };
        written += 1;
    }
    (written, Cursor { offset: cursor.offset + read as u64, pending })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The whole of `text`, encoded in blocks of `blksize`; the last block is short, perhaps empty.
    fn blocks(text: &[u8], blksize: usize) -> Vec<Vec<u8>> {
        let (mut cursor, mut blocks) = (Cursor::default(), Vec::new());
        loop {
            let mut block = vec![0; blksize];
            let from = cursor.offset as usize;
            let source = &text[from..text.len().min(from + blksize)];
            let (written, next) = encode(cursor, source, &mut block);
            block.truncate(written);
            blocks.push(block);
            if written < blksize {
                return blocks;
            }
            cursor = next;
        }
    }

    fn decode(wire: &[u8]) -> Vec<u8> {
        let (mut text, mut octets) = (Vec::new(), wire.iter());
        while let Some(&octet) = octets.next() {
            text.push(match (octet, octet == b'\r') {
                (_, true) => match octets.next() {
                    Some(b'\n') => b'\n',
                    Some(0) => b'\r',
                    other => panic!("CR followed by {other:?}"),
                },
                (other, false) => other,
            });
        }
        text
    }

    #[test]
    fn t36_line_ends_may_fall_on_the_border_of_blocks() {
        assert_eq!(blocks(b"abc\ndef", 4), [b"abc\r".to_vec(), b"\ndef".to_vec(), vec![]]);
        assert_eq!(blocks(b"abc\rdef", 4), [b"abc\r".to_vec(), b"\0def".to_vec(), vec![]]);
        assert_eq!(blocks(b"ab\r\n", 4), [b"ab\r\0".to_vec(), b"\r\n".to_vec()]);
    }

    #[test]
    fn t36_a_final_cr_is_not_lost() {
        assert_eq!(blocks(b"abc\r", 4), [b"abc\r".to_vec(), b"\0".to_vec()]);
        assert_eq!(blocks(b"abc\n", 4), [b"abc\r".to_vec(), b"\n".to_vec()]);
        assert_eq!(blocks(b"", 4), [Vec::<u8>::new()]);
    }

    proptest! {
        #[test]
        fn every_text_comes_back(
            text in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(0), any::<u8>()], 0..200),
            blksize in 8usize..40,
        ) {
            let blocks = blocks(&text, blksize);
            prop_assert!(blocks.iter().rev().skip(1).all(|block| block.len() == blksize));
            prop_assert_eq!(decode(&blocks.concat()), text);
        }
    }
}
