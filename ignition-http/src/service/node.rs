//! What the operator sees of nodes, and does with them.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::clock;
use faros_common::events::{Event, rfc3339};
use faros_common::site::Diagnostic;
use hyper::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tracing::info;

use super::ignition::sha512;
use super::{Known, Service, blocking};
use crate::config::Config;
use crate::protocol::ignition::prepare;
use crate::protocol::journey::{Boot, Change, Journey, Step, UnixMillis};

impl Service {
    /// The verbs of `ignition-http` on the admin socket.
    pub async fn admin(self: &Arc<Self>, request: AdminRequest) -> Option<AdminResponse> {
        let get = request.method == Method::GET;
        let post = request.method == Method::POST;
        match request.segments().as_slice() {
            ["nodes"] if get => Some(AdminResponse::json(&json!({ "nodes": self.nodes() }))),
            ["nodes", name] if get => Some(self.node(name).await),
            ["nodes", name, "install"] if post => Some(self.arm(name).await),
            ["nodes", name, "disarm"] if post => Some(self.disarm(name).await),
            ["unknown"] if get => Some(AdminResponse::json(&json!({ "machines": self.unknown.list() }))),
            ["explain"] if get => Some(self.explain(&request).await),
            _ => None,
        }
    }

    /// Our part of the status.
    pub fn status(&self) -> Value {
        let config = self.config.load_full();
        json!({
            "listen": config.listen,
            "root": config.root,
            "url": config.base_url,
            "nodes": self.nodes(),
            "unknown": self.unknown.list(),
            "warnings": config.warnings().iter().map(warning).collect::<Vec<_>>(),
            "connections": self.counters.connections.get(),
            "transfers": self.buffers.transfers(),
            "journal": self.store.journal_status(),
            "journal_failure": self.store.failure(),
        })
    }

    fn nodes(&self) -> Vec<Value> {
        let config = self.config.load_full();
        (0..config.nodes.len()).map(|index| Value::Object(self.summary(&Known::at(&config, index)))).collect()
    }

    fn summary(&self, known: &Known<'_>) -> Map<String, Value> {
        let journey = self.store.journey(&known.machine.name);
        let mut summary = Map::new();
        let mut set = |key: &str, value: Value| summary.insert(key.to_owned(), value);
        set("name", known.machine.name.as_str().into());
        set("role", known.plan.role.into());
        set("macs", json!(known.machine.macs));
        set("addresses", json!(known.machine.addresses));
        let profile = known.plan.profile.as_ref();
        set("profile", profile.map(|profile| profile.profile.as_str()).into());
        set("ends_with", json!(profile.map(|profile| profile.plan.ending())));
        set("stage", journey.as_ref().map(|journey| journey.stage().name()).into());
        let boot = journey.as_ref().map(|journey| journey.boot(known.plan.plan()));
        let installs = boot == Some(Boot::Install);
        set("next_boot", if installs { "install" } else { "disk" }.into());
        if let Some(journey) = &journey {
            set("armed_by", if journey.stage().installs() { json!(journey.armed_by()) } else { Value::Null });
            set("held_because", journey.held_because().into());
            set("scripts", journey.scripts().into());
            set("times", times(journey));
        }
        summary
    }

    async fn node(self: &Arc<Self>, name: &str) -> AdminResponse {
        let config = self.config.load_full();
        let Some(known) = Known::by_name(&config, name) else { return no_such_node(&config, name) };
        let mut summary = self.summary(&known);
        let profile = known.plan.profile.as_ref();
        summary.insert("args".to_owned(), profile.map(|profile| profile.args.as_str()).into());
        let files = profile.map(|profile| profile.files.clone()).unwrap_or_default();
        let root = config.root.clone();
        let files = blocking(move || {
            let file = |path: &String| {
                let found = std::fs::metadata(root.join(path));
                let bytes = found.as_ref().ok().map(std::fs::Metadata::len);
                json!({ "path": path, "bytes": bytes, "error": found.err().map(|error| error.to_string()) })
            };
            files.iter().map(file).collect::<Vec<Value>>()
        });
        summary.insert("files".to_owned(), files.await.into());
        let path = profile.and_then(|profile| profile.seed.clone());
        if let Some(path) = path {
            let seed = match self.read_ignition(&config, &known).await {
                Ok(bytes) => {
                    let judged = prepare(&bytes, None);
                    json!({
                        "path": path,
                        "sha512": sha512(&bytes),
                        "version": judged.as_ref().ok().map(|prepared| prepared.version.clone()),
                        "error": judged.err().map(|error| error.to_string()),
                    })
                }
                Err(refused) => json!({ "path": path, "error": refused.text() }),
            };
            summary.insert("ignition".to_owned(), seed);
        }
        AdminResponse::json(&summary)
    }

    async fn arm(self: &Arc<Self>, name: &str) -> AdminResponse {
        let config = self.config.load_full();
        let Some(known) = Known::by_name(&config, name) else { return no_such_node(&config, name) };
        if known.plan.profile.is_none() {
            let message = format!("{} has no profile: give it one in the site file", known.machine.name);
            return AdminResponse::error(StatusCode::CONFLICT, &message);
        }
        self.store.claim(known.machine);
        self.change(&known, "node_armed", Journey::arm).await
    }

    async fn disarm(self: &Arc<Self>, name: &str) -> AdminResponse {
        let config = self.config.load_full();
        let Some(known) = Known::by_name(&config, name) else { return no_such_node(&config, name) };
        self.change(&known, "node_held", Journey::disarm).await
    }

    async fn change(
        &self,
        known: &Known<'_>,
        id: &'static str,
        change: impl FnOnce(&mut Journey, UnixMillis) -> Step<()>,
    ) -> AdminResponse {
        let previous = self.store.journey(&known.machine.name);
        let applied = match self.store.apply(known.machine, clock::wall(), change) {
            Ok(applied) => self.store.durable(applied.lsn).await.map(|()| applied),
            Err(error) => Err(error),
        };
        if let (Err(_), Some(previous)) = (&applied, previous) {
            // The operator is told that it failed: then it must not happen later either.
            let _ = self.store.apply(known.machine, clock::wall(), |journey, _| {
                *journey = previous;
                Step { answer: (), change: Change::Eventual, reached: None }
            });
        }
        match applied {
            Err(error) => AdminResponse::error(StatusCode::SERVICE_UNAVAILABLE, &error.to_string()),
            Ok(applied) => {
                let name = known.machine.name.as_str();
                if applied.before != applied.after || id == "node_armed" {
                    info!(event = id, node = name, "changed by the operator");
                    let event = Event::new(id).node(name).with("reason", "operator");
                    let event = event.with("before", applied.before.name());
                    self.events.emit(match known.machine.macs.first() {
                        Some(mac) => event.mac(*mac),
                        None => event,
                    });
                }
                AdminResponse::json(&self.summary(known))
            }
        }
    }
}

fn no_such_node(config: &Config, name: &str) -> AdminResponse {
    let names: Vec<&str> = config.nodes.iter().map(|node| node.name.as_str()).collect();
    let message = format!("there is no node {name}: the site file has {}", names.join(", "));
    AdminResponse::error(StatusCode::NOT_FOUND, &message)
}

fn times(journey: &Journey) -> Value {
    let time = |millis: UnixMillis| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
    let times = journey.times().iter().map(|(stage, at)| (stage.name().to_owned(), time(*at).into()));
    Value::Object(times.collect())
}

fn warning(found: &Diagnostic) -> Value {
    json!({ "key": found.key, "message": found.message, "help": found.help })
}
