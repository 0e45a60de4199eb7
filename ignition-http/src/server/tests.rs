//! The real stack over loopback sockets, with raw bytes; numbers like H12 are those of the catalogue of
//! hostile input that every HTTP service here is held against.

mod connections;
mod files;
mod install;

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
