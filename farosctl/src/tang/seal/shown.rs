//! What these verbs answer.

use std::path::Path;

use faros_tangd::seal::{Description, Sealed};
use serde::Serialize;
use serde_json::Value;

use crate::output::table::{Cell, Table};
use crate::output::{Human, Paint, Tone, harmless};

/// A sentence, and what programs want to know.
#[derive(Serialize)]
pub(super) struct Report {
    outcome: String,
    #[serde(flatten)]
    answer: Option<Value>,
    #[serde(skip)]
    tone: Option<Tone>,
}

impl Report {
    pub(super) fn of(outcome: String) -> Self {
        Self { outcome, answer: None, tone: None }
    }

    pub(super) fn sealed(directory: &Path, sealed: &Sealed) -> Self {
        let mut outcome = format!("{} key files in {} are sealed", sealed.files.len(), directory.display());
        if sealed.generated {
            outcome += "; the advertised pair is fresh and has never been on the disk in clear";
        }
        Self { outcome, answer: serde_json::to_value(sealed).ok(), tone: Some(Tone::Good) }
    }

    pub(super) fn closed(answer: Value) -> Self {
        let outcome = "the keys are sealed until somebody opens them: farosctl tang unseal".to_owned();
        Self { outcome, answer: Some(answer), tone: Some(Tone::Warning) }
    }

    pub(super) fn unsealed(answer: Value) -> Self {
        let number = |key: &str| answer.get(key).and_then(Value::as_u64).unwrap_or_default();
        let sealed = answer.get("sealed").and_then(Value::as_bool).unwrap_or(true);
        let (outcome, tone) = if sealed {
            (
                format!(
                    "{} of {} slots are open; another one is needed",
                    number("shares"),
                    number("threshold")
                ),
                Tone::Warning,
            )
        } else {
            ("the keys are open".to_owned(), Tone::Good)
        };
        Self { outcome, answer: Some(answer), tone: Some(tone) }
    }
}

impl Human for Report {
    fn human(&self, paint: Paint) -> String {
        let text = harmless(&self.outcome);
        match self.tone {
            Some(tone) => paint.tone(tone, &text) + "\n",
            None => format!("{text}\n"),
        }
    }
}

/// The slots of a store.
#[derive(Serialize)]
#[serde(transparent)]
pub(super) struct Slots(pub(super) Description);

impl Human for Slots {
    fn human(&self, paint: Paint) -> String {
        let mut table = Table::new(["SLOT", "KIND", "SERVER"]);
        for slot in &self.0.slots {
            let server = slot.url.as_deref().unwrap_or_default();
            table.row([
                Cell::new(Tone::Strong, &slot.name),
                slot.kind.into(),
                harmless(server).as_str().into(),
            ]);
        }
        let mut text = table.render(paint);
        text += &match self.0.threshold {
            1 => "any one of them opens the keys\n".to_owned(),
            all => format!("any {all} of them open the keys together\n"),
        };
        if self.0.clear_files > 0 {
            let left = format!(
                "{} key files lie in clear beside the store; opening it takes them in",
                self.0.clear_files
            );
            text += &format!("{}\n", paint.tone(Tone::Warning, &left));
        }
        text
    }
}
