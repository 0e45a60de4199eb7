//! The real stack over loopback sockets, with raw bytes; numbers like H12 are those of the catalogue of
//! hostile input that every HTTP service here is held against.

use std::net::IpAddr;
use std::path::Path;

use faros_common::events::Events;
use faros_common::journal::Disk;
use faros_common::journal::sim::{Fault, Operation, SimDisk};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::*;
use crate::config::Config;
use crate::config::tests::site;
use crate::metrics::Counters;
use crate::protocol::journey::Stage;
use crate::store::Store;

const PROFILE: &str = r#"
    kernel = "rhcos/kernel"
    initrd = ["rhcos/initramfs.img"]
    args = "coreos.inst.ignition_url={ignition}"
    ignition = { control-plane = "rhcos/master.ign" }
"#;
const IGN: &str = r#"{"ignition":{"version":"3.3.0"}}"#;
const CP1: u8 = 11;
const SPARE: u8 = 12;
const STRANGER: u8 = 200;

struct Lab {
    service: Arc<Service>,
    limits: Limits,
    control: Control,
    _switch: watch::Sender<bool>,
    root: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        Self::with_profile(PROFILE)
    }

    fn with_profile(profile: &str) -> Self {
        Self::with(profile, Store::in_memory())
    }

    fn with(profile: &str, store: Store) -> Self {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, content: &[u8]| std::fs::write(root.path().join(path), content).unwrap();
        std::fs::create_dir_all(root.path().join("rhcos")).unwrap();
        write("rhcos/kernel", &[7; 1000]);
        write("rhcos/initramfs.img", b"0123456789");
        write("rhcos/master.ign", IGN.as_bytes());
        write("plain.txt", b"plain");
        write("snponly.efi", b"MZ");
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("outer")).unwrap();
        let config = Config::of(&site(root.path(), profile)).unwrap();
        let counters = Arc::new(Counters::default());
        let service = Service::new(config, store, Events::new("test"), counters, Path::new("/nonexistent"));
        let limits = Limits { connections: 50, per_address: 50, patience: Patience::default(), tick: TICK };
        let (control, switch) = Control::new();
        Self { service: Arc::new(service), limits, control, _switch: switch, root }
    }

    fn peer(last: u8) -> Peer {
        Peer { address: IpAddr::from([192, 168, 8, last]), local: last == 1 }
    }

    /// A connection as if from 192.168.8.`last`.
    async fn connect(&self, last: u8) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (service, limits, control) = (Arc::clone(&self.service), self.limits, self.control.clone());
        tasks::spawn(
            "test",
            async move { serve(&service, stream, Self::peer(last), limits, &control).await },
        );
        client
    }

    /// Sends raw bytes and gives everything that comes back until the server closes.
    async fn raw(&self, last: u8, request: &[u8]) -> String {
        let mut client = self.connect(last).await;
        // The server may close while a long request is still being sent.
        let _ = client.write_all(request).await;
        let mut reply = Vec::new();
        let reading = client.read_to_end(&mut reply);
        let _ =
            tokio::time::timeout(Duration::from_secs(10), reading).await.expect("the server did not close");
        String::from_utf8_lossy(&reply).into_owned()
    }

    /// A request with `Connection: close`; gives status and the whole reply.
    async fn request(&self, last: u8, method: &str, target: &str, fields: &str) -> (u16, String) {
        let request =
            format!("{method} {target} HTTP/1.1\r\nHost: 192.168.8.1\r\nConnection: close\r\n{fields}\r\n");
        let reply = self.raw(last, request.as_bytes()).await;
        (status(&reply), reply)
    }

    async fn get(&self, last: u8, target: &str) -> (u16, String) {
        self.request(last, "GET", target, "").await
    }

    async fn boot(&self, last: u8) -> String {
        let (status, reply) = self.get(last, &format!("/boot/ipxe?mac=52-54-00-00-08-{last:02}")).await;
        assert_eq!(status, 200, "{reply}");
        reply
    }

    fn stage(&self) -> Stage {
        self.service.store.journey("cp1").unwrap().stage()
    }

    fn events(&self) -> Vec<serde_json::Value> {
        let (_, events) = self.service.events.after(0, usize::MAX);
        events.iter().map(|event| serde_json::from_str(&event.json).unwrap()).collect()
    }

    fn event(&self, id: &str) -> Option<serde_json::Value> {
        self.events().into_iter().rev().find(|event| event["event"] == id)
    }
}

fn status(reply: &str) -> u16 {
    reply.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap_or(0)
}

fn body(reply: &str) -> &str {
    reply.split_once("\r\n\r\n").map_or("", |(_, body)| body)
}

fn field<'a>(reply: &'a str, name: &str) -> Option<&'a str> {
    let head = reply.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[tokio::test]
async fn h1_to_h11_malformed_heads_are_answered_and_closed() {
    let lab = Lab::new();
    let long = "a".repeat(100 * 1024);
    for (what, request, expected) in [
        ("H1 no Host", "GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("H1 two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(), 400),
        ("H2 HTTP/0.9", "GET /\r\n\r\n".to_owned(), 400),
        ("H3 HTTP/3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned(), 505),
        ("H4 bare LF", "GET / HTTP/1.1\nHost: a\n\n".to_owned(), 400),
        ("H5 obs-fold", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n".to_owned(), 400),
        ("H6 space before colon", "GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n".to_owned(), 400),
        ("H7 empty name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n".to_owned(), 400),
        ("H8 NUL", "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n".to_owned(), 400),
        ("H9 64 KiB field", format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", &long[..65536]), 431),
        ("H10 200 fields", format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(200)), 431),
        ("H11 100 KiB target", format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        ("H35 10 KiB method", format!("{} / HTTP/1.1\r\nHost: a\r\n\r\n", &long[..10240]), 400),
    ] {
        let reply = lab.raw(CP1, request.as_bytes()).await;
        assert_eq!(status(&reply), expected, "{what}: {reply}");
        assert_eq!(field(&reply, "connection"), Some("close"), "{what}");
    }
    assert_eq!(lab.get(CP1, "/plain.txt").await.0, 200);
}

#[tokio::test]
async fn h12_to_h17_ambiguous_bodies_are_refused_and_nothing_after_them_is_read() {
    let lab = Lab::new();
    let smuggled = "GET /plain.txt HTTP/1.1\r\nHost: a\r\n\r\n";
    for (what, head, expected) in [
        (
            "H12 CL and TE",
            "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "H13 two CL",
            "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 3\r\n\r\n",
            400,
        ),
        (
            "H13 equal CL",
            "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            400,
        ),
        ("H34 PUT with a body", "PUT /plain.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx", 405),
        ("H14 +1", "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n", 400),
        ("H14 0x", "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n", 400),
        (
            "H14 19 digits",
            "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000000000\r\n\r\n",
            400,
        ),
        (
            "H15 chunked, identity",
            "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            400,
        ),
        (
            "H16 chunked",
            "POST /report/cp1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            411,
        ),
        ("H17 GET with a body", "GET /plain.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", 400),
        (
            "H17 GET with chunks",
            "GET /plain.txt HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("POST of a file", "POST /plain.txt HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
    ] {
        let reply = lab.raw(CP1, format!("{head}{smuggled}").as_bytes()).await;
        assert_eq!(status(&reply), expected, "{what}: {reply}");
        assert_eq!(reply.matches("HTTP/1.1 ").count(), 1, "{what}: {reply}");
    }
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_order_up_to_the_refused_one() {
    let lab = Lab::new();
    let good = "GET /plain.txt HTTP/1.1\r\nHost: a\r\n\r\n";
    let reply = lab.raw(CP1, format!("\r\n{good}{good}GET / HTTP/1.1\n\n{good}").as_bytes()).await;
    let statuses: Vec<_> = reply.match_indices("HTTP/1.1 ").map(|(at, _)| &reply[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "200", "400"], "{reply}");
}

#[tokio::test]
async fn the_longest_head_is_answered() {
    let lab = Lab::new();
    let start = "GET /plain.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX: ";
    let padding = HEAD_BYTES_MAX - start.len() - 4;
    for (more, expected) in [(0, 200), (1, 431)] {
        let reply = lab.raw(CP1, format!("{start}{}\r\n\r\n", "y".repeat(padding + more)).as_bytes()).await;
        assert_eq!(status(&reply), expected, "{more}");
    }
}

#[tokio::test]
async fn a_client_that_has_nothing_more_to_say_still_gets_its_answer() {
    let lab = Lab::new();
    let mut client = lab.connect(CP1).await;
    client.write_all(b"GET /plain.txt HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let mut reply = String::new();
    client.read_to_string(&mut reply).await.unwrap();
    assert_eq!((status(&reply), body(&reply)), (200, "plain"));
}

fn impatient() -> Lab {
    let mut lab = Lab::new();
    let short = Duration::from_millis(150);
    lab.limits.patience =
        Patience { request: short, idle: short * 4, rate_time: short, rate_bytes: 60 * 1024 };
    lab.limits.tick = Duration::from_millis(20);
    lab
}

#[tokio::test]
async fn h18_a_head_that_trickles_is_cut_off() {
    let lab = impatient();
    let mut client = lab.connect(CP1).await;
    let mut sent = 0;
    for byte in b"GET /plain.txt HTTP/1.1\r\nHost: a\r\nX: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"
        .iter()
        .cycle()
        .take(200)
    {
        if client.write_all(&[*byte]).await.is_err() {
            break;
        }
        sent += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(sent < 200, "the connection was still open after {sent} bytes");
    let reason = crate::metrics::Reason { reason: "slow_request" };
    assert_eq!(lab.service.counters.dropped.get_or_create(&reason).get(), 1);
}

#[tokio::test]
async fn h19_a_reader_that_stands_still_is_cut_off() {
    let lab = impatient();
    std::fs::write(lab.root.path().join("big"), vec![1; 64 * 1024 * 1024]).unwrap();
    let mut client = lab.connect(CP1).await;
    client.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let reason = crate::metrics::Reason { reason: "slow_reader" };
    let cut = async {
        while lab.service.counters.dropped.get_or_create(&reason).get() == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), cut).await.expect("never cut off");
    assert_eq!(lab.service.buffers.transfers(), 0);
}

#[tokio::test]
async fn h20_an_idle_connection_is_closed_without_a_word() {
    let lab = impatient();
    for request in [&b""[..], b"GET /plain.txt HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut client = lab.connect(CP1).await;
        client.write_all(request).await.unwrap();
        let mut reply = Vec::new();
        let reading = client.read_to_end(&mut reply);
        tokio::time::timeout(Duration::from_secs(10), reading).await.expect("still open").unwrap();
        assert_eq!(reply.is_empty(), request.is_empty());
    }
}

#[tokio::test]
async fn h21_connections_are_limited_per_address_and_strangers_turned_away() {
    let lab = Lab::new();
    let limits = Limits { per_address: 3, ..lab.limits };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (control, switch) = Control::new();
    let running = tasks::spawn("test", run(Arc::clone(&lab.service), vec![listener], limits, control));
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    let mut fourth = TcpStream::connect(address).await.unwrap();
    let mut nothing = Vec::new();
    let _ = fourth.read_to_end(&mut nothing).await;
    assert!(nothing.is_empty());
    let reason = crate::metrics::Reason { reason: "connections_per_address" };
    assert_eq!(lab.service.counters.dropped.get_or_create(&reason).get(), 1);
    clients.pop();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut again = TcpStream::connect(address).await.unwrap();
    again.write_all(b"GET /plain.txt HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut reply = String::new();
    again.read_to_string(&mut reply).await.unwrap();
    assert_eq!(status(&reply), 200);
    // Idle connections do not hold up the end.
    switch.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(5), running).await.expect("drained").unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_transfer_under_way_is_finished_before_the_end() {
    let lab = Lab::new();
    let content = vec![9; 8 * 1024 * 1024];
    std::fs::write(lab.root.path().join("big"), &content).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (control, switch) = Control::new();
    let running = tasks::spawn("test", run(Arc::clone(&lab.service), vec![listener], lab.limits, control));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut first = [0; 100];
    client.read_exact(&mut first).await.unwrap();
    switch.send(true).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(TcpStream::connect(address).await.is_err(), "intake has stopped");
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(&content[..content.len() - 100]));
    tokio::time::timeout(Duration::from_secs(5), running).await.expect("ended").unwrap();
}

#[test]
fn only_the_site_is_served() {
    let lab = Lab::new();
    let config = lab.service.config.load();
    let socket = |text: &str| SocketAddr::new(text.parse().unwrap(), 1);
    let served = |peer: &str| Peer::of(&config, socket(peer), socket("192.168.8.1")).is_served(&config);
    for peer in ["192.168.8.11", "192.168.8.200", "127.0.0.1", "::1", "::ffff:192.168.8.9", "192.168.8.1"] {
        assert!(served(peer), "{peer}");
    }
    for peer in ["198.51.100.1", "192.168.9.1", "2001:db8::1"] {
        assert!(!served(peer), "{peer}");
    }
}

#[tokio::test]
async fn h22_to_h29_no_path_leads_out_of_the_root() {
    let lab = Lab::new();
    for (target, expected) in [
        ("/../etc/passwd", 400),
        ("/%2e%2e/etc/passwd", 400),
        ("/rhcos/..%2f..%2fetc/passwd", 400),
        ("//plain.txt", 200),
        ("///rhcos//..//plain.txt", 400),
        ("/plain.txt%00.efi", 400),
        ("/rhcos/..;/plain.txt", 404),
        ("/rhcos\\..\\plain.txt", 400),
        ("/%5cplain.txt", 400),
        ("/outer", 404),
        ("/PLAIN.TXT", 404),
        ("/rhcos", 404),
        ("/rhcos/", 404),
        ("/", 404),
        ("http://192.168.8.1/plain.txt", 200),
    ] {
        let (status, reply) = lab.get(CP1, target).await;
        assert_eq!(status, expected, "{target}: {reply}");
        assert_eq!(field(&reply, "location"), None, "{target}: never a redirect");
    }
}

#[tokio::test]
async fn seeds_are_never_served_by_path() {
    let lab = Lab::new();
    std::fs::hard_link(lab.root.path().join("rhcos/master.ign"), lab.root.path().join("harmless")).unwrap();
    for target in [
        "/rhcos/master.ign",
        "//rhcos///master.ign",
        "/rhcos/MASTER.IGN",
        "/rhcos/%6daster.ign",
        "/harmless",
        "/none.ign",
        "/loaders/harmless",
    ] {
        let (status, reply) = lab.get(CP1, target).await;
        assert_eq!(status, 403, "{target}");
        assert!(!reply.contains("version"), "{target}");
    }
    assert_eq!(lab.event("seed_refused").unwrap()["node"], "cp1");
}

#[tokio::test]
async fn h30_nothing_that_was_sent_stands_in_a_script() {
    let lab = Lab::new();
    for value in
        ["52-54-00-00-08-11%0aecho%20owned", "$%7Bnet0/mac%7D", "%7C%7C%20shell", "owned", "%00owned"]
    {
        for key in ["mac", "uuid", "serial", "arch"] {
            let (status, reply) = lab.get(STRANGER, &format!("/boot/ipxe?{key}={value}")).await;
            assert_eq!(status, 200);
            assert!(
                !reply.contains("owned") && !reply.contains("|| shell") && !reply.contains("${net0"),
                "{reply}"
            );
        }
    }
}

#[tokio::test]
async fn h31_h32_ranges() {
    let lab = Lab::new();
    let target = "/rhcos/initramfs.img";
    let thousand = format!("Range: bytes={}\r\n", vec!["0-0"; 200].join(","));
    for (fields, expected, content) in [
        ("Range: bytes=0-0\r\n", 206, "0"),
        ("Range: bytes=-3\r\n", 206, "789"),
        ("Range: bytes=8-100\r\n", 206, "89"),
        ("Range: bytes=5-2\r\n", 200, "0123456789"),
        ("Range: bytes=-0\r\n", 416, "the file has no such bytes\n"),
        ("Range: bytes=10-\r\n", 416, "the file has no such bytes\n"),
        ("Range: bytes=0-0\r\nRange: bytes=1-1\r\n", 200, "0123456789"),
        (thousand.as_str(), 200, "0123456789"),
        ("Range: bytes=0-0\r\nIf-Range: \"stale\"\r\n", 200, "0123456789"),
    ] {
        let (status, reply) = lab.request(CP1, "GET", target, fields).await;
        assert_eq!((status, body(&reply)), (expected, content), "{fields}");
    }
    let (_, reply) = lab.request(CP1, "GET", target, "Range: bytes=2-4\r\n").await;
    assert_eq!(field(&reply, "content-range"), Some("bytes 2-4/10"));
    assert_eq!(field(&reply, "content-length"), Some("3"));
    let (_, reply) = lab.request(CP1, "GET", target, "Range: bytes=99-\r\n").await;
    assert_eq!(field(&reply, "content-range"), Some("bytes */10"));
}

#[tokio::test]
async fn validators_spare_a_transfer() {
    let lab = Lab::new();
    let old = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let file = std::fs::File::options().write(true).open(lab.root.path().join("plain.txt")).unwrap();
    file.set_modified(old).unwrap();
    let (_, reply) = lab.get(CP1, "/plain.txt").await;
    let etag = field(&reply, "etag").unwrap().to_owned();
    let modified = field(&reply, "last-modified").unwrap().to_owned();
    for fields in [format!("If-None-Match: {etag}\r\n"), format!("If-Modified-Since: {modified}\r\n")] {
        let (status, reply) = lab.request(CP1, "GET", "/plain.txt", &fields).await;
        assert_eq!((status, body(&reply)), (304, ""), "{fields}");
        assert!(field(&reply, "etag").is_some());
    }
    file.set_len(3).unwrap();
    let (status, reply) = lab.request(CP1, "GET", "/plain.txt", &format!("If-None-Match: {etag}\r\n")).await;
    assert_eq!((status, body(&reply)), (200, "pla"));
    let (status, _) = lab.request(CP1, "GET", "/plain.txt", &format!("If-Match: {etag}\r\n")).await;
    assert_eq!(status, 412);
}

#[tokio::test]
async fn uefi_http_boot_gets_head_then_get() {
    let lab = Lab::new();
    for (method, content) in [("HEAD", ""), ("GET", "MZ")] {
        let request = format!(
            "{method} /loaders/snponly.efi HTTP/1.1\r\nHost: 192.168.8.1\r\nUser-Agent: UefiHttpBoot/1.0\r\nConnection: close\r\n\r\n"
        );
        let reply = lab.raw(STRANGER, request.as_bytes()).await;
        assert_eq!((status(&reply), body(&reply)), (200, content));
        assert_eq!(field(&reply, "content-length"), Some("2"));
        assert_eq!(field(&reply, "content-type"), Some("application/efi"));
    }
    assert_eq!(lab.get(STRANGER, "/loaders/none.efi").await.0, 404);
}

#[tokio::test]
async fn h33_head_says_what_get_would_and_does_nothing() {
    let lab = Lab::new();
    for target in ["/boot/ipxe?mac=52-54-00-00-08-11", "/ignition/cp1", "/plain.txt"] {
        let (head_status, head) = lab.request(CP1, "HEAD", target, "").await;
        assert_eq!(body(&head), "", "{target}");
        assert_eq!(lab.stage(), Stage::Armed, "{target}");
        let length: usize = field(&head, "content-length").unwrap().parse().unwrap();
        let lab = Lab::new();
        let (get_status, get) = lab.get(CP1, target).await;
        assert_eq!((head_status, length), (get_status, body(&get).len()), "{target}");
    }
}

#[tokio::test]
async fn h34_other_methods_are_not_allowed() {
    let lab = Lab::new();
    for method in ["PUT", "DELETE", "TRACE", "OPTIONS", "PATCH", "CONNECT", "PROPFIND"] {
        let target = if method == "CONNECT" { "a:80" } else { "/plain.txt" };
        let (status, reply) = lab.request(CP1, method, target, "").await;
        assert_eq!(status, 405, "{method}: {reply}");
        assert_eq!(field(&reply, "allow"), Some("GET, HEAD"), "{method}");
    }
    assert_eq!(lab.request(CP1, "OPTIONS", "*", "").await.0, 405);
}

#[tokio::test]
async fn h37_the_ignition_of_another_node_is_refused() {
    let lab = Lab::new();
    for (last, reason) in [(SPARE, "foreign_address"), (STRANGER, "foreign_address"), (1, "bastion_itself")] {
        let (status, reply) = lab.get(last, "/ignition/cp1").await;
        assert_eq!(status, 403, "{last}");
        assert!(!reply.contains("version"));
        let event = lab.event("ignition_refused").unwrap();
        assert_eq!((&event["node"], &event["reason"]), (&"cp1".into(), &reason.into()));
    }
    assert_eq!(lab.stage(), Stage::Armed);
    assert_eq!(lab.get(CP1, "/ignition/none").await.0, 404);
    assert_eq!(lab.get(SPARE, "/ignition/spare").await.0, 404);
    assert_eq!(lab.get(CP1, "/ignition/cp1").await.0, 200);
}

#[tokio::test]
async fn h38_an_installed_node_gets_no_ignition() {
    let lab = Lab::new();
    assert_eq!(lab.get(CP1, "/ignition/cp1").await.0, 200);
    assert_eq!(lab.request(CP1, "POST", "/report/cp1", "Content-Length: 0\r\n").await.0, 200);
    assert_eq!(lab.get(CP1, "/ignition/cp1").await.0, 410);
    assert_eq!(lab.get(SPARE, "/ignition/cp1").await.0, 403, "others do not learn even that");
}

#[tokio::test]
async fn a_node_walks_the_whole_way() {
    let lab = Lab::new();
    let script = lab.boot(CP1).await;
    assert!(script.contains("kernel http://192.168.8.1:8080/rhcos/kernel"), "{script}");
    assert_eq!(lab.stage(), Stage::Loader);
    assert_eq!(lab.get(CP1, "/rhcos/kernel").await.0, 200);
    assert_eq!(lab.get(CP1, "/rhcos/initramfs.img").await.0, 200);
    assert_eq!(lab.stage(), Stage::Kernel);
    assert_eq!(body(&lab.boot(CP1).await), body(&script), "a retry gets the same script");
    let accept = "Accept: application/vnd.coreos.ignition+json;version=3.3.0, */*;q=0.1\r\n";
    for _ in 0..2 {
        let (status, reply) = lab.request(CP1, "GET", "/ignition/cp1", accept).await;
        assert_eq!((status, body(&reply)), (200, IGN));
        assert_eq!(
            field(&reply, "content-type"),
            Some("application/vnd.coreos.ignition+json; version=3.3.0")
        );
        assert_eq!(field(&reply, "cache-control"), Some("no-store"));
    }
    assert_eq!(lab.stage(), Stage::Ignition);
    let disk = lab.boot(CP1).await;
    assert!(disk.contains("sanboot") && !disk.contains("kernel"), "{disk}");
    assert_eq!(lab.stage(), Stage::Disk);
    assert_eq!(body(&lab.boot(CP1).await), body(&disk));
    let ids: Vec<String> =
        lab.events().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        ids,
        [
            "node_armed",
            "script_served",
            "kernel_served",
            "file_served",
            "ignition_served",
            "ignition_served",
            "node_installed",
            "node_disk"
        ]
    );
    for event in lab.events().iter().skip(1) {
        assert_eq!(
            (&event["node"], &event["mac"], &event["address"]),
            (&"cp1".into(), &"52:54:00:00:08:11".into(), &"192.168.8.11".into()),
            "{event}"
        );
    }
}

#[tokio::test]
async fn what_may_still_come_is_503_and_what_never_will_404() {
    let lab = Lab::new();
    std::fs::remove_file(lab.root.path().join("rhcos/kernel")).unwrap();
    let (status, reply) = lab.get(CP1, "/rhcos/kernel").await;
    assert_eq!((status, field(&reply, "retry-after")), (503, Some("5")));
    assert_eq!(lab.get(CP1, "/rhcos/other").await.0, 404);
    let ign = lab.root.path().join("rhcos/master.ign");
    for content in [None, Some("{"), Some("{}")] {
        std::fs::remove_file(&ign).unwrap();
        if let Some(content) = content {
            std::fs::write(&ign, content).unwrap();
        }
        let (status, reply) = lab.get(CP1, "/ignition/cp1").await;
        assert_eq!((status, field(&reply, "retry-after")), (503, Some("5")), "{content:?}");
        assert_eq!(lab.event("ignition_refused").unwrap()["reason"], "file_unready");
        std::fs::write(&ign, IGN).unwrap();
    }
    assert_eq!(lab.stage(), Stage::Armed);
    assert_eq!(lab.get(CP1, "/ignition/cp1").await.0, 200);
}

#[tokio::test]
async fn an_unknown_machine_is_told_and_listed() {
    let lab = Lab::new();
    let (_, reply) = lab.get(STRANGER, "/boot/ipxe?mac=52-54-00-00-08-99").await;
    assert!(
        reply.contains("52:54:00:00:08:99")
            && reply.contains("not in the site file")
            && !reply.contains("kernel")
    );
    let status = lab.service.status();
    assert_eq!(status["unknown"][0]["mac"], "52:54:00:00:08:99");
    assert_eq!(lab.event("machine_unknown").unwrap()["address"], "192.168.8.200");
}

#[tokio::test]
async fn a_machine_at_another_nodes_address_gets_its_disk() {
    let lab = Lab::new();
    let (_, reply) = lab.get(SPARE, "/boot/ipxe?mac=52-54-00-00-08-11").await;
    assert!(reply.contains("sanboot") && !reply.contains("kernel"), "{reply}");
    assert!(lab.event("identity_conflict").is_some());
    assert_eq!(lab.stage(), Stage::Armed);
}

#[tokio::test]
async fn a_node_at_a_dynamic_address_is_known_where_it_fetched_its_script() {
    let lab = Lab::with_profile("kernel = \"rhcos/kernel\"\nargs = \"quiet\"");
    let target = "/boot/ipxe?mac=52-54-00-00-08-11";
    assert!(lab.get(STRANGER, target).await.1.contains("kernel http://"));
    assert_eq!(lab.get(STRANGER, "/rhcos/kernel").await.0, 200);
    assert_eq!(lab.stage(), Stage::Kernel);
    assert!(lab.get(STRANGER, target).await.1.contains("sanboot"), "all its files were fetched");
}

#[tokio::test]
async fn the_bastion_sees_the_script_and_changes_nothing() {
    let lab = Lab::new();
    let (_, reply) = lab.get(1, "/boot/ipxe?mac=52:54:00:00:08:11").await;
    assert!(reply.contains("kernel http://"), "{reply}");
    assert_eq!(lab.get(1, "/rhcos/kernel").await.0, 200);
    assert_eq!(lab.stage(), Stage::Armed);
}

#[tokio::test]
async fn grub_is_spoken_to_in_its_own_language() {
    let lab = Lab::new();
    for target in ["/boot/grub?mac=52:54:00:00:08:11", "/boot/grub", "/grub/grub.cfg"] {
        let (_, reply) = lab.get(CP1, target).await;
        assert!(reply.contains("if linux '(http,192.168.8.1:8080)/rhcos/kernel'"), "{target}: {reply}");
    }
}

#[tokio::test]
async fn a_report_needs_the_node_itself() {
    let lab = Lab::with_profile("kernel = \"rhcos/kernel\"\nargs = \"report={report}\"");
    lab.boot(CP1).await;
    assert_eq!(lab.get(SPARE, "/report/cp1").await.0, 403);
    assert_eq!(lab.get(1, "/report/cp1").await.0, 403);
    assert_eq!(lab.get(CP1, "/report/none").await.0, 404);
    assert_eq!(lab.request(CP1, "HEAD", "/report/cp1", "").await.0, 200);
    assert_eq!(lab.stage(), Stage::Loader);
    let reply = lab
        .raw(
            CP1,
            b"POST /report/cp1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfine",
        )
        .await;
    assert_eq!(status(&reply), 200);
    assert_eq!(lab.event("node_installed").unwrap()["message"], "fine");
    assert_eq!(lab.get(CP1, "/report/cp1").await.0, 200, "a repeated report is no error");
    assert!(lab.boot(CP1).await.contains("sanboot"));
}

#[tokio::test]
async fn a_file_that_is_cut_short_ends_the_connection_early() {
    let lab = Lab::new();
    let path = lab.root.path().join("big");
    std::fs::write(&path, vec![1; 64 * 1024 * 1024]).unwrap();
    let mut client = lab.connect(CP1).await;
    client.write_all(b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let mut some = vec![0; 1000];
    client.read_exact(&mut some).await.unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
    assert!(rest.len() < 64 * 1024 * 1024);
    assert!(lab.event("file_failed").is_some());
}

#[tokio::test]
async fn an_ignition_that_never_reached_the_node_does_not_end_the_install() {
    let lab = Lab::new();
    let large = format!(r#"{{"ignition":{{"version":"3.3.0"}},"x":"{}"}}"#, "y".repeat(15 * 1024 * 1024));
    std::fs::write(lab.root.path().join("rhcos/master.ign"), large).unwrap();
    lab.boot(CP1).await;
    let mut client = lab.connect(CP1).await;
    client.write_all(b"GET /ignition/cp1 HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    client.read_exact(&mut [0; 100]).await.unwrap();
    assert_eq!(lab.stage(), Stage::Ignition);
    drop(client);
    let back = async {
        while lab.stage() != Stage::Loader {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), back).await.expect("back where it was");
    assert!(lab.boot(CP1).await.contains("kernel http://"));
    assert_eq!(lab.get(CP1, "/ignition/cp1").await.0, 200);
    assert!(lab.boot(CP1).await.contains("sanboot"), "now it did");
}

#[tokio::test]
async fn what_cannot_be_written_is_not_promised() {
    let sim = SimDisk::new(1);
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let profile = PROFILE.replace("{ignition}", "{ignition} {report}");
    let lab = Lab::with(&profile, Store::open_on(&disk).unwrap());
    assert!(lab.boot(CP1).await.contains("kernel http://"));
    for operation in [Operation::Sync, Operation::Write] {
        sim.fail(operation, Fault::Io, u32::MAX);
    }
    for target in ["/ignition/cp1", "/report/cp1", "/ignition/cp1"] {
        let (status, reply) = lab.get(CP1, target).await;
        assert_eq!((status, field(&reply, "retry-after")), (503, Some("5")), "{target}: {reply}");
    }
    let script = lab.boot(CP1).await;
    assert!(
        script.contains("has to wait") && !script.contains("kernel") && !script.contains("sanboot"),
        "{script}"
    );
    sim.heal();
    let served = async {
        while lab.get(CP1, "/ignition/cp1").await.0 != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), served).await.expect("it heals");
    assert_eq!(lab.get(CP1, "/report/cp1").await.0, 200);
    assert!(lab.boot(CP1).await.contains("sanboot"));
}

#[tokio::test]
async fn operators_arm_and_disarm() {
    let lab = Lab::new();
    let verb = async |method: hyper::Method, path: &str| {
        let request = faros_common::admin::AdminRequest {
            method,
            path: path.to_owned(),
            query: Default::default(),
            body: Default::default(),
        };
        let response = lab.service.admin(request).await.expect("a verb");
        let value: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
        (response.status.as_u16(), value)
    };
    let (get, post) = (hyper::Method::GET, hyper::Method::POST);
    assert_eq!(verb(get.clone(), "/nodes").await.1["nodes"][0]["next_boot"], "install");
    assert_eq!(verb(post.clone(), "/nodes/cp1/disarm").await.1["stage"], "held");
    assert!(lab.boot(CP1).await.contains("disarmed by the operator"));
    assert_eq!(verb(post.clone(), "/nodes/cp1/install").await.1["stage"], "armed");
    assert!(lab.boot(CP1).await.contains("kernel http://"));
    let (_, node) = verb(get.clone(), "/nodes/cp1").await;
    assert_eq!((&node["stage"], &node["ignition"]["version"]), (&"loader".into(), &"3.3.0".into()));
    assert_eq!(node["ignition"]["sha512"].as_str().unwrap().len(), 128);
    assert_eq!(verb(post.clone(), "/nodes/spare/install").await.0, 409);
    assert_eq!(verb(post, "/nodes/none/install").await.0, 404);
    assert_eq!(verb(get, "/unknown").await.0, 200);
}
