use std::collections::BTreeSet;
use std::sync::Arc;

use faros_common::netlink::nftables::{Lookup, ObjectReference, Verdict};
use faros_common::site::Balance;
use proptest::prelude::*;

use super::*;
use crate::kernel::compile::{ForwardGuard, compile};
use crate::kernel::ruleset::{Chain, Set};
use crate::kernel::testing::{front, surroundings};
use crate::pool::{Roster, Slot};

/// A table that refuses what the kernel would refuse, step by step.
#[derive(Default)]
struct Model {
    exists: bool,
    rules: Ruleset,
}

impl Model {
    fn with(rules: &Ruleset) -> Self {
        Self { exists: true, rules: rules.clone() }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::DropTable => *self = Self::default(),
            Change::AddTable => self.exists = true,
            Change::AddCounter(name, _) => assert!(self.rules.counters.insert(name.clone()), "{name} twice"),
            Change::AddSet(name, shape) => {
                let set = Set { shape: *shape, elements: BTreeMap::new() };
                assert!(self.rules.sets.insert(name.clone(), set).is_none(), "{name} twice");
            }
            Change::AddChain(name, place) => {
                let chain = Chain { place: *place, rules: Vec::new() };
                assert!(self.rules.chains.insert(name.clone(), chain).is_none(), "{name} twice");
            }
            Change::Flush(chain) => self.rules.chains.get_mut(chain).unwrap().rules.clear(),
            Change::Append(chain, rule) => {
                let references = references(rule);
                assert!(references.chains.is_subset(&self.rules.chains.keys().cloned().collect()));
                assert!(references.sets.is_subset(&self.rules.sets.keys().cloned().collect()));
                assert!(references.counters.is_subset(&self.rules.counters));
                self.rules.chains.get_mut(chain).unwrap().rules.push(rule.clone());
            }
            Change::Forget(set, keys) => {
                for key in keys {
                    assert!(self.rules.sets.get_mut(set).unwrap().elements.remove(key).is_some());
                }
            }
            Change::Learn(set, elements) => {
                for (key, target) in elements {
                    if let Target::Goto(chain) = target {
                        assert!(self.rules.chains.contains_key(chain), "{chain} is not there yet");
                    }
                    let before =
                        self.rules.sets.get_mut(set).unwrap().elements.insert(key.clone(), target.clone());
                    assert_eq!(before, None, "the key is there already");
                }
            }
            Change::DropChain(name) => {
                let chain = self.rules.chains.remove(name).unwrap();
                assert!(chain.rules.is_empty(), "{name} has rules");
                assert!(!self.references().chains.contains(name), "something leads to {name}");
            }
            Change::DropSet(name) => {
                assert!(self.rules.sets.remove(name).is_some());
                assert!(!self.references().sets.contains(name), "{name} is used");
            }
            Change::DropCounter(name) => {
                assert!(self.rules.counters.remove(name));
                assert!(!self.references().counters.contains(name), "{name} is used");
            }
        }
    }

    fn references(&self) -> References {
        let mut all = References::default();
        for rule in self.rules.chains.values().flat_map(|chain| &chain.rules) {
            let one = references(rule);
            all.chains.extend(one.chains);
            all.sets.extend(one.sets);
            all.counters.extend(one.counters);
        }
        for target in self.rules.sets.values().flat_map(|set| set.elements.values()) {
            if let Target::Goto(chain) = target {
                all.chains.insert(chain.clone());
            }
        }
        all
    }
}

#[derive(Default)]
struct References {
    chains: BTreeSet<String>,
    sets: BTreeSet<String>,
    counters: BTreeSet<String>,
}

fn references(rule: &[Expression]) -> References {
    let mut references = References::default();
    for expression in rule {
        match expression {
            Expression::Verdict(Verdict::Goto(chain) | Verdict::Jump(chain)) => {
                references.chains.insert(chain.clone());
            }
            Expression::Lookup(Lookup { set, .. }) => {
                references.sets.insert(set.clone());
            }
            Expression::DynamicSet(set) => {
                references.sets.insert(set.set.clone());
            }
            Expression::Object(ObjectReference::Named { name, .. }) => {
                references.counters.insert(name.clone());
            }
            _ => {}
        }
    }
    references
}

fn present(rules: &Ruleset) -> Present {
    Present { rules: rules.clone(), ..Present::default() }
}

/// What a site may ask for: for each front end its servers, with the weight that each has now.
type Wish = Vec<(u8, Vec<Option<u32>>, bool, bool)>;

fn wish() -> impl Strategy<Value = Wish> {
    let servers = prop::collection::vec(prop::option::of(1..5u32), 0..4);
    prop::collection::vec((0..5u8, servers, any::<bool>(), any::<bool>()), 0..4)
}

fn rules(wish: &Wish, guarded: bool) -> Ruleset {
    let balances = [Balance::RoundRobin, Balance::Source, Balance::LeastConnections, Balance::RandomTwo];
    let fronts: Vec<_> =
        wish.iter()
            .map(|(number, weights, lan_only, allow)| {
                let servers: Vec<_> = (0..weights.len()).map(|n| format!("10.0.0.{n}:6443")).collect();
                let servers: Vec<_> = servers.iter().map(String::as_str).collect();
                let balance = balances[usize::from(*number) % balances.len()];
                let listen = format!("192.0.2.{number}:6443");
                let mut wanted = front(&format!("f{number}"), &listen, &servers, balance);
                let slots = wanted.servers.iter().zip(weights).filter_map(|(server, weight)| {
                    Some(Slot { server: Arc::clone(server), weight: (*weight)? })
                });
                wanted.roster = Arc::new(Roster::new(balance, slots.collect()));
                wanted.lan_only = *lan_only;
                if *allow {
                    let front = Arc::get_mut(&mut wanted.front).unwrap();
                    front.settings.allow = vec!["198.51.100.0/24".parse().unwrap()];
                    front.settings.limits.per_source = Some(7);
                }
                wanted
            })
            .collect();
    compile(&surroundings(), &fronts, ForwardGuard { four: guarded, six: false })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn from_anything_to_anything_in_steps_that_the_kernel_takes(
        before in wish(), guarded: bool, after in wish(), guarded_after: bool,
    ) {
        let (before, after) = (rules(&before, guarded), rules(&after, guarded_after));
        let mut model = Model::with(&before);
        for change in difference(Some(&present(&before)), &after, &BTreeMap::new()) {
            model.apply(&change);
        }
        prop_assert_eq!(&model.rules, &after);
        prop_assert_eq!(difference(Some(&present(&after)), &after, &BTreeMap::new()), vec![]);
    }

    #[test]
    fn from_nothing(after in wish()) {
        let after = rules(&after, false);
        let mut model = Model::default();
        for change in difference(None, &after, &BTreeMap::new()) {
            model.apply(&change);
        }
        prop_assert!(model.exists);
        prop_assert_eq!(model.rules, after);
    }
}

#[test]
fn a_table_of_another_version_is_made_anew_and_counting_goes_on() {
    let wanted = rules(&vec![(1, vec![Some(1)], false, false)], false);
    let counted = Counters { packets: 7, octets: 420 };
    let old = Present {
        foreign: true,
        counted: BTreeMap::from([("connections/f1/s0".to_owned(), counted)]),
        ..Present::default()
    };
    let changes = difference(Some(&old), &wanted, &BTreeMap::new());
    assert_eq!(changes[..2], [Change::DropTable, Change::AddTable]);
    assert!(changes.contains(&Change::AddCounter("connections/f1/s0".to_owned(), counted)));
}

#[test]
fn a_server_that_goes_down_changes_slots_only() {
    let up = rules(&vec![(0, vec![Some(1), Some(1), Some(1)], false, false)], false);
    let down = rules(&vec![(0, vec![Some(1), None, Some(1)], false, false)], false);
    for change in difference(Some(&present(&up)), &down, &BTreeMap::new()) {
        match change {
            Change::Forget(set, _) | Change::Learn(set, _) => assert_eq!(set, "slots/f0"),
            other => panic!("{other:?}"),
        }
    }
}
