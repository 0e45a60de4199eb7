use std::path::Path;

use faros_common::metrics::Metrics;
use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::audit;
use crate::keys::{KeyDirectory, Purpose};
use crate::policy;

const SITE: &str = "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n\
    [lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\n\
    [[node]]\nname = \"cp1\"\nrole = \"other\"\nmac = \"52:54:00:00:08:11\"\naddress = \"192.168.8.11\"\n";

struct Fixture {
    desk: FrontDesk,
    directory: TempDir,
}

impl Fixture {
    fn new(tang: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let site = faros_common::site::parse(&format!("{SITE}{tang}"), Path::new("site.toml")).unwrap().site;
        let config = Config::of(&site).unwrap();
        let keys = directory.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        let keys = Keys::new(Box::new(KeyDirectory::new(keys)));
        let policy = Policy::open(policy::Config::of(&site), directory.path(), directory.path()).unwrap();
        let audit = Audit::open(&directory.path().join("audit")).unwrap();
        let counters = Counters::register(&Metrics::new("tangd"));
        let desk = FrontDesk::new(config, keys, policy, audit, Events::new("tangd"), counters);
        Self { desk, directory }
    }

    async fn ask(&self, from: [u8; 4], method: &str, target: &str, body: &str) -> Answer {
        let peer = Peer { address: from.into(), tls: false };
        self.desk.answer(peer, method, target, Ok(Bytes::from(body.to_owned()))).await
    }

    /// A request for an exchange that is in order: any point will do, so it is our own.
    fn exchange_request(&self) -> (String, String) {
        let set = self.desk.keys().current().unwrap();
        let key = set.keys().find(|key| key.advertised && key.purpose == Purpose::Exchange).unwrap();
        (format!("/rec/{}", key.thumbprint()), key.public.to_json())
    }

    fn log(&self) -> Vec<Value> {
        audit::latest(&self.directory.path().join("audit"), 0, 1000).unwrap()
    }

    fn events(&self) -> Vec<Value> {
        let (_, events) = self.desk.events().after(0, 1000);
        events.iter().map(|event| serde_json::from_str(&event.json).unwrap()).collect()
    }
}

const NODE: [u8; 4] = [192, 168, 8, 11];

#[tokio::test]
async fn an_exchange_is_in_the_log_when_its_answer_leaves() {
    let fixture = Fixture::new("");
    let (target, body) = fixture.exchange_request();
    let answer = fixture.ask(NODE, "POST", &target, &body).await;
    assert_eq!(answer.reply.status, 200);
    let log = fixture.log();
    let entry = log.last().unwrap();
    assert_eq!((&entry["decision"], &entry["node"]), (&"recovered".into(), &"cp1".into()));
    assert_eq!((&entry["key"], &entry["status"]), (&"current".into(), &200.into()));
    assert_eq!(format!("/rec/{}", entry["thumbprint"].as_str().unwrap()), target);
    let event = fixture.events().pop().unwrap();
    assert_eq!((&event["event"], &event["node"]), (&"tang_recovered".into(), &"cp1".into()));
}

#[tokio::test]
async fn the_use_of_a_rotated_key_is_told_apart() {
    let fixture = Fixture::new("");
    let (target, body) = fixture.exchange_request();
    fixture.desk.keys().source().rotate().unwrap();
    assert_eq!(fixture.ask(NODE, "POST", &target, &body).await.reply.status, 200);
    assert_eq!(fixture.log().last().unwrap()["key"], "rotated");
    let uses = audit::uses(&fixture.directory.path().join("audit")).unwrap();
    assert_eq!((uses[0].who.as_str(), uses[0].count), ("cp1", 1));
}

#[tokio::test]
async fn what_policy_refuses_gets_no_exchange_and_leaves_its_rule() {
    let fixture = Fixture::new("[tang]\npolicy = \"known-nodes\"\n");
    let (target, body) = fixture.exchange_request();
    let answer = fixture.ask([192, 168, 8, 77], "POST", &target, &body).await;
    assert!(matches!(answer.reply.status, 403 | 503) && answer.reply.body.is_empty(), "{answer:?}");
    let event = fixture.events().pop().unwrap();
    assert_eq!(event["event"], "tang_refused");
    assert!(matches!(event["rule"].as_str(), Some("known-nodes" | "leases")), "{event}");
    assert_eq!(fixture.ask(NODE, "POST", &target, &body).await.reply.status, 200);
}

#[tokio::test]
async fn what_is_held_is_answered_at_once_and_told_when_to_come_back() {
    let fixture = Fixture::new("[tang]\nhold = true\n");
    let (target, body) = fixture.exchange_request();
    let answer = fixture.ask(NODE, "POST", &target, &body).await;
    assert_eq!(answer.reply.status, 503);
    assert!(answer.retry_after.is_some());
    assert_eq!(fixture.events().pop().unwrap()["event"], "tang_held");
}

#[tokio::test]
async fn a_flood_of_bad_requests_leaves_a_bounded_number_of_entries() {
    let fixture = Fixture::new("");
    for _ in 0..1000 {
        assert_eq!(fixture.ask(NODE, "GET", "/nothing", "").await.reply.status, 404);
    }
    assert!(fixture.events().len() < 200);
    assert!(fixture.desk.counters.suppressed.get() > 800);
    // What matters is told of all the same.
    let (target, body) = fixture.exchange_request();
    fixture.ask(NODE, "POST", &target, &body).await;
    assert_eq!(fixture.events().pop().unwrap()["event"], "tang_recovered");
}
