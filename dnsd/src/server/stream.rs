//! One connection of DNS over a stream: TCP, and TLS once its handshake is done (RFC 7766, RFC 7858).
//!
//! Requests are taken as fast as they come and answered as soon as their answers are there, in any order (RFC 7766
//! section 6.2.1.1). One task owns the connection; questions that wait for an upstream server are tasks of their own,
//! which end by themselves when the connection has gone. Everything that a client can make us hold is bounded, and
//! while it is at its bound nothing more is read.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use faros_common::daemon::Control;
use faros_common::tasks;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::admission::Admission;
use super::output::Output;
use crate::engine::{self, Client, Decision, Engine, Session};
use crate::update::transfer::Transfer;

/// How long a connection may be idle.
pub const IDLE: Duration = Duration::from_secs(10);
/// How long while there are many.
pub const IDLE_UNDER_PRESSURE: Duration = Duration::from_secs(2);
/// How long a message may take from its first octet to its last.
pub const MESSAGE_TIME: Duration = Duration::from_secs(5);
/// How long the client may take to read [`OUTPUT_PAUSE`] octets.
pub const WRITE_TIME: Duration = Duration::from_secs(10);
/// Questions of one connection that wait for an upstream server at a time. At the bound nothing more is read.
pub const WAITING_MAX: usize = 256;
/// Zone transfers of one connection at a time. One more is refused.
pub const TRANSFERS_MAX: usize = 4;
/// With so many octets of replies unread nothing more is read.
pub const OUTPUT_PAUSE: usize = 64 * 1024;

/// Octets taken from the client at once.
const READ_BYTES: usize = 8 * 1024;
/// The length in front of each message (RFC 1035 section 4.2.2).
const LENGTH_BYTES: usize = 2;
/// A buffer that grew beyond this is given back when it is empty.
const KEPT_BYTES: usize = 4 * 1024;

/// Why a connection ended, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The client closed it, and has all its answers.
    Closed,
    /// The client reset it.
    Broken,
    /// Nothing was asked for a while.
    Idle,
    /// A message was not complete in time.
    SlowMessage,
    /// Replies were not read in time.
    SlowReader,
    /// The client sent what is no request.
    Malformed,
    /// The server ends.
    Stopped,
}

impl End {
    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken => "broken",
            Self::Idle => "idle",
            Self::SlowMessage => "slow_message",
            Self::SlowReader => "slow_reader",
            Self::Malformed => "malformed",
            Self::Stopped => "stopped",
        }
    }
}

/// Serves `client` on `stream` until either side has enough.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    client: Client,
    engine: &Arc<Engine>,
    admission: &Admission,
    control: &Control,
) -> End {
    let (sender, answers) = mpsc::channel(WAITING_MAX);
    let now = Instant::now();
    let mut connection = Connection {
        stream,
        client,
        engine,
        admission,
        sender,
        answers,
        waiting: 0,
        transfers: VecDeque::new(),
        input: Vec::new(),
        output: Output::new(now),
        ended: false,
        message_since: now,
        quiet_since: now,
    };
    let end = connection.run(control).await;
    // Says goodbye where the client still listens (TLS close_notify); the connection is over either way.
    let _ = tokio::time::timeout(Duration::from_millis(500), connection.stream.shutdown()).await;
    engine.counters().connection_ended(end.name());
    end
}

struct Connection<'s, S> {
    stream: S,
    client: Client,
    engine: &'s Arc<Engine>,
    admission: &'s Admission,
    sender: mpsc::Sender<Option<Vec<u8>>>,
    answers: mpsc::Receiver<Option<Vec<u8>>>,
    /// How many of the answers are still to come.
    waiting: usize,
    transfers: VecDeque<Transfer>,
    /// What came and is no whole message yet.
    input: Vec<u8>,
    output: Output,
    /// The client will send nothing more.
    ended: bool,
    /// When the message that is being received began.
    message_since: Instant,
    /// When something was last asked or answered.
    quiet_since: Instant,
}

/// What happened on a connection.
enum Happened {
    Read(io::Result<usize>),
    Wrote(io::Result<()>),
    Answered(Option<Vec<u8>>),
    TimedOut,
    Stopping,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    async fn run(&mut self, control: &Control) -> End {
        let mut stops = false;
        loop {
            if let Err(end) = self.take_messages() {
                return end;
            }
            self.continue_transfers();
            let owes = self.output.len() > 0 || self.waiting > 0 || !self.transfers.is_empty();
            if !owes && (self.ended || stops) {
                return if stops { End::Stopped } else { End::Closed };
            }
            match self.happening(control, stops).await {
                Happened::Read(Ok(0)) => self.ended = true,
                Happened::Read(Ok(count)) => {
                    // These octets began a message, unless a part of it was there before.
                    if self.input.len() == count {
                        self.message_since = Instant::now();
                    }
                }
                Happened::Wrote(Ok(())) => {}
                Happened::Read(Err(_)) | Happened::Wrote(Err(_)) => return End::Broken,
                Happened::Answered(answer) => {
                    self.waiting -= 1;
                    if let Some(answer) = answer {
                        self.write_message(&answer);
                    }
                }
                Happened::Stopping => stops = true,
                Happened::TimedOut => {
                    if let Some(end) = self.expired(Instant::now()) {
                        return end;
                    }
                }
            }
        }
    }

    /// Waits for the next thing that can happen in the present state.
    async fn happening(&mut self, control: &Control, stops: bool) -> Happened {
        let deadline = self.deadline();
        let may_read = !self.ended && !stops && self.has_room();
        let waits = self.waiting > 0;
        let Self { stream, answers, input, output, .. } = self;
        let stream_ready = poll_fn(|context| {
            if let Poll::Ready(result) = output.poll(Pin::new(&mut *stream), context) {
                return Poll::Ready(Happened::Wrote(result));
            }
            if may_read {
                return poll_read(Pin::new(&mut *stream), context, input).map(Happened::Read);
            }
            Poll::Pending
        });
        tokio::select! {
            biased;
            answer = answers.recv(), if waits => Happened::Answered(answer.flatten()),
            happened = stream_ready => happened,
            () = control.stopping(), if !stops => Happened::Stopping,
            () = tokio::time::sleep_until(deadline) => Happened::TimedOut,
        }
    }

    fn has_room(&self) -> bool {
        self.output.len() < OUTPUT_PAUSE && self.waiting < WAITING_MAX && self.transfers.is_empty()
    }

    fn idle(&self) -> Duration {
        if self.admission.is_under_pressure() { IDLE_UNDER_PRESSURE } else { IDLE }
    }

    /// When to look whether something took too long.
    fn deadline(&self) -> Instant {
        let now = Instant::now();
        let mut deadline = if self.output.len() > 0 {
            self.output.since + WRITE_TIME
        } else if self.waiting > 0 {
            // Answers have a limit of their own.
            now + IDLE
        } else {
            // Pressure may rise before the time is over.
            (self.quiet_since + self.idle()).min(now + IDLE_UNDER_PRESSURE)
        };
        if self.is_receiving() {
            deadline = deadline.min(self.message_since + MESSAGE_TIME);
        }
        deadline
    }

    /// What took too long at `now`.
    fn expired(&self, now: Instant) -> Option<End> {
        if self.output.len() > 0 && now >= self.output.since + WRITE_TIME {
            return Some(End::SlowReader);
        }
        if self.is_receiving() && now >= self.message_since + MESSAGE_TIME {
            return Some(End::SlowMessage);
        }
        let quiet = self.output.len() == 0 && self.waiting == 0;
        (quiet && now >= self.quiet_since + self.idle()).then_some(End::Idle)
    }

    /// Whether a part of a message is there, and the rest is up to the client.
    fn is_receiving(&self) -> bool {
        !self.input.is_empty() && self.has_room()
    }

    /// Takes the whole messages that have come, as far as there is room for their answers.
    fn take_messages(&mut self) -> Result<(), End> {
        let input = std::mem::take(&mut self.input);
        let mut rest = input.as_slice();
        while self.has_room()
            && let Some((length, message)) = rest.split_first_chunk::<LENGTH_BYTES>()
            && let Some((request, behind)) =
                message.split_at_checked(usize::from(u16::from_be_bytes(*length)))
        {
            self.take(request)?;
            rest = behind;
        }
        let taken = input.len() - rest.len();
        self.input = input;
        if taken > 0 {
            let now = Instant::now();
            (self.quiet_since, self.message_since) = (now, now);
            self.input.drain(..taken);
            if self.input.is_empty() && self.input.capacity() > KEPT_BYTES {
                self.input = Vec::new();
            }
        }
        Ok(())
    }

    /// Decides about one request.
    fn take(&mut self, request: &[u8]) -> Result<(), End> {
        let (engine, client) = (self.engine, self.client);
        let decided = tasks::contain("query", || {
            engine.with_scratch(|out| {
                let decision = engine.view().decide(request, &client, engine.shared_ledger(), out);
                if let Decision::Reply(len) = decision {
                    self.output.push(&out[..len]);
                }
                decision
            })
        });
        match decided {
            // A defect of ours costs the client this answer.
            None | Some(Decision::Reply(_)) => Ok(()),
            // Who sends this over a stream does not speak the protocol.
            Some(Decision::Drop(reason)) => {
                engine.counters().dropped(reason.name());
                Err(End::Malformed)
            }
            Some(Decision::Session(Session::Transfer)) if self.transfers.len() < TRANSFERS_MAX => {
                match engine.transfer(request, &client) {
                    Ok(transfer) => self.transfers.push_back(transfer),
                    Err(refusal) => self.write_message(&refusal),
                }
                Ok(())
            }
            Some(Decision::Ask | Decision::Session(_)) => {
                self.ask(request);
                Ok(())
            }
        }
    }

    /// Has a request answered by somebody else.
    fn ask(&mut self, request: &[u8]) {
        let (engine, client) = (Arc::clone(self.engine), self.client);
        let Some(pass) = engine.enter(&client) else {
            engine.with_scratch(|out| {
                let view = engine.view();
                let decision = view.decide_overloaded(request, &client, engine.shared_ledger(), out);
                if let Decision::Reply(len) = decision {
                    self.output.push(&out[..len]);
                }
            });
            return;
        };
        self.waiting += 1;
        let (request, sender) = (request.to_vec(), self.sender.clone());
        tasks::spawn("answer over a stream", async move {
            let answer = tasks::contain_async("answer", engine.answer_later(&request, &client, pass)).await;
            let _ = sender.send(answer.flatten()).await;
        });
    }

    /// Fetches messages of transfers as the client reads them.
    fn continue_transfers(&mut self) {
        while self.output.len() < OUTPUT_PAUSE
            && let Some(transfer) = self.transfers.front_mut()
        {
            match tasks::contain("zone transfer", || transfer.next_message(engine::now().wall_secs)).flatten()
            {
                Some(message) => self.write_message(&message),
                None => drop(self.transfers.pop_front()),
            }
            self.quiet_since = Instant::now();
        }
    }

    fn write_message(&mut self, message: &[u8]) {
        self.output.push(message);
        self.quiet_since = Instant::now();
    }
}

/// Appends what has come. The buffer lives on the stack, so that an idle connection has none.
fn poll_read<S: AsyncRead>(
    stream: Pin<&mut S>,
    context: &mut Context<'_>,
    input: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    let mut space = [MaybeUninit::<u8>::uninit(); READ_BYTES];
    let mut buffer = ReadBuf::uninit(&mut space);
    ready!(stream.poll_read(context, &mut buffer))?;
    input.extend_from_slice(buffer.filled());
    Poll::Ready(Ok(buffer.filled().len()))
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
