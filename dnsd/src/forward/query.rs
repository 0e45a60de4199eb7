//! A query as it goes upstream, and what makes a datagram the reply to it (RFC 5452 section 9.1).

use crate::protocol::code::{class, kind, opcode, option, rcode};
use crate::protocol::edns::UDP_SIZE_MAX;

use super::question::OwnedQuestion;
use super::random;
use super::record::{Reply, Unreadable, question_end};

/// Encrypted queries are a multiple of this long (RFC 8467 section 4.1).
pub const PADDING_BLOCK: usize = 128;

/// What of EDNS a query carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extension {
    /// No OPT record: the upstream does not know EDNS.
    None,
    /// An OPT record without options.
    Plain,
    /// An OPT record padded so that the length of an encrypted query tells little (RFC 8467 section 4.1).
    Padding,
    /// An OPT record with our cookie and, where one was learned, the server's (RFC 7873 section 5.1).
    Cookie {
        /// Ours, eight octets.
        client: [u8; 8],
        /// The server's, 8 to 32 octets; empty until it is learned.
        server: Vec<u8>,
    },
}

/// The properties of a query that differ from upstream to upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The OPT record.
    pub extension: Extension,
    /// Whether the case of letters is random ("0x20").
    pub mixed_case: bool,
}

/// A query that was, or is about to be, sent.
#[derive(Clone, Debug)]
pub struct Query {
    wire: Vec<u8>,
    /// The question section as it was asked for, before letters changed their case.
    plain: Box<[u8]>,
    form: Form,
}

/// What a message that came is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// The reply; its question is spelled as before the case was mixed.
    Reply(Box<Reply>, Vec<u8>),
    /// The reply, cut short: TCP has the rest (RFC 2181 section 9).
    Truncated,
    /// The server could not read the query and sent back no question, as servers without EDNS may.
    FormatError,
    /// Not the reply. It is counted and the true one awaited.
    Mismatch(Mismatch),
    /// Everything matches, but what follows cannot be read.
    Unreadable(Unreadable),
}

/// Why a message is not the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mismatch {
    /// From another address or port.
    Source,
    /// Shorter than a header, not a response, or of another opcode.
    Header,
    /// Another id.
    Id,
    /// Another question.
    Question,
    /// The question, in other letter case.
    Case,
    /// The client cookie is not ours (RFC 7873 section 5.3).
    Cookie,
}

impl Mismatch {
    /// The label in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Header => "header",
            Self::Id => "id",
            Self::Question => "question",
            Self::Case => "case",
            Self::Cookie => "cookie",
        }
    }
}

impl Query {
    /// A query for `question` with a fresh id.
    pub fn new(question: &OwnedQuestion, form: Form) -> Self {
        let mut wire = Vec::with_capacity(12 + 255 + 4 + 11 + 44);
        wire.extend_from_slice(&random::id().to_be_bytes());
        // RD; CD where the client wants to see what does not validate.
        wire.extend_from_slice(&[0x01, u8::from(question.checking_disabled) << 4]);
        wire.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, u8::from(form.extension != Extension::None)]);
        wire.extend_from_slice(question.name.lower().as_wire());
        let name_end = wire.len();
        wire.extend_from_slice(&question.kind.to_be_bytes());
        wire.extend_from_slice(&class::IN.to_be_bytes());
        let plain = wire[12..].into();
        if form.mixed_case {
            random::mix_case(&mut wire[12..name_end]);
        }
        if form.extension == Extension::None {
            return Self { wire, plain, form };
        }
        wire.push(0);
        wire.extend_from_slice(&kind::OPT.to_be_bytes());
        wire.extend_from_slice(&(UDP_SIZE_MAX as u16).to_be_bytes());
        wire.extend_from_slice(&[0, 0, u8::from(question.dnssec_ok) << 7, 0]);
        let (code, value) = match &form.extension {
            Extension::None | Extension::Plain => (0, Vec::new()),
            Extension::Cookie { client, server } => (option::COOKIE, [&client[..], server].concat()),
            Extension::Padding => {
                // Behind the length of the data, and code and length of the option.
                let unpadded = wire.len() + 2 + 4;
                (option::PADDING, vec![0; unpadded.next_multiple_of(PADDING_BLOCK) - unpadded])
            }
        };
        if code == 0 {
            wire.extend_from_slice(&[0, 0]);
        } else {
            let length = value.len() as u16;
            wire.extend_from_slice(&(length + 4).to_be_bytes());
            wire.extend_from_slice(&code.to_be_bytes());
            wire.extend_from_slice(&length.to_be_bytes());
            wire.extend_from_slice(&value);
        }
        Self { wire, plain, form }
    }

    /// The octets to send.
    pub fn wire(&self) -> &[u8] {
        &self.wire
    }

    /// The id.
    pub fn id(&self) -> u16 {
        u16::from_be_bytes([self.wire[0], self.wire[1]])
    }

    /// Gives it another id: the first is in use on the same connection.
    pub fn set_id(&mut self, id: u16) {
        self.wire[..2].copy_from_slice(&id.to_be_bytes());
    }

    /// Whether it carries an OPT record.
    pub fn has_edns(&self) -> bool {
        self.form.extension != Extension::None
    }

    /// What `message`, which came from the address that was asked, is to this query.
    pub fn matches(&self, mut message: Vec<u8>) -> Match {
        if message.len() < 12 || message[2] & 0x80 == 0 || message[2] >> 3 & 0x0f != opcode::QUERY {
            return Match::Mismatch(Mismatch::Header);
        }
        if message[..2] != self.wire[..2] {
            return Match::Mismatch(Mismatch::Id);
        }
        let code = u16::from(message[3] & 0x0f);
        if message[4..6] == [0, 0] && matches!(code, rcode::FORMERR | rcode::NOTIMP) {
            return Match::FormatError;
        }
        let end = 12 + self.plain.len();
        let asked = &self.wire[12..end];
        if message[4..6] != [0, 1] || question_end(&message) != Some(end) {
            return Match::Mismatch(Mismatch::Question);
        }
        let told = &message[12..end];
        if told != asked {
            let (name, fixed) = told.split_at(told.len() - 4);
            let same = name.eq_ignore_ascii_case(&asked[..name.len()]) && *fixed == asked[name.len()..];
            return Match::Mismatch(if same { Mismatch::Case } else { Mismatch::Question });
        }
        if message[2] & 0x02 != 0 {
            return Match::Truncated;
        }
        // Names of the reply that point into the question get their letters back with it.
        message[12..end].copy_from_slice(&self.plain);
        match Reply::read(&message) {
            Err(error) => Match::Unreadable(error),
            Ok(reply) if !self.owns_cookie(&reply) => Match::Mismatch(Mismatch::Cookie),
            Ok(reply) => Match::Reply(Box::new(reply), message),
        }
    }

    /// Whether the cookie of `reply`, if there is one, begins with ours.
    fn owns_cookie(&self, reply: &Reply) -> bool {
        let Extension::Cookie { client, .. } = &self.form.extension else { return true };
        match reply.opt.as_ref().and_then(|opt| opt.cookie.as_ref()) {
            None => true,
            Some(cookie) => cookie.starts_with(client) && (8..=40).contains(&cookie.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::name::Name;

    fn question() -> OwnedQuestion {
        OwnedQuestion::new(Name::parse("www.example.com.").unwrap(), kind::A)
    }

    fn cookie() -> Extension {
        Extension::Cookie { client: [7; 8], server: Vec::new() }
    }

    fn reply_to(query: &Query) -> Vec<u8> {
        let mut reply = query.wire()[..12 + query.plain.len()].to_vec();
        reply[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        reply.extend_from_slice(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01");
        reply
    }

    #[test]
    fn a_query_is_laid_out_as_rfc_1035_and_6891_say() {
        let mut asked = question();
        asked.dnssec_ok = true;
        asked.checking_disabled = true;
        let query = Query::new(&asked, Form { extension: cookie(), mixed_case: false });
        let mut expected = query.wire()[..2].to_vec();
        expected.extend_from_slice(&[0x01, 0x10, 0, 1, 0, 0, 0, 0, 0, 1]);
        expected.extend_from_slice(b"\x03www\x07example\x03com\x00\x00\x01\x00\x01");
        expected.extend_from_slice(b"\x00\x00\x29\x04\xd0\x00\x00\x80\x00\x00\x0c\x00\x0a\x00\x08");
        expected.extend_from_slice(&[7; 8]);
        assert_eq!(query.wire(), expected);
    }

    #[test]
    fn padded_queries_are_all_of_a_length() {
        for name in ["a.", "www.example.com.", "a-much-longer-name-than-usual.in-a-zone.example.com."] {
            let question = OwnedQuestion::new(Name::parse(name).unwrap(), kind::A);
            let query = Query::new(&question, Form { extension: Extension::Padding, mixed_case: false });
            assert_eq!(query.wire().len(), PADDING_BLOCK, "{name}");
        }
    }

    #[test]
    fn a_true_reply_matches_and_its_names_are_respelled() {
        let query = Query::new(&question(), Form { extension: cookie(), mixed_case: true });
        let Match::Reply(reply, wire) = query.matches(reply_to(&query)) else { panic!("no match") };
        assert_eq!(reply.answers[0].owner.as_wire(), b"\x03www\x07example\x03com\x00");
        assert_eq!(&wire[12..29], b"\x03www\x07example\x03com\x00");
    }

    #[test]
    fn what_differs_in_one_way_is_no_reply() {
        let query = Query::new(&question(), Form { extension: cookie(), mixed_case: true });
        let altered = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut reply = reply_to(&query);
            change(&mut reply);
            query.matches(reply)
        };
        assert_eq!(altered(&|r| r[0] ^= 1), Match::Mismatch(Mismatch::Id));
        assert_eq!(altered(&|r| r[2] ^= 0x80), Match::Mismatch(Mismatch::Header));
        assert_eq!(altered(&|r| r.truncate(11)), Match::Mismatch(Mismatch::Header));
        assert_eq!(altered(&|r| r[13] ^= 0x20), Match::Mismatch(Mismatch::Case));
        assert_eq!(altered(&|r| r[13] = b'x'), Match::Mismatch(Mismatch::Question));
        assert_eq!(altered(&|r| r[30] = 28), Match::Mismatch(Mismatch::Question));
        assert_eq!(altered(&|r| r[5] = 0), Match::Mismatch(Mismatch::Question));
        assert_eq!(altered(&|r| r[5] = 2), Match::Mismatch(Mismatch::Question));
        assert_eq!(altered(&|r| r[2] |= 0x02), Match::Truncated);
        assert!(matches!(altered(&|r| r.truncate(40)), Match::Unreadable(_)));
        let wrong_cookie = altered(&|r| {
            r[11] = 1;
            r.extend_from_slice(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x0c\x00\x0a\x00\x08\x01\x01\x01\x01\x01\x01\x01\x01");
        });
        assert_eq!(wrong_cookie, Match::Mismatch(Mismatch::Cookie));
    }

    #[test]
    fn a_bare_format_error_is_understood() {
        let query = Query::new(&question(), Form { extension: Extension::Plain, mixed_case: true });
        let mut reply = query.wire()[..12].to_vec();
        reply[2..].copy_from_slice(&[0x81, 0x81, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(query.matches(reply), Match::FormatError);
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_panic(tail in proptest::collection::vec(any::<u8>(), 0..300), whole: bool) {
            let query = Query::new(&question(), Form { extension: cookie(), mixed_case: true });
            let mut message = if whole { Vec::new() } else { reply_to(&query) };
            message.extend_from_slice(&tail);
            let _ = query.matches(message);
        }
    }
}
