//! What outlives the process: how servers stood, what operators wanted of them, servers that operators added or removed,
//! and whether the bootstrap machine has retired.
//!
//! One small file, replaced as a whole: a header with the length and a checksum, then JSON that anybody can read. The file
//! before it is kept, and takes its place where it is damaged; what is damaged is kept beside as evidence and is told of
//! in log, event and status for as long as it lies there. It never counts as an empty one silently.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::protocol::health::Remembered;
use crate::protocol::roster::Phase;

const FILE: &str = "state.json";
const PREVIOUS: &str = "state.json.previous";
const DAMAGED: &str = "state.json.damaged";
const DRAFT: &str = "state.json.draft";
/// Begins the file, and says which version of [`Memory`] follows.
const MAGIC: &str = "faros-lb-state 1";
/// The file is not larger; beyond it, it is damaged.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Everything remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// By the names of front ends.
    pub frontends: BTreeMap<String, FrontMemory>,
    /// Whether the VIP was offered; `None`: not known yet.
    #[serde(default)]
    pub vip_offered: Option<bool>,
}

/// What is remembered of a front end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrontMemory {
    /// Where its bootstrap machine is in its life.
    #[serde(default)]
    pub bootstrap: Phase,
    /// By the names of servers.
    #[serde(default)]
    pub servers: BTreeMap<String, ServerMemory>,
    /// Servers that an operator added.
    #[serde(default)]
    pub added: Vec<Added>,
    /// Servers of the site file that an operator removed.
    #[serde(default)]
    pub removed: Vec<Removed>,
}

/// What is remembered of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerMemory {
    /// Its address: another one is another server.
    pub address: SocketAddr,
    /// How it stood.
    #[serde(flatten)]
    pub state: Remembered,
}

/// A server that an operator added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Added {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: SocketAddr,
    /// Its share.
    pub weight: u16,
    /// Whether it serves only while no other does.
    pub backup: bool,
    /// Whether it outlives a restart.
    pub persist: bool,
}

/// A server of the site file that an operator removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Its name.
    pub name: String,
    /// Whether it stays removed after a restart.
    pub persist: bool,
}

impl Memory {
    /// What of it belongs on disk.
    pub fn lasting(&self) -> Self {
        let mut lasting = self.clone();
        for front in lasting.frontends.values_mut() {
            let forgotten: Vec<String> =
                front.added.iter().filter(|added| !added.persist).map(|added| added.name.clone()).collect();
            front.servers.retain(|name, _| !forgotten.contains(name));
            front.added.retain(|added| added.persist);
            front.removed.retain(|removed| removed.persist);
        }
        lasting
    }
}

/// The file.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
}

/// What was found at start.
#[derive(Debug, Default)]
pub struct Found {
    /// The memory.
    pub memory: Memory,
    /// What is wrong, and what it means.
    pub damage: Option<String>,
}

impl Store {
    /// The store in `directory`, with what it holds.
    ///
    /// # Errors
    /// The files cannot be read or moved: not the same as their being damaged.
    pub fn open(directory: &Path) -> io::Result<(Self, Found)> {
        let store = Self { directory: directory.to_owned() };
        let mut damage = Vec::new();
        let mut memory = None;
        for name in [FILE, PREVIOUS] {
            match store.read(name)? {
                Reading::None => {}
                Reading::Whole(whole) => {
                    memory = Some(whole);
                    break;
                }
                Reading::Damaged(reason) => {
                    fs::rename(store.path(name), store.path(DAMAGED))?;
                    damage.push(format!("{name} is damaged ({reason}) and was kept as {DAMAGED}"));
                }
            }
        }
        if !damage.is_empty() {
            damage.push(match &memory {
                Some(_) => "the state before it is used".to_owned(),
                None => "nothing is remembered: see which servers should be drained".to_owned(),
            });
        } else if store.path(DAMAGED).exists() {
            damage.push(format!("{DAMAGED} is left of an earlier damage: remove it once it was looked at"));
        }
        let damage = (!damage.is_empty()).then(|| damage.join("; "));
        Ok((store, Found { memory: memory.unwrap_or_default(), damage }))
    }

    /// Replaces what is remembered; once this returns, it is on disk.
    ///
    /// # Errors
    /// The disk's. What was there before is there still.
    pub fn write(&self, memory: &Memory) -> io::Result<()> {
        let json = serde_json::to_vec_pretty(&memory.lasting())?;
        let mut draft = File::create(self.path(DRAFT))?;
        draft.write_all(format!("{MAGIC} {:08x} {}\n", crc32c::crc32c(&json), json.len()).as_bytes())?;
        draft.write_all(&json)?;
        draft.sync_all()?;
        drop(draft);
        match fs::rename(self.path(FILE), self.path(PREVIOUS)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            renamed => renamed?,
        }
        fs::rename(self.path(DRAFT), self.path(FILE))?;
        File::open(&self.directory)?.sync_all()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn read(&self, name: &str) -> io::Result<Reading> {
        let path = self.path(name);
        let length = match path.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Reading::None),
            metadata => metadata?.len(),
        };
        if length > FILE_BYTES_MAX {
            return Ok(Reading::Damaged(format!("{length} bytes are too many")));
        }
        Ok(parse(&fs::read(path)?))
    }
}

enum Reading {
    None,
    Whole(Memory),
    Damaged(String),
}

fn parse(bytes: &[u8]) -> Reading {
    let damaged = |reason: &str| Reading::Damaged(reason.to_owned());
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return damaged("it has no header") };
    let (header, json) = (&bytes[..end], &bytes[end + 1..]);
    let header = std::str::from_utf8(header).unwrap_or_default();
    let Some(rest) = header.strip_prefix(MAGIC) else {
        return damaged("its header is another program's or version's");
    };
    let mut words = rest.split_ascii_whitespace();
    let checksum = words.next().and_then(|word| u32::from_str_radix(word, 16).ok());
    let length = words.next().and_then(|word| word.parse::<usize>().ok());
    if length != Some(json.len()) {
        return damaged("its length is wrong");
    }
    if checksum != Some(crc32c::crc32c(json)) {
        return damaged("its checksum is wrong");
    }
    match serde_json::from_slice(json) {
        Ok(memory) => Reading::Whole(memory),
        Err(error) => Reading::Damaged(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::health::Mode;

    fn memory(up: bool) -> Memory {
        let state = Remembered { up: Some(up), mode: Mode::Drained };
        let server = ServerMemory { address: "192.0.2.1:6443".parse().unwrap(), state };
        let added = |name: &str, persist| Added {
            name: name.to_owned(),
            address: "192.0.2.9:6443".parse().unwrap(),
            weight: 1,
            backup: false,
            persist,
        };
        let servers = [("cp1".to_owned(), server.clone()), ("guest".to_owned(), server)];
        let front = FrontMemory {
            bootstrap: Phase::Retired,
            servers: servers.into(),
            added: vec![added("guest", false), added("kept", true)],
            removed: vec![Removed { name: "cp2".to_owned(), persist: true }],
        };
        Memory { frontends: [("api".to_owned(), front)].into(), vip_offered: Some(true) }
    }

    #[test]
    fn what_was_asked_to_last_lasts_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (store, found) = Store::open(directory.path()).unwrap();
        assert_eq!((found.memory, found.damage), (Memory::default(), None));
        store.write(&memory(true)).unwrap();
        let (_, found) = Store::open(directory.path()).unwrap();
        let front = &found.memory.frontends["api"];
        assert_eq!(found.memory, memory(true).lasting());
        assert_eq!(front.bootstrap, Phase::Retired);
        assert_eq!(front.added.iter().map(|added| added.name.as_str()).collect::<Vec<_>>(), ["kept"]);
        assert!(front.servers.contains_key("cp1") && !front.servers.contains_key("guest"));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed_and_the_state_before_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(directory.path()).unwrap();
        store.write(&memory(true)).unwrap();
        store.write(&memory(false)).unwrap();
        let good = fs::read(store.path(FILE)).unwrap();
        let before = fs::read(store.path(PREVIOUS)).unwrap();
        let flips = (0..good.len()).map(|index| {
            let mut bad = good.clone();
            bad[index] ^= 1 << (index % 8);
            bad
        });
        let cuts = (0..good.len()).map(|length| good[..length].to_vec());
        for bad in flips.chain(cuts) {
            fs::write(store.path(FILE), &bad).unwrap();
            fs::write(store.path(PREVIOUS), &before).unwrap();
            let (_, found) = Store::open(directory.path()).unwrap();
            assert_eq!(found.memory, memory(true).lasting());
            assert!(found.damage.unwrap().contains("the state before it is used"));
            assert_eq!(fs::read(store.path(DAMAGED)).unwrap(), bad);
        }
        let (_, found) = Store::open(directory.path()).unwrap();
        assert!(found.damage.unwrap().contains("left of an earlier damage"));
    }

    #[test]
    fn a_crash_between_the_two_renames_loses_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(directory.path()).unwrap();
        store.write(&memory(true)).unwrap();
        fs::rename(store.path(FILE), store.path(PREVIOUS)).unwrap();
        let (_, found) = Store::open(directory.path()).unwrap();
        assert_eq!((found.memory, found.damage), (memory(true).lasting(), None));
    }

    #[test]
    fn without_any_whole_state_that_is_said() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), "").unwrap();
        let (_, found) = Store::open(directory.path()).unwrap();
        assert_eq!(found.memory, Memory::default());
        assert!(found.damage.unwrap().contains("nothing is remembered"));
    }
}
