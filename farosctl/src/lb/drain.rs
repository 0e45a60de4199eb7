//! `farosctl lb drain`: no new connections, and patience with those that are there.

use std::time::Duration;

use faros_common::clock;
use serde::Serialize;
use serde_json::Value;

use super::arguments::ServerArguments;
use super::change::{Outcome, Outcomes, finish, having, path};
use super::{frontends, list, number, text};
use crate::daemons::LB;
use crate::exit::{Exit, Failure, advice};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, time};
use crate::session::Session;

/// How often lb is asked how many connections are left.
const ASK_EVERY: Duration = Duration::from_millis(500);
/// What lb takes at most.
const WITHIN_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// How far it has come in one front end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Left {
    frontend: String,
    server: String,
    /// Connections that are not over.
    connections: u64,
    /// Whether the server is still drained: somebody else may have enabled or removed it.
    drained: bool,
}

#[derive(Serialize)]
struct Drained {
    drained: bool,
    waited_secs: f64,
    left: Vec<Left>,
}

pub(super) async fn run(
    session: &mut Session,
    server: &ServerArguments,
    within: Option<Duration>,
    timeout: Duration,
    wait: bool,
) -> Result<Exit, Failure> {
    if within.is_some_and(|within| within > WITHIN_MAX) {
        return Err(Failure::usage(
            "connections are waited for up to 7d; without --within as long as they take",
        ));
    }
    let fronts = having(session, server).await?;
    let cut = within.map(|within| format!("?within={}ms", within.as_millis())).unwrap_or_default();
    let mut outcomes = Vec::new();
    for frontend in &fronts {
        let answer = session.daemons.post(LB, &path(frontend, &server.name, &format!("drain{cut}"))).await;
        let reason = answer.err().map(|error| advice(LB, &error));
        outcomes.push(Outcome {
            frontend: frontend.clone(),
            server: server.name.clone(),
            done: reason.is_none(),
            reason,
            what: "drained: no new connections".to_owned(),
        });
    }
    if !wait || outcomes.iter().any(|outcome| !outcome.done) {
        return finish(session, &Outcomes { outcomes });
    }
    await_end(session, server, &fronts, timeout).await
}

async fn await_end(
    session: &mut Session,
    server: &ServerArguments,
    fronts: &[String],
    timeout: Duration,
) -> Result<Exit, Failure> {
    let began = clock::now();
    let mut before: Vec<Left> = Vec::new();
    loop {
        let left = left(session, &server.name, fronts).await?;
        for one in left.iter().filter(|one| !before.contains(one)) {
            session.note(&progress(one));
        }
        let elapsed = clock::now().saturating_duration_since(began);
        let changed = left.iter().any(|one| !one.drained);
        let over = left.iter().all(|one| one.connections == 0);
        if over || changed || elapsed >= timeout {
            let waited_secs = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
            session.show(&Drained { drained: over && !changed, waited_secs, left })?;
            return Ok(match (changed, over) {
                (true, _) => Exit::Failed,
                (false, true) => Exit::Done,
                (false, false) => Exit::TimedOut,
            });
        }
        before = left;
        tokio::time::sleep(ASK_EVERY.min(timeout - elapsed)).await;
    }
}

async fn left(session: &Session, server: &str, fronts: &[String]) -> Result<Vec<Left>, Failure> {
    let all = frontends(session, None).await?;
    let of = |frontend: &String| {
        let front = all.iter().find(|front| text(front, "name") == frontend);
        let found: Option<&Value> =
            front.and_then(|front| list(front, "servers").iter().find(|one| text(one, "name") == server));
        Left {
            frontend: frontend.clone(),
            server: server.to_owned(),
            connections: found.and_then(|server| number(server, &["connections", "active"])).unwrap_or(0),
            drained: found.is_some_and(|server| text(server, "mode") == "drained"),
        }
    };
    Ok(fronts.iter().map(of).collect())
}

fn progress(left: &Left) -> String {
    let connections = match left.connections {
        1 => "1 connection is left".to_owned(),
        count => format!("{count} connections are left"),
    };
    let more = if left.drained { "" } else { "; it is not drained any more" };
    format!("{} of {}: {connections}{more}", left.server, left.frontend)
}

impl Human for Drained {
    fn human(&self, paint: Paint) -> String {
        let mut table = Table::new(["FRONT END", "SERVER", "OUTCOME"]);
        for one in &self.left {
            let (tone, what) = match (one.drained, one.connections) {
                (false, _) => (Tone::Bad, "not drained any more: enabled or removed meanwhile".to_owned()),
                (true, 0) => (Tone::Good, "drained: no connection is left".to_owned()),
                (true, count) => (Tone::Warning, format!("drained, and {count} connections are left")),
            };
            table.row([
                Cell::new(Tone::Strong, &one.frontend),
                Cell::new(Tone::Strong, &one.server),
                Cell::new(tone, what),
            ]);
        }
        let mut said = table.render(paint);
        let span = time::span(Duration::try_from_secs_f64(self.waited_secs).unwrap_or_default());
        if !self.drained && self.left.iter().all(|one| one.drained) {
            said += &format!("after {span}; reset what is left with: farosctl lb drain SERVER --within 0s\n");
        }
        said
    }
}
