//! JSON Schema and reference page.
/// The JSON Schema.
pub fn schema() -> serde_json::Value { serde_json::Value::Null }
/// The reference page.
pub fn reference() -> String { String::new() }
