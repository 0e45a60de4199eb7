//! Another Tang server opens the store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use faros_common::tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::keys::{KeyDirectory, Keys};
use crate::protocol::respond;
use crate::seal::{SealError, Upstream};

/// A Tang server of few words: one request for each connection.
pub(super) struct Server {
    address: SocketAddr,
    pub(super) up: Arc<AtomicBool>,
    recoveries: Arc<AtomicUsize>,
    thumbprint: String,
    _directory: TempDir,
}

pub(super) async fn server() -> Server {
    let (directory, sourced) = directory();
    let keys = Keys::new(Box::new(KeyDirectory::new(directory.path())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (up, recoveries) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
    let (is_up, counted) = (Arc::clone(&up), Arc::clone(&recoveries));
    tasks::spawn("server", async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            if !is_up.load(Ordering::SeqCst) {
                continue;
            }
            let mut request = Vec::new();
            let (head, body) = loop {
                stream.read_buf(&mut request).await.unwrap();
                let text = String::from_utf8(request.clone()).unwrap();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| {
                    line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok()
                });
                if body.len() >= length.unwrap_or(0) {
                    break (head.to_owned(), body.to_owned());
                }
            };
            let mut words = head.split(' ');
            let (method, target) = (words.next().unwrap(), words.next().unwrap());
            counted.fetch_add(usize::from(method == "POST"), Ordering::SeqCst);
            let reply = respond(method, target, body.as_bytes(), &keys.current().unwrap());
            let head = format!("HTTP/1.1 {} X\r\nContent-Length: {}\r\n\r\n", reply.status, reply.body.len());
            stream.write_all(head.as_bytes()).await.unwrap();
            stream.write_all(&reply.body).await.unwrap();
        }
    });
    let thumbprint = sourced[0].jwk.thumbprint();
    Server { address, up, recoveries, thumbprint, _directory: directory }
}

fn upstream(server: &Server) -> Upstream {
    Upstream { url: format!("http://{}", server.address), thumbprint: server.thumbprint.clone(), ca: None }
}

pub(super) fn tang_slot(server: &Server) -> NewSlot {
    NewSlot { name: "hq".to_owned(), with: Opener::Tang(upstream(server)) }
}

#[tokio::test]
async fn a_server_opens_with_one_request_for_as_long_as_it_has_its_key() {
    let server = server().await;
    let (directory, keys) = directory();
    KeyStore::new(directory.path()).seal(&[tang_slot(&server), slot("operator", WORDS)], 1).await.unwrap();
    let made = server.recoveries.load(Ordering::SeqCst);

    let store = KeyStore::new(directory.path());
    assert!(!store.open_with_upstreams().await.unwrap().sealed);
    assert_eq!(server.recoveries.load(Ordering::SeqCst), made + 1);
    assert!(all_in(&thumbprints(&store).unwrap(), &keys));
    assert_eq!(leak(directory.path(), &keys), None);

    // Headquarters takes the key away.
    for entry in std::fs::read_dir(server._directory.path()).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let store = KeyStore::new(directory.path());
    let error = store.open_with_upstreams().await.unwrap_err();
    assert!(matches!(&error, SealError::Upstream(text) if text.contains("404")), "{error}");
    assert!(store.is_sealed());
    assert!(!store.open_with_passphrase(&passphrase(WORDS)).unwrap().sealed, "the other slot still opens");
}

#[tokio::test]
async fn a_server_and_a_passphrase_open_together() {
    let server = server().await;
    let (directory, _) = directory();
    KeyStore::new(directory.path()).seal(&[tang_slot(&server), slot("operator", WORDS)], 2).await.unwrap();
    let store = KeyStore::new(directory.path());
    server.up.store(false, Ordering::SeqCst);
    assert!(store.open_with_upstreams().await.is_err());
    assert!(store.open_with_passphrase(&passphrase(WORDS)).unwrap().sealed);
    server.up.store(true, Ordering::SeqCst);
    assert!(!store.open_with_upstreams().await.unwrap().sealed);
}

#[tokio::test]
async fn a_server_with_another_thumbprint_gets_no_slot() {
    let server = server().await;
    let (directory, keys) = directory();
    let store = KeyStore::new(directory.path());
    let mut wrong = upstream(&server);
    wrong.thumbprint = keys[0].jwk.thumbprint();
    let slot = NewSlot { name: "hq".to_owned(), with: Opener::Tang(wrong) };
    let error = store.seal(&[slot], 1).await.unwrap_err();
    assert!(error.to_string().contains("thumbprint"), "{error}");
    assert!(!store.has_store() && leak(directory.path(), &keys).is_some());
}

#[tokio::test]
async fn urls_that_lead_to_no_server_are_refused_at_once() {
    for url in ["", "hq.example.com", "ftp://hq", "http://", "http://hq/?x=1", "unix:/run/tang"] {
        let upstream = Upstream { url: url.to_owned(), thumbprint: "x".to_owned(), ca: None };
        let slot = NewSlot { name: "hq".to_owned(), with: Opener::Tang(upstream) };
        let directory = tempfile::tempdir().unwrap();
        let error = KeyStore::new(directory.path()).seal(&[slot], 1).await.unwrap_err();
        assert!(matches!(error, SealError::Invalid(_)), "{url:?}: {error}");
    }
}
