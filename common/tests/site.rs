//! The contract's own site file, as every daemon sees it.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use faros_common::site::{self, Balance, CheckKind, Mac, OwnerKind, ProxyVersion, Side, Site};

const CONTRACT: &str = include_str!("data/site.toml");

fn parse(text: &str) -> Site {
    site::parse(text, Path::new("site.toml")).unwrap_or_else(|report| panic!("{report}")).site
}

fn contract() -> Site {
    parse(CONTRACT)
}

fn minimal(more: &str) -> Site {
    parse(&format!(
        "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\n\
         [lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\n{more}"
    ))
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[test]
fn the_contract_loads_and_only_its_controllers_in_the_pool_are_pointed_out() {
    let loaded = site::parse(CONTRACT, Path::new("site.toml")).unwrap_or_else(|report| panic!("{report}"));
    let warned: Vec<_> = loaded.report.diagnostics.iter().map(|found| found.key.as_str()).collect();
    assert_eq!(warned, ["node[0].bmc.address", "node[1].bmc.address"], "{}", loaded.report);
    assert!(loaded.report.to_string().contains("inside the pool"));
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
    let windows = format!("\u{feff}{}", CONTRACT.replace('\n', "\r\n"));
    assert_eq!(parse(&windows), contract());
}

#[test]
fn three_tables_are_enough() {
    let site = minimal("");
    assert_eq!(site.cluster_address(), ip("192.168.8.1"));
    assert_eq!(site.base_url(), "http://192.168.8.1:8080");
    assert!(site.lb.frontends.is_empty() && site.nodes.is_empty());
    let pointers = site.pointers();
    assert_eq!(pointers.len(), 1);
    assert_eq!(pointers[0].name, "bastion.edge.example.com.");
}

#[test]
fn every_machine_has_its_name_and_each_address_one_pointer() {
    let site = contract();
    let names: Vec<String> =
        site.names().iter().map(|name| format!("{} {}", name.name, name.address)).collect();
    let zone = "edge.example.com.";
    for expected in [
        "bastion 192.168.8.1",
        "bastion fd08::1",
        "api 192.168.8.2",
        "api-int 192.168.8.2",
        "*.apps 192.168.8.2",
        "cp1 192.168.8.11",
        "bootstrap 192.168.8.10",
        "printer 192.168.8.62",
        "cp1-mgmt 192.168.8.211",
    ] {
        let (label, address) = expected.split_once(' ').unwrap();
        assert!(names.contains(&format!("{label}.{zone} {address}")), "{expected} is not in {names:?}");
    }
    let pointers = site.pointers();
    let addresses: std::collections::BTreeSet<_> = pointers.iter().map(|pointer| pointer.address).collect();
    assert_eq!(addresses.len(), pointers.len());
    let of = |address: &str| pointers.iter().find(|p| p.address == ip(address)).map(|p| p.name.as_str());
    assert_eq!(of("192.168.8.2"), Some("api.edge.example.com."));
    assert_eq!(of("192.168.8.11"), Some("cp1.edge.example.com."));
    assert_eq!(of("192.168.8.211"), Some("cp1-mgmt.edge.example.com."));
}

#[test]
fn openshift_gets_its_front_ends_and_the_file_adds_its_own() {
    let site = contract();
    let shown: Vec<String> = site
        .lb
        .frontends
        .iter()
        .map(|frontend| {
            let backends: Vec<_> = frontend
                .backends
                .iter()
                .map(|backend| format!("{}{}", backend.name, if backend.backup { "+" } else { "" }))
                .collect();
            format!("{} {} {} {}", frontend.name, frontend.listen[0], backends.join(","), frontend.lan_only)
        })
        .collect();
    assert_eq!(
        shown,
        [
            "api 192.168.8.2:6443 cp1,cp2,cp3,bootstrap+ false",
            "machine-config 192.168.8.2:22623 cp1,cp2,cp3,bootstrap+ true",
            "ingress-http 192.168.8.2:80 cp1,cp2,cp3 false",
            "ingress-https 192.168.8.2:443 cp1,cp2,cp3 false",
            "registry 192.168.8.2:5000 reg-a,reg-b false",
        ]
    );
    let ingress = &site.lb.frontends[2].check;
    assert_eq!(
        (ingress.kind, ingress.port, ingress.path.as_str()),
        (CheckKind::Http, Some(1936), "/healthz/ready")
    );
    assert_eq!(site.lb.frontends[0].check.path, "/readyz");
}

#[test]
fn derived_front_ends_have_the_platforms_own_times_and_others_the_careful_ones() {
    let secs = Duration::from_secs;
    let site = contract();
    let [api, _, ingress, _, registry] = &site.lb.frontends[..] else { panic!("five front ends") };
    for front in [api, ingress] {
        let check = &front.check;
        let times = (check.interval, check.fast_interval, check.timeout, check.rise, check.fall);
        assert_eq!(times, (secs(3), secs(1), secs(2), 3, 2), "{}", front.name);
        assert_eq!(check.status, [200..=299]);
        assert_eq!(front.first_byte_timeout, Some(secs(60)));
        assert!(front.close_on_down && !front.log && front.allow.is_empty());
    }
    assert_eq!((api.slow_start, ingress.slow_start), (secs(60), secs(0)));
    assert_eq!((api.balance, ingress.balance), (Balance::LeastConnections, Balance::Source));
    let check = &registry.check;
    let times = (check.interval, check.fast_interval, check.timeout, check.rise, check.fall);
    assert_eq!(times, (secs(5), secs(2), secs(3), 2, 3));
    assert_eq!(check.status, [200..=399]);
    assert_eq!((registry.connect_timeout, registry.idle_timeout), (secs(5), secs(24 * 3600)));
    assert_eq!((registry.first_byte_timeout, registry.slow_start), (None, secs(0)));
    assert_eq!((registry.max_connections, registry.max_per_source), (16_384, None));
    assert_eq!(registry.congestion_control.as_deref(), Some("cubic"));
    assert!(!registry.close_on_down);
}

#[test]
fn what_lb_says_holds_for_every_front_end_that_says_nothing_else() {
    let text = CONTRACT.replacen(
        "[lb]\n",
        "[lb]\nmax-connections = 100\nmax-per-source = 10\ncongestion-control = \"system\"\nlog = true\n\
         api-ca = \"/etc/faros/api.pem\"\ningress-send-proxy = \"v2\"\n",
        1,
    );
    let text = text.replacen("plane   = \"user\"", "plane = \"user\"\nmax-per-source = 0\nlog = false", 1);
    let site = parse(&text);
    let [api, machine_config, ingress, _, registry] = &site.lb.frontends[..] else {
        panic!("five front ends")
    };
    for front in [api, machine_config, ingress] {
        assert_eq!((front.max_connections, front.max_per_source, front.log), (100, Some(10), true));
        assert_eq!(front.congestion_control, None);
    }
    assert_eq!((registry.max_connections, registry.max_per_source, registry.log), (100, None, false));
    assert_eq!(api.check.ca.as_deref(), Some(Path::new("/etc/faros/api.pem")));
    assert_eq!(api.check.server_name.as_deref(), Some("api-int.edge.example.com"));
    assert_eq!(machine_config.check.ca, None);
    assert_eq!((api.send_proxy, ingress.send_proxy), (None, Some(ProxyVersion::V2)));
}

#[test]
fn workers_take_the_ingress_from_the_control_plane() {
    let worker = "\n[[node]]\nname = \"w1\"\nrole = \"worker\"\nmac = \"52:54:00:00:08:21\"\naddress = \"192.168.8.21\"\n";
    let site = parse(&format!("{CONTRACT}{worker}"));
    let ingress = site.lb.frontends.iter().find(|frontend| frontend.name == "ingress-http").unwrap();
    assert_eq!(ingress.backends.len(), 1);
    assert_eq!(ingress.backends[0].address, "192.168.8.21:80".parse().unwrap());
}

#[test]
fn other_kinds_of_clusters_derive_less() {
    let of_kind = |kind: &str| parse(&CONTRACT.replacen("\"openshift\"", &format!("\"{kind}\""), 1));
    let kubernetes = of_kind("kubernetes");
    let names: Vec<_> = kubernetes.lb.frontends.iter().map(|frontend| frontend.name.as_str()).collect();
    assert_eq!(names, ["api", "ingress-http", "ingress-https", "registry"]);
    let none = of_kind("none");
    assert_eq!(none.lb.frontends.len(), 1);
    assert!(!none.names().iter().any(|name| name.name.starts_with("api") || name.name.starts_with('*')));
}

#[test]
fn reservations_cover_every_card_once() {
    let site = contract();
    let reservations = site.reservations();
    let mut macs: Vec<Mac> = reservations.iter().flat_map(|reservation| reservation.macs.clone()).collect();
    macs.sort_unstable();
    let count = macs.len();
    macs.dedup();
    assert_eq!((macs.len(), count), (8, 8));
    let cp2 = reservations.iter().find(|reservation| reservation.name == "cp2").unwrap();
    assert_eq!(cp2.macs, ["52:54:00:00:08:12".parse().unwrap(), "52:54:00:00:00:13".parse().unwrap()]);
    assert!(!site.leasable().contains(&"192.168.8.211".parse().unwrap()));
    assert_eq!(site.leasable().len(), 123 - 2);
}

#[test]
fn who_is_who() {
    let site = contract();
    let owner = |address: &str| site.owner_of_address(ip(address)).map(|owner| (owner.kind, owner.name));
    assert_eq!(owner("192.168.8.1"), Some((OwnerKind::Bastion, "bastion".to_owned())));
    assert_eq!(owner("192.168.8.2"), Some((OwnerKind::Vip, "api".to_owned())));
    assert_eq!(owner("192.168.8.212"), Some((OwnerKind::Bmc, "cp2-mgmt".to_owned())));
    assert_eq!(owner("192.168.8.99"), None);
    assert_eq!(site.node_by_mac("5254.0000.0013".parse().unwrap()).unwrap().name, "cp2");
    assert_eq!(site.node_by_address(ip("192.168.8.13")).unwrap().name, "cp3");
    assert_eq!(site.side_of("eno3"), Some(Side::Lan));
    assert_eq!(site.side_of("eno1"), Some(Side::Wan));
    assert_eq!(site.side_of("eno9"), None);
}

#[test]
fn guests_are_their_node_or_have_a_card_of_their_own() {
    let site = minimal(
        "[[vm]]\nname = \"app\"\naddress = \"192.168.8.30\"\n[[vm]]\nnode = \"w1\"\n[[node]]\nname = \"w1\"\nrole = \"worker\"\naddress = \"192.168.8.31\"\n",
    );
    let reservations = site.reservations();
    let app = reservations.iter().find(|reservation| reservation.name == "app").unwrap();
    assert_eq!(app.kind, OwnerKind::Vm);
    assert_eq!(app.address, Some("192.168.8.30".parse().unwrap()));
    assert_eq!(app.macs[0].0[..3], [0x52, 0x54, 0]);
    let node = reservations.iter().find(|reservation| reservation.name == "w1").unwrap();
    assert_eq!((node.kind, node.macs.len()), (OwnerKind::Node, 1));
    assert_eq!(site.node_by_mac(node.macs[0]).unwrap().name, "w1");
    assert_eq!(
        site,
        minimal(
            "[[vm]]\nname = \"app\"\naddress = \"192.168.8.30\"\n[[vm]]\nnode = \"w1\"\n[[node]]\nname = \"w1\"\nrole = \"worker\"\naddress = \"192.168.8.31\"\n"
        )
    );
}

#[test]
fn the_rest_of_the_site_follows_whoever_does_the_job_instead() {
    let site = minimal(
        "[http]\nenable = false\nexternal = \"192.168.8.7\"\n[dns]\nenable = false\nexternal = \"192.168.8.8\"\n\
         [lb]\nenable = false\nexternal = \"192.168.8.9\"\n[ntp]\nenable = false\n",
    );
    assert_eq!(site.base_url(), "http://192.168.8.7:8080");
    assert_eq!(site.dns_server(), Some(ip("192.168.8.8")));
    assert_eq!(site.ntp_server(), None);
    assert_eq!(site.cluster_address(), ip("192.168.8.9"));
    assert!(
        site.names().iter().any(|name| name.name.starts_with("api.") && name.address == ip("192.168.8.9"))
    );
}

#[test]
fn listen_addresses_come_with_or_without_port() {
    let site = minimal(
        "[http]\nlisten = [\"192.168.8.1\", \"127.0.0.1:81\"]\nport = 8081\n[tang]\nlisten = \"192.168.8.1\"\n",
    );
    assert_eq!(site.http.listen, ["192.168.8.1:8081".parse().unwrap(), "127.0.0.1:81".parse().unwrap()]);
    assert_eq!(site.tang.listen, ["192.168.8.1:7500".parse().unwrap()]);
    assert_eq!(site.base_url(), "http://192.168.8.1:8081");
}

#[test]
fn options_become_the_bytes_of_the_wire() {
    let site = minimal(
        "[dhcp]\noptions = [{ code = 119, text = \"example.com\" }, { code = 43, hex = \"01:02\" }, { code = 2, u32 = 3600 }, \
         { code = 19, bool = true }, { code = 42, ips = [\"192.0.2.1\", \"192.0.2.2\"] }, { code = 26, u16 = 1400 }]\n",
    );
    let bytes: Vec<_> = site.dhcp.options.iter().map(|option| (option.code, option.value.clone())).collect();
    assert_eq!(
        bytes,
        [
            (119, b"\x07example\x03com\0".to_vec()),
            (43, vec![1, 2]),
            (2, vec![0, 0, 14, 16]),
            (19, vec![1]),
            (42, vec![192, 0, 2, 1, 192, 0, 2, 2]),
            (26, vec![5, 120]),
        ]
    );
}

#[test]
fn arguments_are_filled_in_for_each_node() {
    let site = contract();
    let node = site.node_by_name("cp1").unwrap();
    let args = site.fill_in(&site.profiles["rhcos"].args, node).unwrap();
    assert_eq!(
        args,
        "coreos.live.rootfs_url=http://192.168.8.1:8080/rhcos/rootfs.img coreos.inst.install_dev=/dev/nvme0n1 \
         coreos.inst.ignition_url=http://192.168.8.1:8080/ignition/cp1"
    );
    assert_eq!(site.fill_in("{{{role}}} {mac}", node).unwrap(), "{control-plane} 52:54:00:00:08:11");
    assert!(site.fill_in("{x", node).is_err() && site.fill_in("}", node).is_err());
}

#[test]
fn dns_without_a_word_listens_on_the_usual_ports_of_each_transport() {
    let site = contract();
    let dns = &site.dns;
    assert_eq!(shown(&dns.listen), ["192.168.8.1:53", "[fd08::1]:53"]);
    assert_eq!(shown(&dns.tls_listen), ["192.168.8.1:853", "[fd08::1]:853"]);
    assert_eq!(shown(&dns.https_listen), ["192.168.8.1:443", "[fd08::1]:443"], "the ingress has the VIP's");
    assert_eq!(shown(&dns.quic_listen), ["192.168.8.1:853", "[fd08::1]:853"]);
    assert_eq!((dns.cache_bytes, dns.stale.as_secs()), (64 << 20, 259_200));
    assert!(!dns.query_log && !dns.validate && !dns.etcd && dns.keys.is_empty());
    assert_eq!(dns.certificate.to_str(), Some("/etc/faros/tls/dnsd.crt"));
    assert_eq!(dns.key.to_str(), Some("/etc/faros/tls/dnsd.key"));
}

#[test]
fn dns_over_https_steps_aside_for_whatever_has_its_port() {
    // The ingress on the bastion's own address.
    let site = parse(
        &CONTRACT.replacen("vip       = \"192.168.8.2\"", "", 1).replace("192.168.8.2:", "192.168.8.1:"),
    );
    assert_eq!(shown(&site.dns.https_listen), ["192.168.8.1:8443", "[fd08::1]:443"]);
    // Not where another machine balances.
    let off = "\n[lb]\nenable = false\nexternal = \"192.168.8.3\"\n";
    assert_eq!(shown(&minimal(off).dns.https_listen), ["192.168.8.1:443"]);
    // Any service of the file; and where both ports are taken, none.
    assert_eq!(shown(&minimal("[console]\nport = 443\n").dns.https_listen), ["192.168.8.1:8443"]);
    assert!(minimal("[console]\nport = 443\n[tang]\nport = 8443\n").dns.https_listen.is_empty());
    assert!(minimal("[console]\nport = 853\n").dns.tls_listen.is_empty());
    assert_eq!(shown(&minimal("[console]\nport = 853\n").dns.quic_listen), ["192.168.8.1:853"]);
}

#[test]
fn dns_listens_over_tls_where_it_is_told_or_nowhere() {
    let site = minimal(
        "[dns]\nlisten = [\"192.168.8.1:53\", \"192.168.8.1:5353\"]\ntls-listen = []\n\
         https-listen = [\"192.168.8.1:8053\", \"127.0.0.1\"]\n",
    );
    assert!(site.dns.tls_listen.is_empty());
    assert_eq!(shown(&site.dns.https_listen), ["192.168.8.1:8053", "127.0.0.1:443"]);
    assert_eq!(shown(&site.dns.quic_listen), ["192.168.8.1:853"]);
}

#[test]
fn dns_keys_are_absolute_and_may_change_what_the_file_says() {
    let site = minimal(
        "[[dns.key]]\nname = \"External-DNS.\"\nsecret = { file = \"/etc/faros/k\" }\n\
         update = [\"apps\", \"@\", \"x.edge.example.com.\", \"8.168.192.in-addr.arpa.\"]\n",
    );
    let [key] = &site.dns.keys[..] else { panic!("one key") };
    assert_eq!(key.name, "external-dns.");
    assert_eq!(
        key.update,
        ["apps.edge.example.com.", "edge.example.com.", "x.edge.example.com.", "8.168.192.in-addr.arpa."]
    );
    assert_eq!(key.types, ["A", "AAAA", "CNAME", "TXT", "SRV"]);
    assert_eq!(key.algorithm, site::DnsKeyAlgorithm::HmacSha256);
    assert!(!key.transfer);
    let site = minimal(
        "[dns]\nprivate = [\"Corp.Example\"]\nvalidate = true\nnegative-trust-anchors = [\"a.b.\"]\n",
    );
    assert_eq!(
        (&site.dns.private[..], &site.dns.negative_trust_anchors[..]),
        (&["corp.example.".to_owned()][..], &["a.b.".to_owned()][..])
    );
}

#[test]
fn unlocking_without_a_word_is_open_unhurried_and_unsealed() {
    let tang = contract().tang;
    assert_eq!(
        (tang.policy, tang.rate, tang.hold, tang.rotate),
        (site::TangPolicy::Open, Some(60), false, None)
    );
    assert!(tang.windows.is_empty() && tang.slots.is_empty() && tang.tls_listen.is_empty() && !tang.sealed);
    assert_eq!(tang.certificate.to_str(), Some("/etc/faros/tls/tangd.crt"));
    assert!(contract().nodes.iter().all(|node| node.tang.is_none()));
}

#[test]
fn unlocking_follows_every_word_of_the_file() {
    let site = minimal(
        "[tang]\npolicy = \"known-nodes\"\nrate = 0\nwindows = [\"mon-fri 06:00-20:00\", \"sun 22:00-04:00\", \"sat\"]\n\
         tls-listen = [\"192.168.8.1\", \"192.168.8.1:8443\"]\nsealed = true\nthreshold = 2\nrotate = \"90d\"\n\
         [[tang.slot]]\nkind = \"passphrase\"\n\
         [[tang.slot]]\nkind = \"tpm2\"\npcrs = [7, 0, 7]\n\
         [[tang.slot]]\nkind = \"tang\"\nurl = \"https://tang.example.com:7500/\"\nthumbprint = \"qgmqJSo6AEEuVQY7zVlklqdTMqY\"\nca = \"/etc/ca.crt\"\n\
         [[node]]\nname = \"w1\"\nrole = \"worker\"\nmac = \"52:54:00:00:08:21\"\ntang = \"deny\"\n",
    );
    let tang = &site.tang;
    assert_eq!(
        (tang.rate, tang.threshold, tang.rotate.map(|age| age.as_secs())),
        (None, 2, Some(90 * 86_400))
    );
    assert_eq!(shown(&tang.tls_listen), ["192.168.8.1:7501", "192.168.8.1:8443"]);
    let kinds: Vec<_> = tang.slots.iter().map(site::TangSlot::kind).collect();
    assert_eq!(kinds, ["passphrase", "tpm2", "tang"]);
    assert_eq!(tang.slots[1], site::TangSlot::Tpm2 { pcrs: vec![0, 7] });
    assert!(matches!(&tang.slots[2], site::TangSlot::Tang { url, ca: Some(ca), .. }
            if url == "https://tang.example.com:7500" && ca.as_os_str() == "/etc/ca.crt"));
    let windows: Vec<_> = tang.windows.iter().map(|window| (window.from, window.minutes)).collect();
    assert_eq!(windows, [(360, 840), (1320, 360), (0, 1440)]);
    assert_eq!(site.nodes[0].tang, Some(site::TangAccess::Deny));
}

fn shown(addresses: &[std::net::SocketAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}
