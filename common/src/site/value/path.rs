//! Paths of this host, paths below the boot roots, and URLs of management controllers.

use std::net::Ipv6Addr;
use std::path::PathBuf;

use super::name::domain_flaw;
use super::{Flaw, text_value};
use crate::site::read::quoted;

/// PATH_MAX of Linux, without the final zero.
const PATH_MAX: usize = 4095;

/// An absolute path without `..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AbsolutePath(pub(crate) PathBuf);

text_value!(AbsolutePath, "absolute path, such as /var/lib/faros/boot", |text| {
    characters_flaw(text)?;
    if !text.starts_with('/') {
        return Err(Flaw::new(format!("{} is a relative path", quoted(text)))
            .help("write it from the root, as in /var/lib/faros/boot"));
    }
    parents_flaw(text)?;
    Ok(AbsolutePath(PathBuf::from(text)))
});

/// A file below the boot roots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BootPath(pub(crate) String);

text_value!(BootPath, "path below the boot root, such as rhcos/kernel", |text| {
    characters_flaw(text)?;
    if text.contains("://") {
        return Err(Flaw::new(format!("{} is a URL", quoted(text)))
            .help("put the file below the boot root and give its path there: nodes boot without the WAN"));
    }
    if text.starts_with('/') {
        return Err(Flaw::new(format!("{} is an absolute path", quoted(text))).help(format!(
            "write it relative to the boot root, as in {}",
            quoted(text.trim_start_matches('/'))
        )));
    }
    if text.contains('\\') || text.contains([' ', '?', '#', '%', '"']) {
        return Err(Flaw::new(format!("{} holds a character that loaders do not survive", quoted(text)))
            .help("letters, digits and . _ - / only"));
    }
    parents_flaw(text)?;
    if text.split('/').any(|part| part.is_empty() || part == ".") {
        return Err(Flaw::new(format!("{} has an empty part or a dot as part", quoted(text))));
    }
    Ok(BootPath(text.to_owned()))
});

fn characters_flaw(text: &str) -> Result<(), Flaw> {
    if text.is_empty() {
        Err(Flaw::new("the path is empty"))
    } else if text.len() > PATH_MAX {
        Err(Flaw::new(format!("the path is longer than {PATH_MAX} bytes")))
    } else if text.chars().any(char::is_control) {
        Err(Flaw::new(format!("{} holds a control character", quoted(text))))
    } else {
        Ok(())
    }
}

fn parents_flaw(text: &str) -> Result<(), Flaw> {
    if text.split('/').any(|part| part == "..") {
        Err(Flaw::new(format!("{} climbs out with \"..\"", quoted(text)))
            .help("write the path without \"..\""))
    } else {
        Ok(())
    }
}

/// The URL of a management controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BmcUrl {
    pub(crate) url: String,
    /// The host part, without brackets.
    pub(crate) host: String,
}

text_value!(BmcUrl, "URL, redfish://HOST or ipmi://HOST", |text| {
    characters_flaw(text)?;
    let (scheme, rest) = text.split_once("://").ok_or_else(|| {
        Flaw::new(format!("{} has no scheme", quoted(text))).help("write redfish://… or ipmi://…")
    })?;
    if !matches!(scheme, "redfish" | "redfish+http" | "redfish+https" | "ipmi") {
        return Err(Flaw::new(format!("{} is no way to reach a BMC", quoted(scheme)))
            .help("redfish (TLS), redfish+http or ipmi"));
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err(Flaw::new("a URL holds a user or a password")
            .help("give user = \"…\" and password = { file = \"…\" } beside the url"));
    }
    if scheme == "ipmi" && !matches!(path, "" | "/") {
        return Err(Flaw::new(format!("an ipmi URL has no path, but this one has {}", quoted(path))));
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed
                .split_once(']')
                .ok_or_else(|| Flaw::new(format!("{} lacks its closing bracket", quoted(authority))))?;
            host.parse::<Ipv6Addr>().map_err(|_| Flaw::not(host, "IPv6 address"))?;
            (host, port.strip_prefix(':').or(if port.is_empty() { None } else { Some("?") }))
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    if let Some(port) = port
        && !port.parse::<u16>().is_ok_and(|port| port != 0)
    {
        return Err(Flaw::not(port, "port, 1 to 65535"));
    }
    host_flaw(host)?;
    Ok(BmcUrl { url: text.to_owned(), host: host.to_owned() })
});

/// What keeps `host` from being a host name or an address.
pub(crate) fn host_flaw(host: &str) -> Result<(), Flaw> {
    if host.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    let dotted = host.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
    if dotted {
        return Err(Flaw::not(host, "IP address"));
    }
    domain_flaw(&host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase())
}
