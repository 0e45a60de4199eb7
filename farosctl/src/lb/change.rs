//! Changing what servers there are and which of them serve.

use std::net::SocketAddr;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::arguments::ServerArguments;
use super::{frontends, list, text};
use crate::daemons::{LB, query_value};
use crate::exit::{Exit, Failure, advice};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, harmless};
use crate::session::Session;

/// What became of it in each front end.
#[derive(Serialize)]
pub(super) struct Outcomes {
    pub(super) outcomes: Vec<Outcome>,
}

#[derive(Serialize)]
pub(super) struct Outcome {
    pub(super) frontend: String,
    pub(super) server: String,
    pub(super) done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
    #[serde(skip)]
    pub(super) what: String,
}

/// A server to add, as lb reads it.
#[derive(Serialize)]
pub(super) struct NewServer {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    pub(super) weight: u16,
    pub(super) backup: bool,
}

/// The front ends that have the server.
pub(super) async fn having(session: &Session, server: &ServerArguments) -> Result<Vec<String>, Failure> {
    let fronts = frontends(session, server.frontend.as_deref()).await?;
    let has = |front: &&Value| list(front, "servers").iter().any(|one| text(one, "name") == server.name);
    let names: Vec<String> = fronts.iter().filter(has).map(|front| text(front, "name").to_owned()).collect();
    if names.is_empty() {
        let name = harmless(&server.name);
        return Err(Failure::failed(format!("no front end has a server {name}; see: farosctl lb status")));
    }
    Ok(names)
}

/// The path of a server's verb.
pub(super) fn path(frontend: &str, server: &str, verb: &str) -> String {
    format!("/frontends/{}/servers/{}/{verb}", query_value(frontend), query_value(server))
}

pub(super) async fn mode(
    session: &mut Session,
    server: &ServerArguments,
    verb: &str,
) -> Result<Exit, Failure> {
    let what = match verb {
        "enable" => "enabled: what its checks say counts",
        _ => "in maintenance: neither connections nor checks",
    };
    each(session, server, verb, what).await
}

pub(super) async fn remove(
    session: &mut Session,
    server: &ServerArguments,
    persist: bool,
    cut: bool,
) -> Result<Exit, Failure> {
    let verb = format!("remove?persist={}&cut={}", u8::from(persist), u8::from(cut));
    let what = match persist {
        true => "removed",
        false => "removed until lb starts anew; --persist removes it for good",
    };
    each(session, server, &verb, what).await
}

async fn each(
    session: &mut Session,
    server: &ServerArguments,
    verb: &str,
    what: &str,
) -> Result<Exit, Failure> {
    let mut outcomes = Vec::new();
    for frontend in having(session, server).await? {
        let answer = session.daemons.post(LB, &path(&frontend, &server.name, verb)).await;
        let reason = answer.err().map(|error| advice(LB, &error));
        let (name, what) = (server.name.clone(), what.to_owned());
        outcomes.push(Outcome { frontend, server: name, done: reason.is_none(), reason, what });
    }
    finish(session, &Outcomes { outcomes })
}

pub(super) async fn add(
    session: &mut Session,
    frontend: &str,
    server: &NewServer,
    persist: bool,
) -> Result<Exit, Failure> {
    let path = format!("/frontends/{}/servers?persist={}", query_value(frontend), u8::from(persist));
    let body = serde_json::to_vec(server)
        .map_err(|error| Failure::failed(format!("the server cannot be written: {error}; report this")))?;
    let answer = session.daemons.post_body(LB, &path, Bytes::from(body)).await;
    let reason = answer.err().map(|error| advice(LB, &error));
    let what = match persist {
        true => "added: gets connections once its checks are good",
        false => "added until lb starts anew, once its checks are good; --persist adds it for good",
    };
    let outcome = Outcome {
        frontend: frontend.to_owned(),
        server: server.name.clone(),
        done: reason.is_none(),
        reason,
        what: what.to_owned(),
    };
    finish(session, &Outcomes { outcomes: vec![outcome] })
}

pub(super) fn finish(session: &mut Session, outcomes: &Outcomes) -> Result<Exit, Failure> {
    let all = outcomes.outcomes.iter().all(|outcome| outcome.done);
    session.show(outcomes)?;
    Ok(if all { Exit::Done } else { Exit::Failed })
}

impl Human for Outcomes {
    fn human(&self, paint: Paint) -> String {
        let mut table = Table::new(["FRONT END", "SERVER", "OUTCOME"]);
        for outcome in &self.outcomes {
            let shown = match &outcome.reason {
                None => Cell::new(Tone::Good, &outcome.what),
                Some(reason) => Cell::new(Tone::Bad, reason),
            };
            table.row([
                Cell::new(Tone::Strong, &outcome.frontend),
                Cell::new(Tone::Strong, &outcome.server),
                shown,
            ]);
        }
        table.render(paint)
    }
}
