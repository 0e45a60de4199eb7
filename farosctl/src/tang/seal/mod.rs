//! `farosctl tang seal`, `unseal`, `slots`, `backup`, `restore`: keys that are encrypted at rest.
//!
//! `unseal`, and `seal` for a store that is open, ask tangd. Everything else works on the key directory itself, as root on the
//! bastion: making slots starts programs and asks other servers, and backups are only for those who can open the store.

mod passphrase;
mod shown;
mod slots;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand};
use faros_common::admin::client;
use faros_tangd::seal::{KeyStore, SealError};
use serde_json::Value;

use self::passphrase::Passphrases;
use self::shown::{Report, Slots};
use super::failed;
use crate::daemons::TANGD;
use crate::exit::{Exit, Failure};
use crate::session::Session;

use slots::SlotCommand;

/// The verbs of the sealed store.
#[derive(Debug, Subcommand)]
pub enum SealCommand {
    /// Encrypt the keys at rest, with the slots of the site file; an open store is closed
    Seal {
        /// How many slots it takes to open [default: the site file's]
        #[arg(long, value_name = "K")]
        threshold: Option<usize>,
        /// Which keys, and the passphrases of new slots
        #[command(flatten)]
        store: StoreArguments,
    },
    /// Open the sealed keys of tangd with a passphrase
    Unseal {
        /// Where the passphrase is
        #[command(flatten)]
        passphrases: PassphraseArguments,
    },
    /// What opens the sealed keys
    #[command(subcommand)]
    Slots(SlotCommand),
    /// Write all keys into one file that a passphrase of its own opens
    Backup {
        /// The new file
        file: PathBuf,
        /// Read the backup's passphrase from this file (- for standard input) instead of asking
        #[arg(long, value_name = "FILE")]
        backup_passphrase_file: Option<PathBuf>,
        /// Which keys, and what opens them
        #[command(flatten)]
        store: StoreArguments,
    },
    /// Bring the keys of a backup back; keys that are there already are left as they are
    Restore {
        /// The backup
        file: PathBuf,
        /// Read the backup's passphrase from this file (- for standard input) instead of asking
        #[arg(long, value_name = "FILE")]
        backup_passphrase_file: Option<PathBuf>,
        /// Where nothing is sealed: write key files in clear instead of sealing them with the slots of the site file
        #[arg(long)]
        clear: bool,
        /// Into which keys, and what opens them
        #[command(flatten)]
        store: StoreArguments,
    },
}

/// Which key directory, and what opens it.
#[derive(Args, Clone, Debug)]
pub struct StoreArguments {
    /// The key directory [default: the site file's]
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// Where passphrases are
    #[command(flatten)]
    pub passphrases: PassphraseArguments,
}

/// Where passphrases are.
#[derive(Args, Clone, Debug)]
pub struct PassphraseArguments {
    /// Read the passphrase from this file (- for standard input) instead of asking; may be repeated for several slots
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Vec<PathBuf>,
}

pub(super) async fn run(session: &mut Session, command: SealCommand) -> Result<Exit, Failure> {
    match command {
        SealCommand::Seal { threshold, store } => seal(session, &store, threshold).await,
        SealCommand::Unseal { passphrases } => unseal(session, &passphrases).await,
        SealCommand::Slots(command) => slots::run(session, command).await,
        SealCommand::Backup { file, backup_passphrase_file, store } => {
            backup(session, &file, backup_passphrase_file, &store).await
        }
        SealCommand::Restore { file, backup_passphrase_file, clear, store } => {
            restore(session, &file, backup_passphrase_file, clear, &store).await
        }
    }
}

async fn seal(
    session: &mut Session,
    arguments: &StoreArguments,
    threshold: Option<usize>,
) -> Result<Exit, Failure> {
    let store = KeyStore::new(directory(session, arguments.keys.as_deref())?);
    if store.has_store() {
        let answer = session.daemons.post(TANGD, "/seal").await.map_err(|error| failed(&error))?;
        session.show(&Report::closed(answer))?;
        return Ok(Exit::Done);
    }
    let mut passphrases = Passphrases::of(&arguments.passphrases);
    let (new, default) = slots::of_site(session, &mut passphrases)?;
    let sealed = store.seal(&new, threshold.unwrap_or(default)).await.map_err(refused)?;
    session.show(&Report::sealed(store.path(), &sealed))?;
    if sealed.wiped > 0 {
        session.note(
            "the clear files were overwritten and removed, which is all that can be done from here: on a solid-state disk, a file \
             system with snapshots or copy-on-write, and in backups, old blocks may live on; rotate the keys, bind the nodes \
             anew and delete the old keys if that disk may get into other hands",
        );
    }
    session.note(
        "after each start of tangd: farosctl tang unseal, unless a Tang server or the TPM opens the keys",
    );
    Ok(Exit::Done)
}

async fn unseal(session: &mut Session, arguments: &PassphraseArguments) -> Result<Exit, Failure> {
    let mut passphrases = Passphrases::of(arguments);
    loop {
        let words = passphrases.next_words(session, "Passphrase: ")?;
        let socket = session.daemons.socket(TANGD);
        let answer = client::post(&socket, "/unseal", Bytes::from(words.to_vec())).await;
        let answer = answer.map_err(|error| failed(&error))?;
        let sealed = answer.get("sealed").and_then(Value::as_bool).unwrap_or(true);
        if !sealed || !passphrases.has_more(session) {
            session.show(&Report::unsealed(answer))?;
            return Ok(if sealed { Exit::Degraded } else { Exit::Done });
        }
    }
}

async fn backup(
    session: &mut Session,
    file: &Path,
    own: Option<PathBuf>,
    arguments: &StoreArguments,
) -> Result<Exit, Failure> {
    let store = KeyStore::new(directory(session, arguments.keys.as_deref())?);
    open(session, &store, &arguments.passphrases).await?;
    let passphrase = Passphrases::of_file(own).new_passphrase(session, "Passphrase of the backup: ")?;
    let keys = store.backup_to(file, &passphrase).map_err(refused)?;
    session.show(&Report::of(format!(
        "{keys} key files are in {}, encrypted; it was read back",
        file.display()
    )))?;
    Ok(Exit::Done)
}

async fn restore(
    session: &mut Session,
    file: &Path,
    own: Option<PathBuf>,
    clear: bool,
    arguments: &StoreArguments,
) -> Result<Exit, Failure> {
    let store = KeyStore::new(directory(session, arguments.keys.as_deref())?);
    let passphrase = Passphrases::of_file(own).next_passphrase(session, "Passphrase of the backup: ")?;
    if store.has_store() {
        open(session, &store, &arguments.passphrases).await?;
    } else if !clear {
        let mut passphrases = Passphrases::of(&arguments.passphrases);
        let (new, threshold) = slots::of_site(session, &mut passphrases)?;
        let sealed = store.restore_sealed(file, &passphrase, &new, threshold).await.map_err(refused)?;
        session.show(&Report::sealed(store.path(), &sealed))?;
        return Ok(Exit::Done);
    }
    let added = store.restore(file, &passphrase).map_err(refused)?;
    session.show(&Report::of(format!("{added} key files were added to {}", store.path().display())))?;
    Ok(Exit::Done)
}

/// Opens a store here, by whatever opens it: the TPM, other servers, then passphrases. Nothing to do without one.
async fn open(
    session: &mut Session,
    store: &KeyStore,
    arguments: &PassphraseArguments,
) -> Result<(), Failure> {
    if !store.has_store() {
        return Ok(());
    }
    let mut passphrases = Passphrases::of(arguments);
    if store.has_slot("tpm2")
        && let Err(error) = store.open_with_tpm()
    {
        session.note(&error.to_string());
    }
    if store.is_sealed()
        && store.has_slot("tang")
        && let Err(error) = store.open_with_upstreams().await
    {
        session.note(&error.to_string());
    }
    while store.is_sealed() {
        let progress = store.progress().map_err(refused)?;
        let question = match progress.threshold {
            1 => "Passphrase of the keys: ".to_owned(),
            all => format!("Passphrase of the keys ({} of {all} slots open): ", progress.shares),
        };
        let passphrase = passphrases.next_passphrase(session, &question)?;
        let opened = store.open_with_passphrase(&passphrase).map_err(refused)?;
        if opened.shares == progress.shares && opened.sealed {
            session.note("that slot is open already; another one is needed");
        }
    }
    Ok(())
}

fn directory(session: &mut Session, given: Option<&Path>) -> Result<PathBuf, Failure> {
    match given {
        Some(directory) => Ok(directory.to_owned()),
        None => Ok(session.site()?.tang.keys),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn refused(error: SealError) -> Failure {
    let hint = match &error {
        SealError::Io(_, system) if system.kind() == std::io::ErrorKind::PermissionDenied => "; become root",
        _ => "",
    };
    Failure::failed(format!("{error}{hint}"))
}

async fn describe(session: &mut Session, given: Option<&Path>) -> Result<Slots, Failure> {
    let store = KeyStore::new(directory(session, given)?);
    let description = store.describe().map_err(refused)?;
    description.map(Slots).ok_or_else(|| refused(SealError::NotSealed(store.path().to_owned())))
}
