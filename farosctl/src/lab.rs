//! `farosctl lab`: the whole site on this machine.

use crate::cli::LabArguments;
use crate::exit::{Exit, Failure};
use crate::session::Session;

pub(crate) fn run(session: &mut Session, arguments: &LabArguments) -> Result<Exit, Failure> {
    let _ = (session, arguments);
    Err(Failure::failed("later"))
}
