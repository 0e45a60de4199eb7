//! What a serving daemon does about its store: opens it as soon as a server lets it, tidies up, rotates on schedule, and answers
//! operators.
//!
//! One task, which may be cancelled at any point: all it has under way is taken up again by the next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::daemon::Control;
use faros_common::events::{Event, Events};
use faros_common::{clock, tasks};
use hyper::StatusCode;
use openssl::rand::rand_bytes;
use serde_json::{Value, json};
use tracing::{debug, info, warn};
use zeroize::{Zeroize, Zeroizing};

use super::rotation::is_due;
use super::slot::Passphrase;
use super::{KeyStore, Progress, SealError};
use crate::keys::KeySource;

/// How long after a failed attempt the upstream servers are asked again: doubled each time.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest pause between two attempts. Nodes wait for us all the while.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// How often the store is looked after.
const ROUND: Duration = Duration::from_secs(60);
/// What a client is told by `Retry-After` while the store is sealed.
pub const RETRY_AFTER_SECS: u32 = 10;

/// Where what was done to the keys is written down.
pub type Notes = Arc<dyn Fn(String) + Send + Sync>;

/// Looks after a store while it is served.
pub struct Keeper {
    store: Arc<KeyStore>,
    events: Events,
    rotate: Mutex<Option<Duration>>,
    /// Whether it was closed by an operator: then only an operator opens it again.
    closed: AtomicBool,
    notes: OnceLock<Notes>,
}

impl Keeper {
    /// Keeps `store`; `rotate` is how old advertised keys may grow.
    #[must_use]
    pub fn new(store: Arc<KeyStore>, events: Events, rotate: Option<Duration>) -> Self {
        Self { store, events, rotate: rotate.into(), closed: false.into(), notes: OnceLock::new() }
    }

    /// Writes down what is done from now on; once.
    pub fn set_notes(&self, notes: Notes) {
        let _ = self.notes.set(notes);
    }

    /// Another age from now on (reload).
    pub fn set_rotation(&self, rotate: Option<Duration>) {
        *self.rotate.lock().unwrap_or_else(PoisonError::into_inner) = rotate;
    }

    /// Whether the store is sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.store.is_sealed()
    }

    /// Opens, tidies and rotates until the daemon stops.
    pub async fn run(self: Arc<Self>, control: Control) {
        if self.store.is_sealed() {
            warn!(event = "tang_sealed", "the key store is sealed: nothing is recovered until it is opened");
            self.events.emit(Event::new("tang_sealed").with("reason", "started"));
        } else if self.store.has_store() {
            // Only the TPM opens a store that early.
            info!(event = "tang_unsealed", by = "tpm2", "the key store is open");
            self.events.emit(Event::new("tang_unsealed").with("by", "tpm2"));
            self.note("the key store was opened by the TPM".to_owned());
        }
        let mut pause = RETRY_FIRST;
        while !control.is_stopping() {
            let wait = if self.store.is_sealed() {
                let opened = !self.is_closed() && self.store.has_slot("tang") && self.ask_upstreams().await;
                let wait = if opened { Duration::ZERO } else { jitter(pause) };
                pause = if opened { RETRY_FIRST } else { (pause * 2).min(RETRY_MAX) };
                wait
            } else {
                pause = RETRY_FIRST;
                let keeper = Arc::clone(&self);
                // Files are written and keys are made: not on the threads that serve.
                let _ = tokio::task::spawn_blocking(move || {
                    tasks::contain("tang keeper", || keeper.tidy(clock::wall()))
                })
                .await;
                ROUND
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = control.stopping() => {}
            }
        }
    }

    /// The part of `GET /status`, and the answer to `GET /seal`.
    #[must_use]
    pub fn status(&self) -> Value {
        match self.store.describe() {
            Ok(None) if !self.store.is_sealed() => json!({ "sealed": false, "store": null }),
            Ok(None) => {
                json!({ "sealed": true, "store": null, "problem": "there is no sealed store; make one with `farosctl tang seal`" })
            }
            Ok(Some(store)) => {
                let progress = self.store.progress().ok();
                json!({
                    "sealed": self.store.is_sealed(),
                    "progress": progress,
                    "store": store,
                    "memory_locked": self.store.is_locked_in_memory(),
                })
            }
            Err(error) => json!({ "sealed": true, "problem": error.to_string() }),
        }
    }

    /// `GET /seal`, `POST /unseal` (the passphrase is the body), `POST /seal` (closes an open store). None: another verb.
    pub async fn admin(self: &Arc<Self>, request: AdminRequest) -> Option<AdminResponse> {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/seal") => Some(AdminResponse::json(&self.status())),
            ("POST", "/seal") => Some(self.close()),
            ("POST", "/unseal") => {
                let passphrase = take_body(request);
                let keeper = Arc::clone(self);
                let answer = tokio::task::spawn_blocking(move || {
                    tasks::contain("unseal", || keeper.unseal(passphrase))
                });
                let defect = || {
                    AdminResponse::error(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        "a defect of ours; the log has it",
                    )
                };
                Some(answer.await.ok().flatten().unwrap_or_else(defect))
            }
            _ => None,
        }
    }

    fn close(&self) -> AdminResponse {
        match self.store.close() {
            Ok(()) => {
                self.closed.store(true, Ordering::Relaxed);
                warn!(event = "tang_sealed", "the key store was sealed by an operator");
                self.events.emit(Event::new("tang_sealed").with("reason", "operator"));
                AdminResponse::json(&self.status())
            }
            Err(error) => refusal(&error),
        }
    }

    fn unseal(&self, passphrase: Zeroizing<Vec<u8>>) -> AdminResponse {
        let was_sealed = self.store.is_sealed();
        let opened =
            Passphrase::new(passphrase).and_then(|passphrase| self.store.open_with_passphrase(&passphrase));
        match opened {
            Ok(progress) => {
                self.closed.store(false, Ordering::Relaxed);
                if was_sealed {
                    self.on_progress(&progress, "passphrase");
                }
                AdminResponse::json(&progress)
            }
            Err(error) => {
                self.on_failure(&error, "passphrase");
                refusal(&error)
            }
        }
    }

    async fn ask_upstreams(&self) -> bool {
        match self.store.open_with_upstreams().await {
            Ok(progress) => {
                if !progress.sealed {
                    self.on_progress(&progress, "tang");
                }
                !progress.sealed
            }
            Err(error) => {
                self.on_failure(&error, "tang");
                false
            }
        }
    }

    /// Takes in what was left or dropped beside the store, and rotates where it is time.
    pub(super) fn tidy(&self, now: SystemTime) {
        if self.store.has_store() {
            match self.store.absorb() {
                Ok(0) => {}
                Ok(files) => {
                    info!(
                        event = "clear_keys_sealed",
                        files, "key files in clear were taken into the store and wiped"
                    );
                    self.note(format!("{files} key files in clear were taken into the sealed store"));
                }
                Err(error) => {
                    warn!(event = "clear_keys_left", %error, "key files in clear lie beside the sealed store");
                }
            }
        }
        let period = *self.rotate.lock().unwrap_or_else(PoisonError::into_inner);
        let due =
            period.is_some_and(|period| self.store.rotated().is_some_and(|made| is_due(made, now, period)));
        if !due {
            return;
        }
        match KeySource::rotate(&*self.store) {
            Ok(rotated) => {
                info!(event = "tang_rotated", added = ?rotated.added, "keys were rotated on schedule");
                self.events.emit(
                    Event::new("tang_rotated")
                        .with("reason", "schedule")
                        .with("added", json!(rotated.added))
                        .with("hidden", rotated.hidden.len()),
                );
                self.note(format!("keys rotated on schedule: {} added", rotated.added.join(", ")));
            }
            Err(error) => warn!(event = "tang_rotation_failed", %error, "keys are due but were not rotated"),
        }
    }

    fn on_progress(&self, progress: &Progress, by: &'static str) {
        if progress.sealed {
            info!(
                event = "tang_share",
                by,
                shares = progress.shares,
                threshold = progress.threshold,
                "a share of the key store came in"
            );
            return;
        }
        info!(event = "tang_unsealed", by, "the key store is open");
        self.events.emit(Event::new("tang_unsealed").with("by", by));
        let opener = if by == "tang" { "another Tang server" } else { "a passphrase" };
        self.note(format!("the key store was opened by {opener}"));
    }

    fn note(&self, text: String) {
        if let Some(notes) = self.notes.get() {
            notes(text);
        }
    }

    fn on_failure(&self, error: &SealError, by: &'static str) {
        debug!(event = "tang_unseal_failed", by, %error, "the key store stays sealed");
        self.events.emit(Event::new("tang_unseal_failed").with("by", by).with("reason", error.to_string()));
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Keeper").field("store", &self.store).finish_non_exhaustive()
    }
}

/// The body, wiped where it was received if nobody else holds it.
fn take_body(request: AdminRequest) -> Zeroizing<Vec<u8>> {
    let copy = Zeroizing::new(request.body.to_vec());
    if let Ok(mut body) = request.body.try_into_mut() {
        body.as_mut().zeroize();
    }
    copy
}

fn refusal(error: &SealError) -> AdminResponse {
    let status = match error {
        SealError::WrongPassphrase => StatusCode::FORBIDDEN,
        SealError::TooManyAttempts(_) => StatusCode::TOO_MANY_REQUESTS,
        SealError::Invalid(_) => StatusCode::BAD_REQUEST,
        SealError::NotSealed(_) | SealError::NoSuchSlot(_) => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    AdminResponse::error(status, &error.to_string())
}

/// Between one and one and a half times as long: sites that lost power together do not ask together.
fn jitter(pause: Duration) -> Duration {
    let mut byte = [0; 1];
    // Without randomness everybody asks at once, which is all that is lost.
    let _ = rand_bytes(&mut byte);
    pause + pause.mul_f64(f64::from(byte[0]) / 512.0)
}
