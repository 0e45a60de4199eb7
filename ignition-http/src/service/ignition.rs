//! `/ignition/NODE`: a node's Ignition, to that node alone and only while it is armed.
//!
//! Ignition gives up at 404 and every other 4xx, and tries again at 5xx: so what will never be is 4xx, and
//! whatever somebody can still put right is 503.

use std::io::Read;
use std::sync::Arc;

use faros_common::clock;
use faros_common::site::Mac;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderValue, VARY};
use hyper::{Method, Request, StatusCode};
use sha2::{Digest, Sha512};
use tracing::{debug, error, info, warn};

use super::file::READABLE;
use super::{Known, Peer, Reply, Service, blocking, plain, retry_later, with};
use crate::body::{OnEnd, ReplyBody};
use crate::config::Config;
use crate::files::{OpenError, open_seed};
use crate::protocol::identity::{SeedDenied, may_have_seed};
use crate::protocol::ignition::{CONFIG_BYTES_MAX, MEDIA_TYPE, Prepared, accepted_version, prepare};
use crate::protocol::journey::Seed;

/// Why a node does not get its Ignition.
pub(super) enum Refused {
    /// There is no such node, or its profile has no Ignition for its role.
    Never(&'static str),
    /// Somebody else asks.
    Denied(SeedDenied),
    /// The bastion itself asks.
    Local,
    /// The node is not armed.
    Held,
    /// The node is installed.
    Gone,
    /// The file is not there, or not right, yet.
    Unready(String),
    /// The journal cannot be written.
    Unwritten(String),
}

impl Refused {
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Never(_) => "no_ignition",
            Self::Denied(denied) => denied.reason(),
            Self::Local => "bastion_itself",
            Self::Held => "not_armed",
            Self::Gone => "installed",
            Self::Unready(_) => "file_unready",
            Self::Unwritten(_) => "state_unwritten",
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Never(what) => (*what).to_owned(),
            Self::Denied(denied) => denied.text(),
            Self::Local => "this bastion is not that node".to_owned(),
            Self::Held => "the node is not armed for installation".to_owned(),
            Self::Gone => "the node is installed; arm it to install it again".to_owned(),
            Self::Unready(what) => format!("its Ignition file is not ready: {what}"),
            Self::Unwritten(error) => format!("that it was served cannot be recorded: {error}"),
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Never(_) => StatusCode::NOT_FOUND,
            Self::Denied(SeedDenied::Undecided) | Self::Unready(_) | Self::Unwritten(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Denied(_) | Self::Local | Self::Held => StatusCode::FORBIDDEN,
            Self::Gone => StatusCode::GONE,
        }
    }
}

impl Service {
    pub(super) async fn ignition(
        self: Arc<Self>,
        name: &str,
        request: &Request<Incoming>,
        peer: Peer,
    ) -> Reply {
        let config = self.config.load_full();
        let card = self.card(peer.address).await;
        let Some(known) = Known::by_name(&config, name) else {
            let refused = Refused::Never("there is no such node");
            return self.refuse_ignition(None, name, &refused, peer, card);
        };
        if let Err(refused) = self.may_have_ignition(&config, &known, peer, card).await {
            return self.refuse_ignition(Some(&known), name, &refused, peer, card);
        }
        let accepted =
            request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).and_then(accepted_version);
        let (file, prepared) = match self.read_ignition(&config, &known).await.and_then(|file| {
            let prepared = prepare(&file, accepted).map_err(|error| Refused::Unready(error.to_string()))?;
            Ok((file, prepared))
        }) {
            Ok(read) => read,
            Err(refused) => return self.refuse_ignition(Some(&known), name, &refused, peer, card),
        };
        if prepared.too_new {
            warn!(event = "ignition_too_new", node = %known.machine.name, version = %prepared.version,
                "the Ignition file needs a newer Ignition than the client is");
            let event =
                known.event("ignition_too_new", peer, card).with("version", prepared.version.as_str());
            self.events.emit(event.with_some("accepted", accepted.map(|version| version.to_string())));
        }
        let Prepared { rewritten, version, .. } = prepared;
        let bytes = rewritten.unwrap_or(file);
        let (sha512, length) = (sha512(&bytes), bytes.len());
        let mut body = ReplyBody::text(bytes);
        if request.method() == Method::GET {
            let plan = known.plan.plan();
            let applied =
                self.store.apply(known.machine, clock::wall(), |journey, now| journey.on_seed(plan, now));
            let applied = match applied {
                Ok(applied) => self.store.durable(applied.lsn).await.map(|()| applied),
                Err(error) => Err(error),
            };
            let arming = match applied.map(|applied| applied.answer) {
                Ok(Seed::Serve(arming)) => arming,
                Ok(Seed::Gone) => {
                    return self.refuse_ignition(Some(&known), name, &Refused::Gone, peer, card);
                }
                Ok(Seed::Held) => {
                    return self.refuse_ignition(Some(&known), name, &Refused::Held, peer, card);
                }
                Err(error) => {
                    error!(event = "node_state_unwritten", node = %known.machine.name, %error,
                        "an Ignition is not served because that cannot be recorded");
                    self.undo_seed(&known);
                    let refused = Refused::Unwritten(error.to_string());
                    return self.refuse_ignition(Some(&known), name, &refused, peer, card);
                }
            };
            let event =
                known.event("ignition_served", peer, card).with("bytes", length).with("sha512", sha512);
            let event = event.with("version", version.as_str());
            let (service, machine) = (Arc::clone(&self), known.machine.clone());
            let on_end: OnEnd = Box::new(move |how| match how {
                Ok(()) => {
                    let _ = service
                        .store
                        .apply(&machine, clock::wall(), |journey, _| journey.on_seed_sent(arming));
                    service.counters.sent_bytes.inc_by(length as u64);
                    info!(event = "ignition_served", node = %machine.name, address = %peer.address, "Ignition served");
                    service.events.emit(event);
                }
                Err(error) => {
                    let _ = service
                        .store
                        .apply(&machine, clock::wall(), |journey, _| journey.on_seed_lost(arming));
                    debug!(event = "ignition_lost", node = %machine.name, %error, "an Ignition did not leave");
                }
            });
            body = body.on_end(on_end);
        }
        let media_type = format!("{MEDIA_TYPE}; version={version}");
        let mut reply = plain(StatusCode::OK, "");
        *reply.body_mut() = body;
        let reply = with(reply, VARY, HeaderValue::from_static("accept"));
        match HeaderValue::from_str(&media_type) {
            Ok(value) => with(reply, CONTENT_TYPE, value),
            Err(_) => with(reply, CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE)),
        }
    }

    /// Whether the node at `peer` gets its Ignition now, changing nothing.
    pub(super) async fn may_have_ignition(
        &self,
        config: &Config,
        known: &Known<'_>,
        peer: Peer,
        card: Option<Mac>,
    ) -> Result<(), Refused> {
        if peer.local {
            return Err(Refused::Local);
        }
        let lease = self.lease(config, known, peer, card).await;
        may_have_seed(known.machine, peer.address, card, &lease).map_err(Refused::Denied)?;
        if known.plan.profile.as_ref().is_none_or(|profile| profile.seed.is_none()) {
            return Err(Refused::Never("the node's profile has no Ignition for its role"));
        }
        match self.store.journey(&known.machine.name).map(|journey| journey.seed()) {
            Some(Seed::Serve(_)) => Ok(()),
            Some(Seed::Gone) => Err(Refused::Gone),
            Some(Seed::Held) | None => Err(Refused::Held),
        }
    }

    /// The node's Ignition file.
    pub(super) async fn read_ignition(&self, config: &Config, known: &Known<'_>) -> Result<Vec<u8>, Refused> {
        let Some(path) = known.plan.profile.as_ref().and_then(|profile| profile.seed.clone()) else {
            return Err(Refused::Never("the node's profile has no Ignition for its role"));
        };
        let root = config.root.clone();
        blocking(move || {
            let unready = |what: String| Refused::Unready(format!("{path}: {what}"));
            let opened = open_seed(&root, &path).map_err(|error| {
                unready(match error {
                    OpenError::Missing => "there is no such file below the boot root".to_owned(),
                    OpenError::Denied | OpenError::Seed => {
                        format!("not readable for this service's user: {READABLE}")
                    }
                    OpenError::System(error) => error.to_string(),
                })
            })?;
            if opened.version.length > CONFIG_BYTES_MAX {
                return Err(unready(format!("larger than {CONFIG_BYTES_MAX} bytes")));
            }
            let mut bytes = Vec::with_capacity(opened.version.length as usize);
            let mut file = opened.file.take(CONFIG_BYTES_MAX);
            file.read_to_end(&mut bytes).map_err(|error| unready(error.to_string()))?;
            Ok(bytes)
        })
        .await
    }

    /// The file was not sent: the node is where it was, unless it may have got it before.
    fn undo_seed(&self, known: &Known<'_>) {
        if let Some(Seed::Serve(arming)) =
            self.store.journey(&known.machine.name).map(|journey| journey.seed())
        {
            let _ = self.store.apply(known.machine, clock::wall(), |journey, _| journey.on_seed_lost(arming));
        }
    }

    fn refuse_ignition(
        &self,
        known: Option<&Known<'_>>,
        name: &str,
        refused: &Refused,
        peer: Peer,
        card: Option<Mac>,
    ) -> Reply {
        let (reason, text) = (refused.reason(), refused.text());
        self.counters.refuse(reason);
        match refused {
            Refused::Unready(_) | Refused::Unwritten(_) => {
                warn!(event = "ignition_refused", node = name, address = %peer.address, reason, %text, "Ignition not served");
            }
            _ => {
                debug!(event = "ignition_refused", node = name, address = %peer.address, reason, %text, "Ignition refused");
            }
        }
        // A name that a stranger made up is no node's timeline.
        if let Some(known) = known {
            // The card that asked, also where it is not the node's.
            let event = known.event("ignition_refused", peer, card);
            let event = event.with("reason", reason).with("detail", text.as_str());
            self.emit_seldom(peer, &["ignition_refused", &known.machine.name, reason], event);
        }
        match refused.status() {
            StatusCode::SERVICE_UNAVAILABLE => retry_later(&format!("{text}\n")),
            status => plain(status, &format!("{text}\n")),
        }
    }
}

/// The hash as Ignition's `verification.hash` writes it, without the `sha512-` before it.
pub(super) fn sha512(bytes: &[u8]) -> String {
    Sha512::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
