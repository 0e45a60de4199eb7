//! Placeholders in the arguments of a boot profile.

use std::fmt;

use crate::site::{Node, Site};

/// Every placeholder that a profile's `args` may hold, in braces.
pub const PLACEHOLDERS: &[&str] = &[
    "name",
    "mac",
    "address",
    "disk",
    "http",
    "ignition",
    "tang",
    "report",
    "role",
    "uuid",
    "address6",
    "profile",
    "storage-disks",
    "zone",
    "domain",
    "bastion",
];

/// Why a text with placeholders cannot be filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceholderError {
    /// There is no placeholder of that name.
    Unknown(String),
    /// The node lacks the key.
    Lacking(String),
    /// A brace is never closed, or closes nothing.
    Brace,
}

impl fmt::Display for PlaceholderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(name) => write!(f, "there is no placeholder {{{name}}}"),
            Self::Lacking(name) => write!(f, "the node has no {name}, which {{{name}}} stands for"),
            Self::Brace => f.write_str("a brace is never closed, or closes nothing"),
        }
    }
}

impl std::error::Error for PlaceholderError {}

/// The pieces of `text`, in order: plain text, and the names of placeholders. A doubled brace is a
/// plain one.
///
/// # Errors
/// Where a brace is never closed, or closes nothing.
pub fn placeholders(text: &str) -> Result<Vec<Piece<'_>>, PlaceholderError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (plain, brace) = rest.split_at(at);
        if !plain.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        if brace.starts_with("{{") || brace.starts_with("}}") {
            pieces.push(Piece::Plain(&brace[..1]));
            rest = &brace[2..];
            continue;
        }
        let name = brace.strip_prefix('{').ok_or(PlaceholderError::Brace)?;
        let (name, after) = name.split_once('}').ok_or(PlaceholderError::Brace)?;
        if name.is_empty() || name.contains(|c: char| c == '{' || c.is_whitespace()) {
            return Err(PlaceholderError::Brace);
        }
        pieces.push(Piece::Placeholder(name));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Plain(rest));
    }
    Ok(pieces)
}

/// A piece of a text with placeholders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'t> {
    /// As it stands.
    Plain(&'t str),
    /// The name of a placeholder, without its braces.
    Placeholder(&'t str),
}

impl Site {
    /// What `{name}` stands for on a node: its own keys, and the URLs that belong to it. None where the node lacks
    /// the key, or nothing is called so.
    pub fn placeholder(&self, node: &Node, name: &str) -> Option<String> {
        let http = || self.base_url();
        match name {
            "name" => Some(node.name.clone()),
            "mac" => self.macs_of(node).first().map(ToString::to_string),
            "address" => node.address.map(|address| address.to_string()),
            "address6" => node.address6.map(|address| address.to_string()),
            "disk" => node.disk.clone(),
            "storage-disks" => (!node.storage_disks.is_empty()).then(|| node.storage_disks.join(",")),
            "role" => Some(node.role.name().to_owned()),
            "uuid" => node.uuid.clone(),
            "profile" => node.profile.clone(),
            "http" => Some(http()),
            "ignition" => Some(format!("{}/ignition/{}", http(), node.name)),
            "report" => Some(format!("{}/report/{}", http(), node.name)),
            "tang" => Some(self.tang_url()),
            "zone" => Some(self.cluster.zone()),
            "domain" => Some(self.cluster.domain.clone()),
            "bastion" => Some(self.bastion().to_string()),
            _ => None,
        }
    }

    /// `text` with every placeholder filled in for `node`.
    ///
    /// # Errors
    /// For an unknown placeholder, one whose key the node lacks, or a stray brace; a loaded site has none of these
    /// in the profiles of its nodes.
    pub fn fill_in(&self, text: &str, node: &Node) -> Result<String, PlaceholderError> {
        let mut filled = String::new();
        for piece in placeholders(text)? {
            match piece {
                Piece::Plain(plain) => filled.push_str(plain),
                Piece::Placeholder(name) if !PLACEHOLDERS.contains(&name) => {
                    return Err(PlaceholderError::Unknown(name.to_owned()));
                }
                Piece::Placeholder(name) => {
                    let value = self.placeholder(node, name);
                    filled.push_str(&value.ok_or_else(|| PlaceholderError::Lacking(name.to_owned()))?);
                }
            }
        }
        Ok(filled)
    }
}
