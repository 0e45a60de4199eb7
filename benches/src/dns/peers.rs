//! How the peers are configured: each with the same zones or the same upstream server, for speed, without a line of log per
//! question, and with replies no longer than they have to be.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::netns::{CLIENT_ADDRESS, PREFIX_LENGTH, SERVER_ADDRESS};
use crate::{Error, programs};

use super::servers::Role;
use super::zone::{self, ORIGIN, REVERSE, SERVICES, TTL, VIP};

/// Octets that may wait at a socket of a server that lets it be said.
const BUFFER_BYTES: u32 = 4 << 20;

/// NSD's arguments.
pub fn nsd(command: &mut Command, dir: &Path, workers: usize) -> Result<(), Error> {
    zones(dir)?;
    let at = dir.display();
    let text = format!(
        "server:\n  server-count: {workers}\n  reuseport: yes\n  ip-address: {SERVER_ADDRESS}\n  username: \"\"\n  \
         zonesdir: \"{at}\"\n  database: \"\"\n  pidfile: \"\"\n  xfrdfile: \"{at}/xfrd.state\"\n  \
         zonelistfile: \"{at}/zone.list\"\n  xfrdir: \"{at}\"\n  minimal-responses: yes\n  rrl-ratelimit: 0\n  \
         receive-buffer-size: {BUFFER_BYTES}\n  send-buffer-size: {BUFFER_BYTES}\n  verbosity: 0\n\
         remote-control:\n  control-enable: no\n\
         zone:\n  name: {ORIGIN}\n  zonefile: site.zone\n\
         zone:\n  name: {REVERSE}\n  zonefile: reverse.zone\n"
    );
    command.args(["-d", "-c"]).arg(written(dir, "nsd.conf", &text)?);
    Ok(())
}

/// Knot's arguments.
pub fn knot(command: &mut Command, dir: &Path, workers: usize) -> Result<(), Error> {
    zones(dir)?;
    let at = dir.display();
    let text = format!(
        "server:\n  rundir: \"{at}\"\n  listen: {SERVER_ADDRESS}@53\n  udp-workers: {workers}\n  tcp-workers: 1\n  \
         background-workers: 1\n\
         log:\n  - target: stderr\n    any: warning\n\
         database:\n  storage: \"{at}\"\n\
         template:\n  - id: default\n    storage: \"{at}\"\n    zonefile-sync: -1\n    journal-content: none\n\
         zone:\n  - domain: {ORIGIN}\n    file: site.zone\n  - domain: {REVERSE}\n    file: reverse.zone\n"
    );
    command.arg("-c").arg(written(dir, "knot.conf", &text)?);
    Ok(())
}

/// BIND's arguments.
pub fn bind(command: &mut Command, dir: &Path, role: Role, workers: usize) -> Result<(), Error> {
    let at = dir.display();
    let (options, body) = match role {
        Role::Site => {
            zones(dir)?;
            let zone = |name, file| format!("zone \"{name}\" {{ type primary; file \"{at}/{file}\"; }};\n");
            ("recursion no;".to_owned(), zone(ORIGIN, "site.zone") + &zone(REVERSE, "reverse.zone"))
        }
        Role::World | Role::Outage => {
            let stale =
                if role == Role::Outage { "stale-cache-enable yes; stale-answer-enable yes;" } else { "" };
            let forward = format!("forward only; forwarders {{ {CLIENT_ADDRESS}; }};");
            (format!("recursion yes; allow-recursion {{ any; }}; {forward} {stale}"), String::new())
        }
    };
    let text = format!(
        "options {{\n  directory \"{at}\"; listen-on {{ {SERVER_ADDRESS}; }}; listen-on-v6 {{ none; }};\n  \
         pid-file none; session-keyfile none; lock-file none; managed-keys-directory \"{at}\";\n  \
         minimal-responses yes; dnssec-validation no; querylog no; notify no; {options}\n}};\n\
         controls {{ }};\nlogging {{ category default {{ default_stderr; }}; category lame-servers {{ null; }}; \
         category query-errors {{ null; }}; }};\n{body}"
    );
    command.args(["-f", "-n", &workers.to_string(), "-c"]).arg(written(dir, "named.conf", &text)?);
    Ok(())
}

/// unbound's arguments.
pub fn unbound(command: &mut Command, dir: &Path, role: Role, workers: usize) -> Result<(), Error> {
    let at = dir.display();
    let mut text = format!(
        "server:\n  directory: \"{at}\"\n  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  \
         logfile: \"\"\n  verbosity: 0\n  interface: {SERVER_ADDRESS}\n  do-ip6: no\n  \
         access-control: {SERVER_ADDRESS}/{PREFIX_LENGTH} allow\n  num-threads: {workers}\n  so-reuseport: yes\n  \
         so-rcvbuf: {BUFFER_BYTES}\n  so-sndbuf: {BUFFER_BYTES}\n  module-config: \"iterator\"\n"
    );
    if role == Role::Site {
        text.push_str(&unbound_data());
    }
    if role == Role::Outage {
        text.push_str("  serve-expired: yes\n");
    }
    text.push_str("remote-control:\n  control-enable: no\n");
    if role != Role::Site {
        let _ = write!(text, "forward-zone:\n  name: \".\"\n  forward-addr: {CLIENT_ADDRESS}\n");
    }
    command.args(["-d", "-p", "-c"]).arg(written(dir, "unbound.conf", &text)?);
    Ok(())
}

/// dnsmasq's arguments; it has one thread, however many processors there are.
pub fn dnsmasq(command: &mut Command, role: Role) -> Result<(), Error> {
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root"]);
    command.args([
        "--log-facility=-",
        "--no-resolv",
        "--no-hosts",
        "--bind-interfaces",
        "--cache-size=10000",
    ]);
    command.arg(format!("--listen-address={SERVER_ADDRESS}"));
    match role {
        Role::Site => {
            command.args([&format!("--local-ttl={TTL}"), &format!("--local=/{ORIGIN}/")]);
            command.args([&format!("--local=/{REVERSE}/"), &format!("--address=/apps.{ORIGIN}/{VIP}")]);
            for (name, address) in zone::addresses() {
                command.arg(format!("--host-record={name}.{ORIGIN},{address}"));
            }
            for (name, numbers, target) in SERVICES {
                let [priority, weight, port] = three(numbers);
                let target = format!("{target}.{ORIGIN},{port},{priority},{weight}");
                command.arg(format!("--srv-host={name}.{ORIGIN},{target}"));
            }
        }
        Role::World | Role::Outage => {
            command.args([&format!("--server={CLIENT_ADDRESS}"), "--dns-forward-max=1000"]);
            if role == Role::Outage {
                command.arg("--use-stale-cache");
            }
        }
    }
    Ok(())
}

/// The programs of the peers, by the names of their packages' files.
pub fn program(name: &str) -> Result<String, Error> {
    programs::path(name)
}

fn unbound_data() -> String {
    let mut text = String::new();
    for (zone, kind) in [(ORIGIN, "static"), (REVERSE, "static"), (&*format!("apps.{ORIGIN}"), "redirect")] {
        let _ = writeln!(text, "  local-zone: \"{zone}.\" {kind}");
    }
    let mut data = |record: String| {
        let _ = writeln!(text, "  local-data: \"{record}\"");
    };
    for zone in [ORIGIN, REVERSE] {
        let numbers = format!("1 3600 600 604800 {}", zone::NEGATIVE_TTL);
        data(format!("{zone}. {TTL} IN SOA bastion.{ORIGIN}. hostmaster.{ORIGIN}. {numbers}"));
    }
    for (name, address) in zone::addresses() {
        data(format!("{name}.{ORIGIN}. {TTL} IN A {address}"));
    }
    data(format!("apps.{ORIGIN}. {TTL} IN A {VIP}"));
    for (name, numbers, target) in SERVICES {
        data(format!("{name}.{ORIGIN}. {TTL} IN SRV {numbers} {target}.{ORIGIN}."));
    }
    for (name, address, _) in zone::MACHINES {
        data(format!("{}. {TTL} IN PTR {name}.{ORIGIN}.", zone::backwards(address)));
    }
    text
}

fn zones(dir: &Path) -> Result<(), Error> {
    written(dir, "site.zone", &zone::forward_file())?;
    written(dir, "reverse.zone", &zone::reverse_file()).map(drop)
}

fn written(dir: &Path, name: &str, text: &str) -> Result<std::path::PathBuf, Error> {
    let path = dir.join(name);
    fs::write(&path, text).map_err(Error::file(&path))?;
    Ok(path)
}

fn three(numbers: &str) -> [&str; 3] {
    let mut parts = numbers.split(' ');
    std::array::from_fn(|_| parts.next().unwrap_or("0"))
}
