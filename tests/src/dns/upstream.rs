//! A name server on the WAN that says what a test wants, also lies.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use faros_lab::Namespace;

use super::query::wire_name;
use super::{Message, kind, receive_framed, send_framed};

/// How often a server looks whether it is to end.
const ROUND: Duration = Duration::from_millis(20);

/// A question that reached the server.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The message's number.
    pub id: u16,
    /// From where it came.
    pub source: SocketAddr,
    /// The name as sent, letter by letter.
    pub name: String,
    /// The type.
    pub kind: u16,
    /// Whether it came by TCP.
    pub tcp: bool,
    /// The whole message.
    pub bytes: Vec<u8>,
}

/// A running server; ends when dropped.
pub struct Upstream {
    stopping: Arc<AtomicBool>,
    seen: Arc<Mutex<Vec<Seen>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Upstream {
    /// Serves `address` inside `namespace` over UDP and TCP. `respond` gives the messages that go back for a
    /// question, none or several.
    pub fn start(
        namespace: &Namespace,
        address: SocketAddr,
        respond: impl Fn(&Seen) -> Vec<Vec<u8>> + Send + Sync + 'static,
    ) -> Self {
        let (udp, tcp) = namespace
            .inside(|| {
                let udp = UdpSocket::bind(address).expect("the upstream's UDP port");
                let tcp = TcpListener::bind(address).expect("the upstream's TCP port");
                udp.set_read_timeout(Some(ROUND)).expect("a time");
                tcp.set_nonblocking(true).expect("non-blocking");
                (udp, tcp)
            })
            .expect("the namespace is there");
        let stopping = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let respond = Arc::new(respond);
        let mut threads = Vec::new();
        for tcp in [None, Some(tcp)] {
            let (stopping, seen, respond) = (Arc::clone(&stopping), Arc::clone(&seen), Arc::clone(&respond));
            let udp = udp.try_clone().expect("a descriptor");
            let serve = move || {
                let answer = |bytes: &[u8], source, tcp| {
                    let Some(question) = Seen::read(bytes, source, tcp) else { return Vec::new() };
                    seen.lock().unwrap_or_else(PoisonError::into_inner).push(question.clone());
                    respond(&question)
                };
                while !stopping.load(Ordering::Relaxed) {
                    match &tcp {
                        None => serve_udp(&udp, &answer),
                        Some(listener) => serve_tcp(listener, &answer),
                    }
                }
            };
            #[expect(clippy::disallowed_methods, reason = "a panic of this thread is the test's")]
            threads.push(std::thread::spawn(serve));
        }
        Self { stopping, seen, threads }
    }

    /// A server that knows one address for every name: 203.0.113.7 and 2001:db8::7, for 60 seconds.
    pub fn honest(namespace: &Namespace, address: SocketAddr) -> Self {
        Self::start(namespace, address, |question| vec![question.answered(60)])
    }

    /// The questions so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The questions for `name`, whatever its case.
    pub fn asked(&self, name: &str) -> usize {
        self.seen().iter().filter(|seen| seen.name.eq_ignore_ascii_case(name)).count()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Seen {
    fn read(bytes: &[u8], source: SocketAddr, tcp: bool) -> Option<Self> {
        let message = Message::read(bytes).ok()?;
        let (name, kind, _) = message.questions.first()?.clone();
        Some(Self { id: message.id, source, name, kind, tcp, bytes: bytes.to_vec() })
    }

    /// The head and question of an answer with this code and these counts of records.
    pub fn head(&self, rcode: u16, counts: [u16; 3]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for word in [self.id, 0x8180 | rcode, 1, counts[0], counts[1], counts[2]] {
            bytes.extend(word.to_be_bytes());
        }
        bytes.extend(wire_name(&self.name));
        bytes.extend(self.kind.to_be_bytes());
        bytes.extend([0, 1]);
        bytes
    }

    /// An answer with one address of documentation's; other types have no data.
    pub fn answered(&self, ttl: u32) -> Vec<u8> {
        match self.kind {
            kind::A => self.with(&[(&self.name, kind::A, ttl, &[203, 0, 113, 7])]),
            kind::AAAA => {
                let data = [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
                self.with(&[(&self.name, kind::AAAA, ttl, &data)])
            }
            _ => self.denied(0, ttl),
        }
    }

    /// An answer of these records: owner, type, TTL, data.
    pub fn with(&self, records: &[(&str, u16, u32, &[u8])]) -> Vec<u8> {
        let mut bytes = self.head(0, [records.len() as u16, 0, 0]);
        for record in records {
            bytes.extend(written(record));
        }
        bytes
    }

    /// A negative answer with the root's SOA.
    pub fn denied(&self, rcode: u16, ttl: u32) -> Vec<u8> {
        let mut soa = [wire_name("ns.invalid."), wire_name("admin.invalid.")].concat();
        for word in [1, 3600, 600, 86_400, ttl] {
            soa.extend(u32::to_be_bytes(word));
        }
        let mut bytes = self.head(rcode, [0, 1, 0]);
        bytes.extend(written(&(".", kind::SOA, ttl, &soa)));
        bytes
    }
}

/// A record as it goes onto the wire: owner, type, TTL, data.
pub fn written((owner, kind, ttl, data): &(&str, u16, u32, &[u8])) -> Vec<u8> {
    let mut bytes = wire_name(owner);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(ttl.to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(*data);
    bytes
}

fn serve_udp(socket: &UdpSocket, answer: &impl Fn(&[u8], SocketAddr, bool) -> Vec<Vec<u8>>) {
    let mut buffer = [0; 4096];
    let Ok((length, source)) = socket.recv_from(&mut buffer) else { return };
    for reply in answer(&buffer[..length], source, false) {
        let _ = socket.send_to(&reply, source);
    }
}

fn serve_tcp(listener: &TcpListener, answer: &impl Fn(&[u8], SocketAddr, bool) -> Vec<Vec<u8>>) {
    let Ok((mut stream, source)) = listener.accept() else {
        std::thread::sleep(ROUND);
        return;
    };
    let _ = stream.set_nonblocking(false);
    let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
    while let Ok(request) = receive_framed(&mut stream) {
        for reply in answer(&request, source, true) {
            let _ = send_framed(&mut stream, &reply);
        }
    }
}
