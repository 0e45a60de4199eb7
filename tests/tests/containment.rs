//! A defect of ours costs one request, not the service.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use faros_lab::Lab;
use faros_tests::lb::Node;
use faros_tests::lb::site::VIP;
use faros_tests::{counter, machine, machine_at, run, site};

#[test]
fn a_panic_in_every_second_request_stops_no_daemon() {
    let mut lab = Lab::build_text(site::SITE).unwrap();
    site::furnish(&lab);
    for name in faros_lab::DAEMONS {
        // A connection through the balancer is many events; each of them can be the one that fails.
        let fault =
            if name == "lb" { "panic:lb.session:6".to_owned() } else { format!("panic:{name}.request:2") };
        lab.start_daemon_with(name, &[], &[("FAROS_FAULT", &fault)]).unwrap();
    }
    let client = machine_at(&lab, "client", "52:54:00:00:77:09", "192.168.8.20/24");
    let node = machine(&lab, "node", site::STRANGER);
    let ingress = machine_at(&lab, "ingress", site::N1.0, &format!("{}/24", site::N1.1));
    let _ingress = Node::start(&lab, &ingress, "n1");
    std::fs::write(lab.boot_root().join("file"), "content").unwrap();
    for round in 0..4 {
        let lease =
            run(&node, "udhcpc", &["-i", "eth0", "-n", "-q", "-f", "-t", "6", "-T", "1", "-s", "/bin/true"]);
        assert!(lease.status.success(), "round {round}: {lease:?}");
        let file = run(&client, "curl", &["-sS", "-m", "20", &format!("tftp://{}/file", site::BASTION)]);
        assert_eq!(file.stdout, b"content", "round {round}: {file:?}");
        let server = format!("@{}", site::BASTION);
        let name = run(&client, "dig", &[&server, "+short", "+tries=5", "+time=1", "api.edge.example.com"]);
        assert!(name.stdout.ends_with(b"192.168.8.2\n"), "round {round}: {name:?}");
        let url = format!("http://{}:8080/file", site::BASTION);
        let file = run(&client, "curl", &["-sS", "--fail", "--retry", "3", "--retry-all-errors", &url]);
        assert_eq!(file.stdout, b"content", "round {round}: {file:?}");
        let url = format!("http://{}:7500/adv", site::BASTION);
        let keys = run(&client, "curl", &["-sS", "--fail", "--retry", "3", "--retry-all-errors", &url]);
        assert!(keys.stdout.starts_with(b"{"), "round {round}: {keys:?}");
        let url = format!("http://{VIP}/");
        let page = run(&client, "curl", &["-sS", "--fail", "--retry", "6", "--retry-all-errors", &url]);
        assert_eq!(page.stdout, b"n1\n", "round {round}: {page:?}");
    }
    for name in faros_lab::DAEMONS {
        let metric = format!("faros_{}_panics_total", name.replace('-', "_"));
        assert!(
            counter(&lab, name, &metric) >= 2,
            "{name} had no defect: was it built with the feature `fault`?"
        );
    }
}
