//! The kernel plane: connections are given to servers by the kernel's packet filter, in the table `inet faros_lb`.
//!
//! ```text
//! front ends, rosters ──compile──► Ruleset ─┐
//!                                           ├─ difference ──► one transaction ──► the kernel
//!                    the kernel ──read──► Present ─┘
//! watch (a thread, 10 times a second): counters ──► Server, Front
//!                                      counters ──► Watched ──► Observer: who refuses, who is silent
//!                                      generation ──► somebody else's changes are undone
//! ```
//!
//! The rules need no daemon: connections and new connections go on while it is stopped, upgraded or killed, and the next
//! one takes over what it finds, counters included. Stopping leaves them; [`KernelPlane::withdraw`] takes them away. A front
//! end that is left out of [`KernelPlane::apply`] gets no new connections from then on, and keeps its old ones, which
//! connection tracking translates without rules; [`KernelPlane::cut`] ends them.
//!
//! What differs from the user plane, as `status` says too: shares are by weight, in turn or at random (least-connections
//! and random-two are not told apart: the kernel does not know how many connections each server has); a server that
//! refuses is seen by clients until the watch has told it, within half a second; the bound on connections of a front end is not
//! kept; connections end as idle by the kernel's own clock (`nf_conntrack_tcp_timeout_established`, five days). Clients on this host are
//! served, but for those whose source is 127.0.0.0/8 or ::1, which never leave the host (`route_localnet` is left as it is).

mod compile;
mod cut;
mod difference;
mod error;
mod forwarding;
#[cfg(test)]
mod live;
mod names;
mod passive;
mod plane;
mod probe;
mod rule;
mod ruleset;
mod slots;
mod state;
mod table;
#[cfg(test)]
mod testing;
mod trial;
mod watch;
mod wish;

pub use error::KernelError;
pub use plane::KernelPlane;
pub use state::Applied;
pub use watch::Restored;
pub use wish::{KernelFront, Surroundings};
