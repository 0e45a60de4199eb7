//! The site that the tests of the balancer play on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use faros_lab::{Lab, Namespace};
use serde_json::Value;

use super::backend::Backend;
use super::node::Node;
use crate::{machine_at, site, within};

/// The address that clients know.
pub const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 8, 2);
/// The bastion's own address on the WAN.
pub const WAN: &str = "198.51.100.2";
/// A machine beyond the uplink.
pub const OUTSIDE: &str = "198.51.100.1";
/// The client's address.
pub const CLIENT: &str = "192.168.8.20";
/// The three nodes: name, Ethernet address, address.
pub const NODES: [(&str, &str, &str); 3] = [
    ("n1", "52:54:00:00:08:11", "192.168.8.11"),
    ("n2", "52:54:00:00:08:12", "192.168.8.12"),
    ("n3", "52:54:00:00:08:13", "192.168.8.13"),
];
/// The port of [`front`], on the VIP and on the nodes.
pub const PORT: u16 = 5000;
/// Where [`front`] checks its servers.
pub const CHECK_PORT: u16 = 5001;

/// How long after its start the balancer may take to know its servers: a few of the slowest checks.
const KNOWN_MAX: Duration = Duration::from_secs(20);

/// A port of the VIP.
pub fn vip(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(VIP), port)
}

/// A port of the node with this number, from 0.
pub fn node(number: usize, port: u16) -> SocketAddr {
    SocketAddr::new(NODES[number].2.parse().expect("an address"), port)
}

fn named(list: &Value, name: &str) -> Option<Value> {
    list.as_array()?.iter().find(|one| one["name"] == name).cloned()
}

/// [`site::SITE`] whose balancer is on `plane`, with what else its table has, and front ends behind it.
pub fn text(plane: &str, settings: &str, front_ends: &str) -> String {
    let table = format!("[lb]\nplane = \"{plane}\"\ndrain = \"20s\"\n{settings}\n[tftp]");
    site::SITE.replace("[tftp]", &table) + front_ends
}

/// A front end on [`PORT`] of the VIP with all nodes behind it, which are checked every 500 ms on [`CHECK_PORT`].
/// `settings` are further lines of its table.
pub fn front(settings: &str) -> String {
    front_on("raw", PORT, settings)
}

/// [`front`] with a name and a port of one's own.
pub fn front_on(name: &str, port: u16, settings: &str) -> String {
    let check =
        format!("{{ kind = \"tcp\", port = {CHECK_PORT}, interval = \"500ms\", rise = 1, fall = 2 }}");
    front_checked(name, port, &check, settings)
}

/// [`front_on`] with a check of one's own.
pub fn front_checked(name: &str, port: u16, check: &str, settings: &str) -> String {
    let backends: Vec<String> = NODES
        .iter()
        .map(|(name, _, address)| format!("{{ name = \"{name}\", address = \"{address}:{port}\" }}"))
        .collect();
    format!(
        "[[lb.frontend]]\nname = \"{name}\"\nlisten = [\"{VIP}:{port}\"]\n{settings}\ncheck = {check}\nbackend = [{}]\n",
        backends.join(", ")
    )
}

/// A site with its nodes' namespaces, and a client on its LAN. What runs in them is the test's affair.
pub struct Balanced {
    // In the order in which they have to go.
    /// A machine that is no node.
    pub client: Namespace,
    /// The nodes' namespaces.
    pub nodes: Vec<Namespace>,
    /// The site.
    pub lab: Lab,
}

impl Balanced {
    /// A site of `text`; no daemon runs yet.
    pub fn built(text: &str) -> Self {
        let lab = Lab::build_text(text).expect("the lab stands");
        site::furnish(&lab);
        lab.wan().ip(&format!("addr add {OUTSIDE}/24 dev wan0")).expect("an address");
        let client = machine_at(&lab, "client", site::STRANGER, &format!("{CLIENT}/24"));
        let node = |(name, mac, address): &(&str, &str, &str)| {
            let node = machine_at(&lab, name, mac, &format!("{address}/24"));
            node.ip(&format!("route add default via {}", site::BASTION)).expect("a route");
            node
        };
        let nodes = NODES.iter().map(node).collect();
        Self { client, nodes, lab }
    }

    /// [`Balanced::built`] with the balancer running.
    pub fn running(text: &str) -> Self {
        let mut site = Self::built(text);
        site.start();
        site
    }

    /// Starts the balancer.
    pub fn start(&mut self) {
        self.lab.start_daemon("lb").expect("lb starts");
    }

    /// A node of the cluster in each namespace of [`Balanced::nodes`], all well.
    pub fn cluster(&self) -> Vec<Node> {
        let start = |(namespace, (name, _, _)): (&Namespace, &(&str, &str, &str))| {
            Node::start(&self.lab, namespace, name)
        };
        self.nodes.iter().zip(&NODES).map(start).collect()
    }

    /// Answers the checks of [`front`] on the node with this number.
    pub fn checked(&self, number: usize) -> Backend {
        Backend::silent(&self.nodes[number], node(number, CHECK_PORT))
    }

    /// Servers of [`front`] on every node that tell their name, each followed by what answers its checks.
    pub fn named(&self) -> Vec<Backend> {
        let each = |number: usize| {
            [Backend::named(&self.nodes[number], node(number, PORT), NODES[number].0), self.checked(number)]
        };
        (0..NODES.len()).flat_map(each).collect()
    }

    /// What the balancer says of a front end; the test fails where it knows none of that name.
    pub fn front(&self, front: &str) -> Value {
        let answer = self.lab.admin_get("lb", "/frontends").expect("front ends");
        named(&answer, front).unwrap_or_else(|| panic!("no front end {front}: {answer}"))
    }

    /// The same of a server.
    pub fn server(&self, front: &str, server: &str) -> Value {
        let front = self.front(front);
        named(&front["servers"], server).unwrap_or_else(|| panic!("no server {server}: {front}"))
    }

    /// Whether a server gets new connections, as far as its health goes.
    pub fn is_up(&self, front: &str, server: &str) -> bool {
        self.server(front, server)["state"] == "up"
    }

    /// Waits until exactly these servers of a front end are up.
    pub fn await_up(&self, front: &str, up: &[&str]) {
        self.await_up_within(KNOWN_MAX, front, up);
    }

    /// [`Balanced::await_up`] with a limit of one's own.
    pub fn await_up_within(&self, limit: Duration, front: &str, up: &[&str]) {
        within(limit, &format!("{front} has exactly {up:?} up"), || {
            NODES.iter().all(|(name, ..)| self.is_up(front, name) == up.contains(name))
        });
    }

    /// What an operator does with a server: `drain`, `enable` or `maintenance`.
    pub fn operate(&self, front: &str, server: &str, verb: &str) {
        self.lab.admin_post("lb", &format!("/frontends/{front}/servers/{server}/{verb}")).expect(verb);
    }

    /// Drops every packet for `port` of the node with this number without a word.
    pub fn swallow(&self, number: usize, port: u16) {
        let rules = format!(
            "table inet hole {{ chain swallow {{ type filter hook input priority 0; tcp dport {port} drop; }}; }}"
        );
        self.nodes[number].run("nft", [rules]).expect("nft drops");
    }

    /// Ends [`Balanced::swallow`].
    pub fn spit_out(&self, number: usize) {
        self.nodes[number].run("nft", ["delete table inet hole"]).expect("nft stops");
    }
}
