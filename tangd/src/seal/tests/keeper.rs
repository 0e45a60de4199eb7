//! What the daemon does about its store by itself.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use faros_common::admin::AdminRequest;
use faros_common::daemon::Control;
use faros_common::events::Events;
use faros_common::{clock, tasks};
use hyper::Method;
use serde_json::Value;

use super::upstream::{server, tang_slot};
use super::*;
use crate::seal::{FREE_ATTEMPTS, Keeper};

const DAY: Duration = Duration::from_secs(86_400);

/// A keeper whose events and notes can be looked at.
struct Watched {
    keeper: Arc<Keeper>,
    store: Arc<KeyStore>,
    events: Events,
    notes: Arc<Mutex<Vec<String>>>,
}

fn watched(directory: &Path, rotate: Option<Duration>) -> Watched {
    let (store, events) = (Arc::new(KeyStore::new(directory)), Events::new("tangd"));
    let keeper = Arc::new(Keeper::new(Arc::clone(&store), events.clone(), rotate));
    let notes = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&notes);
    keeper.set_notes(Arc::new(move |note| noted.lock().unwrap().push(note)));
    Watched { keeper, store, events, notes }
}

impl Watched {
    fn events(&self) -> Vec<Value> {
        self.events.after(0, 1000).1.iter().map(|event| serde_json::from_str(&event.json).unwrap()).collect()
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        let body = Bytes::from(body.to_owned());
        let request = AdminRequest { method, path: path.to_owned(), query: BTreeMap::new(), body };
        let answer = self.keeper.admin(request).await.expect("a verb of ours");
        (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap())
    }
}

#[test]
fn keys_in_clear_are_rotated_once_they_are_of_age() {
    let (directory, keys) = directory();
    let kept = watched(directory.path(), Some(90 * DAY));
    let made = kept.store.rotated().unwrap();
    kept.keeper.tidy(made + 90 * DAY - Duration::from_secs(1));
    assert_eq!(thumbprints(&kept.store).unwrap().len(), 4, "not a second too early");
    assert!(kept.events().is_empty());

    kept.keeper.tidy(made + 90 * DAY);
    let held = thumbprints(&kept.store).unwrap();
    assert!(held.len() == 6 && all_in(&held, &keys), "the old ones stay");
    assert!(held[..2].iter().all(|fresh| keys.iter().all(|key| key.jwk.thumbprint() != *fresh)));
    let event = kept.events().pop().unwrap();
    assert_eq!((&event["event"], &event["reason"]), (&"tang_rotated".into(), &"schedule".into()));
    assert_eq!(event["added"].as_array().unwrap().len(), 2);
    let notes = kept.notes.lock().unwrap().clone();
    assert!(notes.len() == 1 && notes[0].contains("rotated on schedule"), "{notes:?}");

    kept.keeper.tidy(clock::wall() + 89 * DAY);
    assert_eq!(thumbprints(&kept.store).unwrap().len(), 6, "and are young again");
}

#[test]
fn a_reload_changes_the_schedule_and_ends_it() {
    let (directory, _) = directory();
    let kept = watched(directory.path(), None);
    let late = kept.store.rotated().unwrap() + 3650 * DAY;
    kept.keeper.tidy(late);
    assert_eq!(thumbprints(&kept.store).unwrap().len(), 4);
    kept.keeper.set_rotation(Some(30 * DAY));
    kept.keeper.tidy(late);
    assert_eq!(thumbprints(&kept.store).unwrap().len(), 6);
    kept.keeper.set_rotation(None);
    kept.keeper.tidy(late);
    assert_eq!(thumbprints(&kept.store).unwrap().len(), 6);
}

#[tokio::test]
async fn keys_in_a_store_are_rotated_inside_it_while_it_is_open() {
    let (directory, keys) = directory();
    let kept = watched(directory.path(), Some(90 * DAY));
    kept.store.seal(&[slot("operator", WORDS)], 1).await.unwrap();
    let late = kept.store.rotated().unwrap() + 91 * DAY;
    kept.keeper.tidy(late);
    assert!(kept.events().is_empty(), "nobody can rotate what is sealed");
    kept.store.open_with_passphrase(&passphrase(WORDS)).unwrap();
    kept.keeper.tidy(late);
    let held = thumbprints(&kept.store).unwrap();
    assert!(held.len() == 6 && all_in(&held, &keys));
    assert_eq!(leak(directory.path(), &keys), None);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "the store alone");
}

#[tokio::test]
async fn what_is_dropped_beside_an_open_store_is_taken_in_and_noted() {
    let (directory, _) = directory();
    let kept = watched(directory.path(), None);
    kept.store.seal(&[slot("operator", WORDS)], 1).await.unwrap();
    kept.store.open_with_passphrase(&passphrase(WORDS)).unwrap();
    let dropped = PrivateJwk::generate_exchange(crate::crypto::Curve::P256).unwrap();
    std::fs::write(directory.path().join("new.jwk"), &*dropped.to_json().unwrap()).unwrap();
    kept.keeper.tidy(clock::wall());
    assert!(thumbprints(&kept.store).unwrap().contains(&dropped.thumbprint()));
    assert!(!directory.path().join("new.jwk").exists());
    assert!(kept.notes.lock().unwrap()[0].contains("1 key files"));
}

#[tokio::test]
async fn operators_open_and_close_by_what_they_know() {
    let (directory, _) = directory();
    let kept = watched(directory.path(), None);
    let (status, said) = kept.ask(Method::POST, "/seal", "").await;
    assert_eq!(status, 409, "{said}");
    kept.store.seal(&[slot("operator", WORDS)], 1).await.unwrap();
    assert_eq!(kept.ask(Method::GET, "/seal", "").await.1["sealed"], true);
    assert_eq!(kept.ask(Method::POST, "/unseal", "").await.0, 400);
    assert_eq!(kept.ask(Method::POST, "/unseal", "wrong words").await.0, 403);
    let (status, said) = kept.ask(Method::POST, "/unseal", WORDS).await;
    assert_eq!((status, &said["sealed"]), (200, &false.into()), "{said}");
    let (status, said) = kept.ask(Method::POST, "/seal", "").await;
    assert_eq!((status, &said["sealed"]), (200, &true.into()), "{said}");
    assert!(kept.store.is_sealed());
    let told: Vec<_> =
        kept.events().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(told, ["tang_unseal_failed", "tang_unseal_failed", "tang_unsealed", "tang_sealed"]);

    let mut last = 0;
    for _ in 0..=FREE_ATTEMPTS + 1 {
        last = kept.ask(Method::POST, "/unseal", "wrong words").await.0;
    }
    assert_eq!(last, 429, "who guesses has to wait");
    assert!(
        kept.keeper
            .admin(AdminRequest {
                method: Method::GET,
                path: "/other".to_owned(),
                query: BTreeMap::new(),
                body: Bytes::new(),
            })
            .await
            .is_none()
    );
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = clock::now() + Duration::from_secs(20);
    while !holds() {
        assert!(clock::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_server_that_comes_up_opens_and_what_an_operator_closed_stays_closed() {
    let server = server().await;
    let (directory, _) = directory();
    let kept = watched(directory.path(), None);
    kept.store.seal(&[tang_slot(&server), slot("operator", WORDS)], 1).await.unwrap();
    server.up.store(false, Ordering::SeqCst);
    let (control, stop) = Control::new();
    let task = tasks::spawn("keeper", Arc::clone(&kept.keeper).run(control));
    eventually("it asks in vain", || {
        kept.events().iter().any(|event| event["event"] == "tang_unseal_failed")
    })
    .await;
    assert!(kept.store.is_sealed());
    server.up.store(true, Ordering::SeqCst);
    eventually("it asks again", || !kept.store.is_sealed()).await;
    eventually("it is noted", || {
        kept.notes.lock().unwrap().iter().any(|note| note.contains("another Tang server"))
    })
    .await;

    assert_eq!(kept.ask(Method::POST, "/seal", "").await.0, 200);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(kept.store.is_sealed(), "only an operator opens it again");
    stop.send(true).unwrap();
    tokio::time::timeout(Duration::from_secs(5), task).await.expect("it ends").unwrap();
}
