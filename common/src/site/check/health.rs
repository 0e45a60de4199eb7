//! Health checks from the file.

use std::time::Duration;

use super::service::bounded;
use crate::site::CheckKind;
use crate::site::raw::RawCheck;
use crate::site::read::{At, Findings, Spot, quoted};

/// Without one in the file.
const INTERVAL: Duration = Duration::from_secs(5);
const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_secs(3600);
const TIMEOUT_MIN: Duration = Duration::from_millis(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// More of a body is not looked for.
const BODY_MAX: usize = 1024;

pub(super) fn check(check: &At<RawCheck>, found: &mut Findings) {
    times(check, found);
    let kind = check.kind.as_ref().map_or(CheckKind::Tcp, |kind| kind.value);
    // A kind that was refused is not "tcp".
    if !found.mentions(&check.spot.path_of("kind")) {
        foreign(check, kind, found);
    }
    if let Some(path) = &check.path {
        let text = path.value.0.as_str();
        if !text.starts_with('/') || text.contains(char::is_whitespace) || !text.is_ascii() {
            found
                .error(&path.spot, format!("{} is no path to ask for", quoted(text)))
                .help("it starts with a slash and has no blanks, as in /healthz");
        }
    }
    if let Some(status) = check.status.as_ref().filter(|status| status.value.is_empty())
        && !found.mentions(&status.spot.key)
    {
        found
            .error(&status.spot, "no status counts as good, so no backend would ever be up")
            .help("leave the key out: 200-399");
    }
    if let Some(body) = check.body.as_ref().filter(|body| body.value.0.len() > BODY_MAX) {
        found
            .error(&body.spot, format!("{} bytes, more than the {BODY_MAX} looked for", body.value.0.len()))
            .help("a few words of the answer are enough");
    }
    if let (Some(name), Some(ca)) = (&check.server_name, &check.ca)
        && name.value.0.parse::<std::net::IpAddr>().is_ok()
        && kind == CheckKind::Https
        && !found.mentions(&ca.spot.key)
    {
        found
            .warning(&name.spot, "few certificates carry addresses")
            .help("give the name that the backends' certificates have in common");
    }
}

fn times(check: &At<RawCheck>, found: &mut Findings) {
    bounded(check.interval.as_ref(), INTERVAL_MIN, INTERVAL_MAX, found);
    bounded(check.fast_interval.as_ref(), INTERVAL_MIN, INTERVAL_MAX, found);
    bounded(check.timeout.as_ref(), TIMEOUT_MIN, TIMEOUT_MAX, found);
    let interval = check.interval.as_ref().map_or(INTERVAL, |interval| interval.value);
    let shown = humantime::format_duration;
    if let Some(fast) = check.fast_interval.as_ref().filter(|fast| fast.value > interval)
        && !found.mentions(&fast.spot.key)
    {
        found
            .error(&fast.spot, format!("slower than interval, {}", shown(interval)))
            .help("set it to interval at most");
    }
    if let Some(timeout) = check.timeout.as_ref().filter(|timeout| timeout.value > interval)
        && !found.mentions(&timeout.spot.key)
    {
        found
            .warning(&timeout.spot, format!("longer than interval, {}: checks are put off", shown(interval)))
            .help("set it to interval at most");
    }
}

/// Keys that mean nothing to this kind of check.
fn foreign(check: &At<RawCheck>, kind: CheckKind, found: &mut Findings) {
    fn spot<T>(key: &Option<At<T>>) -> Option<&Spot> {
        key.as_ref().map(|at| &at.spot)
    }
    let http = [
        ("path", spot(&check.path)),
        ("status", spot(&check.status)),
        ("body", spot(&check.body)),
        ("server-name", spot(&check.server_name)),
    ];
    if kind == CheckKind::Tcp {
        for (key, spot) in http {
            let Some(spot) = spot else { continue };
            found
                .warning(spot, format!("a check of kind \"tcp\" asks for no {key}"))
                .help(format!("set kind = \"http\" or \"https\", or take {key} out"));
        }
    }
    if let Some(ca) = &check.ca
        && kind != CheckKind::Https
    {
        found
            .warning(&ca.spot, "without TLS there is no certificate to check")
            .help("set kind = \"https\", or take ca out");
    }
}
