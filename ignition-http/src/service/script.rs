//! `/boot/ipxe` and `/boot/grub`: what a machine's loader shall do.

use std::sync::Arc;

use faros_common::clock;
use faros_common::events::Event;
use faros_common::site::Mac;
use hyper::StatusCode;
use tracing::{debug, info, warn};

use super::{Effect, Known, Peer, Reply, Service, plain};
use crate::config::{BootPlan, Config};
use crate::metrics::Action;
use crate::protocol::identity::{Claim, Identity, Uuid};
use crate::protocol::journey::{Boot, DiskReason, Journey, Stage};
use crate::protocol::script::{Install, Loader, Script, render};
use crate::protocol::target::Query;

/// What a machine is told, and why.
pub(super) struct Decision {
    pub(super) script: Script,
    /// `install`, `disk`, `wait` or `unknown`.
    pub(super) action: &'static str,
    pub(super) because: String,
}

impl Service {
    pub(super) async fn script(
        self: Arc<Self>,
        loader: Loader,
        query: &Query,
        peer: Peer,
        effect: Effect,
    ) -> Reply {
        let config = self.config.load_full();
        let card = self.card(peer.address).await;
        let claim = Claim {
            mac: query.value("mac").and_then(|mac| mac.parse().ok()),
            uuid: query.value("uuid").and_then(Uuid::parse),
            peer: peer.address,
            neighbour: card,
            local: peer.local,
        };
        let identity = config.roster.identify(claim);
        let preview = effect == Effect::None || peer.local;
        let decision = match (&identity, preview) {
            (Identity::Node { index, .. }, false) => self.boot(&config, *index, loader, peer, card).await,
            _ => self.decide(&config, &identity, claim),
        };
        if !preview {
            self.counters.scripts.get_or_create(&Action { action: decision.action }).inc();
            self.tell_stranger(&identity, &decision, peer, claim.mac.or(card));
        }
        let again = again(&config, loader, claim);
        plain(StatusCode::OK, &render(loader, &decision.script, &again))
    }

    /// What a machine would be told, changing nothing.
    pub(super) fn decide(&self, config: &Config, identity: &Identity, claim: Claim) -> Decision {
        match identity {
            Identity::Node { index, .. } => {
                let known = Known::at(config, *index);
                let journey = self.store.journey(&known.machine.name);
                let boot = match &journey {
                    Some(journey) => journey.boot(known.plan.plan()),
                    None => Boot::Disk(DiskReason::NoProfile),
                };
                self.decision(config, &known, boot, journey.as_ref())
            }
            Identity::Unknown { mac } => Decision {
                script: Script::Unknown { mac: *mac, address: claim.peer },
                action: "unknown",
                because: "no [[node]] of the site file has this card, UUID or address".to_owned(),
            },
            Identity::Conflict { because } => Decision {
                script: Script::Disk {
                    who: claim.mac.map_or_else(|| claim.peer.to_string(), |mac| mac.to_string()),
                    why: format!("who it is cannot be told: {because}"),
                },
                action: "disk",
                because: because.clone(),
            },
        }
    }

    /// Answers a node and moves it along its way.
    async fn boot(
        &self,
        config: &Config,
        index: usize,
        loader: Loader,
        peer: Peer,
        card: Option<Mac>,
    ) -> Decision {
        let known = Known::at(config, index);
        let plan = known.plan.plan();
        let name = &known.machine.name;
        self.saw(config, &known, peer);
        let applied =
            self.store.apply(known.machine, clock::wall(), |journey, now| journey.on_script(plan, now));
        let journey = self.store.journey(name);
        let decision = match &applied {
            Ok(applied) => self.decision(config, &known, applied.answer, journey.as_ref()),
            Err(error) => {
                // The end of the installation could not be written. The disk is right all the same: the
                // next request finds the node where it was and comes to the same end.
                warn!(event = "node_state_unwritten", node = %name, %error, "the state of a node was not written");
                let boot =
                    journey.as_ref().map_or(Boot::Disk(DiskReason::NoProfile), |journey| journey.boot(plan));
                self.decision(config, &known, boot, journey.as_ref())
            }
        };
        if let Ok(applied) = &applied {
            let was_to_install = applied.before.installs() && !applied.after.installs();
            let unrecorded_end = was_to_install && applied.after == Stage::Disk;
            if was_to_install && let Err(error) = self.store.durable(applied.lsn).await {
                warn!(event = "node_state_unwritten", node = %name, %error, "the state of a node is not on disk");
            }
            if unrecorded_end {
                info!(event = "node_installed", node = %name, "a machine asked for the network after its installation");
                let event = known.event("node_installed", peer, card);
                self.events.emit(event.with("reported", false));
            }
        }
        let id = if decision.action == "disk" { "node_disk" } else { "script_served" };
        let event = known.event(id, peer, card).with("action", decision.action).with("loader", loader.name());
        let event = event.with("because", decision.because.as_str());
        let profile = known.plan.profile.as_ref().map(|boot| boot.profile.as_str());
        self.emit_seldom(peer, &[id, decision.action, name], event.with_some("profile", profile));
        info!(event = id, node = %name, address = %peer.address, action = decision.action, "boot script served");
        decision
    }

    fn decision(
        &self,
        config: &Config,
        known: &Known<'_>,
        boot: Boot,
        journey: Option<&Journey>,
    ) -> Decision {
        let who = known.machine.name.clone();
        match (boot, &known.plan.profile) {
            (Boot::Install, Some(profile)) => match self.store.failure() {
                // Its Ignition would be refused for the same reason; better it waits here than there.
                Some(failure) => Decision {
                    script: Script::Wait { who, why: "the bastion cannot write to its disk".to_owned() },
                    action: "wait",
                    because: failure,
                },
                None => Decision {
                    script: Script::Install(install(config, known, profile)),
                    action: "install",
                    because: format!("it is at stage {}", stage(journey).name()),
                },
            },
            (Boot::Disk(reason), _) => {
                let why = match (reason, journey.and_then(Journey::held_because)) {
                    (DiskReason::Held, Some(because)) => format!("{} ({because})", reason.text()),
                    _ => reason.text().to_owned(),
                };
                Decision { script: Script::Disk { who, why: why.clone() }, action: "disk", because: why }
            }
            (Boot::Install, None) => {
                let why = DiskReason::NoProfile.text().to_owned();
                Decision { script: Script::Disk { who, why: why.clone() }, action: "disk", because: why }
            }
        }
    }

    /// Leaves a trace of a machine that got its disk because nobody knows it.
    fn tell_stranger(&self, identity: &Identity, decision: &Decision, peer: Peer, card: Option<Mac>) {
        let with_card = |event: Event| match card {
            Some(mac) => event.mac(mac),
            None => event,
        };
        match identity {
            Identity::Node { .. } => {}
            Identity::Unknown { .. } => {
                debug!(event = "machine_unknown", address = %peer.address, "an unknown machine asked for a script");
                if self.unknown.add(card, peer.address, clock::wall()) {
                    let event = Event::new("machine_unknown").address(peer.address);
                    self.events.emit(with_card(event).with("reason", decision.because.as_str()));
                }
            }
            Identity::Conflict { because } => {
                self.counters.refuse("identity_conflict");
                debug!(event = "identity_conflict", address = %peer.address, %because, "a machine contradicts itself");
                let event = Event::new("identity_conflict").address(peer.address);
                let event = with_card(event).with("reason", because.as_str());
                self.emit_seldom(peer, &["identity_conflict", because], event);
            }
        }
    }
}

fn stage(journey: Option<&Journey>) -> Stage {
    journey.map_or(Stage::Held, Journey::stage)
}

fn install(config: &Config, known: &Known<'_>, profile: &BootPlan) -> Install {
    let (kernel, initrds) = profile
        .files
        .split_first()
        .map_or((String::new(), Vec::new()), |(kernel, initrds)| (kernel.clone(), initrds.to_vec()));
    Install {
        node: known.machine.name.clone(),
        profile: profile.profile.clone(),
        http: config.base_url.clone(),
        tftp: config.tftp,
        kernel,
        initrds,
        args: profile.args.clone(),
    }
}

/// The URL under which the same machine asks again: what it said, as far as it could be read.
pub fn again(config: &Config, loader: Loader, claim: Claim) -> String {
    let mac = claim.mac.map(|mac| format!("mac={}", mac.hyphenated()));
    let uuid = claim.uuid.map(|uuid| format!("uuid={uuid}"));
    let pairs: Vec<String> = mac.into_iter().chain(uuid).collect();
    let query = if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) };
    format!("{}/boot/{}{query}", config.base_url, loader.name())
}
