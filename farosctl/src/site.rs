//! `farosctl site …`: what the site file may say, and what ours says.

use faros_common::site;

use crate::cli::SiteCommand;
use crate::exit::{Exit, Failure};
use crate::session::Session;

pub(crate) fn run(session: &mut Session, command: &SiteCommand) -> Result<Exit, Failure> {
    match command {
        SiteCommand::Schema => todo!(),
        _ => todo!(),
    }
}
