//! A whole far-edge site on one machine: namespaces, the real daemons, and nodes that boot from them.
//!
//! [`run`] rehearses a site: every node boots from the network, installs itself, reboots, and comes up from
//! its disk. [`Lab`] is the same for tests, step by step:
//!
//! ```no_run
//! # use std::path::Path; use std::time::Duration;
//! # fn main() -> Result<(), faros_lab::LabError> {
//! let mut lab = faros_lab::Lab::build(Path::new("lab/site.toml"))?;
//! lab.start_daemon("dhcpd")?;
//! let client = lab.add_node_namespace("client", "52:54:00:00:00:01".parse().unwrap())?;
//! client.run("dhclient", ["-1", "-v", "eth0"])?;
//! let leases = lab.admin_get("dhcpd", "/leases")?;
//! let granted = lab.events()?.wait_for("lease", Duration::from_secs(5), |e| e.event == "lease_granted")?;
//! # Ok(()) }
//! ```
//!
//! | Module | Theme |
//! |---|---|
//! | `lab` | a site on this machine: network, daemons, machines; goes away when dropped |
//! | `run`, `journey`, `show` | the rehearsal, how far each node is, and what is seen of it |
//! | `vm` | virtual machines with real firmware, and their consoles |
//! | `light` | nodes without a machine: the same words on the wire |
//! | `image`, `content` | the small system that the nodes boot and install, built from Debian packages |
//! | `site` | the site file as the lab plays it |
//! | `netns`, `process`, `workdir`, `rootless` | namespaces, processes and files that never stay behind |
//! | `events`, `http` | what the daemons tell |

mod content;
mod error;
mod events;
mod firmware;
mod http;
pub mod image;
mod journey;
mod lab;
mod light;
mod netns;
mod platform;
mod process;
mod rootless;
mod run;
mod show;
pub mod site;
mod vm;
mod workdir;

pub use error::LabError;
pub use events::{Event, Events};
pub use firmware::Firmware;
pub use journey::{Journey, Reached, Stage, Stall};
pub use lab::{DAEMONS, Lab, READY_MAX, program};
pub use light::LightNode;
pub use netns::Namespace;
pub use process::{GRACE, Process};
pub use run::{JOBS, LIGHT_STALL, LabOptions, LabReport, VM_STALL, run};
pub use rustix::process::Signal;
pub use vm::{Console, ConsoleLine, Vm, VmDisk};
