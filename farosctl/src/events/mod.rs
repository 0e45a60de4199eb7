//! `farosctl events`: one stream out of all daemons' streams.

pub(crate) mod event;
mod select;
pub(crate) mod stream;

use std::collections::BTreeMap;

use faros_common::clock;
use serde_json::Value;

use crate::cli::EventsArguments;
use crate::events::event::Event;
use crate::events::select::{Selection, Since};
use crate::events::stream::Follower;
use crate::exit::{Exit, Failure, advice};
use crate::leases;
use crate::machine::Machine;
use crate::output::{Format, harmless, yaml};
use crate::session::Session;

/// What is shown of the past when following, unless told otherwise.
const LINES_WHEN_FOLLOWING: usize = 10;

pub(crate) async fn run(session: &mut Session, arguments: &EventsArguments) -> Result<Exit, Failure> {
    let selection = selection(session, arguments).await?;
    let daemons = daemons(session, arguments)?;

    let past = stream::past(&session.daemons, &daemons, selection.since.seq()).await;
    let mut newest = BTreeMap::new();
    let mut events = Vec::new();
    let mut silent = Vec::new();
    for (daemon, answer) in past {
        match answer {
            Ok(all) => {
                newest.insert(daemon, all.last().map_or(selection.since.seq(), |event| event.seq));
                events.extend(all);
            }
            Err(error) => {
                newest.insert(daemon.clone(), selection.since.seq());
                silent.push(advice(&daemon, &error));
            }
        }
    }
    for text in &silent {
        session.note(text);
    }
    stream::sort_by_time(&mut events);
    events.retain(|event| selection.admits(event));
    let lines = arguments.lines.unwrap_or(if arguments.follow { LINES_WHEN_FOLLOWING } else { usize::MAX });
    for event in &events[events.len().saturating_sub(lines)..] {
        print(session, event)?;
    }
    if !arguments.follow {
        return finish(session, silent.len(), daemons.len());
    }
    follow(session, &selection, newest).await
}

/// Nothing can be said when no daemon answers; with some missing, the stream has holes.
fn finish(session: &mut Session, silent: usize, all: usize) -> Result<Exit, Failure> {
    match silent {
        0 => Ok(Exit::Done),
        _ if silent == all => {
            Err(Failure::failed("no daemon answers, so there are no events; see: farosctl status"))
        }
        _ => {
            session.note("the events of daemons that do not answer are missing here");
            Ok(Exit::Degraded)
        }
    }
}

async fn follow(
    session: &mut Session,
    selection: &Selection,
    newest: BTreeMap<String, u64>,
) -> Result<Exit, Failure> {
    let mut follower = Follower::start(&session.daemons, newest);
    let mut interrupted = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            _ = &mut interrupted => return Ok(Exit::Done),
            batch = follower.next() => {
                for event in batch.events.iter().filter(|event| selection.admits(event)) {
                    print(session, event)?;
                }
                for text in batch.notes {
                    session.note(&text);
                }
            }
        }
    }
}

fn print(session: &mut Session, event: &Event) -> Result<(), Failure> {
    let text = match session.format {
        Format::Table => event.human(session.paint) + "\n",
        // As the daemon wrote it: one object per line, ready for jq.
        Format::Json => event.line.clone() + "\n",
        Format::Yaml => format!("---\n{}", yaml(&Value::Object(event.fields.clone()))),
    };
    session.print(&text)
}

async fn selection(session: &mut Session, arguments: &EventsArguments) -> Result<Selection, Failure> {
    let since = match &arguments.since {
        None => Since::Beginning,
        Some(text) => Since::parse(text, clock::wall()).map_err(Failure::usage)?,
    };
    let machine = match &arguments.node {
        None => None,
        Some(argument) => {
            let site = session.site_if_good();
            // Without dhcpd a dynamic address means only itself, which is still something.
            let leases = leases::fetch(&session.daemons).await.unwrap_or_default();
            // A name that the site file no longer has may still stand in events.
            Some(
                Machine::resolve(argument, site.as_ref(), &leases)
                    .unwrap_or_else(|| Machine::named(argument)),
            )
        }
    };
    Ok(Selection { since, machine, ids: arguments.event.clone() })
}

fn daemons(session: &mut Session, arguments: &EventsArguments) -> Result<Vec<String>, Failure> {
    let mut chosen: Vec<String> = Vec::new();
    for name in &arguments.daemon {
        let name = name.strip_prefix("faros-").unwrap_or(name);
        if !session.daemons.is_known(name) {
            let text = format!("there is no daemon {}; farosctl status lists them", harmless(name));
            return Err(Failure::usage(text));
        }
        if !chosen.iter().any(|other| other == name) {
            chosen.push(name.to_owned());
        }
    }
    if chosen.is_empty() {
        let site = session.site_if_good();
        chosen = session.daemons.names(site.as_ref());
    }
    if chosen.is_empty() {
        return Err(Failure::failed("there is no daemon to ask; see: farosctl status"));
    }
    Ok(chosen)
}
