//! `farosctl wait`: until nodes have come so far, or daemons are up.

use std::time::Duration;

use clap::ValueEnum;
use faros_common::clock;
use faros_common::site::Site;
use serde::Serialize;

use crate::cli::WaitArguments;
use crate::exit::{Exit, Failure};
use crate::leases;
use crate::machine::Machine;
use crate::node::state::{self, Stage};
use crate::output::{Human, Paint, Tone, harmless, time};
use crate::session::Session;

/// How often daemons are asked. They answer from memory.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Condition {
    /// The daemons answer
    Up,
    /// The node has an address from us
    Dhcp,
    /// The node is armed, or further
    Armed,
    /// The node has fetched its boot script, or is further
    Loader,
    /// The node has fetched its kernel, or is further
    Kernel,
    /// The node has fetched its Ignition, or is further
    Ignition,
    /// The node is installed
    Installed,
    /// The node is installed and was sent to its disk
    Disk,
}

impl Condition {
    fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Dhcp => "dhcp",
            Self::Armed => "armed",
            Self::Loader => "loader",
            Self::Kernel => "kernel",
            Self::Ignition => "ignition",
            Self::Installed => "installed",
            Self::Disk => "disk",
        }
    }

    /// The stage that fulfils it, as all later ones do.
    fn stage(self) -> Option<Stage> {
        Stage::parse(self.name())
    }
}

/// What one of those waited for has come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Progress {
    name: String,
    reached: bool,
    /// Where it is, or why that is not known.
    at: String,
}

#[derive(Serialize)]
struct Waited {
    condition: &'static str,
    reached: bool,
    waited_secs: f64,
    subjects: Vec<Progress>,
}

pub(crate) async fn run(session: &mut Session, arguments: &WaitArguments) -> Result<Exit, Failure> {
    let site =
        if arguments.condition == Condition::Up { session.site_if_good() } else { Some(session.site()?) };
    let names = subjects(session, arguments, site.as_ref())?;
    let began = clock::now();
    let mut before: Vec<Progress> = Vec::new();
    loop {
        let subjects = look(session, arguments.condition, &names, site.as_ref()).await;
        let elapsed = clock::now().saturating_duration_since(began);
        report_changes(session, &before, &subjects);
        let reached = subjects.iter().all(|subject| subject.reached);
        if reached || elapsed >= arguments.timeout {
            let waited_secs = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
            let condition = arguments.condition.name();
            session.show(&Waited { condition, reached, waited_secs, subjects })?;
            return Ok(if reached { Exit::Done } else { Exit::TimedOut });
        }
        before = subjects;
        tokio::time::sleep(ASK_EVERY.min(arguments.timeout - elapsed)).await;
    }
}

/// Who is waited for. A node that the site file does not have would be waited for in vain.
fn subjects(
    session: &Session,
    arguments: &WaitArguments,
    site: Option<&Site>,
) -> Result<Vec<String>, Failure> {
    if arguments.condition == Condition::Up {
        let names = match arguments.names.as_slice() {
            [] => session
                .daemons
                .list(site)
                .into_iter()
                .filter(|daemon| daemon.wanted)
                .map(|d| d.name)
                .collect(),
            names => names.to_vec(),
        };
        return match names.is_empty() {
            true => Err(Failure::failed("the site file enables no daemon to wait for")),
            false => Ok(names),
        };
    }
    if arguments.names.is_empty() {
        return Err(Failure::usage("name the nodes to wait for; farosctl node list shows them"));
    }
    arguments.names.iter().map(|name| crate::node::name_of(site, name)).collect()
}

async fn look(
    session: &Session,
    condition: Condition,
    names: &[String],
    site: Option<&Site>,
) -> Vec<Progress> {
    match condition.stage() {
        Some(wanted) => stages(session, names, wanted).await,
        None if condition == Condition::Dhcp => addresses(session, names, site).await,
        None => daemons_up(session, names).await,
    }
}

async fn stages(session: &Session, names: &[String], wanted: Stage) -> Vec<Progress> {
    let nodes = state::fetch(&session.daemons).await;
    let progress = |name: &String| {
        let (reached, at) = match &nodes {
            Ok(nodes) => match nodes.iter().find(|node| node.name == *name).and_then(|node| node.stage) {
                Some(stage) => (stage >= wanted, stage.name().to_owned()),
                None => (false, "unknown to ignition-http".to_owned()),
            },
            Err(error) => (false, error.to_string()),
        };
        Progress { name: name.clone(), reached, at }
    };
    names.iter().map(progress).collect()
}

async fn addresses(session: &Session, names: &[String], site: Option<&Site>) -> Vec<Progress> {
    let leases = leases::fetch(&session.daemons).await;
    let progress = |name: &String| {
        let (reached, at) = match &leases {
            Ok(leases) => {
                let machine = Machine::resolve(name, site, leases).unwrap_or_else(|| Machine::named(name));
                let lease = leases.iter().find(|lease| lease.is_active() && lease.concerns(&machine));
                let address = lease.and_then(|lease| lease.address);
                (
                    lease.is_some(),
                    address.map_or_else(|| "no lease".to_owned(), |address| address.to_string()),
                )
            }
            Err(error) => (false, error.to_string()),
        };
        Progress { name: name.clone(), reached, at }
    };
    names.iter().map(progress).collect()
}

async fn daemons_up(session: &Session, names: &[String]) -> Vec<Progress> {
    let answers = session.daemons.get_each(names, "/status").await;
    let progress = |(name, answer): (&str, Result<_, _>)| {
        let (reached, at) = if answer.is_ok() { (true, "up") } else { (false, "down") };
        Progress { name: name.to_owned(), reached, at: at.to_owned() }
    };
    answers.into_iter().map(progress).collect()
}

/// One line per change of state: readable in a terminal and in the log of a script alike.
fn report_changes(session: &mut Session, before: &[Progress], after: &[Progress]) {
    for subject in after.iter().filter(|subject| !before.contains(subject)) {
        session.note(&format!("{}: {}", harmless(&subject.name), harmless(&subject.at)));
    }
}

impl Human for Waited {
    fn human(&self, paint: Paint) -> String {
        let span = time::span(Duration::from_secs_f64(self.waited_secs));
        if self.reached {
            return format!("{} after {span}\n", paint.tone(Tone::Good, self.condition));
        }
        let missing: Vec<String> = self
            .subjects
            .iter()
            .filter(|subject| !subject.reached)
            .map(|subject| format!("{} ({})", harmless(&subject.name), harmless(&subject.at)))
            .collect();
        let condition = paint.tone(Tone::Bad, &format!("not {}", self.condition));
        format!("{condition} after {span}: {}; see: farosctl explain NODE\n", missing.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_but_held_can_be_waited_for() {
        for stage in Stage::value_variants() {
            let named =
                Condition::value_variants().iter().find(|condition| condition.stage() == Some(*stage));
            assert_eq!(named.is_some(), *stage != Stage::Held, "{stage:?}");
        }
    }

    #[test]
    fn a_timeout_says_who_is_where() {
        let subject =
            |name: &str, reached, at: &str| Progress { name: name.to_owned(), reached, at: at.to_owned() };
        let waited = Waited {
            condition: "installed",
            reached: false,
            waited_secs: 61.5,
            subjects: vec![subject("cp1", true, "disk"), subject("cp2", false, "kernel")],
        };
        let text = waited.human(Paint::default());
        assert_eq!(text, "not installed after 1 min: cp2 (kernel); see: farosctl explain NODE\n");
    }
}
