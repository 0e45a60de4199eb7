//! Two servers of our own that are not under measurement: the floor that no server can go below, and the world behind a
//! forwarder.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use super::message::{HEADER, name_at, question_end};
use super::platform::Batch;
use super::zone::world_address;

/// Octets that may wait at a socket: more than all clients together have under way.
const BUFFER_BYTES: usize = 4 << 20;
/// TTL of names of the world, in seconds: none expires during a run.
const LONG_TTL: u32 = 7200;
/// TTL of those whose first label begins with [`BRIEF`], in seconds.
pub const BRIEF_TTL: u32 = 1;
/// How the first label of a name begins that expires soon.
pub const BRIEF: &str = "brief";

/// Takes datagrams in batches and gives them back with the response bit set, and does nothing else, for ever. One thread
/// per `workers`, each with a socket of its own.
pub fn echo(listen: SocketAddr, workers: usize) -> io::Result<()> {
    let others: Vec<_> = (1..workers.max(1))
        .map(|_| std::thread::Builder::new().spawn(move || serve(listen, flip)))
        .collect::<Result<_, _>>()?;
    let outcome = serve(listen, flip);
    drop(others);
    outcome
}

/// Has an address for every name, for ever. Knows no other type.
pub fn world(listen: SocketAddr) -> io::Result<()> {
    serve(listen, answer)
}

/// `reply` is shown each datagram with the room behind it, and returns the length of what it made of it.
fn serve(listen: SocketAddr, reply: impl Fn(&mut [u8], usize) -> Option<usize>) -> io::Result<()> {
    let socket = socket(listen)?;
    let mut batch = Batch::default();
    loop {
        let count = match batch.receive(&socket, true) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        for index in 0..count {
            let len = batch.datagram(index).len();
            if len < HEADER {
                continue;
            }
            if let Some(len) = reply(batch.room_mut(index), len) {
                batch.queue_reply(index, len);
            }
        }
        batch.send(&socket);
    }
}

fn flip(message: &mut [u8], len: usize) -> Option<usize> {
    message[2] |= 0x80;
    Some(len)
}

/// Writes the answer to the query of `len` octets over it; `None`: it is no question.
fn answer(room: &mut [u8], len: usize) -> Option<usize> {
    let end = question_end(&room[..len])?;
    let (kind, class) = (&room[end - 4..end - 2], &room[end - 2..end]);
    let has_address = kind == [0, 1] && class == [0, 1];
    let (name, _) = name_at(room, HEADER)?;
    let address = world_address(&name);
    let ttl = if name.starts_with(BRIEF) { BRIEF_TTL } else { LONG_TTL };
    room[2] = 0x80 | room[2] & 0x01;
    room[3] = 0x80;
    room[4..12].copy_from_slice(&[0, 1, 0, u8::from(has_address), 0, u8::from(!has_address), 0, 0]);
    let mut record = vec![0xc0, 12];
    if has_address {
        record.extend([0, 1, 0, 1]);
        record.extend(ttl.to_be_bytes());
        record.extend([0, 4]);
        record.extend(address.octets());
    } else {
        // What is denied is kept for as long: an SOA of the name itself.
        record.extend([0, 6, 0, 1]);
        record.extend(ttl.to_be_bytes());
        record.extend([0, 24, 0xc0, 12, 0xc0, 12]);
        record.extend([1, 3600, 600, 86_400, ttl].iter().flat_map(|number| number.to_be_bytes()));
    }
    room.get_mut(end..end + record.len())?.copy_from_slice(&record);
    Some(end + record.len())
}

fn socket(listen: SocketAddr) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(listen),
        socket2::Type::DGRAM,
        Some(socket2::Protocol::UDP),
    )?;
    socket.set_reuse_port(true)?;
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER_BYTES)?;
    socket.bind(&listen.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::super::message::{query, read};
    use super::super::zone::world_question;
    use super::*;

    fn asked(name: &str, kind: &str) -> Vec<u8> {
        let query = query(name, kind, true).unwrap();
        let mut room = [0; 600];
        room[..query.len()].copy_from_slice(&query);
        let len = answer(&mut room, query.len()).unwrap();
        room[..len].to_vec()
    }

    #[test]
    fn the_world_has_an_address_for_every_name() {
        let question = world_question("host7.pool.example.net");
        assert_eq!(read(&asked(&question.name, "A")).unwrap().records, question.answers);
        let denial = read(&asked(&question.name, "AAAA")).unwrap();
        assert_eq!((denial.rcode, denial.records.len()), (0, 0));
    }

    #[test]
    fn brief_names_expire_soon() {
        let ttl = |name| {
            let message = asked(name, "A");
            let at = message.len() - 10;
            u32::from_be_bytes(message[at..at + 4].try_into().unwrap())
        };
        assert_eq!((ttl("brief3.example.net"), ttl("host3.example.net")), (BRIEF_TTL, LONG_TTL));
    }
}
