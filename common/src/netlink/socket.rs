//! A netlink socket: questions and answers, and events.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{
    Timeout, set_socket_recv_buffer_size, set_socket_recv_buffer_size_force, set_socket_send_buffer_size,
    set_socket_send_buffer_size_force, set_socket_timeout,
};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recvfrom, sendto, socket_with,
};

use super::acknowledgement::{acknowledgement, done};
use super::attribute::Malformed;
use super::error::Error;
use super::events::Events;
use super::message::{self, Message, Messages, Request, flag};
use super::platform;
use crate::clock;

/// Which part of the kernel is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Interfaces, addresses, routes, neighbours.
    Route,
    /// Packet filter and connection tracking.
    Netfilter,
}

/// What is told to whoever listens, by protocol (`RTNLGRP_…`, `NFNLGRP_…`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Interfaces come, change and go ([`Protocol::Route`]).
    Links,
    /// Neighbours ([`Protocol::Route`]).
    Neighbours,
    /// IPv4 addresses of interfaces ([`Protocol::Route`]).
    Ipv4Addresses,
    /// IPv6 addresses of interfaces ([`Protocol::Route`]).
    Ipv6Addresses,
    /// IPv4 routes ([`Protocol::Route`]).
    Ipv4Routes,
    /// IPv6 routes ([`Protocol::Route`]).
    Ipv6Routes,
    /// New connections ([`Protocol::Netfilter`]).
    ConnTrackNew,
    /// Changed connections ([`Protocol::Netfilter`]).
    ConnTrackUpdate,
    /// Connections that are over ([`Protocol::Netfilter`]).
    ConnTrackDestroy,
    /// Changes of the packet filter ([`Protocol::Netfilter`]).
    NfTables,
}

impl Group {
    fn number(self) -> i32 {
        match self {
            Self::Links | Self::ConnTrackNew => 1,
            Self::ConnTrackUpdate => 2,
            Self::Neighbours | Self::ConnTrackDestroy => 3,
            Self::Ipv4Addresses => 5,
            Self::Ipv4Routes | Self::NfTables => 7,
            Self::Ipv6Addresses => 9,
            Self::Ipv6Routes => 11,
        }
    }
}

/// A netlink socket. Questions are numbered, and only answers of the kernel to the question at hand count.
///
/// A socket that listens to groups should not also ask: events that come between question and answer are lost.
#[derive(Debug)]
pub struct Socket {
    socket: OwnedFd,
    sequence: u32,
    piece: Vec<u8>,
    timeout: Duration,
    /// An answer may still be coming: an earlier question was given up before its end.
    unread: bool,
}

/// The kernel sends no larger datagram; one that is larger all the same is malformed.
const PIECE_BYTES: usize = 128 * 1024;
/// How long the kernel is waited for, if nothing else is said. It answers before the question has been sent; only
/// others who change the packet filter at the same time make it wait.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A listing that changes while it is made is begun anew so many times.
const DUMP_ATTEMPTS: usize = 16;
/// What a socket keeps of events that are not read yet; without privilege the system's limit may make it less.
const EVENT_BUFFER_BYTES: usize = 8 * 1024 * 1024;

impl Socket {
    /// Opens a socket; needs no privilege.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn open(protocol: Protocol) -> Result<Self, Error> {
        let protocol = match protocol {
            Protocol::Route => None,
            Protocol::Netfilter => Some(netlink::NETFILTER),
        };
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, protocol)
            .map_err(Error::system("open a netlink socket"))?;
        bind(&socket, &SocketAddrNetlink::new(0, 0)).map_err(Error::system("bind a netlink socket"))?;
        // Both only make errors shorter and clearer; kernels before 4.12 lack the second.
        let _ = platform::set_option(&socket, platform::CAP_ACK, 1);
        let _ = platform::set_option(&socket, platform::EXT_ACK, 1);
        let mut opened =
            Self { socket, sequence: 0, piece: vec![0; PIECE_BYTES], timeout: TIMEOUT, unread: false };
        opened.set_timeout(TIMEOUT)?;
        Ok(opened)
    }

    /// How long answers are waited for: 10 seconds, if nothing else is said.
    ///
    /// # Errors
    /// The system's refusal of a time of 0.
    pub fn set_timeout(&mut self, timeout: Duration) -> Result<(), Error> {
        self.timeout = timeout;
        set_socket_timeout(&self.socket, Timeout::Recv, Some(timeout))
            .map_err(Error::system("set the time-out of a netlink socket"))
    }

    /// Listens to a group from now on, and makes room for its events.
    ///
    /// # Errors
    /// The system's refusal: connection tracking wants `CAP_NET_ADMIN`.
    pub fn subscribe(&mut self, group: Group) -> Result<(), Error> {
        if set_socket_recv_buffer_size_force(&self.socket, EVENT_BUFFER_BYTES).is_err() {
            let _ = set_socket_recv_buffer_size(&self.socket, EVENT_BUFFER_BYTES);
        }
        platform::set_option(&self.socket, platform::ADD_MEMBERSHIP, group.number())
            .map_err(Error::system("listen to a netlink group"))
    }

    /// Gives a listening socket into tokio's hands; to be called within its runtime.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn into_events(self) -> Result<Events, Error> {
        Events::new(self)
    }

    /// Whether [`Self::receive`] comes back at once instead of waiting; such a socket can only listen.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn set_nonblocking(&mut self, nonblocking: bool) -> Result<(), Error> {
        rustix::io::ioctl_fionbio(&self.socket, nonblocking).map_err(Error::system("change a netlink socket"))
    }

    /// Hands the events of one datagram to `told`, waiting for it up to the time-out. `false`: there is none.
    ///
    /// # Errors
    /// [`Error::Overrun`] where events were lost, the system's refusals, and messages that cannot be read.
    pub fn receive(&mut self, mut told: impl FnMut(Message<'_>)) -> Result<bool, Error> {
        let length = match self.receive_piece(RecvFlags::empty()) {
            Err(Error::TimedOut) => return Ok(false),
            other => other?,
        };
        for message in Messages::new(&self.piece[..length]) {
            let message = message?;
            if message.kind == message::kind::OVERRUN {
                return Err(Error::Overrun);
            }
            told(message);
        }
        Ok(true)
    }

    /// Asks for something to be done, and waits until it is.
    ///
    /// # Errors
    /// [`Error::Refused`] with the kernel's reason, or no answer.
    pub fn acknowledged(&mut self, request: Request) -> Result<(), Error> {
        self.exchange(request, flag::ACK, |_| Ok(()))
    }

    /// Asks for one thing; `read` takes the answer apart.
    ///
    /// # Errors
    /// [`Error::Refused`] with the kernel's reason (also that it is not there), or no answer.
    pub fn ask<T>(
        &mut self,
        request: Request,
        mut read: impl FnMut(Message<'_>) -> Result<Option<T>, Malformed>,
    ) -> Result<Option<T>, Error> {
        let mut found = None;
        self.exchange(request, flag::ACK, |message| {
            if found.is_none() {
                found = read(message)?;
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Asks for a list; `read` takes each entry apart, and leaves out those for which it says `None`.
    ///
    /// # Errors
    /// [`Error::Refused`] with the kernel's reason, [`Error::Unstable`], or no answer.
    pub fn dump<T>(
        &mut self,
        request: &Request,
        mut read: impl FnMut(Message<'_>) -> Result<Option<T>, Malformed>,
    ) -> Result<Vec<T>, Error> {
        for _ in 0..DUMP_ATTEMPTS {
            let mut list = Vec::new();
            let mut interrupted = false;
            self.exchange(request.clone(), flag::DUMP, |message| {
                interrupted |= message.flags & flag::DUMP_INTERRUPTED != 0;
                list.extend(read(message)?);
                Ok(())
            })
            .or_else(|error| match error {
                // The packet filter says so when it changes between two pieces.
                Error::Refused(refusal) if refusal.is(Errno::INTR) => {
                    interrupted = true;
                    Ok(())
                }
                other => Err(other),
            })?;
            if !interrupted {
                return Ok(list);
            }
        }
        Err(Error::Unstable)
    }

    /// The next number for a request.
    pub(super) fn next_sequence(&mut self) -> u32 {
        // 0 is the number of events.
        self.sequence = self.sequence.wrapping_add(1).max(1);
        self.sequence
    }

    /// Sends octets to the kernel, which handles them before this returns.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let kernel = SocketAddrNetlink::new(0, 0);
        self.unread = true;
        match sendto(&self.socket, bytes, SendFlags::empty(), &kernel) {
            // More than the socket's buffer takes at once: batches.
            Err(Errno::MSGSIZE) => {
                let room = bytes.len().saturating_mul(2);
                if set_socket_send_buffer_size_force(&self.socket, room).is_err() {
                    let _ = set_socket_send_buffer_size(&self.socket, room);
                }
                sendto(&self.socket, bytes, SendFlags::empty(), &kernel).map(drop)
            }
            other => other.map(drop),
        }
        .map_err(Error::system("send to the kernel"))
    }

    /// Makes room for answers of about so many octets.
    pub(super) fn make_room(&mut self, bytes: usize) {
        if set_socket_recv_buffer_size_force(&self.socket, bytes).is_err() {
            let _ = set_socket_recv_buffer_size(&self.socket, bytes);
        }
    }

    /// When the kernel's patience with it ends.
    pub(super) fn deadline(&self) -> Instant {
        clock::now() + self.timeout
    }

    /// Receives one datagram of the kernel and hands its messages to `told` until that says `true`.
    pub(super) fn receive_until(
        &mut self,
        deadline: Instant,
        mut told: impl FnMut(Message<'_>) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        loop {
            let length = self.receive_piece(RecvFlags::empty())?;
            for message in Messages::new(&self.piece[..length]) {
                if told(message?)? {
                    return Ok(());
                }
            }
            // Something comes all the time, but not the answer.
            if clock::now() > deadline {
                return Err(Error::TimedOut);
            }
        }
    }

    /// Forgets what is still unread of earlier answers.
    pub(super) fn clear(&mut self) {
        let _ = self.drain(|_| Ok(()));
    }

    /// Hands all messages that are there to `told`, without waiting.
    pub(super) fn drain(
        &mut self,
        mut told: impl FnMut(Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Error> {
        let mut problem = Ok(());
        loop {
            match self.receive_piece(RecvFlags::DONTWAIT) {
                Err(Error::TimedOut) => {
                    self.unread = false;
                    return problem;
                }
                // What was lost is gone, but what was kept comes still.
                Err(Error::Overrun) => problem = Err(Error::Overrun),
                Err(other) => return Err(other),
                Ok(length) => {
                    for message in Messages::new(&self.piece[..length]) {
                        if let Err(malformed) = message.and_then(&mut told) {
                            problem = Err(malformed.into());
                        }
                    }
                }
            }
        }
    }

    fn exchange(
        &mut self,
        request: Request,
        flags: u16,
        mut read: impl FnMut(Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), Error> {
        // The kernel makes no second list before the first is read to its end.
        if self.unread {
            self.clear();
        }
        let sequence = self.next_sequence();
        let deadline = self.deadline();
        self.send(&request.build(flags, sequence)?)?;
        let mut unread = None;
        let end = self.receive_until(deadline, |message| {
            // Rests of an earlier question that was given up.
            if message.sequence != sequence {
                return Ok(false);
            }
            match message.kind {
                message::kind::DONE => done(&message).map(|()| true),
                message::kind::ERROR => {
                    acknowledgement(&message)?.map_or(Ok(true), |refusal| Err(Error::Refused(refusal)))
                }
                // The rest of the answer is read all the same, or it would be in the way of the next one.
                _ => {
                    unread = unread.or(read(message).err());
                    Ok(false)
                }
            }
        });
        self.unread = !matches!(end, Ok(()) | Err(Error::Refused(_)));
        match unread {
            Some(malformed) if end.is_ok() => Err(malformed.into()),
            _ => end,
        }
    }

    fn receive_piece(&mut self, flags: RecvFlags) -> Result<usize, Error> {
        loop {
            let received = recvfrom(&self.socket, &mut self.piece[..], flags | RecvFlags::TRUNC);
            let (_, length, sender) = match received {
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Err(Error::TimedOut),
                Err(Errno::NOBUFS) => return Err(Error::Overrun),
                other => other.map_err(Error::system("receive from the kernel"))?,
            };
            // Other processes may send too.
            let from_kernel = sender
                .and_then(|sender| SocketAddrNetlink::try_from(sender).ok())
                .is_some_and(|sender| sender.pid() == 0);
            if !from_kernel {
                continue;
            }
            if length > self.piece.len() {
                return Err(Malformed::new("a datagram longer than the kernel sends").into());
            }
            return Ok(length);
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

#[cfg(test)]
mod tests;
