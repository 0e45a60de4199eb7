//! Talking to connection tracking.

use super::filter::Filter;
use super::flow::Flow;
use super::{SUBSYSTEM, kind, message as number};
use crate::netlink::attribute::Malformed;
use crate::netlink::error::Error;
use crate::netlink::message::{Message, Request, flag};
use crate::netlink::socket::{Group, Protocol, Socket};

/// Connection tracking of this network namespace.
#[derive(Debug)]
pub struct ConnTrack {
    socket: Socket,
}

/// What happened to a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnTrackEvent {
    /// Its first packet has left this host.
    New(Flow),
    /// It has changed.
    Updated(Flow),
    /// It is forgotten.
    Destroyed(Flow),
}

const STATISTICS_ENTRIES: u16 = 1;

impl ConnTrack {
    /// Opens a socket; privilege is needed only later.
    ///
    /// # Errors
    /// The system's refusal.
    pub fn open() -> Result<Self, Error> {
        Ok(Self { socket: Socket::open(Protocol::Netfilter)? })
    }

    /// A socket that is told what happens to connections from now on; [`ConnTrackEvent::decode`] reads it. Each group
    /// costs time per packet that changes something: take those that are needed.
    ///
    /// # Errors
    /// The system's refusal: `CAP_NET_ADMIN` is needed.
    pub fn listen(groups: &[Group]) -> Result<Socket, Error> {
        let mut socket = Socket::open(Protocol::Netfilter)?;
        groups.iter().try_for_each(|group| socket.subscribe(*group))?;
        Ok(socket)
    }

    /// The connections that are meant. The table may be large: what the filter leaves out is not kept.
    ///
    /// # Errors
    /// The kernel's refusal, or no answer.
    pub fn flows(&mut self, filter: &Filter) -> Result<Vec<Flow>, Error> {
        let mut request = Request::netfilter(SUBSYSTEM, number::GET, filter.family());
        filter.encode(&mut request.body);
        self.socket.dump(&request, |message| {
            let flow = decode(&message)?;
            Ok(flow.filter(|flow| filter.matches(flow)))
        })
    }

    /// How many connections there are, in all.
    ///
    /// # Errors
    /// The kernel's refusal, or no answer.
    pub fn count(&mut self) -> Result<u32, Error> {
        let request = Request::netfilter(SUBSYSTEM, number::GET_STATISTICS, 0);
        let count = self
            .socket
            .ask(request, |message| message.netfilter()?.1.fields()?.u32_be(STATISTICS_ENTRIES))?;
        count.ok_or(Error::Malformed(Malformed::new("statistics without a number of connections")))
    }

    /// Forgets a connection. Its next packet is looked at as if it were the first: what is translated is translated
    /// anew or not at all. `false`: it is gone already, or another one is in its place.
    ///
    /// # Errors
    /// The kernel's refusal, or no answer.
    pub fn delete(&mut self, flow: &Flow) -> Result<bool, Error> {
        const IPV4: u8 = 2;
        const IPV6: u8 = 10;
        let family = if flow.original.source.is_ipv4() { IPV4 } else { IPV6 };
        let mut request = Request::netfilter(SUBSYSTEM, number::DELETE, family);
        flow.original.encode(kind::ORIGINAL, &mut request.body);
        if let Some(id) = flow.id {
            request.body.u32_be(kind::ID, id);
        }
        if flow.zone != 0 {
            request.body.u16_be(kind::ZONE, flow.zone);
        }
        match self.socket.acknowledged(request) {
            Err(error) if error.is_absent() => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// Forgets all connections that are meant, and says how many there were.
    ///
    /// # Errors
    /// The kernel's refusal, or no answer; some may be forgotten then.
    pub fn delete_all(&mut self, filter: &Filter) -> Result<usize, Error> {
        let mut deleted = 0;
        for flow in self.flows(filter)? {
            deleted += usize::from(self.delete(&flow)?);
        }
        Ok(deleted)
    }
}

impl ConnTrackEvent {
    /// Reads an event; `None`: it is none.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, Malformed> {
        let created = message.flags & (flag::CREATE | flag::EXCLUSIVE) != 0;
        let deleted = message.kind == SUBSYSTEM << 8 | u16::from(number::DELETE);
        if deleted {
            return Ok(Some(Self::Destroyed(Flow::decode(message.netfilter()?.1)?)));
        }
        Ok(decode(message)?.map(|flow| if created { Self::New(flow) } else { Self::Updated(flow) }))
    }
}

fn decode(message: &Message<'_>) -> Result<Option<Flow>, Malformed> {
    if message.kind != SUBSYSTEM << 8 | u16::from(number::NEW) {
        return Ok(None);
    }
    Flow::decode(message.netfilter()?.1).map(Some)
}
