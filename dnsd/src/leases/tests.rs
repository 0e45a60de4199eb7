//! Following a dhcpd that says what a test wants, over a real socket.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use faros_common::{clock, site, tasks};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use super::Leases;
use crate::site_zones::{Listeners, Settings, Zones};

const SITE: &str = "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n\
                    [lan]\ninterface = \"lan0\"\naddress = \"192.0.2.1/24\"\n";

/// Events and leases of a daemon, shared with its connections.
#[derive(Clone)]
struct Told {
    events: watch::Sender<Vec<Value>>,
    leases: Arc<Mutex<Vec<Value>>>,
    lists: Arc<Mutex<usize>>,
}

struct Dhcpd {
    told: Told,
    socket: PathBuf,
    task: tokio::task::JoinHandle<Option<()>>,
}

impl Dhcpd {
    fn start(run_dir: &Path) -> Self {
        let told =
            Told { events: watch::Sender::new(Vec::new()), leases: Arc::default(), lists: Arc::default() };
        let socket = run_dir.join("dhcpd.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let shared = told.clone();
        let task = tasks::spawn("fake dhcpd", async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(converse(stream, shared.clone()));
            }
        });
        Self { told, socket, task }
    }

    fn stop(self) {
        // With the accepting task its connections end.
        self.task.abort();
        std::fs::remove_file(&self.socket).unwrap();
    }

    fn emit(&self, event: &Value) {
        self.told.events.send_modify(|events| {
            let mut event = event.clone();
            event["seq"] = (events.len() + 1).into();
            events.push(event);
        });
    }

    fn grant(&self, last: u8, host_name: &str, secs: u64) {
        self.emit(&json!({
            "event": "lease_granted", "time": "2026-01-31T12:00:00.000000Z", "address": format!("192.0.2.{last}"),
            "mac": format!("02:00:00:00:00:{last:02x}"), "lease_secs": secs, "host_name": host_name,
        }));
    }

    fn list(&self, leases: &[(u8, &str, u64)]) {
        let lease = |&(last, host_name, secs): &(u8, &str, u64)| {
            json!({
                "address": format!("192.0.2.{last}"), "mac": format!("02:00:00:00:00:{last:02x}"), "state": "active",
                "host_name": host_name, "secs_left": secs, "since": "2026-01-31T12:00:00.000000Z",
            })
        };
        *self.told.leases.lock().unwrap() = leases.iter().map(lease).collect();
    }
}

async fn converse(mut stream: UnixStream, told: Told) {
    let mut head = vec![0; 4096];
    let length = stream.read(&mut head).await.unwrap_or(0);
    let head = String::from_utf8_lossy(&head[..length]).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let begin = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n";
    if stream.write_all(begin.as_bytes()).await.is_err() {
        return;
    }
    if path == "/leases" {
        *told.lists.lock().unwrap() += 1;
        let body = json!({ "leases": *told.leases.lock().unwrap() }).to_string();
        let _ = stream.write_all(body.as_bytes()).await;
        return;
    }
    let follow = path.contains("follow=1");
    let since = path.split("since=").nth(1).and_then(|since| since.parse::<usize>().ok()).unwrap_or(0);
    let mut events = told.events.subscribe();
    let mut sent = since;
    loop {
        let fresh: String = {
            let events = events.borrow_and_update();
            let fresh = events.iter().skip(sent).map(|event| format!("{event}\n")).collect();
            sent = sent.max(events.len());
            fresh
        };
        if stream.write_all(fresh.as_bytes()).await.is_err() || !follow || events.changed().await.is_err() {
            return;
        }
    }
}

struct Bench {
    run_dir: tempfile::TempDir,
    zones: Arc<Zones>,
    leases: Arc<Leases>,
}

impl Bench {
    fn start() -> Self {
        let site = site::parse(SITE, Path::new("site.toml")).unwrap().site;
        let settings = Settings::of(&site, &Listeners::default()).unwrap();
        let bench = Self {
            run_dir: tempfile::tempdir().unwrap(),
            zones: Arc::new(Zones::in_memory(settings).unwrap()),
            leases: Arc::default(),
        };
        let (leases, zones) = (Arc::clone(&bench.leases), Arc::clone(&bench.zones));
        let run_dir = bench.run_dir.path().to_owned();
        tasks::spawn("leases", async move { leases.follow(zones, &run_dir).await });
        bench
    }

    fn names(&self) -> Vec<(u8, String)> {
        let names = self.zones.lease_names();
        names.into_iter().map(|(address, label)| (address.octets()[3], label)).collect()
    }

    /// Waits until the leases are called so; how long it takes is not judged.
    async fn until(&self, expected: &[(u8, &str)]) {
        let expected: Vec<(u8, String)> =
            expected.iter().map(|(last, label)| (*last, (*label).to_owned())).collect();
        let begun = clock::now();
        while self.names() != expected {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?} instead of {expected:?}", self.names());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // Seen with --nocapture.
        println!("{expected:?} after {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_come_with_the_grant_and_go_with_the_release() {
    let bench = Bench::start();
    let dhcpd = Dhcpd::start(bench.run_dir.path());
    dhcpd.list(&[(5, "old", 3600)]);
    bench.until(&[(5, "old")]).await;
    dhcpd.grant(6, "pi", 3600);
    bench.until(&[(5, "old"), (6, "pi")]).await;
    dhcpd.emit(&json!({ "event": "lease_released", "address": "192.0.2.5" }));
    bench.until(&[(6, "pi")]).await;
    assert_eq!(bench.leases.status()["leases"], 1);
    assert_eq!(bench.leases.status()["connected"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lease_ends_by_itself_while_dhcpd_is_away() {
    let bench = Bench::start();
    let dhcpd = Dhcpd::start(bench.run_dir.path());
    dhcpd.list(&[(5, "short", 2), (6, "long", 3600)]);
    bench.until(&[(5, "short"), (6, "long")]).await;
    dhcpd.stop();
    // What is in force stays until its own end.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(bench.leases.status()["connected"], false);
    assert!(bench.names().contains(&(6, "long".to_owned())));
    bench.until(&[(6, "long")]).await;
    // And whatever happened meanwhile is learnt when it is back.
    let dhcpd = Dhcpd::start(bench.run_dir.path());
    dhcpd.list(&[(7, "new", 3600)]);
    bench.until(&[(7, "new")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_were_missed_are_made_up_for() {
    let bench = Bench::start();
    let dhcpd = Dhcpd::start(bench.run_dir.path());
    while bench.leases.status()["connected"] == false {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    dhcpd.grant(5, "first", 3600);
    bench.until(&[(5, "first")]).await;
    // Granted without an event, as strangers in a crowd are.
    dhcpd.list(&[(5, "first", 3600), (6, "unheard", 3600)]);
    dhcpd.emit(&json!({ "event": "events_missed", "count": 3 }));
    bench.until(&[(5, "first"), (6, "unheard")]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_burst_the_whole_list_is_read_again() {
    let bench = Bench::start();
    let dhcpd = Dhcpd::start(bench.run_dir.path());
    dhcpd.grant(5, "first", 3600);
    dhcpd.list(&[(5, "first", 3600)]);
    bench.until(&[(5, "first")]).await;
    dhcpd.list(&[(5, "first", 3600), (6, "unheard", 3600)]);
    let before = *dhcpd.told.lists.lock().unwrap();
    for _ in 0..50 {
        dhcpd.emit(&json!({ "event": "dhcp_offered", "address": "192.0.2.9" }));
    }
    bench.until(&[(5, "first"), (6, "unheard")]).await;
    assert!(*dhcpd.told.lists.lock().unwrap() > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_no_list_takes_no_names() {
    let bench = Bench::start();
    let dhcpd = Dhcpd::start(bench.run_dir.path());
    dhcpd.list(&[(5, "first", 3600)]);
    bench.until(&[(5, "first")]).await;
    dhcpd.stop();
    let socket = bench.run_dir.path().join("dhcpd.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    tasks::spawn("nonsense", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\"nonsense\"").await;
        }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(bench.names(), [(5, "first".to_owned())]);
}
