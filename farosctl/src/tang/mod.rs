//! `farosctl tang …`: disk unlocking. Its keys, who unlocked what, and who may.

mod arguments;
mod audit;
mod butane;
mod forget;
mod gate;
mod keys;
mod seal;
mod waiting;

pub(crate) use arguments::TangCommand;

use faros_common::admin::client::ClientError;

use crate::daemons::TANGD;
use crate::exit::{Exit, Failure, advice};
use crate::session::Session;

pub(crate) async fn run(session: &mut Session, command: TangCommand) -> Result<Exit, Failure> {
    match command {
        TangCommand::ShowKeys { keys } => keys::show(session, keys.as_deref()).await,
        TangCommand::Rotate => keys::rotate(session).await,
        TangCommand::Forget { thumbprint, force, yes } => forget::run(session, &thumbprint, force, yes).await,
        TangCommand::Audit { file, lines } => audit::run(session, file.as_deref(), lines).await,
        TangCommand::Waiting => waiting::run(session).await,
        TangCommand::Approve { nodes, all, lasts } => gate::approve(session, nodes, all, lasts).await,
        TangCommand::Lock { nodes, all, reason } => gate::lock(session, nodes, all, reason.as_deref()).await,
        TangCommand::Unlock { nodes, all } => gate::unlock(session, nodes, all).await,
        TangCommand::Butane(arguments) => butane::run(session, &arguments).await,
        TangCommand::Sealing(command) => seal::run(session, command).await,
    }
}

fn failed(error: &ClientError) -> Failure {
    Failure::failed(advice(TANGD, error))
}
