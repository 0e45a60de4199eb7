//! The daemon's own verbs:
//!
//! | Verb | Answer |
//! |---|---|
//! | `GET /query?name=&type=[&client=][&dnssec=1]` | what a client gets, and where it comes from |
//! | `GET /zones`, `GET /zones/NAME` | the zones; one as a master file |
//! | `GET /cache[?name=]`, `POST /cache/flush[?name=][&below=1]` | the cache, or what it has under a name; emptying it |
//! | `GET /upstreams` | the servers that are asked, and how they are |
//! | `GET /queries[?client=][&name=][&limit=]` | the query log, newest first |
//! | `GET /explain?mac=&address=&node=&uuid=` | what a machine's own names are |

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::clock;
use faros_common::site::{Mac, Reservation, Site, pointer_owner};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::cache::Flush;
use crate::engine::{self, Client, Engine, RING_ENTRIES, Source, Transport};
use crate::forward::record::{Reply, Rr};
use crate::protocol::code::{class, kind, rcode};
use crate::protocol::message::HEADER_BYTES;
use crate::protocol::name::{LowerName, Name};
use crate::zone::{kind_of, mnemonic, render};

/// Entries of the query log shown unless the request says otherwise.
const QUERIES_SHOWN: usize = 200;
/// The size of replies that a query of ours accepts.
const EDNS_SIZE: u16 = 65_535;

/// Answers a verb; `None`: there is none of that name.
pub async fn answer(engine: &Arc<Engine>, site: &Site, request: &AdminRequest) -> Option<AdminResponse> {
    let answer = match (request.segments().as_slice(), &request.method) {
        (["query"], &Method::GET) => query(engine, request).await,
        (["zones"], &Method::GET) => Ok(AdminResponse::json(&engine.zones().list())),
        (["zones", name], &Method::GET) => zone(engine, name),
        (["cache"], &Method::GET) => cache(engine, request),
        (["cache", "flush"], &Method::POST) => flush(engine, request),
        (["upstreams"], &Method::GET) => Ok(AdminResponse::json(&engine.forwarder().status())),
        (["queries"], &Method::GET) => queries(engine, request),
        (["explain"], &Method::GET) => explain(engine, site, request).await,
        (["query" | "zones" | "cache" | "upstreams" | "queries" | "explain", ..], _) => {
            return Some(AdminResponse::error(
                StatusCode::METHOD_NOT_ALLOWED,
                "this verb takes another method: GET, or POST for cache/flush",
            ));
        }
        _ => return None,
    };
    Some(answer.unwrap_or_else(|message| AdminResponse::error(StatusCode::BAD_REQUEST, &message)))
}

/// A question that is put to the engine as a client would put it.
struct Question {
    name: Name,
    kind: u16,
    dnssec_ok: bool,
    client: Client,
}

/// What came of it.
struct Answer {
    reply: Option<Vec<u8>>,
    source: Source,
    micros: u128,
}

impl Question {
    fn new(name: Name, kind: u16) -> Self {
        Self { name, kind, dnssec_ok: false, client: Client::admin() }
    }

    fn read(request: &AdminRequest) -> Result<Self, String> {
        let mut question = Self::new(asked_name(request)?, kind::A);
        if let Some(text) = request.query("type") {
            question.kind =
                kind_of(text).ok_or(format!("{text} is no type of a record: try A, AAAA or PTR"))?;
        }
        question.dnssec_ok = request.query("dnssec").is_some_and(|value| value != "0");
        if let Some(address) = asked_address(request, "client")? {
            question.client =
                Client { address: (address, 0).into(), local: address, transport: Transport::Admin };
        }
        Ok(question)
    }

    fn to_wire(&self) -> Vec<u8> {
        let mut wire = vec![0, 0, 0x01, 0x20, 0, 1, 0, 0, 0, 0, 0, 1];
        wire.extend_from_slice(self.name.as_wire());
        wire.extend_from_slice(&self.kind.to_be_bytes());
        wire.extend_from_slice(&class::IN.to_be_bytes());
        wire.extend_from_slice(&[0, 0, kind::OPT as u8]);
        wire.extend_from_slice(&EDNS_SIZE.to_be_bytes());
        wire.extend_from_slice(&[0, 0, u8::from(self.dnssec_ok) << 7, 0, 0, 0]);
        wire
    }

    async fn ask(&self, engine: &Arc<Engine>) -> Answer {
        let started = clock::now();
        let (reply, source) = engine.answer_and_source(&self.to_wire(), &self.client).await;
        let micros = clock::now().saturating_duration_since(started).as_micros();
        let source = match source {
            Source::Zone => engine.zones().source_of(&self.name).unwrap_or(Source::Zone),
            other => other,
        };
        Answer { reply, source, micros }
    }
}

async fn query(engine: &Arc<Engine>, request: &AdminRequest) -> Result<AdminResponse, String> {
    let question = Question::read(request)?;
    let answer = question.ask(engine).await;
    let Some(message) = answer.reply else {
        return Err(format!("{} gets no answer; the log may say why", question.name));
    };
    let reply = Reply::read(&message).map_err(|_| "a defect of ours: the reply cannot be read".to_owned())?;
    let records = |records: &[Rr]| records.iter().map(record).collect::<Vec<Value>>();
    Ok(AdminResponse::json(&json!({
        "name": question.name.to_string(),
        "type": mnemonic(question.kind).to_string(),
        "client": question.client.address.ip(),
        "rcode": rcode::mnemonic(reply.rcode),
        "authoritative": reply.authoritative,
        "authentic": reply.authentic,
        "source": answer.source,
        "ede": extended_error(&message).map(|(code, text)| json!({ "code": code, "text": text })),
        "micros": u64::try_from(answer.micros).unwrap_or(u64::MAX),
        "bytes": message.len(),
        "answers": records(&reply.answers),
        "authorities": records(&reply.authorities),
    })))
}

fn record(record: &Rr) -> Value {
    json!({
        "name": record.owner.to_string(),
        "ttl": record.ttl,
        "type": mnemonic(record.kind).to_string(),
        "data": render::rdata(record.kind, &record.rdata),
    })
}

/// The extended error of a reply of ours, whose OPT is the last record.
fn extended_error(message: &[u8]) -> Option<(u16, String)> {
    let message = hickory_proto::op::Message::from_vec(message).ok()?;
    let options = message.edns.as_ref()?.options();
    let error = options.as_ref().iter().find_map(|(code, option)| match (u16::from(*code), option) {
        (crate::protocol::code::option::EXTENDED_ERROR, option) => Vec::try_from(option).ok(),
        _ => None,
    })?;
    let (code, text) = error.split_first_chunk::<2>()?;
    Some((u16::from_be_bytes(*code), String::from_utf8_lossy(text).into_owned()))
}

fn zone(engine: &Engine, name: &str) -> Result<AdminResponse, String> {
    let origin = Name::parse(name).map_err(|error| format!("{name}: {error}"))?;
    Ok(match engine.zones().master_file(&origin) {
        Some(text) => AdminResponse {
            status: StatusCode::OK,
            content_type: "text/plain; charset=utf-8",
            body: Bytes::from(text),
        },
        None => AdminResponse::error(
            StatusCode::NOT_FOUND,
            &format!("{origin} is no zone of this server; GET /zones lists them"),
        ),
    })
}

fn cache(engine: &Engine, request: &AdminRequest) -> Result<AdminResponse, String> {
    if request.query("name").is_none() {
        return Ok(AdminResponse::json(&engine.cache().stats()));
    }
    let name = asked_name(request)?;
    let entries = engine.cache().describe(&LowerName::of(name.as_wire()), engine::now());
    let entries: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let mut value = json!(entry);
            let kind = if entry.kind == 0 { "any".to_owned() } else { mnemonic(entry.kind).to_string() };
            value["type"] = kind.into();
            value["rcode"] = rcode::mnemonic(entry.rcode).into();
            value
        })
        .collect();
    Ok(AdminResponse::json(&json!({ "name": name.to_string(), "entries": entries })))
}

fn flush(engine: &Engine, request: &AdminRequest) -> Result<AdminResponse, String> {
    let below = request.query("below").is_some_and(|value| value != "0");
    let what = match request.query("name") {
        None => Flush::All,
        Some(_) if below => Flush::Subtree(asked_name(request)?),
        Some(_) => Flush::Name(asked_name(request)?),
    };
    Ok(AdminResponse::json(&json!({ "flushed": engine.cache().flush(&what) })))
}

fn queries(engine: &Engine, request: &AdminRequest) -> Result<AdminResponse, String> {
    let client = asked_address(request, "client")?;
    let name = request.query("name").map(|_| asked_name(request)).transpose()?;
    let limit = match request.query("limit") {
        Some(text) => text.parse().map_err(|_| format!("{text} is no number"))?,
        None => QUERIES_SHOWN,
    };
    let wanted = |entry: &engine::Entry| {
        client.is_none_or(|client| engine::is_from(entry, client))
            && name.as_ref().is_none_or(|name| engine::is_about(entry, name.as_wire()))
    };
    let entries = engine.latest(wanted, limit.min(RING_ENTRIES));
    Ok(AdminResponse::json(&json!({
        "enabled": engine.policy().query_log,
        "queries": entries.iter().map(engine::Entry::to_json).collect::<Vec<_>>(),
    })))
}

fn asked_name(request: &AdminRequest) -> Result<Name, String> {
    let text = request.query("name").ok_or("say which name: ?name=")?;
    Name::parse(text).map_err(|error| format!("{text}: {error}"))
}

fn asked_address(request: &AdminRequest, key: &str) -> Result<Option<IpAddr>, String> {
    request
        .query(key)
        .map(|text| text.parse().map_err(|_| format!("{text} is not an IP address")))
        .transpose()
}

/// Which names a machine has here, what is answered about them, and what it may ask.
async fn explain(engine: &Arc<Engine>, site: &Site, request: &AdminRequest) -> Result<AdminResponse, String> {
    let known = asked_machine(site, request)?;
    let leases = engine.zones().lease_names();
    let asked = asked_address(request, "address")?;
    let addresses: Vec<IpAddr> = match &known {
        Some(known) => {
            let reserved = known.address.map(IpAddr::V4).into_iter();
            reserved.chain(known.address6.map(IpAddr::V6)).chain(asked).collect()
        }
        None => asked.into_iter().collect(),
    };
    let mut because = Vec::new();
    let mut names: Vec<Name> = Vec::new();
    if let Some(known) = &known {
        because.push(format!("the site file knows it as {}", known.name));
        names.extend(Name::parse(&site.absolute(&known.name)).ok());
    }
    let leased = addresses.iter().find_map(|address| match address {
        IpAddr::V4(address) => leases.get(address),
        IpAddr::V6(_) => None,
    });
    if let Some(label) = leased {
        because.push(format!("its lease is known here under the name {label}"));
        names.extend(Name::parse(&site.absolute(label)).ok());
    }
    let mut would = Vec::new();
    for (name, kind) in names.iter().flat_map(|name| [(name, kind::A), (name, kind::AAAA)]) {
        would.extend(shown(engine, name, kind).await);
    }
    let mut seen = Vec::new();
    for address in addresses {
        if seen.contains(&address) {
            continue;
        }
        seen.push(address);
        if let Ok(owner) = Name::parse(&pointer_owner(address)) {
            would.extend(shown(engine, &owner, kind::PTR).await);
        }
        because.push(match engine.policy().access.is_of_site(address) {
            true => format!("{address} is of the site: it may have any name looked up, without limits"),
            false => format!("{address} is not of the site: it gets the site's own names only"),
        });
    }
    let rule = match (&known, leased) {
        (Some(_), _) => "site_file",
        (None, Some(_)) => "lease",
        (None, None) => "no_name",
    };
    let would = if would.is_empty() { "have no name here".to_owned() } else { would.join("\n") };
    Ok(AdminResponse::json(&json!({ "would": would, "rule": rule, "because": because })))
}

/// The records of `name`, a line each.
async fn shown(engine: &Arc<Engine>, name: &Name, kind: u16) -> Vec<String> {
    let answer = Question::new(name.clone(), kind).ask(engine).await;
    let reply = answer.reply.and_then(|message| Reply::read(&message).ok());
    let records = reply.into_iter().flat_map(|reply| reply.answers);
    records
        .map(|record| {
            let data = render::rdata(record.kind, &record.rdata);
            format!("be known as {} {} {data} ({})", record.owner, mnemonic(record.kind), answer.source)
        })
        .collect()
}

/// The machine of the site file that a request is about.
fn asked_machine(site: &Site, request: &AdminRequest) -> Result<Option<Reservation>, String> {
    let mut machines = site.reservations();
    let mut find = |is: &dyn Fn(&Reservation) -> bool| {
        machines.iter().position(is).map(|index| machines.swap_remove(index))
    };
    if let Some(name) = request.query("node") {
        let found = find(&|machine| machine.name == name || machine.node.as_deref() == Some(name));
        return found.map(Some).ok_or(format!("{name} is not in the site file"));
    }
    if let Some(text) = request.query("mac") {
        let mac: Mac = text.parse().map_err(|error| format!("{text}: {error}"))?;
        if let Some(found) = find(&|machine| machine.macs.contains(&mac)) {
            return Ok(Some(found));
        }
    }
    if let Some(text) = request.query("uuid") {
        let same = |known: &str| known.replace('-', "").eq_ignore_ascii_case(&text.replace('-', ""));
        if let Some(found) = find(&|machine| machine.uuid.as_deref().is_some_and(same)) {
            return Ok(Some(found));
        }
    }
    let Some(address) = asked_address(request, "address")? else {
        return match request.query("mac").or(request.query("uuid")) {
            Some(_) => Ok(None),
            None => Err("say who: ?mac=, ?address=, ?node= or ?uuid=".to_owned()),
        };
    };
    Ok(find(&|machine| {
        machine.address.map(IpAddr::V4) == Some(address) || machine.address6.map(IpAddr::V6) == Some(address)
    }))
}

const _: () = assert!(HEADER_BYTES == 12, "the questions above are written by hand");
