//! A whole site on one machine: namespaces, the real daemons, and nodes that boot from them.

pub mod error;
mod events;
mod firmware;
mod http;
mod lab;
mod light;
mod netns;
mod platform;
mod process;
pub mod site;
mod vm;
mod workdir;

pub use error::LabError;
pub use events::{Event, Events};
pub use firmware::Firmware;
pub use lab::{DAEMONS, Lab, READY_MAX, program};
pub use light::LightNode;
pub use netns::Namespace;
pub use process::{GRACE, Process};
pub use vm::{Console, ConsoleLine, Vm, VmDisk};
