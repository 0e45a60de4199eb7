//! `farosctl lb …`: balancing. Who serves, and who shall.

mod arguments;
mod bootstrap;
mod change;
mod drain;
mod import;
mod status;

pub(crate) use arguments::LbCommand;

use faros_common::admin::client::ClientError;
use serde_json::Value;

use crate::daemons::LB;
use crate::exit::{Exit, Failure, advice};
use crate::output::harmless;
use crate::session::Session;

pub(crate) async fn run(session: &mut Session, command: LbCommand) -> Result<Exit, Failure> {
    match command {
        LbCommand::Status { frontend } => status::run(session, frontend.as_deref()).await,
        LbCommand::Drain { server, within, timeout, no_wait } => {
            drain::run(session, &server, within, timeout, !no_wait).await
        }
        LbCommand::Enable { server } => change::mode(session, &server, "enable").await,
        LbCommand::Maintenance { server } => change::mode(session, &server, "maintenance").await,
        LbCommand::Add { frontend, name, address, weight, backup, persist } => {
            let server = change::NewServer { name, address, weight, backup };
            change::add(session, &frontend, &server, persist).await
        }
        LbCommand::Remove { server, persist, cut } => change::remove(session, &server, persist, cut).await,
        LbCommand::Retire { frontend } => bootstrap::run(session, frontend.as_deref(), "retire").await,
        LbCommand::Recall { frontend } => bootstrap::run(session, frontend.as_deref(), "recall").await,
        LbCommand::Import(arguments) => import::run(session, &arguments),
    }
}

/// All front ends, or the one of that name.
async fn frontends(session: &Session, only: Option<&str>) -> Result<Vec<Value>, Failure> {
    let answer = session.daemons.get(LB, "/frontends").await.map_err(|error| failed(&error))?;
    let Value::Array(mut fronts) = answer else {
        return Err(Failure::failed("lb answers in another form; is it of the same version as farosctl?"));
    };
    if let Some(only) = only {
        let names: Vec<String> = fronts.iter().map(|front| text(front, "name").to_owned()).collect();
        fronts.retain(|front| text(front, "name") == only);
        if fronts.is_empty() {
            let names = harmless(&names.join(", "));
            return Err(Failure::failed(format!(
                "there is no front end {}; there are: {names}",
                harmless(only)
            )));
        }
    }
    Ok(fronts)
}

fn failed(error: &ClientError) -> Failure {
    Failure::failed(advice(LB, error))
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A number inside `value`, by the keys that lead to it.
fn number(value: &Value, path: &[&str]) -> Option<u64> {
    path.iter().try_fold(value, |value, key| value.get(key))?.as_u64()
}
