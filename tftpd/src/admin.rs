//! The daemon's own verbs: `GET /transfers` and `GET /explain?file=NAME`, the latter also with `mac`, `node`,
//! `address` and `uuid`.

use std::net::IpAddr;

use faros_common::admin::{AdminRequest, AdminResponse};
use faros_common::clock;
use faros_common::site::Mac;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::config::{Config, Machine};
use crate::files::{self, Content, Rule};
use crate::server::intake::Intake;

/// The loaders that DHCP names, and for which firmware.
const LOADERS: [(&str, &str); 3] =
    [("BIOS", "undionly.kpxe"), ("UEFI x64", "snponly.efi"), ("UEFI arm64", "snponly-arm64.efi")];

/// Answers a verb; `None`: there is none of that name.
pub fn answer(intake: &Intake, request: &AdminRequest) -> Option<AdminResponse> {
    match (&request.method, request.path.as_str()) {
        (&Method::GET, "/transfers") => {
            let now = clock::now();
            let all: Vec<Value> = intake.table.snapshot().iter().map(|info| info.to_json(now)).collect();
            Some(AdminResponse::json(&all))
        }
        (&Method::GET, "/explain") => {
            let answer = explain(&intake.config.load(), |key| request.query(key));
            Some(match answer {
                Ok(answer) => AdminResponse::json(&answer),
                Err(message) => AdminResponse::error(StatusCode::BAD_REQUEST, &message),
            })
        }
        (_, "/transfers" | "/explain") => {
            Some(AdminResponse::error(StatusCode::METHOD_NOT_ALLOWED, "this verb takes GET"))
        }
        _ => None,
    }
}

/// What a client would get for `file`, or without one for the loaders that DHCP names.
fn explain<'a>(config: &Config, query: impl Fn(&str) -> Option<&'a str>) -> Result<Value, String> {
    let mut because: Vec<String> = who(config, &query)?.into_iter().collect();
    because.push(format!("requests are answered that arrive on {}", config.lan));
    if let Some(file) = query("file") {
        let (would, rule, reason) = outcome(config, file);
        because.push(reason);
        return Ok(json!({ "would": would, "rule": rule, "because": because }));
    }
    let mut would = Vec::new();
    for (firmware, file) in LOADERS {
        let (outcome, _, reason) = outcome(config, file);
        would.push(format!("{firmware}: asking for {file}, {outcome}"));
        because.push(format!("{file}: {reason}"));
    }
    because
        .push("DHCP names the loader by the firmware's kind; file=NAME asks about any other file".to_owned());
    Ok(json!({ "would": would.join("\n"), "rule": "loader_by_firmware", "because": because }))
}

/// Who it is about; nothing, where nobody is named.
fn who<'a>(config: &Config, query: impl Fn(&str) -> Option<&'a str>) -> Result<Option<String>, String> {
    let describe = |what: &str, machine: Option<&Machine>| match machine {
        Some(machine) => format!("{what} is {}", machine.name),
        None => format!("{what} is not in the site file; every client on {} is served alike", config.lan),
    };
    let find = |is: &dyn Fn(&Machine) -> bool| config.machines.iter().find(|machine| is(machine));
    Ok(Some(if let Some(text) = query("mac") {
        let mac: Mac = text.parse().map_err(|error| format!("{text}: {error}"))?;
        describe(&mac.to_string(), find(&|machine| machine.macs.contains(&mac)))
    } else if let Some(name) = query("node") {
        let machine = find(&|machine| machine.name == name);
        describe(name, Some(machine.ok_or_else(|| format!("{name} is not in the site file"))?))
    } else if let Some(text) = query("address") {
        let address: IpAddr =
            text.parse().map_err(|_| format!("{text} is no IP address: write address=192.168.8.11"))?;
        describe(text, config.machine_at(address))
    } else if let Some(uuid) = query("uuid") {
        describe(uuid, find(&|machine| machine.has_uuid(uuid)))
    } else {
        return Ok(None);
    }))
}

/// What a client that asks for `file` would get, by which rule, and why.
fn outcome(config: &Config, file: &str) -> (String, &'static str, String) {
    match files::locate(file.as_bytes(), config) {
        Ok(located) => {
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
            (would, located.rule.name(), reason(located.rule, config))
        }
        Err(refusal) => {
            let would = format!("get ERROR {}: {}", refusal.code as u16, refusal.text);
            let looked = format!(
                "looked below {}, in its folder loaders, and where packages put loaders",
                config.root.display()
            );
            (would, refusal.reason, looked)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::config;

    /// The answer to pairs of key and value.
    fn asked(config: &Config, pairs: &[(&str, &'static str)]) -> Result<Value, String> {
        explain(config, |key| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| *value))
    }

    fn with_cp1(root: &std::path::Path) -> Config {
        let mut config = config(root);
        config.machines.push(Machine {
            name: "cp1".to_owned(),
            node: Some("cp1".to_owned()),
            macs: vec!["52:54:00:00:08:11".parse().unwrap(), "52:54:00:00:08:12".parse().unwrap()],
            uuid: Some("564D1234-0000-0000-0000-0000000000AB".to_owned()),
            addresses: vec!["192.0.2.11".parse().unwrap()],
        });
        config
    }

    #[test]
    fn a_machine_is_known_by_each_of_its_names() {
        let root = tempfile::tempdir().unwrap();
        let config = with_cp1(root.path());
        for (key, value) in [
            ("mac", "52-54-00-00-08-12"),
            ("node", "cp1"),
            ("address", "192.0.2.11"),
            ("uuid", "564d1234-0000-0000-0000-0000000000ab"),
        ] {
            let answer = asked(&config, &[(key, value)]).unwrap();
            assert!(answer["because"][0].as_str().unwrap().ends_with(" is cp1"), "{key}: {answer}");
        }
        for (key, value) in [("mac", "52:54:00:00:08:ff"), ("address", "192.0.2.12"), ("uuid", "x")] {
            let answer = asked(&config, &[(key, value)]).unwrap();
            assert!(
                answer["because"][0].as_str().unwrap().contains("not in the site file"),
                "{key}: {answer}"
            );
        }
        for (key, value) in [("mac", "52"), ("node", "cp9"), ("address", "cp1")] {
            assert!(asked(&config, &[(key, value)]).unwrap_err().starts_with(value), "{key}");
        }
    }

    #[test]
    fn without_a_file_every_loader_is_looked_for() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("snponly.efi"), "loader").unwrap();
        let answer = asked(&with_cp1(root.path()), &[("node", "cp1")]).unwrap();
        let would: Vec<&str> = answer["would"].as_str().unwrap().lines().collect();
        assert_eq!(would.len(), LOADERS.len());
        assert!(would[1].starts_with("UEFI x64: asking for snponly.efi, be sent "), "{would:?}");
        assert!(would[1].ends_with("/snponly.efi (6 bytes)"), "{would:?}");
        assert_eq!(answer["rule"], "loader_by_firmware");
    }

    #[test]
    fn a_file_is_explained_alone() {
        let root = tempfile::tempdir().unwrap();
        let answer = asked(&with_cp1(root.path()), &[("file", "nothing")]).unwrap();
        assert_eq!(answer["would"], "get ERROR 1: file not found: nothing");
        assert_eq!(answer["rule"], "not_found");
    }
}
