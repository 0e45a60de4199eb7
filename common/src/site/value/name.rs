//! Names: of hosts, domains, interfaces and records.

use super::{Flaw, text_value};
use crate::site::read::quoted;

/// RFC 1035 section 2.3.4.
const LABEL_MAX: usize = 63;
/// RFC 1035 section 2.3.4, without the length bytes of the wire form.
const DOMAIN_MAX: usize = 253;
/// IFNAMSIZ of Linux, without the final zero.
const INTERFACE_MAX: usize = 15;
/// No text of a site file needs more; kernel command lines end at 4096 bytes too.
const TEXT_MAX: usize = 4096;

/// One label of a host name, lower case (RFC 1123 section 2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label(pub(crate) String);

text_value!(Label, "host name: lower-case letters, digits and hyphens, such as cp1", |text| {
    if let Some((first, _)) = text.trim_end_matches('.').split_once('.') {
        return Err(Flaw::new(format!("{} has more than one label", quoted(text)))
            .help(format!("give the short name, such as {}: the cluster zone is added", quoted(first))));
    }
    label_flaw(text)?;
    Ok(Label(text.to_owned()))
});

/// A domain name of at least one label, lower case, without a final dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Domain(pub(crate) String);

text_value!(Domain, "domain name, such as example.com", |text| {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    domain_flaw(&name)?;
    Ok(Domain(name))
});

/// The owner of a record: `*` may be its first label, and underscores are welcome (RFC 2181 section 11, RFC 8552).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordName(pub(crate) String);

text_value!(
    RecordName,
    "record name: relative to the cluster zone, or absolute with a trailing dot",
    |text| {
        let name = text.to_ascii_lowercase();
        if name == "@" {
            return Ok(RecordName(name));
        }
        owner_flaw(name.strip_suffix('.').unwrap_or(&name))?;
        Ok(RecordName(name))
    }
);

/// The name of a TSIG key, lower case, without a final dot. It is a domain name by form only (RFC 8945 section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyName(pub(crate) String);

text_value!(KeyName, "name of a key, such as external-dns", |text| {
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.contains('*') {
        return Err(Flaw::new(format!("{} holds a wildcard", quoted(text)))
            .help("each key has a name and a secret of its own"));
    }
    owner_flaw(&name)?;
    Ok(KeyName(name))
});

/// The name of a network interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Interface(pub(crate) String);

text_value!(Interface, "interface name of at most 15 characters, such as eno1", |text| {
    let plain =
        |c: char| c.is_ascii_graphic() && !matches!(c, '/' | ':' | '"' | '\'' | '\\' | '%' | '*' | '{' | '}');
    if text.len() > INTERFACE_MAX {
        Err(Flaw::new(format!(
            "{} is longer than the {INTERFACE_MAX} characters of an interface name",
            quoted(text)
        ))
        .help("`ip link` lists the interfaces"))
    } else if text.is_empty() || text == "." || text == ".." || !text.chars().all(plain) {
        Err(Flaw::not(text, "interface name, such as eno1").help("`ip link` lists the interfaces"))
    } else {
        Ok(Interface(text.to_owned()))
    }
});

/// A text without control characters, not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) String);

text_value!(Text, "text", |text| {
    if text.len() > TEXT_MAX {
        Err(Flaw::new(format!("{} bytes, more than the {TEXT_MAX} allowed", text.len())))
    } else if text.trim().is_empty() {
        Err(Flaw::new("the text is empty").help("leave the key out instead"))
    } else if let Some(control) = text.chars().find(|c| c.is_control()) {
        Err(Flaw::new(format!("the text holds the control character {}", control.escape_debug()))
            .help("write it on one line, without tabs"))
    } else {
        Ok(Text(text.to_owned()))
    }
});

/// An SMBIOS UUID, lower case with hyphens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uuid(pub(crate) String);

text_value!(Uuid, "UUID, such as 4c4c4544-0042-3510-8052-b4c04f4d3732", |text| {
    const FORM: &str = "UUID, such as 4c4c4544-0042-3510-8052-b4c04f4d3732";
    let digits: String = text.chars().filter(|&c| c != '-').map(|c| c.to_ascii_lowercase()).collect();
    let grouped = text.split('-').map(str::len).collect::<Vec<_>>();
    let known_form = grouped == [32] || grouped == [8, 4, 4, 4, 12];
    if !known_form || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(Flaw::not(text, FORM));
    }
    if digits.bytes().all(|digit| digit == b'0') || digits.bytes().all(|digit| digit == b'f') {
        return Err(Flaw::new("a UUID of nothing but 0 or f is what boards without one show")
            .help("leave it out: the machine is known by its MAC"));
    }
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    Ok(Uuid(parts.join("-")))
});

/// What keeps `text` from being one label of a host name.
fn label_flaw(text: &str) -> Result<(), Flaw> {
    if text.is_empty() {
        return Err(Flaw::new("a name has an empty label").help("no two dots in a row"));
    }
    if text.len() > LABEL_MAX {
        return Err(Flaw::new(format!(
            "{} is longer than the {LABEL_MAX} characters of a label",
            quoted(text)
        ))
        .help("RFC 1035 section 2.3.4"));
    }
    if text.contains('*') {
        return Err(Flaw::new(format!("{} holds a wildcard", quoted(text)))
            .help("only dns.record may have one, as its first label"));
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(Flaw::new(format!(
            "{} has upper-case letters, which Kubernetes refuses in names",
            quoted(text)
        ))
        .help(format!("write {}", quoted(&text.to_ascii_lowercase()))));
    }
    let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !plain || text.starts_with('-') || text.ends_with('-') {
        return Err(Flaw::new(format!("{} is not a valid host name", quoted(text)))
            .help("letters, digits and hyphens, the latter not at an end"));
    }
    Ok(())
}

/// What keeps `name`, lower case and without a final dot, from being a domain name.
pub(crate) fn domain_flaw(name: &str) -> Result<(), Flaw> {
    length_flaw(name)?;
    name.split('.').try_for_each(label_flaw)
}

/// What keeps `name` from owning a record.
pub(crate) fn owner_flaw(name: &str) -> Result<(), Flaw> {
    length_flaw(name)?;
    for (index, label) in name.split('.').enumerate() {
        if label == "*" && index == 0 {
            continue;
        }
        if label.contains('*') {
            return Err(Flaw::new(format!(
                "{} has a wildcard that is not its whole first label",
                quoted(name)
            ))
            .help("write \"*.apps\", never \"apps.*\" or \"a*.apps\" (RFC 4592)"));
        }
        label_flaw(&label.replace('_', "x"))?;
    }
    Ok(())
}

fn length_flaw(name: &str) -> Result<(), Flaw> {
    if name.len() > DOMAIN_MAX {
        Err(Flaw::new(format!("the name is longer than {DOMAIN_MAX} characters"))
            .help("RFC 1035 section 2.3.4"))
    } else if name.is_empty() {
        Err(Flaw::new("the name is empty"))
    } else {
        Ok(())
    }
}
