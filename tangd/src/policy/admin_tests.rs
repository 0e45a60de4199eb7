//! Claims about the verbs, on a policy with a journal and without a network.

use std::net::IpAddr;
use std::path::Path;

use bytes::Bytes;
use faros_common::admin::{AdminRequest, parse_query};
use hyper::Method;
use serde_json::{Value, json};

use super::{Client, Config, Moment, Policy, Standing};

const SITE: &str = r#"
version = 1
[cluster]
name = "edge"
domain = "example.com"
[lan]
interface = "no-such-link"
address = "192.0.2.1/24"
[tang]
policy = "known-nodes"
hold = true
[[node]]
name = "cp1"
role = "control-plane"
mac = "52:54:00:00:08:11"
address = "192.0.2.11"
[[node]]
name = "w1"
role = "worker"
mac = "52:54:00:00:08:21"
tang = "allow"
"#;

fn open(directory: &Path) -> Policy {
    let site = faros_common::site::parse(SITE, Path::new("site.toml")).unwrap().site;
    Policy::open(Config::of(&site), directory, directory).unwrap()
}

async fn ask(policy: &Policy, method: Method, target: &str) -> (u16, Value) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let request =
        AdminRequest { method, path: path.to_owned(), query: parse_query(query), body: Bytes::new() };
    let response = match path {
        "/explain" => policy.explain(&request).await,
        _ => policy.admin(&request).await.expect("a verb of ours").response,
    };
    (response.status.as_u16(), serde_json::from_slice(&response.body).unwrap())
}

async fn post(policy: &Policy, target: &str) -> (u16, Value) {
    ask(policy, Method::POST, target).await
}

async fn cp1(policy: &Policy) -> u16 {
    let client = policy.identify(IpAddr::from([192, 0, 2, 11])).await;
    assert_eq!(client.standing, Standing::Reserved);
    policy.admit(&client, "t", Moment::now()).status()
}

#[tokio::test]
async fn a_waiting_node_is_listed_and_goes_on_once_approved() {
    let directory = tempfile::tempdir().unwrap();
    let policy = open(directory.path());
    assert_eq!(cp1(&policy).await, 503);
    let (_, list) = ask(&policy, Method::GET, "/waiting").await;
    assert_eq!(
        (&list["waiting"][0]["subject"], &list["waiting"][0]["rule"]),
        (&json!("cp1"), &json!("hold"))
    );
    let (status, answer) = post(&policy, "/approve?node=CP1&for=1m").await;
    assert_eq!((status, &answer["approved"], &answer["waiting"]), (200, &json!("cp1"), &json!(true)));
    assert_eq!(cp1(&policy).await, 200);
    let (_, list) = ask(&policy, Method::GET, "/waiting").await;
    assert_eq!(
        (list["waiting"].as_array().unwrap().len(), &list["approved"][0]["subject"]),
        (0, &json!("cp1"))
    );
}

#[tokio::test]
async fn a_lock_ends_an_approval_survives_a_restart_and_ends_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let policy = open(directory.path());
    post(&policy, "/approve?node=cp1").await;
    assert_eq!(post(&policy, "/lock?node=192.0.2.11&reason=stolen").await.0, 200, "a node by its address");
    assert_eq!(cp1(&policy).await, 403);
    assert_eq!(post(&policy, "/approve?node=cp1").await.0, 409);
    policy.shutdown().await.unwrap();
    drop(policy);
    let policy = open(directory.path());
    let (_, list) = ask(&policy, Method::GET, "/waiting").await;
    assert_eq!(list["locks"]["single"]["cp1"]["reason"], "stolen");
    assert_eq!(cp1(&policy).await, 403);
    let (status, refusal) = post(&policy, "/unlock?all=1").await;
    assert!(status == 409 && refusal["error"].as_str().unwrap().contains("cp1"), "{refusal}");
    assert_eq!(post(&policy, "/unlock?node=cp1").await.0, 200);
    assert_eq!(cp1(&policy).await, 503, "the approval ended with the lock");
    assert_eq!(post(&policy, "/unlock?node=cp1").await.0, 409);
}

#[tokio::test]
async fn the_lock_on_everything_spares_nobody_and_leaves_single_locks() {
    let directory = tempfile::tempdir().unwrap();
    let policy = open(directory.path());
    assert_eq!(post(&policy, "/lock?all=1").await.0, 200);
    assert_eq!(post(&policy, "/lock?node=w1").await.0, 200);
    assert_eq!(cp1(&policy).await, 403);
    assert_eq!(post(&policy, "/unlock?node=cp1").await.0, 409, "it has no lock of its own");
    let (status, answer) = post(&policy, "/unlock?all=1").await;
    assert_eq!((status, &answer["still_locked"]), (200, &json!(["w1"])));
    assert_eq!(cp1(&policy).await, 503);
}

#[tokio::test]
async fn nonsense_is_refused_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let policy = open(directory.path());
    for (target, status) in [
        ("/approve", 400),
        ("/approve?all=1", 400),
        ("/approve?node=cp1&for=2d", 400),
        ("/approve?node=cp1&for=0s", 400),
        ("/approve?node=cp1&for=soon", 400),
        ("/approve?node=nobody", 404),
        ("/lock", 400),
        ("/lock?node=cp1&all=1", 400),
        ("/unlock?node=nobody", 404),
    ] {
        let (got, answer) = post(&policy, target).await;
        assert!(got == status && answer["error"].is_string(), "{target}: {got} {answer}");
    }
    assert_eq!(ask(&policy, Method::GET, "/lock?all=1").await.0, 405);
    assert_eq!(cp1(&policy).await, 503, "nothing of this changed anything");
}

#[tokio::test]
async fn explain_says_which_rule_decides_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let policy = open(directory.path());
    for (query, status, rule) in [
        ("node=cp1", 503, "hold"),
        ("mac=52-54-00-00-08-11", 503, "hold"),
        ("node=w1", 200, "lease"),
        ("address=192.0.2.1", 403, "known-nodes"),
        ("address=192.0.2.99", 503, "leases"),
        ("address=198.51.100.1", 403, "lan"),
        ("mac=02:00:00:00:00:99", 403, "known-nodes"),
    ] {
        let (_, answer) = ask(&policy, Method::GET, &format!("/explain?{query}")).await;
        assert_eq!((&answer["status"], &answer["rule"]), (&json!(status), &json!(rule)), "{query}: {answer}");
        assert!(answer["would"].is_string() && !answer["because"].as_array().unwrap().is_empty());
    }
    assert_eq!(ask(&policy, Method::GET, "/explain?node=nobody").await.0, 404);
    let (_, list) = ask(&policy, Method::GET, "/waiting").await;
    assert!(list["waiting"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_reload_brings_new_rules_and_keeps_what_operators_decided() {
    let directory = tempfile::tempdir().unwrap();
    let policy = open(directory.path());
    post(&policy, "/lock?node=w1").await;
    post(&policy, "/approve?node=cp1").await;
    let text = SITE
        .replace("hold = true", "hold = false")
        .replace("[[node]]\nname = \"w1\"", "[[node]]\nname = \"w2\"");
    let site = faros_common::site::parse(&text, Path::new("site.toml")).unwrap().site;
    policy.reload(Config::of(&site));
    let (_, list) = ask(&policy, Method::GET, "/waiting").await;
    assert!(list["locks"]["single"]["w1"].is_object() && list["approved"][0]["subject"] == "cp1");
    assert_eq!(post(&policy, "/unlock?node=w1").await.0, 200, "also where the site file has it no more");
    let stranger = Client::stranger(IpAddr::from([192, 0, 2, 50]));
    assert_eq!(policy.admit(&stranger, "t", Moment::now()).status(), 403);
    assert!(policy.serves(IpAddr::from([192, 0, 2, 50])) && !policy.serves(IpAddr::from([198, 51, 100, 1])));
    assert!(policy.serves("::ffff:192.0.2.50".parse().unwrap()));
}
