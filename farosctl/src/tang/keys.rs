//! `farosctl tang show-keys` and `rotate`.

use std::path::Path;
use std::time::SystemTime;

use faros_common::{clock, events::rfc3339};
use faros_tangd::keys::{KeySet, KeySource};
use faros_tangd::seal::KeyStore;
use serde::Serialize;
use serde_json::Value;

use super::failed;
use crate::daemons::TANGD;
use crate::exit::{Exit, Failure};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, time};
use crate::session::Session;

/// All keys.
#[derive(Debug, Serialize)]
pub(super) struct Listing {
    /// Whether tangd cannot use them until they are unsealed.
    pub(super) sealed: bool,
    pub(super) keys: Vec<Key>,
    #[serde(skip)]
    now: Option<SystemTime>,
}

/// One key.
#[derive(Debug, Serialize)]
pub(super) struct Key {
    /// The S256 thumbprint.
    pub(super) thumbprint: String,
    /// The S1 thumbprint, which RHEL 8 prints.
    pub(super) sha1: String,
    /// `sign`, `exchange` or `both`.
    pub(super) purpose: String,
    curve: String,
    pub(super) advertised: bool,
    rotated: bool,
    file: String,
    /// When its file was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    made: Option<String>,
    /// Who has recovered with it, as far back as the audit log goes; none: nobody has looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    used_by: Option<Vec<Use>>,
}

/// Who used a key.
#[derive(Debug, Serialize)]
struct Use {
    who: String,
    count: u64,
    last: Option<String>,
    /// Whether the key was rotated out already when it was used.
    rotated_then: bool,
    /// Whether nothing is known of a start without the key since.
    depends: bool,
}

impl Key {
    /// Whether nodes may trust an advertisement by it.
    pub(super) fn signs(&self) -> bool {
        matches!(self.purpose.as_str(), "sign" | "both")
    }
}

pub(super) async fn show(session: &mut Session, directory: Option<&Path>) -> Result<Exit, Failure> {
    let mut listing = Listing::ask(session, directory).await?;
    listing.now = Some(clock::wall());
    session.show(&listing)?;
    Ok(Exit::Done)
}

pub(super) async fn rotate(session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.daemons.post(TANGD, "/rotate").await.map_err(|error| failed(&error))?;
    session.show(&Rotated(answer))?;
    Ok(Exit::Done)
}

impl Listing {
    /// The keys as tangd has them, or as they lie in `directory`.
    pub(super) async fn ask(session: &Session, directory: Option<&Path>) -> Result<Self, Failure> {
        match directory {
            Some(directory) => Self::read(directory),
            None => {
                let answer = session.daemons.get(TANGD, "/keys").await.map_err(|error| failed(&error))?;
                Ok(Self::of(&answer))
            }
        }
    }

    fn of(answer: &Value) -> Self {
        let keys = answer.get("keys").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let sealed = flag(answer, "sealed");
        Self { sealed, keys: keys.iter().map(Key::of).collect(), now: None }
    }

    /// Reads without making keys where there are none: a look must not change anything.
    fn read(directory: &Path) -> Result<Self, Failure> {
        let source = KeyStore::new(directory);
        let loaded = source.load().map_err(|error| {
            Failure::failed(format!("{error}; name the key directory, and be somebody who may read it"))
        })?;
        let set = KeySet::new(loaded);
        let keys = set.keys().map(|key| {
            let modified = std::fs::metadata(directory.join(&key.file)).and_then(|meta| meta.modified());
            Key {
                thumbprint: key.thumbprint().to_owned(),
                sha1: key.thumbprints[0].clone(),
                purpose: word(&key.purpose),
                curve: key.curve.name().to_owned(),
                advertised: key.advertised,
                rotated: key.hidden,
                file: key.file.clone(),
                made: modified.ok().map(rfc3339),
                used_by: None,
            }
        });
        Ok(Self { sealed: set.is_sealed(), keys: keys.collect(), now: None })
    }
}

impl Key {
    fn of(value: &Value) -> Self {
        let said = |key: &str| text(value, key).unwrap_or_default();
        let thumbprints = value.get("thumbprints").and_then(Value::as_array);
        let sha1 = thumbprints.and_then(|all| all.first()).and_then(Value::as_str).unwrap_or_default();
        let used_by = value.get("used_by").and_then(Value::as_array);
        Self {
            thumbprint: said("thumbprint"),
            sha1: sha1.to_owned(),
            purpose: said("purpose"),
            curve: said("curve"),
            advertised: flag(value, "advertised"),
            rotated: flag(value, "rotated"),
            file: said("file"),
            made: text(value, "made"),
            used_by: used_by.map(|used| used.iter().map(Use::of).collect()),
        }
    }

    /// Whoever still depends on it, as far as tangd knows.
    fn dependants(&self) -> Option<Vec<&Use>> {
        Some(self.used_by.as_ref()?.iter().filter(|used| used.depends).collect())
    }
}

impl Use {
    fn of(value: &Value) -> Self {
        Self {
            who: text(value, "who").unwrap_or_default(),
            count: value.get("count").and_then(Value::as_u64).unwrap_or_default(),
            last: text(value, "last"),
            rotated_then: flag(value, "rotated_then"),
            depends: flag(value, "depends"),
        }
    }
}

impl Human for Listing {
    fn human(&self, paint: Paint) -> String {
        if self.keys.is_empty() {
            return "there are no keys; tangd makes a pair when it is first asked\n".to_owned();
        }
        let now = self.now.unwrap_or(SystemTime::UNIX_EPOCH);
        let mut table = Table::new(["THUMBPRINT (S256)", "S1", "FOR", "CURVE", "STATE", "MADE", "USED BY"]);
        for key in &self.keys {
            let state = match (key.advertised, key.rotated) {
                (true, _) => Cell::new(Tone::Good, "advertised"),
                (false, true) => Cell::new(Tone::Warning, "rotated out"),
                (false, false) => Cell::new(Tone::Faint, "not advertised"),
            };
            let made = key.made.as_deref().and_then(time::parse).map(|made| time::ago(now, made));
            let used =
                key.used_by.iter().flatten().map(|used| match used.last.as_deref().and_then(time::parse) {
                    Some(last) => format!("{} ({})", used.who, time::ago(now, last)),
                    None => used.who.clone(),
                });
            table.row([
                Cell::new(Tone::Strong, &key.thumbprint),
                (&key.sha1).into(),
                (&key.purpose).into(),
                (&key.curve).into(),
                state,
                made.unwrap_or_default().into(),
                used.collect::<Vec<_>>().join(", ").into(),
            ]);
        }
        let mut said = table.render(paint);
        if self.sealed {
            said += &format!(
                "\n{}\n",
                paint.tone(Tone::Warning, "sealed: no key can be used until farosctl tang unseal")
            );
        }
        for key in self.keys.iter().filter(|key| key.rotated && key.purpose != "sign") {
            let Some(dependants) = key.dependants() else { continue };
            let advice = match &dependants[..] {
                [] => format!(
                    "nobody is known to need it; once every node that was bound to it has been bound anew: \
                     farosctl tang forget {}",
                    key.thumbprint
                ),
                some => {
                    let names: Vec<&str> = some.iter().map(|used| used.who.as_str()).collect();
                    format!("bind anew before it is deleted: {}", names.join(", "))
                }
            };
            said += &format!("{}: {}\n", key.file, crate::output::harmless(&advice));
        }
        said
    }
}

/// What tangd said.
#[derive(Serialize)]
#[serde(transparent)]
struct Rotated(Value);

impl Human for Rotated {
    fn human(&self, _: Paint) -> String {
        let list =
            |key: &str| self.0.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut said = String::new();
        for file in list("added").iter().filter_map(Value::as_str) {
            said += &format!("{} is advertised now\n", crate::output::harmless(file));
        }
        for file in list("hidden").iter().filter_map(|hidden| text(hidden, "to")) {
            said += &format!("{} serves whoever is bound to it already\n", crate::output::harmless(&file));
        }
        said + "bind nodes anew (clevis luks regen), then see: farosctl tang show-keys\n"
    }
}

fn text(value: &Value, key: &str) -> Option<String> {
    Some(value.get(key)?.as_str()?.to_owned())
}

fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// The word by which a value of a few words is known.
fn word(value: &impl Serialize) -> String {
    serde_json::to_value(value).ok().and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use faros_tangd::seal::{NewSlot, Opener, Passphrase};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rotated_key_names_whoever_still_uses_it() {
        let key = |file: &str, purpose: &str, rotated: bool, used_by: Value| {
            json!({ "file": file, "thumbprint": format!("T{file}"), "thumbprints": [format!("S{file}")], "purpose": purpose,
                "curve": "P-521", "advertised": !rotated, "rotated": rotated, "used_by": used_by })
        };
        let used = json!([
            { "who": "cp1", "count": 3, "last": "1970-01-01T00:00:00Z", "rotated_then": false, "depends": true },
            { "who": "cp2", "count": 3, "last": "1970-01-01T00:00:30Z", "rotated_then": true, "depends": false },
        ]);
        let answer = json!({ "sealed": false, "keys": [
            key("a", "exchange", false, json!([])), key(".b", "exchange", true, used), key(".c", "exchange", true, json!([])),
        ] });
        let listing =
            Listing { now: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(60)), ..Listing::of(&answer) };
        let shown = listing.human(Paint::default());
        assert!(shown.contains(".b: bind anew before it is deleted: cp1\n"), "{shown}");
        assert!(shown.contains("cp1 (1 min ago), cp2 (30 s ago)"), "{shown}");
        assert!(
            shown.contains(".c: nobody is known to need it") && shown.contains("tang forget T.c\n"),
            "{shown}"
        );
        assert!(!shown.contains("a: nobody"), "{shown}");
    }

    #[test]
    fn a_look_into_a_directory_makes_no_keys() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Listing::read(directory.path()).unwrap().keys.is_empty());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(Listing::read(&directory.path().join("missing")).is_err());
        KeyStore::new(directory.path()).generate().unwrap();
        let keys = Listing::read(directory.path()).unwrap().keys;
        assert_eq!(keys.len(), 2);
        assert!(
            keys.iter().all(|key| key.thumbprint.len() == 43 && key.sha1.len() == 27 && key.made.is_some())
        );
        assert_eq!(keys.iter().filter(|key| key.signs()).count(), 1);
    }

    #[tokio::test]
    async fn a_look_into_a_sealed_directory_shows_its_keys_and_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let store = KeyStore::new(directory.path());
        let made = store.generate().unwrap();
        let words = Passphrase::new(b"correct horse battery staple".to_vec().into()).unwrap();
        let slot = NewSlot { name: "operator".to_owned(), with: Opener::Passphrase(words) };
        store.seal(&[slot], 1).await.unwrap();
        let listing = Listing::read(directory.path()).unwrap();
        let files: Vec<_> = listing.keys.iter().map(|key| key.file.clone()).collect();
        assert!(listing.sealed && made.iter().all(|file| files.contains(file)), "{files:?}");
        let shown = listing.human(Paint::default());
        assert!(shown.contains("advertised") && shown.contains("farosctl tang unseal"), "{shown}");
    }
}
