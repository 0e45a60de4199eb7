//! What can be wrong with a request, and what its sender gets.

use crate::protocol::code::rcode;

/// Why a message is no request that can be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// Shorter than a header.
    Short,
    /// A reply (QR is set). Answering would make two servers talk to each other for ever.
    Response,
    /// An operation other than QUERY, NOTIFY and UPDATE.
    Opcode,
    /// No question, or more than one (RFC 9619).
    QuestionCount,
    /// The question ends early.
    QuestionTruncated,
    /// A compression pointer in the question: there is nothing before it to point to.
    QuestionPointer,
    /// A label type other than a length or a pointer.
    QuestionLabelType,
    /// The question's name is longer than 255 octets.
    QuestionNameTooLong,
    /// A type that cannot be asked for: 0, OPT, TSIG.
    QuestionKind,
    /// A type that is asked for nowhere any more (MAILA, MAILB), or that is not served here (TKEY).
    QuestionKindObsolete,
    /// A record ends beyond the message, or the counts say more records than there are.
    RecordTruncated,
    /// The owner of a record is no name: a pointer that does not point back, an unknown label type, too long.
    RecordName,
    /// More than one OPT record (RFC 6891 section 6.1.1).
    OptTwice,
    /// An OPT record whose owner is not the root (RFC 6891 section 6.1.2).
    OptOwner,
    /// An OPT record outside of the additional section.
    OptSection,
    /// An option ends beyond its record.
    OptionLength,
    /// A cookie of 0 to 7, 9 to 15 or more than 40 octets (RFC 7873 section 5.2.2).
    Cookie,
    /// A client subnet that is none (RFC 7871 section 6).
    ClientSubnet,
    /// A version of EDNS above 0 (RFC 6891 section 6.1.3).
    Version,
    /// A TSIG record that is not the last of the message (RFC 8945 section 5.1).
    TsigPlace,
    /// Octets after the last record.
    Trailing,
    /// A datagram that is longer than any request has to be, so that only its beginning was taken.
    TooLong,
}

/// What a message that cannot be served gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Nothing.
    Drop,
    /// An error reply, which [`reply::refuse`](crate::protocol::reply::refuse) writes.
    Answer {
        /// The response code.
        rcode: u16,
        /// How much of the request is repeated.
        echo: Echo,
    },
}

/// How much of a request an error reply repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Echo {
    /// Number, operation, RD and CD.
    Header,
    /// The question too.
    Question,
    /// The question, and an OPT record because the request has one.
    QuestionAndOpt,
}

impl Malformed {
    /// All of them, so that each can have its counter from the start.
    pub const ALL: [Self; 22] = [
        Self::Short,
        Self::Response,
        Self::Opcode,
        Self::QuestionCount,
        Self::QuestionTruncated,
        Self::QuestionPointer,
        Self::QuestionLabelType,
        Self::QuestionNameTooLong,
        Self::QuestionKind,
        Self::QuestionKindObsolete,
        Self::RecordTruncated,
        Self::RecordName,
        Self::OptTwice,
        Self::OptOwner,
        Self::OptSection,
        Self::OptionLength,
        Self::Cookie,
        Self::ClientSubnet,
        Self::Version,
        Self::TsigPlace,
        Self::Trailing,
        Self::TooLong,
    ];

    /// The name by which it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Response => "response",
            Self::Opcode => "opcode",
            Self::QuestionCount => "question_count",
            Self::QuestionTruncated => "question_truncated",
            Self::QuestionPointer => "question_pointer",
            Self::QuestionLabelType => "question_label_type",
            Self::QuestionNameTooLong => "question_name_too_long",
            Self::QuestionKind => "question_type",
            Self::QuestionKindObsolete => "question_type_obsolete",
            Self::RecordTruncated => "record_truncated",
            Self::RecordName => "record_name",
            Self::OptTwice => "opt_twice",
            Self::OptOwner => "opt_owner",
            Self::OptSection => "opt_section",
            Self::OptionLength => "option_length",
            Self::Cookie => "cookie_length",
            Self::ClientSubnet => "client_subnet",
            Self::Version => "edns_version",
            Self::TsigPlace => "tsig_place",
            Self::Trailing => "trailing",
            Self::TooLong => "too_long",
        }
    }

    /// What the sender gets.
    pub fn reaction(self) -> Reaction {
        let (rcode, echo) = match self {
            Self::Short | Self::Response => return Reaction::Drop,
            Self::Opcode => (rcode::NOTIMP, Echo::Header),
            Self::QuestionCount
            | Self::QuestionTruncated
            | Self::QuestionPointer
            | Self::QuestionLabelType
            | Self::QuestionNameTooLong
            | Self::TooLong => (rcode::FORMERR, Echo::Header),
            Self::QuestionKind
            | Self::RecordTruncated
            | Self::RecordName
            | Self::OptSection
            | Self::TsigPlace
            | Self::Trailing => (rcode::FORMERR, Echo::Question),
            Self::QuestionKindObsolete => (rcode::NOTIMP, Echo::QuestionAndOpt),
            Self::OptTwice | Self::OptOwner | Self::OptionLength | Self::Cookie | Self::ClientSubnet => {
                (rcode::FORMERR, Echo::QuestionAndOpt)
            }
            Self::Version => (rcode::BADVERS, Echo::QuestionAndOpt),
        };
        Reaction::Answer { rcode, echo }
    }
}
