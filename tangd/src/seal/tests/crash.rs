//! The world ends at every step.

use std::cell::{Cell, RefCell};
use std::io;
use std::path::{Path, PathBuf};

use super::*;
use crate::seal::disk::{Disk, RealDisk};
use crate::seal::files::Files;
use crate::seal::make::seal_files;
use crate::seal::store::now_secs;

/// What becomes of steps that were taken and not promised yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The process was killed: all that was done stays.
    Killed,
    /// The power failed, and of what was not promised nothing stays.
    PowerLost,
    /// The power failed; names were written back before contents.
    PowerLostNamesKept,
}

/// A disk that ends the world after so many steps.
struct EndingDisk {
    left: Cell<usize>,
    ending: Ending,
    unsynced: RefCell<Vec<PathBuf>>,
    /// How to take back each change of names since the last promise.
    names: RefCell<Vec<Box<dyn Fn()>>>,
}

impl EndingDisk {
    fn after(steps: usize, ending: Ending) -> Self {
        Self { left: Cell::new(steps), ending, unsynced: RefCell::default(), names: RefCell::default() }
    }

    fn step(&self) -> io::Result<()> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => {
                self.end();
                Err(io::Error::other("the world has ended"))
            }
        }
    }

    fn end(&self) {
        if self.ending == Ending::Killed {
            return;
        }
        for path in self.unsynced.take() {
            if let Ok(content) = std::fs::read(&path) {
                replace(&path, &content[..content.len() / 2]);
            }
        }
        if self.ending == Ending::PowerLost {
            self.names.take().iter().rev().for_each(|undo| undo());
        }
    }
}

fn replace(path: &Path, content: &[u8]) {
    let _ = std::fs::remove_file(path);
    std::fs::write(path, content).unwrap();
}

impl Disk for EndingDisk {
    fn write_new(&self, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
        if self.left.get() == 0 {
            RealDisk.write_new(path, &content[..content.len() / 3], mode)?;
        }
        self.unsynced.borrow_mut().push(path.to_owned());
        self.step()?;
        let gone = path.to_owned();
        self.names.borrow_mut().push(Box::new(move || drop(std::fs::remove_file(&gone))));
        RealDisk.write_new(path, content, mode)
    }

    fn sync(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        self.unsynced.borrow_mut().retain(|known| known != path);
        RealDisk.sync(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        let (old, new) = (std::fs::read(to).ok(), std::fs::read(from)?);
        let (back, gone) = (from.to_owned(), to.to_owned());
        self.names.borrow_mut().push(Box::new(move || {
            replace(&back, &new);
            match &old {
                Some(old) => replace(&gone, old),
                None => std::fs::remove_file(&gone).unwrap(),
            }
        }));
        RealDisk.rename(from, to)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        self.names.borrow_mut().clear();
        RealDisk.sync_directory(path)
    }

    fn overwrite(&self, path: &Path) -> io::Result<()> {
        if self.left.get() == 0 {
            // Half of it is gone already.
            let mut content = std::fs::read(path)?;
            let half = content.len() / 2;
            content[..half].fill(0);
            replace(path, &content);
        }
        self.step()?;
        RealDisk.overwrite(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        let (back, content) = (path.to_owned(), std::fs::read(path)?);
        self.names.borrow_mut().push(Box::new(move || replace(&back, &content)));
        RealDisk.remove(path)
    }
}

const ENDINGS: [Ending; 3] = [Ending::Killed, Ending::PowerLost, Ending::PowerLostNamesKept];

#[test]
fn sealing_that_ends_at_any_step_loses_no_key_and_is_finished_the_next_time() {
    let mut steps_max = 0;
    for ending in ENDINGS {
        for steps in 0.. {
            let (directory, keys) = directory();
            let disk = EndingDisk::after(steps, ending);
            let done = seal_files(&Files::new(directory.path(), disk), vec![fitted()], 1, Vec::new()).is_ok();
            let store = KeyStore::new(directory.path());

            // The reboot.
            if store.has_store() {
                assert!(thumbprints(&store).is_none(), "{ending:?} after {steps} steps: it is sealed");
                store.open_with_passphrase(&passphrase(WORDS)).unwrap();
                store.absorb().unwrap();
            } else {
                assert!(!done, "{ending:?}: a finished sealing is on disk");
                let again =
                    seal_files(&Files::new(directory.path(), RealDisk), vec![fitted()], 1, Vec::new());
                assert!(
                    !again.unwrap().generated,
                    "{ending:?} after {steps} steps: the clear files are still there"
                );
                store.open_with_passphrase(&passphrase(WORDS)).unwrap();
            }
            let held = thumbprints(&store).expect("it is open");
            assert!(all_in(&held, &keys), "{ending:?} after {steps} steps");
            let files = store.opened().map(|(sealed, key)| sealed.open(&key).unwrap().len());
            assert_eq!(
                files.unwrap(),
                keys.len() + 1,
                "{ending:?} after {steps} steps: nothing is taken for a further key"
            );
            assert_eq!(leak(directory.path(), &keys), None, "{ending:?} after {steps} steps");
            if done {
                steps_max = steps_max.max(steps);
                break;
            }
        }
    }
    assert!(steps_max >= 15, "only {steps_max} steps were interrupted");
}

#[test]
fn a_change_that_ends_at_any_step_leaves_the_old_store_or_the_new_one() {
    for ending in ENDINGS {
        let mut seen = [false; 2];
        for steps in 0.. {
            let (directory, _) = directory();
            seal_files(&Files::new(directory.path(), RealDisk), vec![fitted()], 1, Vec::new()).unwrap();
            let store = KeyStore::new(directory.path());
            store.open_with_passphrase(&passphrase(WORDS)).unwrap();
            let (sealed, key) = store.opened().unwrap();
            let mut files = sealed.open(&key).unwrap();
            let mut header = sealed.header.clone();
            let added =
                crate::seal::store::add_keys(&mut files, &mut header, &PrivateJwk::pair().unwrap()).unwrap();
            let changed = crate::seal::format::SealedStore::seal(header, &key, &files).unwrap();
            assert!(changed.header.rotated <= now_secs());

            let disk = EndingDisk::after(steps, ending);
            let done = Files::new(directory.path(), disk).write(&changed, &key, &files).is_ok();

            let after = KeyStore::new(directory.path());
            after.open_with_passphrase(&passphrase(WORDS)).unwrap();
            let held = after.opened().unwrap().0.open(&key).unwrap();
            let is_new = held.iter().any(|file| added.contains(&file.name));
            assert_eq!(held.len(), if is_new { files.len() } else { files.len() - 2 });
            assert!(is_new || !done, "{ending:?} after {steps} steps: what was promised is there");
            seen[usize::from(is_new)] = true;
            // What was left behind is in nobody's way.
            KeySource::rotate(&after).unwrap();
            if done {
                break;
            }
        }
        assert_eq!(seen, [true; 2], "{ending:?}");
    }
}

#[test]
fn a_half_overwritten_clear_file_beside_a_whole_store_is_taken_for_what_it_is() {
    let (directory, keys) = directory();
    seal_files(&Files::new(directory.path(), RealDisk), vec![fitted()], 1, Vec::new()).unwrap();
    std::fs::write(directory.path().join("zeros.jwk"), [0; 300]).unwrap();
    let store = KeyStore::new(directory.path());
    store.open_with_passphrase(&passphrase(WORDS)).unwrap();
    assert_eq!(store.absorb().unwrap(), 1);
    assert_eq!(thumbprints(&store).unwrap().len(), keys.len());
}
