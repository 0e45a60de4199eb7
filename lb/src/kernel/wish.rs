//! What the kernel plane is to serve, and what keeps it from doing so.

use std::sync::Arc;

use ipnet::IpNet;

use super::ruleset::Family;
use super::slots::SERVERS_MAX;
use crate::pool::{Front, Roster, Server};

/// What the rules need to know of the site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The interface of the LAN.
    pub lan_interface: String,
    /// The networks of the LAN, each with this host's own address in it.
    pub lan: Vec<IpNet>,
    /// The interface of the WAN.
    pub wan_interface: Option<String>,
    /// Whether this host is the gateway of the nodes, so that their answers to anybody outside of the LAN come back
    /// through it. Where it is not, servers see this host's address instead of the client's.
    pub gateway: bool,
}

/// A front end that the kernel is to serve.
#[derive(Clone, Debug)]
pub struct KernelFront {
    /// Where it listens and how its connections are treated.
    pub front: Arc<Front>,
    /// Who may get new connections now.
    pub roster: Arc<Roster>,
    /// All its servers, also those that are down or draining: their connections go on and are counted.
    pub servers: Vec<Arc<Server>>,
    /// Only for the LAN side and this host itself.
    pub lan_only: bool,
    /// Served on the WAN interface too, on every address that this host has there.
    pub published: bool,
    /// The site file demands the kernel: forwarding is switched on where it is off.
    pub demanded: bool,
}

impl KernelFront {
    /// Why the kernel cannot do what the front end asks for; `None`: it can.
    ///
    /// [`crate::pool::Settings::first_byte`] is no obstacle here, though the kernel does not look for the first octet: whether it is a default
    /// or was asked for, only the site file knows.
    pub fn obstacle(&self) -> Option<String> {
        let settings = &self.front.settings;
        if !settings.proxy_in.is_empty() {
            return Some("accept-proxy: PROXY headers are read by the user plane only".to_owned());
        }
        if settings.proxy_out.is_some() {
            return Some("send-proxy: PROXY headers are written by the user plane only".to_owned());
        }
        if settings.log {
            return Some("log: only the user plane sees the end of each connection".to_owned());
        }
        if self.servers.len() > SERVERS_MAX {
            return Some(format!(
                "{} servers: the kernel plane takes up to {SERVERS_MAX}",
                self.servers.len()
            ));
        }
        let mut families = self.families();
        families.sort_unstable();
        families.dedup();
        if families.len() > 1 {
            return Some(
                "IPv4 and IPv6 are mixed: the kernel does not translate between them; give servers of the family of `listen`"
                    .to_owned(),
            );
        }
        if let Some(server) = self.servers.iter().find(|server| server.address.ip().is_loopback()) {
            return Some(format!(
                "server {} is on this host's loopback, where the kernel does not forward to",
                server.name
            ));
        }
        None
    }

    fn families(&self) -> Vec<Family> {
        let listen = self.front.listen.iter();
        listen
            .chain(self.servers.iter().map(|server| &server.address))
            .map(|address| Family::of(address.ip()))
            .collect()
    }

    /// The family of its addresses: one, where there is no [`KernelFront::obstacle`].
    pub(super) fn family(&self) -> Family {
        self.families().first().copied().unwrap_or(Family::Four)
    }
}
