//! What there is, and how it fares.

use std::path::PathBuf;
use std::time::SystemTime;

use faros_common::clock;
use faros_common::tls::{Facts, Files, TlsError};
use serde::Serialize;

use super::folder::{AUTHORITY, Folder};
use crate::cli::CaFolder;
use crate::exit::{Exit, Failure};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, harmless, time};
use crate::session::Session;

pub(super) fn run(session: &mut Session, folder: &CaFolder) -> Result<Exit, Failure> {
    let folder = Folder::open(&folder.dir)?;
    let listing = Listing::of(&folder, clock::wall())?;
    let fine = listing.certificates.iter().all(|entry| entry.state == State::Good);
    session.show(&listing)?;
    Ok(if fine { Exit::Done } else { Exit::Degraded })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Good,
    /// Its end is near.
    Ending,
    /// It cannot serve.
    Bad,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    certificate: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    facts: Option<Facts>,
}

/// The authority first, then whatever there is a certificate of.
#[derive(Serialize)]
struct Listing {
    directory: PathBuf,
    certificates: Vec<Entry>,
}

impl Listing {
    fn of(folder: &Folder, now: SystemTime) -> Result<Self, Failure> {
        let authority = Facts::of_file(&folder.certificate(AUTHORITY));
        let known = authority.as_ref().ok().cloned();
        let problem = match &authority {
            Ok(facts) if !facts.authority => Some("this is no authority's certificate".to_owned()),
            Ok(facts) if facts.remaining(now).is_none() => {
                Some("the authority has ended: farosctl ca init".to_owned())
            }
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        let mut certificates = vec![Entry::of(AUTHORITY, folder, authority.ok(), problem, now)];
        for name in folder.names()? {
            let files = Files { certificate: folder.certificate(&name), key: folder.key(&name) };
            let facts = Facts::of_file(&files.certificate);
            let strange = match (&facts, &known) {
                (Ok(facts), Some(authority)) => !facts.is_signed_by(authority),
                _ => false,
            };
            let problem = match (files.judge(now), &facts) {
                // Keys are not for everybody's eyes; the certificate alone tells enough then.
                (Err(TlsError::Unreadable(path, _)), Ok(facts)) if path == files.key => {
                    facts.remaining(now).is_none().then(|| "it has ended: farosctl ca renew".to_owned())
                }
                (Err(error), _) => Some(error.to_string()),
                (Ok(_), _) if strange => Some("another authority has signed it".to_owned()),
                (Ok(_), _) => None,
            };
            certificates.push(Entry::of(&name, folder, facts.ok(), problem, now));
        }
        Ok(Self { directory: folder.path().to_owned(), certificates })
    }
}

impl Entry {
    fn of(
        name: &str,
        folder: &Folder,
        facts: Option<Facts>,
        problem: Option<String>,
        now: SystemTime,
    ) -> Self {
        let state = match (&problem, &facts) {
            (Some(_), _) | (None, None) => State::Bad,
            (None, Some(facts)) if facts.is_ending(now) => State::Ending,
            (None, Some(_)) => State::Good,
        };
        Self { name: name.to_owned(), state, problem, certificate: folder.certificate(name), facts }
    }
}

impl Human for Listing {
    fn human(&self, paint: Paint) -> String {
        let now = clock::wall();
        let mut table = Table::new(["NAME", "STATE", "ENDS", "FOR"]);
        for entry in &self.certificates {
            let state = match entry.state {
                State::Good => Cell::new(Tone::Good, "good"),
                State::Ending => Cell::new(Tone::Warning, "ends soon"),
                State::Bad => Cell::new(Tone::Bad, "bad"),
            };
            let facts = entry.facts.as_ref();
            let ends = facts.map(|facts| time::until(now, facts.not_after)).unwrap_or_default();
            let names = facts.map(|facts| match facts.authority {
                true => facts.subject.clone(),
                false => facts.names.join(" "),
            });
            table.row([
                Cell::new(Tone::Strong, &entry.name),
                state,
                ends.into(),
                harmless(&names.unwrap_or_default()).into(),
            ]);
        }
        let mut text = table.render(paint);
        for entry in &self.certificates {
            if let Some(problem) = &entry.problem {
                text += &format!("{}: {}\n", entry.name, paint.tone(Tone::Bad, &harmless(problem)));
            }
        }
        text
    }
}
