//! Boot profiles: their names, roles and placeholders, and the nodes that use them.

use super::each;
use crate::site::raw::{RawNode, RawProfile, RawSite};
use crate::site::read::{At, Findings, closest, quoted};
use crate::site::{PLACEHOLDERS, Piece, Role, placeholders};

const ROLES: [Role; 4] = [Role::Bootstrap, Role::ControlPlane, Role::Worker, Role::Other];
/// The kernel's own limit on its command line, on most architectures.
const ARGS_MAX: usize = 2048;

pub(super) fn check(raw: &RawSite, found: &mut Findings) {
    let profiles = raw.profile.iter().flat_map(|profiles| profiles.value.0.iter());
    for (name, profile) in profiles {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty()
            || name.len() > 63
            || !name.chars().all(plain)
            || name.starts_with('-')
            || name.ends_with('-')
        {
            found
                .error(&profile.spot, format!("{} is no name for a profile", quoted(name)))
                .help("lower-case letters, digits and hyphens, such as rhcos");
        }
        arguments(profile, found);
        roles(profile, found);
    }
    for node in each(&raw.node) {
        uses(raw, node, found);
    }
}

fn arguments(profile: &At<RawProfile>, found: &mut Findings) {
    let Some(args) = &profile.args else { return };
    let text = args.value.0.as_str();
    if text.len() > ARGS_MAX {
        found
            .error(
                &args.spot,
                format!("{} bytes of arguments, more than the {ARGS_MAX} that kernels take", text.len()),
            )
            .help("put what is long into a file that the arguments name");
    }
    let pieces = match placeholders(text) {
        Ok(pieces) => pieces,
        Err(error) => {
            found
                .error(&args.spot, error.to_string())
                .help("write {name} for a placeholder, {{ and }} for plain braces");
            return;
        }
    };
    for piece in pieces {
        let Piece::Placeholder(name) = piece else { continue };
        if !PLACEHOLDERS.contains(&name) {
            let known: Vec<String> = PLACEHOLDERS.iter().map(|name| format!("{{{name}}}")).collect();
            let help = match closest(name, PLACEHOLDERS) {
                Some(like) => format!("did you mean {{{like}}}? there are {}", known.join(" ")),
                None => format!("there are {}", known.join(" ")),
            };
            found
                .error(&args.spot, format!("there is no placeholder {}", quoted(&format!("{{{name}}}"))))
                .help(help);
        }
    }
}

fn roles(profile: &At<RawProfile>, found: &mut Findings) {
    let Some(ignition) = &profile.ignition else { return };
    let words: Vec<&str> = ROLES.iter().map(|role| role.name()).collect();
    for role in ignition.value.0.keys() {
        if role != "*" && !words.contains(&role.as_str()) {
            // The value's place is that of the path; the line is the same.
            let spot = &ignition.value.0[role].spot;
            let help = match closest(role, &words) {
                Some(like) => format!("did you mean `{like}`? accepted here: {}, \"*\"", words.join(", ")),
                None => format!("accepted here: {}, \"*\"", words.join(", ")),
            };
            found.error(spot, format!("{} is no role", quoted(role))).help(help);
        }
    }
}

/// Whether a node has what its profile needs.
fn uses(raw: &RawSite, node: &At<RawNode>, found: &mut Findings) {
    let Some(wanted) = &node.profile else { return };
    let name = wanted.value.0.as_str();
    let known: Vec<&str> =
        raw.profile.iter().flat_map(|all| all.value.0.keys()).map(String::as_str).collect();
    let profile = raw.profile.as_ref().and_then(|all| all.value.0.get(name));
    let Some(profile) = profile else {
        let help = match closest(name, &known) {
            Some(like) => format!("did you mean {}?", quoted(like)),
            None => format!("define it as [profile.{name}]"),
        };
        found.error(&wanted.spot, format!("there is no profile {}", quoted(name))).help(help);
        return;
    };
    let args = profile.args.as_ref().map_or("", |args| args.value.0.as_str());
    for piece in placeholders(args).unwrap_or_default() {
        let Piece::Placeholder(placeholder) = piece else { continue };
        let lacking = match placeholder {
            "address" => node.address.is_none(),
            "address6" => node.address6.is_none(),
            "disk" => node.disk.is_none(),
            "uuid" => node.uuid.is_none(),
            "storage-disks" => node.storage_disks.is_none(),
            "ignition" => !has_ignition(profile, node),
            "mac" => node.mac.is_none() && !is_guest(raw, node),
            _ => false,
        };
        let lacking = lacking && !found.mentions(&node.spot.path_of(placeholder));
        if lacking && placeholder == "ignition" {
            found
                .error(
                    &wanted.spot,
                    format!(
                        "profile {name} has no Ignition file for the role of this node, but uses {{ignition}}"
                    ),
                )
                .help(format!("add the role, or \"*\", to [profile.{name}.ignition]"));
        } else if lacking && placeholder != "mac" {
            // A missing mac has its own finding.
            found
                .error(
                    &wanted.spot,
                    format!("profile {name} uses {{{placeholder}}}, but this node has no {placeholder}"),
                )
                .help(format!("add {placeholder} = … to the node"));
        }
    }
}

fn has_ignition(profile: &RawProfile, node: &RawNode) -> bool {
    let Some(role) = &node.role else { return true };
    profile
        .ignition
        .as_ref()
        .is_some_and(|files| files.value.0.contains_key(role.value.name()) || files.value.0.contains_key("*"))
}

fn is_guest(raw: &RawSite, node: &RawNode) -> bool {
    let name = node.name.as_ref().map(|name| &name.value.0);
    each(&raw.vm).any(|vm| vm.node.as_ref().map(|own| &own.value.0) == name)
}
