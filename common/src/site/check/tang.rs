//! Disk unlocking: rules that would hold nobody back, or everybody.

use std::time::Duration;

use super::each;
use super::service::{bounded, own};
use crate::site::raw::{RawSite, RawTang, RawTangSlot};
use crate::site::read::{At, Findings, List};
use crate::site::value::Bounded;
use crate::site::{TangAccess, TangPolicy, TangSlotKind};

/// Each pair stays until every node has left it, so a shorter age is nothing but a heap of keys.
const ROTATE_MIN: Duration = Duration::from_secs(24 * 3600);
/// A longer age is a slip of the unit.
const ROTATE_MAX: Duration = Duration::from_secs(3653 * 24 * 3600);
/// What the sealed store has room for.
const SLOTS_MAX: usize = 16;

pub(super) fn check(raw: &RawSite, found: &mut Findings) {
    let open = raw.tang.as_ref().and_then(|tang| tang.policy.as_ref()).map(|policy| policy.value);
    if open != Some(TangPolicy::KnownNodes) {
        bypassed(raw, found);
    }
    let Some(tang) = &raw.tang else { return };
    bounded(tang.rotate.as_ref(), ROTATE_MIN, ROTATE_MAX, found);
    if let Some(windows) = tang.windows.as_ref().filter(|windows| windows.value.is_empty())
        && !found.mentions(&windows.spot.key)
    {
        found
            .error(&windows.spot, "no window in which anything is unlocked")
            .help("leave the key out: always");
    }
    certificate(tang, found);
    seal(raw, tang, found);
}

/// Rules for single nodes, while any other address of the LAN is answered.
fn bypassed(raw: &RawSite, found: &mut Findings) {
    for node in each(&raw.node) {
        if let Some(access) = node.tang.as_ref().filter(|access| access.value != TangAccess::Allow) {
            found
                .warning(
                    &access.spot,
                    "with tang.policy = \"open\" its disk is unlocked from any other address",
                )
                .help("add policy = \"known-nodes\" to [tang]");
        }
    }
}

/// A certificate without its key, and the other way round.
fn certificate(tang: &RawTang, found: &mut Findings) {
    let (given, missing) = match (&tang.certificate, &tang.certificate_key) {
        (Some(given), None) => (given, "certificate-key"),
        (None, Some(given)) => (given, "certificate"),
        _ => return,
    };
    found
        .warning(&given.spot, format!("{missing} is not set, and the usual one hardly belongs to this"))
        .help(format!("add {missing} = \"/path\""));
}

fn seal(raw: &RawSite, tang: &RawTang, found: &mut Findings) {
    each(&tang.slot).for_each(|slot| self::slot(raw, slot, found));
    let sealed = tang.sealed.as_ref().filter(|sealed| sealed.value);
    let count = tang.slot.as_ref().map_or(0, |slots| slots.value.len());
    // Slots that were refused are not missing ones.
    let refused = found.mentions("tang.slot");
    match (sealed, &tang.slot) {
        (Some(sealed), _) if count == 0 && !refused => {
            found
                .error(&sealed.spot, "nothing could ever open the sealed keys")
                .help("add a slot: [[tang.slot]] with kind = \"passphrase\"");
        }
        (None, Some(slots)) if count > 0 => {
            found
                .warning(&slots.spot, "slots have no effect while the keys are not sealed")
                .help("add sealed = true to [tang], or take them out");
        }
        (Some(_), Some(slots)) => opened_by_itself(tang, slots, found),
        _ => {}
    }
    if count > SLOTS_MAX
        && let Some(slots) = &tang.slot
    {
        found.error(&slots.spot, format!("{count} slots")).help(format!("at most {SLOTS_MAX}"));
    }
    if let Some(threshold) = &tang.threshold
        && usize::try_from(threshold.value.0).is_ok_and(|needed| needed > count)
        && count > 0
    {
        found
            .error(&threshold.spot, format!("{} of {count} slots can never be open", threshold.value.0))
            .help(format!("from 1 to {count}"));
    }
}

/// Keys that this host's TPM opens alone go with whoever takes the whole host.
fn opened_by_itself(tang: &RawTang, slots: &At<List<RawTangSlot>>, found: &mut Findings) {
    let tpms = slots.value.iter().filter(|slot| is(slot, TangSlotKind::Tpm2));
    let needed = tang.threshold.as_ref().map_or(1, |threshold| threshold.value.0);
    let Some(first) = tpms.clone().next() else { return };
    if i64::try_from(tpms.count()).is_ok_and(|tpms| tpms >= needed) {
        found
            .warning(&first.spot, "the TPM opens the keys alone, also for whoever takes the whole host")
            .help("add a slot of another kind, and threshold = 2");
    }
}

fn is(slot: &RawTangSlot, kind: TangSlotKind) -> bool {
    slot.kind.as_ref().is_some_and(|at| at.value == kind)
}

/// Each kind with what belongs to it, and with nothing else.
fn slot(raw: &RawSite, slot: &At<RawTangSlot>, found: &mut Findings) {
    let Some(kind) = slot.kind.as_ref().map(|kind| kind.value) else { return };
    let tang = kind == TangSlotKind::Tang;
    let url = slot.url.as_ref().map(|url| &url.spot);
    let thumbprint = slot.thumbprint.as_ref().map(|thumbprint| &thumbprint.spot);
    let ca = slot.ca.as_ref().map(|ca| &ca.spot);
    let pcrs = slot.pcrs.as_ref().map(|pcrs: &At<List<Bounded<0, 23>>>| &pcrs.spot);
    let tpm2 = kind == TangSlotKind::Tpm2;
    for (key, spot, belongs) in
        [("url", url, tang), ("thumbprint", thumbprint, tang), ("ca", ca, tang), ("pcrs", pcrs, tpm2)]
    {
        match spot {
            Some(spot) if !belongs => {
                found
                    .error(spot, format!("{key} means nothing to a slot of this kind"))
                    .help(format!("take {key} out, or change the kind"));
            }
            None if belongs
                && matches!(key, "url" | "thumbprint")
                && !found.mentions(&slot.spot.path_of(key)) =>
            {
                found
                    .missing(&slot.spot.missing(key), format!("a slot of kind tang needs the key `{key}`"))
                    .help("add the other server's url, and the thumbprint that its owner gave you");
            }
            _ => {}
        }
    }
    if let (Some(url), Some(ca)) = (&slot.url, &slot.ca)
        && tang
        && url.value.url.starts_with("http://")
    {
        found
            .error(&ca.spot, "ca means nothing to a server that is asked without encryption")
            .help("write https:// in url, or take ca out");
    }
    if let Some(url) = &slot.url
        && let Ok(address) = url.value.host.parse::<std::net::IpAddr>()
        && (own(raw).contains(&address) || address.is_loopback())
    {
        found
            .error(&url.spot, "this bastion cannot open its own keys with themselves")
            .help("name a Tang server elsewhere");
    }
}
