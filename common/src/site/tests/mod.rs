//! Claims about the file's format as a whole, proven over the tables' own definitions.

mod mutation;

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::document::keys;
use super::{FILE_MAX, Severity, parse, reference, schema};

const CONTRACT: &str = include_str!("../../../tests/data/site.toml");
/// Every key of every table, at least once.
const FULL: &str = include_str!("../../../tests/data/full.toml");

fn report(text: &str) -> super::Report {
    parse(text, Path::new("site.toml")).map_or_else(|report| report, |loaded| loaded.report)
}

/// A key of a document: its table's path as the reference writes it, as findings write it, its name, and its place.
struct Place {
    table: String,
    path: String,
    name: String,
    span: Range<usize>,
}

fn places(table: &DeTable<'_>, pattern: &str, path: &str, found: &mut Vec<Place>) {
    let join = |path: &str, key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for (key, value) in table {
        let name = key.get_ref().to_string();
        found.push(Place {
            table: pattern.to_owned(),
            path: path.to_owned(),
            name: name.clone(),
            span: key.span(),
        });
        // Names that the user chooses stand as NAME in the reference.
        let inner = if pattern == "profile" {
            "profile.NAME".to_owned()
        } else {
            join(pattern.trim_end_matches("[]"), &name)
        };
        let inner_path = join(path, &name);
        match value.get_ref() {
            DeValue::Table(table) => places(table, &inner, &inner_path, found),
            DeValue::Array(array) => {
                for (index, entry) in array.iter().enumerate() {
                    if let DeValue::Table(table) = entry.get_ref() {
                        places(table, &format!("{inner}[]"), &format!("{inner_path}[{index}]"), found);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The slip of the finger: the last two letters change places, or the last comes twice.
fn misspelt(key: &str) -> String {
    let mut letters: Vec<char> = key.chars().collect();
    let last = letters.len() - 1;
    if last == 0 || letters[last] == letters[last - 1] {
        letters.push(letters[last]);
    } else {
        letters.swap(last, last - 1);
    }
    letters.into_iter().collect()
}

#[test]
fn every_key_of_every_table_misspelt_is_refused_in_its_place_with_the_right_one_suggested() {
    // A secret stands in one place only, so it takes three files to see all of them.
    let secrets = ["file = \"/etc/faros/pull-secret\"", "env = \"BMC_PASSWORD\"", "credential = \"bmc\""];
    let files: Vec<String> = secrets
        .iter()
        .map(|secret| secrets.iter().fold(FULL.to_owned(), |text, old| text.replace(old, secret)))
        .collect();
    let documents: Vec<Vec<Place>> = files
        .iter()
        .map(|text| {
            let full = parse(text, Path::new("full.toml"));
            assert!(full.is_ok(), "{}", full.unwrap_err());
            let mut all = Vec::new();
            places(DeTable::parse(text).unwrap().get_ref(), "", "", &mut all);
            all
        })
        .collect();
    let keys = keys();
    assert!(keys.len() > 150, "{} keys", keys.len());
    for (table, key) in keys {
        let found = files.iter().zip(&documents).find_map(|(text, all)| {
            Some((text, all.iter().find(|place| place.table == table && place.name == key)?))
        });
        let Some((text, place)) = found else { panic!("tests/data/full.toml lacks {table}.{key}") };
        let line = text[..place.span.start].matches('\n').count() + 1;
        let mut text = text.clone();
        let wrong = misspelt(key);
        text.replace_range(place.span.clone(), &wrong);
        let report = report(&text);
        let path = if place.path.is_empty() { wrong.clone() } else { format!("{}.{wrong}", place.path) };
        let found = report.diagnostics.iter().find(|found| found.key == path);
        let Some(found) = found else { panic!("{path} is not refused: {report}") };
        assert_eq!(found.severity, Severity::Error);
        assert_eq!(found.message, format!("unknown key \"{wrong}\""));
        assert_eq!(found.place.unwrap().line, line, "{path}");
        let help = found.help.as_deref().unwrap_or_default();
        assert!(help.contains(&format!("did you mean `{key}`?")), "{path}: {help}");
    }
}

#[test]
fn all_mistakes_are_found_in_one_run_in_the_order_of_the_file() {
    let mut text = CONTRACT.to_owned();
    for (right, wrong) in [
        ("kind   = \"openshift\"", "kin = \"openshift\""),
        ("\"192.168.8.128-192.168.8.250\"", "\"192.168.8.250-192.168.8.128\""),
        ("lease  = \"1h\"", "lease = \"1 fortnight\""),
        ("port = 8080", "port = 80800"),
        ("password = { credential = \"bmc\" }", "password = \"x\""),
        ("address = \"192.168.8.12\"", "address = \"192.168.8.11\""),
        ("name    = \"printer\"", "name = \"api\""),
    ] {
        assert!(text.contains(right), "{right}");
        text = text.replacen(right, wrong, 1);
    }
    let report = report(&text);
    let keys: Vec<_> = report.errors().map(|found| found.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "cluster.kin",
            "lan.pool",
            "dhcp.lease",
            "http.port",
            "bmc-defaults.password",
            "node[1].address",
            "host[0].name"
        ],
        "{report}"
    );
}

#[test]
fn a_secret_in_the_file_is_never_repeated() {
    let text = CONTRACT.replacen("{ credential = \"bmc\" }", "\"hunter2\"", 1);
    let text = text.replacen("redfish://192", "redfish://root:hunter2@192", 1);
    let report = report(&text);
    assert_eq!(report.errors().count(), 2, "{report}");
    assert!(!report.to_string().contains("hunter2"), "{report}");
}

#[test]
fn a_syntax_error_hides_no_misspelt_key() {
    let text = CONTRACT.replacen("name   = \"edge\"", "name = \"edge", 1).replacen("lease ", "leas ", 1);
    let report = report(&text);
    let shown: Vec<_> =
        report.errors().map(|found| (found.key.as_str(), found.place.unwrap().line)).collect();
    assert_eq!(shown, [("", 9), ("dhcp.leas", 46)], "{report}");
}

#[test]
fn an_open_bracket_is_one_error() {
    let report = report(&CONTRACT.replacen("\"eno3\"]", "\"eno3\"", 1));
    assert_eq!(report.errors().count(), 1, "{report}");
}

#[test]
fn a_file_beyond_the_limit_or_of_another_encoding_is_refused() {
    let large = format!("{CONTRACT}#{}", "x".repeat(FILE_MAX));
    assert!(report(&large).to_string().contains("larger than"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("site.toml");
    let load = || super::load(&path).unwrap_err().to_string();
    assert!(load().contains("cannot be read"));
    std::fs::write(&path, large).unwrap();
    assert!(load().contains("larger than"));
    std::fs::write(&path, b"version = 1\nx = \"\xff\"\n").unwrap();
    assert!(load().contains(":2:6: error: the file is not UTF-8"), "{}", load());
    std::fs::write(&path, CONTRACT).unwrap();
    assert!(super::load(&path).is_ok());
}

#[test]
fn the_schema_describes_every_key() {
    let schema = schema();
    assert_eq!(schema["required"], serde_json::json!(["version", "cluster", "lan"]));
    assert_eq!(schema["properties"]["node"]["items"]["properties"]["role"]["enum"][1], "control-plane");
    fn walk(schema: &serde_json::Value, described: &mut usize) {
        if let Some(properties) = schema["properties"].as_object() {
            assert_eq!(schema["additionalProperties"], false);
            for (key, property) in properties {
                assert!(property["description"].as_str().is_some_and(|text| text.len() > 3), "{key}");
                *described += 1;
            }
        }
        match schema {
            serde_json::Value::Object(map) => map.values().for_each(|value| walk(value, described)),
            serde_json::Value::Array(list) => list.iter().for_each(|value| walk(value, described)),
            _ => {}
        }
    }
    let mut described = 0;
    walk(&schema, &mut described);
    assert!(described >= keys().len(), "{described}");
}

#[test]
fn the_reference_page_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/site.md");
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == reference(),
        "docs/reference/site.md is old: cargo run -p faros-common --example site_reference > docs/reference/site.md"
    );
}
