//! From what is there to what is wanted, in the order in which one transaction can do it.

use std::collections::BTreeMap;

use faros_common::netlink::nftables::{Counters, Expression};

use super::ruleset::{Place, Ruleset, Shape, Target};

/// Our table as the kernel has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Present {
    /// Its contents.
    pub(super) rules: Ruleset,
    /// What its counters have counted.
    pub(super) counted: BTreeMap<String, Counters>,
    /// It holds what no compiler of this version makes: of another version, or somebody has put it there.
    pub(super) foreign: bool,
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The table with all that is in it.
    DropTable,
    /// An empty table, if there is none.
    AddTable,
    /// A counter that goes on from there.
    AddCounter(String, Counters),
    AddSet(String, Shape),
    AddChain(String, Option<Place>),
    /// All rules of a chain.
    Flush(String),
    /// A rule at the end of a chain.
    Append(String, Vec<Expression>),
    /// Elements of a set.
    Forget(String, Vec<Vec<u8>>),
    /// Elements of a set.
    Learn(String, Vec<(Vec<u8>, Target)>),
    /// A chain that nothing leads to any more, without rules.
    DropChain(String),
    DropSet(String),
    DropCounter(String),
}

/// The steps from `present` (`None`: there is no table) to `wanted`; none where they are the same. Counters that are made
/// anew go on from what the old ones, or else `remembered`, say.
pub(super) fn difference(
    present: Option<&Present>,
    wanted: &Ruleset,
    remembered: &BTreeMap<String, Counters>,
) -> Vec<Change> {
    let nothing = Ruleset::default();
    let Some(present) = present else {
        let mut changes = vec![Change::AddTable];
        changes.extend(patch(&nothing, wanted, remembered));
        return changes;
    };
    if can_be_patched(present, wanted) {
        return patch(&present.rules, wanted, remembered);
    }
    let mut counted = remembered.clone();
    counted.extend(present.counted.iter().map(|(name, counted)| (name.clone(), *counted)));
    let mut changes = vec![Change::DropTable, Change::AddTable];
    changes.extend(patch(&nothing, wanted, &counted));
    changes
}

/// Sets cannot change what their keys are, base chains not where they are: then all is made anew, still in one transaction.
fn can_be_patched(present: &Present, wanted: &Ruleset) -> bool {
    let same_set = |(name, set): (&String, &super::ruleset::Set)| {
        present.rules.sets.get(name).is_none_or(|there| there.shape == set.shape)
    };
    let same_chain = |(name, chain): (&String, &super::ruleset::Chain)| {
        present.rules.chains.get(name).is_none_or(|there| there.place == chain.place)
    };
    !present.foreign && wanted.sets.iter().all(same_set) && wanted.chains.iter().all(same_chain)
}

/// Additions first, then what refers to them; removals of references before what they refer to.
fn patch(present: &Ruleset, wanted: &Ruleset, counted: &BTreeMap<String, Counters>) -> Vec<Change> {
    let mut changes = Vec::new();
    for name in wanted.counters.difference(&present.counters) {
        changes.push(Change::AddCounter(name.clone(), counted.get(name).copied().unwrap_or_default()));
    }
    for (name, set) in &wanted.sets {
        if !present.sets.contains_key(name) {
            changes.push(Change::AddSet(name.clone(), set.shape));
        }
    }
    for (name, chain) in &wanted.chains {
        if !present.chains.contains_key(name) {
            changes.push(Change::AddChain(name.clone(), chain.place));
        }
    }
    for (name, chain) in &wanted.chains {
        let there = present.chains.get(name).map(|chain| chain.rules.as_slice()).unwrap_or_default();
        if there != chain.rules {
            if !there.is_empty() {
                changes.push(Change::Flush(name.clone()));
            }
            changes.extend(chain.rules.iter().map(|rule| Change::Append(name.clone(), rule.clone())));
        }
    }
    let gone: Vec<&String> =
        present.chains.keys().filter(|name| !wanted.chains.contains_key(*name)).collect();
    changes.extend(
        gone.iter()
            .filter(|name| !present.chains[**name].rules.is_empty())
            .map(|name| Change::Flush((*name).clone())),
    );
    for (name, set) in &wanted.sets {
        let there = present.sets.get(name).map(|set| &set.elements);
        elements(name, there.unwrap_or(&BTreeMap::new()), &set.elements, &mut changes);
    }
    // A set goes with its elements, and these with what they lead to.
    changes.extend(
        present
            .sets
            .keys()
            .filter(|name| !wanted.sets.contains_key(*name))
            .map(|name| Change::DropSet(name.clone())),
    );
    changes.extend(gone.into_iter().map(|name| Change::DropChain(name.clone())));
    changes
        .extend(present.counters.difference(&wanted.counters).map(|name| Change::DropCounter(name.clone())));
    changes
}

fn elements(
    set: &str,
    present: &BTreeMap<Vec<u8>, Target>,
    wanted: &BTreeMap<Vec<u8>, Target>,
    changes: &mut Vec<Change>,
) {
    let other =
        |than: &BTreeMap<Vec<u8>, Target>, key: &Vec<u8>, target: &Target| than.get(key) != Some(target);
    let outdated: Vec<Vec<u8>> = present
        .iter()
        .filter(|(key, target)| other(wanted, key, target))
        .map(|(key, _)| key.clone())
        .collect();
    let new: Vec<(Vec<u8>, Target)> = wanted
        .iter()
        .filter(|(key, target)| other(present, key, target))
        .map(|(key, target)| (key.clone(), target.clone()))
        .collect();
    if !outdated.is_empty() {
        changes.push(Change::Forget(set.to_owned(), outdated));
    }
    if !new.is_empty() {
        changes.push(Change::Learn(set.to_owned(), new));
    }
}

#[cfg(test)]
mod tests;
