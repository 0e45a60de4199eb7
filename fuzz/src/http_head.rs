//! Request heads: whatever is taken, the parser behind hyper reads in the same way.

use faros_ignition_http::protocol::head::{
    BODY_BYTES_MAX, FIELDS_MAX, HEAD_BYTES_MAX, Head, Scan, Scanner, leading_empty_lines,
};

use crate::Target;

/// Feeds [`Scanner`].
pub const TARGET: Target = Target { name: "http_head", run, seeds, memory: (16 * 1024, 16) };

fn run(data: &[u8]) {
    let empty = leading_empty_lines(data);
    assert!(empty <= data.len() && data[..empty].chunks(2).all(|line| line == b"\r\n"));
    // The first byte says in which pieces the head arrives.
    let Some((&step, text)) = data.split_first() else { return };
    let whole = Scanner::default().on_bytes(text);
    let mut scanner = Scanner::default();
    let mut pieces = Scan::Incomplete;
    let step = usize::from(step).max(1);
    for end in (step..text.len()).step_by(step).chain([text.len()]) {
        pieces = scanner.on_bytes(&text[..end]);
        if pieces != Scan::Incomplete {
            break;
        }
    }
    assert_eq!(pieces, whole, "the verdict depends on how the bytes arrive");
    match whole {
        Scan::Complete(head) => agreed(&text[..head.bytes], head),
        Scan::Refused(refusal) => assert!((400..=505).contains(&refusal.status())),
        Scan::Incomplete => assert!(text.len() < HEAD_BYTES_MAX),
    }
}

/// Checks a head that is taken against another reader.
fn agreed(text: &[u8], head: Head) {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut request = httparse::Request::new(&mut fields);
    let Ok(status) = request.parse(text) else { return };
    assert_eq!(
        status,
        httparse::Status::Complete(head.bytes),
        "the head ends elsewhere for the other reader"
    );
    let named = |name: &str| {
        request.headers.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).collect::<Vec<_>>()
    };
    assert!(named("transfer-encoding").is_empty(), "a transfer coding was let through");
    let lengths: Vec<_> = named("content-length").iter().map(|field| field.value.to_vec()).collect();
    let length = match lengths.as_slice() {
        [] => 0,
        [one] => std::str::from_utf8(one).ok().and_then(|text| text.parse().ok()).expect("a number"),
        more => panic!("{} lengths were let through", more.len()),
    };
    assert_eq!(length, head.body_bytes, "the body has another length for the other reader");
    assert!(length <= BODY_BYTES_MAX && (length == 0 || request.method == Some("POST")));
    let hosts = named("host").len();
    assert!(hosts == 1 || (hosts == 0 && request.version == Some(0)), "{hosts} hosts");
}

fn seeds() -> Vec<Vec<u8>> {
    [
        "GET /loaders/snponly.efi HTTP/1.1\r\nHost: 10.77.0.1\r\nUser-Agent: UefiHttpBoot/1.0\r\n\r\n",
        "HEAD //a HTTP/1.1\r\nHost: 10.77.0.1:8080\r\nAccept: */*\r\nRange: bytes=0-1\r\n\r\n",
        "GET /a HTTP/1.0\r\n\r\n",
        "POST /report/cp1 HTTP/1.1\r\nHost: [fd08::1]:8080\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
    ]
    .iter()
    .enumerate()
    .map(|(step, text)| [&[step as u8 * 16], text.as_bytes()].concat())
    .collect()
}
