//! The lab's network, without any daemon. Needs root and `ip`, as everything that uses the lab.

use std::net::Ipv4Addr;

use faros_lab::{Lab, Signal};

const SITE: &str = r#"
version = 1
[cluster]
name = "edge"
domain = "example.com"
kind = "none"
[lan]
interface = "lan0"
address = "192.168.8.1/24"
address6 = "fd08::1/64"
[wan]
interface = "eno1"
address = "dhcp"
"#;

fn namespaces() -> Vec<String> {
    let listed = std::fs::read_dir("/run/netns").map(|entries| {
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect::<Vec<_>>()
    });
    listed.unwrap_or_default()
}

#[test]
fn a_machine_on_the_lan_reaches_the_bastion_and_everything_goes_with_the_lab() {
    let lab = Lab::build_text(SITE).unwrap();
    assert_eq!(lab.address(), Ipv4Addr::new(192, 168, 8, 1));
    let node = lab.add_node_namespace("probe", "52:54:00:00:00:01".parse().unwrap()).unwrap();
    assert!(node.ip("link show eth0").unwrap().contains("52:54:00:00:00:01"));
    node.ip("addr add 192.168.8.9/24 dev eth0").unwrap();

    let inside = lab.bastion().run("ip", ["-o", "addr", "show", "lan0"]).unwrap();
    assert!(inside.contains("192.168.8.1/24") && inside.contains("fd08::1/64"), "{inside}");
    assert!(!inside.contains("tentative"), "{inside}");
    assert!(lab.wan().ip("-o addr show wan0").unwrap().contains("198.51.100.1/24"));

    // The kernel answers for the bastion: a refused connection has crossed the bridge and back.
    let entered =
        node.inside(|| std::net::TcpStream::connect((lab.address(), 9)).unwrap_err().kind()).unwrap();
    assert_eq!(entered, std::io::ErrorKind::ConnectionRefused);

    let mut sleeper = lab.bastion().command("sleep").arg("1000").spawn().unwrap();
    let (bastion, probe, dir) =
        (lab.bastion().name().to_owned(), node.name().to_owned(), lab.dir().to_owned());
    assert!(namespaces().contains(&bastion) && namespaces().contains(&probe));
    drop(node);
    drop(lab);
    assert!(!namespaces().contains(&bastion) && !namespaces().contains(&probe));
    assert!(!dir.exists());
    assert!(!sleeper.wait().unwrap().success(), "processes in a namespace end with it");
}

#[test]
fn a_daemon_that_is_not_there_is_named() {
    let mut lab = Lab::build_text(SITE).unwrap();
    let error = lab.start_daemon("nothing").unwrap_err().to_string();
    assert!(error.contains("faros-nothing") && error.contains("FAROS_BIN_DIR"), "{error}");
    assert!(lab.signal_daemon("dhcpd", Signal::HUP).is_err());
    assert!(lab.daemon("dhcpd").is_none());
}

#[test]
fn a_refused_site_file_is_explained() {
    let text =
        "version = 1\n[cluster]\nname = \"edge\"\n[lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1\"\n";
    let error = Lab::build_text(text).unwrap_err().to_string();
    assert!(error.contains("lan.address"), "{error}");
}
