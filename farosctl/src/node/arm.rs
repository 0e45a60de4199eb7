//! Arming and disarming: the one thing here that can wipe a disk.

use serde::Serialize;
use serde_json::Value;

use super::name_of;
use crate::daemons::{IGNITION_HTTP, query_value};
use crate::exit::{Exit, Failure, advice};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone};
use crate::session::Session;

/// What became of each node.
#[derive(Serialize)]
struct Outcomes {
    nodes: Vec<Outcome>,
}

#[derive(Serialize)]
struct Outcome {
    node: String,
    done: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The node's state as ignition-http answers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
    #[serde(skip)]
    what: &'static str,
}

pub(super) async fn install(session: &mut Session, arguments: &[String], yes: bool) -> Result<Exit, Failure> {
    let names = names(session, arguments)?;
    if !yes && session.terminal.in_is_terminal {
        let question = format!("The next network boot of {} WIPES and installs.", names.join(", "));
        let agreed = session
            .terminal
            .confirm(&question)
            .map_err(|error| Failure::failed(format!("cannot read the answer: {error}; use --yes")))?;
        if !agreed {
            return Err(Failure::failed("nothing was armed"));
        }
    }
    post_each(session, &names, "install", "armed: its next network boot installs it and wipes its disk").await
}

pub(super) async fn disarm(session: &mut Session, arguments: &[String]) -> Result<Exit, Failure> {
    let names = names(session, arguments)?;
    post_each(session, &names, "disarm", "disarmed: its network boots go to its disk").await
}

/// All names are looked up before anything is done to any of them.
fn names(session: &mut Session, arguments: &[String]) -> Result<Vec<String>, Failure> {
    let site = session.site()?;
    let mut names = Vec::new();
    for argument in arguments {
        let name = name_of(Some(&site), argument)?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

async fn post_each(
    session: &mut Session,
    names: &[String],
    verb: &str,
    what: &'static str,
) -> Result<Exit, Failure> {
    let mut nodes = Vec::new();
    for name in names {
        let path = format!("/nodes/{}/{verb}", query_value(name));
        let (answer, reason) = match session.daemons.post(IGNITION_HTTP, &path).await {
            Ok(answer) => (Some(answer), None),
            Err(error) => (None, Some(advice(IGNITION_HTTP, &error))),
        };
        nodes.push(Outcome { node: name.clone(), done: reason.is_none(), reason, answer, what });
    }
    let all = nodes.iter().all(|node| node.done);
    session.show(&Outcomes { nodes })?;
    Ok(if all { Exit::Done } else { Exit::Failed })
}

impl Human for Outcomes {
    fn human(&self, paint: Paint) -> String {
        let mut table = Table::new(["NODE", "OUTCOME"]);
        for node in &self.nodes {
            let outcome = match &node.reason {
                None => Cell::new(Tone::Good, node.what),
                Some(reason) => Cell::new(Tone::Bad, reason),
            };
            table.row([Cell::new(Tone::Strong, &node.node), outcome]);
        }
        table.render(paint)
    }
}
