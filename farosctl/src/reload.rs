//! `farosctl reload`: daemons read the site file again.

use faros_common::admin::client::ClientError;
use serde::Serialize;

use crate::daemons::Daemons;
use crate::exit::{Exit, Failure, advice};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, harmless};
use crate::session::Session;

/// What became of each reload.
#[derive(Serialize)]
struct Reloads {
    daemons: Vec<Reloaded>,
}

#[derive(Serialize)]
struct Reloaded {
    daemon: String,
    reloaded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(crate) async fn run(session: &mut Session, chosen: &[String]) -> Result<Exit, Failure> {
    let names = if chosen.is_empty() { running(session).await? } else { known(&session.daemons, chosen)? };
    let mut daemons = Vec::new();
    let mut judged = false;
    for daemon in names {
        // One after the other: the first refusal shows a bad file before all daemons have judged it.
        let error = session.daemons.post(&daemon, "/reload").await.err();
        // 409: it has read the file. A daemon that is down or refuses the peer has not.
        judged |= matches!(&error, Some(ClientError::Refused(status, _)) if status.as_u16() == 409);
        let reason = error.map(|error| advice(&daemon, &error));
        daemons.push(Reloaded { reloaded: reason.is_none(), daemon, reason });
    }
    let refused = daemons.iter().any(|daemon| !daemon.reloaded);
    session.show(&Reloads { daemons })?;
    if judged {
        session.note("a daemon that refused goes on with the old site file; mend it (farosctl check), then reload again");
    }
    Ok(if refused { Exit::Failed } else { Exit::Done })
}

/// The daemons that answer; those that are down read the file when they start.
async fn running(session: &mut Session) -> Result<Vec<String>, Failure> {
    let names = session.daemons.names(None);
    let up: Vec<String> = session
        .daemons
        .get_each(&names, "/status")
        .await
        .into_iter()
        .filter(|(_, answer)| answer.is_ok())
        .map(|(name, _)| name.to_owned())
        .collect();
    if up.is_empty() {
        return Err(Failure::failed("no daemon runs, so there is nothing to reload; see: farosctl status"));
    }
    Ok(up)
}

fn known(daemons: &Daemons, chosen: &[String]) -> Result<Vec<String>, Failure> {
    let known = |name: &str| name.strip_prefix("faros-").unwrap_or(name).to_owned();
    let names: Vec<String> = chosen.iter().map(|name| known(name)).collect();
    match names.iter().find(|name| !daemons.is_known(name)) {
        Some(stranger) => Err(Failure::usage(format!(
            "there is no daemon {}; farosctl status lists them",
            harmless(stranger)
        ))),
        None => Ok(names),
    }
}

impl Human for Reloads {
    fn human(&self, paint: Paint) -> String {
        let mut table = Table::new(["DAEMON", "RELOAD"]);
        for daemon in &self.daemons {
            let outcome = if daemon.reloaded {
                Cell::new(Tone::Good, "taken")
            } else {
                Cell::new(Tone::Bad, "refused")
            };
            table.row([daemon.daemon.as_str().into(), outcome]);
        }
        let mut text = table.render(paint);
        for reason in self.daemons.iter().filter_map(|daemon| daemon.reason.as_deref()) {
            text.push('\n');
            // A report is several lines, one finding each.
            for line in reason.lines() {
                text += &harmless(line);
                text.push('\n');
            }
        }
        text
    }
}
