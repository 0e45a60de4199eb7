//! Light nodes: machines without a machine.
//!
//! A light node is a thread in a network namespace of its own that says on the wire what a machine with
//! the given firmware says, stage after stage: firmware, iPXE, operating system, and once more from its
//! disk. It speaks on a console file in the same words as a virtual machine.
//!
//! ```text
//! firmware DHCP ─► loader (TFTP or HTTP) ─► iPXE DHCP ─► script ─► kernel, initrd ─► system DHCP
//!     ▲                                                     │            ─► Ignition ─► image ─► report ─┐
//!     │                                         └─► local disk ─► system DHCP ─► API, ingress (cluster) │
//!     └───────────────────────────────────────── reboot ─────────────────────────────────────────────────┘
//! ```

mod boot;
mod cluster;
mod dhcp;
mod message;
mod script;
mod tftp;

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use faros_common::site::Node;
use faros_common::{clock, tasks};

use crate::error::LabError;
use crate::firmware::Firmware;
use crate::lab::Lab;
use crate::netns::{self, Namespace};
use crate::vm::Console;

use boot::Machine;
use message::Identity;

/// A light node that is switched off may be in the middle of setting an address; that is over long before this.
const BUSY_MAX: Duration = Duration::from_secs(5);

/// A running light node. Dropped, its namespace goes; the thread ends with its next step.
#[derive(Debug)]
pub struct LightNode {
    console: Console,
    firmware: Firmware,
    stopping: Arc<AtomicBool>,
    namespace: Arc<Namespace>,
}

impl LightNode {
    /// Powers `node` on.
    ///
    /// # Errors
    /// Its namespace or thread cannot be made.
    pub fn start(lab: &Lab, node: &Node, firmware: Firmware) -> Result<Self, LabError> {
        let mac = Lab::mac_of(node);
        let namespace = Arc::new(lab.add_node_namespace(&node.name, mac)?);
        let path = lab.log_file(&format!("{}.console", node.name));
        let file = File::create(&path).map_err(LabError::io("create", &path))?;
        let console = Console::follow(path)?;
        let identity = Identity { mac, uuid: uuid_bytes(&Lab::uuid_of(node)) };
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let (name, inside) = (namespace.name().to_owned(), Arc::downgrade(&namespace));
        let (node_name, role) = (node.name.clone(), node.role);
        tasks::spawn_thread("lab light node", move || {
            let mut said = Speech(file);
            if let Err(error) = netns::enter(&name) {
                said.line(&format!("FAROS-NODE failed {error}"));
                return;
            }
            let mut machine = Machine { namespace: inside, identity, firmware, stopping: stop, said };
            if let Err(why) = machine.run(&node_name, role) {
                machine.said.line(&format!("FAROS-NODE failed {why}"));
            }
        })
        .map_err(LabError::doing("start a thread"))?;
        Ok(Self { console, firmware, stopping, namespace })
    }

    /// What it says, in the words of a virtual machine.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// The kind of firmware it plays.
    pub fn firmware(&self) -> Firmware {
        self.firmware
    }
}

impl Drop for LightNode {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::Relaxed);
        // The namespace goes with its last holder. Were that the node's thread, the end of this process could cut the
        // removal short and leave the namespace behind.
        let deadline = clock::now() + BUSY_MAX;
        while Arc::strong_count(&self.namespace) > 1 && clock::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// The console of a light node.
struct Speech(File);

impl Speech {
    fn line(&mut self, text: &str) {
        self.part(&format!("{text}\n"));
    }

    fn part(&mut self, text: &str) {
        // Nobody listens any more once the lab is gone.
        let _ = self.0.write_all(text.as_bytes());
    }
}

fn uuid_bytes(text: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let digits: Vec<_> = text.chars().filter_map(|c| c.to_digit(16)).collect();
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = (pair[0] << 4 | pair[1]) as u8;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_read_in_the_order_of_its_text() {
        let bytes = uuid_bytes("00112233-4455-6677-8899-aabbccddeeff");
        assert_eq!((bytes[0], bytes[7], bytes[15]), (0, 0x77, 0xff));
    }
}
