//! The site file: any text is a site or a report, and a site is one that every daemon can use.

use std::collections::HashSet;
use std::path::Path;

use faros_common::site::{parse, placeholders};

use crate::Target;
use crate::site::TEXT;

/// Feeds [`parse`], and each daemon's own part of the site.
pub const TARGET: Target = Target { name: "site_file", run, seeds, memory: (4 << 20, 8 * 1024) };

fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = placeholders(text);
    let lines = text.lines().count() + 1;
    let placed = |report: &faros_common::site::Report| {
        for found in &report.diagnostics {
            let place =
                found.place.is_none_or(|place| (1..=lines).contains(&place.line) && place.column >= 1);
            assert!(place && !found.message.is_empty(), "{found:?}");
        }
    };
    let loaded = match parse(text, Path::new("site.toml")) {
        Ok(loaded) => loaded,
        Err(report) => {
            assert!(report.has_errors());
            return placed(&report);
        }
    };
    placed(&loaded.report);
    assert!(!loaded.report.has_errors());
    let site = loaded.site;
    let (mut macs, mut addresses, mut names) = (HashSet::new(), HashSet::new(), HashSet::new());
    for reservation in site.reservations() {
        assert!(names.insert(reservation.name.clone()), "{} twice", reservation.name);
        assert!(reservation.macs.iter().all(|mac| macs.insert(*mac)), "a card of {} twice", reservation.name);
        if let Some(address) = reservation.address {
            assert!(addresses.insert(address), "{address} is reserved twice");
            assert!(site.lan.prefix().contains(&address), "{address} is not on the LAN");
        }
    }
    // A daemon may refuse its part, but says so.
    match faros_dhcpd::config::Config::of_site(&site) {
        Ok(config) => {
            assert!(!addresses.iter().any(|&address| config.in_pool(address)), "reserved and leased");
        }
        Err(findings) => assert!(!findings.is_empty()),
    }
    if let Err(findings) = faros_ignition_http::Config::of(&site) {
        assert!(!findings.is_empty());
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let full = include_str!("../../common/tests/data/full.toml");
    let contract = include_str!("../../common/tests/data/site.toml");
    vec![TEXT.into(), full.into(), contract.into(), "version = 1\n[[node]]\n[[node".into()]
}
