//! What can be said about the file's format: its JSON Schema and its reference page, from the tables' definitions.

use std::fmt::Write;

use serde_json::{Map, Value as Json, json};

use super::raw::RawSite;
use super::read::{Key, Shape, Table, Value};

/// The JSON Schema (draft 2020-12) of the site file, for editors. It knows keys, types, words and bounds; what must
/// fit together only [`parse`](super::parse) knows.
pub fn schema() -> Json {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "faros site file",
    });
    if let (Json::Object(schema), Json::Object(root)) = (&mut schema, of_shape(&RawSite::shape())) {
        schema.extend(root);
    }
    schema
}

fn of_shape(shape: &Shape) -> Json {
    match shape {
        Shape::Text { form } => json!({ "type": "string", "minLength": 1, "$comment": form }),
        Shape::Integer { min, max } => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Shape::Boolean => json!({ "type": "boolean" }),
        Shape::Choice(words) => json!({ "enum": words }),
        Shape::List(of) => json!({ "type": "array", "items": of_shape(of) }),
        Shape::OneOrMany(of) => {
            json!({ "anyOf": [of_shape(of), { "type": "array", "items": of_shape(of) }] })
        }
        Shape::Named { of, .. } => json!({ "type": "object", "additionalProperties": of_shape(of) }),
        Shape::Either(shapes) => json!({ "anyOf": shapes.iter().map(of_shape).collect::<Vec<_>>() }),
        Shape::Table(table) => of_table(table),
    }
}

fn of_table(table: &Table) -> Json {
    let property = |key: &Key| {
        let mut schema = of_shape(&key.shape);
        if let Json::Object(schema) = &mut schema {
            let form = schema.remove("$comment");
            let mut description = key.doc.clone();
            if let Some(form) = form.as_ref().and_then(Json::as_str) {
                let _ = write!(description, " Form: {form}.");
            }
            if let Some(default) = key.default {
                let _ = write!(description, " Default: {default}.");
            }
            schema.insert("description".to_owned(), description.into());
        }
        (key.name.to_owned(), schema)
    };
    let required: Vec<_> = table.keys.iter().filter(|key| key.required).map(|key| key.name).collect();
    let mut schema = json!({
        "type": "object",
        "description": table.doc,
        "properties": table.keys.iter().map(property).collect::<Map<_, _>>(),
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

/// The reference page of the site file, in Markdown: every key of every table.
pub fn reference() -> String {
    let mut page = String::from(
        "# Site file reference\n\n\
         One TOML file describes a site; every daemon and every tool derives its part from it. This page is made from \
         the definitions that read the file (`farosctl site schema` prints the same as JSON Schema).\n\n\
         Unknown keys are refused. A secret never stands in the file: it is named as `{ file = \"…\" }`, \
         `{ env = \"…\" }` or `{ credential = \"…\" }`. Durations look like `30s`, `1h` or `1h 30m`; sizes like `512M` \
         or `16G`; MAC addresses may have any usual notation.\n",
    );
    let mut tables = Vec::new();
    tables_of("", &RawSite::shape(), &mut tables);
    for (path, table) in &tables {
        let title = match path.strip_suffix("[]") {
            _ if path.is_empty() => "Top level".to_owned(),
            Some(list) => format!("`[[{list}]]`"),
            None => format!("`[{path}]`"),
        };
        let _ = write!(page, "\n## {title}\n\n{}\n\n", table.doc);
        page.push_str("| Key | Value | Without it |\n|---|---|---|\n");
        for key in &table.keys {
            let without = match key.default {
                _ if key.required => "**required**",
                Some(default) => default,
                None => "—",
            };
            let value = key.shape.table().map_or_else(
                || key.shape.words(),
                |(inner, suffix)| match key.shape {
                    Shape::Either(_) => key.shape.words(),
                    _ => format!("{} table{}", inner.keys.len(), suffix),
                },
            );
            let value = match (&key.shape, key.shape.table()) {
                (Shape::Table(_), _) => format!("[table](#{})", anchor(path, key.name, "")),
                (Shape::List(_), Some(_)) => format!("[list of tables](#{})", anchor(path, key.name, "[]")),
                (Shape::Named { .. }, Some(_)) => {
                    format!("[tables by name](#{})", anchor(path, key.name, ".NAME"))
                }
                _ => value,
            };
            let _ = writeln!(
                page,
                "| `{}` | {} {} | {} |",
                key.name,
                cell(&key.doc),
                cell(&format!("*{value}*")),
                cell(without)
            );
        }
    }
    page
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// The anchor that Markdown viewers give to a table's heading.
fn anchor(path: &str, key: &str, suffix: &str) -> String {
    let path = join(path, key);
    format!("{path}{suffix}")
        .to_lowercase()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .collect()
}

fn join(path: &str, key: &str) -> String {
    let path = path.trim_end_matches("[]");
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Every table inside `shape`, with its path as headings show it.
fn tables_of(path: &str, shape: &Shape, tables: &mut Vec<(String, Table)>) {
    let Some((table, suffix)) = shape.table() else { return };
    let path = format!("{path}{suffix}");
    tables.push((path.clone(), table.clone()));
    for key in &table.keys {
        tables_of(&join(&path, key.name), &key.shape, tables);
    }
}

/// Every key of every table, as paths (`lan.pool`, `node[].mac`, `profile.NAME.args`).
#[cfg(test)]
pub(crate) fn keys() -> Vec<(String, &'static str)> {
    let mut tables = Vec::new();
    tables_of("", &RawSite::shape(), &mut tables);
    tables
        .iter()
        .flat_map(|(path, table)| table.keys.iter().map(move |key| (path.clone(), key.name)))
        .collect()
}
