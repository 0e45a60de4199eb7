//! Interfaces.

use super::attribute::{Attribute, Malformed};
use super::error::Error;
use super::message::{Message, Request};
use super::socket::Socket;
use crate::site::Mac;

/// An interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number, which stays while it is there.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// What it is, where it is not hardware: `bridge`, `vlan`, `veth`, …
    pub kind: Option<String>,
    /// Its card, where it has an Ethernet one.
    pub card: Option<Mac>,
    /// The largest packet, in octets.
    pub mtu: u32,
    /// It is switched on.
    pub up: bool,
    /// It has a carrier.
    pub running: bool,
    /// It is the loopback.
    pub loopback: bool,
    /// The number of the bridge or bond that it belongs to.
    pub master: Option<u32>,
}

/// What happened to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// It came or changed.
    New(Link),
    /// It went.
    Deleted(Link),
}

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const FIXED_BYTES: usize = 16;
const UP: u32 = 0x1;
const LOOPBACK: u32 = 0x8;
const LOWER_UP: u32 = 0x1_0000;

mod kind {
    pub(super) const CARD: u16 = 1;
    pub(super) const NAME: u16 = 3;
    pub(super) const MTU: u16 = 4;
    pub(super) const MASTER: u16 = 10;
    pub(super) const INFO: u16 = 18;
    pub(super) const INFO_KIND: u16 = 1;
}

impl Link {
    /// Reads an interface; `None`: the message is about something else.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, Malformed> {
        if message.kind != NEW_LINK && message.kind != DELETE_LINK {
            return Ok(None);
        }
        let (fixed, attributes) = message.split::<FIXED_BYTES>()?;
        let word = |at: usize| u32::from_ne_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        let flags = word(8);
        let fields = attributes.fields()?;
        let info = fields.get(kind::INFO).map(|info| info.nested().fields()).transpose()?;
        let name_of_kind =
            info.and_then(|info| info.get(kind::INFO_KIND)).map(Attribute::text).transpose()?;
        Ok(Some(Self {
            index: word(4),
            name: fields.need(kind::NAME, "an interface without its name")?.text()?.to_owned(),
            kind: name_of_kind.map(str::to_owned),
            card: fields.get(kind::CARD).and_then(|card| <[u8; 6]>::try_from(card.payload).ok()).map(Mac),
            mtu: fields.u32(kind::MTU)?.unwrap_or_default(),
            up: flags & UP != 0,
            running: flags & LOWER_UP != 0,
            loopback: flags & LOOPBACK != 0,
            master: fields.u32(kind::MASTER)?,
        }))
    }
}

impl LinkEvent {
    /// Reads an event; `None`: the message is about something else.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn decode(message: &Message<'_>) -> Result<Option<Self>, Malformed> {
        let link = Link::decode(message)?;
        Ok(link.map(|link| if message.kind == DELETE_LINK { Self::Deleted(link) } else { Self::New(link) }))
    }
}

/// All interfaces. The socket is one of [`super::Protocol::Route`].
///
/// # Errors
/// The kernel did not answer.
pub fn list(socket: &mut Socket) -> Result<Vec<Link>, Error> {
    socket.dump(&Request::new(GET_LINK, &[0; FIXED_BYTES]), |message| Link::decode(&message))
}

/// The interface of this name; `None`: there is none.
///
/// # Errors
/// The kernel did not answer.
pub fn by_name(socket: &mut Socket, name: &str) -> Result<Option<Link>, Error> {
    let mut request = Request::new(GET_LINK, &[0; FIXED_BYTES]);
    request.body.text(kind::NAME, name);
    match socket.ask(request, |message| Link::decode(&message)) {
        Err(error) if error.is_absent() => Ok(None),
        other => other,
    }
}

/// Switches an interface on or off.
///
/// # Errors
/// The kernel's refusal: `CAP_NET_ADMIN` is needed.
pub fn set_up(socket: &mut Socket, index: u32, up: bool) -> Result<(), Error> {
    let mut fixed = [0; FIXED_BYTES];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    fixed[8..12].copy_from_slice(&(if up { UP } else { 0 }).to_ne_bytes());
    fixed[12..16].copy_from_slice(&UP.to_ne_bytes());
    socket.acknowledged(Request::new(NEW_LINK, &fixed))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::netlink::testing::{Namespace, run};
    use crate::netlink::{Group, Protocol};

    #[test]
    fn interfaces_are_listed_switched_and_told() {
        Namespace::enter(|| {
            let mut socket = Socket::open(Protocol::Route).unwrap();
            let mut events = Socket::open(Protocol::Route).unwrap();
            events.subscribe(Group::Links).unwrap();
            run("ip link add cable address 02:00:00:00:00:07 mtu 1400 type veth peer name plug");
            let cable = by_name(&mut socket, "cable").unwrap().unwrap();
            assert_eq!((cable.card, cable.mtu, cable.up), (Some(Mac([2, 0, 0, 0, 0, 7])), 1400, false));
            assert_eq!(cable.kind.as_deref(), Some("veth"));
            set_up(&mut socket, cable.index, true).unwrap();
            let list = list(&mut socket).unwrap();
            assert!(list.iter().any(|link| link.name == "cable" && link.up));
            assert!(list.iter().any(|link| link.loopback && link.up));
            assert_eq!(by_name(&mut socket, "no-such-link").unwrap(), None);
            run("ip link del cable");
            let mut told = Vec::new();
            while !told.iter().any(|event| matches!(event, LinkEvent::Deleted(link) if link.name == "cable"))
            {
                assert!(events.receive(|message| told.extend(LinkEvent::decode(&message).unwrap())).unwrap());
            }
            assert!(told.iter().any(|event| matches!(event, LinkEvent::New(link) if link.name == "cable")));
        });
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let message = Message { kind: NEW_LINK, flags: 0, sequence: 1, port: 0, body: &body };
            let _ = LinkEvent::decode(&message);
        }
    }
}
