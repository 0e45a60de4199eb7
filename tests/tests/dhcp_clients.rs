//! DHCP with clients that others wrote: udhcpc and dhclient.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use faros_lab::{Lab, Namespace};
use faros_tests::{counter, eventually, leased, machine, run, running, site};

/// What a client's script was told: one `name=value` line each.
#[derive(Debug)]
struct Told(String);

impl Told {
    fn value(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }
}

/// A script that writes its environment into a file when an address is bound.
fn script(lab: &Lab, name: &str) -> (PathBuf, PathBuf) {
    let (script, told) = (lab.dir().join(format!("{name}.sh")), lab.dir().join(format!("{name}.env")));
    let text = format!(
        "#!/bin/sh\ncase \"$1$reason\" in bound*|renew*|BOUND|REBOOT|RENEW) env > {} ;; esac\n",
        told.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    (script, told)
}

fn udhcpc(lab: &Lab, machine: &Namespace, further: &[&str]) -> Option<Told> {
    let (script, told) = script(lab, machine.name());
    let _ = fs::remove_file(&told);
    let script = script.display().to_string();
    let mut arguments = vec!["-i", "eth0", "-n", "-q", "-f", "-t", "3", "-T", "2", "-s", &script];
    arguments.extend(further);
    let output = run(machine, "udhcpc", &arguments);
    output.status.success().then(|| Told(fs::read_to_string(&told).unwrap()))
}

fn dhclient(lab: &Lab, machine: &Namespace, configuration: &str) -> Option<Told> {
    let (script, told) = script(lab, machine.name());
    let _ = fs::remove_file(&told);
    let file = |suffix: &str| lab.dir().join(format!("{}.{suffix}", machine.name())).display().to_string();
    fs::write(file("conf"), configuration).unwrap();
    let script = script.display().to_string();
    let (leases, pid, conf) = (file("leases"), file("pid"), file("conf"));
    let files = ["-4", "-lf", &leases, "-pf", &pid, "-cf", &conf];
    let output = run(machine, "dhclient", &[&files[..], &["-1", "-sf", &script, "eth0"]].concat());
    let told = output.status.success().then(|| Told(fs::read_to_string(&told).unwrap()));
    // It has gone into the background to renew; ended by its own means, without releasing the address.
    run(machine, "dhclient", &[&files[..], &["-x", "-sf", "/bin/true", "eth0"]].concat());
    told
}

#[test]
fn a_node_gets_its_reservation_and_everything_it_needs() {
    let lab = running(site::SITE);
    let n1 = machine(&lab, "n1", site::N1.0);
    let told = udhcpc(&lab, &n1, &["-O", "ntpsrv", "-O", "search", "-O", "hostname"]).expect("an address");
    assert_eq!(told.value("ip"), Some(site::N1.1));
    assert_eq!(told.value("mask"), Some("24"));
    assert_eq!(told.value("router"), Some(site::BASTION));
    assert_eq!(told.value("dns"), Some(site::BASTION));
    assert_eq!(told.value("ntpsrv"), Some(site::BASTION));
    assert_eq!(told.value("domain"), Some("edge.example.com"));
    assert_eq!(told.value("search"), Some("edge.example.com"));
    assert_eq!(told.value("lease"), Some("600"));
    assert!(
        told.value("hostname").is_some_and(|name| name == "n1" || name == "n1.edge.example.com"),
        "{told:?}"
    );
    assert_eq!(leased(&lab, site::N1.0).as_deref(), Some(site::N1.1));

    let n2 = machine(&lab, "n2", "52:54:00:00:08:22");
    let told = dhclient(
        &lab,
        &n2,
        "request subnet-mask, routers, domain-name-servers, host-name, domain-search, ntp-servers;",
    );
    let told = told.expect("an address");
    assert_eq!(told.value("new_ip_address"), Some(site::N2.1), "any card of a node has the node's address");
    assert_eq!(told.value("new_routers"), Some(site::BASTION));
    assert_eq!(told.value("new_ntp_servers"), Some(site::BASTION));
}

#[test]
fn a_stranger_gets_an_address_of_the_pool() {
    let lab = running(site::SITE);
    let stranger = machine(&lab, "s", site::STRANGER);
    let told = udhcpc(&lab, &stranger, &[]).expect("an address");
    let last: u8 = told.value("ip").unwrap().rsplit_once('.').unwrap().1.parse().unwrap();
    assert!((128..=250).contains(&last), "{told:?}");
    assert_eq!(leased(&lab, site::STRANGER).as_deref(), told.value("ip"));
}

#[test]
fn one_machine_keeps_one_address_whatever_client_id_it_sends() {
    let lab = running(site::SITE);
    for (name, mac, expected) in [("n1", site::N1.0, Some(site::N1.1)), ("s", site::STRANGER, None)] {
        let machine = machine(&lab, name, mac);
        let mut seen = Vec::new();
        let mut note = |told: Option<Told>, key: &str| {
            let told = told.expect("an address");
            seen.push(told.value(key).unwrap().to_owned());
        };
        note(udhcpc(&lab, &machine, &["-C"]), "ip");
        note(udhcpc(&lab, &machine, &[]), "ip");
        note(udhcpc(&lab, &machine, &["-C", "-x", "0x3d:ff00112233000200000ab1234567890abc"]), "ip");
        note(udhcpc(&lab, &machine, &["-C", "-x", "0x3d:0001020304050607"]), "ip");
        note(
            dhclient(&lab, &machine, "send dhcp-client-identifier 0:2:0:0:ab:11:1:2:3:4;"),
            "new_ip_address",
        );
        note(dhclient(&lab, &machine, "send dhcp-client-identifier \"changed\";"), "new_ip_address");
        seen.dedup();
        assert_eq!(seen.len(), 1, "{name}: {seen:?}");
        assert_eq!(leased(&lab, mac).as_deref(), Some(seen[0].as_str()));
        if let Some(expected) = expected {
            assert_eq!(seen[0], expected);
        }
    }
}

#[test]
fn a_released_address_is_free_again_and_comes_back_to_its_owner() {
    let lab = running(site::SITE);
    let stranger = machine(&lab, "s", site::STRANGER);
    let first = dhclient(&lab, &stranger, "").expect("an address");
    let address = first.value("new_ip_address").unwrap().to_owned();
    assert_eq!(leased(&lab, site::STRANGER).as_deref(), Some(address.as_str()));
    stranger.ip(&format!("addr add {address}/24 dev eth0")).unwrap();
    let leases = lab.dir().join(format!("{}.leases", stranger.name())).display().to_string();
    run(&stranger, "dhclient", &["-4", "-r", "-lf", &leases, "-pf", "/dev/null", "-sf", "/bin/true", "eth0"]);
    eventually("the lease ends", || leased(&lab, site::STRANGER).is_none());
    let later = udhcpc(&lab, &stranger, &[]).expect("an address");
    assert_eq!(later.value("ip"), Some(address.as_str()));
}

#[test]
fn an_ignored_machine_is_not_answered_and_the_reason_is_kept() {
    let lab = running(
        &site::SITE
            .replace("lease = \"10m\"", &format!("lease = \"10m\"\nignore = [\"{}\"]", site::STRANGER)),
    );
    let stranger = machine(&lab, "s", site::STRANGER);
    assert!(udhcpc(&lab, &stranger, &["-t", "1", "-T", "1"]).is_none());
    let events = lab.events().unwrap();
    let event =
        events.wait_for("dhcp_unanswered", Duration::from_secs(5), |event| event.event == "dhcp_unanswered");
    assert!(event.unwrap().fields.to_string().contains("ignore"));
    assert!(counter(&lab, "dhcpd", "faros_dhcpd_dropped_total") >= 1);
}

#[test]
fn the_wan_side_is_not_served() {
    let lab = running(site::SITE);
    lab.wan().ip("link set wan0 address 52:54:00:00:08:11").unwrap();
    let (script, _) = script(&lab, "wan");
    let script = script.display().to_string();
    let output =
        run(lab.wan(), "udhcpc", &["-i", "wan0", "-n", "-q", "-f", "-t", "2", "-T", "1", "-s", &script]);
    assert!(!output.status.success(), "the uplink got an answer");
    assert_eq!(leased(&lab, site::N1.0), None);
}
