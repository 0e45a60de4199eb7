//! `farosctl boot …`: loaders, scripts, and machines that nobody knows.

pub(crate) mod loaders;
mod script;
mod unknown;

use crate::cli::BootCommand;
use crate::exit::{Exit, Failure};
use crate::session::Session;

pub(crate) async fn run(session: &mut Session, command: BootCommand) -> Result<Exit, Failure> {
    match command {
        BootCommand::Loaders { command } => loaders::run(session, command),
        BootCommand::Script { node } => script::run(session, &node).await,
        BootCommand::Unknown => unknown::run(session).await,
    }
}
