//! DNS as a stranger speaks it: a wire format of the tests' own, so that no defect is shared with the server.
//!
//! | Module | Theme |
//! |---|---|
//! | [`message`] | strict reading of messages, to their last byte |
//! | [`query`] | writing of queries, good and bad ones |
//! | [`site`] | the site that the tests play on |
//! | [`upstream`] | a server on the WAN that says what a test wants, also lies |

pub mod message;
pub mod query;
pub mod site;
pub mod upstream;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use faros_lab::Namespace;

pub use message::{Message, Record};
pub use query::Query;
pub use upstream::{Seen, Upstream};

/// How long a client of the tests waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Types by their numbers.
#[expect(missing_docs, reason = "the mnemonic says it")]
pub mod kind {
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const DNAME: u16 = 39;
    pub const OPT: u16 = 41;
    pub const IXFR: u16 = 251;
    pub const AXFR: u16 = 252;
    pub const ANY: u16 = 255;
}

/// Codes of answers.
#[expect(missing_docs, reason = "the mnemonic says it")]
pub mod rcode {
    pub const NOERROR: u16 = 0;
    pub const FORMERR: u16 = 1;
    pub const SERVFAIL: u16 = 2;
    pub const NXDOMAIN: u16 = 3;
    pub const NOTIMP: u16 = 4;
    pub const REFUSED: u16 = 5;
    pub const NOTAUTH: u16 = 9;
    pub const BADVERS: u16 = 16;
    pub const BADCOOKIE: u16 = 23;
}

/// Sends `request` to `server` over UDP from a new port inside `client`, and returns what comes back.
pub fn ask_udp(
    client: &Namespace,
    server: SocketAddr,
    request: &[u8],
    patience: Duration,
) -> Option<Vec<u8>> {
    client
        .inside(|| {
            let socket = UdpSocket::bind(any(server)).expect("a port");
            socket.connect(server).expect("a way");
            socket.set_read_timeout(Some(patience)).expect("a time");
            socket.send(request).expect("sent");
            let mut buffer = vec![0; 65_535];
            let length = socket.recv(&mut buffer).ok()?;
            buffer.truncate(length);
            Some(buffer)
        })
        .expect("the namespace is there")
}

/// [`ask_udp`] over TCP.
pub fn ask_tcp(
    client: &Namespace,
    server: SocketAddr,
    request: &[u8],
    patience: Duration,
) -> Option<Vec<u8>> {
    client
        .inside(|| {
            let mut stream = TcpStream::connect_timeout(&server, patience).ok()?;
            stream.set_read_timeout(Some(patience)).ok()?;
            send_framed(&mut stream, request).ok()?;
            receive_framed(&mut stream).ok()
        })
        .expect("the namespace is there")
}

/// Writes `message` with the length before it (RFC 1035 section 4.2.2), in one segment.
///
/// # Errors
/// The connection's.
pub fn send_framed(stream: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).expect("a message's length");
    stream.write_all(&[&length.to_be_bytes(), message].concat())
}

/// Reads one message with the length before it.
///
/// # Errors
/// The connection's, or its end.
pub fn receive_framed(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}

/// The unspecified address of `like`'s family with any port.
pub fn any(like: SocketAddr) -> SocketAddr {
    match like {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => ([0_u16; 8], 0).into(),
    }
}

/// Asks for `name` over UDP with EDNS and reads the answer; the test fails where there is none.
pub fn lookup(client: &Namespace, server: SocketAddr, name: &str, kind: u16) -> Message {
    let request = Query::new(name, kind).edns(1232).bytes();
    let reply = ask_udp(client, server, &request, PATIENCE).unwrap_or_else(|| panic!("no answer for {name}"));
    Message::read(&reply).unwrap_or_else(|flaw| panic!("{name}: {flaw}"))
}
