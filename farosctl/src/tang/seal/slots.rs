//! `farosctl tang slots …`, and the slots that the site file asks for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use faros_common::site::TangSlot;
use faros_tangd::seal::{KeyStore, NewSlot, Opener, Tpm2, Upstream};

use super::passphrase::Passphrases;
use super::shown::Report;
use super::{StoreArguments, describe, directory, open, refused};
use crate::exit::{Exit, Failure};
use crate::session::Session;

/// `farosctl tang slots …`
#[derive(Debug, Subcommand)]
pub enum SlotCommand {
    /// All slots, and how many it takes
    List {
        /// The key directory [default: the site file's]
        #[arg(long, value_name = "DIR")]
        keys: Option<PathBuf>,
    },
    /// Add a slot; the store is opened first
    Add {
        /// What opens it
        #[command(subcommand)]
        kind: SlotKind,
    },
    /// Remove a slot; the store is opened first
    Remove {
        /// Its name
        name: String,
        /// Which keys, and what opens them
        #[command(flatten)]
        store: StoreArguments,
    },
}

/// What opens a new slot.
#[derive(Debug, Subcommand)]
pub enum SlotKind {
    /// A further passphrase
    Passphrase {
        /// Read the new passphrase from this file (- for standard input) instead of asking
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
        /// Its name, its store
        #[command(flatten)]
        slot: SlotArguments,
    },
    /// Another Tang server, whose owner can take these keys away
    Tang {
        /// Its URL
        url: String,
        /// A thumbprint of one of its signing keys (tang-show-keys prints it there)
        thumbprint: String,
        /// The authority of its certificate (PEM) [default: those of this host]
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// Its name, its store
        #[command(flatten)]
        slot: SlotArguments,
    },
    /// The TPM 2.0 of this host (needs tpm2-tools)
    Tpm2 {
        /// A platform register (SHA-256) that must stay as it is now; may be repeated
        #[arg(long, value_name = "N")]
        pcr: Vec<u8>,
        /// How the TPM is reached, as tpm2-tools say it [default: as these find it]
        #[arg(long, value_name = "TCTI")]
        tcti: Option<String>,
        /// Its name, its store
        #[command(flatten)]
        slot: SlotArguments,
    },
}

/// What all new slots have.
#[derive(Args, Clone, Debug)]
pub struct SlotArguments {
    /// What to call it [default: its kind, numbered where that is taken]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Which keys, and what opens them
    #[command(flatten)]
    pub store: StoreArguments,
}

pub(super) async fn run(session: &mut Session, command: SlotCommand) -> Result<Exit, Failure> {
    match command {
        SlotCommand::List { keys } => {
            let slots = describe(session, keys.as_deref()).await?;
            session.show(&slots)?;
            Ok(Exit::Done)
        }
        SlotCommand::Add { kind } => add(session, kind).await,
        SlotCommand::Remove { name, store: arguments } => {
            let store = KeyStore::new(directory(session, arguments.keys.as_deref())?);
            open(session, &store, &arguments.passphrases).await?;
            store.remove_slot(&name).map_err(refused)?;
            session.show(&Report::of(format!("slot {name} opens these keys no more")))?;
            session.note(
                "copies of the store that were made before still open with it, to the keys of that time; rotate the keys if \
                 that matters",
            );
            Ok(Exit::Done)
        }
    }
}

async fn add(session: &mut Session, kind: SlotKind) -> Result<Exit, Failure> {
    let (word, arguments) = match &kind {
        SlotKind::Passphrase { slot, .. } => ("passphrase", slot.clone()),
        SlotKind::Tang { slot, .. } => ("tang", slot.clone()),
        SlotKind::Tpm2 { slot, .. } => ("tpm2", slot.clone()),
    };
    let store = KeyStore::new(directory(session, arguments.store.keys.as_deref())?);
    open(session, &store, &arguments.store.passphrases).await?;
    let with = match kind {
        SlotKind::Passphrase { new_passphrase_file, .. } => {
            let mut passphrases = Passphrases::of_file(new_passphrase_file);
            Opener::Passphrase(passphrases.new_passphrase(session, "Passphrase of the new slot: ")?)
        }
        SlotKind::Tang { url, thumbprint, ca, .. } => {
            Opener::Tang(Upstream { url, thumbprint, ca: authorities(ca.as_deref())? })
        }
        SlotKind::Tpm2 { pcr, tcti, .. } => Opener::Tpm2(Tpm2 { pcrs: pcr, tcti }),
    };
    let described = store.describe().map_err(refused)?;
    let taken: Vec<String> =
        described.into_iter().flat_map(|store| store.slots).map(|slot| slot.name).collect();
    let name = arguments.name.unwrap_or_else(|| free(word, &taken));
    store.add_slot(&NewSlot { name: name.clone(), with }).await.map_err(refused)?;
    session.show(&Report::of(format!("slot {name} opens these keys from now on")))?;
    Ok(Exit::Done)
}

/// The slots of the site file and its threshold; one passphrase where it names none.
pub(super) fn of_site(
    session: &mut Session,
    passphrases: &mut Passphrases,
) -> Result<(Vec<NewSlot>, usize), Failure> {
    let tang = session.site()?.tang;
    let wanted = if tang.slots.is_empty() { vec![TangSlot::Passphrase] } else { tang.slots };
    let mut taken = Vec::new();
    let mut counts = BTreeMap::new();
    for slot in &wanted {
        *counts.entry(slot.kind()).or_insert(0) += 1;
    }
    let mut slots = Vec::new();
    for slot in &wanted {
        let name = free(slot.kind(), &taken);
        taken.push(name.clone());
        let with = match slot {
            TangSlot::Passphrase => {
                let question = match counts[slot.kind()] {
                    1 => "Passphrase that shall open the keys: ".to_owned(),
                    _ => format!("Passphrase of slot {name}: "),
                };
                Opener::Passphrase(passphrases.new_passphrase(session, &question)?)
            }
            TangSlot::Tang { url, thumbprint, ca } => {
                let ca = authorities(ca.as_deref())?;
                Opener::Tang(Upstream { url: url.clone(), thumbprint: thumbprint.clone(), ca })
            }
            TangSlot::Tpm2 { pcrs } => Opener::Tpm2(Tpm2 { pcrs: pcrs.clone(), tcti: None }),
        };
        slots.push(NewSlot { name, with });
    }
    Ok((slots, tang.threshold.max(1)))
}

/// The certificates in a file, as the slot keeps them: the file may change or go, and the slot still has to open.
fn authorities(path: Option<&Path>) -> Result<Option<String>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let unusable = |why: &dyn std::fmt::Display| Failure::failed(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| unusable(&error))?;
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(unusable(&"no certificate in PEM; name that of the authority, such as a site's ca.crt"));
    }
    Ok(Some(text))
}

/// `word`, or the first of `word-2`, `word-3` … that nobody has.
fn free(word: &str, taken: &[String]) -> String {
    let names = (1..).map(|number| if number == 1 { word.to_owned() } else { format!("{word}-{number}") });
    names.into_iter().find(|name| !taken.contains(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_of_one_kind_are_numbered() {
        assert_eq!(free("tang", &[]), "tang");
        assert_eq!(free("tang", &["tang".to_owned(), "tang-3".to_owned()]), "tang-2");
    }
}
