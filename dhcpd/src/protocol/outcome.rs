//! What the machine wants done, what it refuses to do included.

use std::net::{Ipv4Addr, SocketAddrV4};

use faros_common::events::Event;

use super::leases::Lease;
use super::message::{Hardware, Malformed};

/// How a packet came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Who sent it, as IP says.
    pub source: SocketAddrV4,
    /// Where it was sent to: one of our addresses or a broadcast.
    pub destination: Ipv4Addr,
    /// Whether it came in on the LAN interface.
    pub on_lan: bool,
}

/// Where a reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To a relay, by UDP.
    Relay(SocketAddrV4),
    /// To a client that has the address, by UDP.
    Client(Ipv4Addr),
    /// To a card that does not have the address yet: a frame made by hand, because nobody answers ARP for
    /// the address.
    Card(Hardware, Ipv4Addr),
    /// To everybody on the LAN.
    Broadcast,
}

/// A reply on its way.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The UDP payload.
    pub bytes: Vec<u8>,
    /// Where to.
    pub to: Destination,
    /// What has happened once it is sent.
    pub events: Vec<Event>,
}

/// What a reply promises that must survive a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// A new dynamic lease: without the record on disk the reply must not go out.
    New,
    /// A renewal or a reservation: goes out even if the disk has failed, because the client would lose an
    /// address that nobody else can get.
    Standing,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Send at once.
    Send(Outgoing),
    /// Write the lease down, then send.
    Commit {
        /// What to write.
        lease: Box<Lease>,
        /// Whether the reply may go out without the record.
        promise: Promise,
        /// The reply.
        then: Outgoing,
    },
    /// Write the lease down; nothing waits for it.
    Note(Box<Lease>),
    /// Answer nothing.
    Drop(Dropped),
    /// Tell whoever follows.
    Emit(Event),
    /// Ask the LAN who has this address (ARP).
    Probe(Ipv4Addr),
}

/// A packet that gets no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Why.
    pub reason: DropReason,
    /// Whose it was, as far as that can be told.
    pub hardware: Option<Hardware>,
}

/// Why a packet gets no answer. The names are label values of `dropped_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "said by `explanation`")]
pub enum DropReason {
    TooShort,
    NoCookie,
    NotARequest,
    BadHardwareAddress,
    BadFraming,
    BadOption,
    NoMessageType,
    UnexpectedMessage,
    Ignored,
    ForeignInterface,
    TooManyHops,
    RelayIsUs,
    UnknownSubnet,
    OtherServer,
    NoAddressNamed,
    NoBinding,
    PoolExhausted,
    StorageFailed,
    DeclineMismatch,
    ReleaseMismatch,
    InformOutside,
    Declined,
    Released,
}

impl DropReason {
    /// The label value.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooShort => "too_short",
            Self::NoCookie => "no_cookie",
            Self::NotARequest => "not_a_request",
            Self::BadHardwareAddress => "bad_hardware_address",
            Self::BadFraming => "bad_framing",
            Self::BadOption => "bad_option",
            Self::NoMessageType => "no_message_type",
            Self::UnexpectedMessage => "unexpected_message",
            Self::Ignored => "ignored",
            Self::ForeignInterface => "foreign_interface",
            Self::TooManyHops => "too_many_hops",
            Self::RelayIsUs => "relay_is_us",
            Self::UnknownSubnet => "unknown_subnet",
            Self::OtherServer => "other_server",
            Self::NoAddressNamed => "no_address_named",
            Self::NoBinding => "no_binding",
            Self::PoolExhausted => "pool_exhausted",
            Self::StorageFailed => "storage_failed",
            Self::DeclineMismatch => "decline_mismatch",
            Self::ReleaseMismatch => "release_mismatch",
            Self::InformOutside => "inform_outside",
            Self::Declined => "declined",
            Self::Released => "released",
        }
    }

    /// What it means and what to do about it.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::TooShort => "shorter than a DHCP message",
            Self::NoCookie => "no DHCP magic cookie: plain BOOTP is not served",
            Self::NotARequest => "a server's message sent to the server port",
            Self::BadHardwareAddress => "a hardware address that no machine has",
            Self::BadFraming => "an option leads past the end, or there is too much of one",
            Self::BadOption => "an address option is not four bytes long",
            Self::NoMessageType => "no message type (option 53), or not one byte",
            Self::UnexpectedMessage => "a message type that clients of this server do not send",
            Self::Ignored => "listed in dhcp.ignore",
            Self::ForeignInterface => "did not come from the LAN",
            Self::TooManyHops => "passed more than 16 relays",
            Self::RelayIsUs => "relayed by this host itself: stop the relay here",
            Self::UnknownSubnet => "relayed from a subnet that the site does not have",
            Self::OtherServer => "meant for another DHCP server",
            Self::NoAddressNamed => "names no address where the message needs one",
            Self::NoBinding => {
                "asks for an address that this server knows nothing about (dhcp.authoritative is off)"
            }
            Self::PoolExhausted => "no address is left: enlarge lan.pool or add a reservation",
            Self::StorageFailed => {
                "leases cannot be written to disk, so no new address is promised: see status"
            }
            Self::DeclineMismatch => "declines an address that it was not given",
            Self::ReleaseMismatch => "releases an address that it does not hold",
            Self::InformOutside => "asks for options from an address outside the LAN, or from none",
            Self::Declined => "declined an address; no answer is due",
            Self::Released => "released its address; no answer is due",
        }
    }

    /// Whether this is the normal end of an exchange and nobody needs to hear of it.
    pub fn is_due(self) -> bool {
        matches!(self, Self::Declined | Self::Released)
    }
}

impl From<Malformed> for DropReason {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::TooShort => Self::TooShort,
            Malformed::NoCookie => Self::NoCookie,
            Malformed::NotARequest => Self::NotARequest,
            Malformed::Hardware => Self::BadHardwareAddress,
            Malformed::Framing(_) => Self::BadFraming,
        }
    }
}
