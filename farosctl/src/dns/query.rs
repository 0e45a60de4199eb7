//! `farosctl dns query`: an answer, and where it comes from.

use std::net::IpAddr;

use faros_common::site::{Site, pointer_owner};
use serde::Serialize;
use serde_json::Value;

use super::network;
use crate::daemons::{DNSD, query_value};
use crate::exit::{Exit, Failure, advice};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, harmless};
use crate::session::Session;

pub(super) async fn run(
    session: &mut Session,
    name: &str,
    kind: Option<&str>,
    client: Option<IpAddr>,
    server: Option<&str>,
) -> Result<Exit, Failure> {
    let is_label = !name.contains('.') && name.parse::<IpAddr>().is_err();
    let site = if is_label { session.site_if_good() } else { None };
    let (name, usual) = meant(name, site.as_ref());
    let kind = kind.unwrap_or(usual);
    let answer = match server {
        Some(server) => network::ask(server, &name, kind).await?,
        None => {
            let mut path = format!("/query?name={}&type={}", query_value(&name), query_value(kind));
            if let Some(client) = client {
                path += &format!("&client={client}");
            }
            let answer = session.daemons.get(DNSD, &path).await;
            answer.map_err(|error| Failure::failed(advice(DNSD, &error)))?
        }
    };
    let failed = matches!(text(&answer, "rcode"), Some(rcode) if !matches!(rcode, "NOERROR" | "NXDOMAIN"));
    session.show(&Answer(answer))?;
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

/// The absolute name that is meant, and the type that is asked for unless another one is given.
fn meant(name: &str, site: Option<&Site>) -> (String, &'static str) {
    if let Ok(address) = name.parse::<IpAddr>() {
        return (pointer_owner(address), "PTR");
    }
    match site {
        Some(site) if !name.contains('.') => (site.absolute(name), "A"),
        _ => (name.to_owned(), "A"),
    }
}

/// What dnsd said.
#[derive(Serialize)]
#[serde(transparent)]
struct Answer(Value);

impl Human for Answer {
    fn human(&self, paint: Paint) -> String {
        let answer = &self.0;
        let shown = |key: &str| harmless(text(answer, key).unwrap_or_default());
        let rcode = shown("rcode");
        let tone = match rcode.as_str() {
            "NOERROR" => Tone::Good,
            "NXDOMAIN" => Tone::Strong,
            _ => Tone::Bad,
        };
        let micros = answer.get("micros").and_then(Value::as_u64).unwrap_or_default();
        let mut said = format!(
            "{} {}: {}, from {} in {}",
            shown("name"),
            shown("type"),
            paint.tone(tone, &rcode),
            paint.tone(Tone::Strong, &shown("source")),
            milliseconds(micros),
        );
        for (key, word) in [("authoritative", "authoritative"), ("authentic", "validated")] {
            if answer.get(key).and_then(Value::as_bool) == Some(true) {
                said += &format!(", {word}");
            }
        }
        said.push('\n');
        if let Some(error) = answer.get("ede").filter(|error| !error.is_null()) {
            let code = error.get("code").and_then(Value::as_u64).unwrap_or_default();
            said +=
                &format!("extended error {code}: {}\n", harmless(text(error, "text").unwrap_or_default()));
        }
        let answers = records(answer, "answers");
        // Of the authority section only what explains an empty answer is of interest.
        let shown = if answers.is_empty() { records(answer, "authorities") } else { answers };
        if !shown.is_empty() {
            let mut table = Table::new(["NAME", "TTL", "TYPE", "DATA"]);
            for record in shown {
                let ttl = record.get("ttl").and_then(Value::as_u64).unwrap_or_default();
                let part = |key: &str| text(record, key).unwrap_or_default();
                let data = Cell::new(Tone::Strong, part("data"));
                table.row([part("name").into(), ttl.to_string().into(), part("type").into(), data]);
            }
            said += &table.render(paint);
        }
        said
    }
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

fn records<'v>(answer: &'v Value, section: &str) -> Vec<&'v Value> {
    answer.get(section).and_then(Value::as_array).map(|list| list.iter().collect()).unwrap_or_default()
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    #[test]
    fn short_names_are_the_clusters_and_addresses_are_turned_round() {
        let text = "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\n[lan]\ninterface = \"l\"\naddress = \"192.168.8.1/24\"\n";
        let site = faros_common::site::parse(text, Path::new("s")).unwrap().site;
        let meant = |name: &str| meant(name, Some(&site));
        assert_eq!(meant("cp1"), ("cp1.edge.example.com.".to_owned(), "A"));
        assert_eq!(meant("quay.io"), ("quay.io".to_owned(), "A"));
        assert_eq!(meant("cp1."), ("cp1.".to_owned(), "A"));
        assert_eq!(meant("192.168.8.11"), ("11.8.168.192.in-addr.arpa.".to_owned(), "PTR"));
        assert_eq!(super::meant("cp1", None), ("cp1".to_owned(), "A"));
    }

    #[test]
    fn an_answer_is_shown_with_its_source() {
        let answer = Answer(json!({
            "name": "quay.io.", "type": "A", "rcode": "NOERROR", "authoritative": false, "source": "stale",
            "micros": 1234, "ede": { "code": 3, "text": "stale\u{7}" },
            "answers": [{ "name": "quay.io.", "ttl": 30, "type": "A", "data": "192.0.2.1" }],
            "authorities": [{ "name": "quay.io.", "ttl": 30, "type": "NS", "data": "ns.quay.io." }],
        }));
        assert_eq!(
            answer.human(Paint::default()),
            "quay.io. A: NOERROR, from stale in 1.23 ms\nextended error 3: stale\\u{7}\n\
             NAME      TTL  TYPE  DATA\nquay.io.  30   A     192.0.2.1\n"
        );
    }

    #[test]
    fn an_empty_answer_is_explained_by_its_authority() {
        let answer = Answer(json!({
            "name": "x.edge.example.com.", "type": "A", "rcode": "NXDOMAIN", "authoritative": true, "source": "zone",
            "micros": 7, "answers": [], "authorities": [{ "name": "edge.example.com.", "ttl": 120, "type": "SOA", "data": "…" }],
        }));
        let shown = answer.human(Paint::default());
        assert!(
            shown.starts_with("x.edge.example.com. A: NXDOMAIN, from zone in 0.00 ms, authoritative\n"),
            "{shown}"
        );
        assert!(shown.contains("SOA"), "{shown}");
        assert_eq!(Answer(json!("x")).human(Paint::default()).lines().count(), 1);
    }
}
