//! `farosctl ca …`: the site's own certificates, for what its daemons serve encrypted.
//!
//! One authority for the site, made here and kept here; clients that are to trust it get its certificate. Whatever it
//! signs is made together with a new key, by `issue` or `renew`.

mod folder;
mod make;
mod names;
mod show;

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use faros_common::clock;
use faros_common::tls::Facts;
use serde::Serialize;

use crate::cli::{CaCommand, CaFolder};
use crate::exit::{Exit, Failure};
use crate::output::{Human, Paint, Tone, time};
use crate::session::Session;
use folder::{Folder, Presence};
use make::Authority;

/// The authority holds for ten years: as long as the hardware, for nobody wants to visit every client sooner.
const AUTHORITY_LIFE: Duration = Duration::from_secs(3652 * DAY);
/// What it signs holds so long, in days, unless the operator says otherwise: the most that Apple's clients accepted
/// when this was written.
pub(crate) const LIFE_DAYS: u32 = 397;
/// The longest that the operator may ask for, in days. Apple's clients take no more even from a private authority.
pub(crate) const LIFE_DAYS_MAX: u32 = 825;
/// What ends within this time is made anew by a `renew` that names nothing.
const RENEWED_BEFORE: Duration = Duration::from_secs(60 * DAY);
/// Certificates begin a day early: nodes without a clock battery are late.
const BEGINS_EARLY: Duration = Duration::from_secs(DAY);
const DAY: u64 = 24 * 3600;

pub(crate) fn run(session: &mut Session, command: &CaCommand) -> Result<Exit, Failure> {
    match command {
        CaCommand::Init { folder } => init(session, folder),
        CaCommand::Show { folder } => show::run(session, folder),
        CaCommand::Issue { name, san, days, folder } => issue(session, name, san, *days, folder),
        CaCommand::Renew { names, days, folder } => renew(session, names, *days, folder),
    }
}

/// From when until when something made at `now` holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Term {
    pub(crate) from: SystemTime,
    pub(crate) until: SystemTime,
}

impl Term {
    fn of(now: SystemTime, life: Duration) -> Self {
        Self { from: now - BEGINS_EARLY, until: now + life }
    }
}

/// What was made, and what may be of note about it.
#[derive(Serialize)]
struct Made {
    name: String,
    certificate: PathBuf,
    key: PathBuf,
    facts: Facts,
}

fn init(session: &mut Session, folder: &CaFolder) -> Result<Exit, Failure> {
    let site = session.site()?;
    let folder = Folder::make(&folder.dir)?;
    let term = Term::of(clock::wall(), AUTHORITY_LIFE);
    let pair = make::authority(&site.cluster.zone(), term)?;
    folder.put_authority(&pair)?;
    let made = Made {
        name: folder::AUTHORITY.to_owned(),
        certificate: folder.certificate(folder::AUTHORITY),
        key: folder.key(folder::AUTHORITY),
        facts: folder.facts(folder::AUTHORITY)?,
    };
    session.show(&Results { made: vec![made] })?;
    session.note(&format!(
        "clients that are to trust this site get {}; the key beside it never leaves this host",
        folder.certificate(folder::AUTHORITY).display()
    ));
    Ok(Exit::Done)
}

fn issue(
    session: &mut Session,
    name: &str,
    further: &[String],
    days: u32,
    folder: &CaFolder,
) -> Result<Exit, Failure> {
    folder::check_name(name)?;
    names::check(further)?;
    let site = session.site()?;
    let folder = Folder::open(&folder.dir)?;
    let authority = Authority::load(&folder, clock::wall())?;
    let mut wanted = names::of(&site, name);
    names::add(&mut wanted, further.iter().cloned());
    let made = sign(session, &folder, &authority, name, &wanted, days, Presence::Refused)?;
    session.show(&Results { made: vec![made] })?;
    // The directory may have been named relative to this one.
    let whole = std::path::absolute(folder.certificate(name)).unwrap_or_else(|_| folder.certificate(name));
    if name == "dnsd" && site.dns.certificate != whole {
        session.note(&format!(
            "dnsd reads {} and {}; set dns.certificate and dns.certificate-key to use these",
            site.dns.certificate.display(),
            site.dns.key.display()
        ));
    }
    Ok(Exit::Done)
}

fn renew(session: &mut Session, names: &[String], days: u32, folder: &CaFolder) -> Result<Exit, Failure> {
    let site = session.site()?;
    let folder = Folder::open(&folder.dir)?;
    let now = clock::wall();
    let wanted = if names.is_empty() {
        let due = |name: &String| {
            // What cannot be read cannot be judged either; making it anew mends it.
            folder
                .facts(name)
                .map_or(true, |facts| facts.remaining(now).is_none_or(|left| left < RENEWED_BEFORE))
        };
        folder.names()?.into_iter().filter(due).collect()
    } else {
        for name in names {
            folder::check_name(name)?;
            if !folder.certificate(name).is_file() {
                return Err(Failure::failed(format!(
                    "there is no {}; make it with: farosctl ca issue {name}",
                    folder.certificate(name).display()
                )));
            }
        }
        names.to_vec()
    };
    let mut made = Vec::new();
    if !wanted.is_empty() {
        let authority = Authority::load(&folder, now)?;
        for name in &wanted {
            let mut holds_for = names::of(&site, name);
            names::add(&mut holds_for, folder.facts(name).map(|facts| facts.names).unwrap_or_default());
            made.push(sign(session, &folder, &authority, name, &holds_for, days, Presence::Replaced)?);
        }
    }
    session.show(&Results { made })?;
    Ok(Exit::Done)
}

fn sign(
    session: &mut Session,
    folder: &Folder,
    authority: &Authority,
    name: &str,
    holds_for: &[String],
    days: u32,
    presence: Presence,
) -> Result<Made, Failure> {
    let mut term = Term::of(clock::wall(), Duration::from_secs(u64::from(days) * DAY));
    if term.until > authority.until {
        term.until = authority.until;
        session.note(&format!(
            "{name} ends with its authority; for a new one move {} and {} away and run: farosctl ca init",
            folder.certificate(folder::AUTHORITY).display(),
            folder.key(folder::AUTHORITY).display()
        ));
    }
    let pair = authority.sign(name, holds_for, term)?;
    if let Some(note) = folder.put(name, &pair, presence)? {
        session.note(&note);
    }
    Ok(Made {
        name: name.to_owned(),
        certificate: folder.certificate(name),
        key: folder.key(name),
        facts: folder.facts(name)?,
    })
}

#[derive(Serialize)]
struct Results {
    made: Vec<Made>,
}

impl Human for Results {
    fn human(&self, paint: Paint) -> String {
        if self.made.is_empty() {
            return "nothing ends soon; name what is to be renewed all the same\n".to_owned();
        }
        let now = clock::wall();
        let mut text = String::new();
        for made in &self.made {
            let Made { name, certificate, key, facts } = made;
            text += &format!("{}  {}\n", paint.tone(Tone::Strong, name), paint.tone(Tone::Good, "made"));
            text += &format!("  certificate  {}\n  key          {}\n", certificate.display(), key.display());
            if !facts.names.is_empty() {
                text += &format!("  for          {}\n", facts.names.join(" "));
            }
            text += &format!("  ends         {}\n", time::until(now, facts.not_after));
            text += &format!("  SHA-256      {}\n", facts.fingerprint);
        }
        text
    }
}
