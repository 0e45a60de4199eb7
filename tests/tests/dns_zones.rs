//! Answers from the site's zones, compared with NSD's from the zones as we render them.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;

use faros_lab::{Lab, Namespace, Process};
use faros_tests::dns::site::{self, SERVER};
use faros_tests::dns::{Message, PATIENCE, Query, any, ask_udp, kind, rcode};
use faros_tests::mutate::Random;
use faros_tests::{eventually, farosctl_of};

const QUERIES: usize = 10_000;
const NSD: &str = "127.0.0.1:5300";

/// The zones of `lab` as `farosctl render zone` writes them: origin and master file.
fn rendered(lab: &Lab) -> Vec<(String, String)> {
    let out = lab.dir().join("zones");
    let output = farosctl_of(lab).args(["render", "zone", "--out"]).arg(&out).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut zones = Vec::new();
    for entry in std::fs::read_dir(&out).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let soa = text.lines().find(|line| line.split_whitespace().any(|word| word == "SOA")).expect("a SOA");
        zones.push((soa.split_whitespace().next().unwrap().to_owned(), text));
    }
    zones.sort();
    zones
}

/// NSD inside `namespace` with `zones`.
fn nsd(lab: &Lab, namespace: &Namespace, zones: &[(String, String)]) -> Process {
    let directory = lab.dir().join("nsd");
    std::fs::create_dir_all(&directory).unwrap();
    let path = |name: &str| directory.join(name).display().to_string();
    let mut config = format!(
        "server:\n ip-address: {}\n username: \"\"\n chroot: \"\"\n zonesdir: \"\"\n database: \"\"\n \
         pidfile: \"{}\"\n zonelistfile: \"{}\"\n xfrdfile: \"{}\"\n server-count: 1\n rrl-ratelimit: 0\n\
         remote-control:\n control-enable: no\n",
        NSD.replace(':', "@"),
        path("pid"),
        path("list"),
        path("xfrd"),
    );
    for (number, (origin, text)) in zones.iter().enumerate() {
        let file = path(&format!("zone{number}"));
        std::fs::write(&file, text).unwrap();
        let checked = Command::new("nsd-checkzone").args([origin, &file]).output().expect("nsd-checkzone");
        assert!(checked.status.success(), "NSD refuses {origin}: {checked:?}\n{text}");
        write!(config, "zone:\n name: \"{origin}\"\n zonefile: \"{file}\"\n").unwrap();
    }
    std::fs::write(directory.join("nsd.conf"), config).unwrap();
    let mut command = namespace.command("nsd");
    command.args(["-d", "-c", &path("nsd.conf")]);
    let process = Process::start(&mut command, lab.log_file("nsd")).unwrap();
    let request = Query::new(&zones[0].0, kind::SOA).bytes();
    eventually("NSD answers", || {
        ask_udp(namespace, NSD.parse().unwrap(), &request, std::time::Duration::from_millis(100)).is_some()
    });
    process
}

/// All owners, and the empty names above them within the zone.
fn names(zones: &[(String, String)]) -> Vec<String> {
    let mut names = BTreeSet::new();
    for (origin, text) in zones {
        for line in text.lines().filter(|line| !line.starts_with([';', '$', ' ', '\t'])) {
            let Some(owner) = line.split_whitespace().next() else { continue };
            let mut name = owner;
            while name.ends_with(origin.as_str()) {
                names.insert(name.to_owned());
                let Some((_, parent)) = name.split_once('.') else { break };
                name = parent;
            }
        }
    }
    names.into_iter().collect()
}

/// A name at, above, beside or below one of `names`, within one of `zones`.
fn some_name(names: &[String], zones: &[(String, String)], random: &mut Random) -> String {
    const LABELS: [&str; 8] = ["x", "*", "zz", "a", "deep", "www", "12", "_sip"];
    let within = |name: &str| zones.iter().any(|(origin, _)| name.ends_with(origin.as_str()));
    let mut name = names[random.below(names.len())].clone();
    match random.below(6) {
        0 | 1 => {}
        2 => {
            if let Some((_, parent)) = name.split_once('.').filter(|(_, parent)| within(parent)) {
                name = parent.to_owned();
            }
        }
        _ => {
            if random.below(2) == 0 && name.starts_with("*.") {
                name.drain(..2);
            }
            for _ in 0..=random.below(3) {
                name = format!("{}.{name}", LABELS[random.below(LABELS.len())]);
            }
        }
    }
    let case = |c: char, random: &mut Random| if random.below(4) == 0 { c.to_ascii_uppercase() } else { c };
    name.chars().map(|c| case(c, random)).collect()
}

/// What has to be equal.
#[derive(Debug, PartialEq, Eq)]
struct Compared {
    rcode: u16,
    authoritative: bool,
    truncated: bool,
    question: Vec<(String, u16, u16)>,
    answers: BTreeSet<faros_tests::dns::Record>,
    soa: Vec<faros_tests::dns::Record>,
    referral: BTreeSet<faros_tests::dns::Record>,
}

impl Compared {
    fn of(mut message: Message) -> Self {
        for soa in message.answers.iter_mut().chain(&mut message.authorities).filter(|r| r.kind == kind::SOA)
        {
            // A zone rendered from the site file alone does not know how often the running server has counted.
            let serial = soa.data.len() - 20;
            soa.data[serial..serial + 4].fill(0);
        }
        if message.is_truncated() {
            // How much of it is there is each server's own choice.
            message.answers.clear();
            message.authorities.clear();
        }
        let (soa, others): (Vec<_>, Vec<_>) =
            message.authorities.iter().cloned().partition(|record| record.kind == kind::SOA);
        let referral = message.answers.is_empty() && soa.is_empty();
        Self {
            rcode: message.rcode,
            authoritative: message.is_authoritative(),
            truncated: message.is_truncated(),
            answers: message.answers.iter().cloned().collect(),
            soa,
            // The servers of a zone beside an answer are a courtesy; those of a zone below are the answer.
            referral: others.into_iter().filter(|_| referral).collect(),
            question: message.questions,
        }
    }
}

#[test]
fn ten_thousand_queries_are_answered_as_nsd_answers_them() {
    let (lab, client) = site::running(&site::text());
    let zones: Vec<_> =
        rendered(&lab).into_iter().filter(|(origin, _)| ask_soa(&client, origin) == rcode::NOERROR).collect();
    assert!(zones.iter().any(|(origin, _)| origin == site::ZONE), "{zones:?}");
    assert!(zones.iter().any(|(origin, _)| origin == "8.168.192.in-addr.arpa."), "{zones:?}");
    let _nsd = nsd(&lab, &client, &zones);
    // NSD goes round in an alias that leads to itself; the catalogue of bad inputs wants SERVFAIL (see dns_probes).
    let names: Vec<String> = names(&zones).into_iter().filter(|name| !name.contains("loop-")).collect();
    let kinds = [
        kind::A,
        kind::AAAA,
        kind::MX,
        kind::TXT,
        kind::CNAME,
        kind::NS,
        kind::SOA,
        kind::SRV,
        kind::PTR,
        kind::DNAME,
        43,
        257,
        65_280,
        65,
        4_711,
    ];
    let mut random = Random::new(8);
    let queries: Vec<(String, u16)> = (0..QUERIES)
        .map(|_| (some_name(&names, &zones, &mut random), kinds[random.below(kinds.len())]))
        .collect();
    let differences: Vec<String> = client
        .inside(|| {
            let socket = |address: SocketAddr| {
                let socket = UdpSocket::bind(any(address)).unwrap();
                socket.connect(address).unwrap();
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                socket
            };
            let (ours, theirs) = (socket(SERVER), socket(NSD.parse().unwrap()));
            let ask = |socket: &UdpSocket, request: &[u8]| {
                let mut buffer = [0; 4096];
                socket.send(request).unwrap();
                let length = socket.recv(&mut buffer).expect("an answer");
                Message::read(&buffer[..length]).unwrap_or_else(|flaw| panic!("{flaw}"))
            };
            let mut differences = Vec::new();
            for (number, (name, kind)) in queries.iter().enumerate() {
                let mut query = Query::new(name, *kind).id(number as u16).flags(0);
                if number % 2 == 0 {
                    query = query.edns(1232);
                }
                let request = query.bytes();
                let (our, their) = (ask(&ours, &request), ask(&theirs, &request));
                let (our, their) = (Compared::of(our), Compared::of(their));
                if our != their {
                    differences.push(format!("{name} {kind}\n  ours   {our:?}\n  theirs {their:?}"));
                }
            }
            differences
        })
        .unwrap();
    let shown = &differences[..differences.len().min(8)];
    assert!(differences.is_empty(), "{} of {QUERIES} differ:\n{}", differences.len(), shown.join("\n"));
}

fn ask_soa(client: &Namespace, origin: &str) -> u16 {
    let request = Query::new(origin, kind::SOA).flags(0).bytes();
    Message::read(&ask_udp(client, SERVER, &request, PATIENCE).unwrap()).unwrap().rcode
}
