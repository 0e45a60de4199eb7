//! The three streams of a command, and whether people sit at them.

use std::io::{self, BufRead, IsTerminal, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

/// Where a command reads and writes. Tests hand in buffers.
pub struct Terminal {
    out: Box<dyn Write>,
    err: Box<dyn Write>,
    input: Box<dyn BufRead>,
    /// Whether standard output is a terminal.
    pub out_is_terminal: bool,
    /// Whether somebody could answer a question.
    pub in_is_terminal: bool,
}

impl Terminal {
    /// The streams of this process.
    pub fn of_process() -> Self {
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            input: Box::new(io::BufReader::new(io::stdin())),
            out_is_terminal: io::stdout().is_terminal(),
            in_is_terminal: io::stdin().is_terminal() && io::stderr().is_terminal(),
        }
    }

    /// Other streams, none of them a terminal.
    pub fn new(out: Box<dyn Write>, err: Box<dyn Write>, input: Box<dyn BufRead>) -> Self {
        Self { out, err, input, out_is_terminal: false, in_is_terminal: false }
    }

    /// Writes the answer.
    ///
    /// # Errors
    /// The stream is closed or full.
    pub fn print(&mut self, text: &str) -> io::Result<()> {
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    /// Says something beside the answer. Nobody can be told that this failed.
    pub fn note(&mut self, text: &str) {
        let _ = writeln!(self.err, "farosctl: {text}");
    }

    /// Asks for something that nobody shall see: at a terminal it is not echoed. One line, with its line end.
    ///
    /// # Errors
    /// The input cannot be read, or has more than `bytes_max` bytes.
    pub fn secret(&mut self, question: &str, bytes_max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
        if !self.in_is_terminal {
            return self.line(bytes_max);
        }
        write!(self.err, "{question}")?;
        self.err.flush()?;
        let echo = Silence::begin()?;
        let line = self.line(bytes_max);
        drop(echo);
        line
    }

    /// One line of the input, with its line end; empty at the end of the input. Wiped when it is let go.
    ///
    /// # Errors
    /// As [`Terminal::secret`].
    pub fn line(&mut self, bytes_max: usize) -> io::Result<Zeroizing<Vec<u8>>> {
        // Allocated once: a buffer that grows would leave copies behind.
        let mut line = Zeroizing::new(Vec::with_capacity(bytes_max + 2));
        io::Read::take(&mut self.input, bytes_max as u64 + 2).read_until(b'\n', &mut line)?;
        Ok(line)
    }

    /// Asks a question that is answered by typing `yes`. End of input is a no.
    ///
    /// # Errors
    /// The input cannot be read.
    pub fn confirm(&mut self, question: &str) -> io::Result<bool> {
        write!(self.err, "{question} Type yes to go on: ")?;
        self.err.flush()?;
        let mut line = String::new();
        self.input.read_line(&mut line)?;
        Ok(line.trim().eq_ignore_ascii_case("yes"))
    }
}

/// While it lives, what is typed is not shown.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Self(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}
