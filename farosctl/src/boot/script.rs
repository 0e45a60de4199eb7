//! The boot script that a node would get now, without the node's state taking notice.

use serde::Serialize;
use serde_json::Value;

use crate::daemons::{IGNITION_HTTP, query_value};
use crate::exit::{Exit, Failure, advice};
use crate::node::name_of;
use crate::output::{Human, Paint, harmless};
use crate::session::Session;

pub(super) async fn run(session: &mut Session, argument: &str) -> Result<Exit, Failure> {
    let site = session.site_if_good();
    let name = name_of(site.as_ref(), argument)?;
    let path = format!("/explain?node={}", query_value(&name));
    let answer = session.daemons.get(IGNITION_HTTP, &path).await;
    let answer = answer.map_err(|error| Failure::failed(advice(IGNITION_HTTP, &error)))?;
    if script_in(&answer).is_none() {
        let text =
            format!("{IGNITION_HTTP} answered without a script; is it of the same version as farosctl?");
        return Err(Failure::failed(text));
    }
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
        script_in(&self.answer)
            .unwrap_or_default()
            .trim_end()
            .lines()
            .map(|line| harmless(line) + "\n")
            .collect()
    }
}

fn script_in(answer: &Value) -> Option<&str> {
    ["script", "would"].iter().find_map(|key| answer.get(key)?.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_shown_line_by_line_and_cannot_steer_the_terminal() {
        let answer = serde_json::json!({ "script": "#!ipxe\nboot \u{1b}[2J\n\n" });
        let text = Script { node: "cp1".to_owned(), answer }.human(Paint::default());
        assert_eq!(text, "#!ipxe\nboot \\u{1b}[2J\n");
        assert_eq!(script_in(&Value::Null), None);
    }
}
