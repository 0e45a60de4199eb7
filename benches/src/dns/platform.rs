//! Datagrams in batches: for the generator of load and for the servers that are not under measurement.
#![expect(unsafe_code, reason = "sendmmsg and recvmmsg have no safe wrapper")]

use std::io;
use std::mem::{size_of, zeroed};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

/// Datagrams taken from or given to the kernel at once.
pub const BATCH: usize = 32;
/// Room for one datagram, in octets; what is longer is cut.
pub const DATAGRAM_BYTES: usize = 1472;

/// Room for [`BATCH`] datagrams that came and for as many that are to go.
pub struct Batch {
    memory: Box<Memory>,
    received: usize,
    queued: usize,
}

/// What the kernel reads and writes.
struct Memory {
    names: [libc::sockaddr_in6; BATCH],
    incoming: [[u8; DATAGRAM_BYTES]; BATCH],
    lens: [usize; BATCH],
    name_lens: [libc::socklen_t; BATCH],
    outgoing: [[u8; DATAGRAM_BYTES]; BATCH],
    /// What is to go: from where, and how much of it.
    queue: [(Source, usize); BATCH],
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Source {
    /// The room of a datagram that came, back to where it came from.
    Incoming(usize),
    /// The room for those that go, to whom the socket is connected.
    Outgoing(usize),
}

impl Default for Batch {
    fn default() -> Self {
        let memory = Box::new(Memory {
            // SAFETY: all-zero is a valid value of this plain structure.
            names: unsafe { zeroed() },
            incoming: [[0; DATAGRAM_BYTES]; BATCH],
            lens: [0; BATCH],
            name_lens: [0; BATCH],
            outgoing: [[0; DATAGRAM_BYTES]; BATCH],
            queue: [(Source::Outgoing(0), 0); BATCH],
        });
        Self { memory, received: 0, queued: 0 }
    }
}

impl Batch {
    /// Takes what has come to `socket` and returns how many datagrams that are. `wait`: until there is one, as long as
    /// the socket's receive timeout allows. What was queued and not sent is forgotten.
    pub fn receive(&mut self, socket: &UdpSocket, wait: bool) -> io::Result<usize> {
        let memory = &mut *self.memory;
        (self.received, self.queued) = (0, 0);
        // SAFETY: all-zero is a valid empty value of both plain structures.
        let (mut headers, mut parts): ([libc::mmsghdr; BATCH], [libc::iovec; BATCH]) =
            unsafe { (zeroed(), zeroed()) };
        for index in 0..BATCH {
            parts[index].iov_base = memory.incoming[index].as_mut_ptr().cast();
            parts[index].iov_len = DATAGRAM_BYTES;
            let header = &mut headers[index].msg_hdr;
            header.msg_iov = &raw mut parts[index];
            header.msg_iovlen = 1;
            header.msg_name = (&raw mut memory.names[index]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        }
        let flags = if wait { libc::MSG_WAITFORONE } else { libc::MSG_DONTWAIT };
        // SAFETY: there are BATCH headers, and each points to memory of the announced length that lives until the call
        // returns and that nothing else refers to.
        let received = unsafe {
            let (at, none) = (headers.as_mut_ptr(), std::ptr::null_mut());
            libc::recvmmsg(socket.as_raw_fd(), at, BATCH as libc::c_uint, flags as _, none)
        };
        let received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        self.received = received.min(BATCH);
        for (index, header) in headers[..self.received].iter().enumerate() {
            memory.lens[index] = (header.msg_len as usize).min(DATAGRAM_BYTES);
            memory.name_lens[index] = header.msg_hdr.msg_namelen;
        }
        Ok(self.received)
    }

    /// The datagram number `index` of those that came.
    pub fn datagram(&self, index: usize) -> &[u8] {
        &self.room(index)[..self.memory.lens[index]]
    }

    /// Its whole room, for the answer to be written over it.
    pub fn room_mut(&mut self, index: usize) -> &mut [u8] {
        assert!(index < self.received, "only what came has room");
        &mut self.memory.incoming[index]
    }

    /// Queues the first `len` octets of the room of datagram `index` to where that came from.
    pub fn queue_reply(&mut self, index: usize, len: usize) {
        assert!(index < self.received && self.queued < BATCH, "each datagram has one reply at most");
        self.push(Source::Incoming(index), len);
    }

    /// Queues a copy of the message `datagram` with this `id` to whom the socket is connected; `false`: the queue is full,
    /// or it is too long or too short.
    pub fn queue(&mut self, datagram: &[u8], id: u16) -> bool {
        let place = self.queued;
        if place == BATCH || !(2..=DATAGRAM_BYTES).contains(&datagram.len()) {
            return false;
        }
        let room = &mut self.memory.outgoing[place];
        room[..datagram.len()].copy_from_slice(datagram);
        room[..2].copy_from_slice(&id.to_be_bytes());
        self.push(Source::Outgoing(place), datagram.len());
        true
    }

    /// Gives the queue to the kernel; returns how many datagrams it took.
    pub fn send(&mut self, socket: &UdpSocket) -> usize {
        let memory = &mut *self.memory;
        // SAFETY: all-zero is a valid empty value of both plain structures.
        let (mut headers, mut parts): ([libc::mmsghdr; BATCH], [libc::iovec; BATCH]) =
            unsafe { (zeroed(), zeroed()) };
        for (place, &(source, len)) in memory.queue[..self.queued].iter().enumerate() {
            let header = &mut headers[place].msg_hdr;
            parts[place].iov_base = match source {
                Source::Incoming(index) => {
                    header.msg_name = (&raw mut memory.names[index]).cast();
                    header.msg_namelen = memory.name_lens[index];
                    memory.incoming[index].as_mut_ptr().cast()
                }
                Source::Outgoing(index) => memory.outgoing[index].as_mut_ptr().cast(),
            };
            parts[place].iov_len = len;
            header.msg_iov = &raw mut parts[place];
            header.msg_iovlen = 1;
        }
        let mut taken = 0;
        while taken < self.queued {
            // SAFETY: `taken` lies within the array, and so does what follows up to `queued`; each header points to
            // initialised memory that lives until the call returns.
            let sent = unsafe {
                let at = headers.as_mut_ptr().add(taken);
                libc::sendmmsg(socket.as_raw_fd(), at, (self.queued - taken) as libc::c_uint, 0)
            };
            match usize::try_from(sent) {
                Ok(sent) if sent > 0 => taken += sent,
                _ => break,
            }
        }
        self.queued = 0;
        taken
    }

    fn room(&self, index: usize) -> &[u8; DATAGRAM_BYTES] {
        assert!(index < self.received, "only what came can be looked at");
        &self.memory.incoming[index]
    }

    fn push(&mut self, source: Source, len: usize) {
        self.memory.queue[self.queued] = (source, len.min(DATAGRAM_BYTES));
        self.queued += 1;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_batch_goes_there_and_back() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        let (mut ours, mut theirs) = (Batch::default(), Batch::default());
        for index in 0..BATCH {
            assert!(ours.queue(&[1; 40], (index as u16) << 8));
        }
        assert!(!ours.queue(&[0; 9], 0));
        assert_eq!(ours.send(&client), BATCH);
        let (mut answered, mut back) = (0, Vec::new());
        while answered < BATCH {
            let count = theirs.receive(&server, true).unwrap();
            for index in 0..count {
                assert_eq!(theirs.datagram(index).len(), 40);
                theirs.room_mut(index)[0] ^= 0x80;
                theirs.queue_reply(index, 20);
            }
            answered += theirs.send(&server);
        }
        while back.len() < BATCH {
            let count = ours.receive(&client, true).unwrap();
            back.extend((0..count).map(|index| (ours.datagram(index)[0], ours.datagram(index).len())));
        }
        back.sort_unstable();
        assert_eq!(back, (0..BATCH as u8).map(|index| (index | 0x80, 20)).collect::<Vec<_>>());
        assert!(ours.receive(&client, false).is_err());
    }
}
