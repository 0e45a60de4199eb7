//! Disk unlocking.

use super::service::{Families, listen, path, port};
use super::{entries, given};
use crate::site::raw::{RawTang, RawTangSlot};
use crate::site::value::Bounded;
use crate::site::{Lan, Tang, TangPolicy, TangSlot, TangSlotKind};

pub(crate) const TANG_PORT: u16 = 7500;
/// Upstream knows no HTTPS; this is the port beside the usual one.
pub(crate) const TANG_TLS_PORT: u16 = 7501;
const KEYS: &str = "/var/lib/faros/tang";
const CERTIFICATE: &str = "/etc/faros/tls/tangd.crt";
const CERTIFICATE_KEY: &str = "/etc/faros/tls/tangd.key";
/// A storage node asks once for each of its disks, all of them within seconds.
const RATE: u32 = 60;

pub(super) fn tang(raw: Option<&RawTang>, lan: &Lan) -> Option<Tang> {
    let port = port(raw.and_then(|raw| given(&raw.port)), TANG_PORT)?;
    let rate = raw.and_then(|raw| given(&raw.rate)).map_or(Some(RATE), Bounded::narrow)?;
    let tls_listen = raw.and_then(|raw| raw.tls_listen.as_ref()).map(|listen| {
        listen.value.iter().map(|entry| entry.value.with_default(TANG_TLS_PORT)).collect::<Vec<_>>()
    });
    let windows = raw.iter().filter_map(|raw| raw.windows.as_ref()).flat_map(|windows| windows.value.iter());
    Some(Tang {
        enable: raw.and_then(|raw| given(&raw.enable)).unwrap_or(true),
        external: raw.and_then(|raw| given(&raw.external)),
        listen: listen(raw.and_then(|raw| raw.listen.as_ref()), port, lan, Families::V4),
        port,
        keys: path(raw.and_then(|raw| given(&raw.keys)), KEYS),
        policy: raw.and_then(|raw| given(&raw.policy)).unwrap_or(TangPolicy::Open),
        rate: Some(rate).filter(|rate| *rate > 0),
        windows: windows.map(|window| window.value.clone()).collect(),
        hold: raw.and_then(|raw| given(&raw.hold)).unwrap_or(false),
        rotate: raw.and_then(|raw| given(&raw.rotate)),
        sealed: raw.and_then(|raw| given(&raw.sealed)).unwrap_or(false),
        slots: match raw {
            Some(raw) => entries(&raw.slot, slot).into_iter().collect::<Option<_>>()?,
            None => Vec::new(),
        },
        threshold: raw.and_then(|raw| given(&raw.threshold)).map_or(Some(1), Bounded::narrow)?,
        tls_listen: tls_listen.unwrap_or_default(),
        certificate: path(raw.and_then(|raw| given(&raw.certificate)), CERTIFICATE),
        certificate_key: path(raw.and_then(|raw| given(&raw.certificate_key)), CERTIFICATE_KEY),
    })
}

fn slot(raw: &RawTangSlot) -> Option<TangSlot> {
    Some(match given(&raw.kind)? {
        TangSlotKind::Passphrase => TangSlot::Passphrase,
        TangSlotKind::Tang => {
            let (url, thumbprint) = (given(&raw.url)?.url, given(&raw.thumbprint)?.0);
            TangSlot::Tang { url, thumbprint, ca: given(&raw.ca).map(|path| path.0) }
        }
        TangSlotKind::Tpm2 => {
            let mut pcrs = entries(&raw.pcrs, |pcr| pcr.narrow()).into_iter().collect::<Option<Vec<u8>>>()?;
            pcrs.sort_unstable();
            pcrs.dedup();
            TangSlot::Tpm2 { pcrs }
        }
    })
}
