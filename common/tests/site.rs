//! The contract's own site file, as every daemon sees it.

#![expect(missing_docs, reason = "tests")]

use std::path::Path;

use faros_common::site::{self, Site};

fn contract() -> Site {
    let loaded = site::parse(include_str!("data/site.toml"), Path::new("site.toml"));
    let loaded = loaded.unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(loaded.report.to_string(), "", "no surprising warnings");
    loaded.site
}

#[test]
fn the_contract_loads_without_a_warning() {
    let site = contract();
    println!("{}", serde_json::to_string_pretty(&site).unwrap());
    for name in site.names() { println!("{name:?}"); }
    for name in site.pointers() { println!("{name:?}"); }
    println!("{:?}", site.reverse_zones());
    for r in site.reservations() { println!("{r:?}"); }
    println!("{} {}", site.base_url(), site.tang_url());
}
