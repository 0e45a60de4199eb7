//! What a transfer says is to be done.

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the OACK.
    Offer,
    /// Send these blocks.
    Send(Blocks),
    /// Nothing is to be sent, for this reason.
    Drop(DropReason),
    /// The transfer is over.
    Finish(Outcome),
}

/// Consecutive blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    /// The first block, counted from 1.
    pub first: u64,
    /// How many.
    pub count: u16,
}

/// Why nothing is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The ACK names a block that is not in flight: an old one, or one never sent.
    AckOutOfRange,
    /// The ACK repeats the last one, and answering would only double the traffic.
    AckRepeated,
    /// A repeated request, whose answer is already under way.
    RequestRepeated,
    /// It is not yet time.
    Early,
}

impl DropReason {
    /// The name by which it is counted.
    pub fn reason(self) -> &'static str {
        match self {
            Self::AckOutOfRange => "ack_out_of_range",
            Self::AckRepeated => "ack_repeated",
            Self::RequestRepeated => "request_repeated",
            Self::Early => "early",
        }
    }
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The client has the whole file.
    Sent,
    /// The client has every block but the last for certain, and stopped talking: many loaders start what
    /// they fetched without waiting whether their last ACK arrived.
    SentUnconfirmed,
    /// The client is silent.
    Silent,
    /// The client talks but does not get on.
    Stalled,
    /// The client gave up with this code.
    Aborted(u16),
    /// The client's port is closed.
    Unreachable,
}
