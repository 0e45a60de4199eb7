use std::sync::Arc;

use faros_common::site::Balance;

use super::*;
use crate::kernel::testing::{front, surroundings};
use crate::kernel::wish::KernelFront;

fn compiled(fronts: &[KernelFront]) -> Ruleset {
    compile(&surroundings(), fronts, ForwardGuard::default())
}

fn target(rules: &Ruleset, set: &str, key: &[u8]) -> Option<Target> {
    rules.sets[set].elements.get(key).cloned()
}

fn goto(chain: &str) -> Option<Target> {
    Some(Target::Goto(chain.to_owned()))
}

#[test]
fn the_number_of_rules_a_packet_meets_does_not_depend_on_the_number_of_front_ends() {
    let many: Vec<_> = (0..50u16)
        .map(|n| {
            front(&format!("f{n}"), &format!("192.0.2.1:{}", 1000 + n), &["10.0.0.1:80"], Balance::RoundRobin)
        })
        .collect();
    let (few, many) = (compiled(&many[..1]), compiled(&many));
    for chain in ["inbound", "outbound", "balance", "balance-local", "account", "source", "answers"] {
        assert_eq!(few.chains[chain], many.chains[chain], "{chain}");
    }
}

#[test]
fn a_service_leads_to_its_front_end_and_slots_to_its_servers() {
    let rules =
        compiled(&[front("api", "192.0.2.1:6443", &["10.0.0.1:6443", "10.0.0.2:6443"], Balance::RoundRobin)]);
    let key = service_key("192.0.2.1:6443".parse().unwrap());
    assert_eq!(target(&rules, "services4", &key), goto("front/api"));
    assert_eq!(target(&rules, "guards4", &key), goto("guard/api"));
    assert_eq!(target(&rules, "slots/api", &0u32.to_ne_bytes()), goto("server/api/s0"));
    assert_eq!(target(&rules, "slots/api", &1u32.to_ne_bytes()), goto("server/api/s1"));
    assert_eq!(rules.sets["slots/api"].elements.len(), slots::SLOTS as usize);
}

#[test]
fn nobody_in_the_roster_means_a_reset() {
    let mut api = front("api", "192.0.2.1:6443", &["10.0.0.1:6443"], Balance::RoundRobin);
    api.roster = Arc::new(crate::pool::Roster::empty(Balance::RoundRobin));
    let rules = compiled(&[api]);
    assert_eq!(rules.chains["front/api"].rules, [Rule::new().tcp().count("nobody/api").reset()]);
    assert!(rules.chains.contains_key("server/api/s0"), "what is still open goes on and is counted");
}

#[test]
fn a_front_end_on_all_addresses_is_found_by_its_port() {
    let rules = compiled(&[front("web", "0.0.0.0:80", &["10.0.0.1:80"], Balance::Source)]);
    assert_eq!(target(&rules, "services-anywhere4", &80u16.to_be_bytes()), goto("front/web"));
    assert!(rules.sets["services4"].elements.is_empty());
}

#[test]
fn what_is_published_is_found_by_its_port_on_the_wan() {
    let mut web = front("web", "192.0.2.1:80", &["10.0.0.1:80"], Balance::Source);
    web.published = true;
    assert_eq!(target(&compiled(&[web]), "services-wan4", &80u16.to_be_bytes()), goto("front/web"));
}

#[test]
fn only_a_gateway_shows_clients_to_servers() {
    let fronts =
        [front("api", "192.0.2.1:6443", &["10.0.0.1:6443", "203.0.113.9:6443"], Balance::RoundRobin)];
    let near = server_key("10.0.0.1:6443");
    let far = server_key("203.0.113.9:6443");
    let rules = compiled(&fronts);
    assert_eq!(target(&rules, "sources4", &near), goto("hide-lan"));
    assert_eq!(target(&rules, "sources4", &far), goto("hide"), "it is not behind this gateway");
    let site = Surroundings { gateway: false, ..surroundings() };
    let rules = compile(&site, &fronts, ForwardGuard::default());
    assert_eq!(target(&rules, "sources4", &near), goto("hide"));
}

#[test]
fn a_front_end_of_the_lan_is_reset_elsewhere() {
    let mut config = front("machine-config", "192.0.2.1:22623", &["10.0.0.1:22623"], Balance::RoundRobin);
    config.lan_only = true;
    let rules = compiled(&[config]);
    let reset =
        Rule::new().came_in_elsewhere_than(&["lan0", "lo", ""]).tcp().count("foreign/machine-config").reset();
    assert!(rules.chains["guard/machine-config"].rules.contains(&reset));
}

#[test]
fn forwarding_is_bounded_only_where_it_was_switched_on_from_here() {
    let fronts = [front("api", "192.0.2.1:6443", &["10.0.0.1:6443"], Balance::RoundRobin)];
    assert!(!compiled(&fronts).chains.contains_key("forward"));
    let rules = compile(&surroundings(), &fronts, ForwardGuard { four: true, six: false });
    assert_eq!(rules.chains["forward"].rules.last(), Some(&Rule::new().family(Family::Four).drop()));
    assert_eq!(target(&rules, "admitted4", &server_key("10.0.0.1:6443")), Some(Target::Accept));
}

#[test]
fn the_first_of_two_front_ends_on_one_port_has_it() {
    let fronts = ["a", "b"].map(|name| front(name, "192.0.2.1:80", &["10.0.0.1:80"], Balance::RoundRobin));
    let key = service_key("192.0.2.1:80".parse().unwrap());
    assert_eq!(target(&compiled(&fronts), "services4", &key), goto("front/a"));
}

fn server_key(server: &str) -> Vec<u8> {
    crate::kernel::ruleset::server_key(6443, server.parse().unwrap())
}
