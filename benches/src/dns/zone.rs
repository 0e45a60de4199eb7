//! What every server serves, and what it is asked: one site's zones, and names of the world behind a forwarder.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::netns::{CLIENT_ADDRESS, PREFIX_LENGTH, SERVER_ADDRESS, SERVER_INTERFACE};

/// The zone with the site's names.
pub const ORIGIN: &str = "bench.example.com";
/// The zone with its addresses backwards.
pub const REVERSE: &str = "77.10.in-addr.arpa";
/// Where the API and every application are served.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 5);
/// TTL of every record, in seconds.
pub const TTL: u32 = 300;
/// TTL of denials, in seconds.
pub const NEGATIVE_TTL: u32 = 120;
/// How many names of the world are asked for.
pub const WORLD_NAMES: usize = 1000;

/// Machines of the site: name, address, and what the site file says of them.
pub const MACHINES: [(&str, Ipv4Addr, Machine); 7] = [
    ("cp1", Ipv4Addr::new(10, 77, 8, 11), Machine::Node("control-plane")),
    ("cp2", Ipv4Addr::new(10, 77, 8, 12), Machine::Node("control-plane")),
    ("cp3", Ipv4Addr::new(10, 77, 8, 13), Machine::Node("control-plane")),
    ("worker1", Ipv4Addr::new(10, 77, 8, 21), Machine::Node("worker")),
    ("worker2", Ipv4Addr::new(10, 77, 8, 22), Machine::Node("worker")),
    ("registry", Ipv4Addr::new(10, 77, 8, 60), Machine::Host),
    ("printer", Ipv4Addr::new(10, 77, 8, 62), Machine::Host),
];
/// Services: owner, and data as a master file has it, the target relative to [`ORIGIN`].
pub const SERVICES: [(&str, &str, &str); 3] = [
    ("_ldap._tcp", "0 10 389", "worker1"),
    ("_kerberos._udp", "0 10 88", "worker1"),
    ("_ntp._udp", "0 10 123", "worker2"),
];

/// What the site file says of a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// A node with this role.
    Node(&'static str),
    /// Anything else with a fixed address.
    Host,
}

/// A question, and what is true of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The name, absolute, without the trailing dot.
    pub name: String,
    /// The type.
    pub kind: &'static str,
    /// The response code.
    pub rcode: u8,
    /// The records of the answer, each as type and data.
    pub answers: Vec<String>,
}

/// Names with an address, relative to [`ORIGIN`]: those of the bastion and the API, and the machines'.
pub fn addresses() -> Vec<(&'static str, Ipv4Addr)> {
    let bastion = SERVER_ADDRESS.parse().unwrap_or(Ipv4Addr::UNSPECIFIED);
    let machines = MACHINES.iter().map(|&(name, address, _)| (name, address));
    [("bastion", bastion), ("api", VIP), ("api-int", VIP)].into_iter().chain(machines).collect()
}

/// The mix: fourteen addresses, four of them by the wildcard, a type that a name lacks, a name that is not there, three
/// services, three addresses backwards.
pub fn site_questions() -> Vec<Question> {
    let address = |name: &str, address| question(name, "A", 0, Some(format!("A {address}")));
    let named: Vec<Question> = addresses().into_iter().map(|(name, at)| address(name, at)).collect();
    let wild = ["console-openshift-console", "oauth-openshift", "grafana", "a.b"];
    let wild = wild.map(|name| address(&format!("{name}.apps"), VIP));
    let services = SERVICES.map(|(name, numbers, target)| {
        question(name, "SRV", 0, Some(format!("SRV {numbers} {target}.{ORIGIN}")))
    });
    let denied = [question("cp1", "AAAA", 0, None), question("absent", "A", NXDOMAIN, None)];
    let pointers = MACHINES[..3].iter().map(|(name, address, _)| Question {
        name: backwards(*address),
        kind: "PTR",
        rcode: 0,
        answers: vec![format!("PTR {name}.{ORIGIN}")],
    });
    named.into_iter().chain(wild).chain(denied).chain(services).chain(pointers).collect()
}

/// Names of the world, as the upstream server has them.
pub fn world_questions() -> Vec<Question> {
    (0..WORLD_NAMES).map(|index| world_question(&format!("host{index}.pool.example.net"))).collect()
}

/// A name of the world with its address.
pub fn world_question(name: &str) -> Question {
    let answers = vec![format!("A {}", world_address(name))];
    Question { name: name.to_owned(), kind: "A", rcode: 0, answers }
}

/// The address that the upstream server has for a name: any, but always the same, and public.
pub fn world_address(name: &str) -> Ipv4Addr {
    let add = |sum: u32, byte: u8| sum.wrapping_mul(31).wrapping_add(u32::from(byte.to_ascii_lowercase()));
    let [_, b, c, d] = name.bytes().fold(7, add).to_be_bytes();
    Ipv4Addr::new(99, b, c, d)
}

/// Questions as dnsperf reads them: a name and a type per line.
pub fn listed(questions: &[Question]) -> String {
    questions.iter().map(|question| format!("{} {}\n", question.name, question.kind)).collect()
}

/// The zone with the site's names as a master file (RFC 1035 section 5).
pub fn forward_file() -> String {
    let mut text = head(ORIGIN);
    for (name, address) in addresses() {
        let _ = writeln!(text, "{name} A {address}");
    }
    let _ = writeln!(text, "*.apps A {VIP}");
    for (name, numbers, target) in SERVICES {
        let _ = writeln!(text, "{name} SRV {numbers} {target}");
    }
    text
}

/// The zone with its addresses backwards.
pub fn reverse_file() -> String {
    let mut text = head(REVERSE);
    for (name, address, _) in MACHINES {
        let _ = writeln!(text, "{}. PTR {name}.{ORIGIN}.", backwards(address));
    }
    text
}

/// The site file that says the same. `upstream`: names of the world are forwarded; `log`: questions are logged.
pub fn site_file(upstream: bool, log: bool, boot: &Path) -> String {
    let forward = if upstream { format!("\"{CLIENT_ADDRESS}\"") } else { String::new() };
    let mut text = format!(
        "version = 1\n\n\
         [cluster]\nname = \"bench\"\ndomain = \"example.com\"\nkind = \"openshift\"\n\n\
         [lan]\ninterface = \"{SERVER_INTERFACE}\"\naddress = \"{SERVER_ADDRESS}/{PREFIX_LENGTH}\"\nvip = \"{VIP}\"\n\n\
         [dns]\nforward = [{forward}]\nquery-log = {log}\n\n\
         [tftp]\nroot = \"{}\"\n",
        boot.display()
    );
    for (name, numbers, target) in SERVICES {
        let _ = write!(
            text,
            "\n[[dns.record]]\nname = \"{name}\"\ntype = \"SRV\"\nvalue = \"{numbers} {target}\"\n"
        );
    }
    for (index, (name, address, machine)) in MACHINES.iter().enumerate() {
        let (table, role) = match machine {
            Machine::Node(role) => ("node", format!("role = \"{role}\"\n")),
            Machine::Host => ("host", String::new()),
        };
        let _ = write!(
            text,
            "\n[[{table}]]\nname = \"{name}\"\n{role}mac = \"52:54:00:00:08:{index:02x}\"\naddress = \"{address}\"\n"
        );
    }
    text
}

/// The name under which an address is looked up backwards, without the trailing dot.
pub fn backwards(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("{d}.{c}.{b}.{a}.in-addr.arpa")
}

/// The response code of a name that does not exist.
pub const NXDOMAIN: u8 = 3;

fn question(name: &str, kind: &'static str, rcode: u8, answer: Option<String>) -> Question {
    Question { name: format!("{name}.{ORIGIN}"), kind, rcode, answers: answer.into_iter().collect() }
}

fn head(origin: &str) -> String {
    format!(
        "$ORIGIN {origin}.\n$TTL {TTL}\n\
         @ SOA bastion.{ORIGIN}. hostmaster.{ORIGIN}. 1 3600 600 604800 {NEGATIVE_TTL}\n\
         @ NS bastion.{ORIGIN}.\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mix_is_what_it_says() {
        let questions = site_questions();
        let of = |kind: &str, rcode| {
            questions
                .iter()
                .filter(|one| one.kind == kind && one.rcode == rcode && !one.answers.is_empty())
                .count()
        };
        assert_eq!((of("A", 0), of("SRV", 0), of("PTR", 0)), (14, 3, 3));
        let wild = |one: &&Question| one.name.contains(".apps.");
        assert_eq!(questions.iter().filter(wild).count(), 4);
        assert_eq!(questions.iter().filter(|one| one.answers.is_empty()).count(), 2);
    }

    #[test]
    fn every_answer_stands_in_the_master_files() {
        let text = forward_file() + &reverse_file();
        for question in site_questions() {
            for answer in &question.answers {
                let data = answer.split(' ').next_back().unwrap().trim_end_matches(&format!(".{ORIGIN}"));
                assert!(text.contains(data), "{answer}");
            }
        }
    }

    #[test]
    fn names_of_the_world_differ_and_keep_their_address_in_any_case() {
        let names: std::collections::HashSet<String> =
            world_questions().into_iter().map(|question| question.name).collect();
        assert_eq!(names.len(), WORLD_NAMES);
        assert_eq!(world_address("host1.Example"), world_address("HOST1.example"));
        assert_ne!(world_address("host1"), world_address("host2"));
    }
}
