//! `farosctl dns …`: what names resolve to.

mod network;
mod query;

use crate::cli::DnsCommand;
use crate::exit::{Exit, Failure};
use crate::session::Session;

pub(crate) async fn run(session: &mut Session, command: DnsCommand) -> Result<Exit, Failure> {
    match command {
        DnsCommand::Query { name, kind, client, server } => {
            query::run(session, &name, kind.as_deref(), client, server.as_deref()).await
        }
    }
}
