//! The two data planes as one, and the end of a serving process.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faros_common::clock;
use faros_common::daemon::{Control, RunError};
use serde_json::{Value, json};
use tracing::warn;

use crate::director::{Director, Planes};
use crate::kernel::{KernelFront, KernelPlane, Surroundings};
use crate::pool::{Cut, Front, Server};
use crate::user::UserPlane;

/// A loop of the user plane that has not turned for so long hangs.
const LOOP_SILENCE_MAX: Duration = Duration::from_secs(4);
/// Rounds of care without a round of the director until it counts as hanging.
const ROUNDS_STUCK: u32 = 20;
/// From one look at everything to the next.
const CARE: Duration = Duration::from_millis(250);
/// Who connects while one process ends and the next begins waits no longer than this and a start.
const QUEUE_WAIT: Duration = Duration::from_millis(500);
/// What connections that are cut get to send their resets.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// Both planes. What the kernel does not forward arrives at the sockets of the user plane, which serves every front end.
pub struct DataPlanes {
    /// The loops.
    pub user: UserPlane,
    /// The rules; the text says why there is none.
    pub kernel: Result<KernelPlane, String>,
}

impl DataPlanes {
    /// How they fare.
    pub fn status(&self) -> Value {
        let kernel = match &self.kernel {
            Ok(kernel) => kernel.status(),
            Err(reason) => json!({ "unusable": reason }),
        };
        json!({ "user": self.user.status(), "kernel": kernel })
    }
}

impl Planes for DataPlanes {
    fn serve(&self, front: Arc<Front>, listeners: Vec<TcpListener>) {
        self.user.serve(front, listeners);
    }

    fn withdraw(&self, name: &str) {
        self.user.withdraw(name);
    }

    fn hang_up(&self, server: &Arc<Server>, cut: Cut) {
        self.user.hang_up(server, cut);
        if let Ok(kernel) = &self.kernel {
            kernel.cut(server);
        }
    }

    fn kernel_connections(&self, server: &Server) -> Option<usize> {
        self.kernel.as_ref().ok()?.connections(server).ok()
    }

    fn release(&self) {
        if let Ok(kernel) = &self.kernel {
            kernel.release();
        }
    }

    fn relocate(&self, surroundings: &Surroundings) {
        if let Ok(kernel) = &self.kernel {
            kernel.set_surroundings(surroundings.clone());
        }
    }

    fn obstacle(&self, front: &KernelFront) -> Option<String> {
        match &self.kernel {
            Ok(kernel) => kernel.obstacle(front),
            Err(reason) => Some(reason.clone()),
        }
    }

    fn apply(&self, fronts: &[KernelFront]) -> Result<(), String> {
        match &self.kernel {
            Ok(kernel) => kernel.apply(fronts).map(|_| ()).map_err(|error| error.to_string()),
            Err(_) if fronts.is_empty() => Ok(()),
            Err(reason) => Err(reason.clone()),
        }
    }
}

/// Watches that loops and director turn, for the service manager's watchdog.
pub struct Care {
    rounds: u64,
    still: u32,
}

impl Care {
    /// Nothing seen yet.
    pub fn new() -> Self {
        Self { rounds: 0, still: 0 }
    }

    /// Looks; a beat only if everything turns.
    pub fn look(&mut self, planes: &DataPlanes, director: &Director, control: &Control) {
        let rounds = director.rounds();
        self.still = if rounds == self.rounds { self.still.saturating_add(1) } else { 0 };
        self.rounds = rounds;
        if self.still < ROUNDS_STUCK && planes.user.heartbeat() < LOOP_SILENCE_MAX {
            control.heartbeat();
        }
    }

    /// Looks again and again, for ever.
    pub async fn keep_looking(&mut self, planes: &DataPlanes, director: &Director, control: &Control) {
        loop {
            self.look(planes, director, control);
            tokio::time::sleep(CARE).await;
        }
    }
}

impl Default for Care {
    fn default() -> Self {
        Self::new()
    }
}

/// The end of a process that serves.
pub struct Farewell<'a> {
    /// The planes.
    pub planes: &'a DataPlanes,
    /// The director.
    pub director: &'a Director,
    /// The line to the surroundings.
    pub control: &'a Control,
}

impl Farewell<'_> {
    /// Accepts nothing more and waits until the connections have ended, at most as long as the site file says. Who comes
    /// now is refused, or served by a successor.
    ///
    /// # Errors
    /// Some had to be cut.
    pub async fn for_good(&self) -> Result<(), RunError> {
        let deadline = clock::now() + self.director.drain();
        self.planes.user.stop_accepting();
        self.director.close_sockets();
        self.wait_or_cut(deadline).await
    }

    /// The same where the service manager keeps the sockets: who comes now waits in their queue for the next process, so
    /// that wait must be short. Where long connections keep this one from ending, it goes on to serve everybody
    /// until the time for draining is nearly over.
    ///
    /// # Errors
    /// Some had to be cut.
    pub async fn with_queue_kept(&self) -> Result<(), RunError> {
        let deadline = clock::now() + self.director.drain();
        self.planes.user.stop_accepting();
        if self.wait((clock::now() + QUEUE_WAIT).min(deadline)).await == 0 {
            return Ok(());
        }
        self.director.accept_again();
        self.wait(deadline.checked_sub(QUEUE_WAIT).unwrap_or(deadline)).await;
        self.planes.user.stop_accepting();
        self.director.close_sockets();
        self.wait_or_cut(deadline).await
    }

    async fn wait_or_cut(&self, deadline: Instant) -> Result<(), RunError> {
        let left = self.wait(deadline).await;
        if left == 0 {
            return Ok(());
        }
        warn!(
            event = "lb_drain_cut",
            connections = left,
            "the time for draining is over: resetting what is left"
        );
        self.planes.user.close_all(Cut::Drained);
        tokio::time::sleep(LAST_WORDS).await;
        Err(RunError::DrainCut(format!("{left} connections were reset at the end of lb.drain")))
    }

    /// Waits until there are no connections, until `deadline`; how many there are then.
    async fn wait(&self, deadline: Instant) -> usize {
        let mut care = Care::new();
        loop {
            let left = self.planes.user.active();
            if left == 0 || clock::now() >= deadline {
                return left;
            }
            care.look(self.planes, self.director, self.control);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
