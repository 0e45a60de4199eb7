//! Which server a connection goes to, and which servers there cannot be.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use faros_tests::lb::PATIENCE;
use faros_tests::lb::backend::{self, Backend};
use faros_tests::lb::client::Crowd;
use faros_tests::lb::site::{self, Balanced, NODES, PORT, VIP, node, vip};
use faros_tests::{eventually, on_both_planes};
use socket2::{Domain, SockAddr, Socket, Type};

on_both_planes!(
    l24_two_servers_on_one_address,
    l31_one_client_keeps_its_server,
    l32_only_the_clients_of_a_server_that_goes_move,
);

fn l24_two_servers_on_one_address(plane: &str) {
    let front = format!(
        "[[lb.frontend]]\nname = \"raw\"\nlisten = [\"{VIP}:{PORT}\"]\nbalance = \"round-robin\"\n\
         check = {{ kind = \"tcp\", interval = \"500ms\", rise = 1 }}\nbackend = [\
         {{ name = \"n1\", address = \"{}:7001\" }}, {{ name = \"n2\", address = \"{}:7002\" }}, \
         {{ name = \"n3\", address = \"{}:7003\" }}]\n",
        NODES[0].2, NODES[0].2, NODES[1].2
    );
    let site = Balanced::running(&site::text(plane, "", &front));
    let _servers = [
        Backend::named(&site.nodes[0], node(0, 7001), "first"),
        Backend::named(&site.nodes[0], node(0, 7002), "second"),
        Backend::named(&site.nodes[1], node(1, 7003), "third"),
    ];
    site.await_up("raw", &["n1", "n2", "n3"]);
    let crowd = Crowd::asks(&site.client, vip(PORT), 90, 1);
    crowd.assert_all_served("two of three on one address");
    assert_eq!(crowd.served.len(), 3, "{:?}", crowd.served);
    site.operate("raw", "n2", "drain");
    eventually("only one of them is drained", || {
        let crowd = Crowd::asks(&site.client, vip(PORT), 30, 1);
        crowd.failed.is_empty() && crowd.served.keys().eq(["first", "third"])
    });
}

/// L22, L23, L26: what could not be served is refused with the file, not at three in the morning.
#[test]
fn l26_a_front_end_that_is_its_own_server_is_refused() {
    let site = Balanced::built(&site::text("user", "", ""));
    for (address, what) in [
        (format!("{VIP}:{PORT}"), "the front end itself"),
        ("localhost:5000".to_owned(), "a name"),
        ("server.example.com:5000".to_owned(), "a name"),
    ] {
        let front = format!(
            "[[lb.frontend]]\nname = \"loop\"\nlisten = [\"{VIP}:{PORT}\"]\nbackend = [{{ name = \"a\", address = \"{address}\" }}]\n"
        );
        site.lab.write_site(&site::text("user", "", &front)).unwrap();
        let output = faros_tests::farosctl().arg("check").arg(site.lab.site_file()).output().unwrap();
        let said = [output.stdout.clone(), output.stderr.clone()].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(!output.status.success(), "{what} is taken: {said}");
        assert!(said.contains("address"), "{what}: {said}");
    }
}

fn l31_one_client_keeps_its_server(plane: &str) {
    let site = Balanced::running(&site::text(plane, "", &site::front("balance = \"source\"")));
    let _servers = site.named();
    site.await_up("raw", &["n1", "n2", "n3"]);
    let crowd = Crowd::asks(&site.client, vip(PORT), 200, 4);
    crowd.assert_all_served("one client");
    assert_eq!(crowd.served.len(), 1, "{:?}", crowd.served);
}

fn l32_only_the_clients_of_a_server_that_goes_move(plane: &str) {
    let site = Balanced::running(&site::text(plane, "", &site::front("balance = \"source\"")));
    let _servers = site.named();
    site.await_up("raw", &["n1", "n2", "n3"]);
    let sources: Vec<Ipv4Addr> = (130..190).map(|last| Ipv4Addr::new(192, 168, 8, last)).collect();
    for source in &sources {
        site.client.ip(&format!("addr add {source}/32 dev eth0")).unwrap();
    }
    let map = || -> BTreeMap<Ipv4Addr, String> {
        site.client
            .inside(|| {
                sources.iter().map(|&source| (source, ask_as(source).expect("it is served"))).collect()
            })
            .unwrap()
    };
    let before = map();
    let each = NODES.map(|(name, ..)| before.values().filter(|server| *server == name).count());
    println!("{plane}: {each:?} clients each");
    assert!(each.iter().all(|&count| count > 5), "{each:?}");
    site.operate("raw", "n2", "drain");
    eventually("it is drained", || !map().values().any(|server| server == "n2"));
    let between = map();
    for (source, server) in &before {
        assert!(
            server == "n2" || between[source] == *server,
            "{source} moved from {server} to {}",
            between[source]
        );
    }
    site.operate("raw", "n2", "enable");
    eventually("all are back where they were", || map() == before);
}

fn ask_as(source: Ipv4Addr) -> std::io::Result<String> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SockAddr::from(SocketAddr::new(IpAddr::V4(source), 0)))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect_timeout(&SockAddr::from(vip(PORT)), PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(b"who?\n")?;
    backend::read_line(&mut stream)
}
