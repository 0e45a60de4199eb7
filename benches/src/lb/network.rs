//! Client, balancer and servers in a namespace each, in a line; and a shortcut from the client to the servers.
//!
//! ```text
//! client 10.77.1.2 ──── 10.77.1.1 balancer 10.77.2.1 ──── 10.77.2.2 servers
//!   10.77.3.1 ────────────────────────────────────────────── 10.77.3.2
//! ```

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Error;
use crate::netns::{PREFIX, delete, inside, ip};

/// The balancer's address on the client's side.
pub const BALANCER: &str = "10.77.1.1";
/// The interface that it is on.
pub const CLIENT_SIDE: &str = "fbcl0";
/// The balancer's address on the servers' side.
pub const GATEWAY: &str = "10.77.2.1";
/// The interface that it is on.
pub const SERVER_SIDE: &str = "fbsv0";
/// The servers' address behind the balancer.
pub const SERVERS: &str = "10.77.2.2";
/// The servers' address without it.
pub const SERVERS_DIRECT: &str = "10.77.3.2";
/// The prefix that the client is in.
pub const CLIENTS: &str = "10.77.1.0/24";

/// The three namespaces. Dropped: deleted, with all processes in them.
#[derive(Debug)]
pub struct Path {
    client: String,
    balancer: String,
    servers: String,
}

impl Path {
    /// Makes them; needs root and `ip`.
    pub fn create() -> Result<Self, Error> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |end| format!("{PREFIX}{}-{number}{end}", std::process::id());
        let path = Self { client: name('c'), balancer: name('s'), servers: name('b') };
        let (client, balancer, servers) = (&path.client, &path.balancer, &path.servers);
        for namespace in [client, balancer, servers] {
            ip(&["netns", "add", namespace])?;
            ip(&["-n", namespace, "link", "set", "lo", "up"])?;
        }
        link([(client, "fbc0", "10.77.1.2"), (balancer, CLIENT_SIDE, BALANCER)])?;
        link([(balancer, SERVER_SIDE, GATEWAY), (servers, "fbb0", SERVERS)])?;
        link([(client, "fbc1", "10.77.3.1"), (servers, "fbb1", SERVERS_DIRECT)])?;
        ip(&["-n", client, "route", "add", "10.77.2.0/24", "via", BALANCER])?;
        ip(&["-n", servers, "route", "add", "10.77.1.0/24", "via", GATEWAY])?;
        for namespace in [client, servers] {
            // Many short connections in a row: a port is free for the next one after a second.
            write(namespace, "ipv4/ip_local_port_range", "1024 65535")?;
            write(namespace, "ipv4/tcp_tw_reuse", "1")?;
        }
        write(balancer, "ipv4/ip_forward", "1")?;
        write(balancer, "ipv4/ip_local_port_range", "10240 65535")?;
        for namespace in [client, balancer, servers] {
            write(namespace, "core/somaxconn", "8192")?;
        }
        Ok(path)
    }

    /// The client's namespace.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// A command that runs at the client's place.
    pub fn at_client(&self, program: &str) -> Command {
        inside(&self.client, program)
    }

    /// A command that runs at the balancer's place.
    pub fn at_balancer(&self, program: &str) -> Command {
        inside(&self.balancer, program)
    }

    /// A command that runs at the servers' place.
    pub fn at_servers(&self, program: &str) -> Command {
        inside(&self.servers, program)
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        for name in [&self.client, &self.balancer, &self.servers] {
            delete(name);
        }
    }
}

/// Two ends: namespace, interface, address.
fn link([near, far]: [(&String, &str, &str); 2]) -> Result<(), Error> {
    let pair = ["link", "add", near.1, "netns", near.0, "type", "veth"];
    ip(&[&pair[..], &["peer", "name", far.1, "netns", far.0]].concat())?;
    for (namespace, interface, address) in [near, far] {
        ip(&["-n", namespace, "addr", "add", &format!("{address}/24"), "dev", interface])?;
        ip(&["-n", namespace, "link", "set", interface, "up"])?;
    }
    Ok(())
}

/// Sets a parameter of the network of a namespace.
fn write(namespace: &str, parameter: &str, value: &str) -> Result<(), Error> {
    let script = format!("echo {value} >/proc/sys/net/{parameter}");
    let output = inside(namespace, "sh").args(["-c", &script]).output().map_err(Error::system("sh"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(Error::Failed { what: format!("net/{parameter} cannot be set"), said })
}
