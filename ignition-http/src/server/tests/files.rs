//! What is served by path, and to whom.

use super::*;

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
