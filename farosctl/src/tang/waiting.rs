//! `farosctl tang waiting`.

use std::time::SystemTime;

use faros_common::clock;
use serde::Serialize;
use serde_json::Value;

use super::failed;
use crate::daemons::TANGD;
use crate::exit::{Exit, Failure};
use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, harmless, time};
use crate::session::Session;

pub(super) async fn run(session: &mut Session) -> Result<Exit, Failure> {
    let answer = session.daemons.get(TANGD, "/waiting").await.map_err(|error| failed(&error))?;
    session.show(&Waiting { now: clock::wall(), answer })?;
    Ok(Exit::Done)
}

/// The names under which those who wait can be approved.
pub(super) fn subjects(answer: &Value) -> Vec<String> {
    let list = array(answer, "waiting").iter();
    list.filter_map(|entry| Some(text(entry, "subject")?.to_owned())).collect()
}

/// What tangd said.
#[derive(Serialize)]
#[serde(transparent)]
struct Waiting {
    #[serde(skip)]
    now: SystemTime,
    answer: Value,
}

impl Human for Waiting {
    fn human(&self, paint: Paint) -> String {
        let ago = |entry: &Value, key: &str| {
            let at = text(entry, key).and_then(time::parse);
            at.map(|at| time::ago(self.now, at)).unwrap_or_default()
        };
        let mut said = String::new();
        let waiting = array(&self.answer, "waiting");
        if waiting.is_empty() {
            said += "nobody waits\n";
        } else {
            let mut table = Table::new(["WAITING", "ADDRESS", "MAC", "SINCE", "ASKED LAST", "BECAUSE"]);
            for entry in waiting {
                table.row([
                    Cell::new(Tone::Warning, text(entry, "subject").unwrap_or("?")),
                    text(entry, "address").unwrap_or_default().into(),
                    text(entry, "mac").unwrap_or_default().into(),
                    ago(entry, "since").into(),
                    ago(entry, "last").into(),
                    text(entry, "reason").unwrap_or_default().into(),
                ]);
            }
            said += &table.render(paint);
        }
        let approved = array(&self.answer, "approved");
        if !approved.is_empty() {
            let mut table = Table::new(["APPROVED", "ENDS"]);
            for entry in approved {
                let ends = text(entry, "until").and_then(time::parse);
                table.row([
                    Cell::new(Tone::Good, text(entry, "subject").unwrap_or("?")),
                    ends.map(|ends| time::until(self.now, ends)).unwrap_or_default().into(),
                ]);
            }
            said += &format!("\n{}", table.render(paint));
        }
        let locks = self.answer.get("locks");
        let all = locks.and_then(|locks| locks.get("all")).filter(|all| !all.is_null());
        let single = locks.and_then(|locks| locks.get("single")).and_then(Value::as_object);
        let single = single.into_iter().flatten().map(|(name, lock)| (name.as_str(), lock));
        let locks: Vec<(&str, &Value)> =
            all.map(|all| ("everything", all)).into_iter().chain(single).collect();
        if !locks.is_empty() {
            let mut table = Table::new(["LOCKED", "SINCE", "BECAUSE"]);
            for (name, lock) in locks {
                table.row([
                    Cell::new(Tone::Bad, name),
                    ago(lock, "since").into(),
                    harmless(text(lock, "reason").unwrap_or_default()).into(),
                ]);
            }
            said += &format!("\n{}", table.render(paint));
        }
        said
    }
}

fn text<'v>(value: &'v Value, key: &str) -> Option<&'v str> {
    value.get(key)?.as_str()
}

fn array<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use serde_json::json;

    use super::*;

    #[test]
    fn who_waits_has_leave_or_is_locked_stands_in_a_table_each() {
        let answer = json!({
            "waiting": [{ "subject": "cp1", "address": "192.168.8.11", "mac": null, "reason": "cp1 waits",
                "since": "1970-01-01T00:00:00Z", "last": "1970-01-01T00:00:55Z" }],
            "approved": [{ "subject": "w1", "until": "1970-01-01T00:06:00Z", "secs": 300 }],
            "locks": { "all": null, "single": { "w2": { "since": "1970-01-01T00:00:00Z", "reason": "sold\u{1b}" } } },
        });
        assert_eq!(subjects(&answer), ["cp1"]);
        let waiting = Waiting { now: UNIX_EPOCH + Duration::from_secs(60), answer };
        assert_eq!(
            waiting.human(Paint::default()),
            "WAITING  ADDRESS       SINCE      ASKED LAST  BECAUSE\n\
             cp1      192.168.8.11  1 min ago  5 s ago     cp1 waits\n\n\
             APPROVED  ENDS\n\
             w1        in 5 min\n\n\
             LOCKED  SINCE      BECAUSE\n\
             w2      1 min ago  sold\\u{1b}\n"
        );
        let nobody = Waiting { now: UNIX_EPOCH, answer: json!({ "waiting": [] }) };
        assert_eq!(nobody.human(Paint::default()), "nobody waits\n");
    }
}
