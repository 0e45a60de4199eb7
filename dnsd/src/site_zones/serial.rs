//! Serial numbers from content: the same content keeps its number, changed content gets a larger one, also across
//! restarts (RFC 1982).
//!
//! The numbers are kept in `serials.json` in the state directory, with a hash of the content each stands for. A new
//! number is the present time in seconds since 1970 where that is larger than the last one, else the next one: so
//! numbers rise even where the file was lost, as long as the clock can be believed and content does not change more
//! often than once a second in the long run.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tracing::warn;

use crate::protocol::name::Name;
use crate::zone::Record;

/// The file's name.
pub const FILE: &str = "serials.json";
/// A larger file is not ours.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Zones remembered that the site does not have any more, so that one that comes back goes on counting. Beyond it
/// those that were used longest ago are forgotten.
const RETIRED_MAX: usize = 1024;

/// What a zone's records hash to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content([u8; 32]);

impl Content {
    /// The hash of `records` in any order, those that stand there twice counted once. Their SOA has a fixed serial.
    pub fn of(records: &[Record]) -> Self {
        let mut each: Vec<[u8; 32]> = records
            .iter()
            .map(|record| {
                let mut owner = record.owner.as_wire().to_vec();
                owner.make_ascii_lowercase();
                let mut hasher = Sha256::new();
                hasher.update(&owner);
                hasher.update(record.kind.to_be_bytes());
                hasher.update(record.ttl.to_be_bytes());
                hasher.update(&record.rdata);
                hasher.finalize().into()
            })
            .collect();
        each.sort_unstable();
        each.dedup();
        Self(Sha256::digest(each.as_flattened()).into())
    }

    fn text(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The serial numbers given so far.
#[derive(Debug)]
pub struct Serials {
    path: Option<PathBuf>,
    given: BTreeMap<String, Given>,
    changed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Given {
    serial: u32,
    content: String,
    /// When it was given, in seconds since 1970.
    given: u64,
}

impl Serials {
    /// The numbers kept in `directory`. A file that cannot be read is set aside and reported; numbers then go on
    /// from the present time.
    pub fn open(directory: &Path) -> Self {
        let path = directory.join(FILE);
        let given = match read(&path) {
            Ok(given) => given,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => {
                let aside = path.with_extension("damaged");
                let kept = fs::rename(&path, &aside);
                warn!(
                    event = "serials_unreadable", path = %path.display(), %error, kept = kept.is_ok(),
                    "serial numbers go on from the present time; look after the disk"
                );
                BTreeMap::new()
            }
        };
        Self { path: Some(path), given, changed: false }
    }

    /// Numbers that are not kept anywhere.
    pub fn in_memory() -> Self {
        Self { path: None, given: BTreeMap::new(), changed: false }
    }

    /// The number for `content` of the zone `origin`; `now` is in seconds since 1970. It counts as given once
    /// [`Serials::give`] says so.
    pub fn next(&self, origin: &Name, content: Content, now: u64) -> u32 {
        let last = self.given.get(&key(origin));
        if let Some(same) = last.filter(|last| last.content == content.text()) {
            return same.serial;
        }
        let clock = now as u32;
        let serial = match last.map(|last| last.serial) {
            // RFC 1982 section 3.2: larger by less than half of all numbers.
            Some(last) if !(1..1 << 31).contains(&clock.wrapping_sub(last)) => last.wrapping_add(1),
            _ => clock,
        };
        // Zero is what programs write that know of no serial.
        serial.max(1)
    }

    /// Remembers that `content` of the zone `origin` is served under `serial`.
    pub fn give(&mut self, origin: &Name, content: Content, serial: u32, now: u64) {
        let given = Given { serial, content: content.text(), given: now };
        let last = self.given.insert(key(origin), given);
        self.changed |= last.is_none_or(|last| last.serial != serial || last.content != content.text());
    }

    /// Writes what has changed, by atomic rename; a crash of this process loses nothing from then on. What a power
    /// cut may lose is covered by the time in the numbers.
    ///
    /// # Errors
    /// The disk's words; the next call tries again.
    pub fn save(&mut self, current: impl Fn(&str) -> bool) -> io::Result<()> {
        let Some(path) = self.path.as_ref().filter(|_| self.changed) else { return Ok(()) };
        forget_retired(&mut self.given, current);
        let beside = path.with_extension("new");
        let text = serde_json::to_vec_pretty(&self.given).map_err(io::Error::other)?;
        File::create(&beside)?.write_all(&text)?;
        fs::rename(&beside, path)?;
        self.changed = false;
        Ok(())
    }
}

fn key(origin: &Name) -> String {
    origin.lower().to_string()
}

fn read(path: &Path) -> io::Result<BTreeMap<String, Given>> {
    if fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is larger than it can be"));
    }
    serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)
}

fn forget_retired(given: &mut BTreeMap<String, Given>, current: impl Fn(&str) -> bool) {
    let mut retired: Vec<(u64, String)> = given
        .iter()
        .filter(|(origin, _)| !current(origin))
        .map(|(origin, given)| (given.given, origin.clone()))
        .collect();
    retired.sort();
    let excess = retired.len().saturating_sub(RETIRED_MAX);
    for (_, origin) in &retired[..excess] {
        given.remove(origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site_zones::record;

    fn zone() -> Name {
        Name::parse("example.").unwrap()
    }

    impl Serials {
        fn assign(&mut self, origin: &Name, content: Content, now: u64) -> u32 {
            let serial = self.next(origin, content, now);
            self.give(origin, content, serial, now);
            serial
        }
    }

    fn content(last: u8) -> Content {
        let address = std::net::Ipv4Addr::new(192, 0, 2, last).into();
        Content::of(&[record::address(&zone(), address, 60)])
    }

    #[test]
    fn the_same_content_keeps_its_number_and_changed_content_gets_a_larger_one() {
        let mut serials = Serials::in_memory();
        let first = serials.assign(&zone(), content(1), 1_700_000_000);
        assert_eq!(first, 1_700_000_000);
        assert_eq!(serials.assign(&zone(), content(1), 1_700_000_500), first);
        // Twice within a second, and after the clock went back.
        assert_eq!(serials.assign(&zone(), content(2), 1_700_000_000), first + 1);
        assert_eq!(serials.assign(&zone(), content(1), 5), first + 2);
        assert_eq!(serials.assign(&zone(), content(2), 1_700_000_900), 1_700_000_900);
    }

    #[test]
    fn neither_order_nor_repetition_is_content() {
        let record = |last| record::address(&zone(), std::net::Ipv4Addr::new(192, 0, 2, last).into(), 60);
        assert_eq!(Content::of(&[record(1), record(2)]), Content::of(&[record(2), record(1), record(2)]));
        assert_ne!(Content::of(&[record(1), record(2)]), Content::of(&[record(1)]));
        assert_ne!(Content::of(&[record(1)]), Content::of(&[Record { ttl: 61, ..record(1) }]));
    }

    #[test]
    fn numbers_wrap_as_rfc_1982_says() {
        let mut serials = Serials::in_memory();
        assert_eq!(serials.assign(&zone(), content(1), u64::from(u32::MAX)), u32::MAX);
        assert_eq!(serials.assign(&zone(), content(2), u64::from(u32::MAX)), 1, "never zero");
        assert_eq!(serials.assign(&zone(), content(3), (1 << 32) + 70), 70);
    }

    #[test]
    fn numbers_never_go_back_over_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let mut serials = Serials::open(directory.path());
        let first = serials.assign(&zone(), content(1), 1_700_000_000);
        serials.save(|_| true).unwrap();
        let mut again = Serials::open(directory.path());
        assert_eq!(again.assign(&zone(), content(1), 5), first);
        assert_eq!(again.assign(&zone(), content(2), 5), first + 1);
        again.save(|_| true).unwrap();
        let mut last = Serials::open(directory.path());
        assert_eq!(last.assign(&zone(), content(3), 5), first + 2);
    }

    #[test]
    fn a_damaged_file_is_set_aside() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE), b"{ torn").unwrap();
        let mut serials = Serials::open(directory.path());
        assert_eq!(serials.assign(&zone(), content(1), 1_700_000_000), 1_700_000_000);
        serials.save(|_| true).unwrap();
        assert_eq!(fs::read(directory.path().join("serials.damaged")).unwrap(), b"{ torn");
    }

    #[test]
    fn zones_long_gone_are_forgotten_and_present_ones_never() {
        let mut given = BTreeMap::new();
        for index in 0..RETIRED_MAX as u64 + 10 {
            given.insert(format!("{index}."), Given { serial: 1, content: String::new(), given: index });
        }
        forget_retired(&mut given, |origin| origin == "0.");
        assert_eq!(given.len(), RETIRED_MAX + 1);
        assert!(given.contains_key("0.") && !given.contains_key("1.") && given.contains_key("20."));
    }
}
