//! Broken site files: each is refused with the line, the key and the reason.
//!
//! A case changes the contract's file or adds to a minimal one; `#<` stands on the line that must be named.

mod balance;
mod dns;
mod dns_lint;
mod doubtful;
mod identity;
mod machine;
mod network;
mod service;
mod syntax;
mod tang;

use std::path::Path;

use faros_common::site::{self, Report, Severity};

const CONTRACT: &str = include_str!("../data/site.toml");
const MINIMAL: &str = "version = 1\n[cluster]\nname = \"edge\"\ndomain = \"example.com\"\nkind = \"none\"\n\
                       [lan]\ninterface = \"lan0\"\naddress = \"192.168.8.1/24\"\npool = \"192.168.8.128-192.168.8.250\"\n";

/// A file, the key that must be named, and a part of the message.
type Case = (From, &'static str, &'static str);

enum From {
    /// The contract's file with one text in place of another.
    Contract(&'static str, &'static str),
    /// The same, and the finding is on the last line that begins so.
    ContractAt(&'static str, &'static str, &'static str),
    /// The minimal file and this.
    Minimal(&'static str),
    /// This alone.
    Whole(&'static str),
}
use From::{Contract, ContractAt, Minimal, Whole};

impl From {
    fn text(&self) -> String {
        match self {
            Contract(from, to) | ContractAt(from, to, _) => {
                assert!(CONTRACT.contains(from), "the contract has no {from}");
                CONTRACT.replacen(from, to, 1)
            }
            Minimal(more) => format!("{MINIMAL}{more}"),
            Whole(text) => (*text).to_owned(),
        }
    }

    /// The line that must be named: the mark's, or that of the changed text; none for what is missing everywhere.
    fn line(&self) -> Option<usize> {
        let text = self.text();
        let lines = || text.lines().zip(1..);
        match self {
            ContractAt(_, _, needle) => {
                lines().filter(|(line, _)| line.starts_with(needle)).map(|(_, number)| number).last()
            }
            Contract(_, to) if !to.contains("#<") => {
                lines().find(|(line, _)| line.contains(to)).map(|(_, number)| number)
            }
            _ => lines().find(|(line, _)| line.contains("#<")).map(|(_, number)| number),
        }
    }
}

fn report(text: &str) -> Report {
    match site::parse(text, Path::new("site.toml")) {
        Ok(loaded) => loaded.report,
        Err(report) => report,
    }
}

/// Whether the one finding of this severity has the place of the mark, the key and the message.
fn expect(severity: Severity, from: &From, key: &str, fragment: &str) -> Result<(), String> {
    let report = report(&from.text());
    let found: Vec<_> = report.diagnostics.iter().filter(|found| found.severity == severity).collect();
    let [found] = found[..] else {
        return Err(format!("{key} ({fragment}): {} findings instead of one:\n{report}\n", found.len()));
    };
    let line = found.place.map(|place| place.line);
    if found.key == key && line == from.line() && found.message.contains(fragment) && found.help.is_some() {
        Ok(())
    } else {
        Err(format!("{key} in line {:?} ({fragment}): {report}\n", from.line()))
    }
}

#[test]
fn every_broken_file_is_refused_with_line_key_and_reason() {
    let cases: Vec<Case> = [
        syntax::broken(),
        network::broken(),
        identity::broken(),
        machine::broken(),
        service::broken(),
        dns::broken(),
        dns_lint::broken(),
        tang::broken(),
        balance::broken(),
    ]
    .into_iter()
    .flatten()
    .collect();
    assert!(cases.len() >= 45);
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|(from, key, fragment)| expect(Severity::Error, from, key, fragment).err())
        .collect();
    assert!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

#[test]
fn what_is_doubtful_loads_with_a_warning_in_its_place() {
    let cases: Vec<Case> =
        [doubtful::doubtful(), dns::doubtful(), dns_lint::doubtful(), tang::doubtful(), balance::doubtful()]
            .into_iter()
            .flatten()
            .collect();
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|(from, key, fragment)| {
            assert!(!report(&from.text()).has_errors(), "{key}: {}", report(&from.text()));
            expect(Severity::Warning, from, key, fragment).err()
        })
        .collect();
    assert!(failed.is_empty(), "{} of {} cases:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

#[test]
fn a_report_reads_like_a_compilers() {
    let report = report(&Minimal("[dhcp]\nleas = \"1h\"\n").text());
    assert_eq!(
        report.to_string(),
        "site.toml:11:1: error: dhcp.leas: unknown key \"leas\" (did you mean `lease`? accepted here: enable, listen, \
         external, lease, ignore, options, authoritative, router-advertisements)"
    );
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["diagnostics"][0]["line"], 11);
    assert_eq!(json["diagnostics"][0]["key"], "dhcp.leas");
}

#[test]
fn names_that_are_meant_so_are_no_cause_for_warnings() {
    let fine = "[wan]\ninterface = \"eno1\"\naddress = \"dhcp\"\n[dns]\nforward = [\"198.51.100.1\"]\npin = [\"quay.io\"]\n\
        [[host]]\nname = \"nas\"\naddress = \"192.168.8.62\"\n\
        [[node]]\nname = \"w1\"\nrole = \"other\"\nmac = \"52:54:00:00:00:01\"\n\
        [[dns.record]]\nname = \"quay.io.\"\ntype = \"A\"\nvalue = \"192.168.8.60\"\n\
        [[dns.record]]\nname = \"*.web\"\ntype = \"A\"\nvalue = \"192.168.8.60\"\nttl = \"1d\"\n\
        [[dns.record]]\nname = \"blog\"\ntype = \"CNAME\"\nvalue = \"blog.web\"\n\
        [[dns.record]]\nname = \"mail\"\ntype = \"CNAME\"\nvalue = \"w1\"\n\
        [[dns.record]]\nname = \"@\"\ntype = \"MX\"\nvalue = \"10 nas\"\n\
        [[dns.record]]\nname = \"@\"\ntype = \"MX\"\nvalue = \"0 .\"\n\
        [[dns.record]]\nname = \"62.8.168.192.in-addr.arpa.\"\ntype = \"PTR\"\nvalue = \"nas\"\n\
        [[dns.conditional]]\nzone = \"20.10.in-addr.arpa\"\nforward = [\"10.20.0.53\"]\n";
    let report = report(&Minimal(fine).text());
    assert!(report.diagnostics.is_empty(), "{report}");
}
