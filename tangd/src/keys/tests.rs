use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::crypto::Curve;

mod jwk;

fn keys_in(directory: &Path) -> Keys {
    Keys::new(Box::new(KeyDirectory::new(directory)))
}

fn directory(files: &[(&str, &PrivateJwk)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, jwk) in files {
        fs::write(directory.path().join(name), &*jwk.to_json().unwrap()).unwrap();
    }
    directory
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn files(set: &KeySet) -> Vec<&str> {
    set.keys().map(|key| &*key.file).collect()
}

fn with(jwk: &PrivateJwk, changes: &[(&str, Option<Value>)]) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(&jwk.to_json().unwrap()).unwrap();
    for (name, change) in changes {
        let members = value.as_object_mut().unwrap();
        match change {
            Some(change) => drop(members.insert((*name).to_owned(), change.clone())),
            None => drop(members.remove(*name)),
        }
    }
    value.to_string().into_bytes()
}

#[test]
fn the_first_request_makes_a_pair_that_only_owner_and_group_read() {
    let directory = tempfile::tempdir().unwrap();
    let keys = keys_in(directory.path());
    let set = keys.current().unwrap();
    let mut purposes: Vec<_> = set.keys().map(|key| key.purpose).collect();
    purposes.sort_by_key(|purpose| purpose.signs());
    assert_eq!(purposes, [Purpose::Exchange, Purpose::Sign]);
    for key in set.keys() {
        assert_eq!((&*key.file, key.curve), (&*format!("{}.jwk", key.thumbprint()), Curve::P521));
        let metadata = fs::metadata(directory.path().join(&key.file)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o440);
    }
    assert!(set.advertisement().is_some());
    keys.current().unwrap();
    assert_eq!(names(directory.path()).len(), 2, "once and no more");
}

#[test]
fn many_servers_on_one_empty_directory_make_one_pair() {
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert!(keys_in(directory.path()).current().unwrap().advertisement().is_some()));
        }
    });
    assert_eq!(names(directory.path()).len(), 2);
}

#[test]
fn with_only_hidden_keys_a_pair_is_made_and_the_hidden_ones_go_on() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    let directory = directory(&[(".s.jwk", &sign), (".e.jwk", &exchange)]);
    let set = keys_in(directory.path()).current().unwrap();
    assert_eq!(set.keys().count(), 4);
    assert!(set.find(&exchange.thumbprint()).is_some_and(|key| key.hidden && !key.advertised));
}

#[test]
fn a_damaged_file_in_use_is_no_reason_for_a_new_pair() {
    let directory = directory(&[]);
    fs::write(directory.path().join("half.jwk"), "{\"alg\":\"ECM").unwrap();
    let set = keys_in(directory.path()).current().unwrap();
    assert_eq!((set.keys().count(), set.skipped().len()), (0, 1));
    assert_eq!(names(directory.path()), ["half.jwk"]);
    assert!(set.advertisement().is_none());
}

#[test]
fn what_holds_no_key_is_passed_over_and_named() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    let directory =
        directory(&[("s.jwk", &sign), ("e.jwk", &exchange), ("e.jwk.bak", &exchange), ("x.JWK", &exchange)]);
    let path = directory.path();
    fs::write(path.join("empty.jwk"), "").unwrap();
    fs::write(path.join("large.jwk"), vec![b' '; 65 * 1024]).unwrap();
    fs::create_dir(path.join("folder.jwk")).unwrap();
    std::os::unix::fs::symlink("nowhere", path.join("dangling.jwk")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, path.join("pipe.jwk"), rustix::fs::FileType::Fifo, 0o600.into(), 0)
        .unwrap();
    let set = keys_in(path).current().unwrap();
    assert_eq!(files(&set), ["e.jwk", "s.jwk"]);
    let skipped: Vec<_> = set.skipped().iter().map(|skipped| &*skipped.file).collect();
    assert_eq!(skipped, ["dangling.jwk", "empty.jwk", "folder.jwk", "large.jwk", "pipe.jwk"]);
    assert!(set.advertisement().is_some());
}

#[test]
fn keys_behind_symbolic_links_are_read_and_followed() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    let other = PrivateJwk::generate_exchange(Curve::P521).unwrap();
    let target = directory(&[("e", &exchange), ("f", &other)]);
    let directory = directory(&[("s.jwk", &sign)]);
    std::os::unix::fs::symlink(target.path().join("e"), directory.path().join("e.jwk")).unwrap();
    let keys = keys_in(directory.path());
    assert!(keys.current().unwrap().find(&exchange.thumbprint()).is_some());
    fs::rename(target.path().join("f"), target.path().join("e")).unwrap();
    assert!(keys.current().unwrap().find(&other.thumbprint()).is_some());
}

#[test]
fn a_change_is_seen_by_the_very_next_request() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    let directory = directory(&[("s.jwk", &sign)]);
    let (path, keys) = (directory.path(), keys_in(directory.path()));
    let has = |key: &PrivateJwk| keys.current().unwrap().find(&key.thumbprint()).is_some();
    for _ in 0..30 {
        // Written in place, in two parts; hidden; in use again; overwritten; gone: without a pause, within a tick.
        let content = exchange.to_json().unwrap();
        fs::write(path.join("e.jwk"), &content[..100]).unwrap();
        assert!(!has(&exchange));
        fs::write(path.join("e.jwk"), &content).unwrap();
        assert!(has(&exchange));
        fs::rename(path.join("e.jwk"), path.join(".e.jwk")).unwrap();
        assert!(keys.current().unwrap().find(&exchange.thumbprint()).unwrap().hidden);
        fs::rename(path.join(".e.jwk"), path.join("e.jwk")).unwrap();
        assert!(!keys.current().unwrap().find(&exchange.thumbprint()).unwrap().hidden);
        let other = PrivateJwk::generate_exchange(Curve::P521).unwrap();
        fs::write(path.join("e.jwk"), other.to_json().unwrap()).unwrap();
        assert!(has(&other) && !has(&exchange));
        fs::remove_file(path.join("e.jwk")).unwrap();
        assert!(!has(&other));
    }
}

#[test]
fn nothing_is_read_again_while_nothing_changes() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    let directory = directory(&[("s.jwk", &sign), ("e.jwk", &exchange)]);
    let keys = keys_in(directory.path());
    let first = keys.current().unwrap();
    // Read once more while times are too fresh to be told apart: the same keys are the same set, with its signatures.
    assert!(Arc::ptr_eq(&first, &keys.current().unwrap()));
    fs::write(directory.path().join("note"), "").unwrap();
    assert!(Arc::ptr_eq(&first, &keys.current().unwrap()));
    std::thread::sleep(std::time::Duration::from_millis(150));
    assert!(keys.source().version().unwrap().settled);
    assert!(Arc::ptr_eq(&first, &keys.current().unwrap()));
}

#[test]
fn a_rotation_advertises_new_keys_and_hides_the_old() {
    let directory = tempfile::tempdir().unwrap();
    let keys = keys_in(directory.path());
    let before = keys.current().unwrap();
    let rotated = keys.rotate().unwrap();
    let after = keys.current().unwrap();
    assert_eq!((rotated.added.len(), rotated.hidden.len()), (2, 2));
    for key in before.keys() {
        let hidden = after.find(key.thumbprint()).unwrap();
        assert_eq!((&hidden.file, hidden.hidden), (&format!(".{}", key.file), true));
    }
    let advertised: Vec<_> = after.keys().filter(|key| key.advertised).map(|key| &key.file).collect();
    assert!(rotated.added.iter().all(|file| advertised.contains(&file)) && advertised.len() == 2);
    assert_ne!(before.advertisement(), after.advertisement());
}

#[test]
fn rotation_never_overwrites_a_hidden_key() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    let old = PrivateJwk::generate_exchange(Curve::P521).unwrap();
    let directory = directory(&[("s.jwk", &sign), ("e.jwk", &exchange), (".e.jwk", &old)]);
    let keys = keys_in(directory.path());
    keys.rotate().unwrap();
    let set = keys.current().unwrap();
    assert!([&sign, &exchange, &old].iter().all(|key| set.find(&key.thumbprint()).unwrap().hidden));
    assert_eq!(set.keys().count(), 5);
}

#[test]
fn requests_during_rotations_find_every_key() {
    let directory = tempfile::tempdir().unwrap();
    let keys = keys_in(directory.path());
    let set = keys.current().unwrap();
    let first = set.keys().find(|key| key.purpose.exchanges()).unwrap().thumbprint().to_owned();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    let set = keys.current().unwrap();
                    assert!(set.find(&first).is_some());
                    assert!(set.advertisement().is_some());
                }
            });
        }
        (0..20).for_each(|_| drop(keys.rotate().unwrap()));
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(keys.current().unwrap().keys().count(), 42);
}

/// A directory that changes each time it is read, once it is told to.
struct Restless(KeyDirectory, Arc<std::sync::atomic::AtomicBool>);

impl KeySource for Restless {
    fn load(&self) -> Result<Loaded, KeysError> {
        match self.1.load(std::sync::atomic::Ordering::Relaxed) {
            true => Err(KeysError::Restless("keys".into())),
            false => self.0.load(),
        }
    }

    fn version(&self) -> Result<Version, KeysError> {
        self.0.version().map(|version| Version { settled: false, ..version })
    }

    fn add(&self, keys: &[PrivateJwk]) -> Result<Vec<String>, KeysError> {
        self.0.add(keys)
    }

    fn hide_all_but(&self, keep: &[String]) -> Result<Vec<(String, String)>, KeysError> {
        self.0.hide_all_but(keep)
    }

    fn forget(&self, thumbprint: &str) -> Result<Vec<String>, KeysError> {
        self.0.forget(thumbprint)
    }
}

#[test]
fn a_directory_that_will_not_rest_is_served_as_it_was_last() {
    let directory = tempfile::tempdir().unwrap();
    let restless = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let keys = Keys::new(Box::new(Restless(KeyDirectory::new(directory.path()), Arc::clone(&restless))));
    assert!(matches!(keys.current(), Err(KeysError::Restless(_))), "nothing was read yet");
    restless.store(false, std::sync::atomic::Ordering::Relaxed);
    let set = keys.current().unwrap();
    restless.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(Arc::ptr_eq(&set, &keys.current().unwrap()));
    restless.store(false, std::sync::atomic::Ordering::Relaxed);
    keys.rotate().unwrap();
    assert_eq!(keys.current().unwrap().keys().count(), 4, "and read again as soon as it rests");
}

#[test]
fn a_directory_that_is_gone_has_no_keys_to_go_on_with() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("keys");
    assert!(matches!(keys_in(&path).current(), Err(KeysError::Io(..))));
    fs::create_dir(&path).unwrap();
    for (name, key) in [("s.jwk", &sign), ("e.jwk", &exchange)] {
        fs::write(path.join(name), &*key.to_json().unwrap()).unwrap();
    }
    let keys = keys_in(&path);
    keys.current().unwrap();
    fs::remove_dir_all(&path).unwrap();
    assert!(matches!(keys.current(), Err(KeysError::Io(..))));
}

#[test]
fn what_a_crash_left_half_written_goes_with_the_next_key() {
    let directory = directory(&[]);
    fs::write(directory.path().join("abc.jwk.new"), "{\"d\":\"secret").unwrap();
    KeyDirectory::new(directory.path()).generate().unwrap();
    let names = names(directory.path());
    assert!(names.len() == 2 && names.iter().all(|name| name.ends_with(".jwk")), "{names:?}");
}

#[test]
fn a_named_key_is_not_written_over_another() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    let directory = directory(&[("sig.jwk", &sign)]);
    let source = KeyDirectory::new(directory.path());
    let Err(KeysError::Io(_, error)) = source.add_as("sig.jwk", &exchange) else { panic!("overwritten") };
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    source.add_as("exc.jwk", &exchange).unwrap();
    assert_eq!(names(directory.path()), ["exc.jwk", "sig.jwk"]);
}

#[test]
fn keys_that_anybody_may_read_are_named() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    let directory = directory(&[("s.jwk", &sign), (".e.jwk", &exchange)]);
    let mode = |name: &str, mode| {
        fs::set_permissions(directory.path().join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("s.jwk", 0o640);
    mode(".e.jwk", 0o644);
    assert_eq!(KeyDirectory::new(directory.path()).exposed().unwrap(), [".e.jwk"]);
}

#[test]
fn of_two_files_with_one_key_the_one_in_use_counts() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    let directory = directory(&[("s.jwk", &sign), ("e.jwk", &exchange), (".e.jwk", &exchange)]);
    let set = keys_in(directory.path()).current().unwrap();
    assert_eq!(set.find(&exchange.thumbprint()).unwrap().file, "e.jwk");
}

#[test]
fn a_rotated_key_is_forgotten_under_all_its_names_and_others_stay() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    let [_, old] = PrivateJwk::pair().unwrap();
    let directory =
        directory(&[("s.jwk", &sign), ("e.jwk", &exchange), (".old.jwk", &old), (".twin.jwk", &old)]);
    fs::set_permissions(directory.path().join(".old.jwk"), fs::Permissions::from_mode(0o440)).unwrap();
    fs::write(directory.path().join(".odd.jwk"), "{").unwrap();
    let twin = fs::File::open(directory.path().join(".twin.jwk")).unwrap();
    let keys = keys_in(directory.path());
    assert!(keys.current().unwrap().find(&old.thumbprint()).is_some());
    assert_eq!(keys.forget(&old.thumbprint()).unwrap(), [".old.jwk", ".twin.jwk"]);
    assert_eq!(names(directory.path()), [".odd.jwk", "e.jwk", "s.jwk"]);
    let set = keys.current().unwrap();
    assert!(set.find(&old.thumbprint()).is_none() && set.find(&exchange.thumbprint()).is_some());
    assert!(matches!(keys.forget(&old.thumbprint()), Err(KeysError::NoSuchKey(_))));
    // Whoever has the file open, or looks at its blocks, finds nothing.
    let mut content = Vec::new();
    std::io::Read::read_to_end(&mut &twin, &mut content).unwrap();
    assert!(!content.is_empty() && content.iter().all(|&byte| byte == 0));
}

#[test]
fn a_key_in_use_is_not_forgotten() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    let directory = directory(&[("s.jwk", &sign), ("e.jwk", &exchange), (".e.jwk", &exchange)]);
    let keys = keys_in(directory.path());
    let Err(KeysError::InUse(file)) = keys.forget(&exchange.thumbprint()) else { panic!("it is forgotten") };
    assert_eq!(file, "e.jwk");
    assert_eq!(names(directory.path()), [".e.jwk", "e.jwk", "s.jwk"]);
}

#[test]
fn a_key_that_is_kept_elsewhere_is_not_forgotten_by_half() {
    let [sign, exchange] = PrivateJwk::pair().unwrap();
    let elsewhere = directory(&[("kept.jwk", &exchange)]);
    let directory = directory(&[("s.jwk", &sign)]);
    std::os::unix::fs::symlink(elsewhere.path().join("kept.jwk"), directory.path().join(".e.jwk")).unwrap();
    let error = keys_in(directory.path()).forget(&exchange.thumbprint()).unwrap_err();
    assert!(error.to_string().contains("where it is kept"), "{error}");
    assert!(PrivateJwk::parse(&fs::read(elsewhere.path().join("kept.jwk")).unwrap()).is_ok());
}

#[test]
fn a_key_that_root_makes_belongs_to_the_directorys_owner() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = directory(&[]);
    std::os::unix::fs::chown(directory.path(), Some(64_321), Some(64_322)).unwrap();
    let made = KeyDirectory::new(directory.path()).generate().unwrap();
    let metadata = fs::metadata(directory.path().join(&made[0])).unwrap();
    let owner =
        (std::os::unix::fs::MetadataExt::uid(&metadata), std::os::unix::fs::MetadataExt::gid(&metadata));
    assert_eq!((owner, metadata.permissions().mode() & 0o777), ((64_321, 64_322), 0o440));
}
