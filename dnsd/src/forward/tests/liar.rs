//! An upstream server on loopback that does as it is told, on UDP and TCP of one port.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faros_common::tasks;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

use crate::forward::record::question_end;
use crate::protocol::name::Name;

/// A question as it arrived.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) wire: Vec<u8>,
    pub(super) source: SocketAddr,
    pub(super) tcp: bool,
}

/// What it does about it, in order.
pub(super) enum Act {
    Reply(Vec<u8>),
    /// From another port.
    Elsewhere(Vec<u8>),
    Wait(Duration),
    /// Ends the connection.
    Hang,
}

pub(super) type Behaviour = dyn Fn(&Asked) -> Vec<Act> + Send + Sync;

#[derive(Clone)]
pub(super) struct Liar {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Asked>>>,
    silent: Arc<AtomicBool>,
    tasks: Arc<Vec<Abort>>,
}

struct Abort(JoinHandle<Option<()>>);

impl Drop for Abort {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Asked {
    pub(super) fn id(&self) -> u16 {
        u16::from_be_bytes([self.wire[0], self.wire[1]])
    }

    pub(super) fn name(&self) -> Name {
        let end = question_end(&self.wire).unwrap();
        Name::from_wire(&self.wire[12..end - 4]).unwrap().lower()
    }

    pub(super) fn name_octets(&self) -> &[u8] {
        &self.wire[12..question_end(&self.wire).unwrap() - 4]
    }

    pub(super) fn is_about(&self, name: &str) -> bool {
        self.name() == Name::parse(name).unwrap()
    }

    pub(super) fn is_probe(&self) -> bool {
        self.name().is_root()
    }

    pub(super) fn has_edns(&self) -> bool {
        self.wire[11] == 1
    }

    /// The octets of the cookie option, if there is one; it is the only option we send.
    pub(super) fn cookie(&self) -> Option<&[u8]> {
        self.wire.get(question_end(&self.wire)? + 15..).filter(|cookie| !cookie.is_empty())
    }

    /// A reply with this question and these records, each (owner, type, ttl, data), by section.
    pub(super) fn reply(&self, rcode: u8, answers: &[Told<'_>], authorities: &[Told<'_>]) -> Vec<u8> {
        let end = question_end(&self.wire).unwrap();
        let mut reply = self.wire[..end].to_vec();
        reply[2..12].copy_from_slice(&[0x81, 0x80 | rcode, 0, 1, 0, 0, 0, 0, 0, 0]);
        reply[6..8].copy_from_slice(&(answers.len() as u16).to_be_bytes());
        reply[8..10].copy_from_slice(&(authorities.len() as u16).to_be_bytes());
        for (owner, kind, ttl, data) in answers.iter().chain(authorities) {
            reply.extend_from_slice(Name::parse(owner).unwrap().as_wire());
            reply.extend_from_slice(&kind.to_be_bytes());
            reply.extend_from_slice(&[0, 1]);
            reply.extend_from_slice(&ttl.to_be_bytes());
            reply.extend_from_slice(&(data.len() as u16).to_be_bytes());
            reply.extend_from_slice(data);
        }
        reply
    }

    /// The truth about every name: one address.
    pub(super) fn truth(&self) -> Vec<u8> {
        let name = self.name().to_string();
        self.reply(0, &[(&name, 1, 300, &[9, 9, 9, 9])], &[])
    }
}

pub(super) type Told<'a> = (&'a str, u16, u32, &'a [u8]);

impl Liar {
    pub(super) async fn start(behaviour: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Self {
        // UDP and TCP of the same port: taken together until both are free.
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
                break (udp, tcp);
            }
        };
        let address = udp.local_addr().unwrap();
        let behaviour: Arc<Behaviour> = Arc::new(behaviour);
        let seen: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let silent: Arc<AtomicBool> = Arc::default();
        let over_udp = {
            let (seen, silent, behaviour, udp) =
                (seen.clone(), silent.clone(), behaviour.clone(), Arc::new(udp));
            async move {
                let mut buffer = [0; 4096];
                loop {
                    let (length, source) = udp.recv_from(&mut buffer).await.unwrap();
                    if silent.load(Ordering::Relaxed) {
                        continue;
                    }
                    let asked = Asked { wire: buffer[..length].to_vec(), source, tcp: false };
                    seen.lock().unwrap().push(asked.clone());
                    let acts = behaviour(&asked);
                    let udp = udp.clone();
                    tasks::spawn("liar", async move { act_udp(&udp, source, acts).await });
                }
            }
        };
        let over_tcp = {
            let (seen, silent) = (seen.clone(), silent.clone());
            async move {
                loop {
                    let (stream, source) = tcp.accept().await.unwrap();
                    tasks::spawn(
                        "liar",
                        serve(stream, source, seen.clone(), silent.clone(), behaviour.clone()),
                    );
                }
            }
        };
        let tasks =
            Arc::new(vec![Abort(tasks::spawn("liar", over_udp)), Abort(tasks::spawn("liar", over_tcp))]);
        Self { address, seen, silent, tasks }
    }

    /// One that tells the truth.
    pub(super) async fn honest() -> Self {
        Self::start(|asked| vec![Act::Reply(asked.truth())]).await
    }

    /// What it was asked, probes left out.
    pub(super) fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().iter().filter(|asked| !asked.is_probe()).cloned().collect()
    }

    /// What it was asked, probes and all.
    pub(super) fn all(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }

    pub(super) fn set_silent(&self, silent: bool) {
        self.silent.store(silent, Ordering::Relaxed);
    }

    /// Stops it; its port is closed then.
    pub(super) async fn stop(self) -> SocketAddr {
        for task in self.tasks.iter() {
            task.0.abort();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.address
    }
}

async fn act_udp(udp: &UdpSocket, source: SocketAddr, acts: Vec<Act>) {
    for act in acts {
        match act {
            Act::Reply(reply) => _ = udp.send_to(&reply, source).await,
            Act::Elsewhere(reply) => {
                let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                _ = other.send_to(&reply, source).await;
            }
            Act::Wait(time) => tokio::time::sleep(time).await,
            Act::Hang => return,
        }
    }
}

/// Serves one connection, TLS or not.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    source: SocketAddr,
    seen: Arc<Mutex<Vec<Asked>>>,
    silent: Arc<AtomicBool>,
    behaviour: Arc<Behaviour>,
) {
    loop {
        let Ok(length) = stream.read_u16().await else { return };
        let mut wire = vec![0; usize::from(length)];
        if stream.read_exact(&mut wire).await.is_err() {
            return;
        }
        if silent.load(Ordering::Relaxed) {
            continue;
        }
        let asked = Asked { wire, source, tcp: true };
        seen.lock().unwrap().push(asked.clone());
        for act in behaviour(&asked) {
            match act {
                Act::Reply(reply) | Act::Elsewhere(reply) => {
                    if stream.write_u16(reply.len() as u16).await.is_err()
                        || stream.write_all(&reply).await.is_err()
                        || stream.flush().await.is_err()
                    {
                        return;
                    }
                }
                Act::Wait(time) => tokio::time::sleep(time).await,
                Act::Hang => return,
            }
        }
    }
}
