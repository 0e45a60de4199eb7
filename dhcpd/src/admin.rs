//! Every admin verb: `GET /leases[/ADDRESS]`, `POST /leases/ADDRESS/release`, `GET /explain`, and our part of
//! `GET /status`.

use std::net::Ipv4Addr;
use std::time::Duration;

use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::clock;
use faros_common::events::rfc3339;
use faros_common::site::Mac;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::code;
use crate::config::Config;
use crate::engine::Engine;
use crate::protocol::answer;
use crate::protocol::identity::Who;
use crate::protocol::leases::{Client, Lease, State};
use crate::protocol::machine::Storage;
use crate::protocol::message::Hardware;
use crate::protocol::options::Options;
use crate::protocol::request::Request;
use crate::protocol::time::Time;
use crate::uuid::Uuid;

/// Our part of `GET /status`.
pub(crate) fn status(engine: &Engine, now: Time) -> Value {
    let config = engine.machine.config();
    let usage = engine.machine.leases().usage();
    let unanswered: Vec<Value> = engine
        .unanswered
        .latest()
        .iter()
        .take(32)
        .map(|entry| {
            json!({
                "hardware": entry.hardware.map(|hardware| hardware.to_string()),
                "reason": entry.reason.name(),
                "explanation": entry.reason.explanation(),
                "count": entry.count,
                "last": wall(entry.last, now),
            })
        })
        .collect();
    json!({
        "interface": config.interface,
        "link": engine.link.map_or("missing", |link| if link.up { "up" } else { "down" }),
        "server": config.server,
        "pool": {
            "range": config.pool,
            "size": usage.size,
            "active": usage.active,
            "offered": usage.offered,
            "quarantined": usage.quarantined,
            "free": usage.free(),
            "probed": engine.machine.leases().probed_count(),
        },
        "reservations": config.known.len(),
        "leases": engine.machine.leases().iter().len(),
        "replies_held": engine.held_count(),
        "storage": if engine.machine.storage() == Storage::Healthy { "healthy" } else { "failed" },
        "journal": engine.group.status(),
        "router_advertisements": config.advertisement.is_some(),
        "unanswered": unanswered,
    })
}

/// Our verbs; `None`: there is none of that name.
pub(crate) fn handle(engine: &mut Engine, request: &AdminRequest, now: Time) -> Option<AdminResponse> {
    let not_allowed =
        || AdminResponse::error(StatusCode::METHOD_NOT_ALLOWED, "this verb takes another method");
    let answer = match (request.segments().as_slice(), &request.method) {
        (["leases"], &Method::GET) => leases(engine, now),
        (["leases", address], &Method::GET) => match address.parse() {
            Ok(address) => lease(engine, address, now),
            Err(_) => bad(&format!("{address} is not an IPv4 address")),
        },
        (["leases", address, "release"], &Method::POST) => match address.parse() {
            Ok(address) if engine.release(address, now) => {
                AdminResponse::json(&json!({ "released": address }))
            }
            Ok(address) => AdminResponse::error(StatusCode::NOT_FOUND, &format!("{address} has no lease")),
            Err(_) => bad(&format!("{address} is not an IPv4 address")),
        },
        (["explain"], &Method::GET) => explain(engine, request, now),
        (["leases", ..] | ["explain"], _) => not_allowed(),
        _ => return None,
    };
    Some(answer)
}

fn bad(message: &str) -> AdminResponse {
    AdminResponse::error(StatusCode::BAD_REQUEST, message)
}

fn leases(engine: &Engine, now: Time) -> AdminResponse {
    let mut leases: Vec<&Lease> = engine.machine.leases().iter().collect();
    leases.sort_by_key(|lease| lease.address);
    let config = engine.machine.config();
    let leases: Vec<Value> = leases.into_iter().map(|lease| describe(lease, config, now)).collect();
    AdminResponse::json(&json!({ "leases": leases }))
}

fn lease(engine: &Engine, address: Ipv4Addr, now: Time) -> AdminResponse {
    match engine.machine.leases().at(address) {
        Some(lease) => AdminResponse::json(&describe(lease, engine.machine.config(), now)),
        None => AdminResponse::error(StatusCode::NOT_FOUND, &format!("{address} has no lease")),
    }
}

/// A lease as JSON. `name` is what the site file calls the client, `host_name` what it calls itself.
fn describe(lease: &Lease, config: &Config, now: Time) -> Value {
    let who = Who::of_client(lease.client.clone(), config);
    let state = match lease.state {
        State::Offered => "offered",
        State::Active if lease.is_live(now) => "active",
        State::Active | State::Ended => "ended",
        State::Quarantined => "quarantined",
    };
    json!({
        "address": lease.address,
        "state": state,
        "mac": lease.client.hardware.mac(),
        "hardware": lease.client.hardware.to_string(),
        "uuid": lease.client.uuid.map(|uuid| uuid.to_string()),
        "client_id": lease.client.client_id.as_deref().map(hex),
        "name": who.name(),
        "node": who.known.filter(|known| known.kind == faros_common::site::OwnerKind::Node).map(|known| &known.name),
        "host_name": lease.host_name,
        "reserved": config.reserved_for(lease.address).is_some(),
        "since": wall(lease.since, now),
        "heard": wall(lease.heard, now),
        "until": wall(lease.until, now),
        "secs_left": lease.until.since(now).as_secs(),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A moment of the lease clock as wall time, as far as the wall clock can be believed now.
fn wall(time: Time, now: Time) -> Option<String> {
    let wall = clock::wall();
    let (ahead, ago) = (time.since(now), now.since(time));
    let longest = Duration::from_secs(200 * 365 * 24 * 3600);
    let moment = if ahead.is_zero() { wall.checked_sub(ago) } else { wall.checked_add(ahead.min(longest)) };
    moment.filter(|moment| *moment >= std::time::UNIX_EPOCH).map(rfc3339)
}

/// What a client would be answered and which rule decides: the machine's own decisions, without consequences.
fn explain(engine: &Engine, request: &AdminRequest, now: Time) -> AdminResponse {
    let config = engine.machine.config();
    let client = match asked_client(engine, request) {
        Ok(client) => client,
        Err(message) => return bad(&message),
    };
    let mut area = Vec::new();
    if let Some(uuid) = client.uuid {
        area.extend([code::CLIENT_MACHINE_ID, 17, 0]);
        area.extend(uuid.0);
    }
    if let Some(text) = request.query("arch") {
        match text {
            "ipxe" => area.extend([code::USER_CLASS, 4, b'i', b'P', b'X', b'E']),
            _ => {
                let Ok(architecture) = text.parse::<u16>() else {
                    return bad("arch is a number of option 93 (0 BIOS, 7 UEFI, 16 UEFI HTTP …) or ipxe");
                };
                let http = matches!(architecture, 15..=20 | 26 | 28 | 30);
                let class: &[u8] = if http { b"HTTPClient" } else { b"PXEClient" };
                area.extend([code::VENDOR_CLASS, class.len() as u8]);
                area.extend(class);
                area.extend([code::CLIENT_ARCHITECTURE, 2]);
                area.extend(architecture.to_be_bytes());
            }
        }
    }
    let Ok(options) = Options::frame(&area, &[], &[]) else { return bad("cannot be asked for") };
    let imagined = Request::imagined(client.hardware, options);
    let who = Who::of_client(client, config);
    let mut because = vec![who.because.clone()];
    if let Some(entry) = engine.unanswered.of(who.client.hardware) {
        because.push(format!("its last message got no answer: {}", entry.reason.explanation()));
    }
    if engine.machine.storage() == Storage::Failed {
        because
            .push("leases cannot be written to disk: only renewals and reservations are answered".to_owned());
    }
    if engine.link.is_none_or(|link| !link.up) {
        because.push(format!("the LAN interface {} is not up: nothing arrives", config.interface));
    }
    if who.client.hardware.mac().is_some_and(|mac| config.ignore.contains(&mac)) {
        return AdminResponse::json(&json!({
            "would": "get no answer", "rule": "dhcp.ignore", "because": because,
        }));
    }
    let boot = engine.machine.boot(&imagined, &who, now);
    let view = engine.machine.view(now);
    let current = who.lease(view.leases, view.config, view.moves, now);
    if let Some((lease, how)) = current {
        let live = if lease.is_live(now) { "it has" } else { "it had last" };
        because.push(format!("{live} {}, found {how}", lease.address));
    }
    because.push(boot.rule.clone());
    match view.propose(&who, None) {
        Ok(proposal) => {
            let secs = answer::lease_secs(config, None);
            let file =
                boot.file.as_deref().map_or("no boot file".to_owned(), |file| format!("boot file {file}"));
            AdminResponse::json(&json!({
                "would": format!("be offered {} for {secs} s, with {file}", proposal.address),
                "rule": proposal.rule,
                "because": because,
                "address": proposal.address,
                "reserved": proposal.reserved,
                "lease_secs": secs,
                "name": who.name(),
                "boot_file": boot.file,
                "boot_server": boot.server,
                "lease": current.map(|(lease, _)| describe(lease, config, now)),
            }))
        }
        Err(reason) => {
            because.push(reason.explanation().to_owned());
            AdminResponse::json(
                &json!({ "would": "get no answer", "rule": reason.name(), "because": because }),
            )
        }
    }
}

/// The client that a query is about.
fn asked_client(engine: &Engine, request: &AdminRequest) -> Result<Client, String> {
    let config = engine.machine.config();
    let uuid = match request.query("uuid") {
        Some(text) => Some(Uuid::parse(text).ok_or(format!("{text} is not a UUID"))?),
        None => None,
    };
    let of_known = |known: &crate::config::Known| {
        known.macs.first().map(|&mac| Hardware::ethernet(mac)).unwrap_or(Hardware::new(32, &[]))
    };
    let client = |hardware, uuid| Client { hardware, uuid, client_id: None };
    if let Some(text) = request.query("mac") {
        let mac: Mac = text.parse().map_err(|error| format!("{text}: {error}"))?;
        return Ok(client(Hardware::ethernet(mac), uuid));
    }
    if let Some(name) = request.query("node") {
        let known = config.known_by_name(name).ok_or(format!("{name} is not in the site file"))?;
        return Ok(client(of_known(known), uuid.or(known.uuid)));
    }
    if let Some(text) = request.query("address") {
        let address: Ipv4Addr = text.parse().map_err(|_| format!("{text} is not an IPv4 address"))?;
        if let Some(lease) = engine.machine.leases().at(address) {
            return Ok(Client { uuid: uuid.or(lease.client.uuid), ..lease.client.clone() });
        }
        let known =
            config.reserved_for(address).ok_or(format!("{address} is neither leased nor reserved"))?;
        return Ok(client(of_known(known), uuid.or(known.uuid)));
    }
    match uuid {
        Some(found) => {
            let hardware = config
                .known_by_uuid(found)
                .map(of_known)
                .or(engine.machine.leases().of_uuid(found).map(|lease| lease.client.hardware))
                .unwrap_or(Hardware::new(32, &[]));
            Ok(client(hardware, uuid))
        }
        None => Err("say who: ?mac=, ?address=, ?node= or ?uuid=, and optionally &arch=".to_owned()),
    }
}
