//! The certificate that serves right now, exchanged while handshakes go on.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::{ArcSwap, ArcSwapOption};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use serde::Serialize;
use tokio::sync::watch;
use tracing::{info, warn};

use super::files::{Loaded, Stamp};
use super::{Facts, Files, TlsError};
use crate::clock;

/// How often the files are looked at. Whoever renews a certificate has time, and a look costs two system calls.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often a certificate that ends soon is spoken of.
const REMIND_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The certificate that a service shows, and where it comes from; one for all listeners of a service.
pub struct Identity {
    files: ArcSwap<Files>,
    serving: ArcSwapOption<CertifiedKey>,
    last: Mutex<Last>,
    /// Whether there is one to show.
    ready: watch::Sender<bool>,
}

/// What came of the latest look.
struct Last {
    stamps: [Option<Stamp>; 2],
    facts: Option<Facts>,
    refused: Option<TlsError>,
    /// When its near end was last spoken of.
    reminded: Option<SystemTime>,
}

/// What a reload has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// The same certificate as before.
    Same,
    /// Another one serves from now on.
    Exchanged,
}

/// Its part of `GET /status`.
#[derive(Clone, Debug, Serialize)]
pub struct State {
    /// Whether a certificate serves.
    pub ready: bool,
    /// The one that serves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Facts>,
    /// Days until its end, rounded down; negative once it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub days_left: Option<i64>,
    /// Why the files as they stand now are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

impl Identity {
    /// An identity from `files`, read at once. It is there whatever comes of that: without a certificate it fails
    /// every handshake, until [`Identity::reload`] or [`Identity::follow`] finds one.
    pub fn new(files: Files) -> Arc<Self> {
        let identity = Arc::new(Self {
            files: ArcSwap::from_pointee(files),
            serving: ArcSwapOption::empty(),
            last: Mutex::new(Last { stamps: [None; 2], facts: None, refused: None, reminded: None }),
            ready: watch::channel(false).0,
        });
        // What is wrong is in the state, and in the log.
        let _ = identity.reload();
        identity
    }

    /// Other files from now on; read by the next [`Identity::reload`].
    pub fn set_files(&self, files: Files) {
        self.files.store(Arc::new(files));
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// Why they are refused. What served before goes on serving.
    pub fn reload(&self) -> Result<Reloaded, TlsError> {
        self.reload_at(clock::wall())
    }

    /// Looks at the files every few seconds for ever, and reads them where they have changed or nothing serves yet:
    /// the task that makes a renewed certificate serve. Dropping it does no harm.
    pub async fn follow(self: Arc<Self>) {
        let mut rounds = tokio::time::interval(LOOK_EVERY);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            self.look(clock::wall());
        }
    }

    /// Whether there is a certificate to show.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits until there is a certificate to show.
    pub async fn ready(&self) {
        // The sender lives as long as this identity does.
        let _ = self.ready.subscribe().wait_for(|&ready| ready).await;
    }

    /// What serves and what is refused.
    pub fn state(&self) -> State {
        let last = self.last();
        let days = |facts: &Facts| {
            const DAY: u64 = 24 * 3600;
            match facts.not_after.duration_since(clock::wall()) {
                Ok(left) => i64::try_from(left.as_secs() / DAY).unwrap_or(i64::MAX),
                Err(past) => -i64::try_from(past.duration().as_secs().div_ceil(DAY)).unwrap_or(i64::MAX),
            }
        };
        State {
            ready: self.is_ready(),
            days_left: last.facts.as_ref().map(days),
            certificate: last.facts.clone(),
            refused: last.refused.as_ref().map(ToString::to_string),
        }
    }

    /// A configuration for TLS 1.2 and 1.3 that shows this certificate and offers `alpn`, best first. Sessions are
    /// resumed by tickets, whose keys change every few hours and are known to this process alone.
    pub fn server_config(self: &Arc<Self>, alpn: &[&[u8]]) -> ServerConfig {
        self.config(&[&TLS13, &TLS12], alpn)
    }

    /// The same for TLS 1.3 alone, which QUIC (RFC 9001 section 4.2) and NTS (RFC 8915 section 3) ask for.
    pub fn server_config_tls13(self: &Arc<Self>, alpn: &[&[u8]]) -> ServerConfig {
        self.config(&[&TLS13], alpn)
    }

    fn config(
        self: &Arc<Self>,
        versions: &[&'static rustls::SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("ring has cipher suites for both versions")
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        // Without tickets a session is simply not resumed; it takes a broken random source to get here.
        match ring::Ticketer::new() {
            Ok(ticketer) => config.ticketer = ticketer,
            Err(error) => warn!(event = "tls_tickets_off", %error, "sessions are not resumed"),
        }
        config
    }

    fn reload_at(&self, now: SystemTime) -> Result<Reloaded, TlsError> {
        let files = self.files.load_full();
        // Before reading: a change in between is then seen by the next look.
        let stamps = files.stamps();
        let loaded = files.load(now);
        let mut last = self.last();
        last.stamps = stamps;
        match loaded {
            Ok(loaded) => Ok(self.take(loaded, &mut last)),
            Err(error) => {
                let known = last.refused.as_ref().is_some_and(|old| old.to_string() == error.to_string());
                if !known && !error.is_missing() {
                    warn!(event = "certificate_refused", reason = error.name(), %error, "a certificate is refused");
                }
                last.refused = Some(error.clone());
                Err(error)
            }
        }
    }

    fn take(&self, loaded: Loaded, last: &mut Last) -> Reloaded {
        let same = last.facts.as_ref() == Some(&loaded.facts) && self.serving.load().is_some();
        last.refused = None;
        last.reminded = None;
        if !same {
            info!(
                event = "certificate_loaded",
                subject = loaded.facts.subject,
                fingerprint = loaded.facts.fingerprint,
                not_after = %humantime::format_rfc3339_seconds(loaded.facts.not_after),
                "a certificate serves"
            );
        }
        last.facts = Some(loaded.facts);
        self.serving.store(Some(loaded.certified));
        self.ready.send_replace(true);
        if same { Reloaded::Same } else { Reloaded::Exchanged }
    }

    /// One round of [`Identity::follow`].
    pub(super) fn look(&self, now: SystemTime) {
        let stamps = self.files.load().stamps();
        let unchanged = stamps == self.last().stamps;
        // What was refused for the clock's sake may hold now, without any change in the files; and what was half
        // written may have been complete before the stamp was taken.
        let refused = self.last().refused.as_ref().is_some_and(|error| !error.is_missing());
        if !unchanged || refused {
            let _ = self.reload_at(now);
        }
        self.remind(now);
    }

    /// Speaks of a near end, once a day.
    fn remind(&self, now: SystemTime) {
        let mut last = self.last();
        let Some(facts) = last.facts.as_ref().filter(|facts| facts.is_ending(now)) else { return };
        let due = last.reminded.is_none_or(|at| now.duration_since(at).is_ok_and(|age| age >= REMIND_EVERY));
        if due {
            warn!(
                event = "certificate_ending",
                subject = facts.subject,
                not_after = %humantime::format_rfc3339_seconds(facts.not_after),
                "a certificate ends soon; renew it with `farosctl ca renew`"
            );
            last.reminded = Some(now);
        }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.serving.load_full()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("files", &*self.files.load())
            .field("ready", &self.is_ready())
            .finish()
    }
}
