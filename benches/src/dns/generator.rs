//! The load of one client that costs little: several sockets, each with several questions under way, sent and received in
//! batches by one thread that never sleeps. Sleeping would make whoever answers pay for waking it.

use std::fmt;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::platform::Batch;
use crate::progress::now;

/// Sockets, each with a port of its own.
pub const SOCKETS: usize = 16;
/// Questions under way per socket.
pub const WINDOW: usize = 16;
/// A question without an answer for so long is lost, and the next one takes its place.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often lost questions are looked for.
const REVIEW: Duration = Duration::from_millis(50);
/// The low bits of an id say which place of the window a question has.
const PLACE_BITS: u32 = 4;
const PLACES: u16 = (1 << PLACE_BITS) - 1;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Questions sent.
    pub sent: u64,
    /// Answers that say something: records, or that there are none.
    pub answered: u64,
    /// Answers that are failures or refusals.
    pub failed: u64,
    /// Questions that nobody answered.
    pub lost: u64,
    /// From the first question to the last answer, in seconds.
    pub seconds: f64,
}

impl Load {
    /// Answers that say something, per second.
    pub fn rate(&self) -> f64 {
        self.answered as f64 / self.seconds
    }
}

impl fmt::Display for Load {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, answered, failed, lost, seconds } = self;
        write!(out, "load: {sent} sent, {answered} answered, {failed} failed, {lost} lost, {seconds} s")
    }
}

impl FromStr for Load {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let line = text.lines().find_map(|line| line.strip_prefix("load: ")).ok_or(())?;
        let mut numbers = line.split(", ").map(|part| part.split(' ').next().unwrap_or_default());
        let mut count = || numbers.next().and_then(|text| text.parse().ok()).ok_or(());
        let (sent, answered, failed, lost) = (count()?, count()?, count()?, count()?);
        let seconds = numbers.next().and_then(|text| text.parse().ok()).ok_or(())?;
        Ok(Self { sent, answered, failed, lost, seconds })
    }
}

/// Asks `server` these questions (messages with any id) in turn, as fast as it answers, for `period`.
pub fn run(server: SocketAddr, questions: &[Vec<u8>], period: Duration) -> io::Result<Load> {
    let mut lanes =
        (0..SOCKETS).map(|index| Lane::open(server, questions, index)).collect::<Result<Vec<_>, _>>()?;
    let mut load = Load::default();
    let mut batch = Batch::default();
    let start = now();
    let mut review = start;
    for lane in &mut lanes {
        (0..WINDOW).for_each(|place| lane.ask(place, start, &mut batch));
        load.sent += batch.send(&lane.socket) as u64;
    }
    loop {
        let time = now();
        for lane in &mut lanes {
            lane.turn(time, &mut batch, &mut load)?;
        }
        if time - start >= period {
            load.seconds = (time - start).as_secs_f64();
            return Ok(load);
        }
        if time - review >= REVIEW {
            review = time;
            for lane in &mut lanes {
                lane.review(time, &mut batch, &mut load);
            }
        }
    }
}

/// A socket with its window.
struct Lane<'a> {
    socket: UdpSocket,
    questions: &'a [Vec<u8>],
    /// The question that is next.
    next: usize,
    /// Counts questions, so that an answer that comes too late is not taken for that of the next one.
    turn: u16,
    /// The id of each question under way, and since when it is.
    window: [(u16, Instant); WINDOW],
}

impl<'a> Lane<'a> {
    fn open(server: SocketAddr, questions: &'a [Vec<u8>], index: usize) -> io::Result<Self> {
        let any = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any)?;
        socket.connect(server)?;
        // Sockets begin in different places, so that all questions are under way at any time.
        let next = index * questions.len() / SOCKETS;
        Ok(Self { socket, questions, next, turn: 0, window: [(0, now()); WINDOW] })
    }

    /// Takes what has come, and asks the next questions in its place.
    fn turn(&mut self, time: Instant, batch: &mut Batch, load: &mut Load) -> io::Result<()> {
        let count = match batch.receive(&self.socket, false) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        for index in 0..count {
            let Some((id, rcode)) = reply_of(batch.datagram(index)) else { continue };
            let place = usize::from(id & PLACES);
            if self.window[place].0 != id {
                continue;
            }
            match rcode {
                0 | super::zone::NXDOMAIN => load.answered += 1,
                _ => load.failed += 1,
            }
            self.ask(place, time, batch);
        }
        load.sent += batch.send(&self.socket) as u64;
        Ok(())
    }

    fn review(&mut self, time: Instant, batch: &mut Batch, load: &mut Load) {
        for place in 0..WINDOW {
            if time - self.window[place].1 > PATIENCE {
                load.lost += 1;
                self.ask(place, time, batch);
            }
        }
        load.sent += batch.send(&self.socket) as u64;
    }

    fn ask(&mut self, place: usize, time: Instant, batch: &mut Batch) {
        self.turn = self.turn.wrapping_add(1);
        let id = self.turn << PLACE_BITS | place as u16;
        self.window[place] = (id, time);
        let question = &self.questions[self.next];
        self.next = (self.next + 1) % self.questions.len();
        // There is room: each datagram of a batch makes way for one.
        batch.queue(question, id);
    }
}

/// Id and response code of an answer.
fn reply_of(message: &[u8]) -> Option<(u16, u8)> {
    let header = message.get(..super::message::HEADER)?;
    (header[2] & 0x80 != 0).then(|| (u16::from_be_bytes([header[0], header[1]]), header[3] & 0x0f))
}

#[cfg(test)]
mod tests {
    use super::super::message::query;
    use super::*;

    #[test]
    fn what_is_printed_is_read_again() {
        let load = Load { sent: 10, answered: 7, failed: 1, lost: 2, seconds: 0.5 };
        assert_eq!(format!("x\n{load}\n").parse(), Ok(load));
        assert_eq!("load: 1 sent".parse::<Load>(), Err(()));
    }

    #[test]
    fn every_question_ends_up_answered_failed_or_lost() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap();
        // Longer than everything can be taken for lost at once.
        server.set_read_timeout(Some(4 * PATIENCE)).unwrap();
        let serving = std::thread::Builder::new().spawn(move || {
            let (mut batch, mut seen) = (Batch::default(), 0_u64);
            while let Ok(count) = batch.receive(&server, true) {
                for index in 0..count {
                    let len = batch.datagram(index).len();
                    seen += 1;
                    let room = batch.room_mut(index);
                    room[2] |= 0x80;
                    room[3] = u8::from(seen % 3 == 0) * 5;
                    if seen % 7 != 0 {
                        batch.queue_reply(index, len);
                    }
                }
                batch.send(&server);
            }
            seen
        });
        let questions = [query("a.example", "A", false).unwrap(), query("b.example", "A", true).unwrap()];
        let load = run(address, &questions, Duration::from_millis(600)).unwrap();
        let seen = serving.unwrap().join().unwrap();
        assert!(load.answered > 0 && load.failed > 0 && load.lost > 0, "{load}");
        let done = load.answered + load.failed + load.lost;
        assert!(load.sent >= done && load.sent - done <= (SOCKETS * WINDOW) as u64, "{load}");
        assert!(load.sent >= seen);
    }
}
