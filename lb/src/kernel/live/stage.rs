//! A site in network namespaces: this host between a WAN with a client and a LAN with two servers and a node.
//!
//! ```text
//! wan 198.51.100.9 ── wan0 198.51.100.1 ┐ lb ┌ lan0 10.0.0.1, VIP 10.0.0.2 ── a 10.0.0.11, b 10.0.0.12, node 10.0.0.50
//!     2001:db8::9          2001:db8::1  └────┘      fd00::1, VIP fd00::2          fd00::11 …
//! ```

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The namespaces, deleted at the end.
pub(super) struct Stage {
    prefix: String,
}

pub(super) const VIP: &str = "10.0.0.2";
pub(super) const VIP6: &str = "fd00::2";
pub(super) const A: &str = "10.0.0.11:6443";
pub(super) const B: &str = "10.0.0.12:6443";
pub(super) const A6: &str = "[fd00::11]:6443";
pub(super) const B6: &str = "[fd00::12]:6443";

const NAMESPACES: [&str; 5] = ["wan", "lb", "a", "b", "node"];

impl Stage {
    /// Needs root.
    pub(super) fn set() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let stage = Self { prefix: format!("flbk{}-{number}-", std::process::id()) };
        let name = |short: &str| stage.name(short);
        let mut script = String::new();
        for namespace in NAMESPACES {
            let name = name(namespace);
            script += &format!(
                "netns add {name}\n-n {name} link set lo up\n\
                 netns exec {name} sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0\n"
            );
        }
        let lb = name("lb");
        script += &format!("-n {lb} link add lan0 type bridge mcast_snooping 0\n-n {lb} link set lan0 up\n");
        for (namespace, last) in [("a", 11), ("b", 12), ("node", 50)] {
            let name = name(namespace);
            script += &format!(
                "link add eth0 netns {name} type veth peer name p-{namespace} netns {lb}\n\
                 -n {lb} link set p-{namespace} master lan0 up\n\
                 -n {name} addr add 10.0.0.{last}/24 dev eth0\n\
                 -n {name} addr add fd00::{last}/64 dev eth0 nodad\n\
                 -n {name} link set eth0 up\n\
                 -n {name} route add default via 10.0.0.1\n\
                 -n {name} -6 route add default via fd00::1\n"
            );
        }
        let wan = name("wan");
        script += &format!(
            "-n {lb} addr add 10.0.0.1/24 dev lan0\n-n {lb} addr add {VIP}/24 dev lan0\n\
             -n {lb} addr add fd00::1/64 dev lan0 nodad\n-n {lb} addr add {VIP6}/64 dev lan0 nodad\n\
             link add eth0 netns {wan} type veth peer name wan0 netns {lb}\n\
             -n {lb} addr add 198.51.100.1/24 dev wan0\n-n {lb} addr add 2001:db8::1/64 dev wan0 nodad\n\
             -n {lb} link set wan0 up\n\
             -n {wan} addr add 198.51.100.9/24 dev eth0\n-n {wan} addr add 2001:db8::9/64 dev eth0 nodad\n\
             -n {wan} link set eth0 up\n\
             -n {wan} route add default via 198.51.100.1\n-n {wan} -6 route add default via 2001:db8::1\n"
        );
        for line in script.lines() {
            run("ip", &line.split_whitespace().collect::<Vec<_>>());
        }
        // Otherwise a server that is a client too does not reach itself, where the kernel filters bridges.
        stage.run(
            "lb",
            "sysctl -qe -w net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0",
        );
        stage.setting("net/ipv4/ip_forward", "1");
        stage.setting("net/ipv6/conf/all/forwarding", "1");
        stage
    }

    pub(super) fn name(&self, namespace: &str) -> String {
        format!("{}{namespace}", self.prefix)
    }

    /// Does something in a namespace, on a thread of its own.
    pub(super) fn within<T: Send>(&self, namespace: &str, what: impl FnOnce() -> T + Send) -> T {
        let path = format!("/run/netns/{}", self.name(namespace));
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                let namespace = File::open(path).unwrap();
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                what()
            });
            inside.join().unwrap()
        })
    }

    /// Runs a program in a namespace.
    pub(super) fn run(&self, namespace: &str, line: &str) -> String {
        let name = self.name(namespace);
        let mut words = vec!["netns", "exec", &name];
        words.extend(line.split_whitespace());
        run("ip", &words)
    }

    /// Changes or reads a setting of the kernel at the balancer.
    pub(super) fn setting(&self, setting: &str, value: &str) {
        self.within("lb", || std::fs::write(format!("/proc/sys/{setting}"), value).unwrap());
    }

    pub(super) fn read_setting(&self, setting: &str) -> String {
        self.within("lb", || {
            std::fs::read_to_string(format!("/proc/sys/{setting}")).unwrap().trim().to_owned()
        })
    }

    /// A server in a namespace that tells each client its name and the client's address, then repeats what it hears. It ends with the test.
    pub(super) fn server(&self, namespace: &'static str, address: &str) {
        let address: SocketAddr = address.parse().unwrap();
        let listener = self.within(namespace, move || TcpListener::bind(address).unwrap());
        spawn(move || {
            for client in listener.incoming().flatten() {
                spawn(move || repeat(namespace, client));
            }
        });
    }

    /// Connects from a namespace and returns the connection with the server's name and the address that it saw.
    pub(super) fn connect(
        &self,
        namespace: &str,
        to: &str,
    ) -> std::io::Result<(TcpStream, String, SocketAddr)> {
        let to: SocketAddr = to.parse().unwrap();
        let mut stream =
            self.within(namespace, || TcpStream::connect_timeout(&to, Duration::from_secs(2)))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            let mut octet = [0];
            stream.read_exact(&mut octet)?;
            line.push(octet[0]);
        }
        let line = String::from_utf8(line).unwrap();
        let (name, peer) = line.trim().split_once(' ').unwrap();
        Ok((stream, name.to_owned(), peer.parse().unwrap()))
    }

    /// The name of the server that a connection ends at.
    pub(super) fn ask(&self, namespace: &str, to: &str) -> std::io::Result<String> {
        self.connect(namespace, to).map(|(_, name, _)| name)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for namespace in NAMESPACES {
            let _ = Command::new("ip").args(["netns", "delete", &self.name(namespace)]).status();
        }
    }
}

fn repeat(name: &str, mut client: TcpStream) {
    let Ok(peer) = client.peer_addr() else { return };
    if writeln!(client, "{name} {peer}").is_err() {
        return;
    }
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = client.read(&mut buffer) {
        if client.write_all(&buffer[..length]).is_err() {
            return;
        }
    }
}

pub(super) fn spawn(what: impl FnOnce() + Send + 'static) {
    drop(faros_common::tasks::spawn_thread("stage", what).unwrap());
}

fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {}: {} (these tests need root)",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
