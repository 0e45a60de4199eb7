//! `farosctl node …`: the machines of the site, and what their next network boot does.

mod arm;
mod list;
pub(crate) mod state;

use faros_common::site::Site;

use crate::cli::NodeCommand;
use crate::exit::{Exit, Failure};
use crate::machine::Machine;
use crate::output::harmless;
use crate::session::Session;

pub(crate) async fn run(session: &mut Session, command: NodeCommand) -> Result<Exit, Failure> {
    match command {
        NodeCommand::List => list::list(session).await,
        NodeCommand::Show { node } => list::show(session, &node).await,
        NodeCommand::Install { nodes, yes } => arm::install(session, &nodes, yes).await,
        NodeCommand::Disarm { nodes } => arm::disarm(session, &nodes).await,
    }
}

/// The name of the node that `argument` means: its name, one of its cards or its address.
pub(crate) fn name_of(site: Option<&Site>, argument: &str) -> Result<String, Failure> {
    let Some(site) = site else { return Ok(argument.to_owned()) };
    let machine = Machine::resolve(argument, Some(site), &[]);
    let name = machine.and_then(|machine| machine.name);
    match name.and_then(|name| site.node_by_name(&name)) {
        Some(node) => Ok(node.name.clone()),
        None => Err(Failure::failed(format!(
            "{} is no node of the site file{}; farosctl node list shows them",
            harmless(argument),
            suggestion(site, argument)
        ))),
    }
}

fn suggestion(site: &Site, argument: &str) -> String {
    let near =
        |name: &&str| name.starts_with(argument) || argument.starts_with(*name) || is_one_off(name, argument);
    match site.nodes.iter().map(|node| node.name.as_str()).find(|name| near(name)) {
        Some(name) if !argument.is_empty() => format!(" (did you mean {name}?)"),
        _ => String::new(),
    }
}

/// Whether two names differ in one place only.
fn is_one_off(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).filter(|(a, b)| a != b).count() == 1
}
