//! Reading the log back. These read files as a whole: not for a thread that serves.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::KeyAge;
use super::files;

/// The last `limit` entries with a number above `since`, oldest first.
///
/// # Errors
/// The system's refusal.
pub fn latest(directory: &Path, since: u64, limit: usize) -> io::Result<Vec<Value>> {
    let mut newest_first = Vec::new();
    for (_, path) in files::list(directory)?.into_iter().rev() {
        let content = std::fs::read(path)?;
        let lines: Vec<_> = files::lines(&content).0.collect();
        for line in lines.into_iter().rev() {
            if newest_first.len() >= limit {
                newest_first.reverse();
                return Ok(newest_first);
            }
            let Ok(entry) = serde_json::from_slice::<Value>(line) else { continue };
            if entry.get("seq").and_then(Value::as_u64).is_some_and(|seq| seq <= since) {
                newest_first.reverse();
                return Ok(newest_first);
            }
            newest_first.push(entry);
        }
    }
    newest_first.reverse();
    Ok(newest_first)
}

/// The use that somebody made of a key, as far as the log reaches back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyUse {
    /// The key's S256 thumbprint.
    pub thumbprint: String,
    /// The node, or the address where it was no node's.
    pub who: String,
    /// Whether the key was rotated out at its last use.
    pub key: KeyAge,
    /// Number of exchanges.
    pub count: u64,
    /// The last of them, RFC 3339.
    pub last: String,
}

/// Who has used which key, by thumbprint and then by name: as long as a rotated key is still used by somebody, deleting
/// it locks somebody out.
///
/// # Errors
/// The system's refusal.
pub fn uses(directory: &Path) -> io::Result<Vec<KeyUse>> {
    #[derive(Deserialize)]
    struct Exchange<'a> {
        decision: &'a str,
        time: String,
        thumbprint: Option<String>,
        key: Option<KeyAge>,
        node: Option<String>,
        address: Option<String>,
    }
    let mut uses = BTreeMap::<(String, String), KeyUse>::new();
    for (_, path) in files::list(directory)? {
        let content = std::fs::read(path)?;
        for line in files::lines(&content).0 {
            let Ok(exchange) = serde_json::from_slice::<Exchange<'_>>(line) else { continue };
            let Exchange {
                decision: "recovered", time, thumbprint: Some(thumbprint), key: Some(key), ..
            } = exchange
            else {
                continue;
            };
            let Some(who) = exchange.node.or(exchange.address) else { continue };
            let used = uses.entry((thumbprint, who)).or_insert_with_key(|(thumbprint, who)| KeyUse {
                thumbprint: thumbprint.clone(),
                who: who.clone(),
                key,
                count: 0,
                last: String::new(),
            });
            used.count += 1;
            (used.key, used.last) = (key, time);
        }
    }
    Ok(uses.into_values().collect())
}
