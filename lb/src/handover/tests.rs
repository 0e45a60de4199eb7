use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::json;

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

struct Shop {
    listener: Mutex<Option<std::net::TcpListener>>,
    told: Sender<&'static str>,
}

impl Estate for Shop {
    fn hand_out(&self) -> (Vec<(std::net::SocketAddr, std::net::TcpListener)>, serde_json::Value) {
        let listener = self.listener.lock().unwrap().as_ref().unwrap().try_clone().unwrap();
        self.told.send("hand_out").unwrap();
        (vec![(listener.local_addr().unwrap(), listener)], json!({ "drained": ["cp1"] }))
    }

    fn resume(&self) {
        self.told.send("resume").unwrap();
    }

    fn retire(&self) {
        self.listener.lock().unwrap().take();
        self.told.send("retire").unwrap();
    }
}

fn shop(directory: &std::path::Path) -> (Handover, std::net::SocketAddr, Receiver<&'static str>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, heard) = channel();
    let shop = Shop { listener: Mutex::new(Some(listener)), told };
    (Handover::offer(directory, std::sync::Arc::new(shop)).unwrap(), address, heard)
}

#[test]
fn a_connection_that_waits_is_the_successors() {
    let directory = tempfile::tempdir().unwrap();
    let (_offer, address, heard) = shop(directory.path());
    let mut client = TcpStream::connect(address).unwrap();
    let (succession, listeners) = ask(directory.path(), None).unwrap().unwrap();
    assert_eq!(succession.memory["drained"][0], "cp1");
    succession.ready().unwrap();
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "hand_out");
    assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "retire");
    let (mut served, _) = listeners[0].accept().unwrap();
    served.write_all(b"hi").unwrap();
    drop(served);
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hi");
}

#[test]
fn a_successor_that_dies_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (_offer, address, heard) = shop(directory.path());
    for _ in 0..2 {
        drop(ask(directory.path(), None).unwrap().unwrap());
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "hand_out");
        assert_eq!(heard.recv_timeout(PATIENCE).unwrap(), "resume");
    }
    TcpStream::connect(address).unwrap();
}

#[test]
fn nobody_there_and_a_dead_process_are_no_predecessor() {
    let directory = tempfile::tempdir().unwrap();
    assert!(ask(directory.path(), None).unwrap().is_none());
    // A socket file that nobody listens at any more.
    let socket =
        rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::SEQPACKET, None);
    let address = rustix::net::SocketAddrUnix::new(directory.path().join(SOCKET)).unwrap();
    rustix::net::bind(socket.unwrap(), &address).unwrap();
    assert!(directory.path().join(SOCKET).exists());
    assert!(ask(directory.path(), None).unwrap().is_none());
}

#[test]
fn the_file_of_a_successor_stays_when_the_predecessor_goes() {
    let directory = tempfile::tempdir().unwrap();
    let (old, ..) = shop(directory.path());
    let (new, address, _heard) = shop(directory.path());
    drop(old);
    let (_, listeners) = ask(directory.path(), None).unwrap().unwrap();
    assert_eq!(listeners[0].local_addr().unwrap(), address);
    drop(new);
    assert!(!directory.path().join(SOCKET).exists());
}
