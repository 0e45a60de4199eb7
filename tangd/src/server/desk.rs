//! The desk of the daemon: every request is judged, answered, told of and written down.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use faros_common::clock;
use faros_common::events::{Event, Events};

use super::connection::{Answer, BodyTooLarge, Desk, Peer};
use crate::audit::{Audit, Decision, Entry, KeyAge, Restraint};
use crate::config::Config;
use crate::keys::{KeyEntry, KeySet, Keys, KeysError};
use crate::metrics::{Answered, Counters};
use crate::policy::{self, Client, Moment, Policy, Verdict};
use crate::protocol::{self, NoRoute, Outcome, Reason, Recovery, Reply, Route, TARGET_BYTES_MAX};
use crate::seal::RETRY_AFTER_SECS;

/// The daemon's desk.
pub struct FrontDesk {
    config: ArcSwap<Config>,
    keys: Keys,
    policy: Policy,
    audit: Audit,
    events: Events,
    counters: Arc<Counters>,
    restraint: Mutex<Restraint>,
}

impl FrontDesk {
    /// A desk that answers with these keys.
    #[must_use]
    pub fn new(
        config: Config,
        keys: Keys,
        policy: Policy,
        audit: Audit,
        events: Events,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            config: ArcSwap::from_pointee(config),
            keys,
            policy,
            audit,
            events,
            counters,
            restraint: Mutex::default(),
        }
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Another configuration from now on.
    pub fn reload(&self, config: Config) {
        self.policy.reload(policy::Config::of(&config.site));
        self.config.store(Arc::new(config));
    }

    /// The keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The rules.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The log.
    pub fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The event stream.
    pub fn events(&self) -> &Events {
        &self.events
    }

    async fn recover(&self, peer: Peer, thumbprint: &str, body: Result<Bytes, BodyTooLarge>) -> Answer {
        let keys = match self.keys.current() {
            Ok(keys) => keys,
            Err(error) => return self.without_keys(peer, &error).await,
        };
        let prepared = match &body {
            Ok(body) => Recovery::prepare(thumbprint, body, &keys),
            Err(BodyTooLarge) => Err(Reason::BodyTooLarge),
        };
        let recovery = match prepared {
            Ok(recovery) => recovery,
            Err(reason) => return self.refuse(peer, Some(thumbprint), Some(&keys), reason).await,
        };
        let key = recovery.key();
        let client = self.policy.identify(peer.address).await;
        let verdict = self.policy.admit(&client, key.thumbprint(), Moment::now());
        if verdict.is_allowed() {
            self.exchange(&client, &recovery, &verdict).await
        } else {
            self.deny(&client, key, &verdict)
        }
    }

    /// The entry is handed over before the computation, so that it is mostly written by the time that is done. All that
    /// can be wrong with the request has been found.
    async fn exchange(&self, client: &Client, recovery: &Recovery<'_>, verdict: &Verdict) -> Answer {
        let key = recovery.key();
        let entry = Entry {
            status: Some(200),
            rule: Some(verdict.rule().name().to_owned()),
            ..self.entry(Decision::Recovered, client, Some(key))
        };
        let written = self.audit.record_first(entry);
        let reply = recovery.exchange();
        if !written.await {
            self.counters.audit_late.inc();
        }
        if let Outcome::Refused(reason) = reply.outcome {
            // Only a defect, or no memory.
            let entry = Entry {
                status: Some(reply.status),
                reason: Some(reason.name().to_owned()),
                ..self.entry(Decision::Refused, client, Some(key))
            };
            self.audit.record(entry);
            self.counters.refuse(reason.name());
        } else {
            let age = KeyAge::of(key.hidden);
            self.counters.recovered(client.node.as_deref(), age.name());
            let event = about(Event::new("tang_recovered"), client);
            self.events.emit(
                event
                    .with("thumbprint", key.thumbprint())
                    .with("key", age.name())
                    .with("rule", verdict.rule().name()),
            );
        }
        reply.into()
    }

    /// What policy refuses is told of each time up to the restraint on its address: a machine that is held asks again
    /// and again.
    fn deny(&self, client: &Client, key: &KeyEntry, verdict: &Verdict) -> Answer {
        let (rule, reason, status) = (verdict.rule().name(), verdict.reason(), verdict.status());
        let held = matches!(verdict, Verdict::Hold { .. });
        self.counters.refuse(rule);
        if let Some(suppressed) = self.may_tell(client.address) {
            let age = KeyAge::of(key.hidden);
            let event = if held { Event::new("tang_held") } else { Event::new("tang_refused") };
            let event = about(event, client)
                .with("thumbprint", key.thumbprint())
                .with("key", age.name())
                .with("status", status)
                .with("reason", reason)
                .with("rule", rule);
            self.events.emit(with_suppressed(event, suppressed));
            let decision = if held { Decision::Held } else { Decision::Refused };
            self.audit.record(Entry {
                status: Some(status),
                reason: Some(reason.to_owned()),
                rule: Some(rule.to_owned()),
                suppressed,
                ..self.entry(decision, client, Some(key))
            });
        }
        let reply = Reply { status, ..Reply::refused(Reason::System) };
        Answer { reply, retry_after: verdict.retry_after() }
    }

    async fn advertise(&self, peer: Peer, method: &str, target: &str, thumbprint: Option<&str>) -> Answer {
        let keys = match self.keys.current() {
            Ok(keys) => keys,
            Err(error) => return self.without_keys(peer, &error).await,
        };
        let reply = protocol::respond(method, target, &[], &keys);
        if let Outcome::Refused(reason) = reply.outcome {
            return self.refuse(peer, thumbprint, Some(&keys), reason).await;
        }
        if let Some(suppressed) = self.may_tell(peer.address) {
            let client = self.policy.identify(peer.address).await;
            let event = about(Event::new("tang_advertised"), &client);
            self.events.emit(with_suppressed(event.with_some("thumbprint", thumbprint), suppressed));
            self.audit.record(Entry {
                status: Some(reply.status),
                thumbprint: thumbprint.map(str::to_owned),
                suppressed,
                ..self.entry(Decision::Advertised, &client, None)
            });
        }
        reply.into()
    }

    async fn without_keys(&self, peer: Peer, error: &KeysError) -> Answer {
        let reason = match error {
            KeysError::Sealed => Reason::Sealed,
            _ => Reason::System,
        };
        tracing::warn!(event = "keys_unreadable", %error, "a request found no keys");
        self.refuse(peer, None, None, reason).await
    }

    /// A refusal for what the request itself is, whoever asks.
    async fn refuse(
        &self,
        peer: Peer,
        thumbprint: Option<&str>,
        keys: Option<&KeySet>,
        reason: Reason,
    ) -> Answer {
        self.counters.refuse(reason.name());
        if let Some(suppressed) = self.may_tell(peer.address) {
            let client = self.policy.identify(peer.address).await;
            let key = thumbprint.and_then(|thumbprint| keys?.find(thumbprint));
            let named = key.map(KeyEntry::thumbprint).or(thumbprint);
            let event = about(Event::new("tang_refused"), &client)
                .with_some("thumbprint", named)
                .with_some("key", key.map(|key| KeyAge::of(key.hidden).name()))
                .with("status", reason.status())
                .with("reason", reason.name());
            self.events.emit(with_suppressed(event, suppressed));
            self.audit.record(Entry {
                status: Some(reason.status()),
                thumbprint: named.map(|text| text.chars().take(THUMBPRINT_CHARS_MAX).collect()),
                reason: Some(reason.name().to_owned()),
                suppressed,
                ..self.entry(Decision::Refused, &client, key)
            });
        }
        let retry_after = (reason == Reason::Sealed).then_some(RETRY_AFTER_SECS);
        Answer { reply: Reply::refused(reason), retry_after }
    }

    /// Whether something that anybody can cause is told of now; then how many of its kind were not.
    fn may_tell(&self, address: std::net::IpAddr) -> Option<u64> {
        let told = self.restraint.lock().unwrap_or_else(PoisonError::into_inner).admit(address, clock::now());
        if told.is_none() {
            self.counters.suppressed.inc();
        }
        told
    }

    fn entry(&self, decision: Decision, client: &Client, key: Option<&KeyEntry>) -> Entry {
        Entry {
            address: Some(client.address),
            mac: client.mac,
            node: client.node.clone(),
            lease: client.lease.clone(),
            thumbprint: key.map(|key| key.thumbprint().to_owned()),
            key: key.map(|key| KeyAge::of(key.hidden)),
            ..Entry::new(clock::wall(), decision)
        }
    }
}

/// What was asked for by a name that no thumbprint can have is cut in the log.
const THUMBPRINT_CHARS_MAX: usize = 128;

impl Desk for FrontDesk {
    fn serves(&self, peer: Peer) -> bool {
        self.policy.serves(peer.address)
    }

    fn wants_body(&self, method: &str, target: &str) -> bool {
        target.len() < TARGET_BYTES_MAX && matches!(Route::of(method, target), Ok(Route::Recover(_)))
    }

    async fn answer(
        &self,
        peer: Peer,
        method: &str,
        target: &str,
        body: Result<Bytes, BodyTooLarge>,
    ) -> Answer {
        faros_common::fault::point("tangd.request");
        let (route, answer) = if target.len() >= TARGET_BYTES_MAX {
            ("none", self.refuse(peer, None, None, Reason::TargetTooLong).await)
        } else {
            match Route::of(method, target) {
                Ok(Route::Recover(thumbprint)) => ("rec", self.recover(peer, thumbprint, body).await),
                Ok(Route::Advertise) => ("adv", self.advertise(peer, method, target, None).await),
                Ok(Route::AdvertiseKey(thumbprint)) => {
                    ("adv", self.advertise(peer, method, target, Some(thumbprint)).await)
                }
                Err(NoRoute::Path) => ("none", self.refuse(peer, None, None, Reason::NoSuchPath).await),
                Err(NoRoute::Method) => {
                    ("none", self.refuse(peer, None, None, Reason::MethodNotAllowed).await)
                }
            }
        };
        self.counters.requests.get_or_create(&Answered { route, status: answer.reply.status }).inc();
        answer
    }
}

fn about(event: Event, client: &Client) -> Event {
    let event = match &client.node {
        Some(node) => event.node(node.clone()),
        None => event,
    };
    let event = match client.mac {
        Some(mac) => event.mac(mac),
        None => event,
    };
    event.address(client.address).with_some("lease", client.lease.clone())
}

fn with_suppressed(event: Event, suppressed: u64) -> Event {
    if suppressed > 0 { event.with("suppressed", suppressed) } else { event }
}

#[cfg(test)]
#[path = "desk_tests.rs"]
mod tests;
