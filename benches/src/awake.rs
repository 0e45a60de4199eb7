//! Processors that do not sleep.
//!
//! A lock-step protocol waits for the other side after every packet. On a virtual machine each of these waits lets the
//! processor go to sleep, and waking it costs more than all the work of server and client together: the same transfer is
//! several times faster on a busy machine. A loop of the lowest scheduling class keeps each processor awake and takes
//! no time from anybody who has work.

use std::process::{Child, Command, Stdio};

use crate::Error;

/// One loop per processor. Dropped: ended. They also end when this process does.
#[derive(Debug)]
pub struct Awake {
    loops: Vec<Child>,
}

impl Awake {
    /// Starts the loops; needs `setpriv` and `chrt` of util-linux.
    pub fn keep() -> Result<Self, Error> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut awake = Self { loops: Vec::new() };
        for _ in 0..processors {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "chrt", "--idle", "0", "sh", "-c", "while :; do :; done"]);
            command.stdin(Stdio::null());
            awake.loops.push(command.spawn().map_err(Error::system("setpriv"))?);
        }
        Ok(awake)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for child in &mut self.loops {
            // It may have ended by itself where the scheduling class is not allowed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
