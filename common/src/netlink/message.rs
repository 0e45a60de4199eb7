//! Messages: what goes over a netlink socket (RFC 3549 section 2.3.2).

use super::Error;
use super::attribute::{Attributes, Builder, Malformed};

/// Length, type, flags, sequence, port.
pub(super) const HEADER_BYTES: usize = 16;
const ALIGNMENT: usize = 4;

/// Types of the protocol itself (`NLMSG_…`).
pub(super) mod kind {
    pub(crate) const ERROR: u16 = 2;
    pub(crate) const DONE: u16 = 3;
    pub(crate) const OVERRUN: u16 = 4;
}

/// Flags (`NLM_F_…`).
pub(super) mod flag {
    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const ACK: u16 = 0x4;
    pub(crate) const DUMP_INTERRUPTED: u16 = 0x10;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const REPLACE: u16 = 0x100;
    pub(crate) const EXCLUSIVE: u16 = 0x200;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
    /// In errors: the request is not repeated, only its header.
    pub(crate) const CAPPED: u16 = 0x100;
    /// In errors: attributes follow.
    pub(crate) const EXTENDED: u16 = 0x200;
}

/// A message to the kernel.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its type.
    pub kind: u16,
    /// Flags beyond those that the way of asking adds (`NLM_F_…`).
    pub flags: u16,
    /// Fixed part and attributes.
    pub body: Builder,
}

impl Request {
    /// A message of this type with this fixed part and no attributes yet.
    pub fn new(kind: u16, fixed: &[u8]) -> Self {
        let mut body = Builder::new();
        body.raw(fixed);
        Self { kind, flags: 0, body }
    }

    /// A message to a subsystem of netfilter (`struct nfgenmsg`).
    pub fn netfilter(subsystem: u16, message: u8, family: u8) -> Self {
        Self::new(subsystem << 8 | u16::from(message), &[family, 0, 0, 0])
    }

    /// Its octets.
    pub(super) fn build(self, flags: u16, sequence: u32) -> Result<Vec<u8>, Error> {
        let body = self.body.build().ok_or(Error::TooLong)?;
        let length = u32::try_from(HEADER_BYTES + body.len()).map_err(|_| Error::TooLong)?;
        let mut bytes = Vec::with_capacity(length as usize);
        bytes.extend_from_slice(&length.to_ne_bytes());
        bytes.extend_from_slice(&self.kind.to_ne_bytes());
        bytes.extend_from_slice(&(self.flags | flags | flag::REQUEST).to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&body);
        Ok(bytes)
    }
}

/// A message from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Its type.
    pub kind: u16,
    /// `NLM_F_…`.
    pub flags: u16,
    /// The number of the request that it answers; 0 in most events.
    pub sequence: u32,
    /// The port that the request came from.
    pub port: u32,
    /// Fixed part and attributes.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The fixed part of `N` octets, and the attributes behind it.
    ///
    /// # Errors
    /// It is shorter than that.
    pub fn split<const N: usize>(&self) -> Result<([u8; N], Attributes<'a>), Malformed> {
        let fixed = self.body.first_chunk::<N>().ok_or(Malformed::new("a message that is cut short"))?;
        let attributes = self.body.get(N.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Ok((*fixed, Attributes::new(attributes)))
    }

    /// A message of netfilter: its family and the attributes.
    ///
    /// # Errors
    /// It is cut short.
    pub fn netfilter(&self) -> Result<(u8, Attributes<'a>), Malformed> {
        let ([family, ..], attributes) = self.split::<4>()?;
        Ok((family, attributes))
    }
}

/// The messages of one datagram. After an error there is none.
#[derive(Clone, Copy, Debug)]
pub struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    /// The messages in these octets.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn split(&mut self) -> Option<Message<'a>> {
        let header = self.0.first_chunk::<HEADER_BYTES>()?;
        let word =
            |at: usize| u32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let half = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let length = usize::try_from(word(0)).ok()?;
        let body = self.0.get(HEADER_BYTES..length)?;
        self.0 = self.0.get(length.next_multiple_of(ALIGNMENT)..).unwrap_or_default();
        Some(Message { kind: half(4), flags: half(6), sequence: word(8), port: word(12), body })
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let message = self.split();
        if message.is_none() {
            self.0 = &[];
        }
        Some(message.ok_or(Malformed::new("a message that is cut short")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_is_read_as_it_was_written() {
        let mut request = Request::netfilter(10, 3, 1);
        request.body.u32_be(1, 5);
        let bytes = request.build(flag::ACK, 77).unwrap();
        let message = Messages::new(&bytes).next().unwrap().unwrap();
        assert_eq!((message.kind, message.flags, message.sequence), (0x0a03, flag::ACK | flag::REQUEST, 77));
        let (family, mut attributes) = message.netfilter().unwrap();
        assert_eq!((family, attributes.next().unwrap().unwrap().u32_be()), (1, Ok(5)));
    }

    #[test]
    fn a_message_longer_than_its_datagram_is_an_error_and_the_last() {
        let mut bytes = Request::new(1, &[]).build(0, 1).unwrap();
        bytes[0] = 17;
        let mut messages = Messages::new(&bytes);
        assert!(messages.next().unwrap().is_err());
        assert!(messages.next().is_none());
        bytes[0] = 15;
        assert!(Messages::new(&bytes).next().unwrap().is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            for message in Messages::new(&bytes).flatten() {
                let _ = (message.split::<12>().is_ok(), message.netfilter().is_ok());
            }
            prop_assert!(Messages::new(&bytes).count() <= 14);
        }
    }
}
