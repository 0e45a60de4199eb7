//! Sealing, opening, changing, tampering.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::*;
use crate::keys::{Keys, KeysError};
use crate::protocol::respond;
use crate::seal::{FREE_ATTEMPTS, STORE_FILE, SealError, Tpm2};

async fn sealed(slots: &[NewSlot], threshold: usize) -> (TempDir, Vec<SourcedKey>) {
    let (directory, keys) = directory();
    KeyStore::new(directory.path()).seal(slots, threshold).await.unwrap();
    (directory, keys)
}

/// A request for an exchange with the visible exchange key.
fn recovery(keys: &[SourcedKey]) -> (String, Vec<u8>) {
    let exchange = keys.iter().find(|key| key.jwk.purpose().exchanges()).unwrap();
    let client = PrivateJwk::generate_exchange(exchange.jwk.private().curve()).unwrap();
    (format!("/rec/{}", exchange.jwk.thumbprint()), client.public().to_json().into_bytes())
}

#[tokio::test]
async fn a_restart_seals_and_a_passphrase_opens_and_no_scalar_is_on_disk_meanwhile() {
    let (directory, keys) = directory();
    assert!(leak(directory.path(), &keys).is_some(), "the search finds what is there");
    let report = KeyStore::new(directory.path()).seal(&[slot("operator", WORDS)], 1).await.unwrap();
    assert_eq!((report.wiped, report.generated, report.files.len()), (5, false, 5));
    assert_eq!(leak(directory.path(), &keys), None);

    let store = Arc::new(KeyStore::new(directory.path()));
    let served = Keys::new(Box::new(Arc::clone(&store)));
    let (target, body) = recovery(&keys);
    let sealed = served.current().unwrap();
    assert_eq!(respond("POST", &target, &body, &sealed).status, 503);
    let advertised = respond("GET", "/adv", b"", &sealed);
    assert_eq!(advertised.status, 200);
    assert_eq!(respond("GET", &format!("/adv/{}", keys[0].jwk.thumbprint()), b"", &sealed).status, 200);

    let progress = store.open_with_passphrase(&passphrase(WORDS)).unwrap();
    assert!(!progress.sealed);
    let open = served.current().unwrap();
    assert_eq!(respond("POST", &target, &body, &open).status, 200);
    let payload = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap()["payload"].clone();
    assert_eq!(payload(&respond("GET", "/adv", b"", &open).body), payload(&advertised.body));
    assert_eq!(leak(directory.path(), &keys), None);

    store.close().unwrap();
    assert_eq!(respond("POST", &target, &body, &served.current().unwrap()).status, 503);
}

#[tokio::test]
async fn the_file_is_for_its_owner_only() {
    let (directory, _) = sealed(&[slot("operator", WORDS)], 1).await;
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [STORE_FILE]);
    let mode = directory.path().join(STORE_FILE).metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o400);
}

#[tokio::test]
async fn a_wrong_passphrase_opens_nothing_and_guessing_is_slowed_down() {
    let (directory, _) = sealed(&[slot("operator", WORDS)], 1).await;
    let store = KeyStore::new(directory.path());
    for _ in 0..FREE_ATTEMPTS {
        let error = store.open_with_passphrase(&passphrase("wrong horse battery staple")).unwrap_err();
        assert!(matches!(error, SealError::WrongPassphrase), "{error}");
    }
    // The right one has to wait, too: otherwise the wait would tell which it is.
    let error = store.open_with_passphrase(&passphrase(WORDS)).unwrap_err();
    assert!(matches!(error, SealError::TooManyAttempts(_)), "{error}");
    assert!(store.is_sealed());
}

#[tokio::test]
async fn two_of_three_passphrases_open_and_one_twice_does_not() {
    let words = ["the first operator's words", "the second operator's words", "the third operator's words"];
    let slots: Vec<_> = words.iter().zip(["a", "b", "c"]).map(|(words, name)| slot(name, words)).collect();
    let (directory, keys) = sealed(&slots, 2).await;
    for (first, second) in [(0, 1), (2, 0), (1, 2)] {
        let store = KeyStore::new(directory.path());
        for _ in 0..2 {
            let progress = store.open_with_passphrase(&passphrase(words[first])).unwrap();
            assert_eq!((progress.sealed, progress.shares, progress.threshold), (true, 1, 2));
            assert!(thumbprints(&store).is_none());
        }
        assert!(!store.open_with_passphrase(&passphrase(words[second])).unwrap().sealed);
        assert!(all_in(&thumbprints(&store).unwrap(), &keys));
    }
}

#[tokio::test]
async fn slots_are_added_to_an_open_store_and_removed_down_to_its_threshold() {
    let (directory, _) = sealed(&[slot("a", WORDS), slot("b", "another operator's words")], 2).await;
    let store = KeyStore::new(directory.path());
    assert!(matches!(store.add_slot(&slot("c", "a third operator's words")).await, Err(SealError::Sealed)));
    store.open_with_passphrase(&passphrase(WORDS)).unwrap();
    store.open_with_passphrase(&passphrase("another operator's words")).unwrap();
    store.add_slot(&slot("c", "a third operator's words")).await.unwrap();
    assert!(matches!(store.add_slot(&slot("c", WORDS)).await, Err(SealError::Invalid(_))));
    store.remove_slot("a").unwrap();
    assert!(matches!(store.remove_slot("a"), Err(SealError::NoSuchSlot(_))));
    assert!(matches!(store.remove_slot("b"), Err(SealError::Invalid(_))));

    let after = KeyStore::new(directory.path());
    assert!(matches!(after.open_with_passphrase(&passphrase(WORDS)), Err(SealError::WrongPassphrase)));
    after.open_with_passphrase(&passphrase("a third operator's words")).unwrap();
    assert!(!after.open_with_passphrase(&passphrase("another operator's words")).unwrap().sealed);
}

#[tokio::test]
async fn any_changed_bit_of_the_file_is_noticed() {
    let (directory, _) = sealed(&[slot("operator", WORDS)], 1).await;
    let store = KeyStore::new(directory.path());
    store.open_with_passphrase(&passphrase(WORDS)).unwrap();
    let key = store.opened().unwrap().1;
    let path = directory.path().join(STORE_FILE);
    let whole = std::fs::read(&path).unwrap();
    let reads = |bytes: &[u8]| {
        let store = super::super::format::SealedStore::parse(bytes)?;
        store.open(&key).map(drop)
    };
    reads(&whole).unwrap();
    for index in (0..whole.len()).step_by(3) {
        let mut changed = whole.clone();
        changed[index] ^= 1 << (index % 7);
        assert!(reads(&changed).is_err(), "byte {index}");
    }
    for length in (0..whole.len()).step_by(37) {
        assert!(reads(&whole[..length]).is_err(), "length {length}");
    }
    reads(&[&whole[..], b"\n"].concat()).unwrap_err();
    // And a daemon says so instead of making new keys.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, &whole[..100]).unwrap();
    assert!(KeySource::load(&store).unwrap_err().to_string().contains("damaged"));
}

#[tokio::test]
async fn a_store_that_disappears_is_an_error_and_no_reason_for_new_keys() {
    let (directory, _) = sealed(&[slot("operator", WORDS)], 1).await;
    let store = KeyStore::new(directory.path());
    assert!(thumbprints(&store).is_none());
    std::fs::remove_file(directory.path().join(STORE_FILE)).unwrap();
    assert!(KeySource::load(&store).unwrap_err().to_string().contains("farosctl tang"));
    assert!(KeySource::version(&store).is_err());
    assert!(KeySource::rotate(&store).is_err());
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);

    let expecting = KeyStore::new(directory.path());
    expecting.expect_sealed(true);
    assert!(KeySource::load(&expecting).is_err() && expecting.is_sealed());
}

#[tokio::test]
async fn an_empty_directory_gets_keys_that_were_never_in_clear() {
    let directory = tempfile::tempdir().unwrap();
    let store = KeyStore::new(directory.path());
    let report = store.seal(&[slot("operator", WORDS)], 1).await.unwrap();
    assert_eq!((report.generated, report.wiped, report.files.len()), (true, 0, 2));
    store.open_with_passphrase(&passphrase(WORDS)).unwrap();
    assert_eq!(thumbprints(&store).unwrap().len(), 2);
    assert!(matches!(store.seal(&[slot("operator", WORDS)], 1).await, Err(SealError::AlreadySealed(_))));
}

#[tokio::test]
async fn rotation_hides_the_old_pair_inside_the_store() {
    let (directory, keys) = sealed(&[slot("operator", WORDS)], 1).await;
    let store = KeyStore::new(directory.path());
    assert!(KeySource::rotate(&store).is_err(), "not while it is sealed");
    store.open_with_passphrase(&passphrase(WORDS)).unwrap();
    let before = KeySource::version(&store).unwrap();
    let rotated = KeySource::rotate(&store).unwrap();
    // "odd.jwk" is hidden with the two that were advertised.
    assert_eq!((rotated.added.len(), rotated.hidden.len()), (2, 3));
    assert_ne!(KeySource::version(&store).unwrap().stamp, before.stamp);
    let held = thumbprints(&store).unwrap();
    assert!(all_in(&held, &keys) && held.len() == 6);
    assert!(held[..2].iter().all(|fresh| keys.iter().all(|key| key.jwk.thumbprint() != *fresh)));
    assert_eq!(leak(directory.path(), &keys), None);
    assert!(store.rotated().is_some());
}

#[tokio::test]
async fn a_rotated_key_is_forgotten_inside_the_store_and_beside_it() {
    let (directory, keys) = sealed(&[slot("operator", WORDS)], 1).await;
    let store = KeyStore::new(directory.path());
    let old = keys[3].jwk.thumbprint();
    assert!(matches!(KeySource::forget(&store, &old), Err(KeysError::Sealed)), "not while it is sealed");
    store.open_with_passphrase(&passphrase(WORDS)).unwrap();
    // Left beside the store, it would come back with the next tidying.
    std::fs::write(directory.path().join(".left.jwk"), &*keys[3].jwk.to_json().unwrap()).unwrap();
    let before = KeySource::version(&store).unwrap();
    assert_eq!(KeySource::forget(&store, &old).unwrap(), [keys[3].file.clone()]);
    assert_ne!(KeySource::version(&store).unwrap().stamp, before.stamp);
    assert_eq!(store.absorb().unwrap(), 0);
    assert_eq!(leak(directory.path(), &keys), None);
    let again = KeyStore::new(directory.path());
    again.open_with_passphrase(&passphrase(WORDS)).unwrap();
    let held = thumbprints(&again).unwrap();
    assert!(!held.contains(&old) && held.len() == 3, "{held:?}");

    let in_use = keys[0].jwk.thumbprint();
    assert!(matches!(KeySource::forget(&again, &in_use), Err(KeysError::InUse(_))));
    assert!(matches!(KeySource::forget(&again, &old), Err(KeysError::NoSuchKey(_))));
    assert_eq!(thumbprints(&again).unwrap().len(), 3, "what is refused changes nothing");
}

#[tokio::test]
async fn a_key_dropped_beside_the_store_is_taken_in_and_wiped() {
    let (directory, keys) = sealed(&[slot("operator", WORDS)], 1).await;
    let dropped = PrivateJwk::generate_exchange(crate::crypto::Curve::P256).unwrap();
    std::fs::write(directory.path().join("new.jwk"), &*dropped.to_json().unwrap()).unwrap();
    let store = KeyStore::new(directory.path());
    assert!(matches!(store.absorb(), Err(SealError::Sealed)));
    assert_eq!(store.describe().unwrap().unwrap().clear_files, 1);
    store.open_with_passphrase(&passphrase(WORDS)).unwrap();
    assert_eq!(store.absorb().unwrap(), 1);
    assert!(thumbprints(&store).unwrap().contains(&dropped.thumbprint()));
    let dropped = [SourcedKey { file: "new.jwk".to_owned(), jwk: dropped }];
    assert_eq!(leak(directory.path(), &dropped), None);
    assert_eq!(leak(directory.path(), &keys), None);
}

#[tokio::test]
async fn a_backup_restores_all_keys_into_every_kind_of_directory() {
    let (directory, keys) = sealed(&[slot("operator", WORDS)], 1).await;
    let store = KeyStore::new(directory.path());
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("tang.backup");
    let words = passphrase("words for the safe in the office");
    assert!(matches!(store.backup_to(&file, &words), Err(SealError::Sealed)));
    store.open_with_passphrase(&passphrase(WORDS)).unwrap();
    assert_eq!(store.backup_to(&file, &words).unwrap(), 5);
    assert_eq!(leak(place.path(), &keys), None);
    assert!(store.backup_to(&file, &words).is_err(), "nothing is overwritten");

    // Into clear files, into a store that is open, and into a new store.
    let clear = tempfile::tempdir().unwrap();
    let restored = KeyStore::new(clear.path());
    assert!(matches!(restored.restore(&file, &passphrase(WORDS)), Err(SealError::WrongPassphrase)));
    assert_eq!(restored.restore(&file, &words).unwrap(), 5);
    assert_eq!(restored.restore(&file, &words).unwrap(), 0, "nothing twice");
    assert!(all_in(&thumbprints(&restored).unwrap(), &keys));

    let open = tempfile::tempdir().unwrap();
    let restored = KeyStore::new(open.path());
    restored.seal(&[slot("operator", WORDS)], 1).await.unwrap();
    assert!(matches!(restored.restore(&file, &words), Err(SealError::Sealed)));
    restored.open_with_passphrase(&passphrase(WORDS)).unwrap();
    assert_eq!(restored.restore(&file, &words).unwrap(), 5);
    assert!(all_in(&thumbprints(&restored).unwrap(), &keys));

    let fresh = tempfile::tempdir().unwrap();
    let restored = KeyStore::new(fresh.path());
    restored.restore_sealed(&file, &words, &[slot("operator", WORDS)], 1).await.unwrap();
    assert_eq!(leak(fresh.path(), &keys), None);
    restored.open_with_passphrase(&passphrase(WORDS)).unwrap();
    assert_eq!(thumbprints(&restored).unwrap().len(), keys.len());
}

#[tokio::test]
async fn what_cannot_be_a_store_is_refused_before_anything_is_touched() {
    let (directory, keys) = directory();
    let store = KeyStore::new(directory.path());
    let tpm = NewSlot { name: "tpm2".to_owned(), with: Opener::Tpm2(Tpm2::default()) };
    let twice = [slot("a", WORDS), slot("a", WORDS)];
    for (slots, threshold) in [
        (&[][..], 1),
        (&[slot("a", WORDS)][..], 2),
        (&[slot("a", WORDS)], 0),
        (&twice, 1),
        (&[tpm], 1),
        (&[slot("a", "short")], 1),
    ] {
        let error = store.seal(slots, threshold).await.unwrap_err();
        assert!(matches!(error, SealError::Invalid(_)), "{error}");
    }
    std::os::unix::fs::symlink("/elsewhere.jwk", directory.path().join("link.jwk")).unwrap();
    assert!(store.seal(&[slot("a", WORDS)], 1).await.unwrap_err().to_string().contains("plain file"));
    std::fs::remove_file(directory.path().join("link.jwk")).unwrap();
    assert!(all_in(&thumbprints(&store).unwrap(), &keys) && !store.has_store());
}

#[tokio::test]
async fn a_share_of_one_store_says_nothing_in_another() {
    let (first, _) = sealed(&[slot("operator", WORDS)], 1).await;
    let (second, _) = sealed(&[slot("operator", WORDS)], 1).await;
    let store = KeyStore::new(first.path());
    store.open_with_passphrase(&passphrase(WORDS)).unwrap();
    let (path, other) = (first.path().join(STORE_FILE), second.path().join(STORE_FILE));
    std::fs::rename(other, path).unwrap();
    assert!(thumbprints(&store).is_none(), "another store in its place is sealed");
    assert!(store.is_sealed());
}
