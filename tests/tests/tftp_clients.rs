//! TFTP with clients that others wrote: curl, tftp-hpa, atftp.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use faros_lab::{Lab, Namespace};
use faros_tests::{machine_at, noise, run, running, sha256, site};

fn client(lab: &Lab) -> Namespace {
    machine_at(lab, "client", site::STRANGER, "192.168.8.20/24")
}

/// Fetches `name` with each client and option and compares every byte.
fn fetched_by_all(lab: &Lab, client: &Namespace, name: &str, content: &[u8]) {
    let expected = sha256(content);
    let target = lab.dir().join("fetched");
    let path = target.display().to_string();
    let url = format!("tftp://{}/{name}", site::BASTION);
    let mut attempts: Vec<(String, &str, Vec<String>)> = Vec::new();
    for block in ["512", "1468", "8192"] {
        let arguments = ["-sS", "--tftp-blksize", block, "-o", &path, &url].map(str::to_owned);
        attempts.push((format!("curl blksize {block}"), "curl", arguments.into()));
    }
    attempts.push((
        "curl without options".to_owned(),
        "curl",
        ["-sS", "--tftp-no-options", "-o", &path, &url].map(str::to_owned).into(),
    ));
    attempts.push((
        "tftp-hpa".to_owned(),
        "tftp",
        ["-m", "binary", site::BASTION, "-c", "get", name, &path].map(str::to_owned).into(),
    ));
    for window in ["1", "4", "16", "64"] {
        let window = format!("windowsize {window}");
        let arguments = [
            "--option",
            "blksize 1432",
            "--option",
            &window,
            "-g",
            "-r",
            name,
            "-l",
            &path,
            site::BASTION,
            "69",
        ];
        attempts.push((format!("atftp {window}"), "atftp", arguments.map(str::to_owned).into()));
    }
    for (what, program, arguments) in attempts {
        let _ = fs::remove_file(&target);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = run(client, program, &arguments);
        let got = fs::read(&target).unwrap_or_default();
        assert_eq!(sha256(&got), expected, "{what}: {} of {} bytes; {output:?}", got.len(), content.len());
    }
}

#[test]
fn every_client_gets_every_byte() {
    let lab = running(site::SITE);
    let client = client(&lab);
    for (name, length) in [("one", 1), ("block", 512), ("blocks", 1432 * 3), ("odd", 300_001)] {
        let content = noise(length, length as u64);
        fs::write(lab.boot_root().join(name), &content).unwrap();
        fetched_by_all(&lab, &client, name, &content);
    }
}

#[test]
fn block_numbers_roll_over() {
    let lab = running(site::SITE);
    let client = client(&lab);
    // 65 536 blocks of 512 bytes and a little more.
    let content = noise(512 * 65_600 + 5, 9);
    fs::write(lab.boot_root().join("large"), &content).unwrap();
    let target = lab.dir().join("large");
    let path = target.display().to_string();
    let url = format!("tftp://{}/large", site::BASTION);
    let output = run(&client, "curl", &["-sS", "--tftp-blksize", "512", "-o", &path, &url]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(sha256(&fs::read(&target).unwrap()), sha256(&content));
}

#[test]
fn a_loss_of_packets_costs_time_and_no_bytes() {
    let lab = running(site::SITE);
    let client = client(&lab);
    let content = noise(200_000, 5);
    fs::write(lab.boot_root().join("file"), &content).unwrap();
    let path = lab.dir().join("lossy").display().to_string();
    let (output, lost) = inside_lossy_relay(&client, || {
        let arguments = ["windowsize 16", "timeout 1"].map(|option| ["--option", option]);
        run(
            &client,
            "atftp",
            &[&arguments.concat()[..], &["-g", "-r", "file", "-l", &path, "127.0.0.1", "69"]].concat(),
        )
    });
    assert!(lost > 5, "only {lost} packets were lost");
    assert_eq!(sha256(&fs::read(&path).unwrap_or_default()), sha256(&content), "{output:?}");
}

/// Runs `transfer` while a relay on the client's loopback passes TFTP on to the bastion and loses every 29th
/// packet of either direction. Returns how many it lost.
fn inside_lossy_relay<T>(client: &Namespace, transfer: impl FnOnce() -> T) -> (T, usize) {
    let ended = AtomicBool::new(false);
    let lost = AtomicUsize::new(0);
    let result = std::thread::scope(|scope| {
        let (ready, is_ready) = std::sync::mpsc::channel();
        let (ended, lost) = (&ended, &lost);
        scope.spawn(move || {
            client.enter().unwrap();
            let near = UdpSocket::bind("127.0.0.1:69").unwrap();
            let far = UdpSocket::bind("0.0.0.0:0").unwrap();
            ready.send(()).unwrap();
            relay(&near, &far, ended, lost);
        });
        is_ready.recv().unwrap();
        let result = transfer();
        ended.store(true, Ordering::Relaxed);
        result
    });
    (result, lost.into_inner())
}

/// One transfer at a time: the newest sender on `near` is the client, the newest on `far` is its server.
fn relay(near: &UdpSocket, far: &UdpSocket, ended: &AtomicBool, lost: &AtomicUsize) {
    near.set_nonblocking(true).unwrap();
    far.set_nonblocking(true).unwrap();
    let mut client = None;
    let mut server: SocketAddr = format!("{}:69", site::BASTION).parse().unwrap();
    let mut passed = 0;
    let mut buffer = [0; 65536];
    let mut pass = |from: &UdpSocket, to: &UdpSocket, target: Option<SocketAddr>| {
        let (length, sender) = from.recv_from(&mut buffer).ok()?;
        passed += 1;
        if passed % 29 == 0 {
            lost.fetch_add(1, Ordering::Relaxed);
        } else if let Some(target) = target {
            to.send_to(&buffer[..length], target).unwrap();
        }
        Some(sender)
    };
    while !ended.load(Ordering::Relaxed) {
        let from_client = pass(near, far, Some(server));
        client = from_client.or(client);
        let from_server = pass(far, near, client);
        server = from_server.unwrap_or(server);
        if from_client.is_none() && from_server.is_none() {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
}

#[test]
fn nothing_outside_of_the_root_and_no_secret_is_served() {
    let lab = running(site::SITE);
    let client = client(&lab);
    let root = lab.boot_root();
    fs::write(lab.dir().join("outside"), "outside").unwrap();
    std::os::unix::fs::symlink("../outside", root.join("link")).unwrap();
    for name in [
        "../outside",
        "/etc/hostname",
        "link",
        "test/../../outside",
        "test/secret.ign",
        "TEST/secret.IGN",
        "test",
    ] {
        let output =
            run(&client, "curl", &["-sS", "--path-as-is", &format!("tftp://{}/{name}", site::BASTION)]);
        assert!(!output.status.success() && output.stdout.is_empty(), "{name}: {output:?}");
    }
    let events = lab.events().unwrap();
    events.wait_for("file_failed", Duration::from_secs(5), |event| event.event == "file_failed").unwrap();
}

#[test]
fn the_loaders_of_the_distribution_are_found() {
    let lab = running(site::SITE);
    let client = client(&lab);
    for (name, least) in [("undionly.kpxe", 50_000), ("snponly.efi", 100_000)] {
        let output = run(&client, "curl", &["-sS", &format!("tftp://{}/{name}", site::BASTION)]);
        assert!(output.stdout.len() > least, "{name}: {} bytes; {output:?}", output.stdout.len());
    }
}

#[test]
fn the_wan_side_is_not_served() {
    let lab = running(site::SITE);
    fs::write(lab.boot_root().join("file"), "content").unwrap();
    lab.wan().ip("addr add 198.51.100.1/24 dev wan0").unwrap();
    lab.wan().ip(&format!("route add {}/32 via 198.51.100.2", site::BASTION)).unwrap();
    for address in ["198.51.100.2", site::BASTION] {
        let output = run(lab.wan(), "curl", &["-sS", "-m", "4", &format!("tftp://{address}/file")]);
        assert!(!output.status.success() && output.stdout.is_empty(), "{address}: {output:?}");
    }
}
