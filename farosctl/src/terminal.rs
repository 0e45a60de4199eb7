//! The three streams of a command, and whether people sit at them.

use std::io::{self, BufRead, IsTerminal, Write};

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
