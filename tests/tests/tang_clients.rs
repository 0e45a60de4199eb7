//! Disk unlocking as real clients see it: `clevis` with Debian's server and ours on one directory of keys.
#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use faros_common::clock;
use faros_tests::tang::points::{Curve, thumbprint};
use faros_tests::tang::{
    Naming, OURS, Tang, UPSTREAM, UPSTREAM_PROGRAMS, count, http, is_hidden, keys_in, points,
};
use faros_tests::within;
use serde_json::Value;

/// Pairs of encryption and decryption. By hand: `FAROS_TANG_PAIRS=1000`.
const PAIRS: usize = 40;
/// Clients that decrypt at the same time while keys change.
const CLIENTS: usize = 8;
/// Machines that ask once each.
const MACHINES: usize = 5000;
/// How soon a changed key has to be advertised.
const SEEN_WITHIN: Duration = Duration::from_secs(1);

#[test]
fn what_one_server_encrypts_the_other_decrypts() {
    let site = Tang::beside_upstream("");
    let clevis = site.clevis();
    let pairs = count("FAROS_TANG_PAIRS", PAIRS);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= pairs {
                        return;
                    }
                    let servers = if number.is_multiple_of(2) { [UPSTREAM, OURS] } else { [OURS, UPSTREAM] };
                    let naming = if (number / 2).is_multiple_of(2) { Naming::S256 } else { Naming::S1 };
                    let secret = faros_tests::noise(1 + number % 64, number as u64);
                    let encrypted = clevis.encrypt(servers[0], naming, &secret).unwrap();
                    assert_eq!(key_id(&encrypted).len(), if naming == Naming::S256 { 43 } else { 27 });
                    let decrypted = clevis.decrypt(servers[1], &encrypted).unwrap();
                    assert_eq!(decrypted, secret, "pair {number}, {naming:?}, {servers:?}");
                }
            });
        }
    });
    println!("{pairs} pairs");
}

/// The name of the key in what `clevis` made.
fn key_id(encrypted: &[u8]) -> String {
    let header = encrypted.split(|&byte| byte == b'.').next().unwrap();
    let header: Value =
        serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(header).unwrap()).unwrap();
    header["kid"].as_str().unwrap().to_owned()
}

#[test]
fn keys_rotate_and_drop_in_under_decrypting_clients() {
    let site = Tang::running("");
    let clevis = site.clevis();
    let generations = std::sync::Mutex::new(vec![clevis.encrypt(OURS, Naming::S256, b"first").unwrap()]);
    let oldest = key_id(&generations.lock().unwrap()[0]);
    let (stop, decrypted) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (clevis, generations, stop, decrypted) = (&clevis, &generations, &stop, &decrypted);
            scope.spawn(move || {
                let mut turn = client;
                while !stop.load(Ordering::Relaxed) {
                    let encrypted = {
                        let generations = generations.lock().unwrap();
                        generations[turn % generations.len()].clone()
                    };
                    clevis.decrypt(OURS, &encrypted).expect("no client notices");
                    decrypted.fetch_add(1, Ordering::Relaxed);
                    turn += 1;
                }
            });
        }
        // Whatever fails from here on, the clients end.
        let stopping = Stop(&stop);
        for change in
            [Change::Ours, Change::UpstreamRotates, Change::Dropped, Change::UpstreamGenerates, Change::Ours]
        {
            let before = advertised(&site);
            change.make(&site);
            within(SEEN_WITHIN, &format!("{change:?} is advertised"), || advertised(&site) != before);
            let encrypted = clevis.encrypt(OURS, Naming::S256, b"next").expect("the new keys are whole");
            generations.lock().unwrap().push(encrypted);
            let so_far = decrypted.load(Ordering::Relaxed);
            within(Duration::from_secs(60), "clients go on", || {
                decrypted.load(Ordering::Relaxed) > so_far + 2 * CLIENTS
            });
        }
        drop(stopping);
    });
    println!("{} decryptions", decrypted.load(Ordering::Relaxed));
    let files = keys_in(&site.keys());
    let (file, _) = files.iter().find(|(_, key)| thumbprint(key) == oldest).expect("it is still there");
    assert!(is_hidden(file), "the oldest key is rotated out");
    let generations = generations.into_inner().unwrap();
    assert_eq!(clevis.decrypt(OURS, &generations[0]).unwrap(), b"first");
    std::fs::remove_file(file).unwrap();
    assert!(clevis.decrypt(OURS, &generations[0]).is_err(), "a key that is deleted decrypts nothing");
    for encrypted in &generations[1..] {
        assert_eq!(clevis.decrypt(OURS, encrypted).unwrap(), b"next");
    }
}

/// Tells the clients to end, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The keys that are advertised.
fn advertised(site: &Tang) -> Value {
    let reply = site.client.inside(|| http::exchange(OURS, &http::get("/adv"))).unwrap().unwrap();
    assert_eq!(reply.status, 200);
    let signed: Value = serde_json::from_slice(&reply.body).unwrap();
    let payload = signed["payload"].as_str().unwrap();
    serde_json::from_slice(&data_encoding::BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
}

/// A way in which keys change.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// We are told to rotate.
    Ours,
    /// Upstream's script renames the keys under us.
    UpstreamRotates,
    /// Upstream's program adds a pair.
    UpstreamGenerates,
    /// Somebody copies a key in.
    Dropped,
}

impl Change {
    fn make(self, site: &Tang) {
        let keys = site.keys();
        let upstream = |program: &str, arguments: &[&str]| {
            // As the directory's owner: what root makes there, the server may not read.
            let owner = std::fs::metadata(&keys).unwrap();
            let mut command = std::process::Command::new("setpriv");
            command.args([format!("--reuid={}", owner.uid()), format!("--regid={}", owner.gid())]);
            command.arg("--clear-groups").arg(format!("{UPSTREAM_PROGRAMS}/{program}"));
            let output = command.args(arguments).output().unwrap();
            assert!(output.status.success(), "{output:?}");
        };
        match self {
            Self::Ours => {
                site.lab.admin_post("tangd", "/rotate").unwrap();
            }
            Self::UpstreamRotates => upstream("tangd-rotate-keys", &["-d", &keys.display().to_string()]),
            Self::UpstreamGenerates => upstream("tangd-keygen", &[&keys.display().to_string()]),
            Self::Dropped => {
                let curve: Curve = points::CURVES[0];
                std::fs::write(keys.join("dropped.jwk"), curve.exchange_key().to_string()).unwrap();
            }
        }
    }
}

/// All nodes come back after a power cut at the same time.
#[test]
fn a_whole_site_unlocks_at_once() {
    let site = Tang::running("");
    let clevis = site.clevis();
    let encrypted = clevis.encrypt(OURS, Naming::S256, b"disk").unwrap();
    let start = clock::now();
    std::thread::scope(|scope| {
        for _ in 0..30 {
            scope.spawn(|| assert_eq!(clevis.decrypt(OURS, &encrypted).unwrap(), b"disk"));
        }
    });
    println!("30 machines in {:?}", start.elapsed());
    let recovered = site.audit().into_iter().filter(|entry| entry["decision"] == "recovered").count();
    assert_eq!(recovered, 30, "each left its entry");
}

/// As many as a campus of sites has, each with a connection of its own.
#[test]
fn five_thousand_machines_are_all_served() {
    let site = Tang::running("");
    let path = format!("/rec/{}", site.thumbprint("deriveKey"));
    let start = clock::now();
    let times = std::thread::scope(|scope| {
        let machines = |_| {
            let (site, path) = (&site, &path);
            scope.spawn(move || {
                let asked = site.client.inside(|| {
                    (0..MACHINES / CLIENTS)
                        .map(|_| {
                            let request = http::post(path, &points::CURVES[0].random_point().request());
                            let start = clock::now();
                            assert_eq!(http::exchange(OURS, &request).expect("an answer").status, 200);
                            start.elapsed()
                        })
                        .collect::<Vec<_>>()
                });
                asked.unwrap()
            })
        };
        let clients: Vec<_> = (0..CLIENTS).map(machines).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    let mut times = times;
    times.sort();
    println!(
        "{MACHINES} in {:?}, the slowest but one in a hundred in {:?}",
        start.elapsed(),
        times[MACHINES * 99 / 100]
    );
    assert_eq!(faros_tests::counter(&site.lab, "tangd", "faros_tangd_recoveries_total"), MACHINES as u64);
}
