//! A million inputs that are almost right.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use faros_lab::{Lab, Namespace};
use faros_tests::mutate::{Random, mutated};
use faros_tests::{counter, eventually, machine, machine_at, pcap, resident, run, running, site};

const DHCP_INPUTS: usize = 400_000;
const TFTP_INPUTS: usize = 400_000;
const HTTP_INPUTS: usize = 200_000;

/// How much memory a daemon may gain over all of it.
const GROWTH_MAX: u64 = 10 << 20;

/// Runs `body` on a thread that lives in `machine`'s namespace.
fn inside<T: Send>(machine: &Namespace, body: impl FnOnce() -> T + Send) -> T {
    let name = machine.name().to_owned();
    let enter = || machine.enter().unwrap_or_else(|error| panic!("{name}: {error}"));
    std::thread::scope(|scope| {
        scope
            .spawn(|| {
                enter();
                body()
            })
            .join()
            .unwrap()
    })
}

/// The requests that real firmware sent to `port` in the captures.
fn captured(port: u16) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let mut seeds = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "pcap") {
            continue;
        }
        let sent = pcap::datagrams(&path);
        seeds.extend(sent.into_iter().filter(|sent| sent.destination.1 == port).map(|sent| sent.payload));
    }
    assert!(!seeds.is_empty());
    seeds
}

fn still_serves(lab: &Lab, client: &Namespace) {
    let node = machine(lab, "after", site::N1.0);
    let lease =
        run(&node, "udhcpc", &["-i", "eth0", "-n", "-q", "-f", "-t", "8", "-T", "1", "-s", "/bin/true"]);
    assert!(lease.status.success(), "{lease:?}");
    for url in [
        format!("tftp://{}/test/vmlinuz", site::BASTION),
        format!("http://{}:8080/test/vmlinuz", site::BASTION),
    ] {
        let file = run(client, "curl", &["-sS", "-m", "60", &url]);
        assert_eq!(file.stdout.len(), site::KERNEL_BYTES, "{url}: {}", String::from_utf8_lossy(&file.stderr));
    }
}

#[test]
fn a_million_mutated_inputs_cost_nothing() {
    let mut lab = running(site::SITE);
    let client = machine_at(&lab, "client", site::STRANGER, "192.168.8.20/24");
    // One client plays many: its ports must come round again.
    let sysctl =
        "echo 1 >/proc/sys/net/ipv4/tcp_tw_reuse; echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range";
    client.run("sh", ["-c", sysctl]).unwrap();
    std::fs::write(lab.boot_root().join("test/small"), vec![7; 1000]).unwrap();
    let rounds: [(&str, &str, usize); 3] = [
        ("dhcpd", "192.168.8.1:67", DHCP_INPUTS),
        ("tftpd", "192.168.8.1:69", TFTP_INPUTS),
        ("ignition-http", "192.168.8.1:8080", HTTP_INPUTS),
    ];
    for (name, address, inputs) in rounds {
        let address: SocketAddr = address.parse().unwrap();
        // A tenth first: buffers, caches and tables reach their size.
        for part in [inputs / 10, inputs - inputs / 10] {
            let before = resident(&mut lab, name);
            inside(&client, || match name {
                "ignition-http" => over_tcp(address, &http_seeds(), part),
                "tftpd" => over_udp(address, &captured(69), part),
                _ => over_udp(address, &captured(67), part),
            });
            eventually("it answers", || lab.admin_get(name, "/status").is_ok());
            let after = resident(&mut lab, name);
            assert!(
                after < before + GROWTH_MAX,
                "{name} grew from {before} to {after} bytes over {part} inputs"
            );
        }
        assert_eq!(lab.admin_get(name, "/status").unwrap()["panics"], 0, "{name}");
    }
    let taken = counter(&lab, "dhcpd", "faros_dhcpd_received_total");
    assert!(taken > DHCP_INPUTS as u64 * 9 / 10, "dhcpd saw only {taken}");
    let answered =
        ["faros_tftpd_dropped_total", "faros_tftpd_errors_total"].map(|name| counter(&lab, "tftpd", name));
    let taken = answered.iter().sum::<u64>();
    assert!(taken > TFTP_INPUTS as u64 * 8 / 10, "tftpd saw only {taken}");
    still_serves(&lab, &client);
}

fn over_udp(address: SocketAddr, seeds: &[Vec<u8>], count: usize) {
    let mut random = Random::new(count as u64);
    let mut socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    for sent in 0..count {
        // A new port now and then, as many clients would have; and not faster than sockets take it.
        if sent % 128 == 0 {
            socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = socket.send_to(&mutated(&seeds[random.below(seeds.len())], &mut random), address);
    }
}

fn http_seeds() -> Vec<Vec<u8>> {
    [
        "GET /test/small HTTP/1.1\r\nHost: 192.168.8.1:8080\r\nRange: bytes=0-99\r\nConnection: close\r\n\r\n",
        "HEAD /loaders/snponly.efi HTTP/1.1\r\nHost: 192.168.8.1\r\nUser-Agent: UefiHttpBoot/1.0\r\nConnection: close\r\n\r\n",
        "GET /boot/ipxe?mac=52-54-00-00-08-11&uuid=00000000-0000-0000-0000-000000000001&arch=x86_64 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        "GET /ignition/n1 HTTP/1.1\r\nHost: x\r\nAccept: application/vnd.coreos.ignition+json;version=3.3.0, */*;q=0.1\r\nAccept-Encoding: identity\r\n\r\n",
        "POST /report/n2 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello",
        "POST /report/n3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

/// One mutated request per connection, since the first bad one ends it; whatever comes back is read.
fn over_tcp(address: SocketAddr, seeds: &[Vec<u8>], count: usize) {
    let mut random = Random::new(count as u64);
    let mut buffer = vec![0; 64 * 1024];
    let mut unreachable = 0;
    for _ in 0..count {
        let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(5)) else {
            unreachable += 1;
            assert!(unreachable < 100, "the server takes no connections any more");
            continue;
        };
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let _ = stream.write_all(&mutated(&seeds[random.below(seeds.len())], &mut random));
        let _ = stream.shutdown(std::net::Shutdown::Write);
        while stream.read(&mut buffer).is_ok_and(|length| length > 0) {}
    }
}
