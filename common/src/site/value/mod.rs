//! The types of single values: addresses, names, durations and whatever else a key may hold.

mod balance;
mod choice;
mod name;
mod network;
mod number;
mod option;
mod path;
mod record;
mod secret;
mod tang;
mod upstream;

pub(crate) use balance::{CongestionControl, ServerName, StatusRange};
pub(crate) use name::{Domain, Interface, KeyName, Label, RecordName, Text, Uuid};
pub(crate) use network::{Endpoint, Endpoint4, Listen, Prefix};
pub(crate) use number::{Bounded, Bytes, FormatVersion, Port};
pub(crate) use path::{AbsolutePath, BmcUrl, BootPath};
pub(crate) use record::{RecordKind, record_flaw};
pub(crate) use tang::{TangUrl, Thumbprint};

use super::read::{Findings, Input, quoted};

/// What is wrong with a value, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Flaw {
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl Flaw {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), help: None }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// `text` is not of the form that its type asks for.
    pub(crate) fn not(text: &str, form: &str) -> Self {
        Self::new(format!(
            "{} is not a valid {}",
            quoted(text),
            form.split([',', ':', ';', '(']).next().unwrap_or(form)
        ))
        .help(format!("expected: {form}"))
    }
}

/// Reads a text of the given form by `parse`, reporting what it says.
pub(crate) fn read_text<T>(
    input: &Input<'_>,
    form: &str,
    found: &mut Findings,
    parse: impl FnOnce(&str) -> Result<T, Flaw>,
) -> Option<T> {
    let text = input.text(form, found)?;
    match parse(text) {
        Ok(value) => Some(value),
        Err(flaw) => {
            let help = disguise(text).or(flaw.help);
            let finding = found.error(&input.spot, flaw.message);
            if let Some(help) = help {
                finding.help(help);
            }
            None
        }
    }
}

/// What is invisible or only looks right in a text that ought to be plain.
fn disguise(text: &str) -> Option<String> {
    if text.trim() != text {
        return Some("remove the blanks around it".to_owned());
    }
    let foreign = text.chars().find(|c| !c.is_ascii())?;
    let shown: String = foreign.escape_debug().collect();
    Some(format!("the character {shown} (U+{:04X}) is not plain ASCII: type it anew", u32::from(foreign)))
}

/// Makes a type readable from a text of some form.
macro_rules! text_value {
    ($type:ty, $form:literal, $parse:expr) => {
        impl $crate::site::read::Value for $type {
            fn read(
                input: $crate::site::read::Input<'_>,
                found: &mut $crate::site::read::Findings,
            ) -> Option<Self> {
                $crate::site::value::read_text(&input, $form, found, $parse)
            }

            fn shape() -> $crate::site::read::Shape {
                $crate::site::read::Shape::Text { form: $form }
            }
        }
    };
}
pub(crate) use text_value;
