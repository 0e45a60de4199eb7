//! The daemon's own verbs: `GET /transfers` and `GET /explain?file=NAME`.

use std::net::IpAddr;

use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::clock;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::config::Config;
use crate::files::{self, Content, Rule};
use crate::server::intake::Intake;

/// Answers a verb; `None`: there is none of that name.
pub fn answer(intake: &Intake, request: &AdminRequest) -> Option<AdminResponse> {
    match (&request.method, request.path.as_str()) {
        (&Method::GET, "/transfers") => {
            let now = clock::now();
            let all: Vec<Value> = intake.table.snapshot().iter().map(|info| info.to_json(now)).collect();
            Some(AdminResponse::json(&all))
        }
        (&Method::GET, "/explain") => Some(explain(&intake.config.load(), request)),
        _ => None,
    }
}

/// What a client that asks for `file` would get.
fn explain(config: &Config, request: &AdminRequest) -> AdminResponse {
    let mut because = Vec::new();
    match request.query("address").map(str::parse::<IpAddr>) {
        None => {}
        Some(Err(_)) => {
            return AdminResponse::error(
                StatusCode::BAD_REQUEST,
                "address is no IP address: write address=192.168.8.11",
            );
        }
        Some(Ok(address)) => because.push(match config.machines.get(&address) {
            Some(machine) => {
                let name = machine.node.as_deref().unwrap_or("a host of the site file");
                format!("{address} is reserved for {name}")
            }
            None => format!("{address} is not reserved; every client on {} is served alike", config.lan),
        }),
    }
    because.push(format!("requests are answered that arrive on {}", config.lan));
    let Some(file) = request.query("file") else {
        because.push("name a file (file=NAME) to learn where it would come from".to_owned());
        let would = format!("be served files below {}", config.root.display());
        return AdminResponse::json(&json!({ "would": would, "rule": "root", "because": because }));
    };
    match files::locate(file.as_bytes(), config) {
        Ok(located) => {
            because.push(reason(located.rule, config));
            let would = match &located.content {
                Content::File(file, path) => {
                    let bytes = file.metadata().map_or(0, |metadata| metadata.len());
                    format!("be sent {} ({bytes} bytes)", path.display())
                }
                Content::Script(script) => format!(
                    "be sent a script that leads to {}: {}",
                    config.scripts.base_url(),
                    String::from_utf8_lossy(script)
                ),
            };
            AdminResponse::json(&json!({ "would": would, "rule": located.rule.name(), "because": because }))
        }
        Err(refusal) => {
            because.push(format!(
                "looked below {}, in its folder loaders, and where packages put loaders",
                config.root.display()
            ));
            let would = format!("get ERROR {}: {}", refusal.code as u16, refusal.text);
            AdminResponse::json(&json!({ "would": would, "rule": refusal.reason, "because": because }))
        }
    }
}

fn reason(rule: Rule, config: &Config) -> String {
    match rule {
        Rule::Root => format!("the file is below {}", config.root.display()),
        Rule::Loaders => format!("the file is in {}/loaders", config.root.display()),
        Rule::OtherCase => {
            "no file has that name exactly; one differs in upper and lower case only".to_owned()
        }
        Rule::Distribution => {
            "no file below the root has that name; a package installed this loader".to_owned()
        }
        Rule::Script => {
            "no file has that name; loaders that look for it are led to the HTTP server".to_owned()
        }
    }
}
