//! `farosctl lb status`.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::{failed, frontends, list, number, text};
use crate::daemons::LB;
use crate::exit::{Exit, Failure};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, harmless, time};
use crate::session::Session;

/// What lb said.
#[derive(Serialize)]
struct Status {
    vip: Value,
    frontends: Vec<Value>,
}

pub(super) async fn run(session: &mut Session, only: Option<&str>) -> Result<Exit, Failure> {
    let frontends = frontends(session, only).await?;
    let vip = session.daemons.get(LB, "/vip").await.map_err(|error| failed(&error))?;
    let served = frontends.iter().all(|front| list(front, "servers").iter().any(serves));
    session.show(&Status { vip, frontends })?;
    Ok(if served { Exit::Done } else { Exit::Degraded })
}

fn serves(server: &Value) -> bool {
    server.get("serving").and_then(Value::as_bool) == Some(true)
}

impl Human for Status {
    fn human(&self, paint: Paint) -> String {
        let mut table =
            Table::new(["FRONT END", "LISTEN", "PLANE", "SERVING", "CONNECTIONS", "SO FAR", "BOOTSTRAP"]);
        for front in &self.frontends {
            let servers = list(front, "servers");
            let serving = servers.iter().filter(|server| serves(server)).count();
            let listen: Vec<&str> = list(front, "listen").iter().filter_map(Value::as_str).collect();
            let tone = match serving {
                0 => Tone::Bad,
                some if some < servers.len() => Tone::Warning,
                _ => Tone::Good,
            };
            let connections =
                |key| number(front, &["connections", key]).map(|count| count.to_string()).unwrap_or_default();
            let bootstrap =
                front.get("bootstrap").map(|bootstrap| text(bootstrap, "phase")).unwrap_or_default();
            table.row([
                Cell::new(Tone::Strong, text(front, "name")),
                listen.join(" ").into(),
                text(front, "plane").into(),
                Cell::new(tone, format!("{serving} of {}", servers.len())),
                connections("active").into(),
                connections("accepted").into(),
                bootstrap.into(),
            ]);
        }
        let mut said = table.render(paint);
        if self.frontends.is_empty() {
            said = "no front end: the site file names none, and none follows from cluster.kind\n".to_owned();
        }
        for front in &self.frontends {
            said += &format!("\n{}", servers(front).render(paint));
        }
        for front in &self.frontends {
            if !list(front, "servers").iter().any(serves) {
                let name = harmless(text(front, "name"));
                said += &format!("\n{name}: {}\n", paint.tone(Tone::Bad, &harmless(text(front, "serving"))));
            }
        }
        let offered = self.vip.get("offer").and_then(Value::as_bool) == Some(true);
        if !self.vip.is_null() {
            let (tone, word) = if offered { (Tone::Good, "offered") } else { (Tone::Bad, "not offered") };
            let because = harmless(text(&self.vip, "because"));
            let address = harmless(text(&self.vip, "address"));
            said += &format!("\nVIP {address} {}: {because}\n", paint.tone(tone, word));
        }
        said
    }
}

fn servers(front: &Value) -> Table {
    let mut table = Table::new([
        "SERVER OF",
        "NAME",
        "ADDRESS",
        "STATE",
        "FOR",
        "SHARE",
        "CONNECTIONS",
        "FAILED",
        "BECAUSE",
    ]);
    for server in list(front, "servers") {
        let state = text(server, "state");
        let tone = match state {
            _ if serves(server) => Tone::Good,
            "up" | "drained" | "maintenance" | "held" | "unknown" => Tone::Warning,
            _ => Tone::Bad,
        };
        let age = server.get("for_secs").and_then(Value::as_f64).filter(|secs| secs.is_finite());
        let age = age.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
        let count =
            |key| number(server, &["connections", key]).map(|count| count.to_string()).unwrap_or_default();
        let backup = server.get("backup").and_then(Value::as_bool) == Some(true);
        table.row([
            text(front, "name").into(),
            Cell::new(
                Tone::Strong,
                format!("{}{}", text(server, "name"), if backup { " (backup)" } else { "" }),
            ),
            text(server, "address").into(),
            Cell::new(tone, state),
            age.map(time::span).unwrap_or_default().into(),
            number(server, &["share"]).map(|share| share.to_string()).unwrap_or_default().into(),
            count("active").into(),
            count("failed").into(),
            text(server, "reason").into(),
        ]);
    }
    table
}
