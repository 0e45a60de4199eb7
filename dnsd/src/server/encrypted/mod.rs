//! The transports that nobody on the way can read along: DNS over TLS (RFC 7858), over HTTPS (RFC 8484) and over
//! QUIC (RFC 9250), all with the certificate of `dns.certificate`.
//!
//! ```text
//! bind ─► doors ── certificate ready ──► listen ─┬─► tls   ─► stream (shared with TCP)
//!            │                                   ├─► https ─► HTTP/2, HTTP/1.1
//!            └── none yet: closed                └─► quic  ─► a stream for each question
//! ```
//!
//! Without a certificate that may serve, the doors stay closed: the ports are ours, but a client is refused at once.
//! They open by themselves when a certificate appears, and a renewed one serves from the next handshake on.
//!
//! Tasks: one follows the files of the certificate; one for each listener; one for each connection, which holds its
//! place in [`Admission`] until it ends. All of them end when the daemon stops: listeners at once, connections once
//! they have given the answers that they owe.

mod door;
mod https;
mod quic;
#[cfg(test)]
mod tests;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use faros_common::daemon::{Control, Start, StartError};
use faros_common::site::{Diagnostic, Dns, Severity};
use faros_common::tls::{Files, Identity, Reloaded, TlsError};
use faros_common::{clock, tasks};
use serde_json::json;
use tracing::{info, warn};

use super::admission::Admission;
use crate::engine::Engine;
use crate::site_zones::Listeners;
use door::{Door, QuicDoor};

/// How long a client may take for its handshake. One that takes longer is cut off.
pub const HANDSHAKE_TIME: Duration = Duration::from_secs(5);

/// What the site file says about the encrypted transports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where they listen.
    pub listen: Listeners,
    /// The certificate and its key.
    pub files: Files,
}

/// The doors of all transports, open or not, as [`Settings::bind`] has made them.
pub struct Doors {
    tls: Vec<Door>,
    https: Vec<Door>,
    quic: Vec<QuicDoor>,
}

/// The encrypted transports of this daemon.
pub struct Encrypted {
    identity: Arc<Identity>,
    /// Where they listen.
    listen: Listeners,
    /// Taken when the doors open.
    doors: Mutex<Option<Doors>>,
    open: AtomicBool,
}

impl Settings {
    /// What `dns` says.
    pub fn of(dns: &Dns) -> Self {
        Self {
            listen: Listeners {
                tls: dns.tls_listen.clone(),
                https: dns.https_listen.clone(),
                quic: dns.quic_listen.clone(),
            },
            files: Files { certificate: dns.certificate.clone(), key: dns.key.clone() },
        }
    }

    /// Whether any transport is wanted.
    pub fn is_wanted(&self) -> bool {
        let Listeners { tls, https, quic } = &self.listen;
        !(tls.is_empty() && https.is_empty() && quic.is_empty())
    }

    /// What keeps the doors closed, or soon will; for `--check`.
    pub fn warnings(&self) -> Vec<Diagnostic> {
        if !self.is_wanted() {
            return Vec::new();
        }
        let warning = |message: String, help: &str| Diagnostic {
            severity: Severity::Warning,
            place: None,
            key: "dns.certificate".to_owned(),
            message,
            help: Some(help.to_owned()),
        };
        match self.files.judge(clock::wall()) {
            Ok(facts) if facts.is_ending(clock::wall()) => vec![warning(
                format!(
                    "the certificate {} ends at {}",
                    self.files.certificate.display(),
                    humantime::format_rfc3339_seconds(facts.not_after)
                ),
                "farosctl ca renew dnsd",
            )],
            Ok(_) => Vec::new(),
            Err(TlsError::Missing(path)) => vec![warning(
                format!("DNS over TLS, HTTPS and QUIC are off: {} does not exist", path.display()),
                "farosctl ca issue dnsd; or tls-listen, https-listen and quic-listen = [] to do without",
            )],
            Err(error) => vec![warning(
                "DNS over TLS, HTTPS and QUIC are off: their certificate cannot serve".to_owned(),
                &error.to_string(),
            )],
        }
    }

    /// Takes the ports, while privileged. Where there is a certificate, a port that cannot be had is an error; where
    /// there is none, the daemon does without it until its next start.
    ///
    /// # Errors
    /// As [`Start::tcp`].
    pub fn bind(&self, start: &mut Start) -> Result<Doors, StartError> {
        let judged = self.files.judge(clock::wall());
        if let Err(error) = &judged
            && self.is_wanted()
        {
            warn!(
                event = "encrypted_transports_off",
                reason = error.name(),
                %error,
                "DNS over TLS, HTTPS and QUIC are off until there is a certificate"
            );
        }
        let serving = judged.is_ok();
        let doors = |addresses: &[SocketAddr], start: &mut Start| -> Result<Vec<Door>, StartError> {
            addresses.iter().filter_map(|&address| Door::bind(address, serving, start).transpose()).collect()
        };
        Ok(Doors {
            tls: doors(&self.listen.tls, start)?,
            https: doors(&self.listen.https, start)?,
            quic: self
                .listen
                .quic
                .iter()
                .filter_map(|&address| QuicDoor::bind(address, serving, start).transpose())
                .collect::<Result<_, _>>()?,
        })
    }
}

impl Encrypted {
    /// Puts them together; nothing is served before [`Encrypted::serve`].
    pub fn new(settings: &Settings, doors: Doors) -> Arc<Self> {
        Arc::new(Self {
            identity: Identity::new(settings.files.clone()),
            listen: settings.listen.clone(),
            doors: Mutex::new(Some(doors)),
            open: AtomicBool::new(false),
        })
    }

    /// Waits for a certificate, opens the doors, and serves until the daemon stops. `opened` is told where clients
    /// are served from then on.
    pub async fn serve(
        self: Arc<Self>,
        engine: Arc<Engine>,
        admission: Arc<Admission>,
        control: Control,
        opened: impl FnOnce(Listeners) + Send,
    ) {
        let following = tasks::spawn("certificate", Arc::clone(&self.identity).follow());
        tokio::select! {
            () = control.stopping() => {}
            () = self.identity.ready() => {
                let (listeners, listening) = self.open(&engine, &admission, &control);
                opened(listening);
                for listener in listeners {
                    let _ = listener.await;
                }
            }
        }
        following.abort();
    }

    /// Takes another site file over; the certificate is read again in any case.
    ///
    /// # Errors
    /// Where it wants other ports than those that were bound at the start.
    pub fn reload(&self, settings: &Settings) -> Result<(), String> {
        if settings.listen != self.listen {
            return Err("other addresses for DNS over TLS, HTTPS or QUIC need a restart: systemctl restart \
                        faros-dnsd"
                .to_owned());
        }
        self.identity.set_files(settings.files.clone());
        match self.identity.reload() {
            Ok(Reloaded::Same | Reloaded::Exchanged) => {}
            // It is in the log and in the status; what served goes on serving.
            Err(error) => info!(event = "certificate_kept", reason = error.name(), "the certificate stays"),
        }
        Ok(())
    }

    /// Whether clients are served.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// Its part of `GET /status`.
    pub fn status(&self) -> serde_json::Value {
        json!({
            "open": self.is_open(),
            "tls": self.listen.tls,
            "https": self.listen.https,
            "quic": self.listen.quic,
            "identity": self.identity.state(),
        })
    }

    /// Opens all doors: the tasks behind them, and where they are.
    fn open(
        &self,
        engine: &Arc<Engine>,
        admission: &Arc<Admission>,
        control: &Control,
    ) -> (Vec<tokio::task::JoinHandle<Option<()>>>, Listeners) {
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(doors) = doors else { return (Vec::new(), Listeners::default()) };
        let mut listening = Listeners::default();
        let mut listeners = Vec::new();
        let shared = tls::Shared {
            engine: Arc::clone(engine),
            admission: Arc::clone(admission),
            control: control.clone(),
        };
        let kinds = [
            (tls::Kind::Tls, doors.tls, &mut listening.tls),
            (tls::Kind::Https, doors.https, &mut listening.https),
        ];
        for (kind, doors, listening) in kinds {
            let config = Arc::new(self.identity.server_config(kind.alpn()));
            for door in doors {
                let Some((listener, address)) = door.open() else { continue };
                listening.push(address);
                let serving = tls::serve(listener, kind, Arc::clone(&config), shared.clone());
                listeners.push(tasks::spawn("encrypted listener", serving));
            }
        }
        if let Some(config) = quic::config(&self.identity) {
            for door in doors.quic {
                let Some((endpoint, address)) = door.open(config.clone()) else { continue };
                listening.quic.push(address);
                listeners.push(tasks::spawn("quic listener", quic::serve(endpoint, address, shared.clone())));
            }
        }
        self.open.store(true, Ordering::Relaxed);
        info!(
            event = "encrypted_transports_on",
            tls = listening.tls.len(),
            https = listening.https.len(),
            quic = listening.quic.len(),
            "encrypted questions are taken"
        );
        (listeners, listening)
    }
}
