//! What clients get, without sockets.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use faros_common::events::Events;
use faros_common::metrics::Metrics;
use faros_common::site;
use hickory_proto::op::{Message, ResponseCode};

use super::{Client, Decision, DropReason, Engine, Limits, Parts, Session, Source, Transport, now};
use crate::cache::{Cache, Key};
use crate::config::Config;
use crate::forward::{self, Forwarder, Inside, Trust};
use crate::metrics::Counters;
use crate::protocol::body::{Builder, Section};
use crate::protocol::code::{class, ede, kind, opcode, rcode};
use crate::protocol::cookie::Cookies;
use crate::protocol::message::Malformed;
use crate::protocol::name::{LowerName, Name};
use crate::protocol::rate::{self, RateLimiter};
use crate::site_zones::Zones;
use crate::update::{Keys, Updater};

pub(crate) const SITE: &str = r#"
version = 1
[cluster]
name = "edge"
domain = "example.com"
kind = "openshift"
[lan]
interface = "lan0"
address = "192.168.8.1/24"
vip = "192.168.8.2"
[dns]
query-log = true
[[dns.record]]
name = "alias"
type = "CNAME"
value = "www.elsewhere.net."
[[dns.record]]
name = "sub"
type = "NS"
value = "ns.sub"
[[dns.record]]
name = "ns.sub"
type = "A"
value = "192.168.8.66"
[[dns.record]]
name = "below"
type = "CNAME"
value = "www.sub"
[[node]]
name = "cp1"
role = "control-plane"
mac = "52:54:00:00:08:11"
address = "192.168.8.11"
"#;

/// An engine without upstream servers, and its metrics. To be made within a runtime.
pub(crate) fn engine() -> (Arc<Engine>, Metrics) {
    let loaded = site::parse(SITE, Path::new("site.toml"));
    let site = loaded.unwrap_or_else(|report| panic!("{report}")).site;
    let config = Config::of_site(&site).unwrap();
    let metrics = Metrics::new("dnsd");
    let zones = Arc::new(Zones::in_memory(config.zones.clone()).unwrap());
    let cache = Arc::new(Cache::new(1 << 20, 7));
    let events = Events::new("dnsd");
    let forwarder = Forwarder::new(forward::Parts {
        config: config.forward.clone(),
        trust: Trust::of_roots(rustls::RootCertStore::empty()),
        counters: forward::Counters::default(),
        surroundings: Arc::new(Inside { zones: Arc::clone(&zones), cache: Arc::clone(&cache), now }),
        events: events.clone(),
    });
    let engine = Engine::new(Parts {
        policy: config.policy(),
        updater: Arc::new(Updater::start(Arc::clone(&zones), Keys::default(), None, events)),
        zones,
        cache,
        forwarder,
        limits: Limits::new(Cookies::new([7; 16], None), RateLimiter::new(rate::Limits::default(), 1024, 7)),
        counters: Counters::new(&metrics),
    });
    (engine, metrics)
}

fn client(address: &str, transport: Transport) -> Client {
    let address = SocketAddr::new(address.parse().unwrap(), 4242);
    Client { address, local: IpAddr::from([192, 168, 8, 1]), transport }
}

fn node() -> Client {
    client("192.168.8.77", Transport::Udp)
}

fn stranger() -> Client {
    client("198.51.100.9", Transport::Udp)
}

/// A query with RD and, where given, an OPT record with these options.
pub(crate) fn query(name: &str, kind: u16, edns: Option<&[u8]>) -> Vec<u8> {
    let mut wire = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())];
    wire.extend_from_slice(Name::parse(name).unwrap().as_wire());
    wire.extend_from_slice(&kind.to_be_bytes());
    wire.extend_from_slice(&class::IN.to_be_bytes());
    if let Some(options) = edns {
        wire.extend_from_slice(&[0, 0, 41, 0xff, 0xff, 0, 0, 0, 0, 0, options.len() as u8]);
        wire.extend_from_slice(options);
    }
    wire
}

/// The decision, and the reply if there is one.
fn decide(engine: &Arc<Engine>, request: &[u8], client: &Client) -> (Decision, Vec<u8>) {
    let mut out = vec![0; 4096];
    let decision = engine.view().decide(request, client, engine.shared_ledger(), &mut out);
    out.truncate(if let Decision::Reply(len) = decision { len } else { 0 });
    (decision, out)
}

fn reply(engine: &Arc<Engine>, request: &[u8], client: &Client) -> Message {
    let (decision, reply) = decide(engine, request, client);
    Message::from_vec(&reply).unwrap_or_else(|error| panic!("{decision:?}: {error}"))
}

/// The info code of the extended error, which stands in front of its text.
fn ede_of(reply: &[u8], text: &str) -> Option<u16> {
    let at = reply.windows(text.len()).position(|window| window == text.as_bytes())?;
    Some(u16::from_be_bytes(reply[at - 2..at].try_into().ok()?))
}

#[tokio::test]
async fn own_names_are_answered_with_authority_for_everybody() {
    let (engine, _) = engine();
    for (who, recursion) in [(node(), true), (stranger(), false)] {
        let message = reply(&engine, &query("CP1.edge.example.com.", kind::A, None), &who);
        assert_eq!((message.metadata.response_code, message.answers.len()), (ResponseCode::NoError, 1));
        assert!(message.metadata.authoritative);
        assert_eq!(message.metadata.recursion_available, recursion);
    }
    let message = reply(&engine, &query("x.apps.edge.example.com.", kind::AAAA, None), &stranger());
    assert_eq!((message.metadata.response_code, message.answers.len()), (ResponseCode::NoError, 0));
}

#[tokio::test]
async fn names_of_others_are_for_the_site_that_wants_recursion() {
    let (engine, _) = engine();
    let mut request = query("www.elsewhere.net.", kind::A, Some(&[]));
    let (_, refused) = decide(&engine, &request, &stranger());
    assert_eq!(refused[3] & 0x0f, rcode::REFUSED as u8);
    assert_eq!(ede_of(&refused, "recursion is for the site only"), Some(ede::PROHIBITED));
    request[2] = 0;
    let (_, refused) = decide(&engine, &request, &node());
    assert_eq!(refused[3] & 0x0f, rcode::REFUSED as u8);
    let text = "not authoritative, and recursion was not desired";
    assert_eq!(ede_of(&refused, text), Some(ede::NOT_AUTHORITATIVE));
}

#[tokio::test]
async fn a_kept_answer_is_not_for_those_who_only_look() {
    let (engine, _) = engine();
    keep(&engine, "www.elsewhere.net.", 3600);
    let mut request = query("www.elsewhere.net.", kind::A, None);
    assert_eq!(reply(&engine, &request, &node()).answers.len(), 1);
    assert_eq!(reply(&engine, &request, &stranger()).metadata.response_code, ResponseCode::Refused);
    request[2] = 0;
    assert_eq!(reply(&engine, &request, &node()).metadata.response_code, ResponseCode::Refused);
}

#[tokio::test]
async fn below_a_delegation_the_site_gets_the_answer_and_strangers_a_referral() {
    let (engine, _) = engine();
    for (name, aliases) in [("www.sub.edge.example.com.", 0), ("below.edge.example.com.", 1)] {
        let mut request = query(name, kind::A, None);
        assert_eq!(decide(&engine, &request, &node()).0, Decision::Ask, "{name}");
        for (who, desired) in [(stranger(), 1), (node(), 0)] {
            request[2] = desired;
            let message = reply(&engine, &request, &who);
            assert_eq!((message.answers.len(), message.authorities.len()), (aliases, 1), "{name}");
            assert_eq!(message.metadata.authoritative, aliases > 0);
        }
    }
    keep(&engine, "www.sub.edge.example.com.", 3600);
    let message = reply(&engine, &query("www.sub.edge.example.com.", kind::A, None), &node());
    assert_eq!((message.answers.len(), message.metadata.authoritative), (1, false));
    let answer = engine.answer(&query("below.edge.example.com.", kind::A, None), &node()).await.unwrap();
    let message = Message::from_vec(&answer).unwrap();
    assert_eq!((message.answers.len(), message.authorities.len()), (2, 0));
}

#[tokio::test]
async fn a_datagram_that_is_too_long_gets_a_bare_format_error() {
    let (engine, _) = engine();
    let refuse = |start: &[u8]| {
        let mut out = vec![0; 4096];
        let view = engine.view();
        let decision = view.refuse_too_long(start, &node(), engine.shared_ledger(), &mut out);
        out.truncate(if let Decision::Reply(len) = decision { len } else { 0 });
        (decision, out)
    };
    let mut start = query("cp1.edge.example.com.", kind::A, Some(&[0; 100]));
    let (decision, reply) = refuse(&start);
    assert_eq!(decision, Decision::Reply(12));
    assert_eq!(reply, [0x12, 0x34, 0x81, 0x01, 0, 0, 0, 0, 0, 0, 0, 0]);
    // A reply is not answered, however long.
    start[2] |= 0x80;
    assert_eq!(refuse(&start).0, Decision::Drop(DropReason::Malformed(Malformed::Response)));
}

/// Puts an address record into the cache.
fn keep(engine: &Engine, name: &str, ttl: u32) {
    let name = Name::parse(name).unwrap();
    let mut body = Builder::new(name.as_wire()).unwrap();
    body.record(Section::Answer, name.as_wire(), kind::A, ttl, &[203, 0, 113, 5]).unwrap();
    let lower = LowerName::of(name.as_wire());
    let key = Key { name: &lower, kind: kind::A, dnssec_ok: false, checking_disabled: false };
    engine.cache().insert(&key, &body.finish(rcode::NOERROR, false, false), now()).unwrap();
}

#[tokio::test]
async fn without_upstream_servers_a_question_fails_at_once_and_says_why() {
    let (engine, _) = engine();
    let (decision, reply) = decide(&engine, &query("www.elsewhere.net.", kind::A, Some(&[])), &node());
    assert!(matches!(decision, Decision::Reply(_)));
    assert_eq!(reply[3] & 0x0f, rcode::SERVFAIL as u8);
    assert_eq!(ede_of(&reply, "no upstream server can be reached"), Some(ede::NETWORK_ERROR));
}

#[tokio::test]
async fn an_alias_leads_on_for_the_site_and_stands_alone_for_strangers() {
    let (engine, _) = engine();
    keep(&engine, "www.elsewhere.net.", 3600);
    let request = query("alias.edge.example.com.", kind::A, None);
    assert_eq!(decide(&engine, &request, &node()).0, Decision::Ask);
    let whole = Message::from_vec(&engine.answer(&request, &node()).await.unwrap()).unwrap();
    assert_eq!((whole.answers.len(), whole.metadata.response_code), (2, ResponseCode::NoError));
    assert!(whole.metadata.authoritative && whole.metadata.recursion_available);
    let alone = reply(&engine, &request, &stranger());
    assert_eq!((alone.answers.len(), alone.metadata.response_code), (1, ResponseCode::NoError));
}

#[tokio::test]
async fn any_about_a_foreign_name_is_answered_without_asking() {
    let (engine, _) = engine();
    let message = reply(&engine, &query("www.elsewhere.net.", kind::ANY, None), &node());
    assert_eq!(message.answers.len(), 1);
    assert_eq!(u16::from(message.answers[0].record_type()), kind::HINFO);
}

#[tokio::test]
async fn what_is_not_served_is_refused() {
    let (engine, _) = engine();
    let mut version = query("version.bind.", kind::TXT, None);
    let last = version.len() - 1;
    version[last] = class::CH as u8;
    let mut notify = query("edge.example.com.", kind::SOA, None);
    notify[2] = opcode::NOTIFY << 3;
    let mut update = query("edge.example.com.", kind::SOA, None);
    update[2] = opcode::UPDATE << 3;
    let transfer = query("edge.example.com.", kind::AXFR, None);
    for request in [version, notify, update, transfer] {
        assert_eq!(reply(&engine, &request, &node()).metadata.response_code, ResponseCode::Refused);
    }
}

#[tokio::test]
async fn a_zone_is_transferred_to_this_host_and_to_nobody_else() {
    let (engine, _) = engine();
    let request = query("edge.example.com.", kind::AXFR, None);
    let own = client("127.0.0.1", Transport::Tcp);
    assert_eq!(decide(&engine, &request, &own).0, Decision::Session(Session::Transfer));
    let mut transfer = engine.transfer(&request, &own).unwrap();
    let message = Message::from_vec(&transfer.next_message(0).unwrap()).unwrap();
    assert!(message.answers.len() > 5, "{message}");
    let refused = engine.transfer(&request, &client("192.168.8.77", Transport::Tcp)).unwrap_err();
    assert_eq!(refused[3] & 0x0f, rcode::REFUSED as u8);
    let foreign = query("elsewhere.net.", kind::AXFR, None);
    assert_eq!(engine.transfer(&foreign, &own).unwrap_err()[3] & 0x0f, rcode::NOTAUTH as u8);
}

#[tokio::test]
async fn a_cookie_alone_is_answered_with_a_cookie() {
    let (engine, _) = engine();
    let cookie = [0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8];
    let mut request = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 12];
    request.extend_from_slice(&cookie);
    let (_, reply) = decide(&engine, &request, &stranger());
    assert_eq!(reply[3] & 0x0f, 0);
    assert_eq!(reply[reply.len() - 24..][..8], cookie[4..]);
}

#[tokio::test]
async fn strangers_are_limited_and_the_site_is_not() {
    let (engine, metrics) = engine();
    let request = query("api.edge.example.com.", kind::A, Some(&[0, 10, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8]));
    let mut cookies = 0;
    let mut dropped = 0;
    let mut last = Vec::new();
    for _ in 0..100 {
        let (decision, reply) = decide(&engine, &request, &stranger());
        match decision {
            Decision::Drop(DropReason::Limited) => dropped += 1,
            _ if reply[3] & 0x0f == (rcode::BADCOOKIE & 0x0f) as u8 => {
                cookies += 1;
                last = reply;
            }
            _ => {}
        }
    }
    assert!(dropped > 20 && cookies > 20, "{dropped} {cookies}");
    assert!(metrics.render().contains("faros_dnsd_limited_total{reason=\"cookie\"}"));
    // The cookie that it was given lets it through.
    let at = last.windows(12).position(|window| window == [0, 10, 0, 24, 1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
    let verified = query("api.edge.example.com.", kind::A, Some(&last[at..at + 28]));
    for _ in 0..100 {
        assert_eq!(reply(&engine, &verified, &stranger()).answers.len(), 1);
    }
    for _ in 0..300 {
        assert_eq!(reply(&engine, &request, &node()).answers.len(), 1);
    }
}

#[tokio::test]
async fn a_reply_to_an_unverified_stranger_is_no_weapon() {
    let (engine, _) = engine();
    for name in ["edge.example.com.", "_dns.resolver.arpa.", "nothing.edge.example.com."] {
        for kind in [kind::ANY, kind::SOA, kind::TXT, 64] {
            let request = query(name, kind, Some(&[]));
            let (_, reply) = decide(&engine, &request, &stranger());
            assert!(reply.len() <= 5 * request.len(), "{name} {kind}: {} octets", reply.len());
        }
    }
}

#[tokio::test]
async fn what_is_malformed_is_counted_by_reason() {
    let (engine, metrics) = engine();
    assert!(matches!(decide(&engine, &[0; 5], &node()).0, Decision::Drop(_)));
    let mut response = query("api.edge.example.com.", kind::A, None);
    response[2] |= 0x80;
    assert!(matches!(decide(&engine, &response, &node()).0, Decision::Drop(_)));
    let mut trailing = query("api.edge.example.com.", kind::A, None);
    trailing.push(0);
    assert_eq!(decide(&engine, &trailing, &node()).1[3] & 0x0f, rcode::FORMERR as u8);
    let text = metrics.render();
    for reason in ["short", "response", "trailing"] {
        assert!(text.contains(&format!("faros_dnsd_malformed_total{{reason=\"{reason}\"}} 1")), "{text}");
    }
}

#[tokio::test]
async fn beyond_the_bound_questions_fail_and_say_so() {
    let (engine, metrics) = engine();
    let request = query("www.elsewhere.net.", kind::A, Some(&[]));
    let passes: Vec<_> = std::iter::from_fn(|| engine.enter(&node())).collect();
    assert_eq!(passes.len(), super::CLIENT_WAITING_MAX);
    let mut out = vec![0; 4096];
    let decision = engine.view().decide_overloaded(&request, &node(), engine.shared_ledger(), &mut out);
    let Decision::Reply(len) = decision else { panic!("{decision:?}") };
    assert_eq!(out[3] & 0x0f, rcode::SERVFAIL as u8);
    assert!(ede_of(&out[..len], "too many questions wait for upstream servers").is_some());
    assert!(metrics.render().contains("faros_dnsd_overloaded_total 1"));
}

#[tokio::test]
async fn the_query_log_tells_who_asked_what_and_forgets_when_switched_off() {
    let (engine, _) = engine();
    decide(&engine, &query("api.edge.example.com.", kind::A, None), &node());
    decide(&engine, &query("www.elsewhere.net.", kind::A, None), &stranger());
    let entries = engine.latest(|_| true, 10);
    assert_eq!(entries.len(), 2);
    let own = engine.latest(|entry| super::is_from(entry, [192, 168, 8, 77].into()), 10);
    let json = own[0].to_json();
    assert_eq!(
        (json["name"].as_str(), json["source"].as_str()),
        (Some("api.edge.example.com."), Some("zone"))
    );
    let policy = (**engine.policy()).clone();
    engine.set_policy(super::Policy { query_log: false, ..policy });
    decide(&engine, &query("api.edge.example.com.", kind::A, None), &node());
    assert!(engine.latest(|_| true, 10).is_empty());
}

#[tokio::test]
async fn the_source_of_an_answer_is_told() {
    let (engine, _) = engine();
    keep(&engine, "www.elsewhere.net.", 3600);
    for (name, expected) in [
        ("api.edge.example.com.", Source::Zone),
        ("www.elsewhere.net.", Source::Cache),
        ("other.elsewhere.net.", Source::Failure),
    ] {
        let (_, source) = engine.answer_and_source(&query(name, kind::A, None), &node()).await;
        assert_eq!(source, expected, "{name}");
    }
    assert_eq!(engine.counters().received(), 0, "such questions are nobody's");
}
