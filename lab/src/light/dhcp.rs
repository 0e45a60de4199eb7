//! The DHCP exchange of a light node, on raw sockets: it has no address yet.

use std::io::{ErrorKind, Read as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use faros_common::clock;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::message::{ACK, Identity, NAK, OFFER, Reply, Speaker, request};

/// How often a message is repeated before the machine gives up.
const ATTEMPTS: u32 = 8;

/// Until the first repetition; doubled each time up to [`WAIT_MAX`].
const WAIT_FIRST: Duration = Duration::from_millis(500);
const WAIT_MAX: Duration = Duration::from_secs(4);

const ETHERTYPE_IPV4: u16 = 0x0800;
const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;

/// DISCOVER, OFFER, REQUEST, ACK over the interface `eth0` of this thread's namespace.
pub(super) fn lease(speaker: Speaker, identity: Identity) -> Result<Reply, String> {
    let sockets = Sockets::open().map_err(|error| format!("no socket for DHCP: {error}"))?;
    let xid = transaction_id(identity);
    let offer = sockets.ask(&request(speaker, identity, xid, None), xid, &[OFFER])?;
    let answer = sockets.ask(&request(speaker, identity, xid, Some(&offer)), xid, &[ACK, NAK])?;
    if answer.kind == NAK {
        let why = answer.option(56).map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        return Err(format!("the server offered {} and then refused it: {why}", offer.address));
    }
    if answer.address != offer.address {
        return Err(format!("{} was offered, but {} acknowledged", offer.address, answer.address));
    }
    Ok(answer)
}

struct Sockets {
    sending: Socket,
    receiving: Socket,
}

impl Sockets {
    fn open() -> std::io::Result<Self> {
        let sending = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        sending.set_broadcast(true)?;
        sending.set_reuse_address(true)?;
        sending.bind_device(Some(b"eth0"))?;
        sending.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, CLIENT_PORT)).into())?;
        // Sees also what is addressed to the address that we do not have yet.
        let network_order = i32::from(ETHERTYPE_IPV4.to_be());
        let receiving = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(network_order)))?;
        Ok(Self { sending, receiving })
    }

    /// Sends `message` until a reply of one of `kinds` comes.
    fn ask(&self, message: &[u8], xid: u32, kinds: &[u8]) -> Result<Reply, String> {
        let to: SockAddr = SocketAddr::from((Ipv4Addr::BROADCAST, SERVER_PORT)).into();
        let mut wait = WAIT_FIRST;
        for _ in 0..ATTEMPTS {
            self.sending.send_to(message, &to).map_err(|error| format!("DHCP cannot be sent: {error}"))?;
            if let Some(reply) = self.receive(xid, kinds, wait).map_err(|error| error.to_string())? {
                return Ok(reply);
            }
            wait = (wait * 2).min(WAIT_MAX);
        }
        let what = if kinds.contains(&OFFER) { "DISCOVER" } else { "REQUEST" };
        Err(format!("no answer to {ATTEMPTS} DHCP {what} messages"))
    }

    fn receive(&self, xid: u32, kinds: &[u8], wait: Duration) -> std::io::Result<Option<Reply>> {
        let deadline = clock::now() + wait;
        let mut buffer = [0; 2048];
        loop {
            let left = deadline.saturating_duration_since(clock::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.receiving.set_read_timeout(Some(left))?;
            let count = match (&self.receiving).read(&mut buffer) {
                Ok(count) => count,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Ok(None);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let reply = udp_payload(&buffer[..count], CLIENT_PORT).and_then(|udp| Reply::parse(udp, xid));
            if let Some(reply) = reply.filter(|reply| kinds.contains(&reply.kind)) {
                return Ok(Some(reply));
            }
        }
    }
}

/// What an IPv4 packet carries for a UDP port.
fn udp_payload(packet: &[u8], port: u16) -> Option<&[u8]> {
    let header_len = usize::from(packet.first()? & 0x0f) * 4;
    if packet[0] >> 4 != 4 || *packet.get(9)? != 17 {
        return None;
    }
    let udp = packet.get(header_len..)?;
    let field = |at: usize| Some(u16::from_be_bytes([*udp.get(at)?, *udp.get(at + 1)?]));
    if field(2)? != port {
        return None;
    }
    udp.get(8..usize::from(field(4)?))
}

/// Different for each exchange and machine, and the same bytes never mean two exchanges at once.
fn transaction_id(identity: Identity) -> u32 {
    let moment = clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let [.., a, b, c, d] = identity.mac.0;
    moment.subsec_nanos() ^ u32::from_be_bytes([d, c, b, a])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_udp_for_the_port_is_taken() {
        let mut packet = vec![0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2];
        packet.extend([0, 67, 0, 68, 0, 12, 0, 0, b'd', b'h', b'c', b'p', 9, 9]);
        assert_eq!(udp_payload(&packet, 68), Some(&b"dhcp"[..]));
        assert_eq!(udp_payload(&packet, 67), None);
        assert_eq!(udp_payload(&packet[..22], 68), None);
        packet[9] = 6;
        assert_eq!(udp_payload(&packet, 68), None);
    }
}
