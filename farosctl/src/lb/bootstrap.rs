//! `farosctl lb retire` and `recall`: the bootstrap machine's part.

use super::change::{Outcome, Outcomes, finish};
use super::frontends;
use super::text;
use crate::daemons::{LB, query_value};
use crate::exit::{Exit, Failure, advice};
use crate::session::Session;

pub(super) async fn run(session: &mut Session, only: Option<&str>, verb: &str) -> Result<Exit, Failure> {
    let fronts = frontends(session, only).await?;
    let with = fronts.iter().filter(|front| front.get("bootstrap").is_some_and(|part| !part.is_null()));
    let names: Vec<String> = with.map(|front| text(front, "name").to_owned()).collect();
    if names.is_empty() {
        return Err(Failure::failed("no front end has a bootstrap machine; see: farosctl lb status"));
    }
    let what = match verb {
        "retire" => "retired: gets no connections whatever happens",
        _ => "serves again while no other does",
    };
    let mut outcomes = Vec::new();
    for frontend in names {
        let path = format!("/frontends/{}/bootstrap/{verb}", query_value(&frontend));
        let reason = session.daemons.post(LB, &path).await.err().map(|error| advice(LB, &error));
        let (server, what) = ("bootstrap".to_owned(), what.to_owned());
        outcomes.push(Outcome { frontend, server, done: reason.is_none(), reason, what });
    }
    finish(session, &Outcomes { outcomes })
}
