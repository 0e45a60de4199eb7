//! The boot script that a node would get now, without the node's state taking notice.

use serde::Serialize;
use serde_json::Value;

use crate::daemons::{IGNITION_HTTP, query_value};
use crate::exit::{Exit, Failure, advice};
use crate::node::name_of;
use crate::output::{Human, Paint};
use crate::session::Session;

pub(super) async fn run(session: &mut Session, argument: &str) -> Result<Exit, Failure> {
    let site = session.site_if_good();
    let name = name_of(site.as_ref(), argument)?;
    let path = format!("/explain?node={}", query_value(&name));
    let answer = session.daemons.get(IGNITION_HTTP, &path).await;
    let answer = answer.map_err(|error| Failure::failed(advice(IGNITION_HTTP, &error)))?;
    session.show(&Script { node: name, answer })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Script {
    node: String,
    #[serde(flatten)]
    answer: Value,
}

impl Human for Script {
    fn human(&self, _: Paint) -> String {
        let script = ["script", "would"].iter().find_map(|key| self.answer.get(key)?.as_str());
        format!("{}\n", script.unwrap_or_default().trim_end())
    }
}
