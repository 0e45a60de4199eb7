//! Where secrets stand, and how certificates of management controllers are judged.

use std::path::PathBuf;

use toml::de::DeTable;

use super::{AbsolutePath, Flaw, text_value};
use crate::site::read::{Findings, Input, Shape, Value, table};
use crate::site::{BmcTls, SecretSource};

table! {
    /// Where a secret stands: exactly one of these.
    RawSecret {
        /// A file that holds it, readable by root only; a final newline does not count.
        "file" file: optional AbsolutePath;
        /// An environment variable of the daemon.
        "env" env: optional Variable;
        /// A systemd credential (`LoadCredential=`), by its name.
        "credential" credential: optional Credential;
    }
}

impl Value for SecretSource {
    fn read(input: Input<'_>, found: &mut Findings) -> Option<Self> {
        if input.value.is_str() {
            // The text itself is never repeated: reports end up in logs.
            found
                .error(&input.spot, "a secret stands in the site file")
                .help("put it into a file and write { file = \"/etc/faros/secrets/…\" }, { env = \"…\" } or { credential = \"…\" }");
            return None;
        }
        if !input.value.is_table() {
            found
                .error(&input.spot, "not a place where a secret stands")
                .help("write { file = \"/etc/faros/secrets/…\" }, { env = \"…\" } or { credential = \"…\" }");
            return None;
        }
        let spot = input.spot.clone();
        let given = input.value.as_table().map_or(0, DeTable::len);
        let raw = RawSecret::read(input, found)?;
        if given != 1 {
            found
                .error(&spot, format!("{given} places for one secret"))
                .help("exactly one of file, env, credential");
            return None;
        }
        let file = raw.file.map(|file| Self::File(file.value.0));
        let env = raw.env.map(|env| Self::Env(env.value.0));
        let credential = raw.credential.map(|credential| Self::Credential(credential.value.0));
        file.or(env).or(credential)
    }

    fn shape() -> Shape {
        RawSecret::shape()
    }
}

/// The name of an environment variable.
#[derive(Clone, Debug)]
pub(crate) struct Variable(String);

text_value!(Variable, "name of an environment variable, such as BMC_PASSWORD", |text| {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.is_empty() || text.starts_with(|c: char| c.is_ascii_digit()) || !text.chars().all(word) {
        return Err(Flaw::not(text, "name of an environment variable, such as BMC_PASSWORD"));
    }
    Ok(Variable(text.to_owned()))
});

/// The name of a systemd credential.
#[derive(Clone, Debug)]
pub(crate) struct Credential(String);

text_value!(Credential, "name of a systemd credential, such as bmc", |text| {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if matches!(text, "" | "." | "..") || text.len() > 255 || !text.chars().all(word) {
        return Err(Flaw::not(text, "name of a systemd credential, such as bmc"));
    }
    Ok(Credential(text.to_owned()))
});

table! {
    /// The authority that signs the certificate.
    RawAuthority {
        /// Its certificate, PEM.
        "ca" ca: required AbsolutePath;
    }
}

impl Value for BmcTls {
    fn read(input: Input<'_>, found: &mut Findings) -> Option<Self> {
        if input.value.is_table() {
            let ca: PathBuf = RawAuthority::read(input, found)?.ca?.value.0;
            return Some(Self::Ca(ca));
        }
        match input.value.as_str() {
            Some("trust-on-first-use") => Some(Self::TrustOnFirstUse),
            Some("insecure") => Some(Self::Insecure),
            _ => {
                found
                    .error(&input.spot, format!("{} is no way to judge a certificate", input.description()))
                    .help("\"trust-on-first-use\", \"insecure\" or { ca = \"/path\" }");
                None
            }
        }
    }

    fn shape() -> Shape {
        Shape::Either(vec![Shape::Choice(&["trust-on-first-use", "insecure"]), RawAuthority::shape()])
    }
}
