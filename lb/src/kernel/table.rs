//! Our table in the kernel: reading it, and changing it in one transaction.

use std::collections::BTreeMap;
use std::time::Duration;

use faros_common::netlink::Error;
use faros_common::netlink::nftables::{
    Base, Batch, Chain, CommitError, Counters, DataType, Element, ElementValue, Family as TableFamily,
    Nftables, Object, ObjectKind, ObjectState, Policy, Rule, Set, SetFlags, Table, TableId, UserData,
    Verdict,
};

use super::difference::{Change, Present};
use super::names::TABLE;
use super::ruleset::{self, Family, Place, Shape, Target};

/// Goes up when the same rules no longer mean the same.
const VERSION: &str = "made by faros-lb, layout 1; do not edit, it is restored";

/// A connection that was closed from here is reset for so long; a client that has said nothing by then has been probed in vain.
const CLOSED_FOR: Duration = Duration::from_secs(3600);
/// So many closed connections are remembered; others learn it from the server that their next segment is given to.
pub(super) const CLOSED_MAX: u32 = 65_536;
/// Sources of one front end whose connections are counted; further ones are refused until others have none.
const SOURCES_MAX: u32 = 65_536;

pub(super) fn id() -> TableId {
    TableId::new(TableFamily::Inet, TABLE)
}

impl Shape {
    /// The set as the kernel is told it.
    pub(super) fn definition(self, name: &str) -> Set {
        let table = id();
        let address = |family| match family {
            Family::Four => DataType::Ipv4Address,
            Family::Six => DataType::Ipv6Address,
        };
        let port = DataType::InetService;
        match self {
            Self::Services(family) => Set::verdict_map(&table, name, [address(family), port]),
            Self::Ports => Set::verdict_map(&table, name, [port]),
            Self::Servers(family) => Set::verdict_map(&table, name, [port, address(family), port]),
            // While elements are replaced, old and new ones count.
            Self::Slots(slots) => Set::verdict_map(&table, name, [DataType::Mark]).with_size(2 * slots),
            Self::Closed(family) => Set::new(&table, name, [address(family), port, address(family), port])
                .with_size(CLOSED_MAX)
                .with_timeout(CLOSED_FOR),
            Self::Sources(family) => Set::new(&table, name, [address(family)])
                .with_size(SOURCES_MAX)
                .with_flags(SetFlags { dynamic: true, ..SetFlags::default() }),
        }
    }

    /// Which shape a set of the kernel has.
    fn recognise(set: &Set) -> Option<Self> {
        let families = Family::BOTH.into_iter();
        let mut shapes: Vec<Self> = families
            .flat_map(|f| [Self::Services(f), Self::Servers(f), Self::Closed(f), Self::Sources(f)])
            .collect();
        shapes.extend([Self::Ports, Self::Slots(set.size.unwrap_or_default() / 2)]);
        shapes.into_iter().find(|shape| {
            let own = shape.definition(&set.name);
            own.key == set.key
                && own.value == set.value
                && own.flags == set.flags
                && own.size == set.size
                && own.timeout == set.timeout
        })
    }
}

/// What is there; `None`: no table of ours.
pub(super) fn read(nftables: &mut Nftables) -> Result<Option<Present>, Error> {
    let id = id();
    let Some(table) = nftables.table(&id)? else { return Ok(None) };
    let mut present = Present { foreign: table.userdata != UserData::comment(VERSION), ..Present::default() };
    present.counted = counters(nftables)?;
    present.rules.counters = present.counted.keys().cloned().collect();
    for set in nftables.sets(&id)? {
        let Some(shape) = Shape::recognise(&set) else {
            present.foreign = true;
            continue;
        };
        let mut elements = BTreeMap::new();
        if !shape.fills_by_itself() {
            for element in nftables.elements(&id, &set.name)? {
                match element.value {
                    Some(ElementValue::Verdict(Verdict::Goto(chain))) => {
                        elements.insert(element.key, Target::Goto(chain));
                    }
                    Some(ElementValue::Verdict(Verdict::Accept)) => {
                        elements.insert(element.key, Target::Accept);
                    }
                    _ => present.foreign = true,
                }
            }
        }
        present.rules.sets.insert(set.name, ruleset::Set { shape, elements });
    }
    for chain in nftables.chains(&id)? {
        let place = match &chain.base {
            Some(Base { kind, hook, priority, policy: Policy::Accept, .. }) => {
                Some(Place { kind: *kind, hook: *hook, priority: *priority })
            }
            Some(_) => {
                present.foreign = true;
                None
            }
            None => None,
        };
        present.rules.chains.insert(chain.name, ruleset::Chain { place, rules: Vec::new() });
    }
    for rule in nftables.rules(&id, None)? {
        if let Some(chain) = present.rules.chains.get_mut(&rule.chain) {
            chain.rules.push(rule.expressions);
        }
    }
    Ok(Some(present))
}

/// Whether it is there.
pub(super) fn exists(nftables: &mut Nftables) -> Result<bool, Error> {
    Ok(nftables.table(&id())?.is_some())
}

/// What our named counters have counted.
pub(super) fn counters(nftables: &mut Nftables) -> Result<BTreeMap<String, Counters>, Error> {
    let objects = nftables.objects(&id(), Some(ObjectKind::Counter))?;
    let counters = objects.into_iter().filter_map(|object| match object.state {
        ObjectState::Counter(counters) => Some((object.name, counters)),
        _ => None,
    });
    Ok(counters.collect())
}

/// Does all of the changes between two packets, or none; only if nobody has changed anything since `generation`.
pub(super) fn commit(
    nftables: &mut Nftables,
    changes: &[Change],
    generation: Option<u32>,
) -> Result<(), CommitError> {
    let id = id();
    let mut batch = Batch::new();
    if let Some(generation) = generation {
        batch.only_at(generation);
    }
    for change in changes {
        add(&mut batch, &id, change);
    }
    nftables.commit(&batch)
}

fn add(batch: &mut Batch, id: &TableId, change: &Change) {
    match change {
        Change::DropTable => batch.delete_table(id),
        Change::AddTable => {
            let mut table = Table::new(id.family, &id.name);
            table.userdata = UserData::comment(VERSION);
            batch.add_table(&table)
        }
        Change::AddCounter(name, counted) => {
            batch.add_object(&Object::new(id, name, ObjectState::Counter(*counted)))
        }
        Change::AddSet(name, shape) => batch.add_set(&shape.definition(name)),
        Change::AddChain(name, None) => batch.add_chain(&Chain::regular(id, name)),
        Change::AddChain(name, Some(place)) => {
            batch.add_chain(&Chain::base(id, name, place.kind, place.hook, place.priority))
        }
        Change::Flush(chain) => batch.flush_chain(id, chain),
        Change::Append(chain, rule) => batch.append_rule(&Rule::new(id, chain, rule.clone())),
        Change::Forget(set, keys) => {
            let elements: Vec<_> = keys.iter().map(|key| Element::new(key.clone())).collect();
            batch.delete_elements(id, set, &elements)
        }
        Change::Learn(set, elements) => {
            let elements: Vec<_> = elements
                .iter()
                .map(|(key, target)| {
                    let verdict = match target {
                        Target::Goto(chain) => Verdict::Goto(chain.clone()),
                        Target::Accept => Verdict::Accept,
                    };
                    Element::with_value(key.clone(), ElementValue::Verdict(verdict))
                })
                .collect();
            batch.add_elements(id, set, &elements)
        }
        Change::DropChain(name) => batch.delete_chain(id, name),
        Change::DropSet(name) => batch.delete_set(id, name),
        Change::DropCounter(name) => batch.delete_object(id, name, ObjectKind::Counter),
    };
}
